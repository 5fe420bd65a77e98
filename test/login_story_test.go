package test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

// proven stops the test unless id says that these methods were proven at level,
// the earliest of them at since.
func (id identity) proven(t testing.TB, level string, since time.Time, methods ...string) {
	t.Helper()
	if id.ACR != level || !slices.Equal(id.AMR, methods) || id.AuthTime != since.Unix() {
		t.Fatalf("acr %q, amr %v, auth_time %d; want %q, %v, %d",
			id.ACR, id.AMR, id.AuthTime, level, methods, since.Unix())
	}
}

// TK-2, OA-14
func TestASecondLoginAsksForACodeAndForNothingElse(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		_, phone, _ := s.enrol()
		s.heard(provider.NoticeEnrolled)
		time.Sleep(3 * time.Hour)

		b := newBrowser(t, s.net)
		b.open(s.app.request())
		b.at("password", http.StatusOK)
		given := now()
		b.password("alice")
		b.at("factor", http.StatusOK)
		if b.page.link("otpauth:") != "" || b.page.form("enroll") != nil {
			t.Errorf("enrolment is offered:\n%s", b.page.text())
		}
		time.Sleep(time.Minute)
		b.submit("otp", "code", phone.code(0))
		id := s.app.callback(b.page) // consent was given before
		// The earliest proof that counts is the password's.
		id.proven(t, "mfa", given, "pwd", "otp")
		if id.Subject != "sub-alice" || id.SID == "" {
			t.Errorf("got %+v", id)
		}
		s.heard()
		same(t, "audit", s.audit("alice"), []string{
			"password success", "enroll success", "consent success", "sign-in success",
			"password success", "factor success", "sign-in success"})
	})
}

// TK-2, SE-3: what was proven is not made younger by using it.
func TestASecondAppIsSignedInToWithoutAPage(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.ready("alice")
		b := s.browser
		b.open(s.app.request())
		proven := now()
		b.login("alice", phone)
		first := s.app.callback(b.page)
		first.proven(t, "mfa", proven, "pwd", "otp")
		cookie := b.cookie(sessionCookie)

		for _, prompt := range []string{"", "none"} {
			time.Sleep(20 * time.Minute)
			b.open(s.app.request("prompt", prompt))
			again := s.app.callback(b.page)
			again.proven(t, "mfa", proven, "pwd", "otp")
			if again.SID != first.SID {
				t.Errorf("sid %q, want %q", again.SID, first.SID)
			}
			if b.cookie(sessionCookie) != cookie {
				t.Error("the cookie changed, though nothing was proven")
			}
		}
		if n := len(s.sessions("alice")); n != 1 {
			t.Errorf("%d sessions, want 1", n)
		}
	})
}

// PA-1, PA-2, PA-11: behind a right password nothing is open yet but the flow.
func TestAPasswordAloneOpensNothing(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.ready("alice")
		b := s.browser
		b.open(s.app.request())
		r := b.request("password", "username", "alice", "password", passwords["alice"])
		flow := b.page.flow()
		p := b.once(r)
		if p.status != http.StatusSeeOther || p.header.Get("Location") != flowURL(flow) {
			t.Fatalf("status %d, to %q", p.status, p.header.Get("Location"))
		}
		if got := p.header.Values("Set-Cookie"); len(got) > 0 {
			t.Errorf("cookies were set: %q", got)
		}
		if got := s.sessions("alice"); len(got) > 0 {
			t.Errorf("there is a session: %+v", got)
		}

		// To every other door it is a stranger.
		tab := b.tab()
		tab.open(issuer + "/account")
		tab.at("password", http.StatusOK)
		if tab.page.flow() == flow {
			t.Error("the account pages go on in the app's flow")
		}
		silent := s.app.tab()
		tab.open(silent.request("prompt", "none"))
		tab.refused(silent, "login_required")
		tab.open(issuer + "/userinfo")
		if tab.page.status != http.StatusUnauthorized {
			t.Errorf("userinfo answers %d", tab.page.status)
		}

		// The password stands nowhere.
		stored := s.stored(&page{url: p.url, doc: p.doc})
		if !stored.State.Login.Proofs.Set().Has(authflow.Password) || stored.State.Login.Proofs.Set().Has(authflow.OTP) {
			t.Errorf("proven: %v", stored.State.Login.Proofs.Set().Names())
		}
		if strings.Contains(stored.Request, "correct") {
			t.Error("the password is in the flow")
		}
		if s.mu.Lock(); strings.Contains(s.log.String(), "correct") {
			t.Error("the password is in the log")
		}
		s.mu.Unlock()

		b.open(flowURL(flow))
		b.at("factor", http.StatusOK)
		b.submit("otp", "code", phone.code(0))
		s.app.callback(b.page)
	})
}

