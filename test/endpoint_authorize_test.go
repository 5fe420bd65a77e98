package test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

// OA-1, OA-3, OA-4, OA-7, OA-8, OA-13
func TestEachParameterOfAnAuthorizationRequest(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		for _, name := range slices.Sorted(maps.Keys(authorizeVariants)) {
			for _, is := range authorizeVariants[name] {
				v := with(authorization(), name, is.values...)
				a := ask(t, s, get(t, "/authorize?"+v.Encode()))
				what := name + " " + is.name
				if a.says() != is.want {
					t.Errorf("%s: %s, want %s (%v)", what, a.says(), is.want, a.to)
					continue
				}
				goesBackRight(t, what, v, a)
				// OA-13: GET and POST are equal.
				b := ask(t, s, send(t, "/authorize", v))
				if b.status != http.StatusSeeOther || b.says() != "→/authorize" {
					t.Errorf("%s, posted: %d %s, want 303 to the same by GET", what, b.status, b.says())
					continue
				}
				b = ask(t, s, get(t, strings.TrimPrefix(b.to.String(), issuer)))
				if b.says() != is.want {
					t.Errorf("%s, posted: %s, want %s", what, b.says(), is.want)
				}
				if a.says() != accepted && a.to != nil && a.to.String() != b.to.String() {
					t.Errorf("%s, posted: %v, want %v", what, b.to, a.to)
				}
			}
		}
	})
}

// goesBackRight checks what every error for the app says: RFC 6749 section
// 4.1.2.1, RFC 9207.
func goesBackRight(t *testing.T, what string, v url.Values, a reply) {
	t.Helper()
	if a.to == nil || !strings.HasPrefix(a.says(), "→app ") || a.says() == "→app code" {
		return
	}
	base, _, _ := strings.Cut(a.to.String(), "?")
	q := a.to.Query()
	if base != v.Get("redirect_uri") || a.status != http.StatusSeeOther {
		t.Errorf("%s: %d to %v", what, a.status, a.to)
	}
	if state := v["state"]; len(state) == 1 && q.Get("state") != state[0] {
		t.Errorf("%s: state %q, want %q", what, q.Get("state"), state[0])
	}
	if !slices.Equal(q["iss"], []string{issuer}) { // OA-7
		t.Errorf("%s: iss %q", what, q["iss"])
	}
	if q.Has("code") || q.Get("error_description") == "" {
		t.Errorf("%s: %v", what, a.to)
	}
}

