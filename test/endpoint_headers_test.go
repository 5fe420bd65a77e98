package test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/html"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

// WEB-2: every answer has the headers that keep a browser from making
// something else of it. It looks at whatever the door matrix can reach: pages,
// redirects, errors, JSON, files.
func TestEveryAnswerHasTheSafeHeaders(t *testing.T) {
	rows, _ := matrix(t)
	synctest.Test(t, func(t *testing.T) {
		c := newCorridor(t)
		seen := map[string]bool{}
		check := func(what string, a reply) {
			t.Helper()
			seen[a.says()] = true
			asset := strings.Contains(what, "/assets/") && a.status == http.StatusOK
			public := asset || strings.Contains(what, "/.well-known/") || strings.Contains(what, "/jwks.json")
			for name, want := range map[string]string{
				"X-Content-Type-Options":     "nosniff",
				"Referrer-Policy":            "no-referrer",
				"Cross-Origin-Opener-Policy": "same-origin",
				"X-Frame-Options":            "DENY",
				"Strict-Transport-Security":  "max-age=31536000",
			} {
				if got := a.header.Get(name); got != want {
					t.Errorf("%s: %s: %s %q, want %q", what, a.says(), name, got, want)
				}
			}
			if got := a.header.Get("Cache-Control"); got != "no-store" && !(public && a.status == http.StatusOK) {
				t.Errorf("%s: %s: Cache-Control %q", what, a.says(), got)
			}
			checkPolicy(t, what, a)
			for _, cookie := range (&http.Response{Header: a.header}).Cookies() { // SE-1
				if !strings.HasPrefix(cookie.Name, "__Host-") || !cookie.Secure || !cookie.HttpOnly || cookie.Path != "/" ||
					cookie.Domain != "" || cookie.SameSite != http.SameSiteLaxMode {
					t.Errorf("%s: cookie %v", what, cookie)
				}
			}
			// A revocation has nothing to say (RFC 7009 section 2.2).
			if a.status == http.StatusOK && len(a.body) == 0 && !strings.HasPrefix(what, "POST /revoke") {
				t.Errorf("%s: %s: nothing in it", what, a.says())
			}
		}
		for _, state := range states {
			var v *visitor
			for _, row := range rows {
				if v == nil || strings.HasPrefix(row, "POST ") && state.name == "fresh" {
					v = state.enter(c)
				}
				check(row+" "+state.name, ask(t, c, c.knock(row, v)))
			}
			if state.name == "expired" {
				break // one with everything open, and those before it, are enough
			}
		}
		v := c.fresh()
		for _, row := range rows {
			check(row+" fresh", ask(t, c, c.knock(row, v)))
		}
		for what, r := range map[string]*http.Request{
			"nothing there":  get(t, "/nothing"),
			"two slashes":    get(t, "//authorize?"+authorization().Encode()),
			"dots":           get(t, "/account/../authorize"),
			"a wrong method": get(t, "/token"),
			"an asset less":  get(t, "/assets/none.css"),
			"too long":       get(t, "/authorize?"+strings.Repeat("a", 9000)),
			"bad escape":     get(t, "/authorize?%zz"),
			"cross origin":   send(t, "/account", nil, "Sec-Fetch-Site", "cross-site"),
			"no client":      get(t, "/authorize"),
			"the wrong way":  get(t, "/authorize?"+with(authorization(), "redirect_uri", "https://evil.example").Encode()),
			"refused":        get(t, "/authorize?"+with(authorization(), "scope", "x").Encode()),
			"unauthorized":   send(t, "/token", nil),
			"no form":        send(t, "/flow/x", nil, "Content-Type", "text/plain", "Sec-Fetch-Site", "same-origin"),
		} {
			check(what, ask(t, c, r))
		}
		for _, page := range []string{"200 password", "200 code", "200 recovery", "200 enrol", "200 consent", "200 account", "200 codes",
			"403 expired", "403 elsewhere", "→app code", "→flow", "404 not_found", "405 method", "413 too_large", "403 cross_origin"} {
			if !seen[page] && page != "200 password" {
				t.Errorf("%s was never seen", page)
			}
		}
	})
}

