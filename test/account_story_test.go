package test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

// fields returns the values of the field called name in the forms for step.
func (p *page) fields(step, name string) (all []string) {
	walk(p.doc, func(n *html.Node) {
		if n.Data != "form" {
			return
		}
		is, value := false, ""
		walk(n, func(m *html.Node) {
			is = is || attr(m, "name") == "step" && attr(m, "value") == step
			if attr(m, "name") == name {
				value = attr(m, "value")
			}
		})
		if is {
			all = append(all, value)
		}
	})
	return all
}

// account takes the browser, signed in or not, to the account page.
func (b *browser) account(name string, p phone) *page {
	b.t.Helper()
	b.open(issuer + "/account")
	if b.page.kind() == "password" {
		b.login(name, p)
	}
	return b.at("account", http.StatusOK)
}

// SE-6
func TestUsersSeeAndEndTheirSessions(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone, bobs := s.ready("alice"), s.ready("bob")
		var all []*browser
		for range 3 {
			b := newBrowser(t, s.net)
			b.account("alice", phone)
			all = append(all, b)
			time.Sleep(time.Minute)
		}
		here, other, third := all[0], all[1], all[2]
		bob := s.browser
		bob.account("bob", bobs)
		bobsID := s.sessions("bob")[0].ID

		here.account("alice", phone)
		ids := here.page.fields("end-session", "id")
		if len(ids) != 2 || !here.page.says("account.sessions.this") {
			t.Fatalf("sessions to end: %v\n%s", ids, here.page.text())
		}
		// Someone else's is not hers to end.
		here.submit("end-session", "id", bobsID)
		here.at("account", http.StatusOK)
		bob.open(issuer + "/account")
		bob.at("account", http.StatusOK)

		// One of hers: what is under way in it is under way no more.
		halfApp, half := s.app.tab(), other.tab()
		half.open(halfApp.request("prompt", "consent"))
		half.at("consent", http.StatusOK)
		var id string
		for _, session := range s.sessions("alice") {
			if session.Cookie == hash(other.cookie(sessionCookie)) {
				id = session.ID
			}
		}
		here.submit("end-session", "id", id)
		here.at("account", http.StatusOK)
		if len(here.page.fields("end-session", "id")) != 1 {
			t.Errorf("still there:\n%s", here.page.text())
		}
		other.open(s.app.request("prompt", "none"))
		other.refused(s.app, "login_required")
		half.submit("consent", "decision", "allow")
		half.ended("signedout")
		third.open(s.app.request("prompt", "none"))
		s.app.callback(third.page)

		// This one.
		cookie := here.cookie(sessionCookie)
		here.submit("sign-out")
		here.at("signedout", http.StatusOK)
		if here.cookie(sessionCookie) != "" {
			t.Error("the cookie is still there")
		}
		here.plant(sessionCookie, cookie)
		here.open(s.app.request("prompt", "none"))
		here.refused(s.app, "login_required")

		// All.
		third.open(issuer + "/account")
		third.at("account", http.StatusOK)
		other.account("alice", phone)
		time.Sleep(time.Minute)
		third.open(issuer + "/account")
		third.submit("end-all")
		third.at("signedout", http.StatusOK)
		if got := s.sessions("alice"); len(got) > 0 {
			t.Errorf("sessions live on: %+v", got)
		}
		for _, b := range []*browser{other, third} {
			b.open(s.app.request("prompt", "none"))
			b.refused(s.app, "login_required")
		}
		// Bob's session is not among them: it was never ended.
		same(t, "audit", s.audit("alice", provider.EventSessionEnd, provider.EventLogout),
			[]string{"session-ended success", "logout success", "session-ended success"})
		if len(s.sessions("bob")) != 1 {
			t.Error("bob was signed out")
		}
	})
}