// OA-13
func TestAnOversizedRequestIsRefusedAtOnce(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		long := func(n int) string { // a query of n bytes in all
			q := authorization().Encode() + "&x="
			return "/authorize?" + q + strings.Repeat("a", n-len("/authorize?")-len(q))
		}
		many := func(n int) string {
			v := authorization()
			for i := range n - len(v) {
				v.Set(fmt.Sprintf("x%d", i), "1")
			}
			return "/authorize?" + v.Encode()
		}
		for name, is := range map[string]struct {
			request *http.Request
			want    string
		}{
			"a URL of 8 KiB":             {get(t, long(8<<10-len(issuer))), accepted},
			"a longer one":               {get(t, long(8<<10+1)), "413 too_large"},
			"64 parameters":              {get(t, many(64)), accepted},
			"65 parameters":              {get(t, many(65)), "400 bad_request"},
			"a parameter 65 times":       {get(t, "/authorize?"+strings.Repeat("a=b&", 65)), "400 bad_request"},
			"an escape that is none":     {get(t, "/authorize?client_id=%zz"), "400 bad_request"},
			"a semicolon":                {get(t, "/authorize?client_id=app;redirect_uri=x"), "400 bad_request"},
			"a body of 64 KiB":           {send(t, "/authorize", url.Values{"x": {strings.Repeat("a", 64<<10-2)}}), "413 too_large"},
			"a longer body":              {send(t, "/authorize", url.Values{"x": {strings.Repeat("a", 64<<10)}}), "413 too_large"},
			"a token body of 64 KiB":     {send(t, "/token", url.Values{"x": {strings.Repeat("a", 64<<10-2)}}), "401 invalid_client"},
			"a longer token body":        {send(t, "/token", url.Values{"x": {strings.Repeat("a", 64<<10)}}), "413 invalid_request"},
			"a token body of many":       {send(t, "/token", mustParse(t, strings.Repeat("a=b&", 65))), "400 invalid_request"},
			"a body that is no form":     {send(t, "/token", nil, "Content-Type", "application/json"), "400 invalid_request"},
			"a longer body to revoke":    {send(t, "/revoke", url.Values{"token": {strings.Repeat("a", 64<<10)}}), "413 invalid_request"},
			"a body of many to revoke":   {send(t, "/revoke", mustParse(t, strings.Repeat("a=b&", 65))), "400 invalid_request"},
			"a longer introspection":     {send(t, "/introspect", url.Values{"token": {strings.Repeat("a", 64<<10)}}), "413 invalid_request"},
			"an introspection of many":   {send(t, "/introspect", mustParse(t, strings.Repeat("a=b&", 65))), "400 invalid_request"},
			"a long path":                {get(t, "/flow/"+strings.Repeat("a", 9000)), "413 too_large"},
			"a long URL at the token":    {send(t, "/token?"+strings.Repeat("a", 9000), nil), "413 invalid_request"},
			"a long URL at the userinfo": {get(t, "/userinfo?"+strings.Repeat("a", 9000)), "413 invalid_request"},
		} {
			if a := ask(t, s, is.request); a.says() != is.want {
				t.Errorf("%s: %s, want %s", name, a.says(), is.want)
			}
		}
	})
}

func mustParse(t *testing.T, q string) url.Values {
	t.Helper()
	v, err := url.ParseQuery(q)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// OA-2: exact, but for the port of a loopback IP of a native client (RFC 8252
// section 7.3). fosite.md 3.9: there the exception is for every client,
// whatever the scheme of the registered URI, and for one with a user in it.
func TestTheRedirectURIIsComparedExactly(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		registered := []string{"http://127.0.0.1/cb", "http://[::1]:7/cb?a=b", "https://127.0.0.1/tls", "com.example.app:/cb", "http://localhost/cb", "http://user@127.0.0.1/user"}
		s.register(provider.Client{ID: "native", Type: provider.Native, RedirectURIs: registered})
		s.register(provider.Client{ID: "web", Type: provider.Web, Secrets: []provider.Hash{hash(appSecret)}, RedirectURIs: registered})
		s.register(provider.Client{ID: "spa", Type: provider.SPA, RedirectURIs: registered})
		for _, is := range []struct {
			uri         string
			native, web string
		}{
			{"http://127.0.0.1/cb", accepted, accepted},
			{"http://127.0.0.1:4711/cb", accepted, noRedirect},
			{"http://127.0.0.1:/cb", accepted, noRedirect},
			{"http://[::1]:7/cb?a=b", accepted, accepted},
			{"http://[::1]:8/cb?a=b", accepted, noRedirect},
			{"http://[::1]/cb?a=b", accepted, noRedirect},
			{"http://[::1]:8/cb", noRedirect, noRedirect},
			{"http://[::1]:8/cb?a=b&c=d", noRedirect, noRedirect},
			{"http://127.0.0.1:4711/cb?", noRedirect, noRedirect},
			{"http://127.0.0.1:4711/cb#", noRedirect, noRedirect},
			{"http://127.0.0.1:4711/cb#a", noRedirect, noRedirect},
			{"http://127.0.0.1:4711/cb/", noRedirect, noRedirect},
			{"http://127.0.0.1:4711/%63b", noRedirect, noRedirect},
			{"http://127.0.0.1:4711//cb", noRedirect, noRedirect},
			{"http://127.0.0.1:4711", noRedirect, noRedirect},
			{"http://user:pw@127.0.0.1:4711/cb", noRedirect, noRedirect},
			{"http://@127.0.0.1:4711/cb", noRedirect, noRedirect},
			{"http://user@127.0.0.1:4711/user", noRedirect, noRedirect},
			{"http://127.0.0.1.evil.example/cb", noRedirect, noRedirect},
			{"http://127.0.0.1:4711@evil.example/cb", noRedirect, noRedirect},
			{"http://127.0.0.1:80\\@evil.example/cb", noRedirect, noRedirect},
			{"http://127.0.0.2:4711/cb", noRedirect, noRedirect},
			{"http://127.1:4711/cb", noRedirect, noRedirect},
			{"http://0.0.0.0:4711/cb", noRedirect, noRedirect},
			{"http://[::ffff:127.0.0.1]:4711/cb", noRedirect, noRedirect},
			{"https://127.0.0.1:4711/cb", noRedirect, noRedirect},
			{"http://127.0.0.1:4711/tls", noRedirect, noRedirect},
			{"https://127.0.0.1/tls", accepted, accepted},
			{"https://127.0.0.1:4711/tls", noRedirect, noRedirect},
			{"http://localhost/cb", accepted, accepted},
			{"http://localhost:4711/cb", noRedirect, noRedirect},
			{"com.example.app:/cb", accepted, accepted},
			{"com.example.app:/cb2", noRedirect, noRedirect},
		} {
			for id, want := range map[string]string{"native": is.native, "web": is.web, "spa": is.web} {
				v := with(with(authorization(), "client_id", id), "redirect_uri", is.uri)
				a := ask(t, s, get(t, "/authorize?"+v.Encode()))
				if a.says() != want {
					t.Errorf("%s at %s: %s, want %s", is.uri, id, a.says(), want)
				}
			}
		}
	})
}

