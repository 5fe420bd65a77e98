package test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage/storagetest"
)

// inactive is all that is said of a token that is worth nothing (RFC 7662
// section 2.2).
const inactive = `{"active":false}`

// inspect introspects a token as the api.
func (s *stage) inspect(token string) reply {
	s.t.Helper()
	return s.as(api, "/introspect", url.Values{"token": {token}})
}

// RFC 7662 section 2.2, RFC 9470 section 6.2, TK-2, TK-3: what is said of each
// kind of token to each client that may ask.
func TestEachKindOfTokenIsIntrospected(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		signedIn := float64(time.Now().Unix())
		owner := webClient
		owner.Introspects = true
		for _, c := range []provider.Client{owner, spaClient, opaqueClient, service, opaqueService, api} {
			s.register(c)
		}
		time.Sleep(2 * time.Minute) // auth_time and iat are to differ
		now := float64(time.Now().Unix())
		type claims = map[string]any
		person := func(client string) claims {
			return claims{
				"active": true, "iss": issuer, "aud": []any{issuer}, "sub": "sub-alice", "username": "alice", "client_id": client,
				"scope": "openid profile email groups offline_access", "acr": "mfa", "amr": []any{"pwd", "otp"}, "auth_time": signedIn,
				"token_type": "Bearer", "iat": now, "exp": now + 600,
			}
		}
		itself := func(client, scope string) claims {
			return claims{
				"active": true, "iss": issuer, "aud": []any{issuer}, "sub": client, "client_id": client, "scope": scope,
				"token_type": "Bearer", "iat": now, "exp": now + 600,
			}
		}
		web, spa, opaque := s.bought(owner), s.bought(spaClient), s.bought(opaqueClient)
		refreshed := but(but(but(person("web"), "token_type", nil), "iat", nil), "exp", now+14*24*3600)
		nothing := claims{"active": false}
		for name, is := range map[string]struct {
			token      string
			api, owner claims
		}{
			"a JWT":                        {web.text(t, "access_token"), person("web"), person("web")},
			"of a public client":           {spa.text(t, "access_token"), person("spa"), person("spa")},
			"opaque":                       {opaque.text(t, "access_token"), person("opaque"), person("opaque")},
			"a service's":                  {s.bought(service).text(t, "access_token"), itself("service", "jobs reports"), itself("service", "jobs reports")},
			"a service's, opaque":          {s.bought(opaqueService).text(t, "access_token"), itself("opaque-service", "jobs"), itself("opaque-service", "jobs")},
			"its own":                      {s.bought(api).text(t, "access_token"), itself("api", "jobs"), itself("api", "jobs")},
			"a refresh token":              {web.text(t, "refresh_token"), nothing, refreshed}, // fosite tells any client of it, and the wrong exp (fosite.md 3.9)
			"a public client's refresh":    {spa.text(t, "refresh_token"), nothing, nothing},
			"an ID token":                  {web.text(t, "id_token"), nothing, nothing},
			"a code":                       {s.code(with(offline(), "client_id", "web")), nothing, nothing},
			"a forged refresh token":       {forged(web.text(t, "refresh_token")), nothing, nothing},
			"a forged opaque token":        {forged(opaque.text(t, "access_token")), nothing, nothing},
			"an opaque token, without MAC": {firstParts(opaque.text(t, "access_token")), nothing, nothing},
			"a session":                    {s.cookie(t, sessionCookie), nothing, nothing},
			"a secret":                     {appSecret, nothing, nothing},
		} {
			for by, want := range map[string]claims{"api": is.api, "web": is.owner} {
				c := api
				if by == "web" {
					c = owner
				}
				a := s.as(c, "/introspect", url.Values{"token": {is.token}})
				got := a.json(t)
				if got["token_type"] != nil {
					if id, _ := got["jti"].(string); len(id) < 22 {
						t.Errorf("%s to %s: jti %q", name, by, id)
					}
					delete(got, "jti")
				}
				if a.status != http.StatusOK || !equal(got, want) {
					t.Errorf("%s to %s: %s\n%v, want\n%v", name, by, a.says(), got, want)
				}
				if want["active"] == false && a.body != inactive {
					t.Errorf("%s to %s: %s, want no more than %s", name, by, a.body, inactive)
				}
			}
		}
		jwt := web.text(t, "access_token")
		if got, want := s.inspect(jwt).text(t, "jti"), claimsOf(t, jwt)["jti"]; got != want {
			t.Errorf("jti %v, want the token's, %v", got, want)
		}
	})
}

