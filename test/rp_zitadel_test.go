package test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/client/rs"
	httphelper "github.com/zitadel/oidc/v3/pkg/http"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"

	"github.com/sallyport-id/sallyport/provider"
)

// A zitadel is a relying party made of zitadel/oidc's rp package alone: its
// login handler, its callback and its cookies are those that the package has.
type zitadel struct {
	t     testing.TB
	rp    rp.RelyingParty
	state string
}

// A zitadelLogin is what the callback learned.
type zitadelLogin struct {
	tokens *oidc.Tokens[*oidc.IDTokenClaims]
	info   *oidc.UserInfo
	state  string
}

// zitadel registers c on its own host and returns the relying party that lives
// there. It asks for the level mfa and refuses an ID token of any other.
func (s *stage) zitadel(c provider.Client, secret string, style oauth2.AuthStyle) (*zitadel, <-chan zitadelLogin) {
	s.t.Helper()
	host := c.ID + ".example"
	c.RedirectURIs = []string{"https://" + host + "/callback"}
	s.register(c)
	z := &zitadel{t: s.t, state: oauth2.GenerateVerifier()}
	cookies := httphelper.NewCookieHandler([]byte("32 bytes that sign the cookies.."), []byte("32 bytes that seal the cookies.."))
	scopes := []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail, "groups", oidc.ScopeOfflineAccess}
	var err error
	z.rp, err = rp.NewRelyingPartyOIDC(s.t.Context(), issuer, c.ID, secret, c.RedirectURIs[0], scopes,
		rp.WithHTTPClient(&http.Client{Transport: s.net}), rp.WithPKCEFromDiscovery(cookies), rp.WithAuthStyle(style),
		rp.WithSigningAlgsFromDiscovery(),
		rp.WithVerifierOpts(rp.WithACRVerifier(oidc.DefaultACRVerifier([]string{"mfa"})), rp.WithAuthTimeMaxAge(time.Hour)))
	if err != nil {
		s.t.Fatal(err)
	}
	logins := make(chan zitadelLogin, 1)
	site := http.NewServeMux()
	site.Handle("/login", rp.AuthURLHandler(func() string { return z.state }, z.rp, rp.WithURLParam("acr_values", "mfa")))
	site.Handle("/callback", rp.CodeExchangeHandler(rp.UserinfoCallback(func(_ http.ResponseWriter, _ *http.Request,
		tokens *oidc.Tokens[*oidc.IDTokenClaims], state string, _ rp.RelyingParty, info *oidc.UserInfo) {
		logins <- zitadelLogin{tokens, info, state}
	}), z.rp))
	s.net[host] = site
	return z, logins
}

// refresh redeems a refresh token and checks the ID token that came with it.
func (z *zitadel) refresh(token string) (*oidc.Tokens[*oidc.IDTokenClaims], error) {
	return rp.RefreshTokens[*oidc.IDTokenClaims](context.Background(), z.rp, token, "", "")
}

// proven fails the test unless an ID token says that alice gave a password and
// a code, and when.
func (z *zitadel) proven(of *oidc.IDTokenClaims, when time.Time) {
	z.t.Helper()
	if of.Subject != "sub-alice" || of.AuthenticationContextClassReference != "mfa" ||
		!slices.Equal(of.AuthenticationMethodsReferences, []string{"pwd", "otp"}) ||
		!of.AuthTime.AsTime().Equal(when.Truncate(time.Second)) || of.SessionID == "" {
		z.t.Errorf("the ID token says %s", describe(of))
	}
}

