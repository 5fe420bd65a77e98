package test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
	"github.com/sallyport-id/sallyport/templates"
)

// newBank opens a stage for an app that may ask for scopes with floors of each
// kind. Its floor is a password; alice has a phone and has consented to all.
func newBank(t *testing.T, dsn string, plans ...plan) (*stage, phone) {
	t.Helper()
	pages, err := templates.New(templates.Options{Scopes: map[string]map[string]string{"en": {"pay": "Send money"}}})
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t, dsn, append(plans, plan{provider: func(c *provider.Config) {
		c.Floor, c.Pages = "pwd", pages
		c.ScopeFloors = map[string]authflow.Floor{
			"mail":     {Level: "mfa"},
			"transfer": {Level: "mfa", MaxAge: 5 * time.Minute},
			"card":     {Level: "mfa", FactorMaxAge: 5 * time.Minute},
			"pay":      {Level: "mfa", Once: true},
		}
	}})...)
	c, err := s.db.Client(t.Context(), s.app.config.ClientID)
	if err != nil {
		t.Fatal(err)
	}
	c.Scopes = []string{"openid", "email", "offline_access", "mail", "transfer", "card", "pay"}
	s.register(c)
	s.app.config.Scopes = c.Scopes
	phone := s.ready("alice")
	s.app.config.Scopes = []string{"openid"}
	return s, phone
}

// SU-1, SU-6: a scope takes what its floor says, as fresh as it says; what is
// fresh is not asked for again.
func TestAScopeTakesAFreshFactor(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s, phone := newBank(t, dsn)
		b := s.browser
		b.open(s.app.request())
		began := now()
		b.password("alice")
		s.app.callback(b.page).proven(t, "pwd", began, "pwd")

		time.Sleep(time.Hour - time.Minute)
		b.open(s.app.request("scope", "openid card"))
		b.at("factor", http.StatusOK) // the code alone
		b.submit("otp", "code", phone.code(0))
		s.app.callback(b.page).proven(t, "mfa", began, "pwd", "otp")
		coded := now()

		time.Sleep(4 * time.Minute)
		b.open(s.app.request("scope", "openid card", "prompt", "none"))
		s.app.callback(b.page)
		b.open(s.app.request("scope", "openid transfer"))
		b.at("password", http.StatusOK) // the password alone
		b.password("alice")
		s.app.callback(b.page).proven(t, "mfa", coded, "pwd", "otp")

		time.Sleep(2 * time.Minute)
		b.open(s.app.request("scope", "openid card", "prompt", "none"))
		b.refused(s.app, "login_required")
		b.open(s.app.request("scope", "openid mail", "prompt", "none"))
		s.app.callback(b.page)
		// What the URL says of it lowers nothing.
		for _, less := range [][]string{{"acr_values", "pwd"}, {"max_age", "86400"}, {"acr_values", "pwd gold", "max_age", "86400"}} {
			b.open(s.app.request(append(less, "scope", "openid card")...))
			b.at("factor", http.StatusOK)
		}
	})
}

// The floor of a client says how fresh its sign-ins are.
func TestAClientTakesAFreshFactor(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s, phone := newBank(t, dsn)
		c, err := s.db.Client(t.Context(), s.app.config.ClientID)
		if err != nil {
			t.Fatal(err)
		}
		c.Floor, c.MaxAge, c.FactorMaxAge = "mfa", 30*time.Minute, 10*time.Minute
		s.register(c)
		b := s.browser
		b.open(s.app.request())
		b.login("alice", phone)
		s.app.callback(b.page)
		time.Sleep(10 * time.Minute)
		b.open(s.app.request())
		s.app.callback(b.page)
		time.Sleep(time.Second)
		b.open(s.app.request())
		b.at("factor", http.StatusOK)
		b.submit("otp", "code", phone.code(0))
		s.app.callback(b.page)
		time.Sleep(21 * time.Minute)
		b.open(s.app.request())
		b.at("password", http.StatusOK)
	})
}

// What is approved once is approved each time: the factor is proven for it
// alone, no session gets it, and the token is short-lived and not renewed.
func TestAStepUpForOneUseIsGoodForOneUse(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s, phone := newBank(t, dsn)
		b := s.browser
		b.open(s.app.request("scope", "openid mail"))
		b.login("alice", phone)
		first := s.app.callback(b.page)
		before := s.sessions("alice")[0]

		for range 2 {
			time.Sleep(time.Minute)
			b.open(s.app.request("scope", "openid pay offline_access", "prompt", "none"))
			b.refused(s.app, "login_required")
			b.open(s.app.request("scope", "openid pay offline_access"))
			b.at("factor", http.StatusOK)
			b.submit("otp", "code", phone.code(0))
			id := s.app.callback(b.page)
			id.proven(t, "mfa", time.Unix(first.AuthTime, 0), "pwd", "otp")
			if id.token.RefreshToken != "" {
				t.Error("there is a refresh token")
			}
			if got := id.token.Extra("scope"); got != "openid pay" {
				t.Errorf("granted %q", got)
			}
			if left := time.Until(id.token.Expiry); left > 2*time.Minute {
				t.Errorf("the access token lives %v", left)
			}
			if got := s.app.userinfo(id.token); got != http.StatusOK {
				t.Errorf("userinfo answers %d", got)
			}
			if got := s.sessions("alice")[0]; got.Login != before.Login || got.Cookie != before.Cookie {
				t.Errorf("the session has become %+v", got.Login.Proofs)
			}
		}
		// A browser without a session gets one of a password.
		other := newBrowser(t, s.net)
		other.open(s.app.request("scope", "openid pay"))
		time.Sleep(time.Minute)
		other.login("alice", phone)
		s.app.callback(other.page)
		other.open(s.app.request("scope", "openid mail", "prompt", "none"))
		other.refused(s.app, "login_required")
	})
}

