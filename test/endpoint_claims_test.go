package test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

// claiming is a request of the app for nothing but openid, with claims.
func claiming(claims string) url.Values {
	return with(with(authorization(), "scope", "openid"), "claims", claims)
}

// userClaims returns what an ID token says of its user, beyond who it is.
func userClaims(t *testing.T, token string) map[string]any {
	t.Helper()
	c := claimsOf(t, token)
	maps.DeleteFunc(c, func(name string, _ any) bool {
		return slices.Contains([]string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash"}, name)
	})
	return c
}

// OpenID Connect Core section 5.5: what is asked for by name is given where it
// is asked for, and nowhere else; what is not known is ignored.
func TestClaimsAreGivenWhereTheyAreAskedFor(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		for claims, is := range map[string]struct{ userinfo, idToken map[string]any }{
			`{"userinfo":{"name":{"essential":true}}}`:         {map[string]any{"name": "Alice Example"}, nil},
			`{"id_token":{"name":null}}`:                       {nil, map[string]any{"name": "Alice Example"}},
			`{"userinfo":{"email":null,"updated_at":{}}}`:      {map[string]any{"email": "alice@example.org", "updated_at": 1.7e9}, nil},
			`{"id_token":{"email_verified":null}}`:             {nil, map[string]any{"email_verified": true}},
			`{"id_token":{"groups":{"value":"nobody's"}}}`:     {nil, map[string]any{"groups": []any{"staff"}}}, // a value is not a filter
			`{"userinfo":{"phone_number":{"essential":true}}}`: {},                                              // she has none: no error (section 5.5.1)
			`{"userinfo":{"shoe_size":null,"":{},"EMAIL":null,"password":null},"else":{"name":null},"id_token":null}`:     {},
			`{"id_token":{"iss":null,"exp":{"value":1},"auth_time":{"essential":true},"acr":null,"sub":null,"sid":null}}`: {},
			`{"userinfo":{"preferred_username":null},"id_token":{"nickname":null}}`:                                       {map[string]any{"preferred_username": "alice"}, nil},
			`null`: {},
			`{}`:   {},
		} {
			tokens := s.tokens(claiming(claims))
			want := map[string]any{"sub": "sub-alice"}
			maps.Copy(want, is.userinfo)
			if got := s.userinfo(tokens.text(t, "access_token")).json(t); !equal(got, want) {
				t.Errorf("%s: userinfo %v, want %v", claims, got, want)
			}
			if got := userClaims(t, tokens.text(t, "id_token")); len(got)+len(is.idToken) > 0 && !equal(got, is.idToken) {
				t.Errorf("%s: ID token %v, want %v", claims, got, is.idToken)
			}
			if got := claimsOf(t, tokens.text(t, "id_token")); got["iss"] != issuer || got["sub"] != "sub-alice" || got["exp"] == float64(1) {
				t.Errorf("%s: the token does not say of itself what it did: %v", claims, got)
			}
		}
		// Both ways at once, and not into the access token.
		tokens := s.tokens(with(claiming(`{"id_token":{"name":null}}`), "scope", "openid email"))
		if got := s.userinfo(tokens.text(t, "access_token")).json(t); got["email"] == nil || got["name"] != nil {
			t.Errorf("got %v", got)
		}
		if got := claimsOf(t, tokens.text(t, "access_token")); got["name"] != nil || got["email"] != nil {
			t.Errorf("the access token says %v", got)
		}
		// Without openid there is nothing that they could be in.
		tokens = s.tokens(with(claiming(`{"userinfo":{"name":null},"id_token":{"name":null}}`), "scope", "profile"))
		if tokens.json(t)["id_token"] != nil {
			t.Error("an ID token without openid")
		}
	})
}

