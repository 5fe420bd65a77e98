package stepup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	strict "github.com/go-jose/go-jose/v4/json"
)

const (
	// keysFresh is how long fetched keys are used before they are fetched anew,
	// in the background. A key that the issuer has withdrawn verifies for no
	// longer.
	keysFresh = 5 * time.Minute

	// maxKeys is how many keys of an issuer are looked at.
	maxKeys = 100
)

// keys are the issuer's, from one source or another.
type keys interface {
	// find returns the keys called id, none if the issuer has none. Any error is
	// ErrUnavailable: nobody can tell.
	find(ctx context.Context, id string) ([]key, error)
}

// A key verifies tokens.
type key struct {
	algorithm string // empty: any that fits
	public    any
}

// A keySet is keys by their kid.
type keySet map[string][]key

func (s keySet) find(_ context.Context, id string) ([]key, error) { return s[id], nil }

// readKeys returns those keys of a JWK set (RFC 7517 section 5) that can verify
// tokens. All others are passed over, as the RFC says: issuers publish what
// they use elsewhere too.
func readKeys(document []byte) (keySet, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := strict.Unmarshal(document, &set); err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	if set.Keys == nil {
		return nil, errors.New("reading keys: there is no list of them")
	}
	all := keySet{}
	for _, raw := range set.Keys[:min(len(set.Keys), maxKeys)] {
		var k jose.JSONWebKey
		if err := k.UnmarshalJSON(raw); err != nil || k.KeyID == "" || k.Use != "" && k.Use != "sig" {
			continue
		}
		if usable(k) {
			all[k.KeyID] = append(all[k.KeyID], key{k.Algorithm, k.Key})
		}
	}
	return all, nil
}

// usable reports whether k verifies anything that an API may take.
func usable(k jose.JSONWebKey) bool {
	for _, a := range algorithms() {
		if (k.Algorithm == "" || k.Algorithm == a) && fits(k.Key, a) {
			return true
		}
	}
	return false
}

// fetchedKeys are fetched from the issuer and kept.
type fetchedKeys struct {
	issuer *issuer
	url    string // empty: where the metadata say
	stale  time.Duration
	set    kept[keySet]
}

func newFetchedKeys(i *issuer, url string, stale time.Duration) *fetchedKeys {
	k := &fetchedKeys{issuer: i, url: url, stale: stale}
	k.set.fetch = k.fetch
	return k
}

// find looks among the keys that are kept. It fetches them if there are none,
// if they are stale, or if none is called id: the issuer may have a new one.
// Names of keys can be made up by anybody, so that is done every ten seconds at
// most, and otherwise the name is unknown.
func (k *fetchedKeys) find(ctx context.Context, id string) ([]key, error) {
	now := k.set.look()
	if found, ok := k.in(now, id); ok && len(found) > 0 {
		if now.age >= keysFresh {
			k.set.renew()
		}
		return found, nil
	}
	if done := k.set.renew(); done != nil {
		if err := wait(ctx, done); err != nil {
			return nil, fmt.Errorf("%w: waiting for the issuer's keys: %w", ErrUnavailable, err)
		}
	}
	now = k.set.look() // even if there was nothing to wait for: a fetch may have ended just now
	found, ok := k.in(now, id)
	switch {
	case !ok && now.err == nil:
		return nil, fmt.Errorf("%w: there are no keys of the issuer", ErrUnavailable)
	case !ok, len(found) == 0 && now.err != nil:
		return nil, fmt.Errorf("%w: the issuer's keys: %w", ErrUnavailable, now.err)
	}
	return found, nil
}

// in returns the keys called id of what is kept, and whether that counts: an
// issuer without any key says nothing about a token.
func (k *fetchedKeys) in(now look[keySet], id string) ([]key, bool) {
	if !now.have || now.age >= k.stale || len(now.value) == 0 {
		return nil, false
	}
	return now.value[id], true
}

func (k *fetchedKeys) fetch(ctx context.Context) (keySet, error) {
	set, err := k.fetchSet(ctx)
	if err != nil {
		k.issuer.log.Error("the issuer's keys cannot be had", "issuer", k.issuer.name, "reason", err)
	}
	return set, err
}

func (k *fetchedKeys) fetchSet(ctx context.Context) (keySet, error) {
	address := k.url
	if address == "" {
		var err error
		address, err = k.issuer.endpoint(ctx, func(m metadata) string { return m.JWKS })
		if err != nil {
			return nil, err
		}
	}
	b, err := k.issuer.get(ctx, address)
	if err != nil {
		return nil, err
	}
	return readKeys(b)
}
