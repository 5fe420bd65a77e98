package test

import (
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/sallyport-id/sallyport/provider"
)

// TK-2, OA-6. A relying party that we did not write: coreos/go-oidc over
// x/oauth2, as a web app, a single-page app and a native app. The other stories
// sign in by it too; here it is asked for all that it does: discovery, login,
// userinfo, refreshing by itself when a token has expired, and an end.
func TestGoOIDCSignsInAsksAndRefreshesByItself(t *testing.T) {
	for _, kind := range []struct {
		client provider.Client
		secret string
	}{
		{provider.Client{ID: "web", Type: provider.Web, Secrets: []provider.Hash{hash(appSecret)}}, appSecret},
		{provider.Client{ID: "spa", Type: provider.SPA, Algorithm: "ES256"}, ""},
		{provider.Client{ID: "native", Type: provider.Native, OpaqueTokens: true}, ""},
	} {
		t.Run(kind.client.ID, func(t *testing.T) {
			story(t, func(t *testing.T, dsn string) {
				s := newStage(t, dsn)
				kind.client.RedirectURIs = []string{appURL}
				s.register(kind.client)
				a := newApp(t, s.net, kind.client.ID, kind.secret)
				a.config.Scopes = append(a.config.Scopes, oidc.ScopeOfflineAccess)
				phone, b := s.enrolled("alice"), s.browser
				signedIn := now()
				b.open(a.request("acr_values", "mfa"))
				b.login("alice", phone)
				b.submit("consent", "decision", "allow")
				first := a.callback(b.page)
				first.proven(t, "mfa", signedIn, "pwd", "otp")

				// What the library does with a token that has expired is its own affair.
				source := a.config.TokenSource(a.ctx, first.token)
				info := func() (*oidc.UserInfo, error) { return a.provider.UserInfo(a.ctx, source) }
				learned := func() {
					t.Helper()
					of, err := info()
					if err != nil {
						t.Fatal(err)
					}
					var more struct{ Groups []string }
					if err := of.Claims(&more); err != nil || of.Subject != "sub-alice" || of.Email != "alice@example.org" || !of.EmailVerified {
						t.Errorf("the app learned %+v, %v", of, err)
					}
					same(t, "groups", more.Groups, []string{"staff"})
				}
				learned()
				time.Sleep(time.Hour)
				learned()
				second, err := source.Token()
				if err != nil {
					t.Fatal(err)
				}
				if second.AccessToken == first.token.AccessToken || second.RefreshToken == first.token.RefreshToken {
					t.Error("the tokens are the old ones")
				}
				again := a.identity(second)
				again.proven(t, "mfa", signedIn, "pwd", "otp")

				// Disabled, alice's tokens end at once.
				s.people.change("alice", func(u *provider.User) { u.Disabled = true })
				if _, err := info(); err == nil {
					t.Error("userinfo answers for someone who is disabled")
				}
				if _, err := a.refresh(second); refusal(err) != "invalid_grant" {
					t.Errorf("refreshing for someone who is disabled: %v", err)
				}
			})
		})
	}
}
