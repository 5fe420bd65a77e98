package test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

// enrolAs takes name from the door of a flow's password page to new recovery
// codes, which are put away.
func (b *browser) enrolAs(name string) (phone, []string) {
	b.t.Helper()
	b.password(name)
	b.at("enrollstart", http.StatusOK)
	return b.setUp()
}

// setUp takes the browser from the start of enrolment to behind the new
// recovery codes.
func (b *browser) setUp() (phone, []string) {
	b.t.Helper()
	b.submit("enroll")
	b.at("enroll", http.StatusOK)
	p := scan(b.t, b.page)
	b.submit("confirm", "code", p.code(0))
	b.at("codes", http.StatusOK)
	codes := b.page.codes()
	if len(codes) != 10 {
		b.t.Fatalf("%d recovery codes, want 10:\n%s", len(codes), b.page.text())
	}
	b.submit("saved")
	return p, codes
}

// RC-1, RC-4, RC-5
func TestARecoveryCodeLetsInOnceAndIsTold(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.allowed("alice")
		s.allowed("bob")
		b := s.browser
		b.open(s.app.request())
		_, codes := b.enrolAs("alice")
		s.app.callback(b.page)
		bobs := newBrowser(t, s.net)
		bobs.open(s.app.request())
		_, bobsCodes := bobs.enrolAs("bob")
		s.app.callback(bobs.page)
		s.heard(provider.NoticeEnrolled, provider.NoticeEnrolled)

		recover := func(code string) {
			t.Helper()
			b = newBrowser(t, s.net)
			b.open(s.app.request())
			b.password("alice")
			b.follow("/flow/")
			b.at("recovery", http.StatusOK)
			b.submit("recovery", "code", code)
		}
		time.Sleep(time.Hour)
		// Typed as people type.
		recover(" " + strings.ToLower(strings.ReplaceAll(codes[0], "-", " ")) + " ")
		s.app.callback(b.page).proven(t, "mfa", now(), "pwd", "recovery")
		s.heard(provider.NoticeRecovery)
		if n := s.budget("alice").RecoveryLeft; n != 9 {
			t.Errorf("%d codes left, want 9", n)
		}
		recover(codes[0])
		b.problem("recovery", http.StatusUnprocessableEntity, "code", "problem.recovery_replayed")
		s.heard(provider.NoticeReplay)
		// B's code is nothing on A's account, and is not used up by it.
		b.submit("recovery", "code", bobsCodes[0])
		b.problem("recovery", http.StatusUnprocessableEntity, "code", "problem.recovery_wrong")
		s.heard()
		if n := s.budget("bob").RecoveryLeft; n != 10 {
			t.Errorf("bob has %d codes left", n)
		}
		// A code of one kind is nothing in the place of the other.
		b.submit("recovery", "step", "otp", "code", codes[1])
		b.problem("recovery", http.StatusUnprocessableEntity, "code", "problem.code_wrong")
		same(t, "audit", s.audit("alice", provider.EventRecovery, provider.EventReplay, provider.EventFactor),
			[]string{"recovery success", "replay failure", "recovery failure", "factor failure"})

		// At three left every login says so, down to none.
		for i, code := range codes[1:] {
			recover(code)
			s.app.callback(b.page).proven(t, "mfa", now(), "pwd", "recovery")
			left := 8 - i
			b = newBrowser(t, s.net)
			b.open(s.app.request())
			b.password("alice")
			b.at("factor", http.StatusOK)
			if got := matches(b.page.notice(), "notice.recovery_left"); got != (left <= 3) {
				t.Errorf("with %d left the page says %q", left, b.page.notice())
			}
		}
		if b.page.link("/flow/") != "" {
			t.Errorf("a recovery code is asked for, and there is none:\n%s", b.page.text())
		}
		left := 9
		for _, n := range s.notices {
			if left--; n.Kind != provider.NoticeRecovery || n.RecoveryLeft != left || n.Address != "192.0.2.1" {
				t.Errorf("notice %+v, want of %d left", n, left)
			}
		}
	})
}

