package test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
	"github.com/sallyport-id/sallyport/storage/storagetest"
)

// OpenID Connect Back-Channel Logout section 2.7: what was given in the session
// ends with it, and what is offline goes on.
func TestTokensOfASessionEndWithIt(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		s.register(leaving())
		s.register(api)
		online, kept := s.tokens(authorization()), s.tokens(offline())
		code := s.code(authorization())
		later := s.code(offline())
		if a := s.userinfo(online.text(t, "access_token")); a.status != http.StatusOK {
			t.Fatal(a.says())
		}
		s.browser.open(issuer + "/logout?" + values("id_token_hint", online.text(t, "id_token")).Encode())
		s.browser.at("signedout", http.StatusOK)
		for what, is := range map[string]struct {
			a    reply
			want string
		}{
			"userinfo":                 {s.userinfo(online.text(t, "access_token")), "401 invalid_token"},
			"a code":                   {s.trade(exchange(code)), "400 invalid_grant"},
			"userinfo, offline":        {s.userinfo(kept.text(t, "access_token")), "200"},
			"a refresh token, offline": {s.trade(refresh(kept.text(t, "refresh_token"))), "200"},
			"a code, offline":          {s.trade(exchange(later)), "200"},
		} {
			if got := strings.TrimSpace(is.a.says()); got != is.want {
				t.Errorf("%s: %s, want %s", what, got, is.want)
			}
		}
		if a := s.inspect(online.text(t, "access_token")); a.body != inactive {
			t.Errorf("introspected: %s", a.body)
		}
	})
}

// sid is the session's: the same for every client and as long as it lives,
// another in another browser and after signing in anew (OpenID Connect
// Back-Channel Logout section 2.1).
func TestTheSIDIsTheSessions(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.register(leaving())
		s.register(provider.Client{ID: "second", Type: provider.Web, Secrets: []provider.Hash{hash(appSecret)}, RedirectURIs: []string{appURL}, FirstParty: true})
		phone := s.ready("alice")
		second := newApp(t, s.net, "second", appSecret)
		in := func(b *browser, a *app, extra ...string) identity {
			t.Helper()
			b.open(a.request(extra...))
			if b.page.kind() == "password" {
				b.login("alice", phone)
			}
			return a.callback(b.page)
		}
		b := s.browser
		first := in(b, s.app)
		if got := s.sessions("alice")[0].ID; got != first.SID {
			t.Errorf("sid %q, want %q", first.SID, got)
		}
		if got := in(b, second).SID; got != first.SID {
			t.Errorf("for another client %q, want %q", got, first.SID)
		}
		time.Sleep(time.Minute)
		if got := in(b, s.app, "prompt", "login").SID; got != first.SID {
			t.Errorf("after proving anew %q, want %q", got, first.SID)
		}
		time.Sleep(time.Minute)
		other := newBrowser(t, s.net)
		if got := in(other, s.app).SID; got == first.SID || got == "" {
			t.Errorf("in another browser %q", got)
		}
		b.open(issuer + "/logout?" + values("id_token_hint", first.raw, "post_logout_redirect_uri", byeURL).Encode())
		time.Sleep(time.Minute)
		again := in(b, s.app)
		if again.SID == first.SID || again.SID == "" {
			t.Errorf("after signing in anew %q, and before %q", again.SID, first.SID)
		}
		// The hint of the session before asks, and does not log out of this one.
		b.open(issuer + "/logout?" + values("id_token_hint", first.raw).Encode())
		b.at("signout", http.StatusOK)
	})
}

// frames returns the addresses of the page's frames.
func (p *page) frames() (all []string) {
	walk(p.doc, func(n *html.Node) {
		if n.Data == "iframe" {
			all = append(all, attr(n, "src"))
		}
	})
	return all
}

