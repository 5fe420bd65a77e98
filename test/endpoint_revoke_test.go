package test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage/storagetest"
)

// Clients of each kind, all of them ours, so that a code is one request away.
var (
	appClient = provider.Client{ID: "app", Type: provider.Web} // as newStage registers it
	webClient = provider.Client{ID: "web", Type: provider.Web, FirstParty: true, RedirectURIs: []string{appURL},
		Secrets: []provider.Hash{hash(appSecret)}}
	spaClient    = provider.Client{ID: "spa", Type: provider.SPA, FirstParty: true, RedirectURIs: []string{appURL}}
	opaqueClient = provider.Client{ID: "opaque", Type: provider.Native, FirstParty: true, RedirectURIs: []string{appURL},
		OpaqueTokens: true, Algorithm: "ES256"}
	service = provider.Client{ID: "service", Type: provider.Service, Secrets: []provider.Hash{hash(appSecret)},
		GrantTypes: []string{"client_credentials"}, Scopes: []string{"jobs", "reports"}}
	opaqueService = provider.Client{ID: "opaque-service", Type: provider.Service, Secrets: []provider.Hash{hash(appSecret)},
		GrantTypes: []string{"client_credentials"}, Scopes: []string{"jobs"}, OpaqueTokens: true}
	// api is what other clients reach with their tokens.
	api = provider.Client{ID: "api", Type: provider.Service, Secrets: []provider.Hash{hash(appSecret)},
		GrantTypes: []string{"client_credentials"}, Scopes: []string{"jobs"}, Introspects: true}
)

// as sends v to path as the client c, which authenticates as its type does.
func (s *stage) as(c provider.Client, path string, v url.Values) reply {
	s.t.Helper()
	if c.Public() {
		return ask(s.t, s, send(s.t, path, with(v, "client_id", c.ID)))
	}
	return ask(s.t, s, send(s.t, path, v, "Authorization", basic(c.ID, appSecret)))
}

// bought returns what the client c gets: of alice, or for itself.
func (s *stage) bought(c provider.Client) reply {
	s.t.Helper()
	v := url.Values{"grant_type": {"client_credentials"}}
	if c.Type != provider.Service {
		v = exchange(s.code(with(offline(), "client_id", c.ID)))
	}
	a := s.as(c, "/token", v)
	if a.status != http.StatusOK {
		s.t.Fatalf("no tokens for %s: %s\n%s", c.ID, a.says(), a.body)
	}
	return a
}

// giveBack revokes a token as the client c.
func (s *stage) giveBack(c provider.Client, token string) reply {
	s.t.Helper()
	return s.as(c, "/revoke", url.Values{"token": {token}})
}

// RFC 7009: each kind of token by each kind of client. A token ends its grant
// if it is of the client that presents it, and in no other case.
func TestATokenIsRevokedByItsOwnClient(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		all := []provider.Client{webClient, spaClient, opaqueClient, service, opaqueService, api}
		for _, c := range all {
			s.register(c)
		}
		for _, owner := range []provider.Client{webClient, spaClient, opaqueClient} {
			for _, by := range all {
				if owner.ID != webClient.ID && by.ID != owner.ID && by.ID != webClient.ID {
					continue // all of them ask about one owner's, and two about each
				}
				for kind, token := range map[string]func(first, next reply, code string) string{
					"access token":               func(first, _ reply, _ string) string { return first.text(t, "access_token") },
					"access token of a refresh":  func(_, next reply, _ string) string { return next.text(t, "access_token") },
					"refresh token":              func(_, next reply, _ string) string { return next.text(t, "refresh_token") },
					"refresh token, replaced":    func(first, _ reply, _ string) string { return first.text(t, "refresh_token") },
					"ID token":                   func(first, _ reply, _ string) string { return first.text(t, "id_token") },
					"code":                       func(_, _ reply, code string) string { return code },
					"refresh token, forged":      func(_, next reply, _ string) string { return forged(next.text(t, "refresh_token")) },
					"refresh token, last part":   func(_, next reply, _ string) string { return lastPart(next.text(t, "refresh_token")) },
					"refresh token, first parts": func(_, next reply, _ string) string { return firstParts(next.text(t, "refresh_token")) },
					"access token, forged":       func(_, next reply, _ string) string { return forged(next.text(t, "access_token")) },
				} {
					if by.ID != owner.ID && strings.Contains(kind, ",") {
						continue // what its owner cannot end with, nobody can
					}
					code := s.code(with(offline(), "client_id", owner.ID))
					first := s.as(owner, "/token", exchange(code))
					next := s.as(owner, "/token", refresh(first.text(t, "refresh_token")))
					a := s.giveBack(by, token(first, next, code))
					if a.says() != "200" || a.body != "" || a.header.Get("Cache-Control") != "no-store" {
						t.Fatalf("%s of %s by %s: %s %q %v", kind, owner.ID, by.ID, a.says(), a.body, a.header)
					}
					want := "200"
					if by.ID == owner.ID && !strings.ContainsAny(kind, ",") && kind != "ID token" && kind != "code" || by.ID == owner.ID && kind == "refresh token, replaced" {
						want = "401 invalid_token"
					}
					if a := s.userinfo(next.text(t, "access_token")); a.says() != want {
						t.Errorf("%s of %s by %s: and then its access token gets %s, want %s", kind, owner.ID, by.ID, a.says(), want)
					}
					if want == "200" {
						continue
					}
					if a := s.userinfo(first.text(t, "access_token")); a.says() != want {
						t.Errorf("%s of %s: an older access token gets %s", kind, owner.ID, a.says())
					}
					if a := s.as(owner, "/token", refresh(next.text(t, "refresh_token"))); a.says() != "400 invalid_grant" {
						t.Errorf("%s of %s: and then its refresh token gets %s", kind, owner.ID, a.says())
					}
				}
			}
		}
	})
}

