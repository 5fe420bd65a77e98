package test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
	"github.com/sallyport-id/sallyport/storage"
	"github.com/sallyport-id/sallyport/storage/storagetest"
)

// A watched store notes every session and grant that is written, so that a
// fault which lets someone in with less than demanded is seen, whatever becomes
// of it afterwards.
type watched struct {
	*storage.DB
	mu   sync.Mutex
	seen []authflow.Login
}

func (w *watched) note(l authflow.Login) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, l)
}

func (w *watched) SaveSession(ctx context.Context, s provider.Session) error {
	w.note(s.Login)
	return w.DB.SaveSession(ctx, s)
}

func (w *watched) CreateGrant(ctx context.Context, g provider.Grant) error {
	w.note(g.Login)
	return w.DB.CreateGrant(ctx, g)
}

// A ward is a stage whose store can be made to fail.
type ward struct {
	*stage
	watched *watched
	store   struct{ storagetest.Store } // what the house stands upon
	codes   []string                    // alice's recovery codes, used from the first on
}

func newWard(t testing.TB, dsn string, more ...plan) *ward {
	t.Helper()
	w := &ward{}
	w.stage = newStage(t, dsn, append(more, plan{store: func(db *storage.DB) (provider.Store, mfa.Store) {
		w.watched = &watched{DB: db}
		w.store.Store = w.watched
		return &w.store, &w.store
	}})...)
	return w
}

// A way is one of signing in.
type way struct {
	methods []authflow.Method
	enrols  bool
	pushes  bool
	ready   func(w *ward, p *patient) // makes alice someone who can go it
}

var byCode = way{methods: []authflow.Method{authflow.Password, authflow.OTP}, ready: func(w *ward, p *patient) {
	if w.budget("alice").Enrolled.IsZero() {
		w.enrolled("alice")
	}
	p.phone = oldPhone(w.t, "alice")
}}

var byEnrolling = way{methods: byCode.methods, enrols: true, ready: func(w *ward, p *patient) {
	if err := w.factors.Reset(context.Background(), "sub-alice"); err != nil {
		w.t.Fatal(err)
	}
}}

var byRecovery = way{methods: []authflow.Method{authflow.Password, authflow.Recovery}, ready: func(w *ward, p *patient) {
	if w.codes == nil {
		byEnrolling.ready(w, p) // what was there before is reset
	}
	byCode.ready(w, p)
	left := w.budget("alice").RecoveryLeft
	if left < 2 {
		ctx := context.Background()
		err := w.factors.NewCodes(ctx, "sub-alice", "ward")
		if err == nil {
			w.codes, err = w.factors.Codes(ctx, "sub-alice", "ward")
		}
		if err != nil {
			w.t.Fatal(err)
		}
		left = len(w.codes)
	}
	p.recovery = w.codes[len(w.codes)-left:]
}}

// A patient is someone who wants to get into the app and answers whatever page
// comes, again and again; when something is wrong they reload, and in the end
// start anew.
type patient struct {
	*stage
	b        *browser
	phone    phone
	recovery []string          // codes to use instead of the phone
	used     map[string]string // codes given, by the step that they were given to
	shown    []string          // new recovery codes
	pushes   bool              // the app pushes its requests
	link     string            // of the last one that it pushed
	failures int
	visited  []string
}

