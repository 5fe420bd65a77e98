package test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage/storagetest"
)

// OA-10: a client's keys come from where it publishes them, and it may change
// them there. How often that is asked does not depend on who comes.
func TestAClientPublishesItsKeys(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		p := newPublisher(t)
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t, dsn, reachable)
			c := keyed("keyed", nil)
			c.KeysURI = p.URL + "/jwks"
			s.register(c)
			keys := theKeys()
			old, next := string(jwks(t, keys["ES256"].jwk(t))), string(jwks(t, keys["other"].jwk(t)))
			nameless := string(jwks(t, keys["RS256"].jwk(t, "kid", nil)))
			byOld, byNew := variation{}, variation{key: "other"}
			byNameless := variation{alg: "RS256", key: "RS256", header: members("kid", nil)}
			const missing = "503 server_error"
			began := time.Now()
			for _, is := range []struct {
				at      time.Duration
				publish string // "-": nothing any more
				by      variation
				want    string
				asked   int
			}{
				{at: 0, by: byOld, want: missing, asked: 1},
				{at: time.Second, publish: old, by: byOld, want: missing, asked: 1},
				{at: 10 * time.Second, by: byOld, want: authenticated, asked: 2},
				{at: 11 * time.Second, by: byOld, want: authenticated, asked: 2},
				{at: 12 * time.Second, publish: next, by: byNew, want: unknown, asked: 2},
				{at: 30 * time.Second, by: variation{key: "stranger", header: members("kid", "the ES256 key")}, want: unknown, asked: 2},
				{at: 70 * time.Second, by: byNew, want: authenticated, asked: 3}, // a new kid
				{at: 71 * time.Second, by: byOld, want: unknown, asked: 3},       // the old is gone
				{at: 72 * time.Second, by: byNew, want: authenticated, asked: 3},
				{at: 129 * time.Second, by: variation{key: "stranger"}, want: unknown, asked: 3},
				{at: 130 * time.Second, by: variation{key: "stranger", header: members("kid", "the other key")}, want: unknown, asked: 3}, // no news
				{at: 130 * time.Second, by: variation{key: "stranger"}, want: unknown, asked: 4},
				{at: 131 * time.Second, by: variation{key: "stranger"}, want: unknown, asked: 4},
				{at: 189 * time.Second, publish: nameless, by: byNameless, want: unknown, asked: 4},
				{at: 190 * time.Second, by: byNameless, want: authenticated, asked: 5}, // without a kid too
				{at: 300 * time.Second, publish: "-", by: byNameless, want: authenticated, asked: 5},
				{at: 301 * time.Second, by: byNew, want: missing, asked: 6}, // who knows what it published
				{at: 302 * time.Second, by: byNew, want: missing, asked: 6},
				{at: 303 * time.Second, by: byNameless, want: authenticated, asked: 6},
				{at: 600 * time.Second, by: byNameless, want: authenticated, asked: 7}, // stale
				{at: 190*time.Second + time.Hour, by: byNameless, want: missing, asked: 8},
				{at: 200*time.Second + time.Hour, publish: "no keys", by: byNameless, want: missing, asked: 9},
				{at: 210*time.Second + time.Hour, publish: `{"keys":[]}`, by: byNameless, want: unknown, asked: 10},
				{at: 270*time.Second + time.Hour, publish: old, by: byOld, want: authenticated, asked: 11},
			} {
				time.Sleep(is.at - time.Since(began))
				if is.publish != "" {
					p.publish("/jwks", strings.TrimPrefix(is.publish, "-"))
				}
				for path := range asking {
					a := ask(t, s, send(t, path, both(asking[path], asserted(is.by.sign(t, aboutItself("keyed"))))))
					if a.says() != is.want || p.times("/jwks") != is.asked {
						t.Errorf("after %v, %s: %s, having asked %d times; want %s, %d times",
							is.at, path, a.says(), p.times("/jwks"), is.want, is.asked)
					}
					if got := a.header.Get("Retry-After"); (a.status == http.StatusServiceUnavailable) != (got != "") {
						t.Errorf("after %v: %d with Retry-After %q", is.at, a.status, got)
					}
				}
			}
		})
	})
}

