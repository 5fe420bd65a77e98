package storage_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"math/big"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
)

func sealer(t testing.TB, secrets ...string) *mfa.Sealer {
	t.Helper()
	var keys []mfa.Key
	for _, s := range secrets {
		keys = append(keys, mfa.Key{ID: s, Secret: bytes.Repeat([]byte(s+"."), 32)})
	}
	s, err := mfa.NewSealer(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// brisk is a schedule that fits a test: a period of a minute, tokens that live
// for 20 seconds.
var brisk = storage.KeysConfig{Period: time.Minute, Overlap: 30 * time.Second, Lifetime: 20 * time.Second, Refresh: 4 * time.Second}

// settled is how old a key must be in brisk to sign.
const settled = 8 * time.Second

// withReplicas runs a test with every engine and two servers over one database.
func withReplicas(t *testing.T, test func(t *testing.T, d *storage.DB, a, b *storage.Keys)) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			dsn := e.dsn(t)
			d1, d2 := open(t, storage.Config{DSN: dsn}), open(t, storage.Config{DSN: dsn})
			test(t, d1, d1.Keys(sealer(t, "k1"), brisk), d2.Keys(sealer(t, "k1"), brisk))
		})
	}
}

// states returns how many keys of alg are in each state.
func states(t *testing.T, k *storage.Keys, alg string) map[storage.KeyState]int {
	t.Helper()
	all, err := k.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := map[storage.KeyState]int{}
	for _, key := range all {
		if key.Algorithm == alg {
			n[key.State]++
		}
	}
	return n
}

func signing(t *testing.T, k *storage.Keys, alg string, now time.Time) provider.SigningKey {
	t.Helper()
	key, err := k.SigningAt(t.Context(), alg, now)
	if err != nil {
		t.Fatalf("%s: %v", alg, err)
	}
	return key
}

func publishedIDs(t *testing.T, k *storage.Keys, now time.Time) (ids []string) {
	t.Helper()
	keys, err := k.PublishedAt(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		ids = append(ids, key.ID)
	}
	return ids
}

// TK-4
func TestTheFirstStartMakesKeysThatSignAndVerify(t *testing.T) {
	withReplicas(t, func(t *testing.T, d *storage.DB, a, _ *storage.Keys) {
		for _, alg := range []string{"ES256", "RS256"} {
			key, err := a.Signing(t.Context(), alg)
			if err != nil {
				t.Fatal(err)
			}
			id, err := storage.Thumbprint(key.Signer.Public())
			if err != nil || key.ID != id || key.Algorithm != alg {
				t.Errorf("%s: got %s of %s, want %s, %v", alg, key.ID, key.Algorithm, id, err)
			}
			digest := make([]byte, 32)
			sig, err := key.Signer.Sign(nil, digest, crypto.SHA256)
			if err != nil {
				t.Fatal(err)
			}
			published, err := a.Published(t.Context())
			if err != nil || len(published) != 4 {
				t.Fatalf("got %d keys, %v, want a current and a next one of each algorithm", len(published), err)
			}
			i := slices.IndexFunc(published, func(p provider.PublicKey) bool { return p.ID == key.ID })
			switch public := published[max(i, 0)].Key.(type) {
			case *ecdsa.PublicKey:
				if alg != "ES256" || public.Curve != elliptic.P256() || !ecdsa.VerifyASN1(public, digest, sig) {
					t.Errorf("%s: %v does not verify", alg, public)
				}
			case *rsa.PublicKey:
				if alg != "RS256" || public.N.BitLen() != 2048 || rsa.VerifyPKCS1v15(public, crypto.SHA256, digest, sig) != nil {
					t.Errorf("%s: %v does not verify", alg, public)
				}
			default:
				t.Errorf("%s: %T", alg, public)
			}
			// Some verifiers look at no kid and take the first.
			first := slices.IndexFunc(published, func(p provider.PublicKey) bool { return p.Algorithm == alg })
			if published[first].ID != key.ID {
				t.Errorf("%s: the current key is not the first that is published", alg)
			}
		}
		for _, alg := range []string{"", "none", "HS256", "PS256", "es256"} {
			if _, err := a.Signing(t.Context(), alg); !errors.Is(err, storage.ErrNoKey) {
				t.Errorf("%q: got %v, want ErrNoKey", alg, err)
			}
		}
	})
}

