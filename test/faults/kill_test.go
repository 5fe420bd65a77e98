package faults

import (
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/sallyport-id/sallyport/test/fleet"
)

// A detour sends requests where they would go, or all to one replica.
type detour struct {
	http.RoundTripper
	to atomic.Pointer[url.URL]
}

func (d *detour) RoundTrip(r *http.Request) (*http.Response, error) {
	to := d.to.Load()
	if to == nil {
		return d.RoundTripper.RoundTrip(r)
	}
	q := r.Clone(r.Context())
	q.Host, q.URL.Host = r.URL.Host, to.Host
	return d.RoundTripper.RoundTrip(q)
}

// A stage of a login is what a replica is killed at. Each call makes one that is
// ready to be done. again is what whoever saw it fail does next, over the other
// replicas: killed after the commit, or before it.
type stage struct {
	do    func() error
	again func(committed bool)
}

// stages are all of a login that write, and the refresh after it.
var stages = []struct {
	name  string
	ready func(p *parlour) (*person, stage)
}{
	{"authorize", func(p *parlour) (*person, stage) {
		w := p.person(true)
		begin := func() error {
			l, err := p.site.Begin(p.Context(), nil)
			if err == nil {
				w.Login = l
			}
			return err
		}
		return w, stage{begin, func(bool) { p.must(begin()); w.in() }}
	}},
	{"password", func(p *parlour) (*person, stage) {
		w := p.person(true)
		return w, stage{func() error { return w.say("password") }, func(bool) {
			p.must(w.say("password"))
			w.in()
		}}
	}},
	{"code of the app", func(p *parlour) (*person, stage) {
		w := p.person(true)
		w.to("otp")
		code := w.code()
		give := func() error { return w.factor("otp", code) }
		return w, stage{give, func(bool) {
			p.must(give()) // used or not, it leads on
			if w.Page.Step() != "consent" {
				p.Errorf("stays at %q", w.Page.Step())
			}
			w.in()
			w.refused("otp", code)
		}}
	}},
	{"consent", func(p *parlour) (*person, stage) {
		w := p.person(true)
		w.to("consent")
		return w, stage{func() error { return w.say("consent") }, func(committed bool) {
			if err := w.say("consent"); !committed {
				p.must(err)
			}
			if w.Page.Step() != "" || w.Page.URL.Query().Get("code") == "" {
				if !committed {
					p.Errorf("it was not granted, and leads nowhere: %s", w.Page.URL)
				}
				w.again() // the next code of the app leads in
			}
			w.in()
		}}
	}},
	{"token", func(p *parlour) (*person, stage) {
		w := p.person(true)
		w.to("")
		code, err := w.Code()
		p.must(err)
		redeem := func() error { _, err := w.Redeem(p.Context(), code); return err }
		return w, stage{redeem, func(committed bool) {
			if err := redeem(); committed != (status(err) == 400) {
				p.Errorf("the code, tried again: %v", err)
			}
			if err := redeem(); status(err) != 400 {
				p.Errorf("a code is good twice: %v", err)
			}
			w.again()
			w.in()
		}}
	}},
	{"refresh", func(p *parlour) (*person, stage) {
		w := p.person(true)
		old := w.in().Refresh
		return w, stage{func() error { _, err := p.site.Refresh(p.Context(), old); return err }, func(bool) {
			tokens, err := p.site.Refresh(p.Context(), old) // in its grace
			p.must(err)
			if active, err := p.site.Active(p.Context(), tokens.Access); err != nil || !active {
				p.Errorf("the new access token is active: %v, %v", active, err)
			}
			_, err = p.site.Refresh(p.Context(), tokens.Refresh)
			p.must(err)
			if _, err := p.site.Refresh(p.Context(), old); status(err) != 400 {
				p.Errorf("a refresh token is good for ever: %v", err)
			}
		}}
	}},
}

