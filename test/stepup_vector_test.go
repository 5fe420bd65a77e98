package test

import (
	"net/http"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/mfa/stepup"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

// SU-7: what other people's APIs ask for in their challenges, the provider does.
// The headers are those of RFC 9470 section 3.
func TestTheProviderMeetsTheChallengesOfOthers(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn, plan{provider: func(c *provider.Config) {
			c.Ladder = authflow.Ladder{
				{Name: "pwd", Ways: []authflow.Methods{authflow.Of(authflow.Password)}},
				{Name: "mfa", Aliases: []string{"myACR"}, Ways: []authflow.Methods{authflow.Of(authflow.Password, authflow.OTP)}},
			}
			c.Floor = "pwd"
		}})
		phone := s.ready("alice")
		b := s.browser
		began := now()
		b.open(s.app.request())
		b.password("alice")
		s.app.callback(b.page).proven(t, "pwd", began, "pwd")
		time.Sleep(time.Second)

		// meeting returns an authorization request of the app that meets what an API
		// has answered with.
		meeting := func(header string) string {
			t.Helper()
			challenge, ok, err := stepup.Challenged(&http.Response{StatusCode: http.StatusUnauthorized, Header: http.Header{"Www-Authenticate": {header}}})
			if err != nil || !ok || !challenge.IsStepUp() {
				t.Fatalf("%s is no challenge: %v", header, err)
			}
			to, err := challenge.Request(s.app.request(), nil)
			if err != nil {
				t.Fatal(err)
			}
			return to
		}
		b.open(meeting(`Bearer error="insufficient_user_authentication", error_description="A different authentication level is required", acr_values="myACR"`))
		b.at("factor", http.StatusOK)
		b.submit("otp", "code", phone.code(0))
		s.app.callback(b.page).proven(t, "myACR", began, "pwd", "otp")

		time.Sleep(6 * time.Second)
		before := now()
		b.open(meeting(`Bearer error="insufficient_user_authentication", error_description="More recent authentication is required", max_age="5"`))
		b.at("password", http.StatusOK)
		b.password("alice")
		s.app.callback(b.page).proven(t, "pwd", before, "pwd")
	})
}
