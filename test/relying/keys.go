package relying

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// Keys are the public keys of a provider, by their IDs.
type Keys map[string]Key

// A Key verifies signatures of one algorithm.
type Key struct {
	Algorithm string
	Public    crypto.PublicKey
}

// private are the members of a key that is not for the public (RFC 7518 section
// 6).
var private = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// parseKeys reads a key set (RFC 7517): each key has an ID of its own, says what
// it is for, and is a public one.
func parseKeys(set []map[string]any) (Keys, error) {
	keys, errs := Keys{}, []error{}
	for i, jwk := range set {
		text := func(name string) string { s, _ := jwk[name].(string); return s }
		id := text("kid")
		if _, twice := keys[id]; twice || id == "" {
			errs = append(errs, fmt.Errorf("key %d has the ID %q, not one of its own", i, id))
		}
		if text("use") != "sig" || text("alg") == "" {
			errs = append(errs, fmt.Errorf("key %s has use %q and alg %q", id, text("use"), text("alg")))
		}
		for _, name := range private {
			if jwk[name] != nil {
				errs = append(errs, fmt.Errorf("key %s has %s, which is private", id, name))
			}
		}
		public, err := parseKey(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("key %s: %w", id, err))
		}
		keys[id] = Key{text("alg"), public}
	}
	if len(set) == 0 {
		errs = append(errs, errors.New("there is none"))
	}
	return keys, errors.Join(errs...)
}

// parseKey reads one key, of which text returns the members.
func parseKey(text func(string) string) (crypto.PublicKey, error) {
	var faults []error
	bytes := func(name string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(text(name))
		if err != nil || len(b) == 0 {
			faults = append(faults, fmt.Errorf("%s is %q", name, text(name)))
		}
		return b
	}
	switch text("kty") + text("crv") {
	case "RSA":
		key := &rsa.PublicKey{N: new(big.Int).SetBytes(bytes("n")), E: int(new(big.Int).SetBytes(bytes("e")).Int64())}
		if key.N.BitLen() < 2048 || key.E < 3 {
			faults = append(faults, fmt.Errorf("an RSA key of %d bits, with %d", key.N.BitLen(), key.E))
		}
		return key, errors.Join(faults...)
	case "ECP-256":
		point := append([]byte{4}, append(bytes("x"), bytes("y")...)...)
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		return key, errors.Join(append(faults, err)...)
	case "OKPEd25519":
		key := ed25519.PublicKey(bytes("x"))
		if len(key) != ed25519.PublicKeySize {
			faults = append(faults, errors.New("x is of the wrong length"))
		}
		return key, errors.Join(faults...)
	}
	return nil, fmt.Errorf("kty %q, crv %q", text("kty"), text("crv"))
}

// verify reads a JWT and checks its signature, by the key that its header names
// and by no other (RFC 7515). The header is returned with the claims.
func (k Keys) verify(token string) (header, claims map[string]any, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, nil, errors.New("it is no JWS in compact form")
	}
	var raw [3][]byte
	for i, p := range parts {
		if raw[i], err = base64.RawURLEncoding.DecodeString(p); err != nil {
			return nil, nil, err
		}
	}
	if err := errors.Join(json.Unmarshal(raw[0], &header), json.Unmarshal(raw[1], &claims)); err != nil {
		return nil, nil, err
	}
	id, _ := header["kid"].(string)
	key, ok := k[id]
	if !ok {
		return header, claims, fmt.Errorf("its kid %q is not published", id)
	}
	if header["alg"] != key.Algorithm {
		return header, claims, fmt.Errorf("its alg is %v, and the key is for %s", header["alg"], key.Algorithm)
	}
	if !key.signed([]byte(parts[0]+"."+parts[1]), raw[2]) {
		return header, claims, errors.New("its signature is none of the key's")
	}
	return header, claims, nil
}

// signed reports whether k made signature of text (RFC 7518 section 3, RFC 8037
// section 3.1).
func (k Key) signed(text, signature []byte) bool {
	sum := sha256.Sum256(text)
	switch key := k.Public.(type) {
	case *rsa.PublicKey:
		switch k.Algorithm {
		case "RS256":
			return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
		case "PS256":
			return rsa.VerifyPSS(key, crypto.SHA256, sum[:], signature, nil) == nil
		}
	case *ecdsa.PublicKey:
		if k.Algorithm != "ES256" || len(signature) != 64 {
			return false
		}
		r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
		return ecdsa.Verify(key, sum[:], r, s)
	case ed25519.PublicKey:
		return k.Algorithm == "EdDSA" && ed25519.Verify(key, text, signature)
	}
	return false
}
