package test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"testing"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

// giving is a client of ours that is registered for claims.
func giving(claims ...provider.ExtraClaim) provider.Client {
	return provider.Client{ID: "given", Name: "Given", Type: provider.SPA, FirstParty: true, RedirectURIs: []string{appURL}, Claims: claims}
}

// askingFor is a request of that client for these scopes.
func askingFor(scope string) url.Values {
	return with(with(authorization(), "client_id", "given"), "scope", scope)
}

// accessClaims returns what an access token says of its user.
func accessClaims(t *testing.T, token string) map[string]any {
	t.Helper()
	c := userClaims(t, token)
	for _, name := range []string{"jti", "client_id", "scope"} {
		delete(c, name)
	}
	return c
}

// What a client is registered for is given where the registration says, of what
// is known of the user now; nothing of it is asked for.
func TestARegisteredClaimGoesWhereItIsSentTo(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		s.people.change("alice", func(u *provider.User) {
			u.Claims.Attributes = map[string]any{"department": "R&D", "badge": 17, "desks": []string{"a"}, "email": "not@this.example", "nickname": "nor this"}
		})
		type m = map[string]any
		constant := json.RawMessage(`{"role":"user","ids":[1,2]}`)
		for name, is := range map[string]struct {
			claims                    []provider.ExtraClaim
			idToken, userinfo, access m
		}{
			"groups":              {[]provider.ExtraClaim{{Name: "groups"}}, m{"groups": []any{"staff"}}, m{"groups": []any{"staff"}}, nil},
			"by another name":     {[]provider.ExtraClaim{{Name: "username", From: "preferred_username"}}, m{"username": "alice"}, m{"username": "alice"}, nil},
			"in the ID token":     {[]provider.ExtraClaim{{Name: "name", In: []string{"id_token"}}}, m{"name": "Alice Example"}, nil, nil},
			"in userinfo":         {[]provider.ExtraClaim{{Name: "name", In: []string{"userinfo"}}}, nil, m{"name": "Alice Example"}, nil},
			"in the access token": {[]provider.ExtraClaim{{Name: "groups", In: []string{"access_token"}}}, nil, nil, m{"groups": []any{"staff"}}},
			"everywhere":          {[]provider.ExtraClaim{{Name: "badge", In: provider.Places}}, m{"badge": 17.0}, m{"badge": 17.0}, m{"badge": 17.0}},
			"an attribute":        {[]provider.ExtraClaim{{Name: "dept", From: "department"}, {Name: "desks"}}, m{"dept": "R&D", "desks": []any{"a"}}, m{"dept": "R&D", "desks": []any{"a"}}, nil},
			"a constant":          {[]provider.ExtraClaim{{Name: "https://x.example/claims", Value: constant}}, m{"https://x.example/claims": m{"role": "user", "ids": []any{1.0, 2.0}}}, m{"https://x.example/claims": m{"role": "user", "ids": []any{1.0, 2.0}}}, nil},
			"in place of a claim": {[]provider.ExtraClaim{{Name: "email", Value: json.RawMessage(`"x@example.org"`)}}, m{"email": "x@example.org"}, m{"email": "x@example.org"}, nil},
			"when it was changed": {[]provider.ExtraClaim{{Name: "changed", From: "updated_at"}}, m{"changed": 1.7e9}, m{"changed": 1.7e9}, nil},
			"what is not there":   {[]provider.ExtraClaim{{Name: "phone_number"}, {Name: "shoe_size"}}, nil, nil, nil},
			"an attribute's disguise": {[]provider.ExtraClaim{{Name: "mail", From: "email"}, {Name: "nick", From: "nickname"}, {Name: "all", From: "attributes"}},
				m{"mail": "alice@example.org"}, m{"mail": "alice@example.org"}, nil},
		} {
			s.register(giving(is.claims...))
			s.register(func() provider.Client { c := giving(is.claims...); c.ID, c.OpaqueTokens = "opaque", true; return c }())
			tokens := ask(t, s, send(t, "/token", with(exchange(s.code(askingFor("openid offline_access"))), "client_id", "given")))
			for _, when := range []string{"at first", "after a refresh"} {
				info := s.userinfo(tokens.text(t, "access_token")).json(t)
				delete(info, "sub")
				for place, got := range map[string]m{
					"id_token": userClaims(t, tokens.text(t, "id_token")), "userinfo": info, "access_token": accessClaims(t, tokens.text(t, "access_token")),
				} {
					want := map[string]m{"id_token": is.idToken, "userinfo": is.userinfo, "access_token": is.access}[place]
					if len(got)+len(want) > 0 && !equal(got, want) {
						t.Errorf("%s, %s, %s: got %v, want %v", name, place, when, got, want)
					}
				}
				tokens = ask(t, s, send(t, "/token", with(refresh(tokens.text(t, "refresh_token")), "client_id", "given")))
			}
			opaque := ask(t, s, send(t, "/token", with(exchange(s.code(with(askingFor("openid"), "client_id", "opaque"))), "client_id", "opaque")))
			if got := userClaims(t, opaque.text(t, "id_token")); len(got)+len(is.idToken) > 0 && !equal(got, is.idToken) {
				t.Errorf("%s, beside an opaque token: got %v, want %v", name, got, is.idToken)
			}
		}
		// Without openid there are neither ID token nor userinfo; an API's token
		// is one all the same.
		s.register(giving(provider.ExtraClaim{Name: "badge", In: provider.Places}))
		tokens := ask(t, s, send(t, "/token", with(exchange(s.code(askingFor("profile"))), "client_id", "given")))
		if tokens.json(t)["id_token"] != nil || !equal(accessClaims(t, tokens.text(t, "access_token")), map[string]any{"badge": 17.0}) {
			t.Errorf("without openid: %v", tokens.json(t))
		}
	})
}

