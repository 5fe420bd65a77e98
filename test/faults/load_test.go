package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/test/fleet"
)

// A load is people and programs who go on whatever happens, and note what they
// were told. Asked to come again they come again, with the same; any other
// refusal is wrong, since nothing that they do is.
type load struct {
	t     *testing.T
	site  fleet.Site
	crowd *fleet.Crowd

	kills bool // replicas are killed behind a balancer, which says so by 502 and 503

	stop context.CancelFunc
	all  sync.WaitGroup

	mu       sync.Mutex
	done     map[string]int  // what was answered well
	away     map[string]int  // what was answered with a clean 503
	worst    time.Duration   // the longest answer
	took     []time.Duration // each answer since the last lap
	wrong    []string
	anew     int // sign-ins begun anew because the app's code was lost
	families []*family
	otps     []otp
}

// A family is the tokens of a sign-in.
type family struct {
	mu      sync.Mutex
	login   *fleet.Login
	code    string // was redeemed
	tokens  fleet.Tokens
	fresh   time.Time // until then the access token is good for some time yet
	revoked bool
}

// keep takes new tokens.
func (f *family) keep(t fleet.Tokens) {
	f.tokens, f.fresh = t, time.Now().Add(time.Duration(t.Expires)*time.Second-2*hang)
}

// An otp is a code of an app that was taken.
type otp struct {
	user int
	code string
	at   time.Time
}

// hang is how long an answer may take: as long as the server gives itself, and
// something for a busy machine.
const hang = 25 * time.Second

// newLoad begins a load of the first n users at site. Stop it.
func newLoad(t *testing.T, site fleet.Site, n int) *load {
	l := &load{}
	l.begin(t, site, n)
	return l
}

func (l *load) begin(t *testing.T, site fleet.Site, n int) {
	ctx, cancel := context.WithCancel(t.Context())
	l.t, l.site, l.crowd, l.stop = t, site, fleet.NewCrowd(n), cancel
	l.done, l.away = map[string]int{}, map[string]int{}
	t.Cleanup(l.Stop)
	// A sign-in each 50 ms, so that there are codes left that were not used.
	for range 2 {
		l.forever(ctx, 100*time.Millisecond, l.login)
		l.forever(ctx, 10*time.Millisecond, l.refresh)
	}
	l.forever(ctx, 10*time.Millisecond, l.introspect)
	l.forever(ctx, 10*time.Millisecond, l.userinfo)
	l.forever(ctx, 20*time.Millisecond, l.credentials)
	l.forever(ctx, 300*time.Millisecond, l.revoke)
}

// Stop lets everyone finish what they are at.
func (l *load) Stop() {
	l.stop()
	l.all.Wait()
}

func (l *load) forever(ctx context.Context, pace time.Duration, do func(context.Context)) {
	l.all.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pace):
				do(ctx)
			}
		}
	})
}

// count returns how often something was answered well, and with a clean 503.
func (l *load) count() (done, away map[string]int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	done, away = map[string]int{}, map[string]int{}
	for k, n := range l.done {
		done[k] = n
		done[""] += n
	}
	for k, n := range l.away {
		away[k] = n
		away[""] += n
	}
	return done, away
}

// lap returns how long answers took since the last lap: the one in the middle,
// the longest but for one of a hundred, and the longest.
func (l *load) lap() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	took := l.took
	l.took = nil
	slices.Sort(took)
	if len(took) == 0 {
		return nil
	}
	var all []time.Duration
	for _, at := range []int{len(took) / 2, len(took) * 99 / 100, len(took) - 1} {
		all = append(all, took[at].Round(time.Millisecond))
	}
	return all
}

// enough is what shows that everything goes on.
var enough = map[string]int{"code": 5, "refresh": 20, "revoke": 1}

// more polls until so many more of each kind were answered well.
func (l *load) more(what string, of map[string]int) {
	l.t.Helper()
	before, _ := l.count()
	l.await(what, func(now, _ map[string]int) bool {
		for kind, n := range of {
			if now[kind] < before[kind]+n {
				return false
			}
		}
		return true
	})
}

