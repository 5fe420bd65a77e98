package test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

// late stops the test unless the page says that it took too long, names the
// app and offers to start again there.
func (b *browser) late() {
	b.t.Helper()
	b.ended("expired")
	if !strings.Contains(b.page.text(), "The App") {
		b.t.Errorf("the page does not name the app:\n%s", b.page.text())
	}
	if b.page.link("https://app.example/login") == "" {
		b.t.Errorf("the page does not offer to start again:\n%s", b.page.text())
	}
}

// startable lets the app say where signing in to it begins.
func (s *stage) startable() {
	s.t.Helper()
	s.register(provider.Client{
		ID: "app", Name: "The App", Type: provider.Web, InitiateLoginURI: "https://app.example/login",
		Secrets:      []provider.Hash{hash("the app's own secret of 256 bits")},
		RedirectURIs: []string{appURL},
	})
}

// PA-4: what is handed in a second too late is refused, though its page was in
// time; both limits are absolute.
func TestEachStepOfAFlowExpires(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.startable()
		phone := s.enrolled("alice")
		forms := []struct {
			at    string
			life  time.Duration // that the step before leaves the form
			whole time.Duration // that the flow has
			reach func(b *browser)
			send  func(b *browser) *page
		}{
			{"password", authflow.Lifetime, authflow.Lifetime,
				func(*browser) {},
				func(b *browser) *page { return b.password("alice") }},
			{"factor", authflow.PasswordLifetime, authflow.PasswordLifetime,
				func(b *browser) { b.password("alice") },
				func(b *browser) *page { return b.submit("otp", "code", phone.code(0)) }},
			{"consent", authflow.PasswordLifetime - time.Minute, authflow.PasswordLifetime,
				func(b *browser) {
					b.password("alice")
					time.Sleep(time.Minute)
					b.submit("otp", "code", phone.code(0))
				},
				func(b *browser) *page { return b.submit("consent", "decision", "allow") }},
		}
		for _, form := range forms {
			for _, early := range []bool{true, false} {
				b := newBrowser(t, s.net)
				b.open(s.app.request("prompt", "consent"))
				form.reach(b)
				b.at(form.at, http.StatusOK)
				time.Sleep(form.life - time.Second)
				b.open(b.page.url.String()) // does not prolong it
				b.at(form.at, http.StatusOK)
				if early {
					if form.send(b); b.page.kind() == "ended" {
						t.Errorf("%s: denied a second before its time:\n%s", form.at, b.page.text())
					}
					time.Sleep(time.Hour)
					continue
				}
				flow := b.page.flow()
				time.Sleep(time.Second)
				form.send(b)
				b.late()
				b.open(flowURL(flow))
				b.late()
				if b.cookie(sessionCookie) != "" {
					t.Errorf("%s: a session began", form.at)
				}
				f, err := s.db.Flow(t.Context(), flow)
				if err != nil {
					t.Fatal(err)
				}
				if f.State.Ended || f.State.Approved || !f.State.Login.Proofs[authflow.OTP].IsZero() && form.at != "consent" {
					t.Errorf("%s: the late answer was taken: %+v", form.at, f.State)
				}
			}
		}
		if s.budget("alice").Misses != 0 {
			t.Error("a late code was charged")
		}
	})
}

// PA-4: a password given late in a flow does not give it more time.
func TestAFlowLivesFifteenMinutesWhateverHappensInIt(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.startable()
		phone := s.enrolled("alice")
		b := s.browser
		b.open(s.app.request())
		time.Sleep(14 * time.Minute)
		b.password("alice")
		b.at("factor", http.StatusOK)
		time.Sleep(59 * time.Second)
		b.open(b.page.url.String())
		b.at("factor", http.StatusOK)
		time.Sleep(time.Second)
		b.submit("otp", "code", phone.code(0))
		b.late()

		// The code was not looked at: it is good in a new flow.
		b.open(s.app.request())
		b.login("alice", phone)
		b.at("consent", http.StatusOK)
	})
}

