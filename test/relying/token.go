package relying

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// leastEntropy is what a value that must not be guessed measures at least. 128
// bits are asked for (RFC 6819 section 5.1.4.2.2), and a measurement of one
// value falls short of what it was drawn from.
const leastEntropy = 96

// entropy returns the bits of s, measured by how often each character stands in
// it.
func entropy(s string) (bits float64) {
	often := map[rune]int{}
	for _, c := range s {
		often[c]++
	}
	for _, n := range often {
		bits -= float64(n) * math.Log2(float64(n)/float64(len(s)))
	}
	return bits
}

// Tokens are what a code or a refresh token bought.
type Tokens struct {
	Access  string
	Refresh string // empty: none
	Raw     string // the ID token
	ID      IDToken

	asked url.Values
}

// Redeem buys tokens with the code that came in answer to asked, with extra
// parameters in pairs, and checks them.
func (p *Party) Redeem(ctx context.Context, asked url.Values, code string, extra ...string) (Tokens, error) {
	v := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {asked.Get("redirect_uri")}}
	for i := 0; i+1 < len(extra); i += 2 {
		v.Set(extra[i], extra[i+1])
	}
	return p.tokens(ctx, asked, v)
}

// Refreshed buys new tokens with the refresh token of old, which says the same
// of the user as the old ones did (OpenID Connect Core section 12.2).
func (p *Party) Refreshed(ctx context.Context, old Tokens) (Tokens, error) {
	t, err := p.tokens(ctx, old.asked, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {old.Refresh}})
	if err != nil {
		return t, err
	}
	var errs []error
	for _, name := range []string{"iss", "sub", "aud", "azp", "auth_time", "acr", "amr", "nonce", "sid"} {
		if before, now := fmt.Sprint(old.ID.Claims[name]), fmt.Sprint(t.ID.Claims[name]); before != now {
			errs = append(errs, fmt.Errorf("%s was %s and is %s", name, before, now))
		}
	}
	if t.ID.IssuedAt <= old.ID.IssuedAt {
		errs = append(errs, fmt.Errorf("iat was %d and is %d", old.ID.IssuedAt, t.ID.IssuedAt))
	}
	if t.Access == old.Access {
		errs = append(errs, errors.New("the access token is the old one"))
	}
	return t, errors.Join(errs...)
}

// tokens sends a token request, and takes the answer apart.
func (p *Party) tokens(ctx context.Context, asked, v url.Values) (Tokens, error) {
	body, err := p.Ask(ctx, v)
	if err != nil {
		return Tokens{}, err
	}
	text := func(name string) string { s, _ := body[name].(string); return s }
	t := Tokens{Access: text("access_token"), Refresh: text("refresh_token"), Raw: text("id_token"), asked: asked}
	var errs []error
	if entropy(t.Access) < leastEntropy || !visible(t.Access) {
		errs = append(errs, fmt.Errorf("access token %q", t.Access))
	}
	if t.Refresh != "" && (entropy(t.Refresh) < leastEntropy || !visible(t.Refresh)) {
		errs = append(errs, fmt.Errorf("refresh token %q", t.Refresh))
	}
	if !strings.EqualFold(text("token_type"), "Bearer") {
		errs = append(errs, fmt.Errorf("token_type %v", body["token_type"]))
	}
	if n, ok := body["expires_in"].(float64); !ok || n <= 0 || n != math.Trunc(n) {
		errs = append(errs, fmt.Errorf("expires_in %v", body["expires_in"]))
	}
	// What is granted is said where it is less than what was asked for (RFC
	// 6749 section 5.1), and never more.
	for _, s := range strings.Fields(text("scope")) {
		if !slices.Contains(strings.Fields(asked.Get("scope")), s) {
			errs = append(errs, fmt.Errorf("scope %q, asked for %q", text("scope"), asked.Get("scope")))
		}
	}
	t.ID, err = p.CheckIDToken(t.Raw, asked, t.Access)
	return t, errors.Join(append(errs, err)...)
}

// Ask sends a token request with the party's secret, and returns the answer. The
// error is a Refusal if it was a proper one (RFC 6749 sections 5.1 and 5.2).
func (p *Party) Ask(ctx context.Context, v url.Values) (body map[string]any, err error) {
	if p.Post {
		v.Set("client_id", p.ID)
		v.Set("client_secret", p.Secret)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Text("token_endpoint"), strings.NewReader(v.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	if !p.Post {
		r.SetBasicAuth(url.QueryEscape(p.ID), url.QueryEscape(p.Secret))
	}
	resp, err := p.Client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	errs := []error{typed(resp, "application/json"), json.Unmarshal(raw, &body)}
	if resp.Header.Get("Cache-Control") != "no-store" {
		errs = append(errs, fmt.Errorf("Cache-Control %q", resp.Header.Get("Cache-Control")))
	}
	code, refused := body["error"].(string)
	switch {
	case resp.StatusCode == http.StatusOK && body["error"] == nil:
	case refused && (resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusUnauthorized):
		errs = append(errs, &Refusal{code, resp.StatusCode})
	default:
		errs = append(errs, fmt.Errorf("token endpoint: status %d: %s", resp.StatusCode, raw))
	}
	return body, errors.Join(errs...)
}

// visible reports whether s is of the characters of a token (RFC 6749 appendix
// A.17).
func visible(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return c <= 0x20 || c > 0x7e })
}
