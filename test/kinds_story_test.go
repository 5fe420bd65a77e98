package test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

// A kind is one kind of client with the way in which it authenticates.
type kind struct {
	client   provider.Client
	redirect string // where it asks for its users
	credential
}

// kindsOfClients returns a client of each kind for people.
func kindsOfClients(t *testing.T) map[string]kind {
	base := provider.Client{ID: "kind", Name: "The Kind", RedirectURIs: []string{appURL}, PostLogoutRedirectURIs: []string{byeURL}}
	of := func(change func(c *provider.Client)) provider.Client {
		c := base
		change(&c)
		return c
	}
	named := credential{params: given("client_id", "kind")}
	return map[string]kind{
		"web with a secret": {of(func(c *provider.Client) { c.Type, c.Secrets = provider.Web, []provider.Hash{hash(appSecret)} }),
			appURL, credential{params: none, headers: []string{"Authorization", basic("kind", appSecret)}}},
		"web with keys": {of(func(c *provider.Client) { c.Type, c.Keys = provider.Web, jwks(t, theKeys()["ES256"].jwk(t)) }),
			appURL, credential{params: own("kind", "ES256")}},
		"single-page": {of(func(c *provider.Client) { c.Type = provider.SPA }), appURL, named},
		"native": {of(func(c *provider.Client) {
			c.Type, c.RedirectURIs = provider.Native, []string{"http://127.0.0.1/callback"}
		}),
			"http://127.0.0.1:49152/callback", named},
	}
}

// sent sends v to path as a client of this kind.
func (s *stage) sent(t *testing.T, k kind, path string, v url.Values) reply {
	t.Helper()
	return ask(t, s, send(t, path, both(v, k.params(t)), k.headers...))
}

// signIn takes alice from the door to the client of this kind, with a second
// factor, and returns what it gets for the code that she brings.
func (s *stage) signIn(t *testing.T, k kind, p phone) reply {
	t.Helper()
	b := s.browser
	b.open(issuer + "/authorize?" + with(with(offline(), "client_id", k.client.ID), "redirect_uri", k.redirect).Encode())
	b.login("alice", p)
	b.at("consent", http.StatusOK)
	b.submit("consent", "decision", "allow")
	q := b.page.url.Query()
	if here, _, _ := strings.Cut(b.page.url.String(), "?"); here != k.redirect || q.Get("state") != "the app's state" || q.Get("iss") != issuer {
		t.Fatalf("not at the client: %s", b.page.text())
	}
	a := s.sent(t, k, "/token", with(exchange(q.Get("code")), "redirect_uri", k.redirect))
	if a.status != http.StatusOK {
		t.Fatalf("no tokens: %s\n%s", a.says(), a.body)
	}
	return a
}

// saysHow checks that an ID token says how alice signed in, and when.
func saysHow(t *testing.T, what, token string, when time.Time) {
	t.Helper()
	c := claimsOf(t, token)
	amr, _ := c["amr"].([]any)
	if c["sub"] != "sub-alice" || c["aud"] != "kind" || c["acr"] != "mfa" || !slices.Equal(amr, []any{"pwd", "otp"}) || c["auth_time"] != float64(when.Unix()) {
		t.Errorf("%s: the ID token says %v", what, c)
	}
}

// TK-2, OA-2, OA-6, OA-12: a client of each kind takes someone in with their
// second factor, refreshes, signs them out and gives back what it has.
func TestAClientOfEachKindFromTheDoorToTheEnd(t *testing.T) {
	for name, k := range kindsOfClients(t) {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, dsn string) {
				s := newStage(t, dsn)
				s.net["127.0.0.1:49152"] = callbackHost
				s.register(k.client)
				s.register(api)
				began := time.Now()
				first := s.signIn(t, k, s.enrolled("alice"))
				saysHow(t, "at first", first.text(t, "id_token"), began)

				time.Sleep(20 * time.Minute)
				next := s.sent(t, k, "/token", refresh(first.text(t, "refresh_token")))
				if next.status != http.StatusOK || next.text(t, "refresh_token") == first.text(t, "refresh_token") {
					t.Fatalf("refreshing: %s\n%s", next.says(), next.body)
				}
				saysHow(t, "refreshed", next.text(t, "id_token"), began)

				s.browser.open(issuer + "/logout?" + values("id_token_hint", next.text(t, "id_token"), "post_logout_redirect_uri", byeURL, "state", "s").Encode())
				if got := s.browser.page.url.String(); got != byeURL+"?state=s" || len(s.sessions("alice")) > 0 {
					t.Errorf("signing out leads to %s, and leaves %d sessions", got, len(s.sessions("alice")))
				}
				s.browser.open(issuer + "/authorize?" + with(with(with(offline(), "client_id", "kind"), "redirect_uri", k.redirect), "prompt", "none").Encode())
				if got := s.browser.page.url.Query().Get("error"); got != "login_required" {
					t.Errorf("signed out, a silent request ends in %q", got)
				}

				// What is offline goes on until it is given back.
				access := []string{first.text(t, "access_token"), next.text(t, "access_token")}
				if a := s.userinfo(access[1]); a.status != http.StatusOK || !strings.Contains(s.inspect(access[1]).body, `"active":true`) {
					t.Errorf("before it is given back, userinfo: %s", a.says())
				}
				if a := s.sent(t, k, "/revoke", values("token", next.text(t, "refresh_token"))); a.status != http.StatusOK {
					t.Fatalf("giving back: %s\n%s", a.says(), a.body)
				}
				for _, token := range access {
					if a := s.userinfo(token); a.says() != "401 invalid_token" {
						t.Errorf("given back, userinfo: %s", a.says())
					}
				}
				for _, token := range append(access, first.text(t, "refresh_token"), next.text(t, "refresh_token")) {
					if a := s.inspect(token); a.body != inactive {
						t.Errorf("given back, introspection: %s", a.body)
					}
					if a := s.sent(t, k, "/token", refresh(token)); a.says() != "400 invalid_grant" {
						t.Errorf("given back, a refresh: %s", a.says())
					}
				}
			})
		})
	}
}

// A service has nobody to sign in or out, and its token ends by itself: it is
// told that it cannot give that back.
func TestAServiceFromTheDoorToTheEnd(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.register(service)
		s.register(api)
		got := s.bought(service)
		for _, name := range []string{"refresh_token", "id_token"} {
			if v, ok := got.json(t)[name]; ok {
				t.Errorf("a service has the %s %v", name, v)
			}
		}
		v := with(with(offline(), "client_id", service.ID), "scope", "jobs")
		if a := ask(t, s, get(t, "/authorize?"+v.Encode())); a.to != nil || a.status != http.StatusBadRequest {
			t.Errorf("a service sends someone to sign in: %s, to %v", a.says(), a.to)
		}
		token := got.text(t, "access_token")
		if a := s.giveBack(service, token); a.says() != "400 unsupported_token_type" {
			t.Errorf("giving back: %s", a.says())
		}
		if a := s.as(service, "/token", refresh(token)); a.says() != "400 unauthorized_client" {
			t.Errorf("a refresh: %s", a.says())
		}
		if a := s.inspect(token); !strings.Contains(a.body, `"active":true`) {
			t.Errorf("introspection: %s", a.body)
		}
		if a := s.userinfo(token); a.says() != "401 invalid_token" {
			t.Errorf("userinfo of nobody: %s", a.says())
		}
		time.Sleep(10 * time.Minute)
		if a := s.inspect(token); a.body != inactive {
			t.Errorf("after its time, introspection: %s", a.body)
		}
	})
}
