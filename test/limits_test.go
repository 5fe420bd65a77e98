package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
	"github.com/sallyport-id/sallyport/storage/storagetest"
)

// unlimited has no limit but those that a test sets.
func unlimited() provider.Limits {
	off := provider.Rate{Requests: -1}
	return provider.Limits{Authorize: off, Pages: off, Passwords: off, Pushed: off, Token: off, Introspect: off,
		Userinfo: off, ClientFailures: off, AddressFailures: off}
}

// limits is a plan with only these limits.
func limits(set func(*provider.Limits)) plan {
	return plan{provider: func(c *provider.Config) {
		c.Limits = unlimited()
		set(&c.Limits)
	}}
}

// noLimits is for what asks thousands of times in no time.
var noLimits = limits(func(*provider.Limits) {})

// from asks h from an address.
func from(h http.Handler, address string, r *http.Request) reply {
	in := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), r.Body)
	in.Header, in.RemoteAddr = r.Header.Clone(), netip.AddrPortFrom(netip.MustParseAddr(address), 4711).String()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, in)
	return reply{status: w.Code, header: w.Header(), body: w.Body.String()}
}

// passes sends requests until one is refused for its number, and returns how
// many were not, and for how long the refused one is to wait.
func passes(t *testing.T, most int, do func() reply) (n int, wait time.Duration) {
	t.Helper()
	for ; n < most; n++ {
		a := do()
		if a.status == http.StatusTooManyRequests {
			s, err := strconv.Atoi(a.header.Get("Retry-After"))
			if err != nil || s < 1 {
				t.Fatalf("Retry-After %q", a.header.Get("Retry-After"))
			}
			return n, time.Duration(s) * time.Second
		}
		if a.status >= 500 {
			t.Fatalf("%s\n%s", a.says(), a.body)
		}
	}
	return n, 0
}

// RFC 6585 section 4: each limit lets exactly as many pass, and who waits as
// long as they were told passes; who comes a moment earlier does not.
func TestEachLimitIsExactAndItsRetryAfterHonest(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.register(service)
		s.register(api)
		s.register(webClient)
		rate := provider.Rate{Requests: 30, Per: time.Minute}
		secret := func(id, word string) []string { return []string{"Authorization", basic(id, word)} }
		mine := url.Values{"grant_type": {"client_credentials"}}
		for name, is := range map[string]struct {
			set  func(*provider.Limits)
			send func() *http.Request
			json bool
		}{
			"authorize": {func(l *provider.Limits) { l.Authorize = rate }, func() *http.Request {
				return get(t, "/authorize?"+authorization().Encode())
			}, false},
			"a posted request": {func(l *provider.Limits) { l.Authorize = rate }, func() *http.Request {
				return send(t, "/authorize", authorization())
			}, false},
			"pages":   {func(l *provider.Limits) { l.Pages = rate }, func() *http.Request { return get(t, "/flow/none") }, false},
			"forms":   {func(l *provider.Limits) { l.Pages = rate }, func() *http.Request { return send(t, "/flow/none", url.Values{"step": {"otp"}}) }, false},
			"account": {func(l *provider.Limits) { l.Pages = rate }, func() *http.Request { return get(t, "/account") }, false},
			"token": {func(l *provider.Limits) { l.Token = rate }, func() *http.Request {
				return send(t, "/token", mine, secret(service.ID, appSecret)...)
			}, true},
			"revoke": {func(l *provider.Limits) { l.Token = rate }, func() *http.Request {
				return send(t, "/revoke", url.Values{"token": {"x"}}, secret(service.ID, appSecret)...)
			}, true},
			"push": {func(l *provider.Limits) { l.Pushed = rate }, func() *http.Request {
				return send(t, "/par", with(authorization(), "client_id", webClient.ID), secret(webClient.ID, appSecret)...)
			}, true},
			"introspect": {func(l *provider.Limits) { l.Introspect = rate }, func() *http.Request {
				return send(t, "/introspect", url.Values{"token": {"x"}}, secret(api.ID, appSecret)...)
			}, true},
			"userinfo": {func(l *provider.Limits) { l.Userinfo = rate }, func() *http.Request { return get(t, "/userinfo", "Authorization", "Bearer x") }, true},
			"wrong secrets of one client": {func(l *provider.Limits) { l.ClientFailures = rate }, func() *http.Request {
				return send(t, "/token", mine, secret(service.ID, "wrong")...)
			}, true},
			"unknown clients": {func(l *provider.Limits) { l.AddressFailures = rate }, func() *http.Request {
				return send(t, "/token", mine, secret("made-up-"+strconv.Itoa(time.Now().Nanosecond()), "wrong")...)
			}, true},
		} {
			h := newHouse(t, dsn, limits(is.set))
			address := "198.51.100.7"
			do := func() reply { return from(h, address, is.send()) }
			time.Sleep(2 * time.Minute) // what another house was asked is over
			n, wait := passes(t, 100, do)
			if n != 30 || wait != 2*time.Second {
				t.Errorf("%s: %d passed and the next is to wait %v, want 30 and 2s", name, n, wait)
				continue
			}
			time.Sleep(wait - time.Microsecond)
			if a := do(); a.status != http.StatusTooManyRequests {
				t.Errorf("%s: a moment too early: %s", name, a.says())
			}
			time.Sleep(time.Microsecond)
			if n, _ := passes(t, 100, do); n != 1 {
				t.Errorf("%s: after the wait %d passed, want 1", name, n)
			}
			a := do()
			if is.json {
				var v map[string]string
				if err := json.Unmarshal([]byte(a.body), &v); err != nil || v["error"] != "temporarily_unavailable" || !strings.Contains(v["error_description"], "again in 2 seconds") {
					t.Errorf("%s: %v %s", name, err, a.body)
				}
			} else if !strings.Contains(a.body, "Wait 2 seconds, then go back and try again.") {
				t.Errorf("%s: no sentence that says what to do:\n%s", name, a.body)
			}
		}
	})
}