// TK-2: acr, amr and auth_time are those of the record, whatever a token says,
// and a refresh changes none of them.
func TestAnIntrospectionSaysWhatWasProven(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		s.register(webClient)
		s.register(api)
		tokens := s.bought(webClient)
		access := tokens.text(t, "access_token")
		want := s.inspect(access).json(t)
		h, c := headerOf(t, access), claimsOf(t, access)
		boast := but(but(but(but(c, "acr", "phr"), "amr", []string{"hwk"}), "auth_time", time.Now().Unix()+60), "sub", "sub-bob")
		if got := s.inspect(mint(t, h, boast)).json(t); !equal(got, want) {
			t.Errorf("of a token that says more: %v, want %v", got, want)
		}
		if got := s.inspect(mint(t, h, but(c, "client_id", "app"))); got.body != inactive {
			t.Errorf("of a token of another client's: %s", got.body)
		}
		time.Sleep(time.Hour)
		next := s.as(webClient, "/token", refresh(tokens.text(t, "refresh_token")))
		got := s.inspect(next.text(t, "access_token")).json(t)
		for _, name := range []string{"acr", "amr", "auth_time"} {
			if !equal(map[string]any{name: got[name]}, map[string]any{name: want[name]}) {
				t.Errorf("%s after a refresh: %v, want %v", name, got[name], want[name])
			}
		}
		// Less was asked for, less is said.
		next = s.as(webClient, "/token", with(refresh(next.text(t, "refresh_token")), "scope", "openid"))
		if got := s.inspect(next.text(t, "access_token")).text(t, "scope"); got != "openid" {
			t.Errorf("scope %q, want openid", got)
		}
	})
}

// What no longer stands is worth nothing, at once and for every kind of token;
// PA-7.
func TestWhatNoLongerStandsIsInactive(t *testing.T) {
	ctx := context.Background()
	registered := func(c provider.Client, change func(*provider.Client)) func(*stage) {
		return func(s *stage) { c := c; change(&c); s.register(c) } // for each database its own
	}
	owner := webClient
	owner.Introspects, owner.FirstParty, owner.Resources = true, false, []string{calendar, mailbox}
	service, dates := service, api
	service.Resources, dates.Resources, dates.ID = owner.Resources, owner.Resources, "dates"
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
			for _, id := range []string{"web", "opaque"} {
				if err := s.db.RevokeConsent(ctx, "sub-alice", id, now()); err != nil {
					s.t.Fatal(err)
				}
			}
		},
		"a revoked grant": func(s *stage) {},
		"a client that is gone": func(s *stage) {
			for _, id := range []string{"opaque", "service", "opaque-service"} {
				if err := s.db.RemoveClient(ctx, id); err != nil {
					s.t.Fatal(err)
				}
			}
		},
		"a higher floor": func(s *stage) {
			registered(owner, func(c *provider.Client) { c.Floor = "phr" })(s)
			registered(opaqueClient, func(c *provider.Client) { c.Floor = "phr" })(s)
		},
		"a scope taken away":      registered(service, func(c *provider.Client) { c.Scopes = []string{"jobs"} }),
		"a grant type taken away": registered(service, func(c *provider.Client) { c.GrantTypes = []string{"authorization_code"} }),
		"an API taken away": func(s *stage) {
			registered(owner, func(c *provider.Client) { c.Resources = []string{mailbox} })(s)
			registered(service, func(c *provider.Client) { c.Resources = nil })(s)
		},
		"no more refreshing": registered(owner, func(c *provider.Client) { c.GrantTypes = []string{"authorization_code"} }),
		"reuse":              func(s *stage) {},
		"time":               func(s *stage) { time.Sleep(10 * time.Minute) },
		"a long time":        func(s *stage) { time.Sleep(14 * 24 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, dsn string) {
				s := newDesk(t, dsn)
				for _, c := range []provider.Client{owner, opaqueClient, service, opaqueService, api, dates} {
					s.register(c)
				}
				s.allow("sub-alice", "web", "openid", "profile", "email", "groups", "offline_access")
				s.allow("sub-alice", "opaque", "openid")
				opaque := s.bought(opaqueClient)
				jwt := s.as(owner, "/token", exchange(s.code(naming(with(offline(), "client_id", "web"), calendar))))
				robot := s.as(service, "/token", naming(url.Values{"grant_type": {"client_credentials"}}, calendar))
				tokens := map[string]string{
					"jwt": jwt.text(t, "access_token"), "refresh": jwt.text(t, "refresh_token"), "opaque": opaque.text(t, "access_token"),
					"service": robot.text(t, "access_token"), "opaque service": s.bought(opaqueService).text(t, "access_token"),
				}
				ended := map[string][]string{
					"a client that is gone": {"opaque", "service", "opaque service"},
					"a scope taken away":    {"service"}, "an API taken away": {"jwt", "refresh", "service"}, "a grant type taken away": {"service"}, "no more refreshing": {"refresh"},
					"reuse": {"jwt", "refresh"}, "time": {"jwt", "opaque", "service", "opaque service"},
					"a long time": {"jwt", "opaque", "refresh", "service", "opaque service"},
				}[name]
				if ended == nil {
					ended = []string{"jwt", "opaque", "refresh"}
				}
				asked := func(kind string) reply {
					by := api // of no API in particular, and told of what is for none
					if kind == "jwt" || kind == "refresh" {
						by = owner
					} else if kind == "service" {
						by = dates
					}
					return s.as(by, "/introspect", url.Values{"token": {tokens[kind]}})
				}
				for kind := range tokens {
					if a := asked(kind); a.json(t)["active"] != true {
						t.Fatalf("%s, before: %s", kind, a.body)
					}
				}
				end(s)
				switch name {
				case "a revoked grant":
					s.giveBack(owner, tokens["refresh"])
					s.giveBack(opaqueClient, tokens["opaque"])
				case "reuse":
					s.as(owner, "/token", refresh(tokens["refresh"]))
					s.as(owner, "/token", refresh(tokens["refresh"]))
				}
				over := map[string]bool{}
				for _, kind := range ended {
					over[kind] = true
				}
				for kind := range tokens {
					a := asked(kind)
					if over[kind] && (a.status != http.StatusOK || a.body != inactive) || !over[kind] && a.json(t)["active"] != true {
						t.Errorf("%s, after %s: %s", kind, name, a.body)
					}
				}
			})
		})
	}
}

