package test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
	"github.com/sallyport-id/sallyport/storage/storagetest"
)

// throttled stops the test unless no code is looked at for wait.
func (b *browser) throttled(kind string, wait time.Duration) {
	b.t.Helper()
	b.problem(kind, http.StatusTooManyRequests, "code", "problem.code_wait")
	after, err := strconv.Atoi(b.page.header.Get("Retry-After"))
	if got := time.Duration(after) * time.Second; err != nil || got < wait || got > wait+time.Second {
		b.t.Fatalf("Retry-After %q, want %v", b.page.header.Get("Retry-After"), wait)
	}
}

// TO-7, TO-8: five wrong codes are free, then one waits, longer each time; it
// makes no difference how one comes to the page.
func TestWrongCodesSpendTheBudgetOfTheAccount(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		_, phone, _ := s.enrol()
		s.heard(provider.NoticeEnrolled)
		time.Sleep(24 * time.Hour)
		b := newBrowser(t, s.net)
		b.open(s.app.request())
		b.password("alice")
		for range 2 {
			b.submit("otp", "code", wrongCode(phone))
			b.problem("factor", http.StatusUnprocessableEntity, "code", "problem.code_wrong")
		}
		// A new flow, and a right password before it.
		b.open(s.app.request())
		b.password("alice")
		b.submit("otp", "code", wrongCode(phone))
		b.problem("factor", http.StatusUnprocessableEntity, "code", "problem.code_wrong")
		// Another browser, the name spelled otherwise, a recovery code.
		other := newBrowser(t, s.net)
		other.open(s.app.request())
		other.submit("password", "username", "ALICE", "password", passwords["alice"])
		other.follow("/flow/")
		other.submit("recovery", "code", "AAAA-AAAA-AAAA-AAAA-AAAA")
		other.problem("recovery", http.StatusUnprocessableEntity, "code", "problem.recovery_wrong")
		other.submit("recovery", "code", "nothing like a code")
		other.problem("recovery", http.StatusUnprocessableEntity, "code", "problem.recovery_wrong")
		if got := s.budget("alice"); got.Run != 5 || got.Wait != 30*time.Second {
			t.Errorf("after five wrong codes: %+v", got)
		}

		// Spent, whoever asks: the right code is not looked at, nor used up.
		for _, tab := range []*browser{b, other} {
			tab.open(s.app.request())
			tab.password("alice")
			tab.submit("otp", "code", phone.code(0))
			tab.throttled("factor", 30*time.Second)
			tab.follow("/flow/")
			tab.submit("recovery", "code", "AAAA-AAAA-AAAA-AAAA-AAAA")
			tab.throttled("recovery", 30*time.Second)
		}
		if got := s.budget("alice"); got.Run != 5 || got.Misses != 5 {
			t.Errorf("waiting was charged: %+v", got)
		}
		if f := s.stored(b.page); f.State.Misses != 0 {
			t.Errorf("waiting cost the flow %d answers", f.State.Misses)
		}

		// Waiting it out, a wrong one makes the next wait longer.
		for _, wait := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute} {
			time.Sleep(s.budget("alice").Wait)
			b.open(s.app.request())
			b.password("alice")
			b.submit("otp", "code", wrongCode(phone))
			b.problem("factor", http.StatusUnprocessableEntity, "code", "problem.code_wrong")
			b.submit("otp", "code", phone.code(0))
			b.throttled("factor", wait)
		}
		time.Sleep(8 * time.Minute)
		b.open(s.app.request())
		b.login("alice", phone)
		s.app.callback(b.page)
		// A right code clears the run, and says nothing of the month.
		if got := s.budget("alice"); got.Run != 0 || got.Misses != 9 || got.Wait != 0 {
			t.Errorf("after a right code: %+v", got)
		}
		s.heard()
		for _, kind := range s.audit("alice", provider.EventThrottle) {
			if kind != "throttle failure" {
				t.Errorf("audit: %s", kind)
			}
		}
		if got := len(s.audit("alice", provider.EventThrottle)); got != 8 {
			t.Errorf("%d throttles in the audit trail, want 8", got)
		}
	})
}

