package test

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

// Each parameter of a token request: absent, empty, repeated, too long,
// malformed. OA-3, OA-8; fosite.md 3.9: unknown grant types are
// invalid_request there, repeated parameters are taken by their first value.
func TestEachParameterOfATokenRequest(t *testing.T) {
	const grant, request = "400 invalid_grant", "400 invalid_request"
	long := strings.Repeat("a", 50_000)
	variants := map[string][]variant{
		"grant_type": {
			{"absent", nil, request},
			{"empty", []string{""}, request},
			{"repeated", []string{"authorization_code", "authorization_code"}, request},
			{"unknown", []string{"magic"}, "400 unsupported_grant_type"},
			{"password", []string{"password"}, "400 unsupported_grant_type"},
			{"client_credentials", []string{"client_credentials"}, "400 unauthorized_client"}, // it is not registered for it
			{"two", []string{"authorization_code refresh_token"}, "400 unsupported_grant_type"},
			{"another", []string{"refresh_token"}, request}, // of which there is none
			{"long", []string{long}, "400 unsupported_grant_type"},
			{"odd", []string{"\x00\xff"}, "400 unsupported_grant_type"},
		},
		"code": {
			{"absent", nil, request},
			{"empty", []string{""}, request},
			{"repeated", []string{"a", "b"}, request},
			{"unknown", []string{"AAAAAAAAAAAAAAAAAAAAAA.AAAA"}, grant},
			{"odd", []string{"\x00\xff.\x00"}, grant},
			{"dots", []string{"...."}, grant},
			{"a dot", []string{"."}, grant},
			{"long", []string{long + "." + long[:10_000]}, grant},
		},
		"redirect_uri": { // RFC 6749 section 4.1.3: identical to the one before
			{"absent", nil, grant},
			{"empty", []string{""}, grant},
			{"repeated", []string{appURL, appURL}, request},
			{"another", []string{"https://app.example/other"}, grant},
			{"of another case", []string{"https://APP.example/callback"}, grant},
			{"a slash more", []string{appURL + "/"}, grant},
			{"long", []string{long}, grant},
		},
		"code_verifier": { // fosite.md 3.2
			{"absent", nil, grant},
			{"empty", []string{""}, grant},
			{"repeated", []string{verifier, verifier}, request},
			{"another", []string{strings.Repeat("x", 43)}, grant},
			{"the challenge", []string{challengeOf(verifier)}, grant},
			{"short", []string{verifier[:42]}, grant},
			{"long", []string{verifier + strings.Repeat("x", 100)}, grant},
			{"of other characters", []string{strings.Repeat("!", 43)}, grant},
			{"odd", []string{strings.Repeat("\x00", 43)}, grant},
		},
		"unknown": {
			{"there", []string{"x"}, "200"}, // OA-13
			{"repeated", []string{"x", "y"}, request},
		},
		"scope": {{"more", []string{"openid admin"}, "200"}}, // a code has its scopes already
		"resource": { // nothing was granted to be narrowed
			{"empty", []string{""}, "200"},
			{"empty, repeated", []string{"", ""}, "200"},
			{"registered", []string{calendar}, "400 invalid_target"},
			{"unknown", []string{"https://evil.example"}, "400 invalid_target"},
			{"repeated", []string{calendar, mailbox}, "400 invalid_target"},
			{"odd", []string{"\x00\xff"}, "400 invalid_target"},
			{"long", []string{long}, "400 invalid_target"},
		},
	}
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		for _, name := range slices.Sorted(maps.Keys(variants)) {
			for _, is := range variants[name] {
				code := s.code(authorization())
				a := s.trade(with(exchange(code), name, is.values...))
				if a.says() != is.want {
					t.Errorf("%s %s: %s, want %s", name, is.name, a.says(), is.want)
				}
				if a.status == http.StatusOK {
					continue
				}
				if a.header.Get("Cache-Control") != "no-store" || len(a.json(t)) != 2 || strings.Contains(a.body, "at+jwt") {
					t.Errorf("%s %s: got %v\n%s", name, is.name, a.header, a.body)
				}
				// A mistake has used nothing up: the honest client comes through.
				if a := s.trade(exchange(code)); a.status != http.StatusOK {
					t.Errorf("%s %s: and then all right: %s", name, is.name, a.says())
				}
			}
		}
	})
}