// forged returns token with another signature or MAC.
func forged(token string) string {
	return token[:len(token)-6] + strings.Map(func(c rune) rune {
		if c == 'A' {
			return 'B'
		}
		return 'A'
	}, token[len(token)-6:])
}

func lastPart(token string) string   { return "FORGED" + token[strings.LastIndexByte(token, '.'):] }
func firstParts(token string) string { return token[:strings.LastIndexByte(token, '.')] }

// Nothing is stored of the tokens that a client gets for itself, and 200 would
// say that they had ended (RFC 7009 section 2.2.1, unsupported_token_type).
func TestATokenThatCannotBeRevokedIsNotSaidToBe(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		for _, c := range []provider.Client{webClient, service, opaqueService, api} {
			s.register(c)
		}
		for _, c := range []provider.Client{service, opaqueService} {
			token := s.bought(c).text(t, "access_token")
			if a := s.giveBack(c, token); a.says() != "400 unsupported_token_type" {
				t.Errorf("%s: %s", c.ID, a.says())
			}
			if a := s.giveBack(webClient, token); a.says() != "200" {
				t.Errorf("%s, by another: %s", c.ID, a.says())
			}
			if a := s.inspect(token); a.json(t)["active"] != true {
				t.Errorf("%s: %s", c.ID, a.body)
			}
			time.Sleep(10 * time.Minute)
			if a := s.giveBack(c, token); a.says() != "200" {
				t.Errorf("%s, expired: %s", c.ID, a.says())
			}
		}
	})
}

// What is over is over: 200, and nothing is written.
func TestRevokingWhatIsOverIsNoError(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		s.register(spaClient)
		revoked := s.bought(spaClient).text(t, "refresh_token")
		for range 2 {
			if a := s.giveBack(spaClient, revoked); a.says() != "200" {
				t.Errorf("got %s", a.says())
			}
		}
		tokens := s.bought(spaClient)
		access, token := tokens.text(t, "access_token"), tokens.text(t, "refresh_token")
		time.Sleep(10 * time.Minute)
		if a := s.giveBack(spaClient, access); a.says() != "200" {
			t.Errorf("an expired access token: %s", a.says())
		}
		// It is worth nothing any more, and so cannot end what is.
		a := s.as(spaClient, "/token", refresh(token))
		if a.status != http.StatusOK {
			t.Errorf("the refresh token: %s", a.says())
		}
		time.Sleep(91 * 24 * time.Hour)
		if a := s.giveBack(spaClient, a.text(t, "refresh_token")); a.says() != "200" {
			t.Errorf("an expired refresh token: %s", a.says())
		}
		same(t, "audit", s.audit("alice", provider.EventTokenEnd), []string{"token-revoked success"})
	})
}