// checkPolicy checks the Content-Security-Policy of a, and that the page needs
// nothing that it forbids: no script, no style of its own, nothing from
// elsewhere.
func checkPolicy(t *testing.T, what string, a reply) {
	t.Helper()
	policy := map[string]string{}
	for part := range strings.SplitSeq(a.header.Get("Content-Security-Policy"), ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), " ")
		policy[name] = value
	}
	for _, name := range []string{"default-src", "frame-ancestors", "base-uri"} {
		if policy[name] != "'none'" {
			t.Errorf("%s: %s %q, want 'none'", what, name, policy[name])
		}
	}
	for name, value := range policy {
		for _, bad := range []string{"unsafe", "*", "https:;", "http:", "script"} {
			if strings.Contains(name+" "+value, bad) && !(name == "form-action" && bad == "http:") {
				t.Errorf("%s: policy %s %s", what, name, value)
			}
		}
	}
	if !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
		return
	}
	doc, err := html.Parse(strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	walk(doc, func(n *html.Node) {
		if n.Data == "script" || n.Data == "style" || n.Data == "iframe" || n.Data == "object" || n.Data == "base" || n.Data == "meta" && attr(n, "http-equiv") != "" {
			t.Errorf("%s: a <%s> on the page", what, n.Data)
		}
		for _, at := range n.Attr {
			if strings.HasPrefix(at.Key, "on") || at.Key == "style" {
				t.Errorf("%s: <%s %s=%q>", what, n.Data, at.Key, at.Val)
			}
			if (at.Key == "src" || n.Data == "link" && at.Key == "href") && !strings.HasPrefix(at.Val, "/") && !strings.HasPrefix(at.Val, "data:image/png;base64,") {
				t.Errorf("%s: <%s> from %.40s", what, n.Data, at.Val)
			}
			if n.Data == "form" && at.Key == "action" && !strings.HasPrefix(at.Val, "/") {
				t.Errorf("%s: a form to %s", what, at.Val)
			}
		}
	})
}

// A page's form may lead to the client, through the redirect that answers it,
// and to where that sends the browser on to; nothing a client is called ends
// the header.
func TestTheFormsOfAFlowMayLeadToItsClientOnly(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		for want, c := range map[string]provider.Client{
			"'self' https://app.example":                      {RedirectURIs: []string{appURL}},
			"'self' https://app.example https://next.example": {RedirectURIs: []string{appURL}, ContinuesTo: []string{"https://next.example"}},
			"'self' com.example.app:":                         {RedirectURIs: []string{"com.example.app:/cb"}},
			"'self' http://[::1]:7":                           {RedirectURIs: []string{"http://[::1]:7/cb"}},
			"'self'":                                          {RedirectURIs: []string{"https://a;script-src.example/"}},
		} {
			c.ID, c.Type = "c", provider.SPA
			s.register(c)
			b := newBrowser(t, s.net)
			b.open(issuer + "/authorize?" + with(with(authorization(), "client_id", "c"), "redirect_uri", c.RedirectURIs[0]).Encode())
			csp := b.page.header.Get("Content-Security-Policy")
			_, got, _ := strings.Cut(csp, "form-action ")
			if got != want {
				t.Errorf("%v: form-action %q, want %q", c.RedirectURIs, got, want)
			}
		}
	})
}

// WEB-1: a form of another site is refused before anything is looked at.
func TestNoFormOfAnotherSiteIsTaken(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		s.browser.open(issuer + "/authorize?" + with(authorization(), "prompt", "consent").Encode())
		flow := s.browser.page.url.Path
		cookies := s.browser.cookies()
		for path, form := range map[string]url.Values{
			flow:               {"step": {"consent"}, "decision": {"allow"}},
			flow + "/recovery": {"step": {"cancel"}},
			"/account":         {"step": {"end-all"}},
			"/account/factor":  {"step": {"confirm"}, "code": {"123456"}},
			"/account/codes":   {"step": {"saved"}},
		} {
			for name, header := range map[string][]string{
				"cross-site":                 {"Sec-Fetch-Site", "cross-site"},
				"same-site":                  {"Sec-Fetch-Site", "same-site"},
				"another origin":             {"Origin", "https://evil.example"},
				"another origin, as ours":    {"Origin", "https://evil.example", "Host", "evil.example"},
				"an opaque origin":           {"Origin", "null"},
				"our origin over plain http": {"Origin", "http://idp.example"},
				"our origin, another port":   {"Origin", "https://idp.example:8443"},
				"a longer origin":            {"Origin", "https://idp.example.evil.example"},
				"cross-site with our Origin": {"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example", "X-Forwarded-Host", "evil.example"},
			} {
				before := dumped(t, dsn)
				a := ask(t, s, send(t, path, form, append(header, "Cookie", cookies)...))
				if a.says() != "403 cross_origin" {
					t.Errorf("%s, %s: %s, want 403 cross_origin", path, name, a.says())
				}
				if changed := before.changed(dumped(t, dsn)); len(changed) > 0 {
					t.Errorf("%s, %s: changed %v", path, name, changed)
				}
			}
		}
		// And ours are taken: by header of the browser, or by origin.
		for name, header := range map[string][]string{
			"same-origin":    {"Sec-Fetch-Site", "same-origin"},
			"our origin":     {"Origin", issuer},
			"an old browser": nil,
		} {
			a := ask(t, s, send(t, flow, url.Values{"step": {"unknown"}}, append(header, "Cookie", cookies)...))
			if a.says() != "→flow" {
				t.Errorf("%s: %s, want →flow", name, a.says())
			}
		}
	})
}