// fosite.md 3.2, upstream #883: one wrong verifier deletes the challenge there,
// and the next request without any verifier passes.
func TestAWrongVerifierDoesNotRemoveTheChallenge(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		s.register(provider.Client{ID: "lax", Type: provider.Web, Secrets: []provider.Hash{hash(appSecret)}, RedirectURIs: []string{appURL}, PKCEOptional: true, FirstParty: true})
		lax := func(v url.Values) reply {
			return ask(t, s, send(t, "/token", v, "Authorization", basic("lax", appSecret)))
		}
		request := with(authorization(), "client_id", "lax")
		code := s.code(request)
		for _, v := range []url.Values{
			with(exchange(code), "code_verifier", strings.Repeat("x", 43)),
			with(exchange(code), "code_verifier"),
			with(exchange(code), "code_verifier", ""),
		} {
			if a := lax(v); a.says() != "400 invalid_grant" {
				t.Errorf("verifier %q: %s, want 400 invalid_grant", v["code_verifier"], a.says())
			}
		}
		if a := lax(exchange(code)); a.status != http.StatusOK {
			t.Errorf("the honest client: %s", a.says())
		}
		// OA-4: without a challenge, which this client may leave out, a verifier
		// is a sign that someone took the challenge away.
		request = with(with(request, "code_challenge"), "code_challenge_method")
		code = s.code(request)
		if a := lax(exchange(code)); a.says() != "400 invalid_grant" {
			t.Errorf("a verifier without a challenge: %s, want 400 invalid_grant", a.says())
		}
		if a := lax(with(exchange(code), "code_verifier")); a.status != http.StatusOK {
			t.Errorf("neither challenge nor verifier: %s", a.says())
		}
		// But a public one may not, nor a method alone.
		s.register(provider.Client{ID: "spa", Type: provider.SPA, RedirectURIs: []string{appURL}, PKCEOptional: true, FirstParty: true})
		if a := ask(t, s, get(t, "/authorize?"+with(request, "client_id", "spa").Encode())); a.says() != invalid {
			t.Errorf("a public client without PKCE: %s, want %s", a.says(), invalid)
		}
		if a := ask(t, s, get(t, "/authorize?"+with(request, "code_challenge_method", "S256").Encode())); a.says() != invalid {
			t.Errorf("a method without a challenge: %s, want %s", a.says(), invalid)
		}
	})
}

// OA-5, RFC 6749 section 4.1.2.
func TestACodeIsGoodOnceAndItsSecondUseRevokesWhatTheFirstBought(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		code := s.code(offline())
		tokens := s.trade(exchange(code))
		access, token := tokens.text(t, "access_token"), tokens.text(t, "refresh_token")
		if a := s.userinfo(access); a.status != http.StatusOK {
			t.Fatalf("userinfo: %s", a.says())
		}
		if a := s.trade(exchange(code)); a.says() != "400 invalid_grant" {
			t.Errorf("the second time: %s, want 400 invalid_grant", a.says())
		}
		if a := s.userinfo(access); a.says() != "401 invalid_token" {
			t.Errorf("userinfo after the reuse: %s, want 401 invalid_token", a.says())
		}
		if a := s.trade(refresh(token)); a.says() != "400 invalid_grant" {
			t.Errorf("refresh after the reuse: %s, want 400 invalid_grant", a.says())
		}
	})
}