// reservedNames are what tokens say of themselves, in ours and elsewhere.
var reservedNames = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "typ", "sid", "client_id", "azp", "scope", "scp",
	"auth_time", "acr", "amr", "nonce", "at_hash", "c_hash", "s_hash", "cnf", "events", "act", "may_act",
	"authorization_details", "sub_id", "_claim_names", "_claim_sources",
}

// TK-2: what a token says of itself comes from what happened, whatever a client
// is registered for and a directory knows; also where the token says nothing.
func TestNoClaimTakesThePlaceOfWhatATokenSaysOfItself(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		evil := map[string]any{}
		var named, constant, constantOnce []provider.ExtraClaim
		for _, name := range reservedNames {
			evil[name] = "evil"
			named = append(named, provider.ExtraClaim{Name: name, In: provider.Places})
			constant = append(constant, provider.ExtraClaim{Name: name, Value: json.RawMessage(`"evil"`), In: provider.Places})
			constantOnce = append(constantOnce, provider.ExtraClaim{Name: "x-" + name, From: name, In: provider.Places})
		}
		s.people.change("alice", func(u *provider.User) { u.Claims.Attributes = evil })
		names := func(claims []provider.ExtraClaim, signed string) (all []map[string]any) {
			t.Helper()
			c := giving(claims...)
			c.UserinfoAlgorithm = signed
			s.register(c)
			v := with(askingFor("openid"), "nonce")
			tokens := ask(t, s, send(t, "/token", with(exchange(s.code(v)), "client_id", "given")))
			info := s.userinfo(tokens.text(t, "access_token"))
			all = []map[string]any{claimsOf(t, tokens.text(t, "id_token")), claimsOf(t, tokens.text(t, "access_token"))}
			if signed != "" {
				return append(all, claimsOf(t, info.body))
			}
			return append(all, info.json(t))
		}
		for _, signed := range []string{"", "RS256"} {
			plain := names(nil, signed)
			for what, claims := range map[string][]provider.ExtraClaim{"attributes": named, "constants": constant, "renamed": constantOnce} {
				for i, got := range names(claims, signed) {
					for name := range plain[i] {
						if got[name] == "evil" {
							t.Errorf("%s in place %d: %s is not what happened", what, i, name)
						}
						delete(got, name)
					}
					if len(got) > 0 {
						t.Errorf("%s in place %d: %v more", what, i, got)
					}
				}
			}
		}
	})
}