// Each parameter: absent, empty, repeated, too long, malformed. OA-3, OA-8.
func TestEachParameterOfARevocationAndAnIntrospection(t *testing.T) {
	const request = "400 invalid_request"
	long := strings.Repeat("a", 50_000)
	variants := map[string][]variant{
		"token": {
			{"absent", nil, request},
			{"empty", []string{""}, request},
			{"repeated", []string{"a", "a"}, request},
			{"unknown", []string{"unknown"}, "200"},
			{"of other bytes", []string{"\x00\xff.\x00.\n"}, "200"},
			{"dots", []string{"......"}, "200"},
			{"a prefix alone", []string{"slp_rt"}, "200"},
			{"another prefix alone", []string{"slp_at."}, "200"},
			{"long", []string{long}, "200"},
			{"long, with dots", []string{"slp_rt." + long + "." + long[:10]}, "200"},
			{"a JWT of nothing", []string{"e30.e30."}, "200"},
		},
		"token_type_hint": {
			{"absent", nil, "200"},
			{"empty", []string{""}, "200"},
			{"wrong", []string{"access_token"}, "200"}, // RFC 7009 section 2.1: it is searched for all the same
			{"right", []string{"refresh_token"}, "200"},
			{"unknown", []string{"magic"}, "200"},
			{"odd", []string{"\x00\xff"}, "200"},
			{"long", []string{long}, "200"},
			{"repeated", []string{"access_token", "refresh_token"}, request},
		},
		"unknown": {
			{"there", []string{"x"}, "200"}, // OA-13
			{"repeated", []string{"x", "y"}, request},
		},
		"resource": {{"repeated", []string{calendar, mailbox}, request}}, // has no meaning here
	}
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		desk := webClient
		desk.Introspects = true
		s.register(desk)
		for _, name := range slices.Sorted(maps.Keys(variants)) {
			for _, is := range variants[name] {
				token := s.bought(desk).text(t, "refresh_token")
				v := with(url.Values{"token": {token}}, name, is.values...)
				a := s.as(desk, "/introspect", v)
				if a.says() != is.want {
					t.Errorf("introspect, %s %s: %s, want %s", name, is.name, a.says(), is.want)
				}
				if a.status == http.StatusOK && a.json(t)["active"] != (name != "token") {
					t.Errorf("introspect, %s %s: %s", name, is.name, a.body)
				}
				if a = s.as(desk, "/revoke", v); a.says() != is.want {
					t.Errorf("revoke, %s %s: %s, want %s", name, is.name, a.says(), is.want)
				}
				want := "400 invalid_grant"
				if is.want != "200" || name == "token" {
					want = "200" // nothing was revoked
				}
				if a := s.as(desk, "/token", refresh(token)); a.says() != want {
					t.Errorf("%s %s: and then the refresh token gets %s, want %s", name, is.name, a.says(), want)
				}
			}
		}
		// A token in the URL is none: it ends up in logs.
		token := s.bought(desk).text(t, "refresh_token")
		for _, path := range []string{"/revoke", "/introspect"} {
			if a := s.as(desk, path+"?token="+token, nil); a.says() != request {
				t.Errorf("%s with the token in the URL: %s", path, a.says())
			}
		}
	})
}

// RFC 7009 section 2.1, RFC 7662 section 2.1, OA-8: who asks authenticates as
// at the token endpoint. fosite takes Basic alone for introspection, and a
// bearer token too (fosite.md 3.9).
func TestWhoRevokesOrIntrospectsAuthenticates(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		for _, c := range []provider.Client{webClient, spaClient, api} {
			s.register(c)
		}
		sly := spaClient // registered by hand; config refuses it
		sly.ID, sly.Introspects = "sly", true
		s.register(sly)
		tokens := s.bought(webClient)
		access := tokens.text(t, "access_token")
		post := func(pairs ...string) url.Values {
			v := url.Values{"token": {access}}
			for i := 0; i+1 < len(pairs); i += 2 {
				v.Add(pairs[i], pairs[i+1])
			}
			return v
		}
		const no, may = "401 invalid_client", "403 unauthorized_client"
		for name, is := range map[string]struct {
			header             []string
			body               url.Values
			revoke, introspect string
		}{
			"basic":                  {[]string{"Authorization", basic("api", appSecret)}, post(), "200", "200"},
			"post":                   {nil, post("client_id", "api", "client_secret", appSecret), "200", "200"},
			"not registered for it":  {[]string{"Authorization", basic("app", appSecret)}, post(), "200", may},
			"public":                 {nil, post("client_id", "spa"), "200", may},
			"public, registered":     {nil, post("client_id", "sly"), "200", may},
			"none":                   {nil, post(), no, no},
			"client_id alone":        {nil, post("client_id", "api"), no, no},
			"a wrong secret":         {[]string{"Authorization", basic("api", "wrong")}, post(), no, no},
			"an unknown client":      {[]string{"Authorization", basic("nobody", appSecret)}, post(), no, no},
			"both ways":              {[]string{"Authorization", basic("api", appSecret)}, post("client_id", "api", "client_secret", appSecret), no, no},
			"two headers":            {[]string{"Authorization", basic("api", appSecret), "Authorization", basic("api", appSecret)}, post(), no, no},
			"an assertion":           {nil, post("client_id", "api", "client_assertion", "x"), no, no},
			"a bearer token":         {[]string{"Authorization", "Bearer " + access}, post(), no, no},
			"a bearer and client_id": {[]string{"Authorization", "Bearer " + access}, post("client_id", "spa"), no, no},
			"client_id twice":        {nil, post("client_id", "api", "client_id", "api", "client_secret", appSecret), "400 invalid_request", "400 invalid_request"},
			"a session":              {[]string{"Cookie", s.browser.cookies()}, post(), no, no},
			"no form":                {[]string{"Authorization", basic("api", appSecret), "Content-Type", "application/json"}, post(), "400 invalid_request", "400 invalid_request"},
		} {
			for path, want := range map[string]string{"/revoke": is.revoke, "/introspect": is.introspect} {
				a := ask(t, s, send(t, path, is.body, is.header...))
				if a.says() != want {
					t.Errorf("%s %s: %s, want %s", path, name, a.says(), want)
				}
				if got := a.header.Get("WWW-Authenticate"); (a.status == http.StatusUnauthorized) != strings.HasPrefix(got, "Basic realm=") {
					t.Errorf("%s %s: %d with WWW-Authenticate %q", path, name, a.status, got)
				}
				if a.header.Get("Cache-Control") != "no-store" || a.status != http.StatusOK && strings.Contains(a.body, "active") {
					t.Errorf("%s %s: %v %s", path, name, a.header, a.body)
				}
			}
		}
		if a := s.userinfo(access); a.status != http.StatusOK {
			t.Errorf("and one of them revoked the token: %s", a.says())
		}
	})
}