// TK-4
func TestServersThatStartAtOnceAgreeOnTheFirstKeys(t *testing.T) {
	withReplicas(t, func(t *testing.T, d *storage.DB, a, b *storage.Keys) {
		var all sync.WaitGroup
		ids := make([]string, 8)
		for i := range ids {
			all.Go(func() {
				k := []*storage.Keys{a, b}[i%2]
				if i >= 4 {
					if err := k.RotateIfDue(t.Context()); err != nil {
						t.Error(err)
					}
				}
				key, err := k.Signing(t.Context(), "ES256")
				if err != nil {
					t.Error(err)
				}
				ids[i] = key.ID
			})
		}
		all.Wait()
		if got := slices.Compact(slices.Clone(ids)); len(got) != 1 {
			t.Errorf("they sign with %q", got)
		}
		for _, alg := range []string{"ES256", "RS256"} {
			if got := states(t, a, alg); got[storage.KeyCurrent] != 1 || got[storage.KeyNext] != 1 || len(got) != 2 {
				t.Errorf("%s: %v", alg, got)
			}
		}
	})
}

// Two servers sign and publish while a command rotates every 10 seconds. At
// each second, whatever either signed with in the lifetime of a token must be
// published by both.
//
// TK-4
func TestRotatingEveryTenSecondsLosesNoVerification(t *testing.T) {
	withReplicas(t, func(t *testing.T, d *storage.DB, a, b *storage.Keys) {
		start := time.Now()
		type token struct {
			key    string
			signed int
		}
		var tokens []token
		used := map[string]bool{}
		for second := range 90 {
			now := start.Add(time.Duration(second) * time.Second)
			if second > 0 && second%10 == 0 {
				if err := a.RotateAt(t.Context(), "ES256", now); err != nil {
					t.Fatalf("second %d: %v", second, err)
				}
				if err := b.RotateIfDueAt(t.Context(), now); err != nil {
					t.Fatalf("second %d: %v", second, err)
				}
			}
			for _, k := range []*storage.Keys{a, b} {
				id := signing(t, k, "ES256", now).ID
				tokens, used[id] = append(tokens, token{id, second}), true
			}
			for name, k := range map[string]*storage.Keys{"a": a, "b": b} {
				ids := publishedIDs(t, k, now)
				for _, token := range tokens {
					if second-token.signed < 20 && !slices.Contains(ids, token.key) {
						t.Fatalf("second %d: %s does not publish the key of a token signed at %d", second, name, token.signed)
					}
				}
			}
		}
		if len(used) != 9 {
			t.Errorf("%d keys signed, want 9", len(used))
		}
		if n := len(publishedIDs(t, a, start.Add(90*time.Second))); n > 8 {
			t.Errorf("%d keys are published: old ones stay", n)
		}
	})
}

// TK-4
func TestAKeyThatOthersMayNotPublishYetDoesNotSign(t *testing.T) {
	withReplicas(t, func(t *testing.T, d *storage.DB, a, b *storage.Keys) {
		start := time.Now()
		first := signing(t, a, "ES256", start).ID
		for _, after := range []time.Duration{0, time.Second, settled - time.Millisecond} {
			if err := b.RotateAt(t.Context(), "ES256", start.Add(after)); !errors.Is(err, storage.ErrKeyTooNew) {
				t.Errorf("after %v: got %v, want ErrKeyTooNew", after, err)
			}
		}
		if got := signing(t, b, "ES256", start.Add(settled)).ID; got != first {
			t.Errorf("a refused rotation changed the key")
		}
		if err := b.RotateAt(t.Context(), "ES256", start.Add(settled)); err != nil {
			t.Errorf("after %v: %v", settled, err)
		}
		if got := signing(t, b, "ES256", start.Add(settled)).ID; got == first {
			t.Errorf("who rotated signs with the old key")
		}
		if got := states(t, b, "ES256"); got[storage.KeyCurrent] != 1 || got[storage.KeyNext] != 1 || got[storage.KeyLast] != 1 {
			t.Errorf("got %v", got)
		}
		if err := b.RotateAt(t.Context(), "HS256", start.Add(time.Hour)); !errors.Is(err, storage.ErrNoKey) {
			t.Errorf("an algorithm that is none of ours: got %v", err)
		}
	})
}

