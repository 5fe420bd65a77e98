package test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

// RFC 9126 section 7.3; conformance: a request_uri is used up when the login is
// done, and not when the page is opened.
func TestARequestURIIsOpenedUntilItsLoginIsDone(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.startable()
		phone := s.ready("alice")
		push := func(extra ...string) string {
			t.Helper()
			u, err := url.Parse(s.app.request(extra...))
			if err != nil {
				t.Fatal(err)
			}
			return issuer + opening(s.pushed(u.Query()))
		}
		link := push()
		first, second, other := s.browser, s.browser.tab(), newBrowser(t, s.net)
		first.open(link)
		first.open(link) // reloaded
		first.at("password", http.StatusOK)
		second.open(link)
		other.open(link)
		other.password("alice")
		other.at("factor", http.StatusOK)
		if first.page.flow() == second.page.flow() {
			t.Fatal("two tabs have one flow")
		}
		// One who says no ends their own flow only.
		gone := newBrowser(t, s.net)
		gone.open(link)
		gone.submit("cancel")
		gone.refused(s.app, "access_denied")

		id := s.app.callback(second.login("alice", phone))
		if id.Subject != "sub-alice" {
			t.Fatalf("got %+v", id)
		}
		// Wherever one was, it is over, and a page says so and where to go.
		password := first.request("password", "username", "alice", "password", passwords["alice"])
		time.Sleep(30 * time.Second) // so that the code would be good
		code := other.request("otp", "code", phone.code(0))
		for what, b := range map[string]*browser{
			"the other tab, reloaded": {t: t, client: first.client, page: first.tab().open(first.page.url.String())},
			"its form":                {t: t, client: first.client, page: first.tab().do(password)},
			"the other browser":       {t: t, client: other.client, page: other.tab().open(other.page.url.String())},
			"its code":                {t: t, client: other.client, page: other.tab().do(code)},
			"opened again":            {t: t, client: first.client, page: first.tab().open(link)},
			"opened by a stranger":    {t: t, client: first.client, page: newBrowser(t, s.net).open(link)},
		} {
			b.ended("used")
			if b.page.link("https://app.example/") == "" {
				t.Errorf("%s: no way back to the app:\n%s", what, b.page.text())
			}
		}
		if got := s.sessions("alice"); len(got) != 1 {
			t.Errorf("%d sessions", len(got))
		}
		if got := s.audit("alice", provider.EventFactor); !slices.Equal(got, []string{"factor success"}) {
			t.Errorf("audit: %v", got)
		}
		// PA-9: where there may be no page, the app is told.
		link = push("prompt", "none")
		second.open(link)
		s.app.callback(second.page)
		second.open(link)
		second.refused(s.app, "invalid_request_uri")
		other.open(link)
		other.refused(s.app, "login_required")
	})
}

// A login takes longer than a request_uri lives: what began in time goes on.
func TestARequestURIExpires(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.ready("alice")
		u, err := url.Parse(s.app.request())
		if err != nil {
			t.Fatal(err)
		}
		link := issuer + opening(s.pushed(u.Query()))
		b := s.browser
		time.Sleep(90*time.Second - time.Microsecond)
		b.open(link)
		b.at("password", http.StatusOK)
		time.Sleep(time.Microsecond)
		late := newBrowser(t, s.net)
		late.open(link)
		if got := kindOf(late.page.body); late.page.status != http.StatusBadRequest || got != "stale" {
			t.Errorf("opened late: %d %s", late.page.status, late.page.text())
		}
		if !late.page.says("error.stale") || late.page.url.Host != "idp.example" {
			t.Errorf("at %s", late.page.text())
		}
		// As late as a flow can be, with a sweep before each step.
		sweep := func() {
			t.Helper()
			if _, err := s.db.Sweep(context.Background(), time.Now(), 1000); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(14 * time.Minute)
		sweep()
		b.password("alice")
		time.Sleep(time.Minute - 2*time.Microsecond)
		sweep()
		s.app.callback(b.submit("otp", "code", phone.code(0)))
		b.open(link)
		if got := kindOf(b.page.body); got != "stale" {
			t.Errorf("used and late: %s", b.page.text())
		}
		// And then it is forgotten.
		time.Sleep(3 * time.Microsecond)
		sweep()
		if got := dumped(t, dsn, "pushed_requests")["pushed_requests"]; len(got) > 0 {
			t.Errorf("still there: %s", got)
		}
	})
}

