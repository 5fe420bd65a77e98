package test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/sallyport-id/sallyport/provider"
)

// formPost is a request of the app whose answer is to be posted.
func formPost() url.Values { return with(authorization(), "response_mode", "form_post") }

// checkFormPost checks a page that posts an answer to uri: that it holds
// exactly these fields, that nothing is in the URL, and that its policy allows
// the one script that it has and the one place that its form leads to.
func checkFormPost(t *testing.T, what string, a reply, uri, origin string, fields url.Values) {
	t.Helper()
	if a.status != http.StatusOK || a.to != nil || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: %d to %v, Cache-Control %q", what, a.status, a.to, a.header.Get("Cache-Control"))
	}
	doc, err := html.Parse(strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	var forms, buttons, scripts int
	script := ""
	walk(doc, func(n *html.Node) {
		switch n.Data {
		case "form":
			forms++
			if attr(n, "action") != uri || attr(n, "method") != "post" {
				t.Errorf("%s: the form %v, want one to %s", what, n.Attr, uri)
			}
		case "button":
			buttons++
		case "script":
			scripts++
			if len(n.Attr) == 0 && n.FirstChild != nil {
				script = n.FirstChild.Data
			}
		}
	})
	if forms != 1 || buttons != 1 || scripts != 1 {
		t.Errorf("%s: %d forms, %d buttons, %d scripts, want one of each", what, forms, buttons, scripts)
	}
	sum := sha256.Sum256([]byte(script))
	want := "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; style-src 'self'; img-src 'self' data:; " +
		"script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action " + origin
	if got := a.header.Get("Content-Security-Policy"); got != want { // WEB-2
		t.Errorf("%s: policy\n%s, want\n%s", what, got, want)
	}
	got := a.posts()
	if code := got["code"]; len(code) == 1 && code[0] != "" && fields.Has("code") {
		got = with(got, "code", fields["code"]...)
	}
	if text := got["error_description"]; len(text) == 1 && text[0] != "" && fields.Has("error") {
		got = with(got, "error_description")
	}
	if got.Encode() != fields.Encode() {
		t.Errorf("%s: posts %v, want %v", what, got, fields)
	}
}

// OAuth 2.0 Form Post Response Mode section 2; OA-7
func TestAFormPostCarriesCodesAndErrors(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		cookies := s.browser.cookies()
		v := formPost()
		code := url.Values{"code": {"…"}, "state": v["state"], "iss": {issuer}}
		failed := func(name string) url.Values {
			return url.Values{"error": {name}, "state": v["state"], "iss": {issuer}}
		}
		for name, is := range map[string]struct {
			v      url.Values
			fields url.Values
		}{
			"a code":                {v, code},
			"a code, silently":      {with(v, "prompt", "none"), code},
			"a code, without state": {with(v, "state"), with(code, "state")},
			"an invalid scope":      {with(v, "scope", "openid admin"), failed("invalid_scope")},
			"a bad request":         {with(v, "max_age", "soon"), failed("invalid_request")},
			"a repeated parameter":  {with(v, "x", "1", "2"), failed("invalid_request")},
			"a repeated state":      {with(v, "state", "1", "2"), with(failed("invalid_request"), "state")},
			"a request object":      {with(v, "request", "x"), failed("request_not_supported")},
			"out of reach":          {with(v, "acr_values", "phr"), failed("unmet_authentication_requirements")},
			"silent, but too old":   {with(with(v, "prompt", "none"), "max_age", "0"), failed("login_required")},
		} {
			a := ask(t, s, get(t, "/authorize?"+is.v.Encode(), "Cookie", cookies))
			checkFormPost(t, name, a, appURL, "https://app.example", is.fields)
			if got := a.posts().Get("code"); got != "" {
				if b := s.trade(exchange(got)); b.status != http.StatusOK {
					t.Errorf("%s: the code is not good: %s", name, b.says())
				}
			}
		}
		// What is not certain is answered here, and what repeats response_mode
		// by the default.
		for want, v := range map[string]url.Values{
			noClient:   with(v, "client_id", "nobody"),
			noRedirect: with(v, "redirect_uri", "https://evil.example/"),
			invalid:    with(v, "response_mode", "form_post", "form_post"),
		} {
			if a := ask(t, s, get(t, "/authorize?"+v.Encode(), "Cookie", cookies)); a.says() != want {
				t.Errorf("%s, want %s", a.says(), want)
			}
		}
	})
}

