package test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
	"golang.org/x/net/html"
	"golang.org/x/oauth2"
)

// RoundTrip answers a request in this process, from a browser at 192.0.2.1.
func (h hosts) RoundTrip(r *http.Request) (*http.Response, error) {
	handler, ok := h[r.URL.Host]
	if !ok {
		return nil, fmt.Errorf("no host %s in this test", r.URL.Host)
	}
	in := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), r.Body)
	in.Header = r.Header.Clone()
	in.RemoteAddr = "192.0.2.1:4711"
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, in)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// A browser is one: it keeps cookies, follows redirects and fills in forms.
type browser struct {
	t      testing.TB
	client *http.Client
	page   *page
}

// A page is what the browser shows.
type page struct {
	status int
	url    *url.URL
	header http.Header
	body   string
	doc    *html.Node
}

func newBrowser(t testing.TB, net hosts) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t: t, client: &http.Client{Transport: net, Jar: jar}}
}

// do sends a request as a browser would and shows the answer.
func (b *browser) do(r *http.Request) *page {
	b.t.Helper()
	resp, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	doc, err := html.Parse(bytes.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	b.page = &page{resp.StatusCode, resp.Request.URL, resp.Header, string(body), doc}
	return b.page
}

// open goes to a URL, as by a link on another site.
func (b *browser) open(u string) *page {
	b.t.Helper()
	r, err := http.NewRequest(http.MethodGet, u, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Accept-Language", "en")
	return b.do(r)
}

// submit sends the form of the page whose hidden field step is step, with
// fields filled in over what stands there.
func (b *browser) submit(step string, fields ...string) *page {
	b.t.Helper()
	r := b.request(step, fields...)
	return b.do(r)
}

// request returns the request that submit would send.
func (b *browser) request(step string, fields ...string) *http.Request {
	b.t.Helper()
	form := b.page.form(step)
	if form == nil {
		b.t.Fatalf("no form for step %q on this page:\n%s", step, b.page.text())
	}
	v := url.Values{}
	walk(form, func(n *html.Node) {
		if n.Data == "input" && attr(n, "name") != "" && attr(n, "type") != "submit" {
			v.Set(attr(n, "name"), attr(n, "value"))
		}
	})
	for i := 0; i+1 < len(fields); i += 2 {
		v.Set(fields[i], fields[i+1])
	}
	to, err := b.page.url.Parse(attr(form, "action"))
	if err != nil {
		b.t.Fatal(err)
	}
	return post(b.t, to.String(), v)
}

// post returns a form of a page of the same origin.
func post(t testing.TB, to string, v url.Values) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, to, strings.NewReader(v.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return r
}

// form returns the form whose hidden field step is step, nil if there is none.
func (p *page) form(step string) (found *html.Node) {
	walk(p.doc, func(n *html.Node) {
		if n.Data != "form" {
			return
		}
		walk(n, func(m *html.Node) {
			if m.Data == "input" && attr(m, "name") == "step" && attr(m, "value") == step {
				found = n
			}
		})
	})
	return found
}

// text returns what the page says.
func (p *page) text() string { return fmt.Sprintf("%d %s\n%s", p.status, p.url, words(p.doc)) }

func walk(n *html.Node, visit func(*html.Node)) {
	if n.Type == html.ElementNode {
		visit(n)
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		walk(c, visit)
	}
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// link returns the first link that starts with prefix.
func (p *page) link(prefix string) (href string) {
	walk(p.doc, func(n *html.Node) {
		if h := attr(n, "href"); n.Data == "a" && href == "" && strings.HasPrefix(h, prefix) {
			href = h
		}
	})
	return href
}

// An app is a relying party: x/oauth2 and coreos/go-oidc, which we did not
// write.
type app struct {
	t        testing.TB
	ctx      context.Context
	config   oauth2.Config
	provider *oidc.Provider
	verifier string
	state    string
	nonce    string
}

const appURL = "https://app.example/callback"

// newApp returns the relying party with this client ID, which discovers the
// provider over net.
func newApp(t testing.TB, net hosts, id, secret string) *app {
	t.Helper()
	ctx := oidc.ClientContext(context.Background(), &http.Client{Transport: net})
	p, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		t.Fatal(err)
	}
	endpoint := p.Endpoint()
	if secret != "" {
		// Left to find it out, x/oauth2 asks twice when it is refused.
		endpoint.AuthStyle = oauth2.AuthStyleInHeader
	}
	return &app{t: t, ctx: ctx, provider: p, config: oauth2.Config{
		ClientID: id, ClientSecret: secret, Endpoint: endpoint, RedirectURL: appURL,
		Scopes: []string{"openid", "profile", "email", "groups"},
	}}
}

// request returns the URL of a new authorization request, with extra
// parameters in pairs.
func (a *app) request(extra ...string) string {
	a.verifier = oauth2.GenerateVerifier()
	a.state, a.nonce = oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	opts := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(a.verifier), oidc.Nonce(a.nonce)}
	for i := 0; i+1 < len(extra); i += 2 {
		opts = append(opts, oauth2.SetAuthURLParam(extra[i], extra[i+1]))
	}
	return a.config.AuthCodeURL(a.state, opts...)
}

// An identity is what the relying party learned.
type identity struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	ACR      string   `json:"acr"`
	AMR      []string `json:"amr"`
	AuthTime int64    `json:"auth_time"`
	SID      string   `json:"sid"`
	token    *oauth2.Token
	raw      string
}