// A replica whose clock is ahead has swept what a flow came of: that it was not
// used, nobody can say any more.
func TestAFlowOfAForgottenRequestIsOver(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		b := s.browser
		b.open(issuer + opening(s.pushed(authorization())))
		form := b.request("password", "username", "alice", "password", passwords["alice"])
		if _, err := s.db.Sweep(context.Background(), time.Now().Add(20*time.Minute), 1000); err != nil {
			t.Fatal(err)
		}
		b.open(b.page.url.String())
		b.ended("used")
		b.do(form)
		b.ended("used")
	})
}

// Lifetimes.Pushed is what is told, and what holds.
func TestHowLongARequestURILivesIsConfigured(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn, plan{provider: func(c *provider.Config) { c.Lifetimes.Pushed = 10 * time.Minute }})
		a := s.push(authorization())
		if got := a.json(t)["expires_in"]; got != 600.0 {
			t.Errorf("expires_in %v", got)
		}
		time.Sleep(10*time.Minute - time.Microsecond)
		if a := s.open(a.text(t, "request_uri"), ""); a.says() != accepted {
			t.Errorf("in time: %s", a.says())
		}
		time.Sleep(time.Microsecond)
		if a := s.open(a.text(t, "request_uri"), ""); a.says() != noRequest {
			t.Errorf("late: %s", a.says())
		}
	})
}

// RFC 9126 section 2.2: it is bound to the client that pushed it. Whoever else
// comes with it leads nobody anywhere, and does it no harm.
func TestARequestURIIsItsClientsOnly(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		s.register(provider.Client{ID: "other", Name: "Another App", Type: provider.SPA, RedirectURIs: []string{appURL}, FirstParty: true,
			InitiateLoginURI: "https://other.example/login"})
		cookies := s.browser.cookies()
		uri := s.pushed(authorization())
		by := func(pairs ...string) string { return "/authorize?" + values(pairs...).Encode() }
		for name, is := range map[string]struct{ path, want string }{
			"another client":                {by("client_id", "other", "request_uri", uri), noRequest},
			"another, with a redirect URI":  {by("client_id", "other", "request_uri", uri, "redirect_uri", appURL, "response_type", "code"), noRequest},
			"nobody":                        {by("request_uri", uri), noClient},
			"an unknown client":             {by("client_id", "nobody", "request_uri", uri), noClient},
			"two clients":                   {by("client_id", "other", "request_uri", uri) + "&client_id=app", noClient},
			"two names":                     {opening(uri, "request_uri", uri), noRedirect},
			"two names and a way back":      {opening(uri, "request_uri", uri, "redirect_uri", appURL), invalid},
			"a name that is longer":         {opening(uri + "A"), noRequest},
			"a name that is shorter":        {opening(uri[:len(uri)-1]), noRequest},
			"a name of another case":        {opening(strings.ToUpper(uri[:4]) + uri[4:]), noRedirect},
			"the end of the name":           {opening(uri[len("urn:ietf:params:oauth:request_uri:"):]), noRedirect},
			"the hash that is in the table": {opening(fmt.Sprintf("urn:ietf:params:oauth:request_uri:%x", hash(uri))), noRequest},
		} {
			before := dumped(t, dsn)
			a := ask(t, s, get(t, is.path, "Cookie", cookies))
			if a.says() != is.want {
				t.Errorf("%s: %s, want %s", name, a.says(), is.want)
			}
			if is.want == noRequest && a.to != nil {
				t.Errorf("%s: leads to %s", name, a.to)
			}
			if changed := before.changed(dumped(t, dsn)); len(changed) > 0 {
				t.Errorf("%s: changed %v", name, changed)
			}
		}
		// The page leads back to where its client says, and nowhere else.
		b := newBrowser(t, s.net)
		b.open(issuer + by("client_id", "other", "request_uri", uri))
		if !b.page.says("error.stale") || b.page.link("https://other.example/login") == "" || b.page.link("https://app.example") != "" {
			t.Errorf("at %s", b.page.text())
		}
		if a := s.open(uri, cookies); a.says() != "→app code" {
			t.Errorf("and its own client: %s", a.says())
		}
	})
}

