package provider

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

const (
	maxKeys  = 100  // in one set
	leastRSA = 2048 // bits; go-jose reads none of more than 4096
)

// assertionAlgorithms are what clients may sign with (RFC 7518 section 3.1, RFC
// 8037 section 3.1). What is not listed is not looked at: not "none", and no
// HMAC, under which a public key would be a secret that everyone knows.
var assertionAlgorithms = []jose.SignatureAlgorithm{jose.ES256, jose.PS256, jose.RS256, jose.EdDSA}

// ErrKeys says that a client could not authenticate by its keys. The text says
// why, for whoever registers it.
var ErrKeys = errors.New("provider: unusable keys")

// CheckKeys returns the names (kid) of the keys in set, a JWK Set for
// Client.Keys; that of a key without one is empty. It returns ErrKeys if set is
// none, is empty, or has a key in it that is not public or cannot be used.
func CheckKeys(set []byte) ([]string, error) {
	keys, unusable, err := readKeys(set)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	case len(unusable) > 0:
		return nil, fmt.Errorf("%w: %w", ErrKeys, unusable[0])
	case len(keys) == 0:
		return nil, fmt.Errorf("%w: there is no key", ErrKeys)
	}
	var ids []string
	for _, k := range keys {
		ids = append(ids, k.KeyID)
	}
	return ids, nil
}

// readKeys returns the keys of a JWK Set that can be used, and of each other
// one why it cannot (RFC 7517 section 5: they are ignored).
func readKeys(set []byte) (keys []jose.JSONWebKey, unusable []error, err error) {
	var all struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(set, &all); err != nil || all.Keys == nil {
		return nil, nil, errors.New("it is no JWK Set, which is a JSON object with the member keys")
	}
	if len(all.Keys) > maxKeys {
		return nil, nil, fmt.Errorf("it has more than %d keys", maxKeys)
	}
	for i, raw := range all.Keys {
		k, err := readKey(raw)
		if err != nil {
			unusable = append(unusable, fmt.Errorf("key %d %w", i+1, err))
			continue
		}
		keys = append(keys, k)
	}
	return keys, unusable, nil
}

// privateMembers of a JWK say what must not be known (RFC 7518 sections 6.2.2,
// 6.3.2 and 6.4).
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// readKey returns the key that raw describes, or what is wrong with it.
func readKey(raw json.RawMessage) (jose.JSONWebKey, error) {
	var members map[string]json.RawMessage
	var k jose.JSONWebKey
	if err := json.Unmarshal(raw, &members); err != nil {
		return k, errors.New("is no JSON object")
	}
	for _, name := range privateMembers {
		if _, ok := members[name]; ok {
			return k, errors.New("is private: it has the member " + name + "; register the public key, and make a new one if this was seen by others")
		}
	}
	if err := json.Unmarshal(raw, &k); err != nil {
		return k, fmt.Errorf("cannot be read: %w", err)
	}
	if k.Use != "" && k.Use != "sig" {
		return k, fmt.Errorf("is not for signing, but for %q", k.Use)
	}
	for _, alg := range assertionAlgorithms {
		if fits(k, alg) {
			return k, nil
		}
	}
	return k, fmt.Errorf("fits none of the algorithms %v: it must be EC of P-256, RSA of at least %d bits or OKP of Ed25519",
		assertionAlgorithms, leastRSA)
}

// fits reports whether alg signs with keys such as k, and k is for alg, if it
// says what it is for.
func fits(k jose.JSONWebKey, alg jose.SignatureAlgorithm) bool {
	if k.Algorithm != "" && k.Algorithm != string(alg) {
		return false
	}
	switch key := k.Key.(type) {
	case *ecdsa.PublicKey:
		return alg == jose.ES256 && key.Curve == elliptic.P256()
	case *rsa.PublicKey:
		return (alg == jose.RS256 || alg == jose.PS256) && key.N.BitLen() >= leastRSA
	case ed25519.PublicKey:
		return alg == jose.EdDSA && len(key) == ed25519.PublicKeySize
	}
	return false
}

// keysFor returns those of keys that alg signs with, and that are called kid,
// if a name is given.
func keysFor(keys []jose.JSONWebKey, alg jose.SignatureAlgorithm, kid string) []jose.JSONWebKey {
	return slices.DeleteFunc(slices.Clone(keys), func(k jose.JSONWebKey) bool {
		return !fits(k, alg) || kid != "" && k.KeyID != kid
	})
}
