package test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

// OA-6: the idle limit counts from the last use, and the absolute one from the
// sign-in; at the edge of both. A grace moves neither.
func TestARefreshTokenEnds(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		const idle, end = time.Hour, 170 * time.Minute
		s := newDesk(t, dsn, plan{provider: func(c *provider.Config) {
			c.Lifetimes.RefreshIdle, c.Lifetimes.Refresh, c.Lifetimes.RefreshGrace = idle, end, time.Minute
		}})
		good := func(what, token string) string {
			t.Helper()
			a := s.trade(refresh(token))
			if a.status != http.StatusOK {
				t.Errorf("%s: %s", what, a.says())
				return token
			}
			return a.text(t, "refresh_token")
		}
		over := func(what, token string) {
			t.Helper()
			if a := s.trade(refresh(token)); a.says() != "400 invalid_grant" {
				t.Errorf("%s: %s, want 400 invalid_grant", what, a.says())
			}
		}
		begun := time.Now()
		fresh := func() string { return s.tokens(offline()).text(t, "refresh_token") }
		used, unused, late, twice := fresh(), fresh(), fresh(), fresh()

		time.Sleep(time.Minute)
		used = good("at once", used)
		first := twice
		twice = good("at once", first)
		time.Sleep(idle - time.Minute - time.Microsecond)
		late = good("unused, in time", late)
		time.Sleep(time.Microsecond)
		over("unused, too late", unused)

		time.Sleep(time.Minute - time.Microsecond)
		used = good("an hour after its last use", used)
		time.Sleep(time.Microsecond)
		over("and a moment later", twice)

		time.Sleep(idle - 2*time.Minute)
		late = good("in use", late)
		used = good("in use", used)
		before := used
		for time.Until(begun.Add(end)) > 50*time.Second {
			time.Sleep(min(40*time.Minute, time.Until(begun.Add(end))-50*time.Second))
			before, used = used, good("in use", used)
			late = good("in use", late)
		}
		// What is introspected and what is swept goes by what is stored.
		if g, err := s.db.Grant(t.Context(), strings.Split(used, ".")[1]); err != nil || !g.Expires.Equal(g.Ends) || !g.Ends.Equal(begun.Add(end)) {
			t.Errorf("it is stored to expire at %v and to end at %v, %v", g.Expires, g.Ends, err)
		}
		time.Sleep(time.Until(begun.Add(end)) - time.Microsecond)
		late = good("at its end", late)
		if got := good("at its end, in its grace", before); got != used {
			t.Errorf("the successor became another")
		}
		time.Sleep(time.Microsecond)
		over("beyond its end", late)
		over("beyond its end", used)
		over("beyond its end, in its grace", before)
		same(t, "audit", s.audit("alice", provider.EventReuse), nil)
	})
}

// graceful is a house with a grace of ten seconds.
var graceful = plan{provider: func(c *provider.Config) { c.Lifetimes.RefreshGrace = 10 * time.Second }}

// OA-6: in its grace, a refresh token that was replaced gets the successor that
// it has, with a fresh access token; fosite has none, and where it is had by
// leaving the old token active, families fork (fosite.md 3.3).
func TestInItsGraceARefreshTokenGetsTheSameSuccessor(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn, graceful)
		first := s.tokens(offline())
		second := s.trade(refresh(first.text(t, "refresh_token")))
		seen := map[any]bool{claimsOf(t, second.text(t, "access_token"))["jti"]: true}
		stored := dumped(t, dsn, "grants", "events")
		var last reply
		for _, wait := range []time.Duration{0, 3 * time.Second, 7*time.Second - time.Microsecond} {
			time.Sleep(wait)
			last = s.trade(refresh(first.text(t, "refresh_token")))
			if last.status != http.StatusOK || last.text(t, "refresh_token") != second.text(t, "refresh_token") {
				t.Fatalf("after %v more: %s, or another successor", wait, last.says())
			}
			access, id := claimsOf(t, last.text(t, "access_token")), claimsOf(t, last.text(t, "id_token"))
			if seen[access["jti"]] || access["iat"] != float64(time.Now().Unix()) || id["iat"] != access["iat"] {
				t.Errorf("after %v more: %v and %v are not fresh", wait, access, id)
			}
			seen[access["jti"]] = true
			for _, name := range []string{"acr", "auth_time", "sub", "sid", "nonce"} { // TK-2
				if was := claimsOf(t, first.text(t, "id_token"))[name]; id[name] != was {
					t.Errorf("%s was %v and is %v", name, was, id[name])
				}
			}
		}
		if changed := stored.changed(dumped(t, dsn, "grants", "events")); len(changed) > 0 {
			t.Errorf("and that changed %v", changed)
		}
		third := s.trade(refresh(last.text(t, "refresh_token")))
		if third.status != http.StatusOK {
			t.Errorf("the successor: %s", third.says())
		}
		same(t, "audit", s.audit("alice", provider.EventReuse), nil)
	})
}