// OA-14, SE-6: what is taken back is taken back at once.
func TestARevokedConsentKillsItsGrants(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.app.config.Scopes = append(s.app.config.Scopes, "offline_access")
		phone, bobs := s.ready("alice"), s.ready("bob")
		b, bob := s.browser, newBrowser(t, s.net)
		bob.open(s.app.request())
		bob.login("bob", bobs)
		bobsToken := s.app.callback(bob.page).token
		b.open(s.app.request())
		b.login("alice", phone)
		token := s.app.callback(b.page).token
		pending := s.app.tab()
		code := b.tab()
		code.open(pending.request())
		half, halfApp := b.tab(), s.app.tab()
		half.open(halfApp.request("prompt", "login"))
		half.at("password", http.StatusOK)

		b.account("alice", phone)
		same(t, "apps", b.page.fields("revoke", "client"), []string{"app"})
		if !strings.Contains(b.page.text(), "The App") || !strings.Contains(b.page.text(), "app.example") {
			t.Errorf("the app is not named:\n%s", b.page.text())
		}
		b.submit("revoke")
		b.at("account", http.StatusOK)
		if got := b.page.fields("revoke", "client"); len(got) > 0 {
			t.Errorf("still allowed: %v", got)
		}
		if got := s.app.userinfo(token); got != http.StatusUnauthorized {
			t.Errorf("userinfo answers %d", got)
		}
		if _, err := s.app.refresh(token); refusal(err) != "invalid_grant" {
			t.Errorf("refresh: %v", err)
		}
		if _, err := pending.redeem(code.page); refusal(err) != "invalid_grant" {
			t.Errorf("code: %v", err)
		}
		if got := s.app.userinfo(bobsToken); got != http.StatusOK {
			t.Errorf("bob's userinfo answers %d", got)
		}
		same(t, "audit", s.audit("alice", provider.EventRevoke), []string{"consent-revoked success"})

		// A flow that was under way asks again, and so does a new one.
		time.Sleep(30 * time.Second)
		half.login("alice", phone)
		half.at("consent", http.StatusOK)
		b.open(s.app.request("prompt", "none"))
		b.refused(s.app, "consent_required")
		half.submit("consent", "decision", "allow")
		halfApp.callback(half.page)
		// What was revoked stays so.
		if _, err := s.app.refresh(token); refusal(err) != "invalid_grant" {
			t.Errorf("refresh: %v", err)
		}
	})
}

// TO-11, PA-7
func TestReplacingTheAuthenticatorTakesAFreshOne(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.app.config.Scopes = append(s.app.config.Scopes, "offline_access")
		s.allowed("alice")
		b := s.browser
		b.open(s.app.request())
		old, oldCodes := b.enrolAs("alice")
		token := s.app.callback(b.page).token
		other := newBrowser(t, s.net)
		time.Sleep(time.Minute)
		other.account("alice", old)
		s.heard(provider.NoticeEnrolled)

		// Six minutes after the code, it is asked for again, and the password,
		// too; five minutes after that once more, even on the last page.
		time.Sleep(5*time.Minute + time.Second)
		fresh := func() {
			t.Helper()
			b.at("password", http.StatusOK)
			b.login("alice", old)
			b.at("account", http.StatusOK)
		}
		b.account("alice", old)
		b.submit("replace-factor")
		if s.budget("alice").Pending {
			t.Error("a secret was made without a fresh factor")
		}
		fresh()
		b.submit("replace-factor")
		b.at("enroll", http.StatusOK)
		late := scan(t, b.page)
		time.Sleep(authflow.FactorLifetime + time.Second)
		b.submit("confirm", "code", late.code(0))
		fresh()
		if got := s.budget("alice"); got.Enrolled.After(now().Add(-10 * time.Minute)) {
			t.Errorf("replaced without a fresh factor: %+v", got)
		}
		// TO-10: and the secret is over after ten, however fresh the factor is.
		time.Sleep(authflow.FactorLifetime - 2*time.Second)
		b.open(issuer + "/account/factor")
		b.at("enroll", http.StatusOK)
		form := b.request("confirm", "code", late.code(0))
		time.Sleep(time.Second)
		b.do(form)
		b.at("account", http.StatusOK)
		if got := s.budget("alice"); got.Enrolled.After(now().Add(-10*time.Minute)) || got.Pending {
			t.Errorf("replaced by a secret that was over: %+v", got)
		}
		time.Sleep(time.Minute)
		b.submit("replace-factor")
		fresh()
		b.submit("replace-factor")
		b.at("enroll", http.StatusOK)
		next := scan(t, b.page)
		if next.key.Secret() == late.key.Secret() {
			t.Error("a secret is shown twice")
		}
		// Until it is confirmed, the old one is good.
		time.Sleep(30 * time.Second)
		check := newBrowser(t, s.net)
		check.account("alice", old)
		half := newBrowser(t, s.net)
		half.open(s.app.request())
		half.password("alice")
		half.at("factor", http.StatusOK)
		b.submit("confirm", "code", wrongCode(next))
		b.problem("enroll", http.StatusUnprocessableEntity, "code", "problem.code_wrong")
		b.submit("confirm", "code", old.code(1))
		b.problem("enroll", http.StatusUnprocessableEntity, "code", "problem.code_wrong")
		cookie := b.cookie(sessionCookie)
		s.heard()

		b.submit("confirm", "code", next.code(0))
		b.at("codes", http.StatusOK)
		codes := b.page.codes()
		s.heard(provider.NoticeReplaced)
		b.submit("saved")
		b.at("account", http.StatusOK)
		b.open(issuer + "/account/codes")
		b.at("account", http.StatusOK) // shown once
		b.open(issuer + "/account/factor")
		b.at("account", http.StatusOK)
		if b.cookie(sessionCookie) == cookie {
			t.Error("the cookie is the old one")
		}
		if got := s.sessions("alice"); len(got) != 1 {
			t.Errorf("sessions: %+v", got)
		}

		// All else that was open has ended.
		for _, b := range []*browser{other, check} {
			b.open(s.app.request("prompt", "none"))
			b.refused(s.app, "login_required")
		}
		half.open(half.page.url.String())
		half.ended("changed")
		if _, err := s.app.refresh(token); refusal(err) != "invalid_grant" {
			t.Errorf("refresh: %v", err)
		}
		time.Sleep(time.Minute)
		other.open(s.app.request())
		other.password("alice")
		other.submit("otp", "code", old.code(0))
		other.problem("factor", http.StatusUnprocessableEntity, "code", "problem.code_wrong")
		other.follow("/flow/")
		other.submit("recovery", "code", oldCodes[0])
		other.problem("recovery", http.StatusUnprocessableEntity, "code", "problem.recovery_wrong")
		other.submit("recovery", "code", codes[0])
		s.app.callback(other.page)
		// This browser is still signed in.
		b.open(s.app.request("prompt", "none"))
		s.app.callback(b.page)
	})
}

