package provider

import (
	"context"
	"crypto"
)

// Keys are the keys that sign tokens. Package storage has one that makes,
// seals and rotates them.
type Keys interface {
	// Signing returns the current key for alg, a JWS algorithm (RFC 7518).
	Signing(ctx context.Context, alg string) (SigningKey, error)

	// Published returns every key that a verifier may need: for each algorithm
	// the last, the current and the next. A key is published for as long as a
	// token that it signed may be about, and some time before it signs one.
	Published(ctx context.Context) ([]PublicKey, error)
}

// A SigningKey signs tokens.
type SigningKey struct {
	ID        string // the kid: the JWK thumbprint (RFC 7638)
	Algorithm string
	Signer    crypto.Signer
}

// A PublicKey verifies what a SigningKey has signed.
type PublicKey struct {
	ID        string
	Algorithm string
	Key       crypto.PublicKey
}
