package test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

// What attackers try to have less proven than is demanded, or to have it proven
// by someone else.

// signedIn opens a bank at which alice has signed in with her password, and
// returns when.
func signedIn(t *testing.T, dsn string) (*stage, phone, time.Time) {
	t.Helper()
	s, phone := newBank(t, dsn)
	s.browser.open(s.app.request())
	when := now()
	s.browser.password("alice")
	s.app.callback(s.browser.page)
	time.Sleep(time.Second)
	return s, phone, when
}

// edited returns the URL of a new request with a parameter set in its query,
// and left out where the value is empty.
func (a *app) edited(t *testing.T, request []string, edits ...string) string {
	t.Helper()
	u, err := url.Parse(a.request(request...))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for i := 0; i+1 < len(edits); i += 2 {
		if q.Del(edits[i]); edits[i+1] != "" {
			q.Set(edits[i], edits[i+1])
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// SU-1: who sits at the browser can edit what the app asks for. What a scope
// takes, it takes in any case; and what no floor holds is not claimed either.
func TestAnAttackerLowersNothingInTheURL(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s, phone, began := signedIn(t, dsn)
		b := s.browser
		for _, scope := range []string{"mail", "card", "pay"} {
			asked := []string{"scope", "openid " + scope, "acr_values", "mfa", "max_age", "300"}
			for _, edits := range [][]string{
				{},
				{"acr_values", ""},
				{"acr_values", "", "max_age", ""},
				{"acr_values", "pwd", "max_age", "999999"},
				{"acr_values", "pwd mfa"},
				{"acr_values", "gold"},
				{"acr_values", "", "ACR_VALUES", "pwd"},
				{"acr_values", "", "acr", "mfa"},
				{"acr_values", "", "claims", `{"id_token":{"acr":{"essential":true,"value":"pwd"}}}`},
				{"acr_values", "", "claims", `{"id_token":{"acr":{"essential":true,"values":["pwd","mfa"]}}}`},
				{"acr_values", "", "prompt", "consent"},
				{"scope", scope + " openid", "acr_values", ""},
				{"scope", "openid  " + scope + " openid", "acr_values", ""},
			} {
				b.open(s.app.edited(t, asked, edits...))
				b.at("factor", http.StatusOK)
				// Posted it is the same, and silently it is refused.
				to, query, _ := strings.Cut(s.app.edited(t, asked, edits...), "?")
				form, err := url.ParseQuery(query)
				if err != nil {
					t.Fatal(err)
				}
				b.do(post(t, to, form))
				b.at("factor", http.StatusOK)
				b.open(s.app.edited(t, asked, append(edits, "prompt", "none")...))
				b.refused(s.app, "login_required")
			}
			// Spelled otherwise it is another scope, which nobody has.
			for _, other := range []string{"openid\t" + scope, "openid\u00a0" + scope, "openid " + strings.ToUpper(scope), "openid," + scope} {
				b.open(s.app.edited(t, asked, "scope", other, "acr_values", ""))
				b.refused(s.app, "invalid_scope")
			}
			for _, twice := range []string{"acr_values=pwd", "max_age=999999", "scope=openid", "claims=%7B%7D&claims=%7B%7D"} {
				b.open(s.app.request(asked...) + "&" + twice)
				b.refused(s.app, "invalid_request")
			}
		}
		// Where no floor holds, the token says what was proven, and an API that
		// wants more challenges again.
		for _, edits := range [][]string{{"acr_values", ""}, {"acr_values", "pwd"}, {"acr_values", "gold"}} {
			b.open(s.app.edited(t, []string{"acr_values", "mfa"}, edits...))
			s.app.callback(b.page).proven(t, "pwd", began, "pwd")
		}
		b.open(s.app.request("scope", "openid mail"))
		b.submit("otp", "code", phone.code(0))
		s.app.callback(b.page).proven(t, "mfa", began, "pwd", "otp")
	})
}

// refreshFor redeems the refresh token of t for scope.
func (a *app) refreshFor(t *oauth2.Token, scope string) (*oauth2.Token, error) {
	return a.config.Exchange(a.ctx, "", oauth2.SetAuthURLParam("grant_type", "refresh_token"),
		oauth2.SetAuthURLParam("refresh_token", t.RefreshToken), oauth2.SetAuthURLParam("scope", scope))
}

// SU-1, OA-6: what was granted to a password stays granted to a password. A scope
// that takes more is had by an authorization alone, also by who has authorized
// it for another token.
func TestAnAttackerAddsNoScopeAtARefresh(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s, phone, began := signedIn(t, dsn)
		b := s.browser
		b.open(s.app.request("scope", "openid offline_access"))
		token := s.app.callback(b.page).token
		refused := func() {
			t.Helper()
			for _, scope := range []string{"mail", "transfer", "card", "pay"} {
				for _, wants := range []string{"openid offline_access " + scope, scope} {
					if _, err := s.app.refreshFor(token, wants); refusal(err) != "invalid_scope" {
						t.Errorf("a refresh for %q says %v", wants, err)
					}
				}
			}
			var err error
			if token, err = s.app.refreshFor(token, "openid offline_access"); err != nil {
				t.Fatal(err)
			}
			if got := token.Extra("scope"); got != "openid offline_access" {
				t.Errorf("granted %q", got)
			}
			s.app.identity(token).proven(t, "pwd", began, "pwd")
			if got := claimsOf(t, token.AccessToken)["acr"]; got != "pwd" {
				t.Errorf("the access token says acr %v", got)
			}
		}
		refused()
		for _, scope := range []string{"mail", "pay"} {
			time.Sleep(time.Minute)
			b.open(s.app.request("scope", "openid offline_access "+scope))
			b.at("factor", http.StatusOK)
			b.submit("otp", "code", phone.code(0))
			s.app.callback(b.page)
			refused()
		}
	})
}

