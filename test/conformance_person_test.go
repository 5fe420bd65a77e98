package test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// A person sits at a browser and answers what our pages ask, until the browser
// has brought something to the client, or shows a page that asks nothing.
type person struct {
	*browser
	name, secret string
	phone        phone
	used         time.Time // the step of the last code that they typed

	pages   []string      // the kinds that they were shown since they last set out
	brought *http.Request // what came to the client since then; nil: nothing

	// client is what else there is at the client's host, by path.
	client map[string]http.Handler
}

const clientHost = "suite.example"

// newPerson is alice, with a second factor.
func newPerson(t testing.TB) *person {
	t.Helper()
	return &person{name: "alice", secret: passwords["alice"], phone: oldPhone(t, "alice")}
}

// sit gives p a browser without cookies, from which a road leads to the
// provider.
func (p *person) sit(t testing.TB, road http.RoundTripper) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p.browser = &browser{t: t, client: &http.Client{Jar: jar, Transport: fork{hosts{clientHost: p}, road}}}
	p.client = map[string]http.Handler{}
}

// A fork leads to hosts in this process, and elsewhere by a road.
type fork struct {
	hosts
	road http.RoundTripper
}

func (f fork) RoundTrip(r *http.Request) (*http.Response, error) {
	if f.hosts[r.URL.Host] != nil {
		return f.hosts.RoundTrip(r)
	}
	return f.road.RoundTrip(r)
}

// ServeHTTP is the client: it keeps what is brought to its redirect URI.
func (p *person) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if page := p.client[r.URL.Path]; page != nil {
		page.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || p.brought != nil {
		http.Error(w, "twice, or broken off", http.StatusBadRequest)
		return
	}
	p.brought = &http.Request{Method: r.Method, URL: r.URL, Header: r.Header, Body: io.NopCloser(bytes.NewReader(body))}
	callbackHost(w, r)
}

// visit sets out to a URL, as by a link of the client.
func (p *person) visit(u string) {
	p.t.Helper()
	p.pages, p.brought = nil, nil
	p.open(u)
	p.walk()
}

// send sets out with a form of the client.
func (p *person) send(u string, v url.Values) {
	p.t.Helper()
	p.pages, p.brought = nil, nil
	p.do(crossSite(p.t, u, v))
	p.walk()
}

// crossSite returns a form of a page of another site.
func crossSite(t testing.TB, u string, v url.Values) *http.Request {
	t.Helper()
	r := post(t, u, v)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.Header.Set("Accept-Language", "en")
	return r
}

// walk answers one page after the other.
func (p *person) walk() {
	p.t.Helper()
	for range 8 {
		kind := p.page.kind()
		switch kind {
		case "password":
			p.submit("password", "username", p.name, "password", p.secret)
		case "factor":
			p.submit("otp", "code", p.code())
		case "consent":
			p.submit("consent", "decision", "allow")
		case "formpost":
			p.script()
			return
		default:
			return
		}
		p.pages = append(p.pages, kind)
	}
	p.t.Fatalf("there is no end of pages: %v\n%s", p.pages, p.saw())
}

// script does what the script of the one page that has one does: it submits the
// form.
func (p *person) script() {
	p.t.Helper()
	v, to := url.Values{}, ""
	walk(p.page.doc, func(n *html.Node) {
		switch n.Data {
		case "form":
			to = attr(n, "action")
		case "input":
			v.Add(attr(n, "name"), attr(n, "value"))
		}
	})
	p.do(crossSite(p.t, to, v))
}

// code is one that p has not typed before: they wait for the next if they have.
func (p *person) code() string {
	p.rest()
	p.used = time.Now().Truncate(30 * time.Second)
	return p.phone.code(0)
}

// rest waits until the app shows another code than the last one typed.
func (p *person) rest() {
	if next := p.used.Add(30 * time.Second); !p.used.IsZero() && time.Now().Before(next) {
		time.Sleep(time.Until(next))
	}
}

// saw returns what the browser shows.
func (p *person) saw() string {
	if p.page == nil {
		return "nothing"
	}
	return p.page.text()
}