// TO-11 (CVE-2023-3597): a password, or a session of one, changes no factor.
func TestAPasswordAloneChangesNoFactor(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn, plan{provider: func(c *provider.Config) { c.Floor = "pwd" }})
		phone := s.ready("alice")
		before := s.budget("alice")
		b := s.browser
		b.open(issuer + "/account")
		b.password("alice")
		b.at("account", http.StatusOK)
		for _, step := range []string{"replace-factor", "new-codes"} {
			b.open(issuer + "/account")
			b.submit(step)
			b.at("factor", http.StatusOK)
		}
		b.do(post(t, issuer+"/account/factor", values("step", "confirm", "code", phone.code(0))))
		b.at("account", http.StatusOK)
		if got := s.budget("alice"); got != before {
			t.Errorf("it is %+v, was %+v", got, before)
		}
		// With the code it goes on.
		b.submit("replace-factor")
		b.submit("otp", "code", phone.code(0))
		b.at("account", http.StatusOK)
		b.submit("replace-factor")
		b.at("enroll", http.StatusOK)
	})
}

// TO-11, TO-14: whoever sits down at an open browser binds no app to an
// account that has none.
func TestAnOldSessionDoesNotEnrol(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn, plan{provider: func(c *provider.Config) { c.Floor = "pwd" }})
		b := s.browser
		b.open(issuer + "/account")
		b.password("alice")
		b.at("account", http.StatusOK)
		time.Sleep(authflow.PasswordLifetime)
		b.submit("replace-factor")
		b.at("password", http.StatusOK)
		if s.budget("alice").Pending {
			t.Error("a secret was made")
		}
		b.enrolAs("alice")
		b.at("account", http.StatusOK)
		if !b.page.says("account.app.active") {
			t.Errorf("no factor:\n%s", b.page.text())
		}
		s.heard(provider.NoticeEnrolled)
	})
}

