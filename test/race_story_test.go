package test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

// The stories here take real time: what they ask is which of many that come at
// once a database lets through.

// racers is how many do the same at once.
const racers = 50

// A pair is two replicas over one database, and a browser's way to each.
type pair struct {
	*stage
	second *house
	nets   [2]hosts
}

func newPair(t testing.TB, dsn string, plans ...plan) *pair {
	t.Helper()
	plans = append(plans, noLimits)
	s := newStage(t, dsn, plans...)
	second := newHouse(t, dsn, append(plans, plan{people: s.people})...)
	return &pair{s, second, [2]hosts{s.net, {"idp.example": second, "app.example": callbackHost}}}
}

// toldOf returns how often someone was told of k, by either replica.
func (p *pair) toldOf(k provider.NoticeKind) int {
	return tally(append(p.told(), p.second.told()...))[k]
}

// at returns b as if its connections ended at replica i.
func (p *pair) at(i int, b *browser) *browser {
	client := *b.client
	client.Transport = p.nets[i%2]
	return &browser{t: b.t, client: &client, page: b.page}
}

// together calls f racers times at once and returns what each returned.
func together[T any](f func(i int) T) []T {
	got := make([]T, racers)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range got {
		all.Go(func() {
			<-start
			got[i] = f(i)
		})
	}
	close(start)
	all.Wait()
	return got
}

// tally counts how often each of all stands there.
func tally[T comparable](all []T) map[T]int {
	n := map[T]int{}
	for _, v := range all {
		n[v]++
	}
	return n
}

// halfway returns browsers with a flow each, behind alice's password.
func (p *pair) halfway(n int) (all []*browser) {
	p.t.Helper()
	for range n {
		b := newBrowser(p.t, p.net)
		b.open(p.app.tab().request("prompt", "consent"))
		b.password("alice")
		b.at("factor", http.StatusOK)
		all = append(all, b)
	}
	return all
}

// through returns how many of the flows have a proof of m, in the database.
func (p *pair) through(all []*browser, m authflow.Method) (n int) {
	p.t.Helper()
	for _, b := range all {
		if !p.stored(b.page).State.Login.Proofs[m].IsZero() {
			n++
		}
	}
	return n
}

// unending is a budget that does not get into the way of a race.
var unending = plan{mfa: func(c *mfa.Config) {
	c.Budget = mfa.FactorBudget
	c.Budget.Free, c.Budget.Day, c.Budget.Month, c.Budget.Stolen = 100, 1000, 1000, 0
}}

// TO-2: over flows, posts and replicas, whatever the budget would have said.
func TestOneOfFiftyPostsOfACodeWins(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		p := newPair(t, dsn, unending)
		phone := p.enrolled("alice")
		flows := p.halfway(10)
		code := phone.code(1) // good for a minute at least
		pages := together(func(i int) *page {
			b := p.at(i, flows[i%len(flows)])
			return b.once(b.request("otp", "code", code))
		})
		if got := p.through(flows, authflow.OTP); got != 1 {
			t.Errorf("%d flows were let through by one code, want 1", got)
		}
		if got := p.audit("alice", provider.EventFactor); !slices.Equal(got, []string{"factor success"}) {
			t.Errorf("audit: %v", got)
		}
		for _, page := range pages {
			switch page.status {
			case http.StatusSeeOther: // the one that won, and those that it made late
				if !strings.HasPrefix(page.header.Get("Location"), issuer+"/flow/") {
					t.Errorf("to %s", page.header.Get("Location"))
				}
			case http.StatusUnprocessableEntity:
				if !page.says("problem.code_replayed") {
					t.Errorf("got %s", page.text())
				}
			default:
				t.Errorf("got %s", page.text())
			}
		}
	})
}

// RC-1
func TestOneOfFiftyPostsOfARecoveryCodeWins(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		p := newPair(t, dsn, unending)
		b := p.browser
		b.open(p.app.request())
		_, codes := b.enrolAs("alice")
		flows := p.halfway(5)
		together(func(i int) *page {
			b := p.at(i, flows[i%len(flows)])
			return b.once(post(t, flowURL(b.page.flow()), values("step", "recovery", "code", codes[0])))
		})
		if got := p.through(flows, authflow.Recovery); got != 1 {
			t.Errorf("%d flows were let through by one code, want 1", got)
		}
		if got := p.budget("alice").RecoveryLeft; got != 9 {
			t.Errorf("%d codes left, want 9", got)
		}
		if got := p.toldOf(provider.NoticeRecovery); got != 1 {
			t.Errorf("told %d times, want once", got)
		}
	})
}

// OA-5: one wins, and what it won is revoked, because someone else has the code.
func TestOneOfFiftyRedemptionsOfACodeWins(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		p := newPair(t, dsn)
		p.app.config.Scopes = append(p.app.config.Scopes, "offline_access")
		phone := p.ready("alice")
		b := p.browser
		b.open(p.app.request())
		b.login("alice", phone)
		code := b.page.url.Query().Get("code")
		var mu sync.Mutex
		var won *oauth2.Token
		got := together(func(i int) string {
			token, err := p.app.config.Exchange(p.over(i), code, oauth2.VerifierOption(p.app.verifier))
			if err != nil {
				return refusal(err)
			}
			mu.Lock()
			defer mu.Unlock()
			won = token
			return "won"
		})
		if n := tally(got); n["won"] != 1 || n["invalid_grant"] != racers-1 {
			t.Fatalf("got %v", n)
		}
		if got := p.app.userinfo(won); got != http.StatusUnauthorized {
			t.Errorf("userinfo answers %d", got)
		}
		if _, err := p.app.refresh(won); refusal(err) != "invalid_grant" {
			t.Errorf("refresh: %v", err)
		}
	})
}