// OA-10: what is not public is not asked, whatever a client registered. That is
// no fault of who asks, and the log says what it is.
func TestKeysAreNotFetchedFromWithin(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		p := newPublisher(t)
		p.publish("/jwks", string(jwks(t, theKeys()["ES256"].jwk(t))))
		s := newStage(t, dsn) // not in a bubble: names are looked up
		port := p.URL[strings.LastIndexByte(p.URL, ':'):]
		for host, reason := range map[string]string{
			"https://127.0.0.1" + port: "prohibited", "https://localhost" + port: "prohibited", "https://[::1]" + port: "prohibited",
			"https://[::ffff:127.0.0.1]" + port: "prohibited", "http://127.0.0.1" + port: "prohibited", "http://[::1]" + port: "prohibited",
			"https://10.0.0.1": "prohibited", "https://169.254.169.254": "prohibited", "https://192.168.0.1": "prohibited",
			"http://app.example": "only https", "file://": "only https",
		} {
			c := keyed("keyed", nil)
			c.KeysURI = host + "/jwks"
			s.register(c)
			a := ask(t, s, send(t, "/token", both(asking["/token"], proof(t, "keyed"))))
			if a.says() != "503 server_error" {
				t.Errorf("%s: %s, want 503 server_error", host, a.says())
			}
			if strings.Contains(a.body, host) || strings.Contains(a.body, "prohibited") {
				t.Errorf("%s: the answer says what the server can reach: %s", host, a.body)
			}
			log := s.said()
			if !strings.Contains(log, "the keys of client keyed") || !strings.Contains(log, reason) {
				t.Errorf("%s: the log does not say %q:\n%s", host, reason, log)
			}
		}
		if p.times("/jwks") != 0 {
			t.Errorf("asked %d times", p.times("/jwks"))
		}
	})
}

// A store that fails says nothing about the client. Whether or not the call
// happened, who asks again with a new assertion comes through.
func TestAFailedStoreIsNoWrongAssertion(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		w := newWard(t, dsn)
		w.register(keyed("keyed", jwks(t, theKeys()["ES256"].jwk(t))))
		sent := func(v url.Values, fault storagetest.Fault) (said string, calls []string) {
			faulty := storagetest.Faulty(w.watched, fault)
			w.store.Store = faulty
			a := ask(t, w, send(t, "/token", both(asking["/token"], v)))
			return a.says(), faulty.Calls()
		}
		said, calls := sent(proof(t, "keyed"), storagetest.Fault{})
		if said != authenticated || !slices.Equal(calls, []string{"Client", "SpendAssertion"}) {
			t.Fatalf("%s by the calls %v", said, calls)
		}
		for n, name := range calls {
			for _, after := range []bool{false, true} {
				v := proof(t, "keyed")
				if said, _ := sent(v, storagetest.Fault{Call: n + 1, After: after}); said != "503 server_error" {
					t.Errorf("%s failed (after: %t): %s, want 503 server_error", name, after, said)
				}
				want := authenticated
				if name == "SpendAssertion" && after {
					want = unknown
				}
				if said, _ := sent(v, storagetest.Fault{}); said != want {
					t.Errorf("%s failed (after: %t), and the assertion again: %s, want %s", name, after, said, want)
				}
				if said, _ := sent(proof(t, "keyed"), storagetest.Fault{}); said != authenticated {
					t.Errorf("%s failed (after: %t), and another assertion: %s", name, after, said)
				}
			}
		}
	})
}

// bumped is a store whose epoch has just been bumped.
type bumped struct{ storagetest.Store }

func (bumped) SpendAssertion(context.Context, provider.Hash, time.Time, time.Time) error {
	return provider.ErrVoid
}

// After a restore all assertions of before are refused. Whoever made them is who it
// says, guesses nothing, and is let in with the next.
func TestAnAssertionOfAnOlderEpochIsNoGuess(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		rate := provider.Rate{Requests: 1, Per: time.Hour}
		w := newWard(t, dsn, limits(func(l *provider.Limits) { l.ClientFailures, l.AddressFailures = rate, rate }))
		w.register(keyed("keyed", jwks(t, theKeys()["ES256"].jwk(t))))
		says := func() string { return ask(t, w, send(t, "/token", both(asking["/token"], proof(t, "keyed")))).says() }
		w.store.Store = bumped{w.watched}
		for range 3 {
			if said := says(); said != unknown {
				t.Errorf("of an older epoch: %s, want %s", said, unknown)
			}
		}
		w.store.Store = w.watched
		if said := says(); said != authenticated {
			t.Errorf("the next: %s, want %s", said, authenticated)
		}
	})
}