// SU-5, RC-5: a step-up of alice is met by what alice has, and charged to her.
func TestAnAttackerProvesNothingForSomeoneElse(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn, plan{provider: func(c *provider.Config) { c.Floor = "pwd" }})
		s.allowed("alice")
		s.allowed("bob")
		bob := newBrowser(t, s.net)
		bob.open(s.app.request("acr_values", "mfa"))
		bobs, codes := bob.enrolAs("bob")
		s.app.callback(bob.page)
		b := s.browser
		b.open(s.app.request("acr_values", "mfa"))
		_, own := b.enrolAs("alice")
		s.app.callback(b.page)
		time.Sleep(time.Minute)
		began := now()

		b.open(s.app.request("acr_values", "mfa", "prompt", "login"))
		b.password("alice")
		b.submit("otp", "code", bobs.code(0))
		b.problem("factor", http.StatusUnprocessableEntity, "code", "problem.code_wrong")
		b.follow("/flow/")
		b.submit("recovery", "code", codes[0])
		b.problem("recovery", http.StatusUnprocessableEntity, "code", "problem.recovery_wrong")
		if got := s.budget("bob"); got.RecoveryLeft != len(codes) {
			t.Errorf("bob has %d recovery codes left", got.RecoveryLeft)
		}
		same(t, "audit", s.audit("alice", provider.EventFactor, provider.EventRecovery),
			[]string{"factor failure", "recovery failure"})
		b.submit("recovery", "code", own[0])
		s.app.callback(b.page).proven(t, "mfa", began, "pwd", "recovery")
	})
}

// SU-5, SE-5, PA-3: a tab in which alice has proven more than her session, and
// the browser is bob's by now: what her session had proven is over, bob's
// password is not hers, and nothing of the tab comes into his session.
func TestASteppedUpTabIsOfNoUseToAnotherSession(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s, phone, _ := signedIn(t, dsn)
		s.ready("bob")
		b := s.browser
		for _, bobSees := range []string{"factor", "consent"} {
			time.Sleep(time.Minute)
			b.open(s.app.request("scope", "openid mail", "prompt", "consent"))
			b.at("factor", http.StatusOK)
			if bobSees == "consent" {
				b.submit("otp", "code", phone.code(0))
			}
			alices := b.at(bobSees, http.StatusOK)

			tab := b.tab()
			tab.open(s.app.tab().request("prompt", "select_account"))
			tab.password("bob")
			if tab.page.url.Host != "app.example" {
				t.Fatalf("bob is not signed in: %s", tab.page.text())
			}
			b.page = alices
			if bobSees == "consent" {
				b.submit("consent", "decision", "allow")
			} else {
				b.submit("otp", "code", phone.code(0))
			}
			b.ended("signedout") // with the session that it began in
			// A hand-made answer to the page before is none, nor is bob's password.
			b.do(post(t, alices.url.String(), values("step", "consent", "decision", "allow")))
			b.ended("signedout")
			b.do(post(t, alices.url.String(), values("step", "password", "username", "bob", "password", passwords["bob"])))
			b.ended("signedout")
			b.open(alices.url.String())
			b.ended("signedout")

			silent := s.app.tab()
			tab.open(silent.request("scope", "openid mail", "prompt", "none"))
			tab.refused(silent, "login_required")
			tab.open(silent.request("prompt", "none"))
			if id := silent.callback(tab.page); id.Subject != "sub-bob" || id.ACR != "pwd" {
				t.Errorf("the session has become that of %+v", id)
			}
			if got := s.sessions("alice"); len(got) > 0 {
				t.Errorf("alice's session is back: %+v", got)
			}
			b.open(s.app.request("prompt", "select_account"))
			b.password("alice")
			s.app.callback(b.page)
		}
	})
}