// await polls until enough is true of what count returns.
func (l *load) await(what string, enough func(done, away map[string]int) bool) {
	l.t.Helper()
	limit := time.After(time.Minute)
	for !enough(l.count()) {
		select {
		case <-limit:
			done, away := l.count()
			l.t.Fatalf("waiting for %s: %v answered, %v not; wrong: %q", what, done, away, l.wrong)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (l *load) say(what string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.wrong) < 10 {
		l.wrong = append(l.wrong, fmt.Sprintf("%s: %.300v", what, err))
	}
}

// ask does something until it is not answered with 503, at most for a minute. It
// returns whether it ever was. A sign-in is not broken off because the load
// is to stop.
func (l *load) ask(what string, do func(ctx context.Context) error) (away bool, err error) {
	until := time.Now().Add(time.Minute)
	for {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(l.t.Context()), hang)
		began := time.Now()
		err = do(ctx)
		took := time.Since(began)
		cancel()
		l.mu.Lock()
		l.worst = max(l.worst, took)
		l.took = append(l.took, took)
		if err == nil {
			l.done[what]++
		} else if status(err) == 503 || l.killed(err) {
			l.away[what]++
		}
		l.mu.Unlock()
		if status(err) != 503 && !l.killed(err) {
			return away, err
		}
		if unclean := clean(err); unclean != nil && !l.killed(err) {
			l.say(what, unclean)
		}
		away = true
		if time.Now().After(until) {
			return away, fmt.Errorf("a minute long: %w", err)
		}
		select {
		case <-l.t.Context().Done():
			return away, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// killed reports whether err is what the balancer says of a replica that was killed.
func (l *load) killed(err error) bool {
	var a *fleet.Answer
	return l.kills && errors.As(err, &a) && a.Body == "" && (a.Status == 502 || a.Status == 503)
}

func (l *load) login(ctx context.Context) {
	user, code, err := l.crowd.Take(ctx)
	if err != nil {
		return
	}
	if _, err := l.signIn(user, code); err != nil {
		l.say("signing in", err)
	}
}

// signIn takes a user to tokens. It returns no family if the app's code was lost.
func (l *load) signIn(user int, code string) (*family, error) {
	f := &family{}
	_, err := l.ask("authorize", func(ctx context.Context) (err error) {
		f.login, err = l.site.Begin(ctx, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, a := range [][]string{
		{"password", "username", fleet.Username(user), "password", fleet.Password}, {"otp", "code", code}, {"consent", "decision", "allow"},
	} {
		away, err := l.ask(a[0], func(ctx context.Context) error { return f.login.Answer(ctx, a[0], a[1:]...) })
		if err != nil && a[0] == "consent" && away && (errors.Is(err, fleet.ErrElsewhere) || status(err)/100 == 4) {
			// It was granted, and the answer with the app's code lost.
			l.mu.Lock()
			l.anew++
			l.mu.Unlock()
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if a[0] == "otp" {
			l.mu.Lock()
			l.otps = append(l.otps, otp{user, code, time.Now()})
			l.mu.Unlock()
		}
	}
	if f.code, err = f.login.Code(); err != nil {
		return nil, err
	}
	away, err := l.ask("code", func(ctx context.Context) (err error) {
		tokens, err := f.login.Redeem(ctx, f.code)
		if err == nil {
			f.keep(tokens)
		}
		return err
	})
	if l.kills && away && status(err) == 400 {
		// It was redeemed, and the tokens lost with who had made them.
		l.mu.Lock()
		l.anew++
		l.mu.Unlock()
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.families = append(l.families, f)
	l.mu.Unlock()
	return f, nil
}

// some returns a family, locked, nil if there is none.
func (l *load) some() *family {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.families) == 0 {
		return nil
	}
	f := l.families[rand.N(len(l.families))]
	if !f.mu.TryLock() {
		return nil
	}
	return f
}

// use does something with a family that is not revoked.
func (l *load) use(what string, do func(ctx context.Context, f *family) error) {
	f := l.some()
	if f == nil {
		return
	}
	defer f.mu.Unlock()
	if f.revoked {
		return
	}
	if _, err := l.ask(what, func(ctx context.Context) error { return do(ctx, f) }); err != nil {
		l.say(what, err)
	}
}

func (l *load) refresh(context.Context) {
	l.use("refresh", l.exchange)
}

// exchange refreshes the tokens of f.
func (l *load) exchange(ctx context.Context, f *family) error {
	tokens, err := l.site.Refresh(ctx, f.tokens.Refresh)
	if err == nil {
		f.keep(tokens)
	}
	return err
}

// renew refreshes every family.
func (l *load) renew() {
	l.mu.Lock()
	all := slices.Clone(l.families)
	l.mu.Unlock()
	for _, f := range all {
		f.mu.Lock()
		if !f.revoked {
			if _, err := l.ask("refresh", func(ctx context.Context) error { return l.exchange(ctx, f) }); err != nil {
				l.say("refresh", err)
			}
		}
		f.mu.Unlock()
	}
}

func (l *load) introspect(context.Context) {
	l.use("introspect", func(ctx context.Context, f *family) error {
		if time.Now().After(f.fresh) {
			return l.exchange(ctx, f) // as an app does first
		}
		active, err := l.site.Active(ctx, f.tokens.Access)
		if err == nil && !active {
			err = errors.New("a token that stands is called inactive")
		}
		return err
	})
}

func (l *load) userinfo(context.Context) {
	l.use("userinfo", func(ctx context.Context, f *family) error {
		if time.Now().After(f.fresh) {
			return l.exchange(ctx, f)
		}
		_, err := l.site.Call(ctx, "", "/userinfo", nil, f.tokens.Access)
		return err
	})
}

func (l *load) revoke(context.Context) {
	l.use("revoke", func(ctx context.Context, f *family) error {
		_, err := l.site.Call(ctx, fleet.App, "/revoke", url.Values{"token": {f.tokens.Refresh}}, "")
		f.revoked = err == nil
		return err
	})
}

func (l *load) credentials(context.Context) {
	if _, err := l.ask("credentials", func(ctx context.Context) error {
		_, err := l.site.Token(ctx, url.Values{"grant_type": {"client_credentials"}})
		return err
	}); err != nil {
		l.say("credentials", err)
	}
}

// audit looks, after the load was stopped, whether all that was acknowledged is
// still so: tokens that were given are good and those revoked not, and what was
// used, codes of apps and those for tokens, is good no more.
func (l *load) audit() {
	l.t.Helper()
	for _, text := range l.wrong {
		l.t.Error("wrong: ", text)
	}
	ctx := l.t.Context()
	replayed := 0 // before they are too old
	for i := len(l.otps) - 1; i >= 0 && replayed < 20 && time.Since(l.otps[i].at) < 25*time.Second; i-- {
		replayed++
		lg, err := l.site.Begin(ctx, nil)
		if err == nil {
			err = lg.Answer(ctx, "password", "username", fleet.Username(l.otps[i].user), "password", fleet.Password)
		}
		if err != nil {
			l.t.Fatal(err)
		}
		if err := lg.Answer(ctx, "otp", "code", l.otps[i].code); status(err) != 422 {
			l.t.Errorf("a code that was taken is answered with %v", err)
		}
	}
	stand, ended := 0, 0
	for _, f := range l.families {
		active, err := l.site.Active(ctx, f.tokens.Access)
		if err != nil || active == f.revoked && (active || time.Now().Before(f.fresh)) {
			l.t.Errorf("revoked: %v; active: %v, %v", f.revoked, active, err)
		}
		_, err = l.site.Refresh(ctx, f.tokens.Refresh)
		if f.revoked {
			ended++
			if status(err) != 400 {
				l.t.Errorf("a refresh token that was revoked is answered with %v", err)
			}
			continue
		}
		stand++
		if err != nil {
			l.t.Errorf("a refresh token that was given is lost: %v", err)
		}
	}
	for _, f := range l.families {
		if _, err := f.login.Redeem(ctx, f.code); status(err) != 400 {
			l.t.Errorf("a code that was redeemed is answered with %v", err)
		}
	}
	if stand == 0 || ended == 0 || replayed == 0 {
		l.t.Errorf("nothing was looked at: %d families stand, %d are revoked, %d codes replayed", stand, ended, replayed)
	}
	done, away := l.count()
	report(l.t, "answered", done[""], "clean 503s", away[""], "wrong", len(l.wrong), "longest answer", l.worst, "app's code lost, begun anew", l.anew)
	report(l.t, "refresh tokens good", stand, "revoked and so", ended, "redeemed codes refused", len(l.families), "codes of apps refused", replayed)
}