// fosite.md 3.1: there, whoever knows half of a used code, or has another
// client's, revokes the grant.
func TestOnlyTheWholeCodeOfItsOwnClientCountsAsReuse(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		s.register(provider.Client{ID: "other", Type: provider.Web, Secrets: []provider.Hash{hash(appSecret)}, RedirectURIs: []string{appURL}})
		other := func(v url.Values) reply {
			return ask(t, s, send(t, "/token", v, "Authorization", basic("other", appSecret)))
		}
		code := s.code(offline())
		if a := other(exchange(code)); a.says() != "400 invalid_grant" { // fresh, by another client
			t.Errorf("another client's fresh code: %s", a.says())
		}
		tokens := s.trade(exchange(code))
		if tokens.status != http.StatusOK {
			t.Fatalf("its own client: %s", tokens.says())
		}
		access, token := tokens.text(t, "access_token"), tokens.text(t, "refresh_token")
		half, rest, _ := strings.Cut(code, ".")
		for name, a := range map[string]reply{
			"the first half":             s.trade(exchange(half)),
			"the first half and a dot":   s.trade(exchange(half + ".")),
			"the first half, forged":     s.trade(exchange(half + "." + strings.Repeat("A", len(rest)))),
			"a character less":           s.trade(exchange(code[:len(code)-1])),
			"a character more":           s.trade(exchange(code + "A")),
			"a part more":                s.trade(exchange(code + ".A")),
			"by another client":          other(exchange(code)),
			"refresh by another client":  other(refresh(token)),
			"refresh, forged":            s.trade(refresh(token[:len(token)-4] + "AAAA")),
			"refresh, another grant":     s.trade(refresh(strings.Replace(token, half, strings.Repeat("A", len(half)), 1))),
			"refresh, a next generation": s.trade(refresh(strings.Replace(token, ".1.", ".2.", 1))),
			"refresh, without its MAC":   s.trade(refresh(token[:strings.LastIndexByte(token, '.')])),
		} {
			if a.says() != "400 invalid_grant" {
				t.Errorf("%s: %s, want 400 invalid_grant", name, a.says())
			}
		}
		if a := s.userinfo(access); a.status != http.StatusOK {
			t.Errorf("and that revoked the access token: %s", a.says())
		}
		second := s.trade(refresh(token))
		if second.status != http.StatusOK {
			t.Errorf("and that revoked the refresh token: %s", second.says())
		}
		// Nor is the first one reuse in another client's hands, now that it is old.
		if a := other(refresh(token)); a.says() != "400 invalid_grant" {
			t.Errorf("an old one by another client: %s", a.says())
		}
		if a := s.trade(refresh(second.text(t, "refresh_token"))); a.status != http.StatusOK {
			t.Errorf("and that revoked the new one: %s", a.says())
		}
	})
}

// OA-5: 60 seconds, at the edge.
func TestACodeExpiresAfterAMinute(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		in, late := s.code(authorization()), s.code(authorization())
		time.Sleep(time.Minute - time.Microsecond)
		if a := s.trade(exchange(in)); a.status != http.StatusOK {
			t.Errorf("in time: %s", a.says())
		}
		time.Sleep(time.Microsecond)
		if a := s.trade(exchange(late)); a.says() != "400 invalid_grant" {
			t.Errorf("too late: %s, want 400 invalid_grant", a.says())
		}
		// A used code is remembered beyond that: its reuse is still reuse.
		if a := s.trade(exchange(in)); a.says() != "400 invalid_grant" {
			t.Errorf("used and expired: %s", a.says())
		}
	})
}

// OA-6, TK-2; fosite.md 3.3: the nonce of a refreshed ID token is taken from
// the body there. 3.4, upstream #774: its access tokens keep the first iat.
func TestARefreshTakesNothingFromItsRequest(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		first := s.tokens(offline())
		time.Sleep(7 * time.Minute)
		v := refresh(first.text(t, "refresh_token"))
		for name, value := range map[string]string{
			"nonce": "injected", "max_age": "1", "prompt": "login", "acr_values": "phr", "acr": "phr", "amr": "pop", "auth_time": "1",
			"id_token_hint": first.text(t, "id_token"), "claims": `{"id_token":{"email":null}}`, "sub": "sub-bob", "audience": "https://evil.example",
			"redirect_uri": appURL, "code_verifier": verifier,
		} {
			v.Set(name, value)
		}
		second := s.trade(v)
		if second.status != http.StatusOK {
			t.Fatalf("%s: %s", second.says(), second.body)
		}
		for _, name := range []string{"id_token", "access_token"} {
			was, is := claimsOf(t, first.text(t, name)), claimsOf(t, second.text(t, name))
			if is["iat"] != was["iat"].(float64)+420 || is["exp"] != was["exp"].(float64)+420 {
				t.Errorf("%s of %v until %v came after %v until %v", name, is["iat"], is["exp"], was["iat"], was["exp"])
			}
			if name == "access_token" && is["jti"] == was["jti"] {
				t.Error("two access tokens have one jti")
			}
			if name == "id_token" && is["at_hash"] != atHash(second.text(t, "access_token")) {
				t.Error("at_hash is of another access token")
			}
			for _, changes := range []string{"iat", "exp", "jti", "at_hash"} {
				delete(was, changes)
				delete(is, changes)
			}
			if !equal(was, is) {
				t.Errorf("%s said %v and says %v", name, was, is)
			}
		}
		if was, is := first.text(t, "refresh_token"), second.text(t, "refresh_token"); was == is || is == "" {
			t.Error("the refresh token did not rotate")
		}
	})
}

