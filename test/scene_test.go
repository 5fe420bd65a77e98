package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/oauth2"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
)

// passwords are those of the people that every house knows.
var passwords = map[string]string{"alice": "correct horse battery", "bob": "staple staple staple"}

const (
	sessionCookie = "__Host-sallyport_session"
	browserCookie = "__Host-sallyport_browser"
)

// enrolled gives name a second factor that came from elsewhere. It is the
// quick way to a second login; there are no recovery codes with it.
func (s *stage) enrolled(name string) phone {
	s.t.Helper()
	p := oldPhone(s.t, name)
	if err := s.factors.Import(context.Background(), "sub-"+name, p.key.URL()); err != nil {
		s.t.Fatal(err)
	}
	return p
}

// oldPhone returns the phone that enrolled gives name.
func oldPhone(t testing.TB, name string) phone {
	t.Helper()
	secret := strings.Repeat("A", 31) + strings.ToUpper(name[:1])
	return phoneOf(t, "otpauth://totp/Test:"+name+"?secret="+secret+"&issuer=Test")
}

// allowed stores that name has consented to all that the app asks for.
func (s *stage) allowed(name string) {
	s.t.Helper()
	scopes := slices.Sorted(slices.Values(s.app.config.Scopes))
	err := s.db.SaveConsent(context.Background(), provider.Consent{
		Subject: "sub-" + name, ClientID: s.app.config.ClientID, Scopes: scopes, Given: now()})
	if err != nil {
		s.t.Fatal(err)
	}
}

// ready gives name a second factor and lets them have consented, so that a
// login is a password and a code.
func (s *stage) ready(name string) phone {
	s.t.Helper()
	s.allowed(name)
	return s.enrolled(name)
}

// tab is the app in another tab of the same browser: it begins requests of its
// own.
func (a *app) tab() *app {
	other := *a
	return &other
}

// tab is another tab: it has the cookies of b and a page of its own.
func (b *browser) tab() *browser { return &browser{t: b.t, client: b.client} }

// password gives name's right password.
func (b *browser) password(name string) *page {
	b.t.Helper()
	return b.submit("password", "username", name, "password", passwords[name])
}

// login answers the password page and the page of the second factor.
func (b *browser) login(name string, p phone) *page {
	b.t.Helper()
	b.password(name)
	b.at("factor", http.StatusOK)
	return b.submit("otp", "code", p.code(0))
}

// at stops the test unless the browser shows a page of this kind and status.
func (b *browser) at(kind string, status int) *page {
	b.t.Helper()
	if got := b.page.kind(); got != kind || b.page.status != status {
		b.t.Fatalf("at a page %q with status %d, want %q with %d:\n%s", got, b.page.status, kind, status, b.page.text())
	}
	return b.page
}

// ended stops the test unless the page says that the flow is over, and why.
func (b *browser) ended(why string) *page {
	b.t.Helper()
	b.at("ended", http.StatusForbidden)
	if !b.page.says("ended." + why + ".title") {
		b.t.Fatalf("the flow did not end as %q:\n%s", why, b.page.text())
	}
	return b.page
}

// problem stops the test unless the page shows this problem, tied to the field
// called field, and has this status.
func (b *browser) problem(kind string, status int, field, text string) *page {
	b.t.Helper()
	b.at(kind, status)
	var input *html.Node
	walk(b.page.doc, func(n *html.Node) {
		if n.Data == "input" && attr(n, "name") == field {
			input = n
		}
	})
	about, _, _ := strings.Cut(attr(input, "aria-describedby"), " ")
	if attr(input, "aria-invalid") != "true" || !matches(b.page.element(about), text) {
		b.t.Fatalf("the field %s does not say %s:\n%s", field, text, b.page.text())
	}
	return b.page
}