// PW-3: wrong passwords from one address are counted, whoever they are for, and
// right ones are not; beyond, the right one is refused like any other.
func TestWrongPasswordsAreLimitedByAddress(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn, limits(func(l *provider.Limits) { l.Passwords = provider.Rate{Requests: 20, Per: 10 * time.Minute} }))
		s.ready("bob")
		for range 30 { // an office
			b := newBrowser(t, s.net)
			b.open(s.app.request())
			b.password("bob")
			b.at("factor", http.StatusOK)
		}
		b := newBrowser(t, s.net)
		for i := range 20 {
			b.open(s.app.request())
			b.submit("password", "username", fmt.Sprint("nobody", i), "password", "a guess")
			b.at("password", http.StatusUnprocessableEntity)
		}
		var said []string
		for _, name := range []string{"alice", "nobody", "bob"} {
			b.open(s.app.request())
			asked := s.people.asked
			b.submit("password", "username", name, "password", passwords["bob"])
			if b.page.status != http.StatusTooManyRequests || b.page.header.Get("Retry-After") != "30" || s.people.asked != asked {
				t.Errorf("%s: %d, Retry-After %q, the password looked at: %v", name, b.page.status, b.page.header.Get("Retry-After"), s.people.asked != asked)
			}
			said = append(said, requestID.ReplaceAllString(b.page.body, ""))
		}
		if said[0] != said[1] || said[1] != said[2] {
			t.Errorf("what is said differs by name:\n%s", strings.Join(said, "\n"))
		}
		time.Sleep(30 * time.Second)
		b.open(s.app.request())
		b.password("bob")
		b.at("factor", http.StatusOK)
	})
}

// Several replicas over one database let at most a tenth of the limit each pass
// beyond it, however requests are spread, and from then on what one does.
func TestLimitsHoldOverReplicas(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		const replicas, most = 4, 200
		plan := limits(func(l *provider.Limits) { l.Authorize = provider.Rate{Requests: most, Per: 200 * time.Second} })
		var all []*house
		for range replicas {
			all = append(all, newHouse(t, dsn, plan))
		}
		register(t, all[0])
		address := "198.51.100.7"
		r := func() *http.Request { return get(t, "/authorize?"+authorization().Encode()) }
		round := func() (n int) {
			for full := 0; full < replicas; {
				full = 0
				for _, h := range all {
					if a := from(h, address, r()); a.status == http.StatusTooManyRequests {
						full++
					} else {
						n++
					}
				}
			}
			return n
		}
		bound := most + replicas*most/10
		if n := round(); n < most || n > bound {
			t.Errorf("%d passed, want from %d to %d", n, most, bound)
		}
		// And over a long time no more than at one: 400 in 400 seconds, beside
		// the bound.
		n := 0
		for range 400 {
			time.Sleep(time.Second)
			for _, h := range all {
				if from(h, address, r()).status != http.StatusTooManyRequests {
					n++
				}
			}
		}
		if n > 400+replicas*most/10 {
			t.Errorf("%d passed in 400 seconds, want 400 and at most %d more", n, replicas*most/10)
		}
		if got := from(all[1], "198.51.100.8", r()); got.status == http.StatusTooManyRequests {
			t.Error("another address is refused too")
		}
	})
}