// OA-6; fosite.md 3.3: a lost race is invalid_request there.
func TestAnOldRefreshTokenRevokesTheFamily(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		first := s.tokens(offline())
		second := s.trade(refresh(first.text(t, "refresh_token")))
		if second.status != http.StatusOK {
			t.Fatalf("refresh: %s", second.says())
		}
		if a := s.trade(refresh(first.text(t, "refresh_token"))); a.says() != "400 invalid_grant" {
			t.Errorf("the old one: %s, want 400 invalid_grant", a.says())
		}
		for name, a := range map[string]reply{
			"the new one":             s.trade(refresh(second.text(t, "refresh_token"))),
			"the first access token":  s.userinfo(first.text(t, "access_token")),
			"the second access token": s.userinfo(second.text(t, "access_token")),
		} {
			if a.status == http.StatusOK {
				t.Errorf("%s is still good", name)
			}
		}
	})
}

// Access tokens end with their grant, and say so.
func TestNoTokenOutlivesItsGrant(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn, plan{provider: func(c *provider.Config) { c.Lifetimes.Refresh = 15 * time.Minute }})
		first := s.tokens(offline())
		time.Sleep(12 * time.Minute)
		a := s.trade(refresh(first.text(t, "refresh_token")))
		if got := a.json(t)["expires_in"]; got != 180.0 {
			t.Errorf("expires_in %v, want the 180 seconds that are left", got)
		}
		c := claimsOf(t, a.text(t, "access_token"))
		if got := c["exp"].(float64) - c["iat"].(float64); got != 180 {
			t.Errorf("the token says %v seconds", got)
		}
		time.Sleep(3 * time.Minute)
		if b := s.userinfo(a.text(t, "access_token")); b.says() != "401 invalid_token" {
			t.Errorf("afterwards: %s", b.says())
		}
	})
}

// OA-6: user, account, consent, client and policy are looked at at each use.
func TestWhatNoLongerStandsIsNotRefreshed(t *testing.T) {
	ctx := context.Background()
	for name, end := range map[string]func(s *stage){
		"a disabled user":    func(s *stage) { s.people.change("alice", func(u *provider.User) { u.Disabled = true }) },
		"a changed password": func(s *stage) { s.people.change("alice", func(u *provider.User) { u.Epoch = "2" }) },
		"a user who is gone": func(s *stage) { s.people.change("alice", func(u *provider.User) { u.Subject = "" }) },
		"changed factors": func(s *stage) {
			if err := s.factors.Reset(ctx, "sub-alice"); err != nil {
				s.t.Fatal(err)
			}
		},
		"a revoked consent": func(s *stage) {
			if err := s.db.RevokeConsent(ctx, "sub-alice", "app", now()); err != nil {
				s.t.Fatal(err)
			}
		},
		"a higher floor": func(s *stage) {
			s.register(provider.Client{ID: "app", Type: provider.Web, Secrets: []provider.Hash{hash(appSecret)}, RedirectURIs: []string{appURL}, Floor: "phr", Resources: []string{calendar, mailbox}})
		},
		"a scope taken away": func(s *stage) {
			s.register(provider.Client{ID: "app", Type: provider.Web, Secrets: []provider.Hash{hash(appSecret)}, RedirectURIs: []string{appURL}, Scopes: []string{"openid", "offline_access"}, Resources: []string{calendar, mailbox}})
		},
		"an API taken away": func(s *stage) {
			s.register(provider.Client{ID: "app", Type: provider.Web, Secrets: []provider.Hash{hash(appSecret)}, RedirectURIs: []string{appURL}, Resources: []string{mailbox}})
		},
		"a grant type taken away": func(s *stage) {
			s.register(provider.Client{ID: "app", Type: provider.Web, Secrets: []provider.Hash{hash(appSecret)}, RedirectURIs: []string{appURL}, GrantTypes: []string{"authorization_code"}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, dsn string) {
				s := newDesk(t, dsn)
				token := s.tokens(naming(offline(), calendar)).text(t, "refresh_token")
				code := s.code(naming(authorization(), calendar, mailbox))
				end(s)
				want := "400 invalid_grant"
				switch name {
				case "a scope taken away":
					want = "400 invalid_scope"
				case "a grant type taken away":
					want = "400 unauthorized_client"
				}
				if a := s.trade(refresh(token)); a.says() != want {
					t.Errorf("refresh: %s, want %s", a.says(), want)
				}
				if name == "a grant type taken away" || name == "a scope taken away" {
					return
				}
				if a := s.trade(exchange(code)); a.says() != "400 invalid_grant" {
					t.Errorf("code: %s, want 400 invalid_grant", a.says())
				}
			})
		})
	}
}

