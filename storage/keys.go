package storage

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"sync/atomic"
	"time"

	"gorm.io/gorm/clause"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
)

// What Keys answer.
var (
	// ErrNoKey says that there is no key for an algorithm, because it is none
	// of ours.
	ErrNoKey = errors.New("storage: no signing key")
	// ErrKeyTooNew says that the next key cannot take over yet: other servers
	// may not have published it.
	ErrKeyTooNew = errors.New("storage: the next signing key is too new")
)

// algorithms are those that there are keys for, side by side.
var algorithms = []string{"ES256", "RS256"}

// A KeysConfig says how signing keys rotate.
type KeysConfig struct {
	Period   time.Duration // how long a key signs; zero: 90 days
	Overlap  time.Duration // how long a key is published before the schedule has it sign; zero: 24 h, or Period if that is less
	Lifetime time.Duration // of the longest-lived token that a key signs, for as long as which it stays published; zero: 24 h
	Refresh  time.Duration // how old what a server knows of the keys may get; zero: 4 s
}

// Keys are the signing keys in the database. They are a provider.Keys.
//
// For each algorithm there is always a next key beside the current one,
// published since the last rotation. A rotation makes the next one current, the
// current one last, and a new next one. So what signs has been published by
// every server long before, without their speaking to one another: each looks
// at the database once in Refresh, and none signs with a key that is younger
// than twice that. The first keys of all are the exception: before them, there
// was no server.
type Keys struct {
	d      *DB
	sealer *mfa.Sealer
	config KeysConfig

	known   atomic.Pointer[ring]
	reading chan struct{} // holds one while someone refreshes known
}

var _ provider.Keys = (*Keys)(nil)

// Keys returns the signing keys in d, which sealer seals.
func (d *DB) Keys(sealer *mfa.Sealer, c KeysConfig) *Keys {
	if c.Period <= 0 {
		c.Period = 90 * 24 * time.Hour
	}
	if c.Overlap <= 0 {
		c.Overlap = min(24*time.Hour, c.Period)
	}
	if c.Lifetime <= 0 {
		c.Lifetime = 24 * time.Hour
	}
	if c.Refresh <= 0 {
		c.Refresh = 4 * time.Second
	}
	return &Keys{d: d, sealer: sealer, config: c, reading: make(chan struct{}, 1)}
}

// settle is how long after it was stored every server has published a key: one
// Refresh, and as much again for clocks that differ and a commit that took long.
func (c KeysConfig) settle() time.Duration { return 2 * c.Refresh }

// Ahead returns for how long every server has published a key before the schedule
// has it sign, at least; see provider.Config.KeysAhead. A Rotate by hand need not
// wait for as long.
func (k *Keys) Ahead() time.Duration {
	return max(time.Second, max(k.config.Overlap, k.config.settle())-k.config.settle())
}

// Signing returns the current key for alg. Unless what is known is older than
// Refresh, it asks nobody.
func (k *Keys) Signing(ctx context.Context, alg string) (provider.SigningKey, error) {
	return k.signing(ctx, alg, time.Now())
}

func (k *Keys) signing(ctx context.Context, alg string, now time.Time) (provider.SigningKey, error) {
	r, err := k.ring(ctx, now)
	if err != nil {
		return provider.SigningKey{}, fmt.Errorf("storage: signing key: %w", err)
	}
	return r.signing(alg, now)
}

// Published returns the last, the current and the next key of each algorithm;
// several last ones, if they follow one another faster than tokens expire.
func (k *Keys) Published(ctx context.Context) ([]provider.PublicKey, error) {
	return k.publishedAt(ctx, time.Now())
}

func (k *Keys) publishedAt(ctx context.Context, now time.Time) ([]provider.PublicKey, error) {
	r, err := k.ring(ctx, now)
	if err != nil {
		return nil, fmt.Errorf("storage: published keys: %w", err)
	}
	return r.published(now), nil
}

