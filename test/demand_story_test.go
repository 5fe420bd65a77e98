package test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

// SU-4, SU-5, PA-6: each proof is given anew, by the same user.
func TestPromptLoginAndMaxAgeProveEverythingAnew(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.ready("alice")
		b := s.browser
		b.open(s.app.request())
		b.login("alice", phone)
		first := s.app.callback(b.page)

		for _, ask := range [][]string{{"prompt", "login"}, {"max_age", "0"}, {"max_age", "60"}} {
			time.Sleep(2 * time.Minute)
			old := b.cookie(sessionCookie)
			b.open(s.app.request(ask...))
			b.at("password", http.StatusOK)
			if form := b.request("password"); !strings.Contains(bodyOf(t, form), "username=alice") {
				t.Errorf("%v: the form is not for alice", ask)
			}
			proven := now()
			b.login("alice", phone)
			id := s.app.callback(b.page)
			id.proven(t, "mfa", proven, "pwd", "otp")
			if id.SID != first.SID {
				t.Errorf("%v: sid %q, want %q", ask, id.SID, first.SID)
			}
			// The cookie that was good for less is dead.
			if b.cookie(sessionCookie) == old {
				t.Errorf("%v: the cookie is still the old one", ask)
			}
			thief := newBrowser(t, s.net)
			thief.plant(sessionCookie, old)
			stolen := s.app.tab()
			thief.open(stolen.request("prompt", "none"))
			thief.refused(stolen, "login_required")
		}

		// Within max_age nothing is asked.
		time.Sleep(time.Minute)
		b.open(s.app.request("max_age", "3600"))
		s.app.callback(b.page)
		// Silently, nothing can be proven anew.
		b.open(s.app.request("max_age", "30", "prompt", "none"))
		b.refused(s.app, "login_required")
		for _, junk := range []string{"-1", "1e3", "99999999999999999999", " 5", "abc"} {
			b.open(s.app.request("max_age", junk))
			b.refused(s.app, "invalid_request")
		}
	})
}

// PA-9
func TestASilentRequestSaysWhatIsMissing(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn, plan{provider: func(c *provider.Config) { c.Floor = "pwd" }})
		b := s.browser
		silent := func(want string, extra ...string) {
			t.Helper()
			b.open(s.app.request(append(extra, "prompt", "none")...))
			b.refused(s.app, want)
			if b.page.url.Query().Get("error_description") == "" {
				t.Errorf("%s is not explained", want)
			}
		}
		silent("login_required")
		silent("unmet_authentication_requirements", "acr_values", "phr")
		silent("invalid_request", "acr_values", "mfa", "scope", "openid", "max_age", "x")
		b.open(s.app.request("prompt", "none login"))
		b.refused(s.app, "invalid_request")

		b.open(s.app.request())
		b.password("alice")
		b.at("consent", http.StatusOK)
		b.submit("consent", "decision", "deny")
		b.refused(s.app, "access_denied")
		s.allowed("alice")
		b.open(s.app.request())
		b.password("alice")
		s.app.callback(b.page).proven(t, "pwd", now(), "pwd")
		silent("interaction_required", "acr_values", "mfa") // no factor yet
		silent("consent_required", "scope", "openid address")
		silent("unmet_authentication_requirements", "acr_values", "phr")
		silent("login_required", "max_age", "0")
	})
}

// SU-2, SU-3: what nobody can reach is denied before any page.
func TestALevelThatCannotBeReachedIsDeniedAtTheDoor(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		b := s.browser
		for _, ask := range [][]string{
			{"acr_values", "phr"},
			{"claims", `{"id_token":{"acr":{"essential":true,"value":"phr"}}}`},
			{"claims", `{"id_token":{"acr":{"essential":true,"values":["gold"]}}}`},
		} {
			b.open(s.app.request(ask...))
			b.refused(s.app, "unmet_authentication_requirements")
		}
		phone := s.ready("alice")
		b.open(s.app.request("acr_values", "phr gold mfa pwd"))
		b.login("alice", phone)
		s.app.callback(b.page).proven(t, "mfa", now(), "pwd", "otp")
	})
}