// WEB-1: a GET changes nothing, but for those that end in something being
// given: /authorize, which begins a flow, and the account pages, which do.
func TestAGetChangesNothing(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		codes := newBrowser(t, s.net) // bob, whose new recovery codes are being shown
		codes.open(issuer + "/authorize?" + authorization().Encode())
		codes.submit("password", "username", "bob", "password", "staple staple staple")
		codes.submit("enroll")
		phone := scan(t, codes.page)
		enrolling := codes.page.url.Path
		routes, err := s.Routes()
		if err != nil {
			t.Fatal(err)
		}
		look := func(what, path, cookies string) {
			t.Helper()
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				before := dumped(t, dsn)
				r := get(t, path, "Cookie", cookies)
				r.Method = method
				a := ask(t, s, r)
				if changed := before.changed(dumped(t, dsn)); len(changed) > 0 {
					t.Errorf("%s: %s %s: %s changed %v", what, method, path, a.says(), changed)
				}
				if len(a.header["Set-Cookie"]) > 0 {
					t.Errorf("%s: %s %s set a cookie", what, method, path)
				}
			}
		}
		s.browser.open(issuer + "/authorize?" + with(authorization(), "prompt", "consent").Encode())
		consenting := s.browser.page.url.Path
		all := func() {
			t.Helper()
			for _, r := range routes {
				if r.Method != http.MethodGet || r.Path == "/authorize" {
					continue
				}
				for what, is := range map[string]struct{ flow, cookies string }{
					"enrolling": {enrolling, codes.cookies()}, "consenting": {consenting, s.browser.cookies()}, "anonymous": {"/flow/none", ""},
				} {
					if r.Path == "/account" && what != "consenting" {
						continue // begins a flow
					}
					path := strings.Replace(r.Path, "/flow/{id}", is.flow, 1)
					// What stands in a query changes nothing.
					for _, q := range []string{"", "?step=cancel", "?step=consent&decision=allow", "?step=saved"} {
						look(what, path+q, is.cookies)
					}
				}
			}
		}
		all()
		codes.submit("confirm", "code", phone.code(0))
		if kindOf(codes.page.body) != "codes" {
			t.Fatalf("at %s", codes.page.text())
		}
		all() // while recovery codes are shown, and can be downloaded twice
	})
}

// WEB-3: issuer and links come from the configuration alone.
func TestLinksComeFromTheConfigurationOnly(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		lies := []string{
			"X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "http", "X-Forwarded-Port", "1", "X-Forwarded-Prefix", "/evil",
			"Forwarded", "host=evil.example;proto=http", "X-Original-URL", "/evil", "X-Rewrite-URL", "/evil", "X-Host", "evil.example",
			"X-Forwarded-Server", "evil.example", "X-HTTP-Method-Override", "DELETE",
		}
		fixed := func(a reply) string {
			return a.says() + a.header.Get("Location") + requestID.ReplaceAllString(a.body, "")
		}
		for path, cookies := range map[string]string{
			"/.well-known/openid-configuration": "", "/jwks.json": "", "/userinfo": "", "/flow/x": "", "/nothing": "",
			"/account": s.browser.cookies(), "/authorize?" + with(authorization(), "prompt", "bogus").Encode(): "",
			"/account/factor": "",
		} {
			honest := ask(t, s, get(t, path, "Cookie", cookies))
			r := get(t, path, append(lies, "Cookie", cookies)...)
			r.Host = "evil.example"
			in := httptest.NewRecorder()
			lied := r.Clone(r.Context())
			lied.RemoteAddr = "192.0.2.1:4711"
			s.ServeHTTP(in, lied)
			a := reply{status: in.Code, header: in.Header(), body: in.Body.String()}
			if l := a.header.Get("Location"); l != "" {
				var err error
				if a.to, err = url.Parse(l); err != nil {
					t.Fatal(err)
				}
			}
			if fixed(a) != fixed(honest) || strings.Contains(a.body+a.header.Get("Location"), "evil") {
				t.Errorf("%s: %s with lies, %s without", path, fixed(a), fixed(honest))
			}
		}
		// A client's address counts from listed proxies only, which is for
		// Config.ClientAddress to know; by itself the provider believes nobody.
		s.browser.open(s.app.request("prompt", "login"))
		r := s.browser.request("password", "username", "alice", "password", "wrong")
		for _, name := range []string{"X-Forwarded-For", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP"} {
			r.Header.Set(name, "198.51.100.66")
		}
		r.Header.Set("Forwarded", "for=198.51.100.66")
		s.browser.do(r)
		for table, rows := range dumped(t, dsn) {
			for _, row := range rows {
				if strings.Contains(row, "198.51.100.66") {
					t.Errorf("%s took a claimed address for a true one: %s", table, row)
				}
			}
		}
		if bytes.Contains(s.log.Bytes(), []byte("198.51.100.66")) {
			t.Error("the log took a claimed address for a true one")
		}
	})
}