// TK-2, OA-6. A relying party that we did not write: clients with a secret in each place
// and without one sign in, refresh and give the token back.
func TestZitadelSignsInRefreshesAndRevokes(t *testing.T) {
	for _, kind := range []struct {
		client provider.Client
		secret string
		style  oauth2.AuthStyle
	}{
		{provider.Client{ID: "header", Type: provider.Web}, appSecret, oauth2.AuthStyleInHeader},
		{provider.Client{ID: "body", Type: provider.Web, Algorithm: "ES256"}, appSecret, oauth2.AuthStyleInParams},
		{provider.Client{ID: "native", Type: provider.Native, OpaqueTokens: true}, "", oauth2.AuthStyleInParams},
	} {
		t.Run(kind.client.ID, func(t *testing.T) {
			story(t, func(t *testing.T, dsn string) {
				s := newStage(t, dsn)
				if kind.secret != "" {
					kind.client.Secrets = []provider.Hash{hash(kind.secret)}
				}
				z, logins := s.zitadel(kind.client, kind.secret, kind.style)
				phone, b := s.enrolled("alice"), s.browser
				signedIn := now()
				b.open("https://" + kind.client.ID + ".example/login")
				b.login("alice", phone)
				b.submit("consent", "decision", "allow")
				b.at("", http.StatusOK)
				first := <-logins
				if first.state != z.state || first.info.Subject != "sub-alice" || first.info.Name != "Alice Example" ||
					first.info.Email != "alice@example.org" || !bool(first.info.EmailVerified) ||
					describe(first.info.Claims["groups"]) != `["staff"]` {
					t.Errorf("the app learned %s, state %q", describe(first.info), first.state)
				}
				z.proven(first.tokens.IDTokenClaims, signedIn)

				time.Sleep(20 * time.Minute)
				second, err := z.refresh(first.tokens.RefreshToken)
				if err != nil {
					t.Fatal(err)
				}
				z.proven(second.IDTokenClaims, signedIn)
				if second.AccessToken == first.tokens.AccessToken || second.RefreshToken == first.tokens.RefreshToken {
					t.Error("the tokens are the old ones")
				}
				info := func() error {
					_, err := rp.Userinfo[*oidc.UserInfo](t.Context(), second.AccessToken, second.TokenType, "sub-alice", z.rp)
					return err
				}
				if err := info(); err != nil {
					t.Errorf("userinfo: %v", err)
				}

				if err := rp.RevokeToken(t.Context(), z.rp, second.RefreshToken, "refresh_token"); err != nil {
					t.Fatal(err)
				}
				var refused *oidc.Error
				if _, err := z.refresh(second.RefreshToken); !errors.As(err, &refused) || refused.ErrorType != oidc.InvalidGrant {
					t.Errorf("a revoked token: %v", err)
				}
				if err := info(); err == nil {
					t.Error("userinfo answers a revoked token")
				}
			})
		})
	}
}

// PA-5, OA-7: what is refused reaches the package's own error handler, in its
// own terms and without a login.
func TestZitadelHearsOfARefusal(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		_, logins := s.zitadel(provider.Client{ID: "web", Type: provider.Web, Secrets: []provider.Hash{hash(appSecret)}}, appSecret, oauth2.AuthStyleInHeader)
		b := s.browser
		b.open("https://web.example/login")
		b.submit("cancel")
		b.at("", http.StatusInternalServerError)
		if !strings.HasPrefix(b.page.body, "access_denied: ") {
			t.Errorf("the app says %q", b.page.body)
		}
		if len(logins) > 0 {
			t.Error("someone is signed in")
		}
	})
}

// A service and an API, by the same library: one gets a token for itself, the
// other asks what a token says (RFC 7662).
func TestZitadelGetsATokenForItselfAndIntrospectsOne(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.register(service)
		s.register(api)
		web := &http.Client{Transport: s.net}
		robot, err := rp.NewRelyingPartyOIDC(t.Context(), issuer, service.ID, appSecret, "", []string{"jobs"}, rp.WithHTTPClient(web))
		if err != nil {
			t.Fatal(err)
		}
		token, err := rp.ClientCredentials(t.Context(), robot, nil)
		if err != nil {
			t.Fatal(err)
		}
		reports, err := rs.NewResourceServerClientCredentials(t.Context(), issuer, api.ID, appSecret, rs.WithClient(web))
		if err != nil {
			t.Fatal(err)
		}
		says := func(token string) *oidc.IntrospectionResponse {
			t.Helper()
			said, err := rs.Introspect[*oidc.IntrospectionResponse](t.Context(), reports, token)
			if err != nil {
				t.Fatal(err)
			}
			return said
		}
		if got := says(token.AccessToken); !got.Active || got.Subject != service.ID || got.ClientID != service.ID || !slices.Equal(got.Scope, []string{"jobs"}) {
			t.Errorf("introspection says %s", describe(got))
		}
		time.Sleep(time.Hour)
		if got := says(token.AccessToken); got.Active {
			t.Errorf("introspection of an expired token says %s", describe(got))
		}
	})
}