// TO-8: ten a day, whatever one waits.
func TestTenWrongCodesADayAreAll(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.ready("alice")
		b := s.browser
		began := now()
		for range 10 {
			time.Sleep(16 * time.Minute)
			b.open(s.app.request())
			b.password("alice")
			b.submit("otp", "code", wrongCode(phone))
			b.problem("factor", http.StatusUnprocessableEntity, "code", "problem.code_wrong")
		}
		time.Sleep(16 * time.Minute)
		b.open(s.app.request())
		b.password("alice")
		b.submit("otp", "code", phone.code(0))
		until := began.Add(16*time.Minute + 24*time.Hour)
		b.throttled("factor", until.Sub(now()))
		time.Sleep(until.Sub(now()))
		b.open(s.app.request())
		b.login("alice", phone)
		s.app.callback(b.page)
	})
}

// PA-5: a flow does not take wrong answers for ever.
func TestAFlowEndsAfterTenWrongAnswers(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.ready("alice")
		b := s.browser
		b.open(s.app.request())
		for range 9 {
			b.submit("password", "username", "alice", "password", "guess")
			b.problem("password", http.StatusUnprocessableEntity, "password", "problem.password_wrong")
		}
		flow := b.page.flow()
		b.submit("password", "username", "alice", "password", "guess")
		b.ended("spent")
		b.open(flowURL(flow))
		b.ended("spent")
		// What is spent is the flow. The tenth was the account's last free one.
		time.Sleep(10 * time.Second)
		b.open(s.app.request())
		b.login("alice", phone)
		s.app.callback(b.page)
	})
}

// TO-8: whoever misses thirty times in a row knows the password, and is not the
// owner.
func TestThirtyWrongCodesInARowMarkThePasswordAsStolen(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn, plan{provider: func(c *provider.Config) {
			c.Lifetimes.Session, c.Lifetimes.Idle = 30*24*time.Hour, 30*24*time.Hour
		}})
		s.register(leaving())
		s.app.config.Scopes = append(s.app.config.Scopes, "offline_access")
		phone := s.ready("alice")
		owner := s.browser
		owner.open(s.app.request())
		owner.login("alice", phone)
		token := s.app.callback(owner.page).token

		thief := newBrowser(t, s.net)
		for i := range 30 {
			time.Sleep(s.budget("alice").Wait)
			thief.open(s.app.request())
			thief.password("alice")
			thief.submit("otp", "code", wrongCode(phone))
			if i == 28 { // the owner is still there, and sees nothing of it
				thief.problem("factor", http.StatusUnprocessableEntity, "code", "problem.code_wrong")
				owner.open(s.app.request("prompt", "none"))
				s.app.callback(owner.page)
			}
		}
		thief.ended("reset")
		thief.open(thief.page.url.String())
		thief.ended("reset")
		s.heard(provider.NoticeStolen)
		if got := s.untold(); len(got) != 1 { // OA-12
			t.Errorf("clients are told of %v", got)
		}
		same(t, "stolen in the audit trail", s.audit("alice", provider.EventStolen), []string{"password-stolen success"})
		if got := s.sessions("alice"); len(got) > 0 {
			t.Errorf("sessions live on: %+v", got)
		}
		if got := s.budget("alice"); !got.Stolen || got.Enrolled.IsZero() {
			t.Errorf("the factor is to stay: %+v", got)
		}

		// Nobody comes in, not even with the right code.
		owner.open(s.app.request("prompt", "none"))
		owner.refused(s.app, "login_required")
		owner.open(s.app.request())
		owner.password("alice")
		owner.ended("reset")
		if _, err := s.app.refresh(token); err == nil {
			t.Error("a refresh token of before is good")
		}

		// A new password opens it; the second factor is the old one.
		s.people.setPassword("alice", "a new one, not known")
		if err := s.factors.PasswordChanged(t.Context(), "sub-alice"); err != nil {
			t.Fatal(err)
		}
		thief.open(s.app.request())
		thief.password("alice")
		thief.problem("password", http.StatusUnprocessableEntity, "password", "problem.password_wrong")
		owner.open(s.app.request())
		owner.submit("password", "username", "alice", "password", "a new one, not known")
		owner.at("factor", http.StatusOK)
		owner.submit("otp", "code", phone.code(0))
		s.app.callback(owner.page)
	})
}

