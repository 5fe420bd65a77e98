package test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/sallyport-id/sallyport/provider"
)

// RFC 8707 section 2, RFC 9126 section 2.1: what can stand more than once in a
// URL can be pushed so.
func TestAPushedRequestNamesItsResources(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		app := provider.Client{ID: "app", Type: provider.Web, Secrets: []provider.Hash{hash(appSecret)},
			RedirectURIs: []string{appURL}, Resources: []string{calendar, mailbox}}
		s.register(app)
		uri := s.pushed(naming(authorization(), calendar, mailbox))
		a := s.open(uri, s.browser.cookies(), "resource", "https://evil.example/")
		if a.says() != "→app code" {
			t.Fatal(a.says())
		}
		got := s.trade(exchange(a.to.Query().Get("code")))
		if aud := s.audienceOf(app, got); aud != calendar+" "+mailbox+" "+issuer {
			t.Errorf("the token is for %s", aud)
		}
		if a := s.push(naming(authorization(), calendar, "https://other.example/")); a.says() != "400 invalid_target" {
			t.Errorf("another's API: %s", a.says())
		}
	})
}

// SU-1: floors hold of pushed requests as of others, and what is approved
// through one is what was pushed.
func TestFloorsHoldOfPushedRequests(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s, phone := newTeller(t, dsn, nil)
		b := s.browser
		b.open(s.app.request())
		b.password("alice")
		s.app.callback(b.page)
		push := func(extra ...string) reply {
			t.Helper()
			u, err := url.Parse(s.app.request(extra...))
			if err != nil {
				t.Fatal(err)
			}
			return s.push(u.Query(), "Authorization", basic(s.app.config.ClientID, s.app.config.ClientSecret))
		}
		link := func(a reply, more ...string) string {
			t.Helper()
			q := values(more...)
			q.Set("client_id", s.app.config.ClientID)
			q.Set("request_uri", a.text(t, "request_uri"))
			return issuer + "/authorize?" + q.Encode()
		}
		b.open(link(push("scope", "openid mail", "acr_values", "pwd"), "acr_values", "pwd", "scope", "openid"))
		b.at("factor", http.StatusOK)

		dear := strings.Replace(bread, "2.50", "9999.00", 1)
		b.open(link(push("authorization_details", bread), "authorization_details", dear))
		if b.at("factor", http.StatusOK); !strings.Contains(b.page.text(), "Pay 2.50 EUR") {
			t.Errorf("another payment is shown: %s", b.page.text())
		}
		b.submit("otp", "code", phone.code(0))
		if b.page.kind() == "consent" {
			b.submit("consent", "decision", "allow")
		}
		if got := compact(t, claimsOf(t, s.app.callback(b.page).token.AccessToken)["authorization_details"]); got != bread {
			t.Errorf("the token says %s", got)
		}
		if a := push("authorization_details", `[{"type":"gift"}]`); a.says() != "400 invalid_authorization_details" {
			t.Errorf("unknown details: %s", a.says())
		}
		if a := push("acr_values", "phr"); a.says() != "400 unmet_authentication_requirements" {
			t.Errorf("a level that nobody reaches: %s", a.says())
		}
	})
}