// TO-14: the account page does not go around a ticket.
func TestTheAccountPageAsksForATicketToo(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn,
			plan{provider: func(c *provider.Config) { c.Floor = "pwd" }},
			plan{mfa: func(c *mfa.Config) { c.Enrolment = mfa.Ticket }})
		b := s.browser
		b.open(issuer + "/account")
		b.password("alice")
		b.submit("replace-factor")
		if s.budget("alice").Pending {
			t.Error("a secret was made without a ticket")
		}
		ticket, _, err := s.factors.NewTicket(t.Context(), "sub-alice")
		if err != nil {
			t.Fatal(err)
		}
		b.open(issuer + "/account")
		b.submit("replace-factor")
		b.at("enrollstart", http.StatusOK)
		b.submit("enroll", "ticket", ticket)
		b.at("enroll", http.StatusOK)
	})
}

// RC-3
func TestNewRecoveryCodesKillTheOldOnes(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.allowed("alice")
		b := s.browser
		b.open(s.app.request())
		phone, old := b.enrolAs("alice")
		s.app.callback(b.page)
		s.heard(provider.NoticeEnrolled)
		time.Sleep(5*time.Minute + time.Second)
		other := newBrowser(t, s.net)
		other.account("alice", phone)

		time.Sleep(time.Minute)
		b.account("alice", phone)
		b.submit("new-codes")
		b.at("password", http.StatusOK)
		s.heard()
		b.login("alice", phone)
		b.at("account", http.StatusOK)
		b.submit("new-codes")
		b.at("codes", http.StatusOK)
		if b.page.header.Get("Cache-Control") != "no-store" {
			t.Errorf("Cache-Control %q", b.page.header.Get("Cache-Control"))
		}
		codes := b.page.codes()
		s.heard(provider.NoticeCodes)
		b.follow("/account/codes.txt")
		if b.page.header.Get("Cache-Control") != "no-store" || !strings.Contains(b.page.body, codes[9]) {
			t.Errorf("the file: %v\n%s", b.page.header, b.page.body)
		}
		// The user's other session has ended, and a new one is shown nothing.
		other.open(s.app.request("prompt", "none"))
		other.refused(s.app, "login_required")
		time.Sleep(time.Minute)
		other.account("alice", phone)
		other.open(issuer + "/account/codes")
		if len(other.page.codes()) > 0 {
			t.Error("another browser sees the codes")
		}
		b.open(issuer + "/account/codes")
		b.submit("saved")
		b.at("account", http.StatusOK)
		for _, path := range []string{"/account/codes", "/account/codes.txt"} {
			b.open(issuer + path)
			if strings.Contains(b.page.body, codes[0]) {
				t.Errorf("%s shows the codes again", path)
			}
		}

		time.Sleep(time.Minute)
		b = newBrowser(t, s.net)
		b.open(s.app.request())
		b.password("alice")
		b.follow("/flow/")
		b.submit("recovery", "code", old[0])
		b.problem("recovery", http.StatusUnprocessableEntity, "code", "problem.recovery_wrong")
		b.submit("recovery", "code", codes[0])
		s.app.callback(b.page).proven(t, "mfa", now(), "pwd", "recovery")
		same(t, "audit", s.audit("alice", provider.EventCodes), []string{"recovery-codes success"})
	})
}

// SE-6: the account pages open with what the floor demands, and are nothing to
// anyone else.
func TestTheAccountPagesOpenBehindBothDoors(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.enrolled("alice")
		b := s.browser
		for _, path := range []string{"/account", "/account/factor", "/account/codes", "/account/codes.txt"} {
			b.open(issuer + path)
			b.at("password", http.StatusOK)
		}
		for path, step := range map[string]string{"/account": "end-all", "/account/factor": "confirm", "/account/codes": "saved"} {
			b.do(post(t, issuer+path, values("step", step, "code", phone.code(0))))
			b.at("password", http.StatusOK)
		}
		b.password("alice")
		b.at("factor", http.StatusOK)
		b.tab().open(issuer + "/account")
		b.submit("otp", "code", phone.code(0))
		b.at("account", http.StatusOK)
		if b.page.url.Path != "/account" || !strings.Contains(b.page.text(), "Alice Example") {
			t.Errorf("at %s", b.page.text())
		}
		b.open(issuer + "/account/factor")
		b.at("account", http.StatusOK)
		// No code was made for anyone.
		same(t, "audit", s.audit("alice"), []string{"password success", "factor success", "sign-in success"})
	})
}