// walk answers pages until the app has its tokens. It returns what they say,
// and the page that the code came with.
func (p *patient) walk() (identity, *page) {
	p.t.Helper()
	reload := ""
	p.start()
	for range 40 {
		b := p.b
		if id := b.page.flow(); id != "" {
			reload = flowURL(id)
		}
		p.visited = append(p.visited, fmt.Sprintf("%s %d", b.page.kind(), b.page.status))
		switch kind := b.page.kind(); {
		case b.page.url.Host == "app.example" && b.page.url.Query().Has("code"):
			page := b.page
			for range 2 { // the answer may have been lost: once more
				id, err := p.app.redeem(page)
				if err == nil {
					return id, page
				}
				p.failures++
			}
			p.start()
		case b.page.url.Host == "app.example" || kind == "ended":
			p.start()
		case b.page.status >= 500:
			p.failures++
			if reload == "" {
				p.start()
			} else {
				b.open(reload)
			}
		case kind == "password":
			b.password("alice")
		case kind == "enrollstart":
			b.submit("enroll")
		case kind == "enroll":
			p.phone = scan(p.t, b.page)
			p.give("confirm")
		case kind == "codes":
			p.shown = b.page.codes()
			b.submit("saved")
		case kind == "factor" && len(p.recovery) > 0:
			b.follow("/flow/")
			p.used[p.recovery[0]] = "recovery"
			b.submit("recovery", "code", p.recovery[0])
		case kind == "recovery": // used up, though nobody said so
			p.recovery = p.recovery[1:]
			p.used[p.recovery[0]] = "recovery"
			b.submit("recovery", "code", p.recovery[0])
		case kind == "factor":
			p.give("otp")
		case kind == "consent":
			b.submit("consent", "decision", "allow")
		default:
			p.t.Fatalf("lost on the way, after %v: %s", p.visited, b.page.text())
		}
	}
	p.t.Fatalf("never arrived: %v", p.visited)
	return identity{}, nil
}

// give gives the phone's code; one that was given before is waited out.
func (p *patient) give(step string) {
	for p.used[p.phone.code(0)] != "" {
		time.Sleep(30 * time.Second)
	}
	code := p.phone.code(0)
	p.used[code] = step
	p.b.submit(step, "code", code)
}

// writes are the calls of a store after which something is otherwise. Whether
// any other one happened before it failed makes no difference.
var writes = []string{
	"CreateFlow", "SaveFlow", "CreatePushed", "SpendPushed", "SaveSession", "EndSession", "EndSessions", "SaveConsent", "RevokeConsent",
	"CreateGrant", "SpendCode", "RotateGrant", "RevokeGrant", "SpendAssertion", "Record", "SaveAccount",
	"ReplaceRecoveryCodes", "UseRecoveryCode", "SaveMisses", "commit",
}

// PA-12: whatever call of a whole login fails, and whether or not it happened,
// nobody is let in with less than demanded, nothing is good twice, and in the
// end everyone arrives.
func TestEveryStoreCallOfALoginFailsOnce(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		w := newWard(t, dsn)
		calls := w.fails(byCode, storagetest.Fault{})
		if len(calls) < 40 {
			t.Fatalf("only %d calls: %v", len(calls), calls)
		}
		for i, call := range calls {
			// A call that did not happen is the same to us on both databases, and
			// under -race SQLite is a slow one.
			if strings.HasPrefix(dsn, "postgres") {
				w.fails(byCode, storagetest.Fault{Call: i + 1})
			}
			if slices.Contains(writes, call) {
				w.fails(byCode, storagetest.Fault{Call: i + 1, After: true})
			}
		}
	})
}

// PA-12: the same for the writes in which enrolling and recovering differ.
func TestEveryWriteOfEnrolmentAndRecoveryFailsOnce(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		w := newWard(t, dsn)
		for _, way := range []way{byEnrolling, byRecovery} {
			calls := w.fails(way, storagetest.Fault{})
			from := max(slices.Index(calls, "ReplaceRecoveryCodes"), slices.Index(calls, "UseRecoveryCode"))
			tried := 0
			for i := from; i < slices.Index(calls, "SaveConsent"); i++ {
				if slices.Contains(writes, calls[i]) {
					tried++
					// One way on each database: each run makes ten slow hashes.
					w.fails(way, storagetest.Fault{Call: i + 1, After: strings.HasPrefix(dsn, "postgres")})
				}
			}
			if tried < 4 {
				t.Errorf("only %d writes: %v", tried, calls)
			}
		}
	})
}

