package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/html"
)

func username(i int) string { return fmt.Sprintf("user%06d", i) }

// secretOf returns the TOTP secret of a user, which anyone can guess.
func secretOf(i int) []byte {
	sum := sha256.Sum256([]byte(username(i)))
	return sum[:20]
}

// A crowd is the users, of whom each is let go on with a time step that they
// have not used: a code is good once.
type crowd struct {
	mu   sync.Mutex
	next int
	last []int64 // the step that each used last
}

func newCrowd(n int) *crowd { return &crowd{last: make([]int64, n)} }

// take returns the next user who has a step left, and the code of that. It
// waits while nobody has.
func (c *crowd) take(ctx context.Context) (user int, code string, err error) {
	for {
		now := time.Now()
		current := now.Unix() / 30
		c.mu.Lock()
		for range c.last {
			i := c.next
			c.next = (c.next + 1) % len(c.last)
			// The step before is taken first, and in its first seconds not: it
			// may be over by the time it arrives.
			step := max(current, c.last[i]+1)
			if step > current+1 {
				continue
			}
			c.last[i] = step
			c.mu.Unlock()
			return i, totp(secretOf(i), step), nil
		}
		c.mu.Unlock()
		select {
		case <-ctx.Done():
			return 0, "", ctx.Err()
		case <-time.After(time.Unix((current+1)*30, 0).Sub(now)):
		}
	}
}

// totp returns the code of a time step (RFC 6238, SHA-1, 6 digits).
func totp(secret []byte, step int64) string {
	mac := hmac.New(sha1.New, secret)
	binary.Write(mac, binary.BigEndian, step)
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[at:])&0x7fffffff)%1000000)
}

// A browser is one that was never here before.
type browser struct {
	ctx    context.Context
	client *http.Client
	issuer string
}

func (s *server) browser(ctx context.Context, transport http.RoundTripper) (*browser, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &browser{ctx, &http.Client{Jar: jar, Transport: transport, CheckRedirect: stay}, s.issuer}, nil
}

// A page is what a browser shows.
type page struct {
	url  *url.URL
	form url.Values // of the form that is to be answered, with its hidden fields
	to   string     // its action
}

var errNotHere = errors.New("not where it should be")

// open follows redirects from u to a page, or back to the app.
func (b *browser) open(r *http.Request) (page, error) {
	for range 10 {
		resp, err := b.client.Do(r)
		if err != nil {
			return page{}, err
		}
		if resp.StatusCode == http.StatusSeeOther {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			to, err := resp.Location()
			if err != nil {
				return page{}, err
			}
			if strings.HasPrefix(to.String(), callback) {
				return page{url: to}, nil
			}
			if r, err = http.NewRequestWithContext(b.ctx, http.MethodGet, to.String(), nil); err != nil {
				return page{}, err
			}
			continue
		}
		doc, err := html.Parse(resp.Body)
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			return page{}, fmt.Errorf("%w: %s %s answers %d, %w", errNotHere, r.Method, r.URL, resp.StatusCode, err)
		}
		p := page{url: r.URL}
		p.read(doc)
		return p, nil
	}
	return page{}, fmt.Errorf("%w: it is sent round and round", errNotHere)
}

// read finds the first form, which is the one to be answered.
func (p *page) read(n *html.Node) {
	if n.Type == html.ElementNode && n.Data == "form" && p.form == nil {
		p.form, p.to = url.Values{}, attribute(n, "action")
	}
	if n.Type == html.ElementNode && n.Data == "input" && attribute(n, "type") == "hidden" && p.form != nil && p.form.Get(attribute(n, "name")) == "" {
		p.form.Set(attribute(n, "name"), attribute(n, "value"))
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

// answer fills in the form of p and sends it.
func (b *browser) answer(p page, step string, fields ...string) (page, error) {
	if p.form.Get("step") != step {
		return page{}, fmt.Errorf("%w: the page asks for %q, not for %q", errNotHere, p.form.Get("step"), step)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		p.form.Set(fields[i], fields[i+1])
	}
	to, err := p.url.Parse(p.to)
	if err != nil {
		return page{}, err
	}
	r, err := http.NewRequestWithContext(b.ctx, http.MethodPost, to.String(), strings.NewReader(p.form.Encode()))
	if err != nil {
		return page{}, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", b.issuer)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.open(r)
}

// tokens are what a login comes to.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

// login signs a user in at the app: password, code, consent, token.
func (s *server) login(ctx context.Context, transport http.RoundTripper, user int, code string) (t tokens, err error) {
	b, err := s.browser(ctx, transport)
	if err != nil {
		return t, err
	}
	verifier := rand.Text() + rand.Text()
	challenge := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"client_id": {"app"}, "redirect_uri": {callback}, "response_type": {"code"}, "state": {rand.Text()}, "nonce": {rand.Text()},
		"scope": {"openid profile email offline_access"}, "prompt": {"consent"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.issuer+"/authorize?"+q.Encode(), nil)
	if err != nil {
		return t, err
	}
	p, err := b.open(r)
	if err != nil {
		return t, err
	}
	for _, a := range [][]string{
		{"password", "username", username(user), "password", password}, {"otp", "code", code}, {"consent", "decision", "allow"},
	} {
		if p, err = b.answer(p, a[0], a[1:]...); err != nil {
			return t, fmt.Errorf("%s: %w", a[0], err)
		}
	}
	back := p.url.Query()
	if back.Get("code") == "" || back.Get("state") != q.Get("state") {
		return t, fmt.Errorf("%w: back at the app without a code: %s", errNotHere, back.Get("error"))
	}
	return s.token(ctx, transport, url.Values{
		"grant_type": {"authorization_code"}, "code": {back.Get("code")}, "redirect_uri": {callback}, "code_verifier": {verifier},
	})
}

// token asks the token endpoint.
func (s *server) token(ctx context.Context, transport http.RoundTripper, v url.Values) (t tokens, err error) {
	body, err := s.call(ctx, transport, "app", "/token", v, "")
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal(body, &t)
}

// call sends a request as an app or API does: with v a POST by client, and with
// a token as its bearer.
func (s *server) call(ctx context.Context, transport http.RoundTripper, client, path string, v url.Values, bearer string) ([]byte, error) {
	method, body := http.MethodGet, io.Reader(nil)
	if v != nil {
		method, body = http.MethodPost, strings.NewReader(v.Encode())
	}
	r, err := http.NewRequestWithContext(ctx, method, s.issuer+path, body)
	if err != nil {
		return nil, err
	}
	if v != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(client, url.QueryEscape(clientSecret))
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: %s answers %d %s", errNotHere, path, resp.StatusCode, b)
	}
	return b, nil
}
