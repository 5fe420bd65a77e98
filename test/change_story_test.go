package test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

// changes are what can happen to an account while people are at work in it,
// what their half-finished flows end as, and whether undo makes all well again.
var changes = []struct {
	what   string
	change func(s *stage) error
	ended  string
	undo   func(s *stage)
}{
	{"disabled", func(s *stage) error {
		s.people.change("alice", func(u *provider.User) { u.Disabled = true })
		return nil
	}, "denied", func(s *stage) {
		s.people.change("alice", func(u *provider.User) { u.Disabled = false })
	}},
	{"password changed", func(s *stage) error {
		s.people.setPassword("alice", passwords["alice"])
		return nil
	}, "changed", nil},
	{"factors reset", func(s *stage) error {
		return s.factors.Reset(context.Background(), "sub-alice")
	}, "changed", nil},
}

// PA-7: what was proven of an account that has changed is worth nothing, at any
// step of a flow, in no session and for no token.
func TestAChangedAccountEndsWhatWasOpen(t *testing.T) {
	for _, c := range changes {
		t.Run(c.what, func(t *testing.T) {
			story(t, func(t *testing.T, dsn string) {
				s := newStage(t, dsn)
				s.app.config.Scopes = append(s.app.config.Scopes, "offline_access")
				phone := s.ready("alice")
				in := s.browser
				in.open(s.app.request())
				in.login("alice", phone)
				token := s.app.callback(in.page).token
				codeApp, code := s.app.tab(), in.tab()
				code.open(codeApp.request()) // a code, not yet redeemed
				time.Sleep(30 * time.Second)

				// One browser at each step.
				at := map[string]*browser{}
				for _, step := range []string{"password", "factor", "consent"} {
					b := newBrowser(t, s.net)
					b.open(s.app.request("prompt", "consent"))
					if step != "password" {
						b.password("alice")
					}
					if step == "consent" {
						b.submit("otp", "code", phone.code(0))
						time.Sleep(30 * time.Second)
					}
					b.at(step, http.StatusOK)
					at[step] = b
				}
				stepUp := in.tab()
				stepUp.open(s.app.request("prompt", "login"))
				stepUp.at("password", http.StatusOK)

				if err := c.change(s); err != nil {
					t.Fatal(err)
				}
				before := s.budget("alice")

				// Each form that was on a screen, then each page.
				at["factor"].submit("otp", "code", phone.code(0))
				at["factor"].ended(c.ended)
				at["consent"].submit("consent", "decision", "allow")
				at["consent"].ended(c.ended)
				for _, step := range []string{"factor", "consent"} {
					at[step].open(at[step].page.url.String())
					at[step].ended(c.ended)
				}
				if after := s.budget("alice"); after.Run != before.Run || after.Misses != before.Misses {
					t.Errorf("a code was looked at: %+v", after)
				}
				in.open(s.app.request("prompt", "none"))
				in.refused(s.app, "login_required")
				in.open(issuer + "/account")
				in.at("password", http.StatusOK)
				if _, err := s.app.refresh(token); refusal(err) != "invalid_grant" {
					t.Errorf("refresh: %v", err)
				}
				if _, err := codeApp.redeem(code.page); refusal(err) != "invalid_grant" {
					t.Errorf("code: %v", err)
				}

				// A flow that was nobody's yet goes on, if the account still may.
				b := at["password"]
				b.password("alice")
				switch c.what {
				case "disabled":
					b.problem("password", http.StatusUnprocessableEntity, "password", "problem.password_wrong")
				case "factors reset":
					b.at("enrollstart", http.StatusOK)
				default:
					b.at("factor", http.StatusOK)
				}
				// And the step-up in the session that is over asks for all.
				stepUp.password("alice")
				if stepUp.page.kind() == "" || stepUp.page.kind() == "consent" {
					t.Errorf("a step-up went on: %s", stepUp.page.text())
				}
				if c.undo == nil {
					return
				}
				c.undo(s)
				b.password("alice")
				b.at("factor", http.StatusOK)
				b.submit("otp", "code", phone.code(0))
				b.at("consent", http.StatusOK)
			})
		})
	}
}

// PA-7: a user who is gone is nobody.
func TestADeletedUserIsNobody(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.ready("alice")
		b := s.browser
		b.open(s.app.request())
		b.login("alice", phone)
		token := s.app.callback(b.page).token
		half := newBrowser(t, s.net)
		half.open(s.app.request())
		half.password("alice")
		half.at("factor", http.StatusOK)

		s.people.mu.Lock()
		delete(s.people.users, "sub-alice")
		s.people.mu.Unlock()
		if got := s.app.userinfo(token); got != http.StatusUnauthorized {
			t.Errorf("userinfo answers %d", got)
		}
		b.open(s.app.request("prompt", "none"))
		b.refused(s.app, "login_required")
		time.Sleep(30 * time.Second)
		half.submit("otp", "code", phone.code(0))
		if half.page.kind() != "ended" || half.page.status != http.StatusForbidden {
			t.Errorf("a flow of nobody: %s", half.page.text())
		}
	})
}

// A client that is removed, or whose redirect URI is, ends its flows: a code
// must not go where nobody is registered any more.
func TestAFlowOfARemovedClientEnds(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.ready("alice")
		b, other := s.browser, newBrowser(t, s.net)
		b.open(s.app.request())
		b.password("alice")
		other.open(s.app.request())
		other.password("alice")
		moved := provider.Client{
			ID: "app", Name: "The App", Type: provider.Web,
			Secrets:      []provider.Hash{hash("the app's own secret of 256 bits")},
			RedirectURIs: []string{"https://app.example/elsewhere"},
		}
		s.register(moved)
		b.submit("otp", "code", phone.code(0))
		b.at("error", http.StatusBadRequest)
		if !b.page.says("error.redirect.title") {
			t.Errorf("got %s", b.page.text())
		}
		if err := s.db.RemoveClient(t.Context(), "app"); err != nil {
			t.Fatal(err)
		}
		other.submit("otp", "code", phone.code(0))
		other.at("error", http.StatusBadRequest)
		if got := s.sessions("alice"); len(got) > 0 {
			t.Errorf("a session began: %+v", got)
		}
	})
}

// OA-6, PA-10: a floor that was raised while a flow was under way holds for it.
func TestAFloorRaisedOnTheWayHolds(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		low := plan{provider: func(c *provider.Config) { c.Floor = "pwd" }}
		s := newStage(t, dsn, low)
		s.app.config.Scopes = append(s.app.config.Scopes, "offline_access")
		phone := s.ready("alice")
		b := s.browser
		b.open(s.app.request())
		b.password("alice")
		token := s.app.callback(b.page).token
		if _, err := s.app.refresh(token); err != nil {
			t.Fatal(err)
		}
		b.open(s.app.request())
		token = s.app.callback(b.page).token
		given := now()
		time.Sleep(time.Minute)
		b.open(s.app.request("prompt", "consent"))
		b.at("consent", http.StatusOK)

		h := newHouse(t, dsn, plan{people: s.people})
		s.net["idp.example"] = h
		b.submit("consent", "decision", "allow")
		b.at("factor", http.StatusOK)
		if _, err := s.app.refresh(token); refusal(err) != "invalid_grant" {
			t.Errorf("refresh: %v", err)
		}
		b.submit("otp", "code", phone.code(0))
		b.at("consent", http.StatusOK)
		b.submit("consent", "decision", "allow")
		s.app.callback(b.page).proven(t, "mfa", given, "pwd", "otp")
	})
}
