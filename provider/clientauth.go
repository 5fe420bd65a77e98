package provider

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport-id/sallyport/provider/internal/engine"
)

// errUnproven says that a client did not show that it is one. What it wraps is
// for the log alone.
var errUnproven = errors.New("provider: the client did not authenticate")

func unproven(reason string) error { return fmt.Errorf("%w: %s", errUnproven, reason) }

// authenticateClient returns the client that asks, having made sure of it: by
// private_key_jwt if it has keys, by client_secret_basic or client_secret_post
// if it has secrets, and by nothing if it is public (RFC 6749 section 2.3,
// OpenID Connect Core section 9). Errors for the client are Refusals; any other
// is one of the store, or of where it publishes its keys, and can be tried
// again.
func (p *Provider) authenticateClient(ctx context.Context, r *request, v url.Values) (Client, error) {
	prove := p.bySecret
	if v.Get("client_assertion") != "" || v.Get("client_assertion_type") != "" {
		prove = p.byAssertion
	}
	named := r.byAddress()
	named.client = clientKey(claimedID(r, v))
	if wait := p.limits.clientFailures.wait(named); wait > 0 {
		return Client{}, &throttled{p.limits.clientFailures.name, wait}
	}
	if wait := p.limits.addressFailures.wait(r.byAddress()); wait > 0 {
		return Client{}, &throttled{p.limits.addressFailures.name, wait}
	}
	c, err := prove(ctx, r, v)
	switch {
	case errors.Is(err, errUnproven):
		// One sentence for all: who guesses learns nothing.
		refusal := engine.Refuse("invalid_client", "The client is unknown, or did not authenticate as it must.")
		refusal.Cause = err
		if errors.Is(err, ErrVoid) {
			return Client{}, refusal // it is who it says, and guesses nothing
		}
		return Client{}, p.failed(ctx, r, named, refusal)
	case err != nil:
		return Client{}, unavailable(err)
	}
	return c, nil
}

// claimedID is who r says that it is, true or not.
func claimedID(r *request, v url.Values) string {
	if id, _, _, ok := credentials(r, v); ok {
		return id
	}
	if v.Get("client_id") == "" {
		if a, err := readAssertion(v.Get("client_assertion")); err == nil {
			return a.client
		}
	}
	return v.Get("client_id")
}

// registered returns the client called id.
func (p *Provider) registered(ctx context.Context, id string) (Client, error) {
	c, err := p.store.Client(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return Client{}, unproven("it is not registered")
	case err != nil:
		return Client{}, fmt.Errorf("reading the client: %w", err)
	}
	return c, nil
}

// bySecret returns the client that gives its secret, or is public and gives
// none.
func (p *Provider) bySecret(ctx context.Context, r *request, v url.Values) (Client, error) {
	id, secret, basic, ok := credentials(r, v)
	if !ok {
		return Client{}, unproven("it gives no name, or more than one way to know it by")
	}
	c, err := p.registered(ctx, id)
	switch {
	case err != nil:
		return Client{}, err
	case c.HasKeys():
		return Client{}, unproven("it has keys, and gave no assertion")
	case c.Public() && (basic || secret != ""):
		return Client{}, unproven("it is public, and gave a secret")
	case !c.Public() && !c.hasSecret(secret):
		return Client{}, unproven("the secret is not one of its own")
	}
	return c, nil
}

// byAssertion returns the client that gives an assertion under a key of its
// own. The assertion is used up last: one that is not right burns nothing.
func (p *Provider) byAssertion(ctx context.Context, r *request, v url.Values) (Client, error) {
	switch {
	case v.Get("client_assertion_type") != assertionType:
		return Client{}, unproven("client_assertion_type is another")
	case v.Get("client_secret") != "" || len(r.Header.Values("Authorization")) > 0:
		return Client{}, unproven("it gives more than one way to know it by")
	}
	a, err := readAssertion(v.Get("client_assertion"))
	if err == nil {
		err = a.judge([]string{p.config.Issuer, p.url("/token")}, now())
	}
	if err == nil && v.Get("client_id") != "" && v.Get("client_id") != a.client {
		err = errors.New("it is another client's")
	}
	if err != nil {
		return Client{}, unproven("the assertion: " + err.Error())
	}
	c, err := p.registered(ctx, a.client)
	if err != nil {
		return Client{}, err
	}
	if !c.HasKeys() {
		return Client{}, unproven("it has no keys, and gave an assertion")
	}
	if err := p.verify(ctx, c, a); err != nil {
		return Client{}, err
	}
	err = p.store.SpendAssertion(ctx, a.key(), a.made().Add(-skew), a.expires.Add(skew))
	switch {
	case errors.Is(err, ErrSpent):
		return Client{}, unproven("the assertion was used before")
	case errors.Is(err, ErrVoid):
		return Client{}, fmt.Errorf("%w: the assertion may have been made before the epoch was bumped: %w", errUnproven, err)
	case err != nil:
		return Client{}, fmt.Errorf("using up the assertion: %w", err)
	}
	return c, nil
}

// verify makes sure that a key of c signed a.
func (p *Provider) verify(ctx context.Context, c Client, a assertion) error {
	keys, err := p.keysOf(ctx, c, p.keys.Get)
	if err != nil {
		return err
	}
	signed, known := a.signedBy(keys)
	if !signed && !known && c.KeysURI != "" { // perhaps it has a new one
		if keys, err = p.keysOf(ctx, c, p.keys.Renew); err != nil {
			return err
		}
		signed, _ = a.signedBy(keys)
	}
	if !signed {
		return unproven("no key of the client signed the assertion")
	}
	return nil
}

// keysOf returns the keys of c: those that are registered, or what fetch
// brings from where it publishes them.
func (p *Provider) keysOf(ctx context.Context, c Client, fetch func(context.Context, string) ([]jose.JSONWebKey, error)) ([]jose.JSONWebKey, error) {
	if c.KeysURI != "" {
		keys, err := fetch(ctx, c.KeysURI)
		if err != nil {
			return nil, fmt.Errorf("the keys of client %s: %w", c.ID, err)
		}
		return keys, nil
	}
	keys, _, err := readKeys(c.Keys)
	if err != nil {
		return nil, unproven("its registered keys: " + err.Error())
	}
	return keys, nil
}

// credentials returns what a client says of itself. It may use one method, not
// two (RFC 6749 section 2.3).
func credentials(r *request, v url.Values) (id, secret string, basic, ok bool) {
	if len(r.Header.Values("Authorization")) > 1 {
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