// An IPv6 line has a /64 of addresses, and they are one.
func TestAnIPv6NetworkIsOneAddress(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		h := newHouse(t, dsn, limits(func(l *provider.Limits) { l.Authorize = provider.Rate{Requests: 10, Per: time.Minute} }))
		register(t, h)
		i := 0
		n, _ := passes(t, 100, func() reply {
			i++
			return from(h, fmt.Sprintf("2001:db8:1:2:%x::%x", i, i), get(t, "/authorize?"+authorization().Encode()))
		})
		if n != 10 {
			t.Errorf("%d passed from one /64, want 10", n)
		}
		for _, other := range []string{"2001:db8:1:3::1", "192.0.2.9"} {
			if a := from(h, other, get(t, "/authorize?"+authorization().Encode())); a.status == http.StatusTooManyRequests {
				t.Errorf("%s is refused too", other)
			}
		}
		// However an IPv4 address is written.
		if n, _ := passes(t, 100, func() reply {
			return from(h, "::ffff:192.0.2.9", get(t, "/authorize?"+authorization().Encode()))
		}); n != 9 {
			t.Errorf("%d more passed of the same address as IPv6, want 9", n)
		}
	})
}

// Who fails as someone's client does not keep that client out, but from the
// same address; and as a public client, whoever comes, nobody spends what it has
// elsewhere.
func TestNobodyIsLockedOutFromAnotherAddress(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		h := newHouse(t, dsn, limits(func(l *provider.Limits) {
			l.ClientFailures = provider.Rate{Requests: 10, Per: time.Minute}
			l.Token = provider.Rate{Requests: 10, Per: time.Minute}
		}))
		h.register(service)
		h.register(spaClient)
		mine := url.Values{"grant_type": {"client_credentials"}}
		passes(t, 100, func() reply {
			return from(h, "198.51.100.7", send(t, "/token", mine, "Authorization", basic(service.ID, "wrong")))
		})
		right := func(address string) reply {
			return from(h, address, send(t, "/token", mine, "Authorization", basic(service.ID, appSecret)))
		}
		if a := right("198.51.100.7"); a.status != http.StatusTooManyRequests {
			t.Errorf("from the address that guesses: %s", a.says())
		}
		if a := right("203.0.113.5"); a.status != http.StatusOK {
			t.Errorf("from its own address: %s", a.says())
		}
		public := func(address string) reply {
			return from(h, address, send(t, "/token", url.Values{"client_id": {spaClient.ID}, "grant_type": {"authorization_code"}, "code": {"x"}}))
		}
		if n, _ := passes(t, 100, func() reply { return public("198.51.100.7") }); n != 10 {
			t.Errorf("%d passed as a public client, want 10", n)
		}
		if a := public("203.0.113.5"); a.status == http.StatusTooManyRequests {
			t.Errorf("from another address: %s", a.says())
		}
	})
}

// Where the store cannot count there is no answer, and what was not counted is
// counted later.
func TestALimitIsNeverSilentlyOff(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		var store *storagetest.FaultyStore
		h := newHouse(t, dsn, limits(func(l *provider.Limits) { l.Userinfo = provider.Rate{Requests: 20, Per: 20 * time.Second} }),
			plan{store: func(db *storage.DB) (provider.Store, mfa.Store) {
				store = storagetest.Faulty(db, storagetest.Fault{Call: 1})
				return store, store
			}})
		do := func() reply { return from(h, "198.51.100.7", get(t, "/userinfo", "Authorization", "Bearer x")) }
		if a := do(); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") != "5" {
			t.Errorf("the store is away: %s", a.says())
		}
		if n, _ := passes(t, 100, do); n != 19 {
			t.Errorf("%d passed, want 19: the first took its place", n)
		}
	})
}

// As many at once as there are, no more pass.
func TestALimitHoldsAgainstManyAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		h := newHouse(t, dsn, limits(func(l *provider.Limits) { l.Userinfo = provider.Rate{Requests: 100, Per: 24 * time.Hour} }))
		var wg sync.WaitGroup
		var mu sync.Mutex
		n := 0
		for range 8 {
			wg.Go(func() {
				for range 25 {
					if a := from(h, "198.51.100.7", get(t, "/userinfo", "Authorization", "Bearer x")); a.status == http.StatusUnauthorized {
						mu.Lock()
						n++
						mu.Unlock()
					}
				}
			})
		}
		wg.Wait()
		if n != 100 {
			t.Errorf("%d passed, want 100", n)
		}
	})
}

// register stores the app that authorization is of.
func register(t *testing.T, h *house) {
	t.Helper()
	h.register(provider.Client{ID: "app", Type: provider.Web, Secrets: []provider.Hash{hash(appSecret)}, RedirectURIs: []string{appURL}})
}

func TestALimitThatIsNoneIsRefused(t *testing.T) {
	for _, r := range []provider.Rate{{Requests: 0, Per: time.Minute}, {Requests: 1}, {Requests: 1, Per: 25 * time.Hour}, {Requests: 2e6, Per: time.Minute}} {
		_, err := provider.New(provider.Config{Issuer: issuer, Directory: newPeople(), Limits: provider.Limits{Token: r}})
		if !errors.Is(err, provider.ErrConfig) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}