// The refreshed ID token says what the first one said, of now.
func TestClaimsOfAnIDTokenAreThereAfterARefresh(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		tokens := s.tokens(with(claiming(`{"id_token":{"email":null},"userinfo":{"name":null}}`), "scope", "openid offline_access"))
		s.people.change("alice", func(u *provider.User) { u.Claims.Email = "new@example.org" })
		for range 2 {
			tokens = s.trade(refresh(tokens.text(t, "refresh_token")))
			if got := userClaims(t, tokens.text(t, "id_token")); !equal(got, map[string]any{"email": "new@example.org"}) {
				t.Errorf("got %v", got)
			}
			if got := s.userinfo(tokens.text(t, "access_token")).text(t, "name"); got != "Alice Example" {
				t.Errorf("got %q", got)
			}
		}
		// A refresh needs the consent of their scopes too (OA-6): this client was
		// first-party when the grant was made, and is not any more.
		other := provider.Client{ID: "other", Type: provider.SPA, RedirectURIs: []string{appURL}, FirstParty: true}
		s.register(other)
		v := with(with(claiming(`{"id_token":{"email":null}}`), "scope", "openid offline_access"), "client_id", "other")
		tokens = ask(t, s, send(t, "/token", with(exchange(s.code(v)), "client_id", "other")))
		other.FirstParty = false
		s.register(other)
		again := with(refresh(tokens.text(t, "refresh_token")), "client_id", "other")
		s.allow("sub-alice", "other", "openid", "offline_access")
		if a := ask(t, s, send(t, "/token", again)); a.says() != "400 invalid_grant" {
			t.Errorf("without the consent: %s", a.says())
		}
		s.allow("sub-alice", "other", "email")
		if a := ask(t, s, send(t, "/token", again)); a.status != http.StatusOK {
			t.Errorf("with it: %s", a.says())
		}
	})
}

// OA-14: a claim asked for by name needs the consent of its scope, and the
// page says so in words; a floor of the scope is one of its claims (SU-1).
func TestAClaimIsNotHadForLessThanItsScope(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn, plan{provider: func(c *provider.Config) {
			c.Ladder, c.Floor = nil, "pwd"
			c.ScopeFloors = map[string]authflow.Floor{"phone": {Level: "mfa"}}
		}})
		s.register(provider.Client{ID: "new", Name: "New", Type: provider.SPA, RedirectURIs: []string{appURL},
			Scopes: []string{"openid", "profile", "email", "phone"}})
		s.allow("sub-alice", "new", "openid", "profile")
		v := with(claiming(`{"userinfo":{"email":null},"id_token":{"name":null}}`), "client_id", "new")
		cookies := s.browser.cookies()
		if a := ask(t, s, get(t, "/authorize?"+with(v, "prompt", "none").Encode(), "Cookie", cookies)); a.says() != "→app consent_required" {
			t.Errorf("silently: %s", a.says())
		}
		s.browser.open(issuer + "/authorize?" + v.Encode())
		s.browser.at("consent", http.StatusOK)
		if !s.browser.page.says("scope.email") || !s.browser.page.says("scope.profile") || s.browser.page.says("scope.phone") {
			t.Errorf("the page says %s", s.browser.page.text())
		}
		s.browser.submit("consent", "decision", "allow")
		code := s.browser.page.url.Query().Get("code")
		tokens := ask(t, s, send(t, "/token", with(exchange(code), "client_id", "new")))
		want := map[string]any{"sub": "sub-alice", "email": "alice@example.org"}
		if got := s.userinfo(tokens.text(t, "access_token")).json(t); !equal(got, want) {
			t.Errorf("userinfo %v, want %v", got, want)
		}
		if tokens.text(t, "scope") != "openid" {
			t.Errorf("scope %q: a claim is no scope", tokens.text(t, "scope"))
		}
		// Remembered: it is not asked again.
		if a := ask(t, s, get(t, "/authorize?"+with(v, "prompt", "none").Encode(), "Cookie", cookies)); a.says() != "→app code" {
			t.Errorf("asked again: %s", a.says())
		}
		// What the client may not ask for by scope it does not get by name.
		s.register(provider.Client{ID: "few", Type: provider.SPA, RedirectURIs: []string{appURL}, Scopes: []string{"openid"}, FirstParty: true})
		v = with(claiming(`{"userinfo":{"email":{"essential":true}},"id_token":{"name":null}}`), "client_id", "few")
		tokens = ask(t, s, send(t, "/token", with(exchange(s.code(v)), "client_id", "few")))
		if got := s.userinfo(tokens.text(t, "access_token")).json(t); len(got) != 1 {
			t.Errorf("not registered for it: %v", got)
		}
		if got := userClaims(t, tokens.text(t, "id_token")); len(got) != 0 {
			t.Errorf("not registered for it: %v", got)
		}
		// The floor of phone: bob has a password only.
		s.register(provider.Client{ID: "low", Type: provider.SPA, RedirectURIs: []string{appURL}, FirstParty: true})
		bob := newBrowser(t, s.net)
		bob.open(issuer + "/authorize?" + with(claiming(""), "client_id", "low").Encode())
		bob.password("bob")
		for claims, want := range map[string]string{
			`{"userinfo":{"email":null}}`:        "→app code",
			`{"id_token":{"phone_number":null}}`: "→app interaction_required",
			`{"userinfo":{"phone_number":null}}`: "→app interaction_required",
		} {
			v := with(with(claiming(claims), "client_id", "low"), "prompt", "none")
			if a := ask(t, s, get(t, "/authorize?"+v.Encode(), "Cookie", bob.cookies())); a.says() != want {
				t.Errorf("%s: %s, want %s", claims, a.says(), want)
			}
		}
	})
}