// callback takes the page that the browser arrived at, and redeems its code.
func (a *app) callback(p *page) identity {
	a.t.Helper()
	id, err := a.redeem(p)
	if err != nil {
		a.t.Fatal(err)
	}
	return id
}

func (a *app) redeem(p *page) (id identity, err error) {
	q := p.url.Query()
	if p.url.Host != "app.example" || q.Get("code") == "" {
		return id, fmt.Errorf("not at the app with a code: %s", p.text())
	}
	if q.Get("state") != a.state || q.Get("iss") != issuer {
		return id, fmt.Errorf("state or iss is wrong: %s", p.url)
	}
	id.token, err = a.config.Exchange(a.ctx, q.Get("code"), oauth2.VerifierOption(a.verifier))
	if err != nil {
		return id, err
	}
	raw, _ := id.token.Extra("id_token").(string)
	verified, err := a.provider.VerifierContext(a.ctx, &oidc.Config{ClientID: a.config.ClientID, Now: time.Now}).Verify(a.ctx, raw)
	if err != nil {
		return id, err
	}
	if verified.Nonce != a.nonce {
		return id, fmt.Errorf("nonce %q, want %q", verified.Nonce, a.nonce)
	}
	if err := verified.VerifyAccessToken(id.token.AccessToken); err != nil {
		return id, err
	}
	id.raw = raw
	return id, verified.Claims(&id)
}

// callbackHost is where the app's redirect URI leads.
var callbackHost = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintln(w, "back at the app")
})

// A phone is an authenticator app.
type phone struct{ key *otp.Key }

// scan reads the otpauth link of an enrolment page.
func scan(t testing.TB, p *page) phone {
	t.Helper()
	uri := p.link("otpauth:")
	if uri == "" {
		t.Fatalf("no otpauth link:\n%s", p.text())
	}
	return phoneOf(t, uri)
}

// phoneOf returns a phone that knows the secret of an otpauth URI.
func phoneOf(t testing.TB, uri string) phone {
	t.Helper()
	key, err := otp.NewKeyFromURL(uri)
	if err != nil {
		t.Fatal(err)
	}
	return phone{key}
}

// code returns the code of the time step that is steps away from now.
func (p phone) code(steps int) string {
	code, err := totp.GenerateCode(p.key.Secret(), time.Now().Add(time.Duration(steps)*30*time.Second))
	if err != nil {
		panic(err)
	}
	return code
}
