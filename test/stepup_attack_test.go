package test

import (
	"net/http"
	"testing"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
)

// What attackers try to have less proven than is demanded, or to have it proven
// by someone else.

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
		if f := s.stored(page); f.Ending != provider.EndDenied {
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
		b.ended("unmet")
		for _, again := range [][]string{
			{"step", "password", "username", "alice", "password", passwords["alice"]},
			{"step", "enroll", "ticket", ticket},
			{"step", "consent", "decision", "allow"},
			{"step", "switch"},
			{"step", "cancel"},
		} {
			b.do(post(t, flowURL(id), values(again...)))
			b.ended("unmet")
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