// OpenID Connect Core section 5.5.1: a sub with a value is answered about that
// user or not at all. Nobody learns by it what that user is called.
func TestASubWithAValueIsAboutThatUser(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		cookies := s.browser.cookies()
		about := func(sub string) url.Values { return claiming(`{"id_token":{"sub":{"value":"` + sub + `"}}}`) }
		hint := s.tokens(authorization()).text(t, "id_token")
		for name, is := range map[string]struct {
			v    url.Values
			want string
		}{
			"her":                    {about("sub-alice"), "→app code"},
			"her, and a hint of her": {with(about("sub-alice"), "id_token_hint", hint), "→app code"},
			"another":                {about("sub-bob"), accepted},
			"another, silently":      {with(about("sub-bob"), "prompt", "none"), "→app login_required"},
			"another in userinfo":    {with(with(about(""), "claims", `{"userinfo":{"sub":{"value":"sub-bob"}}}`), "prompt", "none"), "→app login_required"},
			"another than the hint":  {with(about("sub-bob"), "id_token_hint", hint), invalid},
			"two":                    {with(about(""), "claims", `{"id_token":{"sub":{"value":"sub-alice"}},"userinfo":{"sub":{"value":"sub-bob"}}}`), invalid},
			"nobody":                 {about(""), invalid},
			"a number":               {with(about(""), "claims", `{"id_token":{"sub":{"value":1}}}`), invalid},
			"anyone":                 {with(about(""), "claims", `{"id_token":{"sub":{"essential":true}}}`), "→app code"},
		} {
			a := ask(t, s, get(t, "/authorize?"+is.v.Encode(), "Cookie", cookies))
			if a.says() != is.want {
				t.Errorf("%s: %s, want %s", name, a.says(), is.want)
			}
		}
		for _, b := range []*browser{newBrowser(t, s.net), s.browser} {
			s.people.change("bob", func(u *provider.User) { u.Username = "a-name-to-be-learned" })
			b.open(issuer + "/authorize?" + about("sub-bob").Encode())
			b.at("password", http.StatusOK)
			if strings.Contains(b.page.body, "a-name-to-be-learned") || strings.Contains(b.page.body, "sub-bob") {
				t.Errorf("the page tells whose subject it is:\n%s", b.page.body)
			}
			// Nor does another account take that user's place.
			if b.page.form("switch") != nil {
				t.Error("the page offers another account")
			}
			page := b.page
			b.do(post(t, page.url.String(), url.Values{"step": {"switch"}}))
			b.password("alice")
			b.ended("denied")
		}
	})
}