// PA-8, PA-10: what is demanded stands in the stored request.
func TestNoStepOfAFlowLowersWhatIsDemanded(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn, plan{provider: func(c *provider.Config) { c.Floor = "pwd" }})
		phone := s.ready("alice")
		b := s.browser
		b.open(s.app.request("acr_values", "mfa", "max_age", "0"))
		id := b.page.flow()
		lower := []string{"acr_values", "pwd", "acr", "pwd", "prompt", "none", "scope", "openid", "client_id", "other", "max_age", "100000"}
		b.submit("password", append(lower, "username", "alice", "password", passwords["alice"])...)
		b.at("factor", http.StatusOK)
		b.open(flowURL(id) + "?acr_values=pwd&prompt=none&step=consent")
		b.at("factor", http.StatusOK)

		// In another tab the same is asked for less: that is another flow.
		other, tab := s.app.tab(), b.tab()
		tab.open(other.request())
		tab.password("alice")
		other.callback(tab.page).proven(t, "pwd", now(), "pwd")

		// Nor does the session that this made satisfy the first.
		b.open(flowURL(id, "recovery"))
		b.at("factor", http.StatusOK)
		b.submit("otp", append(lower, "code", phone.code(0))...)
		s.app.callback(b.page).proven(t, "mfa", now(), "pwd", "otp")
	})
}

// PA-5: every page takes a no, and it is the app that hears of it.
func TestCancellingAtAnyStepEndsTheFlow(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.enrolled("alice")
		walk := []struct {
			at string
			on func(b *browser)
		}{
			{"password", func(b *browser) { b.password("alice") }},
			{"factor", func(b *browser) { b.submit("otp", "code", phone.code(0)) }},
			{"consent", nil},
		}
		for i := range walk {
			b := newBrowser(t, s.net)
			time.Sleep(time.Minute)
			b.open(s.app.request())
			for _, step := range walk[:i] {
				step.on(b)
			}
			b.at(walk[i].at, http.StatusOK)
			flow, form := b.page.flow(), b.page
			if walk[i].at == "consent" {
				b.submit("consent", "decision", "deny")
				b.refused(s.app, "access_denied")
			} else {
				b.submit("cancel")
				b.refused(s.app, "access_denied")
			}
			f, err := s.db.Flow(t.Context(), flow)
			if err != nil || !f.State.Ended || f.Ending != provider.EndCancelled {
				t.Errorf("%s: the flow is %+v, %v", walk[i].at, f, err)
			}
			if b.cookie(sessionCookie) != "" {
				t.Errorf("%s: a session began", walk[i].at)
			}
			// The back button finds a kind word, and nothing more.
			b.page = form
			if walk[i].on != nil {
				walk[i].on(b)
			} else {
				b.submit("consent", "decision", "allow")
			}
			b.ended("cancelled")
		}
		if got := s.sessions("alice"); len(got) > 0 {
			t.Errorf("sessions: %+v", got)
		}
		if c, err := s.db.Consents(t.Context(), "sub-alice"); err != nil || len(c) > 0 {
			t.Errorf("consents: %+v, %v", c, err)
		}
		same(t, "consent in the audit trail", s.audit("alice", provider.EventConsent), []string{"consent failure"})
	})
}