// RC-4: where a recovery code does not reach the level, it opens the way to a
// new authenticator.
func TestARecoveryCodeThatIsNotEnoughLeadsToANewFactor(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		strict := authflow.Ladder{
			{Name: "pwd", Ways: []authflow.Methods{authflow.Of(authflow.Password)}},
			{Name: "mfa", Ways: []authflow.Methods{authflow.Of(authflow.Password, authflow.OTP)}},
		}
		s := newStage(t, dsn, plan{provider: func(c *provider.Config) { c.Ladder, c.Floor = strict, "mfa" }})
		s.allowed("alice")
		first := s.browser
		first.open(s.app.request())
		lost, codes := first.enrolAs("alice")
		s.app.callback(first.page)
		s.heard(provider.NoticeEnrolled)
		time.Sleep(time.Hour)

		b := newBrowser(t, s.net)
		given := now()
		b.open(s.app.request())
		b.password("alice")
		b.at("factor", http.StatusOK)
		b.follow("/flow/")
		b.submit("recovery", "code", codes[3])
		b.at("enrollstart", http.StatusOK)
		if got := s.sessions("alice"); len(got) != 1 {
			t.Errorf("a session began before the factor was there: %+v", got)
		}
		found, newCodes := b.setUp()
		s.app.callback(b.page).proven(t, "mfa", given, "pwd", "otp", "recovery")
		s.heard(provider.NoticeRecovery, provider.NoticeReplaced)

		// The old factor, the old codes and the session of before are dead.
		first.open(s.app.request("prompt", "none"))
		first.refused(s.app, "login_required")
		time.Sleep(time.Minute)
		other := newBrowser(t, s.net)
		other.open(s.app.request())
		other.password("alice")
		other.submit("otp", "code", lost.code(0))
		other.problem("factor", http.StatusUnprocessableEntity, "code", "problem.code_wrong")
		other.follow("/flow/")
		other.submit("recovery", "code", codes[4])
		other.problem("recovery", http.StatusUnprocessableEntity, "code", "problem.recovery_wrong")
		other.submit("recovery", "code", newCodes[0])
		other.at("enrollstart", http.StatusOK)
		// What a recovery code has opened shuts again after five minutes.
		time.Sleep(authflow.FactorLifetime + time.Second)
		other.submit("enroll")
		other.at("factor", http.StatusOK)
		other.submit("otp", "code", found.code(0))
		s.app.callback(other.page)
	})
}

