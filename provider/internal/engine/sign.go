package engine

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
)

// accessClaims are the claims of a JWT access token (RFC 9068 section 2.2).
type accessClaims struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience []string `json:"aud"`
	Expires  int64    `json:"exp"`
	IssuedAt int64    `json:"iat"`
	ID       string   `json:"jti"`
	ClientID string   `json:"client_id"`
	Scope    string   `json:"scope"`
	AuthTime int64    `json:"auth_time,omitempty"` // this and the next: of a user's grant only
	ACR      string   `json:"acr,omitempty"`
	AMR      []string `json:"amr,omitempty"`

	Details json.RawMessage `json:"authorization_details,omitempty"` // RFC 9396 section 9.1
}

// idClaims are the claims of an ID token (OpenID Connect Core section 2).
type idClaims struct {
	Issuer          string   `json:"iss"`
	Subject         string   `json:"sub"`
	Audience        string   `json:"aud"`
	Expires         int64    `json:"exp"`
	IssuedAt        int64    `json:"iat"`
	AuthTime        int64    `json:"auth_time"`
	Nonce           string   `json:"nonce,omitempty"`
	ACR             string   `json:"acr"`
	AMR             []string `json:"amr"`
	SessionID       string   `json:"sid,omitempty"`
	AccessTokenHash string   `json:"at_hash,omitempty"`
}

// sign returns claims as a JWT of the given type, signed with the current key
// for alg.
func (e *Engine) sign(ctx context.Context, alg, typ string, claims any) (string, error) {
	key, kid, err := e.config.Signing(ctx, alg)
	if err != nil {
		return "", fmt.Errorf("engine: getting a key for %s: %w", alg, err)
	}
	opts := (&jose.SignerOptions{}).WithType(jose.ContentType(typ)).WithHeader(jose.HeaderKey("kid"), kid)
	signer, err := jose.NewSigner(jose.SigningKey{
		Algorithm: jose.SignatureAlgorithm(alg), Key: cryptosigner.Opaque(key),
	}, opts)
	if err != nil {
		return "", fmt.Errorf("engine: using key %s: %w", kid, err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("engine: writing claims: %w", err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("engine: signing: %w", err)
	}
	return jws.CompactSerialize()
}