// refused stops the test unless the browser is back at the app with this error
// and no code.
func (b *browser) refused(a *app, code string) {
	b.t.Helper()
	q := b.page.url.Query()
	if b.page.url.Host != "app.example" || q.Get("error") != code || q.Has("code") {
		b.t.Fatalf("not at the app with %s: %s", code, b.page.text())
	}
	if q.Get("state") != a.state || q.Get("iss") != issuer {
		b.t.Fatalf("state or iss is wrong: %s", b.page.url)
	}
}

// follow goes where the first link leads that starts with prefix.
func (b *browser) follow(prefix string) *page {
	b.t.Helper()
	href := b.page.link(prefix)
	to, err := b.page.url.Parse(href)
	if err != nil || href == "" {
		b.t.Fatalf("no link to %s, %v:\n%s", prefix, err, b.page.text())
	}
	return b.open(to.String())
}

// once sends a request and does not follow where the answer leads.
func (b *browser) once(r *http.Request) *page {
	b.t.Helper()
	stay := *b.client
	stay.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c := &browser{t: b.t, client: &stay}
	return c.do(r)
}

// cookie returns the value of a cookie that the browser keeps for the
// provider; empty if it has none.
func (b *browser) cookie(name string) string {
	b.t.Helper()
	u, err := url.Parse(issuer)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// plant puts a cookie into the browser, as an attacker on the network or on a
// neighbouring host might.
func (b *browser) plant(name, value string) {
	b.t.Helper()
	u, err := url.Parse(issuer)
	if err != nil {
		b.t.Fatal(err)
	}
	b.client.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: true}})
}

// kind returns which of our pages it is, empty for another's.
func (p *page) kind() (kind string) {
	walk(p.doc, func(n *html.Node) {
		if n.Data != "body" {
			return
		}
		for class := range strings.FieldsSeq(attr(n, "class")) {
			if k, ok := strings.CutPrefix(class, "page-"); ok {
				kind = k
			}
		}
	})
	return kind
}

// flow returns the ID of the flow whose page it is.
func (p *page) flow() string {
	rest, ok := strings.CutPrefix(p.url.Path, "/flow/")
	if !ok {
		return ""
	}
	id, _, _ := strings.Cut(rest, "/")
	return id
}

// element returns the text of the element with this id.
func (p *page) element(id string) (text string) {
	walk(p.doc, func(n *html.Node) {
		if id != "" && attr(n, "id") == id {
			text = words(n)
		}
	})
	return text
}

// notice returns what the page has to say besides.
func (p *page) notice() (text string) {
	walk(p.doc, func(n *html.Node) {
		if attr(n, "class") == "notice" {
			text = words(n)
		}
	})
	return text
}

// codes returns the recovery codes that the page shows.
func (p *page) codes() (codes []string) {
	walk(p.doc, func(n *html.Node) {
		if n.Data == "ol" && attr(n, "class") == "codes" {
			codes = strings.Fields(words(n))
		}
	})
	return codes
}

// says reports whether the page contains the sentence that is called key.
func (p *page) says(key string) bool { return matches(p.text(), key) }

// matches reports whether text contains the sentence that is called key, in
// any of its forms and with anything in its gaps.
func matches(text, key string) bool {
	b, err := os.ReadFile("../templates/locales/en.json")
	if err != nil {
		panic(err)
	}
	var all map[string]any
	if err := json.Unmarshal(b, &all); err != nil {
		panic(err)
	}
	var forms []string
	switch v := all[key].(type) {
	case string:
		forms = []string{v}
	case map[string]any:
		for form := range maps.Values(v) {
			forms = append(forms, fmt.Sprint(form))
		}
	default:
		panic("no sentence is called " + key)
	}
	return slices.ContainsFunc(forms, func(form string) bool { return fits(text, form) })
}

// fits reports whether the parts of form between its {gaps} stand in text, in
// their order.
func fits(text, form string) bool {
	for part := range strings.SplitSeq(form, "{") {
		if _, after, ok := strings.Cut(part, "}"); ok {
			part = after
		}
		_, rest, ok := strings.Cut(text, strings.TrimSpace(part))
		if !ok {
			return false
		}
		text = rest
	}
	return true
}