// OpenID Connect Front-Channel Logout section 3: the page that follows a logout
// shows each client of the session its frame, and the policy allows those
// origins and no other; then the browser goes on by itself.
func TestClientsSignOutInFrames(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.register(leaving())
		for id, uri := range map[string]string{
			"a": "https://a.example/out", "b": "https://b.example:8443/out?x=1", "b2": "https://b.example:8443/too", "absent": "https://c.example/out",
			"odd": "https://d;script-src.example/", "none": "",
		} {
			s.register(provider.Client{ID: id, Type: provider.SPA, RedirectURIs: []string{appURL}, FrontchannelLogoutURI: uri})
		}
		in := []string{"app", "a", "b", "b2", "odd", "none"}
		check := func(what string, b *browser, sid string) {
			t.Helper()
			b.at("signedout", http.StatusOK)
			q := "iss=" + url.QueryEscape(issuer) + "&sid=" + sid
			same(t, what, b.page.frames(), []string{"https://a.example/out?" + q, "https://b.example:8443/out?x=1&" + q, "https://b.example:8443/too?" + q})
			want := "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; style-src 'self'; img-src 'self' data:; form-action 'none'; frame-src https://a.example https://b.example:8443"
			if got := b.page.header.Get("Content-Security-Policy"); got != want {
				t.Errorf("%s: policy\n%s, want\n%s", what, got, want)
			}
			if b.cookie(sessionCookie) != "" {
				t.Errorf("%s: the cookie is there still", what)
			}
		}
		sitting := func() (*browser, string) {
			here := s.sit("alice", in...)
			b := newBrowser(t, s.net)
			b.plant(sessionCookie, strings.TrimPrefix(here.cookie, sessionCookie+"="))
			return b, here.id
		}
		b, sid := sitting()
		b.open(issuer + "/logout?" + values("id_token_hint", hintOf(t, "app", "sub-alice", sid), "post_logout_redirect_uri", byeURL, "state", "a b").Encode())
		check("by a hint", b, sid)
		if got, want := b.page.header.Get("Refresh"), "3; url="+byeURL+"?state=a+b"; got != want {
			t.Errorf("Refresh %q, want %q", got, want)
		}
		if b.page.link(byeURL+"?state=a+b") == "" || !strings.Contains(b.page.text(), "The App") {
			t.Errorf("no way on by hand:\n%s", b.page.text())
		}
		b, sid = sitting()
		b.open(issuer + "/logout?" + values("id_token_hint", hintOf(t, "app", "sub-alice", sid)).Encode())
		check("without a way on", b, sid)
		if got := b.page.header.Get("Refresh"); got != "" || b.page.link("https://app.example/login") == "" {
			t.Errorf("Refresh %q\n%s", got, b.page.text())
		}
		b, sid = sitting()
		b.open(issuer + "/logout")
		b.submit("sign-out")
		check("by the page that asks", b, sid)
	})
}

// A race: of many logouts of one session each goes where it should, and it is
// one logout.
func TestManyLogoutsAtOnceAreOne(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.register(leaving())
		here := s.sit("alice", "app")
		v := values("id_token_hint", hintOf(t, "app", "sub-alice", here.id), "post_logout_redirect_uri", byeURL)
		answers := make(chan reply, 50)
		for range cap(answers) {
			r := get(t, "/logout?"+v.Encode(), "Cookie", here.cookie)
			go func() { answers <- ask(t, s, r) }()
		}
		for range cap(answers) {
			if a := <-answers; a.header.Get("Location") != byeURL {
				t.Errorf("%s %v", a.says(), a.to)
			}
		}
		same(t, "audit", s.audit("alice"), []string{"logout success"})
		same(t, "to be told", s.untold(), []string{"app " + here.id})
	})
}