// OA-14
func TestConsentIsRememberedAndAskedAgainForMore(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.enrolled("alice")
		b := s.browser
		s.app.config.Scopes = []string{"openid", "email"}
		b.open(s.app.request())
		b.login("alice", phone)
		b.at("consent", http.StatusOK)
		for _, want := range []string{"The App", "app.example"} {
			if !strings.Contains(b.page.text(), want) {
				t.Errorf("the page does not name %q:\n%s", want, b.page.text())
			}
		}
		if !b.page.says("scope.email") || b.page.says("scope.groups") {
			t.Errorf("the scopes are wrong:\n%s", b.page.text())
		}
		b.submit("consent", "decision", "allow")
		s.app.callback(b.page)

		b.open(s.app.request("scope", "openid"))
		s.app.callback(b.page)
		b.open(s.app.request("scope", "openid email groups"))
		b.at("consent", http.StatusOK)
		b.submit("consent", "decision", "deny")
		b.refused(s.app, "access_denied")
		b.open(s.app.request("scope", "openid email groups", "prompt", "none"))
		b.refused(s.app, "consent_required")
		b.open(s.app.request("scope", "openid email groups"))
		b.submit("consent", "decision", "allow")
		s.app.callback(b.page)
		c, err := s.db.Consent(t.Context(), "sub-alice", "app")
		if err != nil {
			t.Fatal(err)
		}
		same(t, "consent", c.Scopes, []string{"email", "groups", "openid"})

		// prompt=consent asks all the same.
		b.open(s.app.request("prompt", "consent"))
		b.at("consent", http.StatusOK)
		b.submit("consent", "decision", "allow")
		s.app.callback(b.page)
		// The answer must be a clear one.
		b.open(s.app.request("prompt", "consent"))
		b.submit("consent", "decision", "maybe")
		b.refused(s.app, "access_denied")

		// Our own apps are not asked for.
		s.register(provider.Client{
			ID: "own", Name: "Our Own", Type: provider.Web, FirstParty: true,
			Secrets:      []provider.Hash{hash("another secret of 256 random bits")},
			RedirectURIs: []string{appURL},
		})
		own := newApp(t, s.net, "own", "another secret of 256 random bits")
		b.open(own.request())
		own.callback(b.page)
	})
}

// PA-3: two tabs are two flows.
func TestTwoTabsOfOneBrowserBothEndWell(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.ready("alice")
		one, two := s.browser, s.browser.tab()
		app2 := s.app.tab()
		one.open(s.app.request())
		two.open(app2.request())
		one.password("alice")
		two.password("alice")

		// What is proven in one is not proven in the other.
		one.submit("otp", "code", phone.code(0))
		first := s.app.callback(one.page)
		two.open(two.page.url.String())
		two.at("factor", http.StatusOK)
		// TO-2: not even with the code that was right there.
		two.submit("otp", "code", phone.code(0))
		two.problem("factor", http.StatusUnprocessableEntity, "code", "problem.code_replayed")

		time.Sleep(30 * time.Second)
		two.submit("otp", "code", phone.code(0))
		second := app2.callback(two.page)
		if first.SID != second.SID || first.Subject != second.Subject {
			t.Errorf("got %+v and %+v", first, second)
		}
		if n := len(s.sessions("alice")); n != 1 {
			t.Errorf("%d sessions in one browser", n)
		}
		// Both tabs share the session, whichever cookie came last.
		one.open(s.app.request("prompt", "none"))
		s.app.callback(one.page)
	})
}