// The database is asked once in Refresh, and what is older than that is not
// used, whatever the reason.
func TestKeysAreRememberedForAMomentOnly(t *testing.T) {
	withReplicas(t, func(t *testing.T, d *storage.DB, a, b *storage.Keys) {
		start := time.Now()
		first := signing(t, a, "ES256", start)
		if err := d.Write(t.Context()).Exec("ALTER TABLE signing_keys RENAME TO away").Error; err != nil {
			t.Fatal(err)
		}
		for _, after := range []time.Duration{0, time.Second, 3 * time.Second, brisk.Refresh - time.Millisecond} {
			if got := signing(t, a, "ES256", start.Add(after)); got.ID != first.ID {
				t.Errorf("after %v: got %s", after, got.ID)
			}
		}
		for _, after := range []time.Duration{brisk.Refresh, time.Hour, -time.Second} {
			if got, err := a.SigningAt(t.Context(), "ES256", start.Add(after)); err == nil || got.Signer != nil {
				t.Errorf("after %v: got %s, %v", after, got.ID, err)
			}
			if got, err := a.PublishedAt(t.Context(), start.Add(after)); err == nil || got != nil {
				t.Errorf("after %v: published %d, %v", after, len(got), err)
			}
		}
		if err := d.Write(t.Context()).Exec("ALTER TABLE away RENAME TO signing_keys").Error; err != nil {
			t.Fatal(err)
		}
		if got := signing(t, a, "ES256", start.Add(time.Hour)); got.ID != first.ID || got.Signer != first.Signer {
			t.Errorf("afterwards: got %s, and a signer opened anew: %v", got.ID, got.Signer != first.Signer)
		}
	})
}

// TK-4, TK-5
func TestPrivateKeysAreSealedAndBoundToTheirRow(t *testing.T) {
	withReplicas(t, func(t *testing.T, d *storage.DB, a, b *storage.Keys) {
		start := time.Now()
		signing(t, a, "ES256", start)
		stranger := d.Keys(sealer(t, "k2"), brisk)
		if _, err := stranger.Signing(t.Context(), "ES256"); !errors.Is(err, mfa.ErrNoKey) {
			t.Errorf("with another sealing key: got %v", err)
		}
		if keys, err := stranger.List(t.Context()); err != nil || len(keys) != 4 {
			t.Errorf("the list needs no sealing key: got %d, %v", len(keys), err)
		}
		// Who can write to the database puts the next key, perhaps one that
		// they have seen, in the place of the current one.
		err := d.Write(t.Context()).Exec(`UPDATE signing_keys SET sealed =
			(SELECT sealed FROM signing_keys WHERE algorithm = 'ES256' AND active = 0)
			WHERE algorithm = 'ES256' AND active > 0`).Error
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Signing(t.Context(), "ES256"); !errors.Is(err, mfa.ErrUnsealable) {
			t.Errorf("a key in another's place: got %v, want ErrUnsealable", err)
		}
	})
}

func TestKeysAreSealedAnewWithTheNewestSealingKey(t *testing.T) {
	withReplicas(t, func(t *testing.T, d *storage.DB, a, _ *storage.Keys) {
		id := signing(t, a, "ES256", time.Now()).ID
		if n, err := a.Reseal(t.Context()); n != 0 || err != nil {
			t.Errorf("with one sealing key: %d, %v", n, err)
		}
		both, fresh := d.Keys(sealer(t, "k2", "k1"), brisk), d.Keys(sealer(t, "k2"), brisk)
		if n, err := both.Reseal(t.Context()); n != 4 || err != nil {
			t.Errorf("got %d, %v, want 4", n, err)
		}
		if n, err := both.Reseal(t.Context()); n != 0 || err != nil {
			t.Errorf("again: got %d, %v, want 0", n, err)
		}
		if got := signing(t, fresh, "ES256", time.Now()).ID; got != id {
			t.Errorf("got %s, want %s", got, id)
		}
		if _, err := d.Keys(sealer(t, "k3"), brisk).Reseal(t.Context()); !errors.Is(err, mfa.ErrNoKey) {
			t.Errorf("with a sealing key that is lost: %v", err)
		}
	})
}