// RFC 9126 section 4
func TestAClientThatMustPushDoesNothingElse(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		b := s.browser
		b.open(issuer + "/authorize?" + with(authorization(), "prompt", "consent").Encode()) // while it may
		pushes := provider.Client{ID: "app", Type: provider.Web, Secrets: []provider.Hash{hash(appSecret)}, RedirectURIs: []string{appURL}, Pushed: true}
		s.register(pushes)
		cookies := b.cookies()
		for name, v := range map[string]url.Values{
			"a good one":             authorization(),
			"silent":                 with(authorization(), "prompt", "none"),
			"a request object":       with(authorization(), "request", "eyJhbGciOiJub25lIn0.e30."),
			"by reference":           with(authorization(), "request_uri", "https://app.example/request"),
			"an empty name":          with(authorization(), "request_uri", ""),
			"two names":              with(authorization(), "request_uri", s.pushed(authorization()), s.pushed(authorization())),
			"something repeated":     with(authorization(), "x", "1", "2"),
			"answered by a form":     formPost(),
			"without what is needed": with(authorization(), "response_type"),
		} {
			want := invalid
			if v.Has("response_mode") {
				want = "200 posts invalid_request"
			}
			a := ask(t, s, get(t, "/authorize?"+v.Encode(), "Cookie", cookies))
			if a.says() != want {
				t.Errorf("%s: %s, want %s", name, a.says(), want)
			}
			goesBackRight(t, name, v, a)
		}
		for want, v := range map[string]url.Values{
			noRedirect: with(authorization(), "redirect_uri", "https://evil.example/"), noClient: with(authorization(), "client_id"),
		} {
			if a := ask(t, s, get(t, "/authorize?"+v.Encode(), "Cookie", cookies)); a.says() != want {
				t.Errorf("not certain where to: %s, want %s", a.says(), want)
			}
		}
		if a := s.open(s.pushed(authorization()), cookies); a.says() != "→app code" {
			t.Errorf("pushed: %s", a.says())
		}
		// What had begun before goes on.
		b.submit("consent", "decision", "allow")
		if !b.page.url.Query().Has("code") {
			t.Errorf("begun before: %s", b.page.text())
		}
	})
}

// RFC 9126 section 7.4: what has been pushed is judged again when it is opened.
func TestAPushedRequestIsJudgedAgain(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		app := provider.Client{ID: "app", Type: provider.Web, Secrets: []provider.Hash{hash(appSecret)}, RedirectURIs: []string{appURL}}
		for name, is := range map[string]struct {
			change func(c *provider.Client)
			want   string
		}{
			"nothing":              {func(c *provider.Client) {}, "→app code"},
			"a scope less":         {func(c *provider.Client) { c.Scopes = []string{"openid"} }, "→app invalid_scope"},
			"a grant type less":    {func(c *provider.Client) { c.GrantTypes = []string{"client_credentials"} }, "→app unauthorized_client"},
			"another redirect URI": {func(c *provider.Client) { c.RedirectURIs = []string{"https://app.example/other"} }, noRedirect},
			"a floor out of reach": {func(c *provider.Client) { c.Floor = "phr" }, "→app unmet_authentication_requirements"},
		} {
			s.register(app)
			uri := s.pushed(authorization())
			changed := app
			is.change(&changed)
			s.register(changed)
			if a := s.open(uri, s.browser.cookies()); a.says() != is.want {
				t.Errorf("%s: %s, want %s", name, a.says(), is.want)
			}
		}
		s.register(app)
		uri := s.pushed(authorization())
		if err := s.db.RemoveClient(context.Background(), "app"); err != nil {
			t.Fatal(err)
		}
		if a := s.open(uri, s.browser.cookies()); a.says() != noClient {
			t.Errorf("a removed client: %s", a.says())
		}
	})
}

// SU-4, SU-5: what is fresh is measured from when the browser comes, and who has
// just signed in is not asked once more.
func TestAPushedDemandIsMetOnce(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.ready("alice")
		b := s.browser
		link := func(extra ...string) string {
			t.Helper()
			u, err := url.Parse(s.app.request(extra...))
			if err != nil {
				t.Fatal(err)
			}
			return issuer + opening(s.pushed(u.Query()))
		}
		b.open(link())
		first := s.app.callback(b.login("alice", phone))
		for _, demand := range [][]string{{"prompt", "login"}, {"max_age", "0"}} {
			l := link(demand...)
			time.Sleep(time.Minute)
			b.open(l)
			id := s.app.callback(b.login("alice", phone))
			if id.AuthTime != time.Now().Unix() || id.AuthTime < first.AuthTime+60 || id.SID != first.SID {
				t.Errorf("%v: got %+v after %+v", demand, id, first)
			}
			first = id
		}
		// A session of 30 s when it is pushed, of 60 or 61 s when it is opened.
		for _, waits := range []int{30, 31} {
			proven := time.Now()
			time.Sleep(30 * time.Second)
			l := link("max_age", "60")
			time.Sleep(time.Duration(waits) * time.Second)
			b.open(l)
			if waits > 30 {
				b.at("password", http.StatusOK)
				b.login("alice", phone)
				proven = time.Now()
			}
			if id := s.app.callback(b.page); id.AuthTime != proven.Unix() {
				t.Errorf("opened after %d s: auth_time %d, want %d", waits, id.AuthTime, proven.Unix())
			}
			if waits == 30 { // begin the next with a fresh one
				b.open(link("prompt", "login"))
				b.login("alice", phone)
			}
		}
	})
}