// People are told why they are asked again, and by whom; not when they sign in.
func TestTheStepUpPageSaysWhy(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s, phone := newBank(t, dsn, plan{provider: func(c *provider.Config) {
			c.ResourceFloors = map[string]authflow.Floor{"https://vault.example": {Level: "mfa", FactorMaxAge: time.Minute}}
		}})
		c, err := s.db.Client(t.Context(), s.app.config.ClientID)
		if err != nil {
			t.Fatal(err)
		}
		c.Resources = []string{"https://vault.example"}
		s.register(c)
		b := s.browser
		b.open(s.app.request("scope", "openid pay"))
		if b.page.says("why.before") || b.page.says("why.alone") {
			t.Errorf("at the first sign-in: %s", b.page.text())
		}
		b.password("alice")
		if b.page.says("why.before") {
			t.Errorf("at the first sign-in: %s", b.page.text())
		}
		b.submit("otp", "code", phone.code(0))
		s.app.callback(b.page)

		b.open(s.app.request("scope", "openid pay"))
		if b.at("factor", http.StatusOK); !b.page.says("why.before") || !strings.Contains(b.page.text(), "Send money") {
			t.Errorf("without the reason: %s", b.page.text())
		}
		time.Sleep(2 * time.Minute)
		b.open(s.app.request("resource", "https://vault.example"))
		if b.at("factor", http.StatusOK); !b.page.says("why.before") || !strings.Contains(b.page.text(), "https://vault.example") {
			t.Errorf("without the API: %s", b.page.text())
		}
		b.open(s.app.request("prompt", "login"))
		if b.at("password", http.StatusOK); !b.page.says("why.alone") {
			t.Errorf("without a word: %s", b.page.text())
		}
		b.open(s.app.request("prompt", "select_account"))
		if b.at("password", http.StatusOK); b.page.says("why.alone") {
			t.Errorf("another account: %s", b.page.text())
		}
	})
}

// LG-1: each step-up asked, met and refused stands in the audit trail.
func TestStepUpsAreAudited(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s, phone := newBank(t, dsn)
		b := s.browser
		b.open(s.app.request())
		b.password("alice")
		s.app.callback(b.page)
		events := func() []string {
			return s.audit("alice", provider.EventStepUp, provider.EventStepUpAsked)
		}
		same(t, "after a sign-in", events(), nil)
		time.Sleep(time.Second)
		b.open(s.app.request("scope", "openid mail"))
		same(t, "asked", events(), []string{"step-up-asked success"})
		b.submit("cancel")
		b.refused(s.app, "access_denied")
		same(t, "refused", events(), []string{"step-up-asked success", "step-up failure"})
		b.open(s.app.request("scope", "openid mail"))
		b.submit("otp", "code", phone.code(0))
		s.app.callback(b.page)
		same(t, "met", events()[2:], []string{"step-up-asked success", "step-up success"})
		b.open(s.app.request("scope", "openid pay"))
		time.Sleep(30 * time.Second)
		b.submit("otp", "code", phone.code(0))
		s.app.callback(b.page)
		same(t, "met once", events()[4:], []string{"step-up-asked success", "step-up success"})
		// Silence asks nobody, and is no row.
		b.open(s.app.request("scope", "openid pay", "prompt", "none"))
		b.refused(s.app, "login_required")
		same(t, "silently", events()[6:], nil)
	})
}

// A step-up is for the user of the session, in the browser of the flow.
func TestAStepUpIsPinnedToItsUserAndItsTab(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s, phone := newBank(t, dsn)
		b := s.browser
		b.open(s.app.request())
		b.password("alice")
		s.app.callback(b.page)
		began := now()
		time.Sleep(time.Second)
		b.open(s.app.request("scope", "openid transfer", "max_age", "0"))
		b.submit("password", "username", "bob", "password", passwords["bob"])
		b.ended("denied")
		// A flow that waits for alice's code is not bob's to finish, with the
		// code of his own phone or with hers.
		b.open(s.app.request("scope", "openid mail"))
		page := b.page
		bob := newBrowser(t, s.net)
		bob.open(s.app.tab().request())
		bob.password("bob")
		bob.open(page.url.String())
		bob.ended("elsewhere")
		bob.do(post(t, page.url.String(), values("step", "otp", "code", phone.code(0))))
		bob.ended("elsewhere")
		b.page = page
		b.submit("otp", "code", phone.code(0))
		s.app.callback(b.page).proven(t, "mfa", began, "pwd", "otp")
	})
}
