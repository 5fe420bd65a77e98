package test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport-id/sallyport/provider"
)

// fuzzed is a house that strangers' requests are sent to, on SQLite.
func fuzzed(f *testing.F) *house {
	f.Helper()
	h := newHouse(f, "sqlite:"+filepath.Join(f.TempDir(), "idp.db"), noLimits, plan{provider: func(c *provider.Config) {
		c.Logger = slog.New(slog.DiscardHandler)
	}})
	for _, c := range []provider.Client{
		{ID: "app", Type: provider.Web, Secrets: []provider.Hash{hash(appSecret)}, RedirectURIs: []string{appURL}, Resources: []string{calendar, mailbox}},
		{ID: "native", Type: provider.Native, RedirectURIs: []string{"http://127.0.0.1/cb"}},
	} {
		h.register(c)
	}
	return h
}

// harmless checks what holds for every answer to a stranger: it is no fault of
// ours, and leads nowhere but to us or to a registered client.
func harmless(t *testing.T, r *http.Request, a reply) {
	t.Helper()
	if a.status >= 500 {
		t.Errorf("%s %s: %d\n%s", r.Method, r.URL, a.status, a.body)
	}
	if a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Content-Security-Policy") == "" {
		t.Errorf("%s %s: without its headers: %v", r.Method, r.URL, a.header)
	}
	if a.to == nil {
		return
	}
	to := a.to.Scheme + "://" + a.to.Hostname()
	if to != issuer && to != "https://app.example" && to != "http://127.0.0.1" || a.to.Fragment != "" || a.to.User != nil {
		t.Errorf("%s %s: leads to %s", r.Method, r.URL, a.to)
	}
	if a.to.Query().Has("code") && to != issuer {
		t.Errorf("%s %s: a code for nobody: %s", r.Method, r.URL, a.to)
	}
}

// bring answers a browser that comes to /authorize with a query, whatever stands
// in it.
func bring(h http.Handler, query string) (*http.Request, reply) {
	r := httptest.NewRequest(http.MethodGet, issuer+"/authorize", nil)
	r.URL.RawQuery = query
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	a := reply{status: w.Code, header: w.Header(), body: w.Body.String()}
	a.to, _ = url.Parse(a.header.Get("Location"))
	if a.header.Get("Location") == "" {
		a.to = nil
	}
	return r, a
}

// FuzzAuthorize reads authorization requests, as URL and as form.
func FuzzAuthorize(f *testing.F) {
	h := fuzzed(f)
	base := authorization()
	f.Add(base.Encode())
	f.Add(with(with(base, "client_id", "native"), "redirect_uri", "http://127.0.0.1:99/cb").Encode())
	for name, variants := range authorizeVariants {
		for _, is := range variants {
			if q := with(base, name, is.values...).Encode(); len(q) < 1000 {
				f.Add(q)
			}
		}
	}
	f.Add("&&;%zz=\x00")
	f.Fuzz(func(t *testing.T, query string) {
		r, a := bring(h, query)
		harmless(t, r, a)
		r = httptest.NewRequest(http.MethodPost, issuer+"/authorize", strings.NewReader(query))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		harmless(t, r, ask(t, h, r))
	})
}

// FuzzPush pushes authorization requests, and has a browser bring the same: what
// is taken the one way is taken the other, and comes to the same.
func FuzzPush(f *testing.F) {
	h := fuzzed(f)
	base := with(authorization(), "client_id")
	f.Add(base.Encode())
	for name, variants := range authorizeVariants {
		for _, is := range variants {
			if q := with(base, name, is.values...).Encode(); len(q) < 1000 {
				f.Add(q)
			}
		}
	}
	f.Add("client_secret=x&&;%zz=\x00")
	f.Fuzz(func(t *testing.T, body string) {
		body = "client_id=app&" + body
		push := httptest.NewRequest(http.MethodPost, issuer+"/par", strings.NewReader(body))
		push.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		push.Header.Set("Authorization", basic("app", appSecret))
		a := ask(t, h, push)
		harmless(t, push, a)
		_, brought := bring(h, body)
		if tooLong := http.StatusRequestEntityTooLarge; brought.status == tooLong || a.status == tooLong || a.status == http.StatusUnauthorized {
			return // each way has limits and a sender of its own
		}
		if a.status != http.StatusCreated {
			if a.text(t, "error") == "" || brought.says() == accepted || brought.says() == "→app login_required" {
				t.Errorf("%q: pushed %s, brought %s", body, a.says(), brought.says())
			}
			return
		}
		open := httptest.NewRequest(http.MethodGet, issuer+opening(a.text(t, "request_uri")), nil)
		opened := ask(t, h, open)
		harmless(t, open, opened)
		if opened.says() != brought.says() {
			t.Errorf("%q: opened %s, brought %s", body, opened.says(), brought.says())
		}
	})
}