// OA-11: it names whom the app expects, and authenticates nobody.
func TestAnIDTokenHintPinsAFlowToItsSubject(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone, bobs := s.ready("alice"), s.ready("bob")
		b := s.browser
		b.open(s.app.request())
		b.login("alice", phone)
		hint := s.app.callback(b.page).raw
		b.open(s.app.request("prompt", "none", "id_token_hint", hint))
		s.app.callback(b.page)
		time.Sleep(13 * time.Hour) // session and hint are over; the hint may be
		b.open(s.app.request("prompt", "none", "id_token_hint", hint))
		b.refused(s.app, "login_required")

		// A stranger with the hint is a stranger, whose name is known.
		stranger := newBrowser(t, s.net)
		stranger.open(s.app.request("id_token_hint", hint))
		stranger.at("password", http.StatusOK)
		if len(s.sessions("alice")) > 1 {
			t.Error("the hint made a session")
		}
		// Bob cannot take alice's place.
		stranger.submit("password", "username", "bob", "password", passwords["bob"])
		stranger.ended("denied")
		if len(s.sessions("bob")) > 0 {
			t.Error("bob has a session")
		}

		// In bob's browser alice's hint makes a new login.
		other := newBrowser(t, s.net)
		other.open(s.app.request())
		other.login("bob", bobs)
		s.app.callback(other.page)
		other.open(s.app.request("prompt", "none", "id_token_hint", hint))
		other.refused(s.app, "login_required")
		other.open(s.app.request("id_token_hint", hint))
		other.at("password", http.StatusOK)
		other.login("alice", phone)
		id := s.app.callback(other.page)
		if id.Subject != "sub-alice" {
			t.Errorf("got %+v", id)
		}
		if got := s.sessions("bob"); len(got) > 0 { // SE-5
			t.Errorf("bob's session lives on in alice's browser: %+v", got)
		}

		for name, bad := range map[string]string{
			"junk": "abc", "access token": id.token.AccessToken, "cut": hint[:len(hint)-2],
		} {
			b.open(s.app.request("id_token_hint", bad))
			if got := b.page.url.Query().Get("error"); got != "invalid_request" {
				t.Errorf("%s: error %q, want invalid_request", name, got)
			}
		}
	})
}

// SE-5
func TestAnotherAccountReplacesTheSession(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		alices, bobs := s.ready("alice"), s.ready("bob")
		b := s.browser
		b.open(s.app.request())
		b.login("alice", alices)
		alice := s.app.callback(b.page)
		cookie := b.cookie(sessionCookie)

		// Asked for, and changed one's mind: nothing has happened.
		b.open(s.app.request("prompt", "select_account"))
		b.at("password", http.StatusOK)
		b.submit("cancel")
		b.refused(s.app, "access_denied")
		b.open(s.app.request("prompt", "none"))
		s.app.callback(b.page)

		b.open(s.app.request("prompt", "select_account"))
		b.login("bob", bobs)
		bob := s.app.callback(b.page)
		if bob.Subject != "sub-bob" || bob.SID == alice.SID {
			t.Errorf("got %+v after %+v", bob, alice)
		}
		if got := s.sessions("alice"); len(got) > 0 {
			t.Errorf("alice's session lives on: %+v", got)
		}
		old := newBrowser(t, s.net)
		old.plant(sessionCookie, cookie)
		old.open(s.app.request("prompt", "none"))
		old.refused(s.app, "login_required")

		// On the way, too: the flow is bob's, until he says otherwise.
		time.Sleep(time.Minute)
		b.open(s.app.request("prompt", "login"))
		b.at("password", http.StatusOK)
		b.submit("switch")
		b.at("password", http.StatusOK)
		if b.page.form("switch") != nil {
			t.Error("a flow that is nobody's offers to switch")
		}
		b.login("alice", alices)
		if id := s.app.callback(b.page); id.Subject != "sub-alice" {
			t.Errorf("got %+v", id)
		}
		if got := s.sessions("bob"); len(got) > 0 {
			t.Errorf("bob's session lives on: %+v", got)
		}
	})
}

// SU-5, SE-5: without switching, a step-up is the session's user's.
func TestAStepUpIsPinnedToTheUser(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		alices := s.ready("alice")
		s.ready("bob")
		b := s.browser
		b.open(s.app.request())
		b.login("alice", alices)
		s.app.callback(b.page)
		b.open(s.app.request("prompt", "login"))
		b.submit("password", "username", "bob", "password", passwords["bob"])
		b.ended("denied")
		if len(s.sessions("alice")) != 1 || len(s.sessions("bob")) != 0 {
			t.Errorf("sessions: %v and %v", s.sessions("alice"), s.sessions("bob"))
		}
	})
}
