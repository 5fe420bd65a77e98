package fleet

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// A Site is a house as those who visit it see it: one address.
type Site struct {
	Issuer    string
	Transport http.RoundTripper
}

// An Answer is one that is not what was asked for.
type Answer struct {
	Method, Path string
	Status       int
	RetryAfter   string
	Body         string // the first KiB
}

func (a *Answer) Error() string {
	return fmt.Sprintf("%s %s answers %d %s", a.Method, a.Path, a.Status, a.Body)
}

func answered(resp *http.Response) *Answer {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	io.Copy(io.Discard, resp.Body)
	return &Answer{resp.Request.Method, resp.Request.URL.Path, resp.StatusCode, resp.Header.Get("Retry-After"), string(b)}
}

// A Login is an authorization request on its way.
type Login struct {
	Browser  *Browser
	Page     Page
	site     Site
	state    string
	verifier string
}

// Begin asks for authorization as the app does, up to the first page: in a new
// browser, or in b.
func (s Site) Begin(ctx context.Context, b *Browser) (*Login, error) {
	if b == nil {
		var err error
		if b, err = s.Browser(); err != nil {
			return nil, err
		}
	}
	l := &Login{Browser: b, site: s, state: rand.Text(), verifier: rand.Text() + rand.Text()}
	challenge := sha256.Sum256([]byte(l.verifier))
	q := url.Values{
		"client_id": {App}, "redirect_uri": {Callback}, "response_type": {"code"}, "state": {l.state}, "nonce": {rand.Text()},
		"scope": {"openid profile email offline_access"}, "prompt": {"consent"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Issuer+"/authorize?"+q.Encode(), nil)
	if err != nil {
		return nil, err
	}
	l.Page, err = b.Open(r)
	return l, err
}

// Answer answers the page that the login is at, which must ask for step. After
// an error the login is where it was.
func (l *Login) Answer(ctx context.Context, step string, fields ...string) error {
	p, err := l.Browser.Answer(ctx, l.Page, step, fields...)
	if err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	l.Page = p
	return nil
}

// Code is the authorization code that the app got, once it is back there.
func (l *Login) Code() (string, error) {
	back := l.Page.URL.Query()
	if back.Get("code") == "" || back.Get("state") != l.state {
		return "", fmt.Errorf("%w: at %s without a code: %s", ErrElsewhere, l.Page.URL.Path, back.Get("error"))
	}
	return back.Get("code"), nil
}

// Redeem asks for the tokens that the code buys.
func (l *Login) Redeem(ctx context.Context, code string) (Tokens, error) {
	return l.site.Token(ctx, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {Callback}, "code_verifier": {l.verifier},
	})
}

// Login signs a user in at the app: password, code, consent, token.
func (s Site) Login(ctx context.Context, user int, code string) (t Tokens, err error) {
	l, err := s.Begin(ctx, nil)
	if err != nil {
		return t, err
	}
	for _, a := range [][]string{
		{"password", "username", Username(user), "password", Password}, {"otp", "code", code}, {"consent", "decision", "allow"},
	} {
		if err := l.Answer(ctx, a[0], a[1:]...); err != nil {
			return t, err
		}
	}
	bought, err := l.Code()
	if err != nil {
		return t, err
	}
	return l.Redeem(ctx, bought)
}

// Token asks the token endpoint, as the app.
func (s Site) Token(ctx context.Context, v url.Values) (t Tokens, err error) {
	body, err := s.Call(ctx, App, "/token", v, "")
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal(body, &t)
}

// Refresh asks for new tokens.
func (s Site) Refresh(ctx context.Context, refresh string) (Tokens, error) {
	return s.Token(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}})
}

// Active asks as the API whether a token is good.
func (s Site) Active(ctx context.Context, token string) (bool, error) {
	body, err := s.Call(ctx, API, "/introspect", url.Values{"token": {token}}, "")
	if err != nil {
		return false, err
	}
	var v struct{ Active bool }
	return v.Active, json.Unmarshal(body, &v)
}

// CallAs is Call by who says in v who it is, as with a client assertion.
func (s Site) CallAs(ctx context.Context, path string, v url.Values) ([]byte, error) {
	return s.Call(ctx, "", path, v, "")
}

// Call sends a request as an app or API does: with v a POST by client, and with
// a token as its bearer. Any answer but 200 is an *Answer.
func (s Site) Call(ctx context.Context, client, path string, v url.Values, bearer string) ([]byte, error) {
	method, body := http.MethodGet, io.Reader(nil)
	if v != nil {
		method, body = http.MethodPost, strings.NewReader(v.Encode())
	}
	r, err := http.NewRequestWithContext(ctx, method, s.Issuer+path, body)
	if err != nil {
		return nil, err
	}
	if v != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if client != "" {
			r.SetBasicAuth(client, url.QueryEscape(ClientSecret))
		}
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := (&http.Client{Transport: s.Transport}).Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, answered(resp)
	}
	return io.ReadAll(resp.Body)
}