// FuzzToken reads token requests, of an app that has authenticated and of
// whoever the body says.
func FuzzToken(f *testing.F) {
	h := fuzzed(f)
	for _, v := range []url.Values{
		exchange("AAAAAAAAAAAAAAAAAAAAAA.AAAA"), refresh("slp_rt.AAAAAAAAAAAAAAAAAAAAAA.1.AAAA"), with(refresh("x"), "scope", "openid"),
		{"grant_type": {"client_credentials"}, "scope": {"openid"}}, {"client_id": {"app"}, "client_secret": {"x"}}, with(exchange("x"), "client_id", "native"),
	} {
		f.Add(v.Encode(), basic("app", appSecret), "application/x-www-form-urlencoded")
		f.Add(v.Encode(), "", "application/x-www-form-urlencoded; charset=utf-8")
	}
	f.Add("\x00;%zz&&a=b&a=c", "Basic \xff", "multipart/form-data; boundary=\x00")
	f.Fuzz(func(t *testing.T, body, authorization, kind string) {
		r := httptest.NewRequest(http.MethodPost, issuer+"/token", strings.NewReader(body))
		r.Header["Content-Type"] = []string{kind}
		if authorization != "" {
			r.Header["Authorization"] = []string{authorization}
		}
		a := ask(t, h, r)
		harmless(t, r, a)
		var e struct{ Error string }
		if err := json.Unmarshal([]byte(a.body), &e); err != nil || e.Error == "" || a.status < 400 || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%q: %d %s", body, a.status, a.body)
		}
	})
}

// FuzzForms posts to the pages of a flow and to the account, in a browser that
// has a flow and in one that has an account.
func FuzzForms(f *testing.F) {
	h := fuzzed(f)
	s := &stage{house: h, net: hosts{"idp.example": h, "app.example": callbackHost}}
	s.app, s.browser = newApp(f, s.net, "app", appSecret), newBrowser(f, s.net)
	s.settle()
	b := newBrowser(f, s.net)
	b.open(issuer + "/authorize?" + authorization().Encode())
	flow := b.page.url.Path
	doors := map[string]string{ // with the cookies of who stands there
		flow: b.cookies(), flow + "/recovery": b.cookies(),
		"/account": s.browser.cookies(), "/account/factor": s.browser.cookies(), "/account/codes": s.browser.cookies(),
	}
	for _, body := range []string{"", "step=password&username=%00&password=x", "step=password&username=a%FF&password=%FF", "step=switch", "step=otp&code=1",
		"step=recovery&code=%00", "step=enroll&ticket=%00", "step=confirm&code=1", "step=saved", "step=consent&decision=%00", "step=nothing",
		"step=revoke&client=%00%FF", "step=end-session&id=%00%FF", "step=replace-factor", "step=a&step=b", "%zz", ";"} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		// These would end what the next ones are tried on.
		for _, ends := range []string{"cancel", "sign-out", "end-all", "new-codes", "alice", "bob"} {
			if strings.Contains(strings.ToLower(body), ends) {
				return
			}
		}
		for path, cookies := range doors {
			r := httptest.NewRequest(http.MethodPost, issuer+path, strings.NewReader(body))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			r.Header.Set("Cookie", cookies)
			harmless(t, r, ask(t, h, r))
		}
	})
}