// OA-11: a pushed hint names the user, and is not kept.
func TestAPushedHintNamesAUser(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		token := s.tokens(authorization()).text(t, "id_token")
		v := with(authorization(), "id_token_hint", token)
		uri := s.pushed(v)
		for table, rows := range dumped(t, dsn) {
			if strings.Contains(strings.Join(rows, "\n"), token[len(token)-40:]) {
				t.Errorf("the hint is in the table %s", table)
			}
		}
		s.register(provider.Client{ID: "low", Type: provider.SPA, RedirectURIs: []string{appURL}, Floor: "pwd", FirstParty: true})
		bob := newBrowser(t, s.net)
		bob.open(issuer + "/authorize?" + with(authorization(), "client_id", "low").Encode())
		bob.password("bob")
		if a := s.open(uri, bob.cookies()); s.flowOf(a).State.Pinned != "sub-alice" {
			t.Errorf("bob with alice's hint: %+v", s.flowOf(a).State)
		}
		if a := s.open(s.pushed(with(v, "prompt", "none")), bob.cookies()); a.says() != "→app login_required" {
			t.Errorf("bob with alice's hint, silent: %s", a.says())
		}
		if a := s.open(uri, s.browser.cookies()); a.says() != "→app code" {
			t.Errorf("alice: %s", a.says())
		}
		about := `{"id_token":{"sub":{"value":"sub-bob"}}}`
		if a := s.push(with(v, "claims", about)); a.says() != "400 invalid_request" {
			t.Errorf("two users: %s", a.says())
		}
	})
}

// PA-10: whichever way a flow is begun anew, it demands what was pushed.
func TestAPushedDemandOutlivesRestartBackAndCancel(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		v := with(with(authorization(), "prompt", "login"), "acr_values", "mfa")
		uri := s.pushed(v)
		b := s.browser
		asked := ""
		for i, do := range []func(){
			func() {},
			func() { b.open(b.page.url.String()) },
			func() { b.submit("switch") },
			func() { b.submit("cancel") },
			func() { b.open(issuer + opening(uri, "prompt", "none", "acr_values", "pwd", "scope", "openid")) },
		} {
			b.open(issuer + opening(uri))
			b.at("password", http.StatusOK)
			flow := b.page
			do()
			f := s.stored(flow)
			if asked == "" {
				asked = f.Request
			}
			if f.Request != asked || f.Pushed != hash(uri) {
				t.Errorf("%d: asks for %s of %x, want %s", i, f.Request, f.Pushed, asked)
			}
			// prompt=login is for what is proven from now on.
			if pwd := f.State.Login.Proofs[authflow.Password]; !pwd.IsZero() && !pwd.Before(f.State.Created) {
				t.Errorf("%d: the session's password counts", i)
			}
		}
	})
}

// A push is a transaction of one statement, and a login that begins with one
// has no more besides than any other.
func TestAPushIsOneCommit(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.keyring("sub-alice")
		exactly := func(what string, want int64, fn func()) {
			t.Helper()
			before := s.db.Stats().Commits
			fn()
			if got := s.db.Stats().Commits - before; got != want {
				t.Errorf("%s: %d commits, want %d", what, got, want)
			}
		}
		b, uri, link := s.browser, "", ""
		exactly("a push", 1, func() { uri = s.pushed(authorization()) })
		link = issuer + opening(uri)
		exactly("a refused push", 0, func() { s.push(with(authorization(), "scope", "x")) })
		exactly("a push of nobody", 0, func() { s.push(authorization(), "Authorization", basic("app", "x")) })
		exactly("an unknown name", 0, func() { s.open(uri+"x", "") })
		other := newBrowser(t, s.net)
		exactly("opening it", 1, func() { other.open(link) })
		exactly("the login", 4, func() {
			b.open(link)
			b.submit("password", "username", "alice", "password", passwords["alice"])
			b.submit("otp", "code", phone.code(0))
			b.submit("consent", "decision", "allow")
		})
		code := b.page.url.Query().Get("code")
		exactly("the code", 1, func() { s.trade(exchange(code)) })
		exactly("opening it again", 0, func() { b.open(link) })
		exactly("looking where it was opened", 0, func() { other.open(other.page.url.String()) })
		exactly("going on there", 0, func() {
			other.do(post(t, other.page.url.String(), values("step", "password", "username", "alice", "password", passwords["alice"])))
		})
		other.ended("used")
		uri = s.pushed(authorization())
		exactly("opening one, signed in", 1, func() { b.open(issuer + opening(uri)) })
		exactly("opening it again, signed in", 0, func() { b.open(issuer + opening(uri)) })
	})
}