// words returns the text in n.
func words(n *html.Node) string {
	var b strings.Builder
	var visit func(*html.Node)
	visit = func(n *html.Node) {
		if n.Type == html.TextNode {
			b.WriteString(n.Data + " ")
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			visit(c)
		}
	}
	visit(n)
	return strings.Join(strings.Fields(b.String()), " ")
}

// audit returns what the audit trail has about name, the oldest first, as
// "kind outcome"; of some kinds only, if any are given.
func (h *house) audit(name string, kinds ...provider.EventKind) (lines []string) {
	h.t.Helper()
	events, err := h.db.Events(context.Background(), storage.EventFilter{Subject: "sub-" + name, Limit: 1000})
	if err != nil {
		h.t.Fatal(err)
	}
	slices.Reverse(events)
	for _, e := range events {
		if len(kinds) == 0 || slices.Contains(kinds, e.Kind) {
			lines = append(lines, string(e.Kind)+" "+string(e.Outcome))
		}
	}
	return lines
}

// sessions returns the sessions of name.
func (h *house) sessions(name string) []provider.Session {
	h.t.Helper()
	all, err := h.db.Sessions(context.Background(), "sub-"+name)
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

// stored returns the flow whose page p is, as the database has it.
func (h *house) stored(p *page) provider.Flow {
	h.t.Helper()
	f, err := h.db.Flow(context.Background(), p.flow())
	if err != nil {
		h.t.Fatal(err)
	}
	return f
}

// budget returns what an administrator sees of name's second factors.
func (h *house) budget(name string) mfa.Description {
	h.t.Helper()
	d, err := h.factors.Describe(context.Background(), "sub-"+name)
	if err != nil {
		h.t.Fatal(err)
	}
	return d
}

// heard stops the test unless exactly these notices were sent, and forgets
// them.
func (h *house) heard(want ...provider.NoticeKind) {
	h.t.Helper()
	got := h.told()
	if !slices.Equal(got, want) {
		h.t.Fatalf("notices %v, want %v", got, want)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.notices = nil
}

// same stops the test unless two lists are the same.
func same[T comparable](t testing.TB, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// wrongCode returns a code that is none of those near now.
func wrongCode(p phone) string {
	near := map[string]bool{}
	for step := -12; step <= 12; step++ {
		near[p.code(step)] = true
	}
	for i := range 1000000 {
		if code := fmt.Sprintf("%06d", i); !near[code] {
			return code
		}
	}
	panic("all codes are right")
}

// flowURL returns the URL of a flow, with a path below it.
func flowURL(id string, below ...string) string {
	return issuer + path.Join(append([]string{"/flow", id}, below...)...)
}

// bodyOf returns the body of a request that is not sent.
func bodyOf(t testing.TB, r *http.Request) string {
	t.Helper()
	body, err := r.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// refresh redeems the refresh token of t.
func (a *app) refresh(t *oauth2.Token) (*oauth2.Token, error) {
	a.t.Helper()
	return a.config.TokenSource(a.ctx, &oauth2.Token{RefreshToken: t.RefreshToken}).Token()
}

// userinfo asks what t opens, and returns the status of the answer.
func (a *app) userinfo(t *oauth2.Token) int {
	a.t.Helper()
	r, err := http.NewRequestWithContext(a.ctx, http.MethodGet, issuer+"/userinfo", nil)
	if err != nil {
		a.t.Fatal(err)
	}
	t.SetAuthHeader(r)
	client, ok := a.ctx.Value(oauth2.HTTPClient).(*http.Client)
	if !ok {
		a.t.Fatal("the app has no way to the provider")
	}
	resp, err := client.Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// refusal returns the OAuth error that the token endpoint answered with.
func refusal(err error) string {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		return refused.ErrorCode
	}
	return fmt.Sprint(err)
}

// values returns a form from pairs of names and values.
func values(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}