// WEB-4: whatever a request is told to go to, it goes to the client or to us.
func TestNoParameterSendsTheBrowserAway(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		const evil = "https://evil.example/"
		q := url.Values{}
		for _, name := range []string{"next", "return", "returnTo", "return_to", "return_url", "redirect", "redirect_url", "redirect_to",
			"continue", "url", "target", "dest", "destination", "rurl", "goto", "post_logout_redirect_uri", "target_link_uri", "login_uri", "iss"} {
			q.Set(name, evil)
		}
		fresh := s.browser
		paths := []string{"/account", "/account/factor", "/account/codes", "/flow/x", "/authorize", "/nothing"}
		fresh.open(issuer + "/authorize?" + with(authorization(), "prompt", "login").Encode())
		flow := fresh.page.url.Path
		for _, path := range append(paths, flow, "//evil.example/account", "/\\evil.example", "/%2f%2fevil.example", "/@evil.example") {
			v := q
			if path == "/authorize" {
				v = authorization()
				for name := range q {
					v.Set(name, evil)
				}
			}
			for _, cookies := range []string{"", fresh.cookies()} {
				u := &url.URL{Path: path, RawQuery: v.Encode()}
				a := ask(t, s, get(t, u.String(), "Cookie", cookies, "Referer", evil))
				if a.to != nil && a.to.Host != "idp.example" && a.to.Host != "app.example" || strings.Contains(a.body, "evil.example") {
					t.Errorf("%s: %s to %v", path, a.says(), a.to)
				}
				form := url.Values{"step": {"sign-out"}}
				for name := range q {
					form.Set(name, evil)
				}
				a = ask(t, s, send(t, path, form, "Sec-Fetch-Site", "same-origin"))
				if a.to != nil && a.to.Host != "idp.example" && a.to.Host != "app.example" {
					t.Errorf("POST %s: %s to %v", path, a.says(), a.to)
				}
			}
		}
	})
}

// WEB-4: what a client, a scope or a user is called is text, wherever it
// stands.
func TestHostileNamesRenderInert(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		const hostile = `"><script>alert(1)</script><img src=x onerror=alert(1)>'{{.}}` + "\u202e\x00"
		s := newStage(t, dsn)
		s.people.change("alice", func(u *provider.User) { u.Username, u.Claims.Name = hostile, hostile })
		s.register(provider.Client{ID: "hostile", Name: strings.Trim(hostile, "\x00"), Type: provider.SPA, RedirectURIs: []string{appURL},
			Scopes: []string{"openid", "<script>alert(1)</script>"}, InitiateLoginURI: "javascript:alert(1)"})
		b := newBrowser(t, s.net)
		inert := func() {
			t.Helper()
			checkPolicy(t, b.page.url.Path, reply{header: b.page.header, body: b.page.body})
			if strings.Contains(b.page.body, "javascript:") {
				t.Errorf("a script is linked:\n%s", b.page.body)
			}
		}
		v := with(with(authorization(), "client_id", "hostile"), "scope", "openid <script>alert(1)</script>")
		b.open(issuer + "/authorize?" + with(with(v, "login_hint", hostile), "ui_locales", hostile).Encode())
		inert()
		b.submit("password", "username", hostile, "password", "wrong")
		inert()
		b.submit("password", "username", "alice", "password", "correct horse battery")
		inert()
		b.submit("enroll")
		inert()
		phone := scan(t, b.page)
		b.submit("confirm", "code", hostile)
		inert()
		b.submit("confirm", "code", phone.code(0))
		inert()
		b.submit("saved")
		inert()
		b.submit("consent", "decision", "allow")
		r := get(t, "/account", "Cookie", b.cookies())
		r.Header.Set("User-Agent", hostile)
		a := ask(t, s, r)
		if a.says() != "200 account" {
			t.Fatalf("at %s", a.says())
		}
		checkPolicy(t, "account", a)
	})
}

