package stepup

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	strict "github.com/go-jose/go-jose/v4/json"
)

// algorithms returns all by which a token may be signed: none with a shared
// secret, and not "none".
func algorithms() []string {
	return []string{
		"ES256", "ES384", "ES512", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512",
	}
}

// fits reports whether key, which is a public one, verifies what is signed with alg.
// The algorithm never comes from the token alone: with HS256 and a public key as
// its secret anybody could sign.
func fits(key any, alg string) bool {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return alg == "ES256" && k.Curve == elliptic.P256() ||
			alg == "ES384" && k.Curve == elliptic.P384() ||
			alg == "ES512" && k.Curve == elliptic.P521()
	case ed25519.PublicKey:
		return alg == "EdDSA"
	case *rsa.PublicKey:
		// RFC 7518 section 3.3: shorter keys must not be used.
		return k.N.BitLen() >= 2048 && slices.Contains([]string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, alg)
	}
	return false
}

// A header is what counts of a JWS header, and what must not be in it.
type header struct {
	Type      string `json:"typ"`
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`

	JWK         json.RawMessage `json:"jwk"` // these four name a key: the sender's
	JWKSURL     json.RawMessage `json:"jku"`
	Certificate json.RawMessage `json:"x5c"`
	CertURL     json.RawMessage `json:"x5u"`
	Critical    json.RawMessage `json:"crit"` // these two change what is signed
	Plain       json.RawMessage `json:"b64"`
}

func (h header) check(algorithms []string) error {
	switch {
	case h.JWK != nil || h.JWKSURL != nil || h.Certificate != nil || h.CertURL != nil:
		return errors.New("its header brings a key along")
	case h.Critical != nil || h.Plain != nil:
		return errors.New("its header has extensions")
	case !strings.EqualFold(h.Type, "at+jwt") && !strings.EqualFold(h.Type, "application/at+jwt"):
		// RFC 9068 section 4. An ID token says "JWT", or nothing.
		return fmt.Errorf("its type is %.40q", h.Type)
	case !slices.Contains(algorithms, h.Algorithm):
		return fmt.Errorf("its algorithm is %.40q", h.Algorithm)
	case h.KeyID == "":
		return errors.New("no kid")
	}
	return nil
}

// isJWT reports whether text is a signed JWT rather than an opaque token:
// three parts, of which the first is an object.
func isJWT(text string) bool {
	first, rest, ok := strings.Cut(text, ".")
	if !ok || strings.Count(rest, ".") != 1 {
		return false
	}
	b, err := base64.RawURLEncoding.DecodeString(first)
	return err == nil && len(b) > 0 && b[0] == '{'
}

// verify returns the claims of a JWT access token (RFC 9068 section 4) of the
// issuer. Audience and times are for the caller to check.
func (g *Guard) verify(ctx context.Context, text string) (*claims, error) {
	first, _, _ := strings.Cut(text, ".")
	b, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		return nil, fmt.Errorf("%w: reading its header: %w", ErrToken, err)
	}
	var h header
	if err := strict.Unmarshal(b, &h); err != nil {
		return nil, fmt.Errorf("%w: reading its header: %w", ErrToken, err)
	}
	if err := h.check(g.algorithms); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	candidates, err := g.keys.find(ctx, h.KeyID)
	if err != nil {
		return nil, err
	}
	payload, err := open(text, h, candidates)
	if err != nil {
		return nil, err
	}
	c, err := readClaims(payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	if c.Issuer != g.config.Issuer {
		return nil, fmt.Errorf("%w: its issuer is %.100q", ErrToken, c.Issuer)
	}
	// RFC 9068 section 2.2: these are there. (Others are checked for any token.)
	if c.Issued == nil || c.ID == "" || c.ClientID == "" {
		return nil, fmt.Errorf("%w: iat, jti or client_id is missing", ErrToken)
	}
	return c, nil
}

// open returns the payload of text if one of the keys has signed it.
func open(text string, h header, candidates []key) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(h.Algorithm)})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	for _, k := range candidates {
		if (k.algorithm == "" || k.algorithm == h.Algorithm) && fits(k.public, h.Algorithm) {
			if payload, err := jws.Verify(k.public); err == nil {
				return payload, nil
			}
		}
	}
	return nil, fmt.Errorf("%w: no key of the issuer called %.100q has signed it with %s", ErrToken, h.KeyID, h.Algorithm)
}