func (p *parlour) must(err error) {
	p.Helper()
	if err != nil {
		p.Error(err)
	}
}

// A replica is killed (SIGKILL) at each write of a login: before each statement
// that writes, before each COMMIT and after it, while others sign in over the
// other replicas. Whoever was at it goes on there, with nothing lost but a code
// for tokens that was redeemed already; the browser is not signed in by half of
// a login, and nothing is good twice.
func TestAReplicaKilledAtEachWriteOfALogin(t *testing.T) {
	needsPostgres(t)
	t.Parallel()
	rounds := times(1, 100)
	crowded := times(100, 600)
	b := balancer(t)
	h := open(t, fleet.Plan{
		Database: "postgres", Users: crowded + rounds*100, Issuer: b.URL, More: "lifetimes: {refresh_grace: 30s}\n",
	})
	wire, through := wired(t, h.DSN)
	others := start(t, h, 2)
	victim, err := h.StartAt(t.Context(), through)
	if err != nil {
		t.Fatal(err)
	}
	b.Set(others...)
	towards, err := url.Parse(victim.URL)
	if err != nil {
		t.Fatal(err)
	}

	l := newLoad(t, visit(t, h), crowded)
	site := visit(t, h)
	way := &detour{RoundTripper: site.Transport}
	site.Transport = way
	p := &parlour{T: t, site: site, next: crowded}

	whole := p.person(true)
	whole.in()
	if to := p.silently(whole); to.Query().Get("code") == "" {
		t.Fatalf("with a whole login, a request that may ask nothing is answered with %s", to)
	}

	kills := map[fleet.Moment]int{}
	at := map[string]int{}
	for range rounds {
		for _, s := range stages {
			for _, moment := range []fleet.Moment{fleet.Write, fleet.Commit, fleet.Committed} {
				for n := 1; ; n++ {
					w, stage := s.ready(p)
					killed := make(chan struct{})
					wire.Arm(n, moment, func() {
						defer close(killed)
						if err := victim.Kill(); err != nil {
							t.Error(err)
						}
					})
					way.to.Store(towards)
					err := stage.do()
					way.to.Store(nil)
					text := wire.Disarm()
					if text == "" {
						if err != nil || n == 1 {
							t.Fatalf("%s: %s number %d: %v", s.name, moment, n, err)
						}
						break
					}
					<-killed
					kills[moment]++
					at[s.name]++
					if err == nil || status(err) != 0 {
						t.Errorf("a replica that was killed answers: %v", err)
					}
					if s.name != "token" && s.name != "refresh" {
						if got := p.silently(w).Query().Get("error"); got != "login_required" {
							t.Errorf("with half of a login, a request that may ask nothing is answered with %q", got)
						}
					}
					stage.again(moment == fleet.Committed)
					if t.Failed() {
						t.Fatalf("%s, killed %s number %d: %.80s", s.name, moment, n, text)
					}
					if err := victim.Restart(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	l.more("the load to have gone on", enough)
	l.Stop()
	report(t, "killed", fmt.Sprint(kills), "at", fmt.Sprint(at))
	if _, away := l.count(); away[""] > 0 {
		t.Errorf("over the other replicas %d were told to come again", away[""])
	}
	l.audit()
}

// silently sends w's browser with a request that may ask nothing, and returns
// where it comes to.
func (p *parlour) silently(w *person) *url.URL {
	p.Helper()
	q := url.Values{
		"client_id": {fleet.App}, "redirect_uri": {fleet.Callback}, "response_type": {"code"}, "state": {"s"}, "nonce": {"n"},
		"scope": {"openid"}, "prompt": {"none"}, "code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
	}
	r, err := http.NewRequestWithContext(p.Context(), http.MethodGet, p.site.Issuer+"/authorize?"+q.Encode(), nil)
	if err != nil {
		p.Fatal(err)
	}
	page, err := w.Browser.Open(r)
	if err != nil {
		p.Fatal(err)
	}
	return page.URL
}