// The mode outlives the pages of the flow: consent and refusal are posted, in
// the answer to the form.
func TestAFlowEndsInAFormPost(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		for decision, want := range map[string]string{"allow": "200 posts code", "deny": "200 posts access_denied"} {
			v := with(formPost(), "prompt", "consent")
			s.browser.open(issuer + "/authorize?" + v.Encode())
			s.browser.at("consent", http.StatusOK)
			r := s.browser.request("consent", "decision", decision)
			r.Header.Set("Cookie", s.browser.cookies())
			if a := ask(t, s, r); a.says() != want || a.posts().Get("state") != v.Get("state") {
				t.Errorf("%s: %s %v, want %s", decision, a.says(), a.posts(), want)
			}
		}
		b := newBrowser(t, s.net)
		b.open(issuer + "/authorize?" + formPost().Encode())
		b.submit("cancel")
		b.at("formpost", http.StatusOK)
		if b.cookie(sessionCookie) != "" { // PA-1
			t.Error("a session came of nothing")
		}
		// Signing in sets the session along with the page.
		b.open(issuer + "/authorize?" + formPost().Encode())
		b.password("alice")
		b.submit("otp", "code", phoneOf(t, importedKey).code(1))
		b.at("formpost", http.StatusOK)
		if b.cookie(sessionCookie) == "" {
			t.Error("no session")
		}
	})
}

// OA-13: what a form can carry comes back byte for byte and is inert; what no
// form can is refused by a redirect, which can.
func TestTheStateOfAFormPostComesBackAsItWas(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		cookies := s.browser.cookies()
		for _, state := range []string{
			"x", " ", "  two ", "a b+c%20d&e=f;g#h?i/j", "\"\\<>'`", "ünïcödé ☃ 🔑", "\u2028\u202e\ufeff", "a\tb", "\x01\x7f",
			strings.Repeat("l", 3000), `"><script>alert(1)</script>`, `" autofocus onfocus="alert(1)`, "</form><form action=https://evil.example>",
			"{{.}}", "&amp;&#34;&lt", "]]>", "<!--", "javascript:alert(1)",
		} {
			a := ask(t, s, get(t, "/authorize?"+with(formPost(), "state", state).Encode(), "Cookie", cookies))
			checkFormPost(t, "state "+state, a, appURL, "https://app.example",
				url.Values{"code": {"…"}, "state": {state}, "iss": {issuer}})
		}
		for _, state := range []string{"a\nb", "a\r\nb", "\r", "\x00", "\xff"} {
			a := ask(t, s, get(t, "/authorize?"+with(formPost(), "state", state).Encode(), "Cookie", cookies))
			if a.says() != invalid || a.to.Query().Get("state") != state {
				t.Errorf("state %q: %s %v, want %s", state, a.says(), a.to, invalid)
			}
		}
	})
}

// The form leads to the redirect URI as it was registered, and the page may
// send nothing anywhere else.
func TestAFormPostLeadsToTheRedirectURIOnly(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		for _, is := range []struct{ uri, action, origin string }{
			{"https://app.example:8443/cb?x=%2f+y&x=2", "", "https://app.example:8443"},
			{"http://127.0.0.1:7/cb", "", "http://127.0.0.1:7"},
			{`https://app.example/"><script>alert(1)</script>`, "https://app.example/%22%3e%3cscript%3ealert%281%29%3c/script%3e", "https://app.example"},
		} {
			s.register(provider.Client{ID: "other", Name: `</h1><script>x`, Type: provider.SPA, RedirectURIs: []string{is.uri}, FirstParty: true})
			v := with(with(formPost(), "client_id", "other"), "redirect_uri", is.uri)
			if is.action == "" {
				is.action = is.uri
			}
			a := ask(t, s, get(t, "/authorize?"+v.Encode(), "Cookie", s.browser.cookies()))
			checkFormPost(t, is.uri, a, is.action, is.origin, url.Values{"code": {"…"}, "state": v["state"], "iss": {issuer}})
		}
		// To these no form can lead, so that is said by a redirect.
		for _, uri := range []string{"com.example.app:/cb", "https://a;script-src.example/"} {
			s.register(provider.Client{ID: "other", Type: provider.Native, RedirectURIs: []string{uri}, FirstParty: true})
			v := with(with(formPost(), "client_id", "other"), "redirect_uri", uri)
			a := ask(t, s, get(t, "/authorize?"+v.Encode(), "Cookie", s.browser.cookies()))
			if a.says() != invalid || !slices.Equal(a.to.Query()["state"], v["state"]) {
				t.Errorf("%s: %s %v, want %s", uri, a.says(), a.to, invalid)
			}
		}
	})
}