// RFC 7523 section 3: a jti is good once, over all replicas. The losers get no
// other answer than whoever comes with a wrong key.
func TestOneOfFiftyUsesOfAnAssertionWins(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		p := newPair(t, dsn)
		p.register(keyed("keyed", jwks(t, theKeys()["ES256"].jwk(t))))
		houses := [2]*house{p.house, p.second}
		began := time.Now()
		for n := 0; n < rounds && (n < 20 || time.Since(began) < roundsTake); n++ {
			v := both(asking["/token"], proof(t, "keyed"))
			got := together(func(i int) string { return ask(t, houses[i%2], send(t, "/token", v)).says() })
			if n := tally(got); n[authenticated] != 1 || n[unknown] != racers-1 {
				t.Fatalf("got %v", n)
			}
		}
	})
}

// over returns the app's context for calls to replica i.
func (p *pair) over(i int) context.Context {
	return context.WithValue(context.Background(), oauth2.HTTPClient, &http.Client{Transport: p.nets[i%2]})
}

// OA-6
func TestOneOfFiftyRefreshesWins(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		p := newPair(t, dsn)
		p.app.config.Scopes = append(p.app.config.Scopes, "offline_access")
		phone := p.ready("alice")
		b := p.browser
		b.open(p.app.request())
		b.login("alice", phone)
		token := p.app.callback(b.page).token
		got := together(func(i int) string {
			_, err := p.app.config.TokenSource(p.over(i), &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
			if err != nil {
				return refusal(err)
			}
			return "won"
		})
		if n := tally(got); n["won"] != 1 || n["invalid_grant"] != racers-1 {
			t.Errorf("got %v", n)
		}
		if got := p.app.userinfo(token); got != http.StatusUnauthorized {
			t.Errorf("userinfo answers %d", got)
		}
	})
}

// TO-7: of fifty wrong codes at once no more are looked at than are free,
// whether they come by one flow or by many.
func TestParallelWrongCodesDoNotOutrunTheBudget(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		p := newPair(t, dsn)
		phone := p.enrolled("alice")
		for _, n := range []int{1, 10} {
			if err := p.factors.Unlock(t.Context(), "sub-alice"); err != nil {
				t.Fatal(err)
			}
			flows := p.halfway(n)
			wrong := wrongCode(phone)
			statuses := together(func(i int) int {
				b := p.at(i, flows[i%n])
				return b.once(b.request("otp", "code", wrong)).status
			})
			got := tally(statuses)
			if got[http.StatusUnprocessableEntity] != 5 || got[http.StatusTooManyRequests] != racers-5 {
				t.Errorf("over %d flows: %v, want 5 looked at", n, got)
			}
			if d := p.budget("alice"); d.Run != 5 || d.Misses != 5 {
				t.Errorf("over %d flows: charged %+v", n, d)
			}
		}
	})
}

// PA-5: a yes that is clicked twenty times is one code.
func TestManyClicksAreOneCode(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		p := newPair(t, dsn)
		phone := p.enrolled("alice")
		b := p.halfway(1)[0]
		b.submit("otp", "code", phone.code(0))
		b.at("consent", http.StatusOK)
		locations := together(func(i int) string {
			b := p.at(i, b)
			answer := b.once(b.request("consent", "decision", "allow"))
			to, err := url.Parse(answer.header.Get("Location"))
			if err != nil {
				return fmt.Sprint(err)
			}
			if to.Query().Has("code") {
				return "code"
			}
			if answer.says("ended.used.title") || to.Path == "/flow/"+b.page.flow() {
				return "used"
			}
			return answer.text()
		})
		if n := tally(locations); n["code"] != 1 || n["used"] != racers-1 {
			t.Errorf("got %v", n)
		}
		if got := p.sessions("alice"); len(got) != 1 {
			t.Errorf("%d sessions", len(got))
		}
	})
}

// TO-2, PA-7: an enrolment that is confirmed many times at once is one.
func TestManyConfirmationsAreOneEnrolment(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		p := newPair(t, dsn)
		b := p.browser
		b.open(p.app.request())
		b.password("alice")
		b.submit("enroll")
		phone := scan(t, b.page)
		code := phone.code(0)
		together(func(i int) *page {
			b := p.at(i, b)
			return b.once(b.request("confirm", "code", code))
		})
		same(t, "audit", p.audit("alice", provider.EventEnroll), []string{"enroll success"})
		if got := p.toldOf(provider.NoticeEnrolled); got != 1 {
			t.Errorf("told %d times, want once", got)
		}
		b.open(b.page.url.String())
		b.at("codes", http.StatusOK)
		codes := b.page.codes()
		b.submit("saved")
		b.submit("consent", "decision", "allow")
		p.app.callback(b.page)
		// The codes that were shown are those that count.
		b = newBrowser(t, p.net)
		b.open(p.app.request())
		b.password("alice")
		b.follow("/flow/")
		b.submit("recovery", "code", codes[0])
		p.app.callback(b.page)
	})
}
