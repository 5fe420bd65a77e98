package relying

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

// A Provider is what an OpenID provider says of itself.
type Provider struct {
	Issuer   string
	Metadata map[string]any
	Keys     Keys
}

// Discover fetches the metadata of issuer (OpenID Connect Discovery section 4)
// and its keys, and makes sure of what every use of them needs. c follows no
// redirects that it was not told to.
func Discover(ctx context.Context, c *http.Client, issuer string) (*Provider, error) {
	p := &Provider{Issuer: issuer}
	if err := fetch(ctx, c, issuer+"/.well-known/openid-configuration", "application/json", &p.Metadata); err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	if got := p.Text("issuer"); got != issuer {
		return nil, fmt.Errorf("discovery: issuer %q, want %q", got, issuer)
	}
	for _, name := range []string{"authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"} {
		if !strings.HasPrefix(p.Text(name), "https://") {
			return nil, fmt.Errorf("discovery: %s is %q", name, p.Text(name))
		}
	}
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := fetch(ctx, c, p.Text("jwks_uri"), "application/jwk-set+json", &set); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	var err error
	if p.Keys, err = parseKeys(set.Keys); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return p, nil
}

// Text returns the member of the metadata called name, empty if it is no text.
func (p *Provider) Text(name string) string {
	s, _ := p.Metadata[name].(string)
	return s
}

// List returns the member of the metadata called name, nil if it is no list of
// texts.
func (p *Provider) List(name string) (list []string) {
	all, _ := p.Metadata[name].([]any)
	for _, v := range all {
		s, ok := v.(string)
		if !ok {
			return nil
		}
		list = append(list, s)
	}
	return list
}

// fetch reads the JSON at url into v.
func fetch(ctx context.Context, c *http.Client, url, kind string, v any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d at %s", resp.StatusCode, url)
	}
	return errors.Join(typed(resp, kind), json.Unmarshal(body, v))
}

// typed says if an answer is of another kind than it should be.
func typed(resp *http.Response, want string) error {
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != want {
		return fmt.Errorf("Content-Type %q, want %s", resp.Header.Get("Content-Type"), want)
	}
	return nil
}