// SU-6, SE-3: what is proven is as fresh as when it was, whatever else is proven
// beside it, and however often the session or its tokens are used.
func TestAnOldProofIsNotMadeFreshByAnother(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s, phone, _ := signedIn(t, dsn)
		b := s.browser
		b.open(s.app.request("scope", "openid card"))
		coded := now()
		b.submit("otp", "code", phone.code(0))
		s.app.callback(b.page)
		b.open(s.app.request("scope", "openid offline_access"))
		token := s.app.callback(b.page).token
		stale := func(after string) {
			t.Helper()
			b.open(s.app.request("scope", "openid card", "prompt", "none"))
			if b.page.url.Query().Get("error") != "login_required" {
				t.Fatalf("after %s the code of %v ago is fresh: %s", after, now().Sub(coded), b.page.url)
			}
		}
		time.Sleep(5*time.Minute + time.Second)
		stale("five minutes")

		b.open(s.app.request("max_age", "60")) // asks for a password alone
		b.at("password", http.StatusOK)
		typed := now()
		b.password("alice")
		s.app.callback(b.page).proven(t, "pwd", typed, "pwd")
		stale("a password")

		b.open(s.app.request("scope", "openid card"))
		b.at("factor", http.StatusOK)
		b.submit("otp", "code", wrongCode(phone))
		b.submit("cancel")
		stale("a wrong code")

		if _, err := s.app.refresh(token); err != nil {
			t.Fatal(err)
		}
		stale("a refresh")

		b.open(s.app.request("scope", "openid pay"))
		b.submit("otp", "code", phone.code(0))
		s.app.callback(b.page)
		stale("a code that was for one use")

		// The other way round: a fresh code, and a password that is too old.
		time.Sleep(5*time.Minute + time.Second)
		b.open(s.app.request("scope", "openid card"))
		b.at("factor", http.StatusOK)
		b.submit("otp", "code", phone.code(0))
		s.app.callback(b.page).proven(t, "mfa", typed, "pwd", "otp")
		b.open(s.app.request("scope", "openid transfer", "prompt", "none"))
		b.refused(s.app, "login_required")
		b.open(s.app.request("scope", "openid transfer"))
		b.at("password", http.StatusOK)
	})
}

// essentialMFA insists on mfa.
const essentialMFA = `{"id_token":{"acr":{"essential":true,"value":"mfa"}}}`

// SU-3, PA-5: the app has heard that its demand cannot be met. That is the
// answer to this request, also when the account could meet it a moment later.
func TestWhatIsUnmetHasNoSecondRound(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn, plan{
			provider: func(c *provider.Config) { c.Floor = "pwd" },
			mfa:      func(c *mfa.Config) { c.Enrolment = mfa.Ticket },
		})
		s.allowed("alice")
		b := s.browser
		b.open(s.app.request("claims", essentialMFA))
		page := b.at("password", http.StatusOK)
		id := page.flow()
		b.password("alice")
		b.refused(s.app, "unmet_authentication_requirements")
		if f := s.stored(page); !f.State.Ended || f.Ending != provider.EndUnmet {
			t.Errorf("the flow has ended as %q", f.Ending)
		}
		if got := s.sessions("alice"); len(got) > 0 {
			t.Errorf("a session began: %+v", got)
		}
		ticket, _, err := s.factors.NewTicket(t.Context(), "sub-alice")
		if err != nil {
			t.Fatal(err)
		}
		b.open(flowURL(id))
		b.refused(s.app, "unmet_authentication_requirements")
		for _, again := range [][]string{
			{"step", "password", "username", "alice", "password", passwords["alice"]},
			{"step", "enroll", "ticket", ticket},
			{"step", "consent", "decision", "allow"},
			{"step", "switch"},
			{"step", "cancel"},
		} {
			b.do(post(t, flowURL(id), values(again...)))
			b.refused(s.app, "unmet_authentication_requirements")
		}
		// With the ticket the next request is met.
		b.open(s.app.request("claims", essentialMFA))
		b.password("alice")
		b.at("enrollstart", http.StatusOK)
		b.submit("enroll", "ticket", ticket)
		phone := scan(t, b.page)
		b.submit("confirm", "code", phone.code(0))
		b.submit("saved")
		s.app.callback(b.page).proven(t, "mfa", now(), "pwd", "otp")
	})
}