// PA-12, RFC 7009 section 2.2.1: a failed store is 503, and never 200, which
// fosite's writer makes of it (fosite.md 3.9): the client would throw away a
// token that is good. When the store is back, trying again works.
func TestARevocationThatFailedSaysSo(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		w := newWard(t, dsn)
		w.settle()
		w.register(webClient)
		sound := storagetest.Faulty(w.watched, storagetest.Fault{})
		w.store.Store = sound
		if a := w.giveBack(webClient, w.bought(webClient).text(t, "access_token")); a.says() != "200" {
			t.Fatalf("got %s", a.says())
		}
		for kind := range map[string]bool{"access_token": true, "refresh_token": true} {
			for _, after := range []bool{false, true} {
				for call := 1; ; call++ {
					w.store.Store = w.watched
					token := w.bought(webClient).text(t, kind)
					faulty := storagetest.Faulty(w.watched, storagetest.Fault{Call: call, After: after})
					w.store.Store = faulty
					a := w.giveBack(webClient, token)
					calls := faulty.Calls()
					if len(calls) < call {
						if call < 5 { // Client, Grant, begin, RevokeGrant, Record, commit
							t.Fatalf("only %v were called", calls)
						}
						break
					}
					if a.says() != "503 server_error" || a.header.Get("Retry-After") == "" {
						t.Errorf("%s, failed at %d of %v (after: %t): %s %v", kind, call, calls, after, a.says(), a.header)
					}
					w.store.Store = w.watched
					if a := w.giveBack(webClient, token); a.says() != "200" {
						t.Errorf("%s, again: %s", kind, a.says())
					}
					if kind == "access_token" {
						if a := w.userinfo(token); a.says() != "401 invalid_token" {
							t.Errorf("and then: %s", a.says())
						}
					} else if a := w.as(webClient, "/token", refresh(token)); a.says() != "400 invalid_grant" {
						t.Errorf("and then: %s", a.says())
					}
				}
			}
		}
	})
}

// A revocation and a refresh at once: whatever the refresh has bought is dead
// when both are answered.
func TestARefreshDoesNotOutliveARevocation(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		s.register(webClient)
		for range 20 {
			token := s.bought(webClient).text(t, "refresh_token")
			var both sync.WaitGroup
			var bought, ended reply
			both.Go(func() { bought = s.as(webClient, "/token", refresh(token)) })
			both.Go(func() { ended = s.giveBack(webClient, token) })
			both.Wait()
			if ended.says() != "200" {
				t.Fatalf("revoking: %s", ended.says())
			}
			if bought.status != http.StatusOK {
				continue
			}
			if a := s.userinfo(bought.text(t, "access_token")); a.says() != "401 invalid_token" {
				t.Errorf("an access token outlives it: %s", a.says())
			}
			if a := s.as(webClient, "/token", refresh(bought.text(t, "refresh_token"))); a.says() != "400 invalid_grant" {
				t.Errorf("a refresh token outlives it: %s", a.says())
			}
		}
	})
}
