package storagetest

import (
	"context"
	"crypto/rand"
	"testing"

	"github.com/sallyport-id/sallyport/provider"
)

// newGrant returns a grant in which every field says something but those that
// say what became of it.
func newGrant(subject, clientID string) provider.Grant {
	return provider.Grant{
		ID:          rand.Text(),
		Subject:     subject,
		ClientID:    clientID,
		SessionID:   rand.Text(),
		Scopes:      []string{"openid", "offline_access"},
		Details:     `[{"type":"payment","amount":"1.00"}]`,
		Claims:      provider.AskedClaims{UserInfo: []string{"email"}, IDToken: []string{"name", "email"}},
		Resources:   []string{"https://api.example/?q=%20", "urn:example:api"},
		Login:       login(subject),
		ACR:         "mfa",
		Requested:   at(0),
		Created:     at(3),
		Code:        hash(),
		CodeExpires: at(63),
		RedirectURI: "https://app.example/cb?x=%20",
		Challenge:   "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
		Nonce:       "n\x00\xff", // comes back byte for byte: OA-13
		Expires:     at(63),
		Ends:        at(86400),
	}
}

var grantCases = []storeCase{
	{"a grant comes back as it was stored", func(t *testing.T, s provider.Store) {
		g := newGrant("anna", "app")
		done(t, s.CreateGrant(t.Context(), g))
		equal(t, "the grant", value(s.Grant(t.Context(), g.ID))(t), g)
	}},
	{"a grant of which no more was asked comes back as it was stored", func(t *testing.T, s provider.Store) {
		g := newGrant("anna", "app")
		g.Claims, g.Details, g.Resources = provider.AskedClaims{}, "", nil
		done(t, s.CreateGrant(t.Context(), g))
		equal(t, "the grant", value(s.Grant(t.Context(), g.ID))(t), g)
	}},
	{"a grant is created once", func(t *testing.T, s provider.Store) {
		g := newGrant("anna", "app")
		done(t, s.CreateGrant(t.Context(), g))
		other := newGrant("bert", "app")
		other.ID = g.ID
		if err := s.CreateGrant(t.Context(), other); err == nil {
			t.Error("a second grant took the place of the first")
		}
		equal(t, "the grant", value(s.Grant(t.Context(), g.ID))(t), g)
	}},
	{"what is not there is not found", func(t *testing.T, s provider.Store) {
		for _, id := range []string{rand.Text(), "", "\x00", "\xff"} {
			_, err := s.Grant(t.Context(), id)
			refused(t, "Grant", err, provider.ErrNotFound)
			_, err = s.Client(t.Context(), id)
			refused(t, "Client", err, provider.ErrNotFound)
		}
		refused(t, "SpendCode", s.SpendCode(t.Context(), rand.Text(), 1, at(0), at(1)), provider.ErrNotFound)
		refused(t, "RotateGrant", s.RotateGrant(t.Context(), rand.Text(), 1, at(0), at(1)), provider.ErrNotFound)
		done(t, s.RevokeGrant(t.Context(), rand.Text(), at(0)))
	}},
	{"a code is good once", func(t *testing.T, s provider.Store) { // OA-5
		g := newGrant("anna", "app")
		done(t, s.CreateGrant(t.Context(), g))
		done(t, s.SpendCode(t.Context(), g.ID, 1, at(10), at(1000)))
		g.CodeSpent, g.Generation, g.Expires = at(10), 1, at(1000)
		equal(t, "the grant", value(s.Grant(t.Context(), g.ID))(t), g)
		refused(t, "spending it again", s.SpendCode(t.Context(), g.ID, 7, at(11), at(2000)), provider.ErrSpent)
		equal(t, "the grant after it", value(s.Grant(t.Context(), g.ID))(t), g)
	}},
	{"a code without refresh tokens is good once", func(t *testing.T, s provider.Store) {
		g := newGrant("anna", "app")
		done(t, s.CreateGrant(t.Context(), g))
		done(t, s.SpendCode(t.Context(), g.ID, 0, at(10), at(1000)))
		refused(t, "spending it again", s.SpendCode(t.Context(), g.ID, 0, at(10), at(1000)), provider.ErrSpent)
	}},
	{"of many that spend one code one wins", func(t *testing.T, s provider.Store) { // OA-5
		g := newGrant("anna", "app")
		done(t, s.CreateGrant(t.Context(), g))
		winner := one(t, "SpendCode", race(func(i int) error {
			return s.SpendCode(t.Context(), g.ID, int64(i), at(i), at(1000))
		}), provider.ErrSpent)
		equal(t, "what the winner wrote", value(s.Grant(t.Context(), g.ID))(t).Generation, int64(winner))
	}},
	{"the code of a revoked grant is spent", func(t *testing.T, s provider.Store) {
		g := newGrant("anna", "app")
		done(t, s.CreateGrant(t.Context(), g))
		done(t, s.RevokeGrant(t.Context(), g.ID, at(5)))
		refused(t, "spending it", s.SpendCode(t.Context(), g.ID, 1, at(6), at(1000)), provider.ErrSpent)
	}},
	{"a grant is rotated from its generation only", func(t *testing.T, s provider.Store) { // OA-6
		g := newGrant("anna", "app")
		done(t, s.CreateGrant(t.Context(), g))
		done(t, s.SpendCode(t.Context(), g.ID, 1, at(10), at(1000)))
		done(t, s.RotateGrant(t.Context(), g.ID, 1, at(20), at(1020)))
		g.CodeSpent, g.Generation, g.Rotated, g.Expires = at(10), 2, at(20), at(1020)
		equal(t, "the grant", value(s.Grant(t.Context(), g.ID))(t), g)
		refused(t, "an older generation", s.RotateGrant(t.Context(), g.ID, 1, at(21), at(9999)), provider.ErrConflict)
		refused(t, "a generation to come", s.RotateGrant(t.Context(), g.ID, 3, at(21), at(9999)), provider.ErrConflict)
		equal(t, "the grant after it", value(s.Grant(t.Context(), g.ID))(t), g)
	}},
	{"of many that rotate from one generation one wins", func(t *testing.T, s provider.Store) { // OA-6
		g := newGrant("anna", "app")
		done(t, s.CreateGrant(t.Context(), g))
		done(t, s.SpendCode(t.Context(), g.ID, 1, at(10), at(1000)))
		winner := one(t, "RotateGrant", race(func(i int) error {
			return s.RotateGrant(t.Context(), g.ID, 1, at(20+i), at(1000+i))
		}), provider.ErrConflict)
		got := value(s.Grant(t.Context(), g.ID))(t)
		equal(t, "the generation", got.Generation, int64(2))
		equal(t, "when the winner did", got.Rotated, at(20+winner))
		equal(t, "what the winner wrote", got.Expires, at(1000+winner))
	}},
	{"in a transaction a grant is locked", func(t *testing.T, s provider.Store) {
		g := newGrant("anna", "app")
		done(t, s.CreateGrant(t.Context(), g))
		done(t, s.SpendCode(t.Context(), g.ID, 1, at(10), at(1000)))
		for _, err := range race(func(int) error {
			return s.Atomically(t.Context(), func(ctx context.Context) error {
				g, err := s.Grant(ctx, g.ID)
				if err != nil {
					return err
				}
				return s.RotateGrant(ctx, g.ID, g.Generation, at(20), at(1000)) // without the lock: ErrConflict
			})
		}) {
			done(t, err)
		}
		equal(t, "the generation", value(s.Grant(t.Context(), g.ID))(t).Generation, int64(1+racers))
	}},
	{"a revoked grant stays revoked", func(t *testing.T, s provider.Store) {
		g := newGrant("anna", "app")
		done(t, s.CreateGrant(t.Context(), g))
		done(t, s.SpendCode(t.Context(), g.ID, 1, at(10), at(1000)))
		done(t, s.RevokeGrant(t.Context(), g.ID, at(30)))
		refused(t, "rotating it", s.RotateGrant(t.Context(), g.ID, 1, at(31), at(1000)), provider.ErrConflict)
		done(t, s.RevokeGrant(t.Context(), g.ID, at(32)))
		equal(t, "revoked", value(s.Grant(t.Context(), g.ID))(t).Revoked.IsZero(), false)
	}},
	{"after a revocation no rotation succeeds", func(t *testing.T, s provider.Store) {
		g := newGrant("anna", "app")
		done(t, s.CreateGrant(t.Context(), g))
		done(t, s.SpendCode(t.Context(), g.ID, 1, at(10), at(1000)))
		won := 0
		for i, err := range race(func(i int) error {
			if i%2 == 0 {
				return s.RevokeGrant(t.Context(), g.ID, at(30))
			}
			return s.RotateGrant(t.Context(), g.ID, 1, at(31), at(1000))
		}) {
			switch {
			case i%2 == 0:
				done(t, err)
			case err == nil:
				won++
			default:
				refused(t, "RotateGrant", err, provider.ErrConflict)
			}
		}
		got := value(s.Grant(t.Context(), g.ID))(t)
		equal(t, "the generation", got.Generation, int64(1+won))
		equal(t, "revoked", got.Revoked.IsZero(), false)
		refused(t, "rotating it then", s.RotateGrant(t.Context(), g.ID, got.Generation, at(40), at(1000)), provider.ErrConflict)
	}},
}