// PA-7: signing out ends what is half finished in this browser: what began in
// the session, and what has only its own proofs.
func TestSigningOutEndsWhatIsHalfFinished(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.register(leaving())
		phone := s.enrolled("alice")
		bobs := s.ready("bob")
		signIn := func(b *browser) identity {
			t.Helper()
			time.Sleep(time.Minute)
			b.open(s.app.request())
			b.login("alice", phone)
			if b.page.kind() == "consent" {
				b.submit("consent", "decision", "allow")
			}
			return s.app.callback(b.page)
		}
		begin := func(b *browser, kind string, extra ...string) (*browser, *app) {
			t.Helper()
			tab, a := b.tab(), s.app.tab()
			tab.open(a.request(extra...))
			if kind == "factor" {
				tab.password("alice")
			}
			tab.at(kind, http.StatusOK)
			return tab, a
		}
		ways := map[string]func(b *browser, id identity){
			"by a hint": func(b *browser, id identity) {
				b.open(issuer + "/logout?" + values("id_token_hint", id.raw).Encode())
			},
			"by the page that asks": func(b *browser, id identity) { b.open(issuer + "/logout"); b.submit("sign-out") },
			"on the account page":   func(b *browser, id identity) { b.open(issuer + "/account"); b.submit("sign-out") },
			"everywhere":            func(b *browser, id identity) { b.open(issuer + "/account"); b.submit("end-all") },
		}
		for name, out := range ways {
			b := newBrowser(t, s.net)
			early, _ := begin(b, "factor") // with proofs of its own, and no session yet
			id := signIn(b)
			lives := s.sit("alice") // a session in another browser
			elsewhere := newBrowser(t, s.net)
			far, _ := begin(elsewhere, "factor") // in another browser, with proofs of its own
			consent, _ := begin(b, "consent", "prompt", "consent")
			password, _ := begin(b, "password", "prompt", "login")
			factor, _ := begin(b, "factor", "prompt", "login")
			bob := newBrowser(t, s.net)
			bob.open(s.app.request())
			bob.password("bob")

			out(b, id)
			b.at("signedout", http.StatusOK)
			time.Sleep(time.Minute) // a new code
			for what, submit := range map[string]func() *browser{
				"consent":                             func() *browser { consent.submit("consent", "decision", "allow"); return consent },
				"password":                            func() *browser { password.password("alice"); return password },
				"factor":                              func() *browser { factor.submit("otp", "code", phone.code(0)); return factor },
				"a factor before there was a session": func() *browser { early.submit("otp", "code", phone.code(0)); return early },
			} {
				if tab := submit(); tab.page.kind() != "ended" || !tab.page.says("ended.signedout.title") || tab.page.link("https://app.example/login") == "" {
					t.Errorf("%s, a flow at %s goes on:\n%s", name, what, tab.page.text())
				}
			}
			if s.alive(lives) == (name == "everywhere") || b.cookie(sessionCookie) != "" {
				t.Errorf("%s: another session is alive: %t", name, s.alive(lives))
			}
			far.submit("otp", "code", phone.code(0))
			if over := far.page.says("ended.signedout.title"); over != (name == "everywhere") {
				t.Errorf("%s, a flow in another browser is over: %t\n%s", name, over, far.page.text())
			}
			bob.submit("otp", "code", bobs.code(0))
			s.app.callback(bob.page) // is no matter of alice's
			s.end("alice")
			s.end("bob")
		}
	})
}

// end ends all sessions of name, by a command.
func (h *house) end(name string) {
	h.t.Helper()
	if err := h.db.EndSessions(context.Background(), "sub-"+name); err != nil {
		h.t.Fatal(err)
	}
	h.forget()
}

// PA-7: a flow that waits for nothing more is not finished behind the back of a
// logout that came between reading and saving it.
func TestALogoutIsNotUndoneByAFlowThatWasRead(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		var d *delayed
		s := newStage(t, dsn, plan{store: func(db *storage.DB) (provider.Store, mfa.Store) {
			d = &delayed{DB: db}
			return d, d
		}})
		s.register(leaving())
		phone := s.ready("alice")
		b := s.browser
		b.open(s.app.request())
		b.password("alice")
		id := b.page.flow()
		b.submit("otp", "code", phone.code(0))
		s.end("alice")
		// As another replica left it: proven, and not yet issued.
		f, err := s.db.Flow(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		id = strings.Repeat("A", len(id))
		f.ID, f.State.Ended, f.Ending = id, false, ""
		if err := s.db.CreateFlow(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		d.before = func() {
			if err := s.db.EndFlows(context.Background(), f.Browser, "sub-alice"); err != nil {
				t.Error(err)
			}
		}
		b.open(flowURL(id))
		b.ended("signedout")
		if d.before != nil || len(s.sessions("alice")) > 0 {
			t.Errorf("sessions %+v", s.sessions("alice"))
		}
	})
}

// A delayed store lets something happen before a transaction begins.
type delayed struct {
	*storage.DB
	before func()
}

func (d *delayed) Atomically(ctx context.Context, fn func(context.Context) error) error {
	if before := d.before; before != nil {
		d.before = nil
		before()
	}
	return d.DB.Atomically(ctx, fn)
}