// TO-10, PA-4: a secret that was shown is good for ten minutes, and so is the
// password that allowed it.
func TestAnEnrolmentExpires(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.startable()
		b := s.browser
		b.open(s.app.request())
		b.password("alice")
		b.at("enrollstart", http.StatusOK)
		time.Sleep(time.Minute)
		b.submit("enroll")
		b.at("enroll", http.StatusOK)
		phone := scan(t, b.page)
		time.Sleep(9*time.Minute - time.Second)
		b.open(b.page.url.String())
		b.at("enroll", http.StatusOK)
		time.Sleep(time.Second)
		b.submit("confirm", "code", phone.code(0))
		b.late()
		if got := s.budget("alice"); !got.Enrolled.IsZero() || got.RecoveryLeft != 0 {
			t.Errorf("enrolled too late: %+v", got)
		}

		// A new flow shows a new secret.
		b.open(s.app.request())
		b.password("alice")
		b.at("enrollstart", http.StatusOK)
		b.submit("enroll")
		next := scan(t, b.page)
		if next.key.Secret() == phone.key.Secret() {
			t.Error("the secret is still the old one")
		}
		b.submit("confirm", "code", phone.code(0))
		b.problem("enroll", http.StatusUnprocessableEntity, "code", "problem.code_wrong")
		b.submit("confirm", "code", next.code(0))
		b.at("codes", http.StatusOK)
		// The codes have not been put away when the flow ends: they count.
		old := b.page
		time.Sleep(authflow.PasswordLifetime)
		b.submit("saved")
		b.late()
		b.open(old.url.String() + "/codes.txt")
		b.late()
		b.open(s.app.request())
		b.password("alice")
		b.open(b.page.url.String() + "/recovery")
		b.submit("recovery", "code", old.codes()[0])
		b.at("consent", http.StatusOK)
	})
}

// SE-2
func TestASessionEndsWhenIdleAndInAnyCase(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.ready("alice")
		b := s.browser
		login := func() {
			t.Helper()
			b.open(s.app.request())
			b.login("alice", phone)
			s.app.callback(b.page)
		}
		login()
		time.Sleep(time.Hour - time.Second)
		b.open(s.app.request("prompt", "none"))
		s.app.callback(b.page)
		time.Sleep(time.Hour)
		b.open(s.app.request("prompt", "none"))
		b.refused(s.app, "login_required")
		b.open(issuer + "/account")
		b.at("password", http.StatusOK)

		old := b.cookie(sessionCookie)
		login()
		if b.cookie(sessionCookie) == old {
			t.Error("the cookie of a session that was over is used again")
		}
		// Used all the time, it ends after twelve hours.
		for range 14 {
			time.Sleep(50 * time.Minute)
			b.open(s.app.request("prompt", "none"))
			s.app.callback(b.page)
		}
		time.Sleep(20*time.Minute - time.Second)
		b.open(s.app.request("prompt", "none"))
		s.app.callback(b.page)
		time.Sleep(time.Second)
		b.open(s.app.request("prompt", "none"))
		b.refused(s.app, "login_required")
	})
}

// SE-2, SU-5: proving everything anew does not make a session older than it may
// get.
func TestASteppedUpSessionKeepsItsEnd(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.ready("alice")
		b := s.browser
		began := now()
		b.open(s.app.request())
		b.login("alice", phone)
		s.app.callback(b.page)
		for range 12 {
			time.Sleep(59 * time.Minute)
			b.open(s.app.request("prompt", "login"))
			b.login("alice", phone)
			s.app.callback(b.page)
		}
		end := began.Add(12 * time.Hour)
		if got := s.sessions("alice"); len(got) != 1 || !got[0].Created.Equal(began) || !got[0].Expires.Equal(end) {
			t.Errorf("sessions %+v, want one that ends at %v", got, end)
		}
		time.Sleep(end.Sub(now()))
		b.open(s.app.request("prompt", "none"))
		b.refused(s.app, "login_required")
	})
}