// TO-9
func TestACodeUsedAgainIsRefusedAndItsUserTold(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.ready("alice")
		b := s.browser
		b.open(s.app.request())
		code := phone.code(0)
		b.login("alice", phone)
		s.app.callback(b.page)

		thief := newBrowser(t, s.net)
		thief.open(s.app.request())
		thief.password("alice")
		for range 2 {
			thief.submit("otp", "code", code)
			thief.problem("factor", http.StatusUnprocessableEntity, "code", "problem.code_replayed")
		}
		// TO-3: nor is the one before it good any more.
		thief.submit("otp", "code", phone.code(-1))
		thief.problem("factor", http.StatusUnprocessableEntity, "code", "problem.code_replayed")
		if got := s.budget("alice"); got.Run != 3 {
			t.Errorf("three replays were charged as %d", got.Run)
		}
		same(t, "replays in the audit trail", s.audit("alice", provider.EventReplay),
			[]string{"replay failure", "replay failure", "replay failure"})
		s.heard(provider.NoticeReplay, provider.NoticeReplay, provider.NoticeReplay)
		thief.submit("otp", "code", phone.code(1)) // TO-4
		s.app.callback(thief.page)
		time.Sleep(30 * time.Second)
		thief.open(s.app.request("prompt", "login"))
		thief.password("alice")
		thief.submit("otp", "code", phone.code(0)) // the one given early
		thief.problem("factor", http.StatusUnprocessableEntity, "code", "problem.code_replayed")
	})
}

// TO-4, TO-12
func TestACodeOfAClockThatIsOffIsExplainedAndNotAccepted(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.ready("alice")
		time.Sleep(time.Hour)
		b := s.browser
		b.open(s.app.request())
		b.password("alice")
		ahead := phone.code(5)
		b.submit("otp", "code", ahead)
		b.problem("factor", http.StatusUnprocessableEntity, "code", "problem.clock_ahead")
		b.submit("otp", "code", phone.code(-4))
		b.problem("factor", http.StatusUnprocessableEntity, "code", "problem.clock_behind")
		b.submit("otp", "code", phone.code(2))
		b.problem("factor", http.StatusUnprocessableEntity, "code", "problem.clock_ahead")
		b.submit("otp", "code", phone.code(-11))
		b.problem("factor", http.StatusUnprocessableEntity, "code", "problem.code_wrong")
		if got := s.budget("alice"); got.Run != 4 {
			t.Errorf("four attempts were charged as %d", got.Run)
		}
		b.submit("otp", "code", phone.code(-1))
		s.app.callback(b.page)

		// A hint does not tell a guesser what will be good.
		b.open(s.app.request("prompt", "login"))
		b.password("alice")
		ahead = phone.code(3)
		b.submit("otp", "code", ahead)
		b.problem("factor", http.StatusUnprocessableEntity, "code", "problem.clock_ahead")
		time.Sleep(90 * time.Second)
		if ahead != phone.code(0) {
			t.Fatal("the clock moved otherwise")
		}
		b.submit("otp", "code", ahead)
		b.problem("factor", http.StatusUnprocessableEntity, "code", "problem.code_replayed")
	})
}

// A crowded directory is busy when it is told to be.
type crowded struct {
	*people
	busy bool
}

func (d *crowded) Busy() bool { return d.busy }

// PW-4: who has to come again is told so with nothing read or written, and
// what waits for them is still there.
func TestWhoComesWhileTheDirectoryIsBusyCostsNothing(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		var store *storagetest.FaultyStore // without a fault, it counts
		var directory *crowded
		s := newStage(t, dsn, plan{
			store: func(db *storage.DB) (provider.Store, mfa.Store) {
				store = storagetest.Faulty(db, storagetest.Fault{})
				return store, store
			},
			provider: func(c *provider.Config) {
				directory = &crowded{people: c.Directory.(*people)}
				c.Directory = directory
			},
		})
		phone := s.ready("alice")
		b := s.browser
		waits := b.open(s.app.request()).url.String()

		directory.busy = true
		before := len(store.Calls())
		b.submit("password", "username", "alice", "password", passwords["alice"])
		b.at("error", http.StatusServiceUnavailable)
		if b.page.header.Get("Retry-After") == "" {
			t.Error("nobody is told when to come again")
		}
		if calls := store.Calls()[before:]; len(calls) > 0 {
			t.Errorf("the store was asked: %v", calls)
		}

		directory.busy = false
		b.open(waits)
		b.password("alice")
		b.submit("otp", "code", phone.code(0))
		s.app.callback(b.page)
	})
}
