package test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

// newTeller opens a bank whose app may ask for payments.
func newTeller(t *testing.T, dsn string, change func(*provider.Client)) (*stage, phone) {
	t.Helper()
	s, phone := newBank(t, dsn, plan{provider: func(c *provider.Config) {
		c.DetailsTypes = map[string]provider.DetailsType{"payment": {
			Schema: []byte(`{"type":"object","additionalProperties":false,"required":["type","amount","payee"],
				"properties":{"type":{},"amount":{"type":"string","pattern":"^[0-9]+\\.[0-9]{2}$"},"payee":{"type":"string"}}}`),
			Show:  map[string]string{"en": "Pay {{.amount}} EUR\nto {{.payee}}"},
			Floor: authflow.Floor{Level: "mfa"},
		}}
	}})
	c, err := s.db.Client(t.Context(), s.app.config.ClientID)
	if err != nil {
		t.Fatal(err)
	}
	c.DetailsTypes = []string{"payment"}
	if change != nil {
		change(&c)
	}
	s.register(c)
	return s, phone
}

const bread = `[{"type":"payment","amount":"2.50","payee":"The Bakery"}]`

// RFC 9396: what is approved is what was shown, and what the tokens carry, in
// its own words and for as long as they live.
func TestDetailsAreApprovedInSightAndCarriedByTheTokens(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s, phone := newTeller(t, dsn, nil)
		s.register(provider.Client{ID: "api", Type: provider.Web, Secrets: []provider.Hash{hash("secret")}, Introspects: true,
			RedirectURIs: []string{appURL}})
		b := s.browser
		b.open(s.app.request("scope", "openid mail"))
		b.login("alice", phone)
		s.app.callback(b.page)

		// However fresh the session is: a payment is approved by itself.
		time.Sleep(30 * time.Second)
		b.open(s.app.request("scope", "openid offline_access", "authorization_details", bread, "prompt", "none"))
		b.refused(s.app, "login_required")
		b.open(s.app.request("scope", "openid offline_access", "authorization_details", bread))
		b.at("factor", http.StatusOK)
		if text := b.page.text(); !strings.Contains(text, "Pay 2.50 EUR") || !strings.Contains(text, "to The Bakery") {
			t.Errorf("what is approved is not shown: %s", text)
		}
		b.submit("otp", "code", phone.code(0))
		// Consent to the scopes was given before, and never to this payment.
		if b.at("consent", http.StatusOK); !strings.Contains(b.page.text(), "Pay 2.50 EUR") {
			t.Errorf("what is approved is not shown: %s", b.page.text())
		}
		b.submit("consent", "decision", "allow")
		id := s.app.callback(b.page)
		for range 2 {
			if got := compact(t, id.token.Extra("authorization_details")); got != bread {
				t.Errorf("the answer says %s", got)
			}
			if got := compact(t, claimsOf(t, id.token.AccessToken)["authorization_details"]); got != bread {
				t.Errorf("the token says %s", got)
			}
			i := introspected(t, s, id.token.AccessToken)
			if got := compact(t, i["authorization_details"]); got != bread || i["active"] != true {
				t.Errorf("introspection says %v", i)
			}
			var err error
			if id.token, err = s.app.refresh(id.token); err != nil {
				t.Fatal(err)
			}
		}
		// When the client may no longer ask for them, they are worth nothing.
		c, err := s.db.Client(t.Context(), s.app.config.ClientID)
		if err != nil {
			t.Fatal(err)
		}
		c.DetailsTypes = nil
		s.register(c)
		if i := introspected(t, s, id.token.AccessToken); i["active"] != false {
			t.Errorf("introspection says %v", i)
		}
		if _, err := s.app.refresh(id.token); refusal(err) != "invalid_grant" {
			t.Errorf("a refresh says %v", err)
		}
	})
}