// TO-5, TO-10, RC-3: what is shown once is not shown again.
func TestSecretsAreShownOnceAndToNobodyElse(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		b := s.browser
		b.open(s.app.request())
		b.password("alice")
		b.at("enrollstart", http.StatusOK)
		flow := b.page.flow()
		// A GET makes nothing.
		b.open(flowURL(flow))
		if s.budget("alice").Pending {
			t.Error("looking made a secret")
		}
		b.submit("enroll")
		b.at("enroll", http.StatusOK)
		phone := scan(t, b.page)
		secret := phone.key.Secret()
		if len(secret) != 32 { // 160 bits
			t.Errorf("the secret has %d characters", len(secret))
		}
		if form := bodyOf(t, b.request("confirm", "code", "1")); strings.Contains(form, secret) {
			t.Error("the form carries the secret")
		}
		b.open(flowURL(flow)) // until it is confirmed, a reload shows it
		if scan(t, b.page).key.Secret() != secret {
			t.Error("a reload made another secret")
		}
		page := b.page

		// Another browser with the password learns nothing of it.
		other := newBrowser(t, s.net)
		other.open(s.app.tab().request())
		other.password("alice")
		other.at("enrollstart", http.StatusOK)
		if strings.Contains(other.page.body, secret) {
			t.Error("another browser sees the secret")
		}
		// Nor can it confirm what it has not begun.
		other.do(post(t, flowURL(other.page.flow()), values("step", "confirm", "code", phone.code(0))))
		other.at("enrollstart", http.StatusUnprocessableEntity)
		if !other.page.says("problem.setup_expired") {
			t.Errorf("got %s", other.page.text())
		}

		b.submit("confirm", "code", phone.code(0))
		b.at("codes", http.StatusOK)
		codes := b.page.codes()
		if strings.Contains(b.page.body, secret) || b.page.header.Get("Cache-Control") != "no-store" {
			t.Error("the page of the codes shows the secret or is kept")
		}
		// Until they are put away, these are shown; as a file as well.
		b.open(flowURL(flow))
		same(t, "codes after a reload", b.page.codes(), codes)
		b.follow("/flow/")
		if b.page.status != http.StatusOK || b.page.header.Get("Cache-Control") != "no-store" ||
			!strings.HasPrefix(b.page.header.Get("Content-Disposition"), "attachment") {
			t.Errorf("the file: %d %v", b.page.status, b.page.header)
		}
		for _, code := range codes {
			if !strings.Contains(b.page.body, code) {
				t.Errorf("the file is without %s:\n%s", code, b.page.body)
			}
		}
		b.open(flowURL(flow))
		b.submit("saved")
		b.at("consent", http.StatusOK)
		for _, below := range []string{"", "recovery", "codes.txt"} {
			b.open(flowURL(flow, below))
			for _, code := range append(codes, secret) {
				if strings.Contains(b.page.body, code) {
					t.Errorf("%s shows a secret again", b.page.url)
				}
			}
		}

		// The second browser's flow has been overtaken: the account is another.
		other.open(flowURL(other.page.flow()))
		other.ended("changed")
		// The confirming code is used up.
		third := newBrowser(t, s.net)
		third.open(s.app.request())
		third.password("alice")
		third.submit("otp", "code", phone.code(0))
		third.problem("factor", http.StatusUnprocessableEntity, "code", "problem.code_replayed")
		// A stale enrolment page confirms nothing, either.
		b.page = page
		b.submit("confirm", "code", phone.code(0))
		b.at("consent", http.StatusOK)
	})
}

// TO-10: a second start replaces the first.
func TestASecondStartOfEnrolmentReplacesTheFirst(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		one, two := s.browser, newBrowser(t, s.net)
		app2 := s.app.tab()
		one.open(s.app.request())
		one.password("alice")
		one.submit("enroll")
		first := scan(t, one.page)
		two.open(app2.request())
		two.password("alice")
		two.submit("enroll")
		second := scan(t, two.page)
		if first.key.Secret() == second.key.Secret() {
			t.Fatal("both see one secret")
		}
		one.submit("confirm", "code", first.code(0))
		one.at("enrollstart", http.StatusUnprocessableEntity)
		if !one.page.says("problem.setup_expired") {
			t.Errorf("got %s", one.page.text())
		}
		two.submit("confirm", "code", second.code(0))
		two.at("codes", http.StatusOK)
		two.submit("saved")
		two.submit("consent", "decision", "allow")
		app2.callback(two.page).proven(t, "mfa", now(), "pwd", "otp")
		s.heard(provider.NoticeEnrolled)
	})
}

// TO-8: guesses at an enrolment's code are charged like any.
func TestWrongFirstCodesAreChargedToTheAccount(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		b := s.browser
		b.open(s.app.request())
		b.password("alice")
		b.submit("enroll")
		phone := scan(t, b.page)
		for range 5 {
			b.submit("confirm", "code", wrongCode(phone))
			b.problem("enroll", http.StatusUnprocessableEntity, "code", "problem.code_wrong")
			if scan(t, b.page).key.Secret() != phone.key.Secret() {
				t.Fatal("a wrong code made another secret")
			}
		}
		b.submit("confirm", "code", phone.code(0))
		b.throttled("enroll", 30*time.Second)
		time.Sleep(30 * time.Second)
		b.submit("confirm", "code", phone.code(9)) // TO-12
		b.problem("enroll", http.StatusUnprocessableEntity, "code", "problem.clock_ahead")
		time.Sleep(time.Minute)
		b.submit("confirm", "code", phone.code(0))
		b.at("codes", http.StatusOK)
	})
}

