package provider

import (
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-id/sallyport/templates"
)

// FuzzRedirectURI compares strangers' URIs with registered ones (OA-2). What
// passes must lead to where the client is, and the answer that is built on it
// must have its parameters in the query.
func FuzzRedirectURI(f *testing.F) {
	registered := []string{"http://127.0.0.1/cb", "http://[::1]:7/cb?a=b", "https://app.example/cb", "com.example.app:/cb"}
	for _, s := range append(slices.Clone(registered), "", "http://127.0.0.1:80/cb", "http://127.0.0.1:80/cb#", "http://127.0.0.1:80/cb?",
		"http://127.0.0.1@evil.example/cb", "http://127.0.0.1:80\\@evil.example/cb", "HTTP://127.0.0.1:1/cb", "http://[::1%25lo]/cb?a=b",
		"http://127.0.0.1:1/cb\r\n", "http://127.0.0.1:/cb", "//127.0.0.1/cb", "http:127.0.0.1/cb") {
		f.Add(s)
	}
	p := &Provider{config: Config{Issuer: "https://idp.example"}}
	f.Fuzz(func(t *testing.T, uri string) {
		for _, kind := range []ClientType{Web, SPA, Native, Service, ""} {
			c := Client{Type: kind, RedirectURIs: registered}
			if !c.redirectsTo(uri) || slices.Contains(registered, uri) {
				continue
			}
			u, err := url.Parse(uri)
			switch {
			case kind != Native:
				t.Errorf("%q passes for a client of type %s", uri, kind)
			case err != nil || u.Scheme != "http" || u.User != nil || u.Hostname() != "127.0.0.1" && u.Hostname() != "::1" || u.Path != "/cb":
				t.Errorf("%q passes", uri)
			}
			to, err := url.Parse(p.back(c, url.Values{"redirect_uri": {uri}, "state": {"s"}}, []templates.Field{{Name: "code", Value: "c"}}).location)
			if err != nil || to.Query().Get("code") != "c" || to.Host != u.Host || to.Fragment != "" {
				t.Errorf("%q answers at %v (%v)", uri, to, err)
			}
		}
	})
}

// FuzzCookies reads strangers' Cookie headers. Only what we made binds a
// browser to its flows (SE-4).
func FuzzCookies(f *testing.F) {
	issuer, err := url.Parse("https://idp.example")
	if err != nil {
		f.Fatal(err)
	}
	// A key of this process alone: what another one of the fuzzer made is not
	// ours.
	key := make([]byte, 32)
	rand.Read(key)
	c, err := newCookies(issuer, [][]byte{key})
	if err != nil {
		f.Fatal(err)
	}
	ours := c.newBrowser()
	for _, s := range []string{"", ours, ours[:len(ours)-1], ours + "A", ".", strings.Replace(ours, ".", "", 1), "." + ours, ours + "; x=y", "\x00\xff", `"` + ours + `"`} {
		f.Add(c.browser + "=" + s + "; " + c.session + "=" + s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := &http.Request{Header: http.Header{"Cookie": {header}}}
		if hash, ok := c.browserOf(r); ok && hash != hashOf(ours) {
			t.Errorf("%q is taken for a browser of ours", header)
		}
		if hash, ok := c.sessionOf(r); ok && hash == hashOf("") {
			t.Errorf("%q is an empty session", header)
		}
	})
}

// FuzzAuthorization reads strangers' Authorization headers and bodies, at the
// token endpoint and at userinfo.
func FuzzAuthorization(f *testing.F) {
	for _, s := range []string{"", "Basic YTpi", "Basic", "basic Og==", "Bearer x", "Bearer  x y", "BEARER\tx", "Basic ***", "Basic YSVaWjol", "\x00"} {
		f.Add(s, "client_id=a&client_secret=b&access_token=c", true)
		f.Add(s, "client_id=a", false)
		f.Add(s, "client_assertion=a&%zz", false)
	}
	f.Fuzz(func(t *testing.T, header, body string, twice bool) {
		hr := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		hr.Header["Authorization"] = []string{header}
		if twice {
			hr.Header["Authorization"] = []string{header, header}
		}
		hr.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r := &request{Request: hr}
		v, err := r.body()
		if err != nil {
			v = url.Values{}
		}
		id, secret, basic, ok := credentials(r, v)
		switch {
		case ok && id == "":
			t.Error("nobody is somebody")
		case ok && twice:
			t.Error("two headers count as one")
		case ok && basic && v.Get("client_secret") != "":
			t.Error("two methods count as one")
		case ok && !basic && (id != v.Get("client_id") || secret != v.Get("client_secret")):
			t.Errorf("%q with %q comes from nowhere", id, secret)
		}
		if err := single(v); err == nil && len(v) > maxParameters {
			t.Error("too many parameters")
		}
		hr.Body = io.NopCloser(strings.NewReader(body))
		token, err := r.bearer()
		if err == nil && token != "" && !strings.Contains(header, token) && v.Get("access_token") != token {
			t.Errorf("token %q comes from nowhere", token)
		}
	})
}