// OA-6: what is not the last one, or comes too late, is reuse, as ever.
func TestTheGraceIsForTheLastTokenAndShort(t *testing.T) {
	for name, is := range map[string]struct {
		plans    []plan
		wait     time.Duration
		rotated  int // how often since
		retried  bool
		survives bool
	}{
		"the last, in its grace":   {[]plan{graceful}, 10*time.Second - time.Microsecond, 1, false, true},
		"the last, a moment later": {[]plan{graceful}, 10 * time.Second, 1, false, false},
		"retried, a moment later":  {[]plan{graceful}, 10 * time.Second, 1, true, false}, // which prolongs nothing
		"the one before":           {[]plan{graceful}, 0, 2, false, false},
		"without a grace":          {nil, 0, 1, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, dsn string) {
				s := newDesk(t, dsn, is.plans...)
				first := s.tokens(offline())
				last := first
				for range is.rotated {
					last = s.trade(refresh(last.text(t, "refresh_token")))
				}
				wait := is.wait
				if is.retried {
					time.Sleep(wait - time.Microsecond)
					if a := s.trade(refresh(first.text(t, "refresh_token"))); a.status != http.StatusOK {
						t.Errorf("in its grace: %s", a.says())
					}
					wait = time.Microsecond
				}
				time.Sleep(wait)
				want, reuse := "400 invalid_grant", []string{"token-reuse failure"}
				if is.survives {
					want, reuse = "200", nil
				}
				if a := s.trade(refresh(first.text(t, "refresh_token"))); a.says() != want {
					t.Errorf("got %s, want %s", a.says(), want)
				}
				if a := s.trade(refresh(last.text(t, "refresh_token"))); a.says() != want {
					t.Errorf("the last of the family: %s, want %s", a.says(), want)
				}
				if a := s.userinfo(last.text(t, "access_token")); (a.status == http.StatusOK) != is.survives {
					t.Errorf("userinfo: %s", a.says())
				}
				same(t, "audit", s.audit("alice", provider.EventReuse), reuse)
			})
		})
	}
}

