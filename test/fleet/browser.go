package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"

	"golang.org/x/net/html"
)

// A Browser is one that was never here before. It keeps cookies.
type Browser struct {
	client *http.Client
	issuer string
}

// Browser returns a new one.
func (s Site) Browser() (*Browser, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Browser{&http.Client{Jar: jar, Transport: s.Transport, CheckRedirect: stay}, s.Issuer}, nil
}

// Twin returns another browser that has the cookies that b has now, for ever: as
// whoever has stolen them.
func (b *Browser) Twin() (*Browser, error) {
	twin, err := Site{b.issuer, b.client.Transport}.Browser()
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(b.issuer + "/")
	if err != nil {
		return nil, err
	}
	twin.client.Jar.SetCookies(u, b.client.Jar.Cookies(u))
	return twin, nil
}

// A Page is what a browser shows.
type Page struct {
	URL  *url.URL
	Form url.Values // of the form that is to be answered, with its hidden fields
	HTML string
	to   string // its action
}

// Step is what the page asks for: password, otp, consent …
func (p Page) Step() string { return p.Form.Get("step") }

// ErrElsewhere is for what answers well, but with another page than it should.
var ErrElsewhere = errors.New("not where it should be")

// Open follows redirects from u to a page, or back to the app.
func (b *Browser) Open(r *http.Request) (Page, error) {
	for range 10 {
		resp, err := b.client.Do(r)
		if err != nil {
			return Page{}, err
		}
		if resp.StatusCode == http.StatusSeeOther {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			to, err := resp.Location()
			if err != nil {
				return Page{}, err
			}
			if strings.HasPrefix(to.String(), Callback) {
				return Page{URL: to}, nil
			}
			if r, err = http.NewRequestWithContext(r.Context(), http.MethodGet, to.String(), nil); err != nil {
				return Page{}, err
			}
			continue
		}
		if resp.StatusCode != http.StatusOK {
			a := answered(resp)
			resp.Body.Close()
			return Page{}, a
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return Page{}, err
		}
		doc, err := html.Parse(bytes.NewReader(body))
		if err != nil {
			return Page{}, err
		}
		p := Page{URL: r.URL, HTML: string(body)}
		p.read(doc)
		return p, nil
	}
	return Page{}, fmt.Errorf("%w: it is sent round and round", ErrElsewhere)
}

// read finds the first form, which is the one to be answered.
func (p *Page) read(n *html.Node) {
	if n.Type == html.ElementNode && n.Data == "form" && p.Form == nil {
		p.Form, p.to = url.Values{}, attribute(n, "action")
	}
	if n.Type == html.ElementNode && n.Data == "input" && attribute(n, "type") == "hidden" && p.Form != nil && p.Form.Get(attribute(n, "name")) == "" {
		p.Form.Set(attribute(n, "name"), attribute(n, "value"))
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		p.read(c)
	}
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// Answer fills in the form of p, which must ask for step, and sends it.
func (b *Browser) Answer(ctx context.Context, p Page, step string, fields ...string) (Page, error) {
	if p.Step() != step {
		return Page{}, fmt.Errorf("%w: the page asks for %q, not for %q", ErrElsewhere, p.Step(), step)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		p.Form.Set(fields[i], fields[i+1])
	}
	to, err := p.URL.Parse(p.to)
	if err != nil {
		return Page{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), strings.NewReader(p.Form.Encode()))
	if err != nil {
		return Page{}, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", b.issuer)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.Open(r)
}

// Tokens are what a login comes to.
type Tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
	Expires int    `json:"expires_in"` // of the access token, in seconds
}