// What a transaction sees of keys is remembered, so they must not change in one.
func TestKeysDoNotChangeWithinATransaction(t *testing.T) {
	withReplicas(t, func(t *testing.T, d *storage.DB, a, _ *storage.Keys) {
		in := func(f func(ctx context.Context) error) error { return d.Atomically(t.Context(), f) }
		signs := func(ctx context.Context) error { _, err := a.Signing(ctx, "ES256"); return err }
		if err := in(signs); !errors.Is(err, storage.ErrNoKey) {
			t.Errorf("before there are keys: got %v, want ErrNoKey", err)
		}
		later := time.Now().Add(time.Hour)
		signing(t, a, "ES256", time.Now())
		for name, f := range map[string]func(ctx context.Context) error{
			"Rotate":      func(ctx context.Context) error { return a.RotateAt(ctx, "ES256", later) },
			"RotateIfDue": func(ctx context.Context) error { return a.RotateIfDueAt(ctx, later) },
			"Reseal":      func(ctx context.Context) error { _, err := a.Reseal(ctx); return err },
		} {
			if err := in(f); err == nil {
				t.Errorf("%s in a transaction succeeded", name)
			}
		}
		if err := in(signs); err != nil {
			t.Errorf("signing in a transaction: %v", err)
		}
	})
}

// LG-3
func TestNoRotationRemainsThatCannotBeAudited(t *testing.T) {
	withReplicas(t, func(t *testing.T, d *storage.DB, a, _ *storage.Keys) {
		now := time.Now()
		id := signing(t, a, "ES256", now).ID
		if err := d.Write(t.Context()).Exec("DROP TABLE events").Error; err != nil {
			t.Fatal(err)
		}
		later := now.Add(time.Minute)
		if err := a.RotateAt(t.Context(), "ES256", later); err == nil {
			t.Error("rotated without an audit trail")
		}
		if got := signing(t, a, "ES256", later).ID; got != id {
			t.Error("the rotation remained")
		}
	})
}

func TestManySignWhileKeysRotate(t *testing.T) {
	withReplicas(t, func(t *testing.T, d *storage.DB, a, b *storage.Keys) {
		start := time.Now()
		signing(t, a, "ES256", start)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				k := []*storage.Keys{a, b}[i%2]
				for second := range 100 {
					now := start.Add(time.Duration(second) * time.Second)
					if i == 0 && second%25 == 24 {
						if err := k.RotateAt(t.Context(), "ES256", now); err != nil {
							t.Error(err)
						}
					}
					if _, err := k.SigningAt(t.Context(), "ES256", now); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
	})
}

func TestAKeyIDIsTheThumbprint(t *testing.T) {
	decoded := func(s string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	// RFC 9449 section 5.
	point := slices.Concat([]byte{4}, decoded("l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs"), decoded("9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"))
	ec, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	for want, key := range map[string]crypto.PublicKey{
		// RFC 7638 section 3.1.
		"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs": &rsa.PublicKey{E: 65537, N: new(big.Int).SetBytes(decoded(
			"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs" +
				"tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpb" +
				"ISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"))},
		// RFC 9449 section 6.1.
		"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I": ec,
	} {
		if got, err := storage.Thumbprint(key); got != want || err != nil {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
	for _, key := range []crypto.PublicKey{nil, []byte("x"), &ecdsa.PublicKey{Curve: elliptic.P384()}} {
		if got, err := storage.Thumbprint(key); got != "" || err == nil {
			t.Errorf("%T: got %s, %v", key, got, err)
		}
	}
}

func BenchmarkSigning(b *testing.B) {
	for _, e := range engines {
		b.Run(e.name, func(b *testing.B) {
			k := open(b, storage.Config{DSN: e.dsn(b)}).Keys(sealer(b, "k1"), storage.KeysConfig{})
			if _, err := k.Signing(b.Context(), "RS256"); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Signing(b.Context(), "RS256"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
