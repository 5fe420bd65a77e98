package test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-id/sallyport/provider"
)

// push sends v to the pushed authorization request endpoint, as the app.
func (s *stage) push(v url.Values, header ...string) reply {
	s.t.Helper()
	if len(header) == 0 {
		header = []string{"Authorization", basic("app", appSecret)}
	}
	return ask(s.t, s, send(s.t, "/par", v, header...))
}

// pushed returns the request_uri that the app gets for v.
func (s *stage) pushed(v url.Values) string {
	s.t.Helper()
	a := s.push(v)
	if a.status != http.StatusCreated {
		s.t.Fatalf("not pushed: %s\n%s", a.says(), a.body)
	}
	return a.text(s.t, "request_uri")
}

// opening is where the browser goes with a request_uri of the app, and with
// what else stands in its URL, in pairs.
func opening(uri string, extra ...string) string {
	q := url.Values{"client_id": {"app"}, "request_uri": {uri}}
	for i := 0; i+1 < len(extra); i += 2 {
		q.Add(extra[i], extra[i+1])
	}
	return "/authorize?" + q.Encode()
}

// open answers a browser with these cookies that comes with a request_uri.
func (s *stage) open(uri, cookies string, extra ...string) reply {
	s.t.Helper()
	return ask(s.t, s, get(s.t, opening(uri, extra...), "Cookie", cookies))
}

// flowOf returns the flow that a leads to.
func (s *stage) flowOf(a reply) provider.Flow {
	s.t.Helper()
	if a.says() != accepted {
		s.t.Fatalf("no flow: %s", a.says())
	}
	f, err := s.db.Flow(context.Background(), a.to.Path[len("/flow/"):])
	if err != nil {
		s.t.Fatal(err)
	}
	return f
}

var requestURI = regexp.MustCompile(`^urn:ietf:params:oauth:request_uri:[A-Za-z0-9_-]{43}$`)

// refusedPush is what a push of a variant comes to, from what it comes to when
// a browser brings it: the same error, and none by a redirect (RFC 9126 section
// 2.3).
func refusedPush(name string, is variant) string {
	code, redirected := strings.CutPrefix(is.want, "→app ")
	switch {
	case name == "client_id" && (len(is.values) == 0 || is.values[0] == ""):
		return "201" // the header says it
	case name == "client_id" && len(is.values) == 1:
		return "401 invalid_client"
	case name == "request_uri" && is.want != accepted:
		return "400 invalid_request" // section 2.1
	case is.want == accepted, code == "login_required": // who will come is not known
		return "201"
	case redirected:
		return "400 " + code
	}
	return "400 invalid_request"
}

// RFC 9126 sections 2.1 to 2.3, OA-3, OA-8: what may be asked for, and what an
// error is, is the same whichever way it comes.
func TestEachParameterOfAPushedRequest(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s, db := newStage(t, dsn), opened(t, dsn)
		kept := func() int { return len(query(t, db, `SELECT expires FROM pushed_requests`)) }
		for _, name := range slices.Sorted(maps.Keys(authorizeVariants)) {
			for _, is := range authorizeVariants[name] {
				what, v := name+" "+is.name, with(authorization(), name, is.values...)
				before := kept()
				a := s.push(v)
				if want := refusedPush(name, is); a.says() != want {
					t.Errorf("%s: %s, want %s\n%s", what, a.says(), want, a.body)
				}
				if a.to != nil || len(a.header["Set-Cookie"]) > 0 || a.header.Get("Cache-Control") != "no-store" || len(a.json(t)) != 2 {
					t.Errorf("%s: %v %s", what, a.header, a.body)
				}
				if a.status != http.StatusCreated {
					if a.text(t, "error_description") == "" {
						t.Errorf("%s: %s", what, a.body)
					}
					if kept() != before {
						t.Errorf("%s: refused, and kept", what)
					}
					continue
				}
				uri := a.text(t, "request_uri")
				if !requestURI.MatchString(uri) || a.json(t)["expires_in"] != 90.0 {
					t.Errorf("%s: %s", what, a.body)
				}
				brought := ask(t, s, get(t, "/authorize?"+with(v, "client_id", "app").Encode()))
				opened := s.open(uri, "")
				if opened.says() != brought.says() {
					t.Errorf("%s: opened %s, brought %s", what, opened.says(), brought.says())
					continue
				}
				if opened.says() != accepted {
					if opened.to == nil || brought.to == nil {
						t.Errorf("%s: opened and brought %s", what, opened.says())
					} else if opened.to.String() != brought.to.String() {
						t.Errorf("%s: opened leads to %s, brought to %s", what, opened.to, brought.to)
					}
					continue
				}
				one, other := s.flowOf(opened), s.flowOf(brought)
				if one.Request != other.Request || one.ClientID != "app" || one.Pushed != hash(uri) || other.Pushed != (provider.Hash{}) {
					t.Errorf("%s: the flow is\n%+v, brought\n%+v", what, one, other)
				}
			}
		}
	})
}