// fails lets alice sign in over a store with a fault, and looks at what came of
// it. It returns the calls that were made.
func (w *ward) fails(way way, fault storagetest.Fault) []string {
	w.t.Helper()
	ctx := context.Background()
	// Alice begins anew, and the clock has moved on.
	time.Sleep(time.Hour)
	p := &patient{stage: w.stage, b: newBrowser(w.t, w.net), used: map[string]string{}, pushes: way.pushes}
	err := errors.Join(
		w.factors.Unlock(ctx, "sub-alice"),
		w.db.RevokeConsent(ctx, "sub-alice", "app", now()))
	if err != nil {
		w.t.Fatal(err)
	}
	way.ready(w, p)
	w.watched.seen = nil
	faulty := storagetest.Faulty(w.watched, fault)
	w.store.Store = faulty
	id, page := p.walk()
	w.store.Store = w.watched
	calls := faulty.Calls()

	what := "without a fault"
	if fault.Call > 0 {
		what = fmt.Sprintf("call %d, %s, after=%v", fault.Call, calls[fault.Call-1], fault.After)
	}
	complain := func(format string, args ...any) {
		w.t.Helper()
		w.t.Errorf(what+": "+format+"\n%v", append(args, p.visited)...)
	}
	demanded := authflow.Of(way.methods...)
	if !slices.Equal(id.AMR, demanded.Names()) || id.ACR != "mfa" || id.Subject != "sub-alice" {
		complain("got %+v", id)
	}
	if fault.Call > 0 && p.failures == 0 {
		complain("nobody noticed")
	}
	// Nobody was let in with less than demanded, not even for a moment.
	for _, l := range w.watched.seen {
		if l.Subject != "sub-alice" || !l.Proofs.Set().Covers(demanded) {
			complain("let in with %+v", l)
		}
	}
	w.replays(p, page, complain)
	if d := w.budget("alice"); way.enrols && (d.RecoveryLeft != 10 || len(p.shown) != 10) {
		complain("%d codes shown, %d kept", len(p.shown), d.RecoveryLeft)
	}
	return calls
}

// replays gives every code of p a second time, and complains of each that is
// good.
func (w *ward) replays(p *patient, page *page, complain func(string, ...any)) {
	w.t.Helper()
	b := newBrowser(w.t, w.net)
	b.open(w.app.tab().request())
	b.password("alice")
	b.at("factor", http.StatusOK)
	to := flowURL(b.page.flow())
	for code, step := range p.used {
		if step == "confirm" {
			step = "otp"
		}
		b.do(post(w.t, to, values("step", step, "code", code)))
		if b.page.kind() != "factor" || b.page.status != http.StatusUnprocessableEntity {
			complain("a code given to %q is good again: %s", step, b.page.text())
		}
	}
	if p.pushes && !p.b.open(p.link).says("ended.used.title") {
		complain("the request_uri is good again: %s", p.b.page.text())
	}
	if _, err := w.app.redeem(page); refusal(err) != "invalid_grant" {
		complain("the authorization code is good again: %v", err)
	}
}

// A repeating store does every transaction twice: the first time it is undone
// at the last moment, as after a serialization failure.
type repeating struct{ storagetest.Store }

type repeated struct{}

var errUndone = errors.New("undone")

func (s repeating) Atomically(ctx context.Context, fn func(context.Context) error) error {
	if ctx.Value(repeated{}) != nil {
		return s.Store.Atomically(ctx, fn)
	}
	ctx = context.WithValue(ctx, repeated{}, true)
	err := s.Store.Atomically(ctx, func(ctx context.Context) error {
		if err := fn(ctx); err != nil {
			return err
		}
		return errUndone
	})
	if !errors.Is(err, errUndone) {
		return err
	}
	return s.Store.Atomically(ctx, fn)
}