// Details are those of the request that the page was shown for: what a form or
// a second request says changes nothing of it.
func TestDetailsCannotBeAlteredOnTheWay(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s, phone := newTeller(t, dsn, func(c *provider.Client) { c.FirstParty = true })
		b := s.browser
		b.open(s.app.request())
		b.password("alice")
		s.app.callback(b.page)
		dear := strings.Replace(bread, "2.50", "9999.00", 1)

		b.open(s.app.request("authorization_details", bread))
		b.submit("otp", "code", phone.code(0), "authorization_details", dear)
		id := s.app.callback(b.page)
		if got := compact(t, claimsOf(t, id.token.AccessToken)["authorization_details"]); got != bread {
			t.Errorf("the token says %s", got)
		}
		// The code of one payment approves no other.
		time.Sleep(30 * time.Second)
		b.open(s.app.request("authorization_details", bread))
		cheap := b.page
		other := s.app.tab()
		b.open(other.request("authorization_details", dear))
		if b.at("factor", http.StatusOK); !strings.Contains(b.page.text(), "9999.00") {
			t.Errorf("the page is of another payment: %s", b.page.text())
		}
		expensive := b.page
		b.page = cheap
		b.submit("otp", "code", phone.code(0))
		if got := compact(t, claimsOf(t, s.app.callback(b.page).token.AccessToken)["authorization_details"]); got != bread {
			t.Errorf("the token says %s", got)
		}
		b.open(expensive.url.String())
		b.at("factor", http.StatusOK)

		// Nor does the token endpoint take others.
		b.submit("cancel")
		time.Sleep(30 * time.Second)
		b.open(s.app.request("authorization_details", bread))
		b.submit("otp", "code", phone.code(0))
		code := b.page.url.Query().Get("code")
		_, err := s.app.config.Exchange(s.app.ctx, code, oauth2.VerifierOption(s.app.verifier), oauth2.SetAuthURLParam("authorization_details", dear))
		if refusal(err) != "invalid_authorization_details" {
			t.Errorf("the token endpoint says %v", err)
		}
	})
}

// OA-5, OA-6: a code or refresh token that is used again is noticed whatever
// details are named beside it, and who has no more of a code than the name of its
// grant is not told whether these were granted.
func TestWhatIsUsedTwiceIsNoticedBeforeItsDetailsAreLookedAt(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s, phone := newTeller(t, dsn, func(c *provider.Client) { c.FirstParty = true })
		dear := strings.Replace(bread, "2.50", "9999.00", 1)
		b := s.browser
		b.open(s.app.request())
		b.password("alice")
		s.app.callback(b.page)
		buy := func() (code string, bought *oauth2.Token) {
			t.Helper()
			b.open(s.app.request("scope", "openid offline_access", "authorization_details", bread))
			b.submit("otp", "code", phone.code(0))
			code = b.page.url.Query().Get("code")
			bought, err := s.app.config.Exchange(s.app.ctx, code, oauth2.VerifierOption(s.app.verifier))
			if err != nil {
				t.Fatal(err)
			}
			return code, bought
		}
		with := oauth2.SetAuthURLParam("authorization_details", dear)

		code, bought := buy()
		if _, err := s.app.config.Exchange(s.app.ctx, code, oauth2.VerifierOption(s.app.verifier), with); refusal(err) != "invalid_grant" {
			t.Errorf("the code again: %v", err)
		}
		if got := s.app.userinfo(bought); got != http.StatusUnauthorized {
			t.Errorf("userinfo answers %d to what the code bought first", got)
		}
		if got := s.audit("alice", provider.EventReuse); len(got) != 1 {
			t.Errorf("%d times in the audit trail", len(got))
		}
		time.Sleep(30 * time.Second)
		code, _ = buy()
		grant, _, _ := strings.Cut(code, ".")
		for _, guess := range []string{bread, dear} {
			_, err := s.app.config.Exchange(s.app.ctx, grant+".x", oauth2.VerifierOption(s.app.verifier),
				oauth2.SetAuthURLParam("authorization_details", guess))
			if refusal(err) != "invalid_grant" {
				t.Errorf("half a code, with %s: %v", guess, err)
			}
		}
	})
}

// RFC 9396 section 5
func TestUnknownDetailsAreRefusedAtTheDoor(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s, _ := newTeller(t, dsn, nil)
		for _, text := range []string{
			`[{"type":"gift"}]`, `[{"type":"payment","amount":"2.50"}]`, `{}`, `[]`, "x",
			strings.Replace(bread, `"payee"`, `"tip":"1.00","payee"`, 1),
			strings.Replace(bread, `"payee"`, `"amount":"9.00","payee"`, 1),
		} {
			s.browser.open(s.app.request("authorization_details", text))
			s.browser.refused(s.app, "invalid_authorization_details")
		}
	})
}

func compact(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	// As the request has its members, and not by name.
	var items []struct {
		Type   string `json:"type"`
		Amount string `json:"amount"`
		Payee  string `json:"payee"`
	}
	if err := json.Unmarshal(b, &items); err != nil {
		return string(b)
	}
	if b, err = json.Marshal(items); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// introspected returns what the client api is told of a token.
func introspected(t *testing.T, s *stage, token string) (says map[string]any) {
	t.Helper()
	r := post(t, issuer+"/introspect", values("token", token))
	r.SetBasicAuth("api", "secret")
	p := newBrowser(t, s.net).do(r)
	if err := json.Unmarshal([]byte(p.body), &says); err != nil {
		t.Fatalf("%v: %s", err, p.body)
	}
	return says
}