// AD-2: nothing that was not made by its constructor lets anybody in.
func TestTheZeroProviderAnswersNobody(t *testing.T) {
	for _, path := range []string{"/authorize?" + authorization().Encode(), "/.well-known/openid-configuration", "/"} {
		if a := ask(t, new(provider.Provider), get(t, path)); a.status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d, want 503", path, a.status)
		}
	}
	new(provider.Provider).Deliver(t.Context()) // returns: there is nobody to tell
}

// AD-1, AD-2
func TestAProviderNeedsAllOfItsParts(t *testing.T) {
	dsn := "sqlite:" + filepath.Join(t.TempDir(), "idp.db")
	var whole provider.Config
	newHouse(t, dsn, plan{provider: func(c *provider.Config) { whole = *c }})
	if _, err := provider.New(provider.Config{}); err == nil {
		t.Error("the zero Config was accepted")
	}
	for name, spoil := range map[string]func(c *provider.Config){
		"no issuer":                func(c *provider.Config) { c.Issuer = "" },
		"plain http":               func(c *provider.Config) { c.Issuer = "http://idp.example" },
		"another scheme":           func(c *provider.Config) { c.Issuer = "ftp://idp.example" },
		"a relative issuer":        func(c *provider.Config) { c.Issuer = "/idp" },
		"a slash":                  func(c *provider.Config) { c.Issuer = "https://idp.example/" },
		"a query":                  func(c *provider.Config) { c.Issuer = "https://idp.example?a=b" },
		"an empty query":           func(c *provider.Config) { c.Issuer = "https://idp.example?" },
		"a fragment":               func(c *provider.Config) { c.Issuer = "https://idp.example#a" },
		"an empty fragment":        func(c *provider.Config) { c.Issuer = "https://idp.example#" },
		"a user":                   func(c *provider.Config) { c.Issuer = "https://a@idp.example" },
		"a name like loopback":     func(c *provider.Config) { c.Issuer = "http://localhost.evil.example" },
		"no directory":             func(c *provider.Config) { c.Directory = nil },
		"no store":                 func(c *provider.Config) { c.Store = nil },
		"no factor":                func(c *provider.Config) { c.Factor = nil },
		"no attempts":              func(c *provider.Config) { c.Attempts = nil },
		"no keys":                  func(c *provider.Config) { c.Keys = nil },
		"no secrets":               func(c *provider.Config) { c.Secrets = nil },
		"a short secret":           func(c *provider.Config) { c.Secrets = [][]byte{bytes.Repeat([]byte("x"), 31)} },
		"a second, short":          func(c *provider.Config) { c.Secrets = append(slices.Clone(c.Secrets), []byte("x")) },
		"a code too long":          func(c *provider.Config) { c.Lifetimes.Code = 61e9 },
		"a grace too long":         func(c *provider.Config) { c.Lifetimes.RefreshGrace = 61e9 },
		"a grace below nothing":    func(c *provider.Config) { c.Lifetimes.RefreshGrace = -1 },
		"no such floor":            func(c *provider.Config) { c.Floor = "higher" },
		"no such scope's":          func(c *provider.Config) { c.ScopeFloors = map[string]authflow.Floor{"email": {Level: "higher"}} },
		"a network that is none":   func(c *provider.Config) { c.InsecureNetworks = make([]netip.Prefix, 1) },
		"a request_uri too long":   func(c *provider.Config) { c.Lifetimes.Pushed = 10*time.Minute + 1 },
		"a request_uri too short":  func(c *provider.Config) { c.Lifetimes.Pushed = time.Second - 1 },
		"a lifetime below nothing": func(c *provider.Config) { c.Lifetimes.AccessToken = -1 },
	} {
		c := whole
		spoil(&c)
		if p, err := provider.New(c); err == nil || p != nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, issuer := range []string{"https://idp.example", "https://idp.example/path", "http://localhost:8080", "http://127.0.0.1:1", "http://[::1]/x"} {
		c := whole
		c.Issuer = issuer
		if _, err := provider.New(c); err != nil {
			t.Errorf("%s: %v", issuer, err)
		}
	}
}