// RFC 6749 section 3.1.2: a query that is there already is kept.
func TestTheQueryOfARedirectURIIsKept(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		for _, uri := range []string{"https://app.example/cb", "https://app.example/cb?", "https://app.example/cb?x=%2f+y&x=2", "https://app.example/cb?x=1&"} {
			s.register(provider.Client{ID: "other", Type: provider.SPA, RedirectURIs: []string{uri}, FirstParty: true})
			v := with(with(authorization(), "client_id", "other"), "redirect_uri", uri)
			for _, prompt := range []string{"", "bogus"} {
				a := ask(t, s, get(t, "/authorize?"+with(v, "prompt", prompt).Encode(), "Cookie", s.browser.cookies()))
				rest, kept := strings.CutPrefix(a.to.String(), uri)
				q := a.to.Query()
				if !kept || strings.ContainsAny(strings.Trim(rest, "?&"), "?") || strings.Contains(rest, "&&") ||
					q.Get("state") != v.Get("state") || q.Get("iss") != issuer || q.Has("code") == q.Has("error") {
					t.Errorf("%s became %s", uri, a.to)
				}
				if strings.Contains(uri, "x=%2f") && !slices.Equal(q["x"], []string{"/ y", "2"}) {
					t.Errorf("%s lost its query: %s", uri, a.to)
				}
			}
		}
	})
}

// OA-13: byte for byte, in the answer and in the ID token.
func TestStateAndNonceComeBackAsTheyWere(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		for _, text := range []string{
			"x", " ", "a b+c%20d&e=f;g#h?i/j", "\r\nSet-Cookie: a=b", "\x00", "\"\\<>'", "ünïcödé ☃ 🔑", "\u2028\u202e",
			strings.Repeat("l", 3000), `{"json":"too"}`, "==", "null",
		} {
			a := ask(t, s, get(t, "/authorize?"+with(with(authorization(), "state", text), "nonce", text).Encode(),
				"Cookie", s.browser.cookies()))
			if got := a.to.Query()["state"]; !slices.Equal(got, []string{text}) {
				t.Errorf("state %q came back as %q", text, got)
			}
			tokens := s.trade(exchange(a.to.Query().Get("code")))
			if got := claimsOf(t, tokens.text(t, "id_token"))["nonce"]; got != text {
				t.Errorf("nonce %q came back as %q", text, got)
			}
		}
		for _, state := range []string{"\xff\xfe", "\xc3"} { // no UTF-8: a URL can hold it
			a := ask(t, s, get(t, "/authorize?"+with(authorization(), "state", state).Encode(), "Cookie", s.browser.cookies()))
			if got := a.to.Query().Get("state"); got != state {
				t.Errorf("state %q came back as %q", state, got)
			}
		}
		// What was not sent does not come back.
		for _, name := range []string{"state", "nonce"} {
			a := ask(t, s, get(t, "/authorize?"+with(authorization(), name).Encode(), "Cookie", s.browser.cookies()))
			if a.to.Query().Has(name) {
				t.Errorf("a %s that was never sent came back: %s", name, a.to)
			}
			if tokens := s.trade(exchange(a.to.Query().Get("code"))); name == "nonce" {
				if nonce, ok := claimsOf(t, tokens.text(t, "id_token"))["nonce"]; ok {
					t.Errorf("nonce %v came of nothing", nonce)
				}
			}
		}
	})
}