// RFC 6749 section 6; fosite.md 3.3, upstream #696: the scope of a refresh is
// ignored there.
func TestARefreshMayAskForLessAndNeverForMore(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		token := s.tokens(with(authorization(), "scope", "openid email offline_access")).text(t, "refresh_token")
		for _, is := range []struct{ scope, want, got string }{
			{"openid email", "200", "openid email"},
			{"email", "200", "email"},
			{"", "200", "openid email offline_access"},
			{"openid openid email", "200", "openid email"},
			{"OPENID", "400 invalid_scope", ""}, // fosite's lists take it for openid
			{"openid profile", "400 invalid_scope", ""},
			{"openid email offline_access admin", "400 invalid_scope", ""},
			{"openid email offline_access", "200", "openid email offline_access"}, // narrowing does not last
		} {
			a := s.trade(with(refresh(token), "scope", is.scope))
			if a.says() != is.want {
				t.Errorf("scope %q: %s, want %s", is.scope, a.says(), is.want)
			}
			if a.status != http.StatusOK {
				continue
			}
			access := claimsOf(t, a.text(t, "access_token"))["scope"]
			if a.text(t, "scope") != is.got || access != is.got {
				t.Errorf("scope %q: got %q and %q, want %q", is.scope, a.text(t, "scope"), access, is.got)
			}
			if (a.text(t, "id_token") != "") != strings.Contains(is.got, "openid") {
				t.Errorf("scope %q: an ID token without openid, or none with it", is.scope)
			}
			token = a.text(t, "refresh_token")
		}
	})
}

// A refresh token comes of offline_access and a client that may refresh, and an
// ID token of openid: nothing else.
func TestTokensComeOfTheirScopes(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		s.register(provider.Client{ID: "once", Type: provider.SPA, RedirectURIs: []string{appURL}, GrantTypes: []string{"authorization_code"}, FirstParty: true})
		for _, is := range []struct {
			client, scope string
			want          []string
		}{
			{"app", "openid", []string{"access_token", "expires_in", "id_token", "scope", "token_type"}},
			{"app", "openid offline_access", []string{"access_token", "expires_in", "id_token", "refresh_token", "scope", "token_type"}},
			{"app", "offline_access", []string{"access_token", "expires_in", "refresh_token", "scope", "token_type"}},
			{"app", "email", []string{"access_token", "expires_in", "scope", "token_type"}},
			{"once", "openid offline_access", []string{"access_token", "expires_in", "id_token", "scope", "token_type"}},
		} {
			v := exchange(s.code(with(with(authorization(), "client_id", is.client), "scope", is.scope)))
			a := s.trade(v)
			if is.client == "once" {
				a = ask(t, s, send(t, "/token", with(v, "client_id", "once")))
			}
			if got := slices.Sorted(maps.Keys(a.json(t))); !slices.Equal(got, is.want) {
				t.Errorf("%s with %s: %v, want %v", is.client, is.scope, got, is.want)
			}
			if got := a.text(t, "scope"); got != is.scope {
				t.Errorf("%s with %s: the answer says %q", is.client, is.scope, got)
			}
		}
	})
}
