package storage

import (
	"context"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

// Tests of keys say what time it is: a database cannot be in a bubble of
// testing/synctest.

func (k *Keys) SigningAt(ctx context.Context, alg string, now time.Time) (provider.SigningKey, error) {
	return k.signing(ctx, alg, now)
}

func (k *Keys) PublishedAt(ctx context.Context, now time.Time) ([]provider.PublicKey, error) {
	return k.publishedAt(ctx, now)
}

func (k *Keys) RotateAt(ctx context.Context, alg string, now time.Time) error {
	return k.rotate(ctx, alg, "admin", now)
}

func (k *Keys) RotateIfDueAt(ctx context.Context, now time.Time) error {
	return k.rotateIfDue(ctx, now)
}

// Thumbprint is what a key's ID is.
var Thumbprint = thumbprint

// Upgrade stores another hash of pw for the user whose hash was old.
func (u *Users) Upgrade(ctx context.Context, subject, old, pw string) error {
	return u.upgrade(ctx, userRow{Subject: subject, Hash: old}, pw)
}