// PA-9: whatever is missing, there is no page.
func TestASilentRequestGetsNoPage(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		s.register(provider.Client{ID: "new", Type: provider.SPA, RedirectURIs: []string{appURL}})
		s.register(provider.Client{ID: "low", Type: provider.SPA, RedirectURIs: []string{appURL}, Floor: "pwd", FirstParty: true})
		bob := newBrowser(t, s.net) // has a password only, and no factor
		bob.open(issuer + "/authorize?" + with(authorization(), "client_id", "low").Encode())
		bob.submit("password", "username", "bob", "password", "staple staple staple")
		silent := with(authorization(), "prompt", "none")
		for name, is := range map[string]struct {
			v       url.Values
			cookies string
			want    string
		}{
			"signed in and allowed":       {silent, s.browser.cookies(), "→app code"},
			"nobody":                      {silent, "", "→app login_required"},
			"not allowed yet":             {with(silent, "client_id", "new"), s.browser.cookies(), "→app consent_required"},
			"no page for the factor":      {silent, bob.cookies(), "→app interaction_required"},
			"too old":                     {with(silent, "max_age", "0"), s.browser.cookies(), "→app login_required"},
			"out of reach":                {with(silent, "acr_values", "phr"), s.browser.cookies(), "→app unmet_authentication_requirements"},
			"more than the password":      {with(with(silent, "client_id", "low"), "acr_values", "mfa"), bob.cookies(), "→app interaction_required"},
			"the password is enough":      {with(silent, "client_id", "low"), bob.cookies(), "→app code"},
			"a cookie that nobody issued": {silent, sessionCookie + "=AAAA", "→app login_required"},
		} {
			before := dumped(t, dsn, "flows")
			a := ask(t, s, get(t, "/authorize?"+is.v.Encode(), "Cookie", is.cookies))
			if a.says() != is.want {
				t.Errorf("%s: %s, want %s (%v)", name, a.says(), is.want, a.to)
			}
			goesBackRight(t, name, is.v, reply{status: a.status, to: a.to, header: a.header})
			if changed := before.changed(dumped(t, dsn, "flows")); len(changed) > 0 {
				t.Errorf("%s: a flow was stored for a page that is not shown", name)
			}
		}
	})
}

