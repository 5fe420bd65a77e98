package test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

// PA-3: a flow's URL is no key to it.
func TestAFlowOpensInTheBrowserThatBeganItOnly(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.ready("alice")
		b := s.browser
		b.open(s.app.request())
		b.password("alice")
		b.at("factor", http.StatusOK)
		id := b.page.flow()

		// To a browser without a cookie, and to one that has flows of its own.
		bare, own := newBrowser(t, s.net), newBrowser(t, s.net)
		own.open(s.app.tab().request())
		own.password("alice")
		nowhere := newBrowser(t, s.net)
		nowhere.open(flowURL("AAAAAAAAAAAAAAAAAAAAAA"))
		nowhere.ended("elsewhere")
		for _, other := range []*browser{bare, own} {
			for _, below := range []string{"", "recovery", "codes.txt"} {
				other.open(flowURL(id, below))
				other.ended("elsewhere")
				if masked(other.page) != masked(nowhere.page) {
					t.Errorf("the answer differs from that for no flow:\n%s", other.page.body)
				}
			}
			for _, form := range []url.Values{
				{"step": {"otp"}, "code": {phone.code(0)}},
				{"step": {"cancel"}},
				{"step": {"password"}, "username": {"alice"}, "password": {passwords["alice"]}},
			} {
				other.do(post(t, flowURL(id), form))
				other.ended("elsewhere")
			}
			if other.cookie(sessionCookie) != "" {
				t.Error("a session began elsewhere")
			}
		}
		if got := s.budget("alice"); got.Misses != 0 {
			t.Errorf("codes were tried from elsewhere: %+v", got)
		}
		// The flow itself has not heard of it.
		b.submit("otp", "code", phone.code(0))
		s.app.callback(b.page)
	})
}

// SE-4: a value that we did not make becomes nobody's, neither as the cookie
// that binds a browser nor as a session.
func TestPlantedCookiesAreNeverAdopted(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.ready("alice")
		b := s.browser
		planted := strings.Repeat("A", 43)
		b.plant(sessionCookie, planted)
		b.plant(browserCookie, planted+"."+strings.Repeat("B", 22))
		b.open(s.app.request())
		b.at("password", http.StatusOK)
		if strings.HasPrefix(b.cookie(browserCookie), planted) {
			t.Error("the planted browser cookie was adopted")
		}
		flow := b.page.flow()
		b.login("alice", phone)
		s.app.callback(b.page)
		if b.cookie(sessionCookie) == planted {
			t.Error("the planted session cookie was adopted")
		}
		thief := newBrowser(t, s.net)
		thief.plant(sessionCookie, planted)
		thief.plant(browserCookie, planted+"."+strings.Repeat("B", 22))
		thief.open(flowURL(flow))
		thief.ended("elsewhere")
		thief.open(s.app.request("prompt", "none"))
		thief.refused(s.app, "login_required")

		// Nor is one thing of ours good as another: a session as the browser's,
		// a token as a session.
		token := s.silent(b)
		for _, value := range []string{b.cookie(browserCookie), token.token.AccessToken, token.raw, flow, token.SID} {
			thief.plant(sessionCookie, value)
			thief.open(s.app.request("prompt", "none"))
			thief.refused(s.app, "login_required")
		}
		thief.plant(browserCookie, b.cookie(sessionCookie))
		thief.open(flowURL(flow))
		thief.ended("elsewhere")
	})
}

// silent takes b's browser to the app without a page.
func (s *stage) silent(b *browser) identity {
	s.t.Helper()
	a, tab := s.app.tab(), b.tab()
	tab.open(a.request("prompt", "none"))
	return a.callback(tab.page)
}

