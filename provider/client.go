package provider

import (
	"errors"
	"slices"
	"time"

	"github.com/sallyport-id/sallyport/provider/internal/engine"
)

// A Client is a relying party, as registered.
type Client struct {
	ID      string
	Name    string // shown to people
	Type    ClientType
	Secrets []Hash // SHA-256 of its secrets, the newest first; none for a public client or one with keys

	RedirectURIs []string // compared as strings; see ClientType for the exception
	Scopes       []string // it may ask for
	GrantTypes   []string // authorization_code, refresh_token, client_credentials

	FirstParty   bool   // ours: consent is not asked
	PKCEOptional bool   // may leave PKCE out; not for a public client
	OpaqueTokens bool   // access tokens are opaque; otherwise JWTs (RFC 9068)
	Introspects  bool   // may ask what tokens of others say (RFC 7662); not for a public client
	Algorithm    string // that signs its tokens: RS256 or ES256; empty: RS256
	Floor        string // the least level of its sign-ins; empty: Config.Floor

	// MaxAge and FactorMaxAge say how old a proof may be that counts for it;
	// see authflow.Floor. 0: as old as the session.
	MaxAge       time.Duration
	FactorMaxAge time.Duration

	// InitiateLoginURI is where someone can begin to sign in to it (OpenID
	// Connect Core section 4); empty: its host is named and nothing offered. It
	// is offered where a flow ended without an answer, with iss in its query.
	InitiateLoginURI string

	// ContinuesTo lists further origins that its redirect URIs send the browser
	// on to. Chromium applies a page's form-action to the whole chain.
	ContinuesTo []string

	// Keys are its public keys for private_key_jwt, a JWK Set (RFC 7517 section
	// 5) that CheckKeys finds in order. KeysURI is where it publishes them
	// instead: an https URI at a public address (Config.InsecureNetworks),
	// fetched again after five minutes, or at most once a minute for a key that
	// is new; while it cannot be, they are used for an hour. A client with
	// either authenticates in no other way. Both empty: it has none.
	Keys    []byte
	KeysURI string

	Pushed bool // its authorization requests must be pushed (RFC 9126)

	// Pairwise gives it subjects of its own (OpenID Connect Core section 8.1),
	// which it shares with the clients of its Sector, a host name; empty: the
	// host of its redirect URIs, see SectorHost. Config.SubjectKey makes them.
	// Both change its subjects when they change.
	Pairwise bool
	Sector   string

	Claims []ExtraClaim // that it is given without asking

	UserinfoAlgorithm string // that signs userinfo, RS256 or ES256; empty: it is plain JSON

	// Resources are URIs of the APIs that it may ask tokens for (RFC 8707);
	// compared as strings. If it Introspects they are also the APIs that it is:
	// it learns of tokens for them and of its own; empty: of tokens for no API
	// in particular.
	Resources []string

	// DetailsTypes are the types of authorization details that it may ask for
	// (RFC 9396 section 10).
	DetailsTypes []string

	// PostLogoutRedirectURIs are where the browser may go after a logout that it
	// asked for (OpenID Connect RP-Initiated Logout section 3.1); compared as
	// strings.
	PostLogoutRedirectURIs []string
	// BackchannelLogoutURI gets a logout token when a session ends in which it
	// was given something (OpenID Connect Back-Channel Logout section 2.2);
	// FrontchannelLogoutURI is shown in a frame (Front-Channel Logout section
	// 2). Empty: neither.
	BackchannelLogoutURI  string
	FrontchannelLogoutURI string

	Declared bool // owned by the configuration file; commands leave it alone
	Created  time.Time
}

// A ClientType says what a client is able to keep and where it lives.
type ClientType string

const (
	Web     ClientType = "web"     // runs on a server and keeps a secret
	SPA     ClientType = "spa"     // runs in a browser, without a secret
	Native  ClientType = "native"  // runs on a device, without a secret; the port of a loopback redirect URI is free (RFC 8252 section 7.3)
	Service ClientType = "service" // acts for itself, without a user
)

// HasKeys reports whether the client authenticates by keys of its own.
func (c Client) HasKeys() bool { return len(c.Keys) > 0 || c.KeysURI != "" }

// CheckResource says what is wrong with s as one of Client.Resources: it must be
// an absolute URI without a fragment (RFC 8707 section 2), in the characters of
// RFC 3986.
func CheckResource(s string) error {
	if !engine.Locates(s) {
		return errors.New("is no absolute URI without a fragment")
	}
	return nil
}

// mayAskFor reports whether all of resources are c's to ask tokens for.
func (c Client) mayAskFor(resources []string) bool {
	return !slices.ContainsFunc(resources, func(s string) bool { return !slices.Contains(c.Resources, s) })
}

// Public reports whether the client is not able to keep a secret or a key.
func (c Client) Public() bool { return c.Type == SPA || c.Type == Native }
