package test

import (
	"net/http"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

// TK-3: nothing that we hand out authenticates a client, though it register our
// own keys as its own, and call itself by our name.
func TestATokenIsNoAssertion(t *testing.T) {
	short := plan{provider: func(c *provider.Config) {
		c.Lifetimes.AccessToken, c.Lifetimes.IDToken = 2*time.Minute, 2*time.Minute
	}}
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn, short)
		ours := ask(t, s, get(t, "/jwks.json")).body
		for _, c := range []provider.Client{
			{ID: issuer, GrantTypes: []string{"client_credentials"}, Scopes: []string{"jobs"}},
			{ID: "sub-alice"}, {ID: "ours"},
		} {
			c.Type, c.Keys, c.Introspects, c.RedirectURIs, c.FirstParty = provider.Web, []byte(ours), true, []string{appURL}, true
			s.register(c)
		}
		s.register(opaqueClient)
		k := key(t, "ES256")
		own := func(claims map[string]any) string {
			return mint(t, map[string]any{"alg": "ES256", "kid": k.ID}, claims)
		}
		tokens := s.tokens(offline())
		opaque := ask(t, s, send(t, "/token", with(exchange(s.code(with(authorization(), "client_id", "opaque"))), "client_id", "opaque"))).text(t, "access_token")
		itself := ask(t, s, send(t, "/token", both(asking["/token"], asserted(own(aboutItself(issuer)))))).text(t, "access_token")
		forOurs := ask(t, s, send(t, "/token", both(exchange(s.code(with(authorization(), "client_id", "ours"))), asserted(own(aboutItself("ours")))))).json(t)
		if itself == "" || forOurs["id_token"] == nil {
			t.Fatalf("no tokens: %v", forOurs)
		}
		// What an access token of a client's own says could be said of itself.
		if c := claimsOf(t, itself); c["iss"] != issuer || c["sub"] != issuer || c["jti"] == nil || c["exp"] == nil {
			t.Fatalf("the token says %v", c)
		}
		about := aboutItself(issuer)
		typed := func(typ string) string {
			return mint(t, map[string]any{"alg": "ES256", "kid": k.ID, "typ": typ}, about)
		}
		for name, token := range map[string]string{
			"an access token":              tokens.text(t, "access_token"),
			"an ID token":                  tokens.text(t, "id_token"),
			"a refresh token":              tokens.text(t, "refresh_token"),
			"an opaque access token":       opaque,
			"a client's own access token":  itself,
			"its ID token":                 forOurs["id_token"].(string),
			"its access token":             forOurs["access_token"].(string),
			"a logout token":               typed("logout+jwt"),
			"a DPoP proof":                 typed("dpop+jwt"),
			"a security event":             typed("secevent+jwt"),
			"signed userinfo":              mint(t, map[string]any{"alg": "ES256", "kid": k.ID, "typ": "JWT"}, map[string]any{"iss": issuer, "sub": "sub-alice", "aud": "ours"}),
			"an introspection, signed":     typed("token-introspection+jwt"),
			"a code":                       s.code(authorization()),
			"the browser's session cookie": s.cookie(t, sessionCookie),
		} {
			for path := range asking {
				if a := ask(t, s, send(t, path, both(asking[path], asserted(token)))); a.says() != unknown {
					t.Errorf("%s at %s: %s, want %s", name, path, a.says(), unknown)
				}
			}
		}
		// So that the above fail for their type and not for their key.
		if a := ask(t, s, send(t, "/token", both(asking["/token"], asserted(own(about))))); a.says() != authenticated {
			t.Errorf("without a type: %s", a.says())
		}
	})
}

// TK-3, the other way: an assertion opens nothing but the door that it is for.
func TestAnAssertionIsNoToken(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		s.register(api)
		k := theKeys()["ES256"]
		// The client has given its key the name of one of ours.
		k.kid = key(t, "ES256").ID
		c := keyed("keyed", jwks(t, k.jwk(t)))
		c.Type, c.RedirectURIs, c.FirstParty = provider.Web, []string{appURL}, true
		c.GrantTypes = []string{"authorization_code", "refresh_token", "client_credentials"}
		c.Scopes = []string{"openid", "profile"}
		s.register(c)
		access := claimsOf(t, s.tokens(authorization()).text(t, "access_token"))
		for name, is := range map[string]struct {
			typ    any
			claims map[string]any
		}{
			"an assertion":            {nil, aboutItself("keyed")},
			"of typ JWT":              {"JWT", aboutItself("keyed")},
			"of its own typ":          {"client-authentication+jwt", aboutItself("keyed")},
			"as an access token":      {"at+jwt", but(access, "client_id", "keyed")},
			"that says what one says": {nil, but(aboutItself("keyed"), "scope", "openid")},
			"as an ID token":          {"JWT", map[string]any{"iss": issuer, "sub": "sub-alice", "aud": "keyed", "exp": fromNow(time.Minute), "iat": fromNow(0)}},
		} {
			token := k.sign(t, "ES256", but(map[string]any{"alg": "ES256", "kid": k.kid}, "typ", is.typ), is.claims)
			if a := s.userinfo(token); a.says() != "401 invalid_token" {
				t.Errorf("%s at /userinfo: %s", name, a.says())
			}
			if a := s.inspect(token); a.body != inactive {
				t.Errorf("%s at /introspect: %s", name, a.body)
			}
			who := func() map[string][]string {
				return asserted(k.sign(t, "ES256", map[string]any{"alg": "ES256", "kid": k.kid}, aboutItself("keyed")))
			}
			if a := ask(t, s, send(t, "/revoke", both(who(), values("token", token)))); a.says() != "200" {
				t.Errorf("%s at /revoke: %s", name, a.says())
			}
			for _, v := range []map[string][]string{exchange(token), refresh(token)} {
				if a := ask(t, s, send(t, "/token", both(v, who()))); a.says() != "400 invalid_grant" {
					t.Errorf("%s as %s: %s", name, v["grant_type"], a.says())
				}
			}
			hinted := with(with(authorization(), "client_id", "keyed"), "id_token_hint", token)
			if a := ask(t, s, get(t, "/authorize?"+hinted.Encode(), "Cookie", s.browser.cookies())); a.says() != "→app invalid_request" {
				t.Errorf("%s as a hint: %s", name, a.says())
			}
		}
		// What the client can do with its key is still to authenticate.
		a := ask(t, s, send(t, "/token", both(values("grant_type", "client_credentials"),
			asserted(k.sign(t, "ES256", map[string]any{"alg": "ES256", "kid": k.kid}, aboutItself("keyed"))))))
		if a.status != http.StatusOK {
			t.Errorf("and as what it is: %s", a.says())
		}
	})
}
