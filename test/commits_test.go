package test

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

// Each endpoint is one transaction. What is counted are commits that changed
// something; single statements outside of a transaction are among them.
func TestEachEndpointIsOneTransaction(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		b := s.browser
		// took returns how many commits fn made.
		took := func(fn func()) int64 {
			before := s.db.Stats().Commits
			fn()
			return s.db.Stats().Commits - before
		}
		// exactly runs one request and checks its commits.
		exactly := func(what string, want int64, fn func()) {
			t.Helper()
			if got := took(fn); got != want {
				t.Errorf("%s: %d commits, want %d", what, got, want)
			}
		}
		at := func(kind string) {
			t.Helper()
			if got := kindOf(b.page.body); got != kind {
				t.Fatalf("at %q, want %q: %s", got, kind, b.page.text())
			}
		}
		submit := func(what string, want int64, kind, step string, fields ...string) {
			t.Helper()
			exactly(what, want, func() { b.submit(step, fields...) })
			if kind != "" {
				at(kind)
			}
		}
		v := with(authorization(), "scope", "openid offline_access")
		again := func() {
			t.Helper()
			exactly("looking at the page again", 0, func() { b.open(b.page.url.String()) })
		}

		// The first login, with enrolment: a page of a flow at most 1.
		exactly("authorize", 1, func() { b.open(issuer + "/authorize?" + v.Encode()) })
		again()
		submit("an empty password", 0, "password", "password", "username", "alice")
		submit("a wrong password", 1, "password", "password", "username", "alice", "password", "wrong")
		submit("a wrong name", 1, "password", "password", "username", "nobody", "password", "wrong")
		submit("the password", 1, "start", "password", "username", "alice", "password", "correct horse battery")
		again()
		submit("begin to enrol", 1, "enrol", "enroll")
		again()
		phone := scan(t, b.page)
		submit("a wrong first code", 1, "enrol", "confirm", "code", "000000")
		submit("the first code", 1, "codes", "confirm", "code", phone.code(0))
		again()
		submit("put the codes away", 1, "consent", "saved")
		again()
		submit("consent", 1, "", "consent", "decision", "allow")
		code := b.page.url.Query().Get("code")
		if code == "" {
			t.Fatalf("no code: %s", b.page.text())
		}

		// Tokens: code exchange 1, refresh 1, userinfo 0, refusals 0.
		var a reply
		exactly("a code with a wrong verifier", 0, func() { a = s.trade(with(exchange(code), "code_verifier", "wrong")) })
		exactly("a code", 1, func() { a = s.trade(exchange(code)) })
		if a.status != http.StatusOK {
			t.Fatalf("no tokens: %s", a.says())
		}
		access, first := a.text(t, "access_token"), a.text(t, "refresh_token")
		exactly("userinfo", 0, func() { s.userinfo(access) })
		exactly("userinfo with junk", 0, func() { s.userinfo("junk") })
		exactly("a refresh", 1, func() { a = s.trade(refresh(first)) })
		exactly("an old refresh token", 1, func() { a = s.trade(refresh(first)) })
		exactly("it once more", 0, func() { a = s.trade(refresh(first)) }) // nothing is left to revoke

		// Introspection 0, whatever it is of; revocation 1, the audit trail with it.
		s.register(api)
		live := s.tokens(v)
		access, first = live.text(t, "access_token"), live.text(t, "refresh_token")
		for what, token := range map[string]string{"an access token": access, "a refresh token": first, "junk": "junk"} {
			exactly("introspecting "+what, 0, func() { s.inspect(token) })
		}
		exactly("revoking junk", 0, func() { s.giveBack(appClient, "junk") })
		exactly("revoking another's token", 0, func() { s.giveBack(api, access) })
		exactly("revoking", 1, func() { s.giveBack(appClient, access) })
		exactly("revoking it once more", 0, func() { s.giveBack(appClient, first) })
		exactly("introspecting it", 0, func() { s.inspect(access) })

		// An assertion is used up by a commit of its own, and by none if it is wrong.
		s.register(keyed("keyed", jwks(t, theKeys()["ES256"].jwk(t))))
		by := func(path string, v url.Values) func() {
			return func() { ask(t, s, send(t, path, both(asking[path], v))) }
		}
		right := proof(t, "keyed")
		exactly("a service's token, by a secret", 0, by("/token", values("client_id", "api", "client_secret", appSecret)))
		exactly("a service's token, by an assertion", 1, by("/token", right))
		exactly("introspecting, by an assertion", 1, by("/introspect", proof(t, "keyed")))
		exactly("an assertion once more", 0, by("/token", right))
		exactly("a wrong assertion", 0, by("/token", proof(t, "nobody")))

		// A silent re-login: 1.
		exactly("authorize, signed in", 1, func() { b.open(issuer + "/authorize?" + v.Encode()) })
		if b.page.url.Host != "app.example" || !b.page.url.Query().Has("code") {
			t.Fatalf("at %s", b.page.text())
		}
		exactly("authorize, silent", 1, func() { b.open(issuer + "/authorize?" + with(v, "prompt", "none").Encode()) })
		stranger := newBrowser(t, s.net)
		exactly("authorize, silent and a stranger", 0, func() { stranger.open(issuer + "/authorize?" + with(v, "prompt", "none").Encode()) })
		for what, path := range map[string]string{
			"discovery": "/.well-known/openid-configuration", "keys": "/jwks.json", "an error": "/authorize", "nothing": "/nothing",
			"a bad request": "/authorize?" + with(v, "scope", "x").Encode(), "another's flow": "/flow/x",
		} {
			exactly(what, 0, func() { ask(t, s, get(t, path, "Cookie", b.cookies())) })
		}
		exactly("account", 0, func() { b.open(issuer + "/account") })
		at("account")

		// Logging out: 1, with all whom that is to be told.
		s.register(leaving())
		out := issuer + "/logout?" + values("id_token_hint", live.text(t, "id_token")).Encode()
		exactly("asking to log out", 0, func() { b.open(issuer + "/logout") })
		exactly("logging out", 1, func() { b.open(out) })
		if len(s.untold()) != 1 {
			t.Errorf("at %s", b.page.text())
		}
		exactly("logging out once more", 0, func() { b.open(out) })
		exactly("looking for who is to be told", 1, func() {
			_, err := s.db.ClaimLogouts(t.Context(), now(), now().Add(time.Hour), 10)
			if err != nil {
				t.Error(err)
			}
		})
		exactly("looking where nobody is", 0, func() {
			_, err := s.db.ClaimLogouts(t.Context(), now(), now().Add(time.Hour), 10)
			if err != nil {
				t.Error(err)
			}
		})

		// A service's token is nobody's, and nothing is kept of it.
		s.register(provider.Client{ID: "service", Type: provider.Service, Secrets: []provider.Hash{hash(appSecret)},
			GrantTypes: []string{"client_credentials"}, Scopes: []string{"jobs"}})
		exactly("client credentials", 0, func() {
			a = ask(t, s, send(t, "/token", url.Values{"grant_type": {"client_credentials"}}, "Authorization", basic("service", appSecret)))
		})
		if a.status != http.StatusOK {
			t.Errorf("client credentials: %s", a.says())
		}
	})
}