// In its grace a token is no more than any other: of its own client, for what
// was granted or less, and only while that stands.
func TestTheGraceOpensNothingElse(t *testing.T) {
	ctx := context.Background()
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn, graceful)
		s.register(provider.Client{ID: "other", Type: provider.Web, Secrets: []provider.Hash{hash(appSecret)}, RedirectURIs: []string{appURL}})
		other := func(v url.Values) reply {
			return ask(t, s, send(t, "/token", v, "Authorization", basic("other", appSecret)))
		}
		replaced := func() (first, second string) {
			first = s.tokens(naming(offline(), calendar, mailbox)).text(t, "refresh_token")
			return first, s.trade(refresh(first)).text(t, "refresh_token")
		}
		first, second := replaced()
		for name, is := range map[string]struct {
			a    reply
			want string
		}{
			"by another client":     {other(refresh(first)), "400 invalid_grant"},
			"forged":                {s.trade(refresh(forged(first))), "400 invalid_grant"},
			"for more":              {s.trade(with(refresh(first), "scope", "openid phone")), "400 invalid_scope"},
			"for another API":       {s.trade(naming(refresh(first), "https://other.example")), "400 invalid_target"},
			"for less":              {s.trade(with(refresh(first), "scope", "email")), "200"},
			"for one of two":        {s.trade(naming(with(refresh(first), "scope", "email"), mailbox)), "200"},
			"as a code":             {s.trade(exchange(first)), "400 invalid_grant"},
			"introspected, if need": {s.as(appClient, "/introspect", url.Values{"token": {first}}), "403 unauthorized_client"},
		} {
			if is.a.says() != is.want {
				t.Errorf("%s: %s, want %s", name, is.a.says(), is.want)
			}
			if is.a.status == http.StatusOK && is.a.text(t, "refresh_token") != second {
				t.Errorf("%s: another successor", name)
			}
			if name == "for one of two" && s.audienceOf(appClient, is.a) != mailbox || name == "for less" && is.a.text(t, "scope") != "email" {
				t.Errorf("%s: got %s", name, is.a.body)
			}
		}
		if a := s.trade(refresh(second)); a.status != http.StatusOK {
			t.Errorf("and that ended the family: %s", a.says())
		}

		first, second = replaced()
		s.people.change("alice", func(u *provider.User) { u.Disabled = true })
		if a := s.trade(refresh(first)); a.says() != "400 invalid_grant" {
			t.Errorf("of a disabled user: %s", a.says())
		}
		s.people.change("alice", func(u *provider.User) { u.Disabled = false })
		if a := s.trade(refresh(first)); a.status != http.StatusOK || a.text(t, "refresh_token") != second {
			t.Errorf("enabled again: %s", a.says())
		}
		s.giveBack(appClient, second)
		if a := s.trade(refresh(first)); a.says() != "400 invalid_grant" {
			t.Errorf("of a revoked grant: %s", a.says())
		}
		first, _ = replaced()
		if err := s.db.RevokeConsent(ctx, "sub-alice", "app", now()); err != nil {
			t.Fatal(err)
		}
		if a := s.trade(refresh(first)); a.says() != "400 invalid_grant" {
			t.Errorf("without a consent: %s", a.says())
		}
		same(t, "audit", s.audit("alice", provider.EventReuse), nil)
	})
}

// A grace that is longer than tokens live gives no dead one back.
func TestTheGraceOutlivesNoToken(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn, plan{provider: func(c *provider.Config) {
			c.Lifetimes.RefreshGrace, c.Lifetimes.RefreshIdle = time.Minute, 30*time.Second
		}})
		first := s.tokens(offline()).text(t, "refresh_token")
		second := s.trade(refresh(first)).text(t, "refresh_token")
		time.Sleep(30*time.Second - time.Microsecond)
		if a := s.trade(refresh(first)); a.status != http.StatusOK {
			t.Errorf("in time: %s", a.says())
		}
		time.Sleep(time.Microsecond)
		for name, token := range map[string]string{"replaced": first, "the last": second} {
			if a := s.trade(refresh(token)); a.says() != "400 invalid_grant" {
				t.Errorf("%s: %s, want 400 invalid_grant", name, a.says())
			}
		}
	})
}

// OA-6, SU-1: what a scope demands is demanded of the claims that stand for it,
// at each use and not only when they were asked for.
func TestAClaimIsRefreshedForNoLessThanItsScope(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		strict := newHouse(t, dsn, plan{people: s.people, provider: func(c *provider.Config) { c.ScopeFloors = map[string]authflow.Floor{"phone": {Level: "phr"}} }})
		v := with(authorization(), "scope", "openid offline_access")
		named := with(v, "claims", `{"userinfo":{"phone_number":null}}`)
		for name, is := range map[string]struct {
			v    url.Values
			h    http.Handler
			want string
		}{
			"without the claim":   {v, strict, "200"},
			"with it":             {named, strict, "400 invalid_grant"},
			"with it, as it was":  {named, s, "200"},
			"by its scope alone":  {with(v, "scope", "phone offline_access"), strict, "400 invalid_grant"},
			"by its scope":        {with(v, "scope", "openid phone offline_access"), strict, "200"}, // which is left out
			"another of the same": {with(v, "claims", `{"id_token":{"phone_number_verified":null}}`), strict, "400 invalid_grant"},
		} {
			token := s.tokens(is.v).text(t, "refresh_token")
			a := ask(t, is.h, send(t, "/token", refresh(token), "Authorization", basic("app", appSecret)))
			if a.says() != is.want || strings.Contains(a.body, "phone") {
				t.Errorf("%s: %s, want %s", name, a.says(), is.want)
			}
		}
	})
}
