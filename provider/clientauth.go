package provider

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/sallyport-id/sallyport/provider/internal/engine"
)

// authenticateClient returns the client that asks, having made sure of it: by
// client_secret_basic, client_secret_post or, for a public client, by nothing
// (RFC 6749 section 2.3). Errors for the client are Refusals.
func (p *Provider) authenticateClient(ctx context.Context, r *request, v url.Values) (Client, error) {
	// One sentence for all: who guesses learns nothing.
	refused := engine.Refuse("invalid_client", "The client is unknown, or did not authenticate as it must.")
	id, secret, basic, ok := credentials(r, v)
	if !ok {
		return Client{}, refused
	}
	c, err := p.store.Client(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return Client{}, refused
	}
	if err != nil {
		return Client{}, fmt.Errorf("reading the client: %w", err)
	}
	if c.Public() {
		if basic || secret != "" {
			return Client{}, refused
		}
		return c, nil
	}
	if !c.hasSecret(secret) {
		return Client{}, refused
	}
	return c, nil
}

// credentials returns what a client says of itself. It may use one method, not
// two (RFC 6749 section 2.3).
func credentials(r *request, v url.Values) (id, secret string, basic, ok bool) {
	if v.Has("client_assertion") || v.Has("client_assertion_type") || len(r.Header.Values("Authorization")) > 1 {
		return "", "", false, false
	}
	id, secret = v.Get("client_id"), v.Get("client_secret")
	if r.Header.Get("Authorization") == "" {
		return id, secret, false, id != ""
	}
	user, password, ok := r.BasicAuth()
	// Both are form-encoded first (RFC 6749 section 2.3.1).
	user, err1 := url.QueryUnescape(user)
	password, err2 := url.QueryUnescape(password)
	if !ok || err1 != nil || err2 != nil || secret != "" || id != "" && id != user {
		return "", "", true, false
	}
	return user, password, true, user != ""
}

// hasSecret reports whether secret is one of c's. All are compared.
func (c Client) hasSecret(secret string) bool {
	if secret == "" || strings.TrimSpace(secret) == "" {
		return false
	}
	hash, found := hashOf(secret), 0
	for _, s := range c.Secrets {
		found |= subtle.ConstantTimeCompare(hash[:], s[:])
	}
	return found == 1
}