// ST-3: a transaction that a database asks to be repeated leaves no trace of
// the first time, and nobody is told twice.
func TestATransactionThatIsRepeatedHappensOnce(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		w := newWard(t, dsn)
		w.store.Store = repeating{w.watched}
		b := w.browser
		w.app.config.Scopes = append(w.app.config.Scopes, "offline_access")
		b.open(w.app.request())
		_, codes := b.enrolAs("alice")
		b.submit("consent", "decision", "allow")
		token := w.app.callback(b.page).token
		if _, err := w.app.refresh(token); err != nil {
			t.Fatal(err)
		}
		b.open(w.app.request("prompt", "none")) // granted at the door
		w.app.callback(b.page)
		w.heard(provider.NoticeEnrolled)

		time.Sleep(time.Minute)
		b = newBrowser(t, w.net)
		b.open(w.app.request())
		b.password("alice")
		b.follow("/flow/")
		b.submit("recovery", "code", codes[0])
		w.app.callback(b.page)
		w.heard(provider.NoticeRecovery)
		if got := w.budget("alice").RecoveryLeft; got != 9 {
			t.Errorf("%d codes left, want 9", got)
		}
		b.open(issuer + "/account")
		b.submit("new-codes")
		b.at("codes", http.StatusOK)
		b.submit("saved")
		b.submit("replace-factor")
		next := scan(t, b.page)
		b.submit("confirm", "code", wrongCode(next))
		b.submit("confirm", "code", next.code(0))
		b.at("codes", http.StatusOK)
		w.heard(provider.NoticeCodes, provider.NoticeReplaced)
		if got := w.budget("alice"); got.Misses != 1 {
			t.Errorf("one wrong code was charged as %d", got.Misses)
		}
		same(t, "audit", w.audit("alice"), []string{
			"password success", "enroll success", "consent success", "sign-in success",
			"sign-in success", "password success", "recovery success", "sign-in success",
			"recovery-codes success", "enroll failure", "enroll success"})
	})
}

// PA-12: who hangs up, or a deadline that passes, changes nothing.
func TestACancelledRequestDenies(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.ready("alice")
		b := s.browser
		b.open(s.app.request())
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()
		for _, ctx := range []context.Context{gone, late} {
			for _, r := range []*http.Request{
				b.request("password", "username", "alice", "password", passwords["alice"]),
			} {
				if got := s.status(r.WithContext(ctx)); got != http.StatusServiceUnavailable {
					t.Errorf("%v: status %d", ctx.Err(), got)
				}
			}
		}
		b.open(b.page.url.String())
		b.at("password", http.StatusOK)
		b.password("alice")
		for _, ctx := range []context.Context{gone, late} {
			r := b.request("otp", "code", phone.code(0))
			r.AddCookie(&http.Cookie{Name: browserCookie, Value: b.cookie(browserCookie)})
			if got := s.status(r.WithContext(ctx)); got != http.StatusServiceUnavailable {
				t.Errorf("%v: status %d", ctx.Err(), got)
			}
		}
		if got := s.sessions("alice"); len(got) > 0 {
			t.Errorf("sessions: %+v", got)
		}
		// The code was not used up.
		b.submit("otp", "code", phone.code(0))
		s.app.callback(b.page)
	})
}

// status returns what the provider answers r with, straight, without a client
// that would not even send what is cancelled.
func (s *stage) status(r *http.Request) int {
	s.t.Helper()
	resp, err := s.net.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// A conflicting store says once that another was quicker.
type conflicting struct {
	*storage.DB
	now bool
}

func (c *conflicting) SaveFlow(ctx context.Context, f provider.Flow) error {
	if c.now {
		c.now = false
		return provider.ErrConflict
	}
	return c.DB.SaveFlow(ctx, f)
}

// LG-3: of what did not happen nobody is told, and nothing is used up.
func TestWhatAConflictUndidIsNotTold(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		var c *conflicting
		s := newStage(t, dsn, plan{store: func(db *storage.DB) (provider.Store, mfa.Store) {
			c = &conflicting{DB: db}
			return c, c
		}})
		b := s.browser
		b.open(s.app.request())
		_, codes := b.enrolAs("alice")
		s.heard(provider.NoticeEnrolled)
		b = newBrowser(t, s.net)
		b.open(s.app.request())
		b.password("alice")
		b.follow("/flow/")
		c.now = true
		s.mu.Lock()
		s.log.Reset()
		s.mu.Unlock()
		b.submit("recovery", "code", codes[0])
		b.at("factor", http.StatusOK) // shown anew, as to a tab that came late
		s.heard()
		s.mu.Lock()
		if s.log.Len() > 0 {
			t.Errorf("logged: %s", s.log.String())
		}
		s.mu.Unlock()
		if got := s.budget("alice"); got.RecoveryLeft != 10 {
			t.Errorf("%d codes left", got.RecoveryLeft)
		}
		b.follow("/flow/")
		b.submit("recovery", "code", codes[0])
		b.at("consent", http.StatusOK)
		s.heard(provider.NoticeRecovery)
	})
}