// RFC 9126 section 2: as at the token endpoint, and the body alone counts.
func TestAClientAuthenticatesToPush(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.register(provider.Client{ID: "native", Type: provider.Native, RedirectURIs: []string{"http://127.0.0.1/cb"}})
		s.register(provider.Client{ID: "robot", Type: provider.Web, Secrets: []provider.Hash{hash(appSecret)}, RedirectURIs: []string{appURL},
			GrantTypes: []string{"client_credentials"}})
		v := with(authorization(), "client_id")
		native := with(with(v, "client_id", "native"), "redirect_uri", "http://127.0.0.1:4711/cb")
		app := []string{"Authorization", basic("app", appSecret)}
		const no = "401 invalid_client"
		long := func(n int) url.Values { // of which n bytes are kept
			w := with(authorization(), "state", "")
			return with(w, "state", strings.Repeat("s", n-len(w.Encode())))
		}
		for name, is := range map[string]struct {
			request *http.Request
			want    string
		}{
			"by basic":                     {send(t, "/par", v, app...), "201"},
			"by basic, named too":          {send(t, "/par", authorization(), app...), "201"},
			"by post":                      {send(t, "/par", with(authorization(), "client_secret", appSecret)), "201"},
			"a public client":              {send(t, "/par", native), "201"},
			"a public client with secret":  {send(t, "/par", with(native, "client_secret", "x")), no},
			"nobody":                       {send(t, "/par", v), no},
			"by name alone":                {send(t, "/par", authorization()), no},
			"a wrong secret":               {send(t, "/par", v, "Authorization", basic("app", "wrong")), no},
			"another client's name":        {send(t, "/par", with(v, "client_id", "native"), app...), no},
			"by both ways":                 {send(t, "/par", with(v, "client_secret", appSecret), app...), no},
			"a secret in the URL":          {send(t, "/par?client_id=app&client_secret="+url.QueryEscape(appSecret), v), no},
			"a request in the URL":         {send(t, "/par?"+authorization().Encode(), nil, app...), "400 invalid_request"},
			"a part of it in the URL":      {send(t, "/par?"+url.Values{"redirect_uri": {appURL}}.Encode(), with(v, "redirect_uri"), app...), "400 invalid_request"},
			"a request_uri in the URL":     {send(t, "/par?request_uri=urn:x", v, app...), "201"}, // is not looked at
			"without the grant type":       {send(t, "/par", with(authorization(), "client_id"), "Authorization", basic("robot", appSecret)), "400 unauthorized_client"},
			"another's redirect URI":       {send(t, "/par", with(v, "redirect_uri", "http://127.0.0.1/cb"), app...), "400 invalid_request"},
			"request and request_uri":      {send(t, "/par", with(with(v, "request", "x"), "request_uri", "urn:x"), app...), "400 invalid_request"},
			"a client_secret twice":        {send(t, "/par", url.Values{"client_id": {"app"}, "client_secret": {appSecret, appSecret}}), "400 invalid_request"},
			"JSON":                         {send(t, "/par", v, append(app, "Content-Type", "application/json")...), "400 invalid_request"},
			"no form":                      {broken(t, "/par", "%zz"), "400 invalid_request"},
			"nothing":                      {send(t, "/par", nil), no},
			"nothing, authenticated":       {send(t, "/par", nil, app...), "400 invalid_request"},
			"65 parameters":                {send(t, "/par", mustParse(t, strings.Repeat("a=b&", 65)), app...), "400 invalid_request"},
			"a body of more than 64 KiB":   {send(t, "/par", with(v, "x", strings.Repeat("a", 64<<10)), app...), "413 invalid_request"},
			"a long unknown parameter":     {send(t, "/par", with(v, "x", strings.Repeat("a", 32<<10)), app...), "201"},
			"a request of 8 KiB":           {send(t, "/par", long(8<<10), app...), "201"},
			"a request that is longer":     {send(t, "/par", long(8<<10+1), app...), "413 invalid_request"}, // RFC 9126 section 2.3
			"a long URL":                   {send(t, "/par?"+strings.Repeat("a", 9000), v, app...), "413 invalid_request"},
			"GET":                          {get(t, "/par?"+authorization().Encode(), app...), "405 method"},
			"from another site":            {send(t, "/par", v, append(app, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example")...), "201"}, // it has the secret
			"as a preflight of a web page": {preflight(t, "/par"), "405 method"},
		} {
			a := ask(t, s, is.request)
			if a.says() != is.want {
				t.Errorf("%s: %s, want %s\n%s", name, a.says(), is.want, a.body)
			}
			// RFC 6749 section 5.2
			if got := a.header.Get("WWW-Authenticate"); (a.status == http.StatusUnauthorized) != strings.HasPrefix(got, "Basic realm=") {
				t.Errorf("%s: %d with WWW-Authenticate %q", name, a.status, got)
			}
			if allowance(a) != "" {
				t.Errorf("%s: scripts of %q may read it", name, allowance(a))
			}
		}
		// What is kept has no secret in it, and no name by which it is opened.
		uri := s.pushed(authorization())
		for _, row := range dumped(t, dsn, "pushed_requests")["pushed_requests"] {
			for _, secret := range []string{appSecret, url.QueryEscape(appSecret), "client_secret", uri, strings.TrimPrefix(uri, "urn:ietf:params:oauth:request_uri:")} {
				if strings.Contains(row, secret) {
					t.Errorf("%q is in the database: %s", secret, row)
				}
			}
		}
		a := ask(t, s, get(t, "/authorize?"+url.Values{"client_id": {"native"}, "request_uri": {
			ask(t, s, send(t, "/par", native)).text(t, "request_uri")}}.Encode()))
		if got := s.flowOf(a); got.ClientID != "native" {
			t.Errorf("the native app's flow: %+v", got)
		}
	})
}

func preflight(t *testing.T, path string) *http.Request {
	r := httptest.NewRequest(http.MethodOptions, issuer+path, nil)
	return dressed(r, []string{"Origin", "https://app.example", "Access-Control-Request-Method", "POST"})
}

// bare is a request with nothing in it that could be left out: what is not
// there could be added by the browser.
func bare() url.Values {
	return url.Values{"redirect_uri": {appURL}, "response_type": {"code"}, "scope": {"openid"}}
}

// smuggled is what a browser might add to a request_uri, in pairs.
var smuggled = [][]string{
	{"nonce", "evil"}, {"state", "evil"}, {"state", "evil", "state", "twice"},
	{"code_challenge", challengeOf("another"), "code_challenge_method", "S256"}, {"code_challenge_method", "plain"},
	{"prompt", "none"}, {"prompt", "login"}, {"prompt", "consent"}, {"prompt", "junk"},
	{"acr_values", "phr"}, {"acr_values", "pwd"}, {"max_age", "0"}, {"max_age", "junk"}, {"max_age", "100000"},
	{"claims", `{"id_token":{"acr":{"essential":true,"value":"phr"}}}`}, {"claims", `{"id_token":{"sub":{"value":"sub-bob"}}}`},
	{"claims", `{"id_token":{"email":null},"userinfo":{"email":null}}`}, {"claims", "junk"},
	{"scope", "openid profile email offline_access"}, {"scope", "admin"}, {"scope", ""},
	{"redirect_uri", "https://app.example/other"}, {"redirect_uri", "https://evil.example/"}, {"redirect_uri", ""},
	{"response_mode", "form_post"}, {"response_mode", "junk"}, {"response_type", "token"}, {"response_type", ""},
	{"id_token_hint", "junk"}, {"id_token_hint.sub", "sub-bob"}, {"login_hint", "evil"}, {"ui_locales", "de"}, {"display", "popup"},
	{"request", "eyJhbGciOiJub25lIn0.e30."}, {"registration", "{}"}, {"client_secret", "x"}, {"client_assertion", "x"},
	{"x", "1", "x", "2"}, {"", "x"},
}

// RFC 9126 section 4, RFC 9101 section 5; fosite.md 3.7: there, what was not
// pushed the browser can add.
func TestNothingThatTheBrowserSendsBesideARequestURICounts(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		s.register(provider.Client{ID: "app", Type: provider.Web, Secrets: []provider.Hash{hash(appSecret)}, PKCEOptional: true,
			RedirectURIs: []string{appURL, "https://app.example/other"}})
		cookies := s.browser.cookies()
		for name, v := range map[string]url.Values{"full": authorization(), "bare": bare()} {
			trading := exchange("")
			if name == "bare" {
				trading = with(trading, "code_verifier")
			}
			// bought is where the answer leads, and what the code is good for.
			bought := func(r func(uri string) *http.Request) (to, tokens string) {
				t.Helper()
				a := ask(t, s, r(s.pushed(v)))
				if a.says() != "→app code" {
					return a.says(), a.body
				}
				q := a.to.Query()
				got := s.trade(with(trading, "code", q.Get("code")))
				if got.status != http.StatusOK {
					return a.to.String(), got.says() + got.body
				}
				q.Set("code", "…")
				base, _, _ := strings.Cut(a.to.String(), "?")
				identity, access := claimsOf(t, got.text(t, "id_token")), claimsOf(t, got.text(t, "access_token"))
				for _, c := range []map[string]any{identity, access} {
					maps.DeleteFunc(c, func(name string, _ any) bool {
						return name == "jti" || name == "at_hash" || name == "grant" || name == "gid"
					})
				}
				_, refreshed := got.json(t)["refresh_token"]
				info := s.userinfo(got.text(t, "access_token"))
				return base + "?" + q.Encode(), fmt.Sprint(identity, access, refreshed, got.json(t)["scope"], info.body)
			}
			to, tokens := bought(func(uri string) *http.Request { return get(t, opening(uri), "Cookie", cookies) })
			if !strings.HasPrefix(to, appURL+"?code=") || !strings.Contains(tokens, "sub-alice") {
				t.Fatalf("%s: leads to %s: %s", name, to, tokens)
			}
			// A stranger's browser, which has to begin a flow.
			asked := s.flowOf(s.open(s.pushed(v), "")).Request
			for _, extra := range smuggled {
				gotTo, gotTokens := bought(func(uri string) *http.Request { return get(t, opening(uri, extra...), "Cookie", cookies) })
				if gotTo != to || gotTokens != tokens {
					t.Errorf("%s, with %q: leads to\n%s, with\n%s\nwithout to\n%s, with\n%s", name, extra, gotTo, gotTokens, to, tokens)
				}
				uri := s.pushed(v)
				if got := s.flowOf(s.open(uri, "", extra...)).Request; got != asked {
					t.Errorf("%s, with %q: the flow asks for %s, without for %s", name, extra, got, asked)
				}
				// Posted, OA-13.
				_, q, _ := strings.Cut(opening(uri, extra...), "?")
				a := ask(t, s, send(t, "/authorize", mustParse(t, q)))
				if a.says() != "→/authorize" {
					t.Fatalf("%s, with %q, posted: %s", name, extra, a.says())
				}
				a = ask(t, s, get(t, strings.TrimPrefix(a.to.String(), issuer)))
				if got := s.flowOf(a).Request; got != asked {
					t.Errorf("%s, with %q, posted: the flow asks for %s, without for %s", name, extra, got, asked)
				}
				page := ask(t, s, get(t, a.to.Path, "Cookie", cookieOf(a)))
				if page.says() != "200 password" || !strings.Contains(page.body, `lang="en"`) || strings.Contains(page.body, "evil") {
					t.Errorf("%s, with %q: %s", name, extra, page.says())
				}
			}
		}
	})
}

// cookieOf is the Cookie header of a browser that has got a.
func cookieOf(a reply) string {
	var all []string
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		all = append(all, c.Name+"="+c.Value)
	}
	return strings.Join(all, "; ")
}

// OA-11: what we keep of an id_token_hint is no parameter.
func TestNobodyIsNamedWithoutAToken(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		v := with(authorization(), "id_token_hint.sub", "sub-bob")
		if a := s.open(s.pushed(v), s.browser.cookies()); a.says() != "→app code" {
			t.Errorf("pushed: %s", a.says())
		}
		if a := ask(t, s, get(t, "/authorize?"+v.Encode(), "Cookie", s.browser.cookies())); a.says() != "→app code" {
			t.Errorf("brought: %s", a.says())
		}
	})
}