// OA-11
func TestAnIDTokenHintNamesAUserAndAuthenticatesNobody(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		s.register(provider.Client{ID: "other", Type: provider.SPA, RedirectURIs: []string{appURL}, FirstParty: true})
		tokens := s.tokens(offline())
		alice := tokens.text(t, "id_token")
		v := with(authorization(), "id_token_hint", alice)
		code := s.code(with(with(authorization(), "client_id", "other"), "id_token_hint"))
		others := ask(t, s, send(t, "/token", with(exchange(code), "client_id", "other"))).text(t, "id_token")

		h, c := headerOf(t, alice), claimsOf(t, alice)
		stranger := newBrowser(t, s.net)
		for name, is := range map[string]struct {
			v       url.Values
			cookies string
			want    string
		}{
			"her own session":        {v, s.browser.cookies(), "→app code"},
			"nobody":                 {v, "", accepted},
			"nobody, silent":         {with(v, "prompt", "none"), "", "→app login_required"},
			"an access token":        {with(v, "id_token_hint", tokens.text(t, "access_token")), s.browser.cookies(), invalid},
			"a refresh token":        {with(v, "id_token_hint", tokens.text(t, "refresh_token")), s.browser.cookies(), invalid},
			"another client's":       {with(v, "id_token_hint", others), s.browser.cookies(), invalid},
			"of a key of no name":    {with(v, "id_token_hint", mint(t, map[string]any{"alg": "ES256", "typ": "JWT"}, claimsOf(t, alice))), s.browser.cookies(), invalid},
			"made with our key":      {with(v, "id_token_hint", mint(t, h, c)), s.browser.cookies(), "→app code"}, // the next fail for their one difference
			"of another issuer":      {with(v, "id_token_hint", mint(t, h, but(c, "iss", "https://evil.example"))), s.browser.cookies(), invalid},
			"of no subject":          {with(v, "id_token_hint", mint(t, h, but(c, "sub", nil))), s.browser.cookies(), invalid},
			"for nobody":             {with(v, "id_token_hint", mint(t, h, but(c, "aud", nil))), s.browser.cookies(), invalid},
			"of another type":        {with(v, "id_token_hint", mint(t, but(h, "typ", "logout+jwt"), c)), s.browser.cookies(), invalid},
			"with a changed subject": {with(v, "id_token_hint", tampered(alice)), s.browser.cookies(), invalid},
		} {
			a := ask(t, s, get(t, "/authorize?"+is.v.Encode(), "Cookie", is.cookies))
			if a.says() != is.want {
				t.Errorf("%s: %s, want %s (%v)", name, a.says(), is.want, a.to)
			}
		}
		// Another user is signed in: she has to be asked, and silently is not.
		s.register(provider.Client{ID: "low", Type: provider.SPA, RedirectURIs: []string{appURL}, Floor: "pwd", FirstParty: true})
		stranger.open(issuer + "/authorize?" + with(authorization(), "client_id", "low").Encode())
		stranger.submit("password", "username", "bob", "password", "staple staple staple")
		for want, v := range map[string]url.Values{accepted: v, "→app login_required": with(v, "prompt", "none")} {
			if a := ask(t, s, get(t, "/authorize?"+v.Encode(), "Cookie", stranger.cookies())); a.says() != want {
				t.Errorf("bob with alice's hint: %s, want %s", a.says(), want)
			}
		}
		stranger.open(issuer + "/authorize?" + v.Encode())
		stranger.submit("password", "username", "bob", "password", "staple staple staple")
		if stranger.page.url.Host == "app.example" || strings.Contains(stranger.page.url.RawQuery, "code=") {
			t.Errorf("bob came through with alice's hint: %s", stranger.page.text())
		}
		// Nor by asking for another account on the way: what it named is kept.
		stranger = newBrowser(t, s.net)
		stranger.open(issuer + "/authorize?" + v.Encode())
		stranger.do(post(t, stranger.page.url.String(), url.Values{"step": {"switch"}}))
		stranger.submit("password", "username", "bob", "password", "staple staple staple")
		if stranger.page.form("enroll") != nil {
			t.Errorf("bob goes on with alice's hint: %s", stranger.page.text())
		}
		// Whom it named is our own note, and no parameter.
		stranger.open(issuer + "/authorize?" + with(with(authorization(), "id_token_hint.sub", "sub-alice"), "prompt", "login").Encode())
		if strings.Contains(stranger.page.body, "alice") {
			t.Errorf("whoever knows a subject is told a name: %s", stranger.page.text())
		}
		// It has expired long since, and is a hint all the same.
		time.Sleep(11 * time.Minute)
		if a := ask(t, s, get(t, "/authorize?"+v.Encode(), "Cookie", s.browser.cookies())); a.says() != "→app code" {
			t.Errorf("an expired hint: %s, want →app code", a.says())
		}
	})
}