// PA-3: a code given for one flow is nothing to another of the same browser,
// even to one whose user is the same.
func TestAFactorProvenInOneFlowDoesNotCompleteAnother(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.ready("alice")
		x, y := s.browser, s.browser.tab()
		appY := s.app.tab()
		x.open(s.app.request())
		y.open(appY.request())
		x.password("alice")
		x.at("factor", http.StatusOK)
		formX := x.request("otp", "code", phone.code(0))

		// The form of X, sent to Y, which waits for a password.
		formX.URL.Path = "/flow/" + y.page.flow()
		y.do(formX)
		y.at("password", http.StatusOK)
		if f := s.stored(y.page); f.State.Login.Subject != "" {
			t.Errorf("Y knows %+v", f.State.Login)
		}

		y.password("alice")
		x.submit("otp", "code", phone.code(0))
		s.app.callback(x.page)
		if f := s.stored(y.page); f.State.Login.Proofs.Set().Has(authflow.OTP) {
			t.Error("the code of X counts in Y")
		}
		y.open(flowURL(y.page.flow()))
		y.at("factor", http.StatusOK)
	})
}

// PA-5
func TestAFlowEndsOnce(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.enrolled("alice")
		b := s.browser
		b.open(s.app.request())
		password := b.page
		b.password("alice")
		factor := b.page
		b.submit("otp", "code", phone.code(0))
		consent := b.page
		b.submit("consent", "decision", "allow")
		s.app.callback(b.page)
		cookie := b.cookie(sessionCookie)

		// Back and again, with each of the forms, and without.
		time.Sleep(30 * time.Second)
		for _, old := range []*page{password, factor, consent} {
			b.page = old
			switch old {
			case password:
				b.password("alice")
			case factor:
				b.submit("otp", "code", phone.code(0))
			case consent:
				b.submit("consent", "decision", "allow")
			}
			b.ended("used")
			if !strings.Contains(b.page.text(), "The App") {
				t.Errorf("the page does not name the app:\n%s", b.page.text())
			}
			b.open(old.url.String())
			b.ended("used")
		}
		b.page = factor
		b.submit("cancel")
		b.ended("used")
		if b.cookie(sessionCookie) != cookie || len(s.sessions("alice")) != 1 {
			t.Error("the session changed")
		}
		same(t, "sign-ins", s.audit("alice", provider.EventSignIn), []string{"sign-in success"})
		// The code that was sent to a flow which had ended is still good.
		other := newBrowser(t, s.net)
		other.open(s.app.request())
		other.login("alice", phone)
		s.app.callback(other.page)
	})
}

// PA-5: steps that the flow is not at are shown what is right now.
func TestAStaleTabIsShownTheRightPage(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.enrolled("alice")
		b := s.browser
		b.open(s.app.request())
		stale := b.tab()
		stale.page = b.page
		b.password("alice")
		stale.submit("password", "username", "bob", "password", passwords["bob"])
		stale.at("factor", http.StatusOK)
		if f := s.stored(stale.page); f.State.Login.Subject != "sub-alice" {
			t.Errorf("the flow is %s's", f.State.Login.Subject)
		}
		for _, step := range []string{"consent", "saved", "confirm", "enroll", "switch", "", "granted"} {
			stale.page = b.page
			stale.submit("otp", "step", step, "decision", "allow", "code", phone.code(0))
			stale.at("factor", http.StatusOK)
		}
		b.submit("otp", "code", phone.code(0))
		b.at("consent", http.StatusOK)
	})
}

// A provider that stops between two pages has forgotten nothing.
func TestAFlowGoesOnAfterARestart(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.enrolled("alice")
		restart := func() {
			s.db.Close()
			h := newHouse(t, dsn, plan{people: s.people})
			s.house, s.net["idp.example"] = h, h
		}
		b := s.browser
		given := now()
		b.open(s.app.request("acr_values", "mfa"))
		restart()
		b.password("alice")
		b.at("factor", http.StatusOK)
		restart()
		time.Sleep(30 * time.Second)
		b.submit("otp", "code", phone.code(0))
		b.at("consent", http.StatusOK)
		restart()
		b.submit("consent", "decision", "allow")
		restart()
		s.app.callback(b.page).proven(t, "mfa", given, "pwd", "otp")
		b.open(s.app.request("prompt", "none"))
		s.app.callback(b.page)
	})
}