// SU-3, RC-4: a recovery code that does not reach what is essential is used up,
// and leads to a new phone or to nothing; never to a code.
func TestARecoveryCodeThatIsNotEnoughBuysNothing(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		of := authflow.Of
		s := newStage(t, dsn, plan{provider: func(c *provider.Config) {
			c.Floor = "pwd"
			c.Ladder = authflow.Ladder{
				{Name: "pwd", Ways: []authflow.Methods{of(authflow.Password)}},
				{Name: "mfa", Ways: []authflow.Methods{of(authflow.Password, authflow.OTP), of(authflow.Password, authflow.Recovery)}},
				{Name: "app", Ways: []authflow.Methods{of(authflow.Password, authflow.OTP)}},
			}
		}})
		s.allowed("alice")
		b := s.browser
		b.open(s.app.request("acr_values", "mfa"))
		_, codes := b.enrolAs("alice")
		s.app.callback(b.page)
		time.Sleep(time.Minute)

		const essential = `{"id_token":{"acr":{"essential":true,"value":"app"}}}`
		b = newBrowser(t, s.net)
		b.open(s.app.request("acr_values", "mfa", "claims", essential))
		b.password("alice")
		b.follow("/flow/")
		b.submit("recovery", "code", codes[0])
		start := b.at("enrollstart", http.StatusOK)
		b.do(post(t, start.url.String(), values("step", "consent", "decision", "allow")))
		b.at("enrollstart", http.StatusOK)
		b.do(post(t, start.url.String(), values("step", "recovery", "code", codes[1])))
		b.at("enrollstart", http.StatusOK)
		b.submit("cancel")
		b.refused(s.app, "access_denied")
		b.open(start.url.String())
		b.ended("cancelled")
		if got := s.sessions("alice"); len(got) != 1 {
			t.Errorf("%d sessions, want the one of the enrolment", len(got))
		}
		if got := s.budget("alice"); got.RecoveryLeft != len(codes)-1 {
			t.Errorf("%d recovery codes left", got.RecoveryLeft)
		}
		// What it does reach, it reaches, and not what is essential.
		b.open(s.app.request("acr_values", "mfa"))
		b.password("alice")
		b.follow("/flow/")
		b.submit("recovery", "code", codes[2])
		s.app.callback(b.page).proven(t, "mfa", now(), "pwd", "recovery")
		b.open(s.app.request("claims", essential, "prompt", "none"))
		if got := b.page.url.Query(); got.Has("code") || got.Get("error") == "" {
			t.Errorf("silently there is %s", b.page.url)
		}
	})
}

// SU-2: nobody types a password to hear that it was in vain, neither in a session
// that would have to prove all of it anew.
func TestWhatASessionCannotReachIsDeniedBeforeAnyPage(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn, plan{
			provider: func(c *provider.Config) { c.Floor = "pwd" },
			mfa:      func(c *mfa.Config) { c.Enrolment = mfa.Forbidden },
		})
		s.allowed("alice")
		b := s.browser
		b.open(s.app.request())
		b.password("alice")
		s.app.callback(b.page)
		time.Sleep(2 * time.Minute)
		for _, ask := range [][]string{
			{"acr_values", "mfa"},
			{"acr_values", "mfa", "prompt", "login"},
			{"acr_values", "mfa", "max_age", "60"},
			{"claims", essentialMFA, "max_age", "0"},
			{"claims", essentialMFA, "max_age", "0", "prompt", "none"},
		} {
			b.open(s.app.request(ask...))
			b.refused(s.app, "unmet_authentication_requirements")
		}
		b.open(s.app.request("prompt", "login")) // nothing of it lasts
		b.password("alice")
		s.app.callback(b.page)
	})
}

// TO-2: a code that nothing asks for is not looked at, and so not used up.
func TestACodeThatNothingAsksForIsNotUsedUp(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		of := authflow.Of
		s := newStage(t, dsn, plan{provider: func(c *provider.Config) {
			c.Floor = "mfa"
			c.Ladder = authflow.Ladder{
				{Name: "mfa", Ways: []authflow.Methods{of(authflow.Password, authflow.OTP)}},
				{Name: "both", Ways: []authflow.Methods{of(authflow.Password, authflow.OTP, authflow.Recovery)}},
			}
		}})
		s.allowed("alice")
		b := s.browser
		b.open(s.app.request())
		phone, codes := b.enrolAs("alice")
		s.app.callback(b.page)
		time.Sleep(time.Minute)

		b = newBrowser(t, s.net)
		began := now()
		b.open(s.app.request("acr_values", "both"))
		b.login("alice", phone)
		b.at("recovery", http.StatusOK)
		if b.page.link("/flow/") != "" {
			t.Errorf("the page leads to one for a code that is given: %s", b.page.text())
		}
		time.Sleep(time.Minute)
		b.submit("recovery", "step", "otp", "code", phone.code(0))
		b.at("recovery", http.StatusUnprocessableEntity)
		other := newBrowser(t, s.net)
		tab := s.app.tab()
		other.open(tab.request())
		other.login("alice", phone)
		tab.callback(other.page).proven(t, "mfa", now(), "pwd", "otp")
		b.submit("recovery", "code", codes[0])
		s.app.callback(b.page).proven(t, "both", began, "pwd", "otp", "recovery")
	})
}