// ring returns the keys as they were at most Refresh ago. When half of that has
// passed, one caller reads them anew, and the others need not wait for it, nor
// suffer if it fails.
func (k *Keys) ring(ctx context.Context, now time.Time) (*ring, error) {
	r := k.known.Load()
	if r.fresh(now, k.config.Refresh/2) {
		return r, nil
	}
	bearable := r.fresh(now, k.config.Refresh)
	select {
	case k.reading <- struct{}{}:
	default:
		if bearable {
			return r, nil
		}
		select {
		case k.reading <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer func() { <-k.reading }()
	if r = k.known.Load(); r.fresh(now, k.config.Refresh/2) {
		return r, nil // someone else has read them while this one waited
	}
	next, err := k.read(ctx, now, r)
	switch {
	case err == nil:
		k.known.Store(next)
		return next, nil
	case bearable && r != nil:
		return r, nil
	default:
		return nil, err
	}
}

// read reads the keys and, if there are none for an algorithm, makes them. In
// a transaction it makes none: they would not be there if that is rolled back.
func (k *Keys) read(ctx context.Context, now time.Time, before *ring) (*ring, error) {
	rows, err := k.rows(ctx)
	if err != nil {
		return nil, err
	}
	if k.d.joined(ctx) == nil {
		if rows, err = k.begun(ctx, rows, now); err != nil {
			return nil, err
		}
	}
	if algs := missingFrom(rows); len(algs) > 0 {
		return nil, fmt.Errorf("%w for %q", ErrNoKey, algs)
	}
	r := &ring{read: now}
	for _, row := range rows {
		signer := before.signer(row)
		if signer == nil {
			if signer, err = row.signer(k.sealer); err != nil {
				return nil, err
			}
		}
		r.keys = append(r.keys, openKey{row, signer})
	}
	return r, nil
}

func (k *Keys) rows(ctx context.Context) ([]keyRow, error) {
	var rows []keyRow
	err := k.d.read(ctx).Order("algorithm, published, id").Find(&rows).Error
	return rows, err
}

// missingFrom returns the algorithms that have no key in rows.
func missingFrom(rows []keyRow) (algs []string) {
	has := map[string]bool{}
	for _, r := range rows {
		has[r.Algorithm] = true
	}
	for _, alg := range algorithms {
		if !has[alg] {
			algs = append(algs, alg)
		}
	}
	return algs
}

// begun returns rows, or if an algorithm has none there, all rows after making
// the first ones.
func (k *Keys) begun(ctx context.Context, rows []keyRow, now time.Time) ([]keyRow, error) {
	missing := missingFrom(rows)
	if len(missing) == 0 {
		return rows, nil
	}
	if err := k.begin(ctx, missing, now); err != nil {
		return nil, err
	}
	return k.rows(ctx)
}

// begin makes the first keys of algs: one that signs at once, and the next. If
// another server does the same at this moment, its keys stand.
func (k *Keys) begin(ctx context.Context, algs []string, now time.Time) error {
	var rows []*keyRow
	for _, alg := range algs {
		current, err := newKeyRow(k.sealer, alg, now)
		if err != nil {
			return err
		}
		current.Active = mark(now)
		next, err := newKeyRow(k.sealer, alg, now)
		if err != nil {
			return err
		}
		rows = append(rows, current, next)
	}
	return k.d.Atomically(ctx, func(ctx context.Context) error {
		for _, row := range rows {
			g := k.d.write(ctx).Clauses(clause.OnConflict{DoNothing: true}).Create(row)
			if g.Error != nil {
				return g.Error
			}
			if g.RowsAffected == 0 {
				continue
			}
			if err := k.record(ctx, "make", *row, "system", now); err != nil {
				return err
			}
		}
		return nil
	})
}

// record writes what was done with a key to the audit trail.
func (k *Keys) record(ctx context.Context, act string, row keyRow, actor string, now time.Time) error {
	return k.d.Record(ctx, provider.Event{
		Time:    now,
		Kind:    provider.EventKeys,
		Outcome: provider.Success,
		Actor:   actor,
		Detail:  map[string]string{"act": act, "algorithm": row.Algorithm, "key": row.ID},
	})
}

type keyRow struct {
	ID        string `gorm:"primaryKey"` // the JWK thumbprint (RFC 7638)
	Algorithm string
	Sealed    string // the private key, PKCS #8
	Published micros
	Active    micros // 0: it is the next one
	Retired   micros // 0: it still signs, or will
	Removed   micros // 0: it is not known yet
}

// TableName tells gorm the table.
func (keyRow) TableName() string { return "signing_keys" }

// newKeyRow makes a key, the next one of alg.
func newKeyRow(sealer *mfa.Sealer, alg string, now time.Time) (*keyRow, error) {
	signer, err := newSigner(alg)
	if err != nil {
		return nil, fmt.Errorf("making a key for %s: %w", alg, err)
	}
	id, err := thumbprint(signer.Public())
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return nil, fmt.Errorf("encoding a key for %s: %w", alg, err)
	}
	return &keyRow{
		ID:        id,
		Algorithm: alg,
		Sealed:    string(sealer.Seal(der, aboutKey(alg, id)...)),
		Published: mark(now),
	}, nil
}

func newSigner(alg string) (crypto.Signer, error) {
	switch alg {
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "RS256":
		return rsa.GenerateKey(rand.Reader, 2048)
	default:
		return nil, ErrNoKey
	}
}

// aboutKey is what a sealed key is bound to: moved to another row, it does not
// open.
func aboutKey(alg, id string) []string { return []string{"signing key", alg, id} }

// thumbprint returns the JWK thumbprint of a public key: the SHA-256 of its
// required members in the order of their names (RFC 7638 section 3).
func thumbprint(public crypto.PublicKey) (string, error) {
	b64 := base64.RawURLEncoding.EncodeToString
	var jwk string
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return "", errors.New("thumbprint: not a key of P-256")
		}
		point, err := key.Bytes()
		if err != nil {
			return "", fmt.Errorf("thumbprint: %w", err)
		}
		x, y := point[1:33], point[33:] // behind the 4 of an uncompressed point
		jwk = fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, b64(x), b64(y))
	case *rsa.PublicKey:
		e := big.NewInt(int64(key.E)).Bytes()
		jwk = fmt.Sprintf(`{"e":"%s","kty":"RSA","n":"%s"}`, b64(e), b64(key.N.Bytes()))
	default:
		return "", fmt.Errorf("thumbprint: %T is no key of ours", public)
	}
	sum := sha256.Sum256([]byte(jwk))
	return b64(sum[:]), nil
}

// signer unseals the key. The public half is derived from it and stands nowhere
// in the database: whoever could write there could otherwise publish a key of
// their own, and sign with it whatever they like.
func (r keyRow) signer(sealer *mfa.Sealer) (crypto.Signer, error) {
	der, err := sealer.Open(mfa.Sealed(r.Sealed), aboutKey(r.Algorithm, r.ID)...)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", r.ID, err)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("key %s: it does not parse", r.ID)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("key %s: %T does not sign", r.ID, key)
	}
	return signer, nil
}