// TO-14
func TestEnrolmentByTicket(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn, plan{mfa: func(c *mfa.Config) { c.Enrolment = mfa.Ticket }})
		s.allowed("alice")
		b := s.browser
		// Without a ticket there is no way.
		b.open(s.app.request())
		b.password("alice")
		b.refused(s.app, "unmet_authentication_requirements")

		old, _, err := s.factors.NewTicket(t.Context(), "sub-alice")
		if err != nil {
			t.Fatal(err)
		}
		ticket, _, err := s.factors.NewTicket(t.Context(), "sub-alice")
		if err != nil {
			t.Fatal(err)
		}
		b.open(s.app.request())
		b.password("alice")
		b.at("enrollstart", http.StatusOK)
		b.submit("enroll")
		b.problem("enrollstart", http.StatusUnprocessableEntity, "ticket", "problem.ticket_missing")
		for _, wrong := range []string{"guess", old, ticket[:len(ticket)-1]} {
			b.submit("enroll", "ticket", wrong)
			b.problem("enrollstart", http.StatusUnprocessableEntity, "ticket", "problem.ticket_wrong")
		}
		if got := s.budget("alice"); got.Run != 3 || got.Pending {
			t.Errorf("after three wrong tickets: %+v", got)
		}
		b.submit("enroll", "ticket", strings.ToLower(ticket))
		b.at("enroll", http.StatusOK)

		// It was good once.
		thief := newBrowser(t, s.net)
		thief.open(s.app.tab().request())
		thief.password("alice")
		if thief.page.url.Query().Get("error") != "unmet_authentication_requirements" {
			t.Errorf("a ticket that was used: %s", thief.page.text())
		}
		phone := scan(t, b.page)
		b.submit("confirm", "code", phone.code(0))
		b.submit("saved")
		s.app.callback(b.page).proven(t, "mfa", now(), "pwd", "otp")
		s.heard(provider.NoticeEnrolled)

		// One that nobody used is over after a day.
		if _, _, err = s.factors.NewTicket(t.Context(), "sub-bob"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		other := newBrowser(t, s.net)
		other.open(s.app.request())
		other.password("bob")
		other.refused(s.app, "unmet_authentication_requirements")
	})
}

// TO-14
func TestForbiddenEnrolment(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn, plan{mfa: func(c *mfa.Config) { c.Enrolment = mfa.Forbidden }})
		b := s.browser
		b.open(s.app.request())
		flow := b.page.flow()
		b.password("alice")
		b.refused(s.app, "unmet_authentication_requirements")
		b.do(post(t, flowURL(flow), values("step", "enroll")))
		b.refused(s.app, "unmet_authentication_requirements") // the same again, and nothing else
		if got := s.budget("alice"); got.Pending {
			t.Error("a secret was made")
		}
		// On the way to the account pages there is nobody to tell but the user.
		b.open(issuer + "/account")
		b.password("alice")
		b.ended("unmet")
		// Whom an administrator gave a factor comes in.
		phone := s.ready("alice")
		b.open(s.app.request())
		b.login("alice", phone)
		s.app.callback(b.page)
	})
}

// TO-14: an account that had a factor gets no new one on the strength of its
// password, whatever became of the old one.
func TestAnAccountThatHadAFactorIsNotEnrolledByItsPassword(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.ready("alice")
		b := s.browser
		b.open(s.app.request())
		b.password("alice")
		b.at("factor", http.StatusOK)
		flow := b.page.flow()
		for _, step := range []string{"enroll", "confirm", "saved"} {
			b.do(post(t, flowURL(flow), values("step", step, "code", "000000")))
			b.at("factor", http.StatusOK)
		}
		if got := s.budget("alice"); got.Pending {
			t.Error("a secret was made")
		}
		// An administrator's reset makes it one that never had any.
		if err := s.factors.Reset(t.Context(), "sub-alice"); err != nil {
			t.Fatal(err)
		}
		b.open(flowURL(flow))
		b.ended("changed")
		b.open(s.app.request())
		b.enrolAs("alice")
		if id := s.app.callback(b.page); !slices.Equal(id.AMR, []string{"pwd", "otp"}) {
			t.Errorf("got %+v", id)
		}
	})
}