// SE-1, PA-6
func TestCookiesAreNewAtEachRiseAndLockedDown(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn, plan{provider: func(c *provider.Config) { c.Floor = "pwd" }})
		phone := s.ready("alice")
		b := s.browser
		check := func(p *page, name string) {
			t.Helper()
			var found *http.Cookie
			for _, c := range (&http.Response{Header: p.header}).Cookies() {
				if c.Name == name {
					found = c
				}
			}
			if found == nil {
				t.Fatalf("no %s: %v", name, p.header["Set-Cookie"])
			}
			if !found.Secure || !found.HttpOnly || found.Path != "/" || found.Domain != "" ||
				found.SameSite != http.SameSiteLaxMode || found.MaxAge != 0 || !found.Expires.IsZero() {
				t.Errorf("%s: %s", name, found.Raw)
			}
			if secret, _, _ := strings.Cut(found.Value, "."); len(secret) != 43 { // 256 bits
				t.Errorf("%s has %d characters", name, len(secret))
			}
		}
		r, err := http.NewRequest(http.MethodGet, s.app.request(), nil)
		if err != nil {
			t.Fatal(err)
		}
		p := b.once(r)
		check(p, browserCookie)
		b.open(p.header.Get("Location"))
		p = b.once(b.request("password", "username", "alice", "password", passwords["alice"]))
		check(p, sessionCookie)
		weak := b.cookie(sessionCookie)
		b.open(p.header.Get("Location"))
		given := now()
		s.app.callback(b.page).proven(t, "pwd", given, "pwd")

		// The rise: the cookie that was good for pwd is not good for mfa, and for
		// nothing else.
		time.Sleep(time.Minute)
		b.open(s.app.request("acr_values", "mfa"))
		b.at("factor", http.StatusOK) // the password still counts
		p = b.once(b.request("otp", "code", phone.code(0)))
		check(p, sessionCookie)
		b.open(p.header.Get("Location"))
		s.app.callback(b.page).proven(t, "mfa", given, "pwd", "otp")
		if b.cookie(sessionCookie) == weak {
			t.Error("the cookie rose with the session")
		}
		old := newBrowser(t, s.net)
		old.plant(sessionCookie, weak)
		old.open(s.app.request("prompt", "none"))
		old.refused(s.app, "login_required")
		if got := s.sessions("alice"); len(got) != 1 || got[0].Cookie != hash(b.cookie(sessionCookie)) {
			t.Errorf("sessions: %+v", got)
		}
	})
}

// SE-3: a session's level never exceeds its proofs.
func TestASessionOfAPasswordAsksForTheCodeWhereItIsDemanded(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn, plan{provider: func(c *provider.Config) {
			c.Floor, c.ScopeFloors = "pwd", map[string]authflow.Floor{"groups": {Level: "mfa"}}
		}})
		phone := s.ready("alice")
		b := s.browser
		s.app.config.Scopes = []string{"openid"}
		began := now()
		b.open(s.app.request())
		b.password("alice")
		s.app.callback(b.page).proven(t, "pwd", began, "pwd")
		time.Sleep(5 * time.Minute)
		b.open(s.app.request("prompt", "none", "scope", "openid groups"))
		b.refused(s.app, "login_required")
		b.open(s.app.request("scope", "openid groups"))
		b.at("factor", http.StatusOK)
		b.submit("otp", "code", phone.code(0))
		s.app.callback(b.page).proven(t, "mfa", began, "pwd", "otp")
		// SU-6: a fresh code does not freshen the password.
		time.Sleep(time.Minute)
		b.open(s.app.request("max_age", "180", "scope", "openid groups"))
		b.at("password", http.StatusOK)
		b.password("alice")
		s.app.callback(b.page).proven(t, "mfa", began.Add(5*time.Minute), "pwd", "otp")
	})
}

// PW-3: who guesses names learns nothing, not even by guessing often.
func TestEveryWrongPasswordIsAnsweredAlike(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		for _, name := range []string{"carol", "frank", "grace"} { // all names are as long
			s.people.add(name, "the password of "+name)
		}
		s.people.change("carol", func(u *provider.User) { u.Disabled = true })
		s.enrolled("frank")
		// Alice's attempts are all used up.
		guesser := newBrowser(t, s.net)
		for range 2 {
			guesser.open(s.app.request())
			for range 6 {
				if guesser.page.kind() == "password" {
					guesser.submit("password", "username", "alice", "password", "guess")
				}
			}
		}
		var first *page
		for _, try := range []struct{ what, name, password string }{
			{"unknown", "nobod", "guess"},
			{"wrong", "frank", "guess"},
			{"wrong, without a factor", "grace", "guess"},
			{"disabled, wrong", "carol", "guess"},
			{"disabled, right", "carol", "the password of carol"},
			{"throttled, wrong", "alice", "guess"},
			{"throttled, right", "alice", passwords["alice"]},
		} {
			b := newBrowser(t, s.net)
			b.open(s.app.request())
			p := b.once(b.request("password", "username", try.name, "password", try.password))
			p.body = strings.ReplaceAll(p.body, try.name, "NAME")
			if p.status != http.StatusUnprocessableEntity || !p.says("problem.password_wrong") {
				t.Errorf("%s: %s", try.what, p.text())
			}
			if first == nil {
				first = p
				continue
			}
			if masked(p) != masked(first) {
				t.Errorf("%s is answered otherwise:\n%s\nnot as\n%s", try.what, masked(p), masked(first))
			}
		}
		// The throttle ends by itself.
		time.Sleep(5 * time.Minute)
		b := s.browser
		b.open(s.app.request())
		b.password("alice")
		b.at("enrollstart", http.StatusOK)
	})
}

var ids = regexp.MustCompile(`[A-Za-z0-9_-]{22}`)

// masked returns a page with its headers, without what differs each time: the
// ids of request and flow.
func masked(p *page) string {
	var b strings.Builder
	b.WriteString(http.StatusText(p.status) + "\n")
	_ = p.header.Write(&b) // never fails
	return ids.ReplaceAllString(b.String()+p.body, "ID")
}