// OA-14, SU-1, OA-6: a claim that a client is registered for needs the consent
// and the floor of its scope as if the scope had been asked for, also when the
// registration came later; one that no scope stands for does not.
func TestARegisteredClaimIsNotHadForLessThanItsScope(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn, plan{provider: func(c *provider.Config) {
			c.Ladder, c.Floor = nil, "pwd"
			c.ScopeFloors = map[string]authflow.Floor{"phone": {Level: "mfa"}}
		}})
		s.people.change("alice", func(u *provider.User) { u.Claims.Attributes = map[string]any{"department": "R&D"} })
		cookies := s.browser.cookies()
		silent := func(v url.Values, cookies string) string {
			return ask(t, s, get(t, "/authorize?"+with(v, "prompt", "none").Encode(), "Cookie", cookies)).says()
		}
		asked := func(claims ...provider.ExtraClaim) provider.Client {
			c := giving(claims...)
			c.FirstParty = false
			return c
		}
		s.register(asked())
		s.allow("sub-alice", "given", "openid", "offline_access")
		tokens := ask(t, s, send(t, "/token", with(exchange(s.code(askingFor("openid offline_access"))), "client_id", "given")))

		mail := provider.ExtraClaim{Name: "mail", From: "email"}
		s.register(asked(mail, provider.ExtraClaim{Name: "department"}, provider.ExtraClaim{Name: "const", Value: json.RawMessage("1")}))
		if got := silent(askingFor("openid"), cookies); got != "→app consent_required" {
			t.Errorf("silently: %s", got)
		}
		// Of what was granted before nothing more is told, and no more given.
		if a := s.userinfo(tokens.text(t, "access_token")); a.says() != "401 invalid_token" {
			t.Errorf("userinfo, before it was allowed: %s %s", a.says(), a.body)
		}
		again := with(refresh(tokens.text(t, "refresh_token")), "client_id", "given")
		if a := ask(t, s, send(t, "/token", again)); a.says() != "400 invalid_grant" {
			t.Errorf("a refresh, before it was allowed: %s", a.says())
		}
		s.browser.open(issuer + "/authorize?" + askingFor("openid offline_access").Encode())
		s.browser.at("consent", http.StatusOK)
		if !s.browser.page.says("scope.email") || s.browser.page.says("scope.phone") || s.browser.page.says("scope.profile") {
			t.Errorf("the page says %s", s.browser.page.text())
		}
		s.browser.submit("consent", "decision", "allow")
		bought := ask(t, s, send(t, "/token", with(exchange(s.browser.page.url.Query().Get("code")), "client_id", "given")))
		want := map[string]any{"mail": "alice@example.org", "department": "R&D", "const": 1.0}
		if got := userClaims(t, bought.text(t, "id_token")); !equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if bought.text(t, "scope") != "openid offline_access" {
			t.Errorf("scope %q: a claim is no scope", bought.text(t, "scope"))
		}
		if a := s.userinfo(tokens.text(t, "access_token")); a.status != http.StatusOK || a.text(t, "mail") == "" {
			t.Errorf("userinfo, allowed: %s", a.says())
		}
		if a := ask(t, s, send(t, "/token", again)); a.status != http.StatusOK {
			t.Errorf("a refresh, allowed: %s", a.says())
		}
		// A constant in the place of a claim tells nothing of the user.
		s.register(asked(mail, provider.ExtraClaim{Name: "phone_number", Value: json.RawMessage(`"+1"`)}))
		if got := silent(askingFor("openid"), cookies); got != "→app code" {
			t.Errorf("with a constant: %s", got)
		}
		// Nor is anything told where nothing is given.
		s.register(asked(mail, provider.ExtraClaim{Name: "name"}))
		s.allow("sub-alice", "given", "groups")
		for scope, want := range map[string]string{"groups": "→app code", "openid": "→app consent_required"} {
			if got := silent(askingFor(scope), cookies); got != want {
				t.Errorf("%s: %s, want %s", scope, got, want)
			}
		}
		s.register(asked(mail, provider.ExtraClaim{Name: "name", In: []string{"access_token"}}))
		if got := silent(askingFor("groups"), cookies); got != "→app consent_required" {
			t.Errorf("in the access token, without openid: %s", got)
		}
		// The floor of phone: bob has a password only.
		bob := newBrowser(t, s.net)
		s.register(giving())
		bob.open(issuer + "/authorize?" + askingFor("openid").Encode())
		bob.password("bob")
		for want, claims := range map[string][]provider.ExtraClaim{
			"→app code": {mail}, "→app interaction_required": {{Name: "tel", From: "phone_number"}},
		} {
			s.register(giving(claims...))
			if got := silent(askingFor("openid"), bob.cookies()); got != want {
				t.Errorf("bob, %v: %s, want %s", claims, got, want)
			}
		}
	})
}

// A claim that was asked for by name or scope and is registered, too, is there
// once, as it is registered; what was asked for besides stays.
func TestRegisteredAndRequestedClaimsGoTogether(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		s.register(giving(provider.ExtraClaim{Name: "name", From: "email"}, provider.ExtraClaim{Name: "groups"}))
		v := with(askingFor("openid profile"), "claims", `{"id_token":{"name":null,"email":null}}`)
		tokens := ask(t, s, send(t, "/token", with(exchange(s.code(v)), "client_id", "given")))
		want := map[string]any{"name": "alice@example.org", "email": "alice@example.org", "groups": []any{"staff"}}
		if got := userClaims(t, tokens.text(t, "id_token")); !equal(got, want) {
			t.Errorf("ID token: got %v, want %v", got, want)
		}
		want = map[string]any{"sub": "sub-alice", "name": "alice@example.org", "groups": []any{"staff"}}
		maps.Copy(want, map[string]any{"preferred_username": "alice", "updated_at": 1.7e9})
		if got := s.userinfo(tokens.text(t, "access_token")).json(t); !equal(got, want) {
			t.Errorf("userinfo: got %v, want %v", got, want)
		}
	})
}