// OA-12: whatever ends a session here, its clients are told.
func TestWhateverEndsASessionIsTold(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.register(leaving())
		phone := s.ready("alice")
		s.ready("bob")
		signIn := func() *browser {
			t.Helper()
			time.Sleep(time.Minute)
			b := newBrowser(t, s.net)
			b.open(s.app.request())
			b.login("alice", phone)
			s.app.callback(b.page)
			return b
		}
		for name, is := range map[string]struct {
			end  func(b *browser, other string) // that the session called other, or b's own, ends
			told int
		}{
			"sign out":    {func(b *browser, _ string) { b.open(issuer + "/account"); b.submit("sign-out") }, 1},
			"end another": {func(b *browser, id string) { b.open(issuer + "/account"); b.submit("end-session", "id", id) }, 1},
			"end all":     {func(b *browser, _ string) { b.open(issuer + "/account"); b.submit("end-all") }, 2},
			"new codes":   {func(b *browser, _ string) { b.open(issuer + "/account"); b.submit("new-codes"); b.at("codes", 200) }, 1},
			"another signs in": {func(b *browser, _ string) {
				b.open(s.app.request("prompt", "select_account"))
				b.login("bob", oldPhone(t, "bob"))
				s.app.callback(b.page)
			}, 1},
			"a command": {func(_ *browser, id string) {
				if err := s.db.EndSession(t.Context(), "sub-alice", id); err != nil {
					t.Error(err)
				}
			}, 1},
		} {
			signIn()
			other := s.sessions("alice")[0].ID
			is.end(signIn(), other)
			if got := s.untold(); len(got) != is.told {
				t.Errorf("%s: to be told are %v, want %d", name, got, is.told)
			}
			s.end("alice")
			s.end("bob")
		}
	})
}

// PA-12: whatever call of a logout fails, and whether or not it happened, nobody
// is told that they are signed out who is not, and once more is enough.
func TestEveryStoreCallOfALogoutFailsOnce(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		var store struct{ storagetest.Store }
		s := newStage(t, dsn, plan{store: func(db *storage.DB) (provider.Store, mfa.Store) {
			store.Store = db
			return &store, &store
		}})
		s.register(leaving())
		s.register(provider.Client{ID: "frame", Type: provider.SPA, RedirectURIs: []string{appURL}, FrontchannelLogoutURI: "https://frame.example/"})
		s.browser.open(s.app.request()) // for the cookie that binds a browser
		bound := s.browser.cookies()
		for name, request := range map[string]func(here sitting) *http.Request{
			"by a hint": func(here sitting) *http.Request {
				v := values("id_token_hint", hintOf(t, "app", "sub-alice", here.id), "post_logout_redirect_uri", byeURL)
				return get(t, "/logout?"+v.Encode(), "Cookie", here.cookie+"; "+bound)
			},
			"by a yes": func(here sitting) *http.Request {
				return send(t, "/logout/confirm?"+values("client_id", "app", "post_logout_redirect_uri", byeURL).Encode(),
					values("step", "sign-out", "session", here.id), "Cookie", here.cookie+"; "+bound, "Sec-Fetch-Site", "same-origin")
			},
			"everywhere": func(here sitting) *http.Request {
				return send(t, "/account", values("step", "end-all"), "Cookie", here.cookie, "Sec-Fetch-Site", "same-origin")
			},
		} {
			events := len(s.audit("alice"))
			try := func(fault storagetest.Fault) []string {
				t.Helper()
				here := s.sit("alice", "app", "frame")
				faulty := storagetest.Faulty(s.db, fault)
				store.Store = faulty
				defer func() { store.Store = s.db }()
				failures := 0
				for range 3 {
					a := ask(t, s, request(here))
					if a.status >= 500 {
						failures++
						if a.header.Get("Refresh") != "" || a.to != nil || strings.Contains(a.body, "<iframe") {
							t.Errorf("%s, %+v: an error that leads on", name, fault)
						}
						continue
					}
					if s.alive(here) {
						t.Errorf("%s, %+v: %s, and the session lives on", name, fault, a.says())
					}
					break
				}
				calls := faulty.Calls()
				if fault.Call > 0 && failures != 1 {
					t.Errorf("%s, %s: %d failures", name, calls[fault.Call-1], failures)
				}
				if got := s.untold(); len(got) != 1 || got[0] != "app "+here.id {
					t.Errorf("%s, %+v: to be told are %v", name, fault, got)
				}
				s.forget()
				if events++; len(s.audit("alice")) != events {
					t.Errorf("%s, %+v: audit %v", name, fault, s.audit("alice"))
				}
				return calls
			}
			calls := try(storagetest.Fault{})
			if len(calls) < 8 {
				t.Fatalf("%s: only %v", name, calls)
			}
			for i := range calls {
				for _, after := range []bool{false, true} {
					try(storagetest.Fault{Call: i + 1, After: after})
				}
			}
		}
	})
}
