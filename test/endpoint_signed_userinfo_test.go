package test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/sallyport-id/sallyport/provider"
)

// OpenID Connect Core section 5.3.2. The judge of the signature is go-oidc, with
// the published keys.
func TestUserinfoIsSignedForWhoIsRegisteredForIt(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		for _, c := range []provider.Client{
			{ID: "rs", UserinfoAlgorithm: "RS256"}, {ID: "es", UserinfoAlgorithm: "ES256"},
			{ID: "other", Algorithm: "ES256", UserinfoAlgorithm: "RS256", OpaqueTokens: true},
			{ID: "masked", UserinfoAlgorithm: "ES256", Pairwise: true},
		} {
			c.Type, c.FirstParty, c.RedirectURIs = provider.SPA, true, []string{appURL}
			s.register(c)
			v := with(claiming(`{"userinfo":{"name":null}}`), "client_id", c.ID)
			v.Set("scope", "openid email")
			tokens := ask(t, s, send(t, "/token", with(exchange(s.code(v)), "client_id", c.ID)))
			access, sub := tokens.text(t, "access_token"), claimsOf(t, tokens.text(t, "id_token"))["sub"]
			for _, r := range []*http.Request{get(t, "/userinfo", "Authorization", "Bearer "+access), send(t, "/userinfo", map[string][]string{"access_token": {access}})} {
				a := ask(t, s, r)
				if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/jwt" || a.header.Get("Cache-Control") != "no-store" {
					t.Fatalf("%s: %d %v", c.ID, a.status, a.header)
				}
				alg := c.UserinfoAlgorithm
				if h := headerOf(t, a.body); !equal(h, map[string]any{"alg": alg, "kid": key(t, alg).ID, "typ": "userinfo+jwt"}) {
					t.Errorf("%s: the header is %v", c.ID, h)
				}
				want := map[string]any{"iss": issuer, "aud": c.ID, "sub": sub,
					"email": "alice@example.org", "email_verified": true, "name": "Alice Example"}
				if got := claimsOf(t, a.body); !equal(got, want) {
					t.Errorf("%s: got %v, want %v", c.ID, got, want)
				}
			}
			info, err := s.app.provider.UserInfo(s.app.ctx, oauth2.StaticTokenSource(&oauth2.Token{AccessToken: access}))
			if err != nil || info.Subject != sub || info.Email != "alice@example.org" {
				t.Errorf("%s: a relying party sees %+v, %v", c.ID, info, err)
			}
			// A refusal is one of RFC 6750 all the same.
			bad := s.userinfo(access + "x")
			if bad.says() != "401 invalid_token" || !strings.HasPrefix(bad.header.Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("%s, a bad token: %s %v", c.ID, bad.says(), bad.header)
			}
		}
		// A key that is not there is a fault of ours, and nothing goes unsigned.
		s.register(provider.Client{ID: "none", Type: provider.SPA, FirstParty: true, RedirectURIs: []string{appURL}, UserinfoAlgorithm: "none"})
		tokens := ask(t, s, send(t, "/token", with(exchange(s.code(with(authorization(), "client_id", "none"))), "client_id", "none")))
		if a := s.userinfo(tokens.text(t, "access_token")); a.says() != "500 server_error" || strings.Contains(a.body, "alice") {
			t.Errorf("unsigned: %s %s", a.says(), a.body)
		}
	})
}

// TK-3: signed userinfo is neither a hint nor, under whatever type, anything
// else; nor is anything else with its type.
func TestSignedUserinfoPassesForNothingElse(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		s.register(provider.Client{ID: "web", Type: provider.SPA, FirstParty: true, RedirectURIs: []string{appURL}, UserinfoAlgorithm: "RS256"})
		tokens := ask(t, s, send(t, "/token", with(exchange(s.code(with(offline(), "client_id", "web"))), "client_id", "web")))
		access, id := tokens.text(t, "access_token"), tokens.text(t, "id_token")
		info := s.userinfo(access).body
		hinting := func(hint string) string {
			v := with(with(authorization(), "client_id", "web"), "id_token_hint", hint)
			return ask(t, s, get(t, "/authorize?"+v.Encode(), "Cookie", s.browser.cookies())).says()
		}
		if got := hinting(id); got != "→app code" {
			t.Fatalf("an ID token as a hint: %s", got)
		}
		for name, hint := range map[string]string{
			"signed userinfo":          info,
			"an ID token of its type":  mint(t, but(headerOf(t, id), "typ", "userinfo+jwt"), claimsOf(t, id)),
			"an ID token, logout+jwt":  mint(t, but(headerOf(t, id), "typ", "logout+jwt"), claimsOf(t, id)),
			"an ID token without type": mint(t, but(headerOf(t, id), "typ", nil), claimsOf(t, id)),
		} {
			if got := hinting(hint); got != invalid {
				t.Errorf("%s as a hint: %s, want %s", name, got, invalid)
			}
		}
		for name, token := range map[string]string{
			"signed userinfo":             info,
			"signed userinfo, at+jwt":     mint(t, but(headerOf(t, info), "typ", "at+jwt"), claimsOf(t, info)),
			"an access token of its type": mint(t, but(headerOf(t, access), "typ", "userinfo+jwt"), claimsOf(t, access)),
		} {
			if a := s.userinfo(token); a.says() != "401 invalid_token" {
				t.Errorf("%s opens userinfo: %s", name, a.says())
			}
		}
		// go-oidc, which looks at no typ, misses an exp.
		if _, err := s.app.provider.Verifier(&oidc.Config{ClientID: "web"}).Verify(s.app.ctx, info); err == nil {
			t.Error("a relying party takes it for an ID token")
		}
	})
}
