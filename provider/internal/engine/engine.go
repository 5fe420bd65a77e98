package engine

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v3"
	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/handler/pkce"
	"github.com/ory/fosite/i18n"
	"github.com/ory/fosite/token/jwt"
)

// Config is what an Engine needs. All of it is required.
type Config struct {
	Issuer  string
	Secrets [][]byte // at least 32 bytes each; the first makes tokens, all verify

	// Signing returns the current private key for alg and its kid.
	Signing func(ctx context.Context, alg string) (crypto.Signer, string, error)

	CodeLifetime    time.Duration
	AccessLifetime  time.Duration
	IDTokenLifetime time.Duration
	RefreshLifetime time.Duration // idle: from one use to the next

	// RefreshGrace is for how long the refresh token that was replaced last still
	// gets its successor. 0: it is reuse at once.
	RefreshGrace time.Duration
}

// A Client is what fosite must know of a relying party.
type Client struct {
	ID           string
	Public       bool
	RedirectURIs []string
	Scopes       []string
	GrantTypes   []string
	Opaque       bool   // access tokens are opaque
	Algorithm    string // that signs its tokens

	Resources []string // it may ask access tokens for
}

// A Grant is what fosite must know of what a user gave a client.
type Grant struct {
	ID        string
	Subject   string // this and SessionID: as the client knows them
	ClientID  string
	SessionID string
	Scopes    []string
	Resources []string       // its access tokens are for; none: this server
	Claims    map[string]any // of the user, for ID tokens

	AccessClaims map[string]any // likewise, for JWT access tokens

	ACR      string
	AMR      []string
	AuthTime time.Time
	Nonce    string
	Details  json.RawMessage // RFC 9396; empty: none
	Left     []string        // of Scopes, those that are renewed

	Code        [32]byte
	CodeExpires time.Time
	CodeSpent   bool
	RedirectURI string
	Challenge   string

	Generation int64
	Rotated    time.Time // when Generation took the place of the one before; zero: it is the first
	Expires    time.Time // of the refresh token of Generation
	Ends       time.Time // of every token
	Revoked    bool
}

// An Engine makes codes and tokens.
type Engine struct {
	config Config
	fosite *fosite.Fosite
	macs   macs

	verified verified
}

// New returns an Engine, or an error if a secret is too short.
func New(c Config) (*Engine, error) {
	macs, err := newMACs(c.Secrets)
	if err != nil {
		return nil, err
	}
	e := &Engine{config: c, macs: macs}
	// Every field that fosite would fill in lazily is set: it does so without
	// a lock.
	f := &fosite.Config{
		IDTokenIssuer:                c.Issuer,
		AccessTokenIssuer:            c.Issuer,
		AuthorizeCodeLifespan:        c.CodeLifetime,
		AccessTokenLifespan:          c.AccessLifetime,
		IDTokenLifespan:              c.IDTokenLifetime,
		RefreshTokenLifespan:         c.RefreshLifetime,
		RefreshTokenScopes:           []string{"offline_access"},
		ScopeStrategy:                fosite.ExactScopeStrategy,
		AudienceMatchingStrategy:     fosite.ExactAudienceMatchingStrategy,
		MinParameterEntropy:          1,
		OmitRedirectScopeParam:       true,
		JWTScopeClaimKey:             jwt.JWTScopeFieldString,
		ClientSecretsHasher:          noHasher{},
		ClientAuthenticationStrategy: authenticated,
		JWKSFetcherStrategy:          noFetcher{},
		MessageCatalog:               i18n.NewDefaultMessageCatalog(nil),
		// Redirect URIs are judged when a client is registered, by its type.
		RedirectSecureChecker: anyRedirect,
	}
	helper := &openid.IDTokenHandleHelper{IDTokenStrategy: idTokens{e}}
	code := &oauth2.AuthorizeExplicitGrantHandler{
		AccessTokenStrategy:    accessTokens{e},
		RefreshTokenStrategy:   refreshTokens{e},
		AuthorizeCodeStrategy:  codes{e},
		CoreStorage:            units{},
		TokenRevocationStorage: units{},
		Config:                 f,
	}
	pkce := &pkce.Handler{AuthorizeCodeStrategy: codes{e}, Storage: units{}, Config: f}
	oidc := &openid.OpenIDConnectExplicitHandler{
		OpenIDConnectRequestStorage:   units{},
		OpenIDConnectRequestValidator: openid.NewOpenIDConnectRequestValidator(nil, f),
		Config:                        f,
		IDTokenHandleHelper:           helper,
	}
	refresh := &oauth2.RefreshTokenGrantHandler{
		AccessTokenStrategy:    accessTokens{e},
		RefreshTokenStrategy:   refreshTokens{e},
		TokenRevocationStorage: units{},
		Config:                 f,
	}
	service := &oauth2.ClientCredentialsGrantHandler{
		HandleHelper: &oauth2.HandleHelper{
			AccessTokenStrategy: accessTokens{e}, AccessTokenStorage: units{}, Config: f,
		},
		Config: f,
	}
	f.AuthorizeEndpointHandlers = fosite.AuthorizeEndpointHandlers{code, oidc, pkce}
	f.TokenEndpointHandlers = fosite.TokenEndpointHandlers{
		code, pkce, oidc, refresh, service,
		&openid.OpenIDConnectRefreshHandler{IDTokenHandleHelper: helper, Config: f},
	}
	e.fosite = fosite.NewOAuth2Provider(units{}, f)
	return e, nil
}

// fositeClient is a Client as fosite wants to see it.
type fositeClient struct{ Client }

func (c fositeClient) GetID() string                      { return c.ID }
func (c fositeClient) GetHashedSecret() []byte            { return nil }
func (c fositeClient) GetRedirectURIs() []string          { return c.RedirectURIs }
func (c fositeClient) GetGrantTypes() fosite.Arguments    { return c.GrantTypes }
func (c fositeClient) GetResponseTypes() fosite.Arguments { return fosite.Arguments{"code"} }
func (c fositeClient) GetScopes() fosite.Arguments        { return c.Scopes }
func (c fositeClient) IsPublic() bool                     { return c.Public }
func (c fositeClient) GetAudience() fosite.Arguments      { return nil }
func (c fositeClient) GetResponseModes() []fosite.ResponseModeType {
	return []fosite.ResponseModeType{fosite.ResponseModeQuery}
}

var errOff = errors.New("engine: switched off")

// noHasher makes sure that no secret is ever compared by fosite.
type noHasher struct{}

func (noHasher) Compare(context.Context, []byte, []byte) error { return errOff }
func (noHasher) Hash(context.Context, []byte) ([]byte, error)  { return nil, errOff }

// noFetcher makes sure that fosite fetches nothing that a client names.
type noFetcher struct{}

func (noFetcher) Resolve(context.Context, string, bool) (*jose.JSONWebKeySet, error) {
	return nil, errOff
}

func anyRedirect(context.Context, *url.URL) bool { return true }