// A whole login with password, code and consent: at most 5 commits, of which
// the token is one.
func TestAWholeLoginIsFiveCommits(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.keyring("sub-alice")
		before := s.db.Stats().Commits
		b := s.browser
		b.open(s.app.request())
		b.submit("password", "username", "alice", "password", "correct horse battery")
		b.submit("otp", "code", phone.code(0))
		b.submit("consent", "decision", "allow")
		s.app.callback(b.page)
		if got := s.db.Stats().Commits - before; got > 5 {
			t.Errorf("%d commits, want at most 5", got)
		}
	})
}

// The counter counts: a commit is one, whatever it holds, and a rollback none.
func TestTheCounterOfCommitsCounts(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		h := newHouse(t, dsn)
		before := h.db.Stats().Commits
		for range 2 {
			h.register(provider.Client{ID: "a", Type: provider.SPA})
		}
		err := h.db.Atomically(context.Background(), func(ctx context.Context) error {
			for _, id := range []string{"a", "b"} {
				if err := h.db.SaveConsent(ctx, provider.Consent{Subject: "s", ClientID: id, Given: now()}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		err = h.db.Atomically(context.Background(), func(ctx context.Context) error {
			if err := h.db.SaveConsent(ctx, provider.Consent{Subject: "s", ClientID: "c", Given: now()}); err != nil {
				return err
			}
			return context.Canceled
		})
		if err == nil {
			t.Fatal("a failed transaction was committed")
		}
		if got := h.db.Stats().Commits - before; got != 3 {
			t.Errorf("%d commits, want 3", got)
		}
	})
}