// A refresh token that has been replaced is worth nothing, and asking does not
// count as using it.
func TestAnOldRefreshTokenIsInactiveAndNoReuse(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		owner := webClient
		owner.Introspects = true
		s.register(owner)
		first := s.bought(owner).text(t, "refresh_token")
		next := s.as(owner, "/token", refresh(first)).text(t, "refresh_token")
		for token, want := range map[string]bool{first: false, next: true} {
			if a := s.as(owner, "/introspect", url.Values{"token": {token}}); a.json(t)["active"] != want {
				t.Errorf("got %s, want active: %t", a.body, want)
			}
		}
		if a := s.as(owner, "/token", refresh(next)); a.status != http.StatusOK {
			t.Errorf("the next one, used: %s", a.says())
		}
	})
}

// PA-12: where the store fails nobody hears that a token is good, nor that it
// is not.
func TestAnIntrospectionThatFailedSaysNothing(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		w := newWard(t, dsn)
		w.settle()
		owner := webClient
		owner.Introspects, owner.FirstParty = true, false
		for _, c := range []provider.Client{owner, service} {
			w.register(c)
		}
		w.allow("sub-alice", "web", "openid", "profile", "email", "groups", "offline_access")
		tokens := w.bought(owner)
		for kind, token := range map[string]string{
			"access": tokens.text(t, "access_token"), "refresh": tokens.text(t, "refresh_token"), "service": w.bought(service).text(t, "access_token"),
		} {
			for call := 1; ; call++ {
				faulty := storagetest.Faulty(w.watched, storagetest.Fault{Call: call})
				w.store.Store = faulty
				a := w.as(owner, "/introspect", url.Values{"token": {token}})
				w.store.Store = w.watched
				if calls := faulty.Calls(); len(calls) < call {
					if a.json(t)["active"] != true || call < 3 {
						t.Errorf("%s, without a fault: %s after %v", kind, a.body, calls)
					}
					break
				}
				want := "500 server_error"
				if call == 1 { // who asks is not known yet, and can try again
					want = "503 server_error"
				}
				if a.says() != want {
					t.Errorf("%s, failed at %d: %s %s", kind, call, a.says(), a.body)
				}
			}
		}
	})
}

// lostKeys are keys that can be lost from sight.
type lostKeys struct {
	staticKeys
	lost bool
}

func (k *lostKeys) Published(ctx context.Context) ([]provider.PublicKey, error) {
	if k.lost {
		return nil, errors.New("no keys")
	}
	return k.staticKeys.Published(ctx)
}

// A token that cannot be verified now is not one that is bad.
func TestKeysThatAreOutOfSightMakeNoTokenBad(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		keys := &lostKeys{staticKeys: testKeys}
		s := newDesk(t, dsn, plan{keys: keys})
		s.register(webClient)
		s.register(api)
		token := s.bought(webClient).text(t, "access_token")
		keys.lost = true
		if a := s.inspect(token); a.says() != "500 server_error" {
			t.Errorf("introspect: %s", a.says())
		}
		if a := s.giveBack(webClient, token); a.says() != "503 server_error" || a.header.Get("Retry-After") == "" {
			t.Errorf("revoke: %s", a.says())
		}
		keys.lost = false
		if a := s.inspect(token); a.json(t)["active"] != true {
			t.Errorf("introspect: %s", a.body)
		}
	})
}
