package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
)

// A KeyInfo is a signing key as an administrator sees it.
type KeyInfo struct {
	ID        string // the kid
	Algorithm string
	State     KeyState
	Published time.Time
	Active    time.Time // since when it signs; zero: it does not yet
	Retired   time.Time // since when it no longer does
	Removes   time.Time // when it is no longer published; zero: not known yet
}

// List returns every key, by algorithm and age. It opens none.
func (k *Keys) List(ctx context.Context) ([]KeyInfo, error) {
	rows, err := k.rows(ctx)
	if err != nil {
		return nil, fmt.Errorf("storage: keys: %w", err)
	}
	now := time.Now()
	var all []KeyInfo
	for _, r := range rows {
		all = append(all, KeyInfo{r.ID, r.Algorithm, r.state(now), r.Published.time(), r.Active.time(), r.Retired.time(), r.Removed.time()})
	}
	return all, nil
}

// Rotate makes the next key of alg the current one, now. It returns
// ErrKeyTooNew if that was made so lately that other servers may not have
// published it, and provider.ErrConflict if another server rotated at this
// moment. Where there are no keys yet, it makes the first ones.
func (k *Keys) Rotate(ctx context.Context, alg string) error {
	return k.rotate(ctx, alg, "admin", time.Now())
}

// RotateIfDue rotates what is due by the schedule, deletes what no token needs
// any more, and makes the first keys where there are none. It is to be called
// at the start and then every minute or so, by as many servers as there are.
func (k *Keys) RotateIfDue(ctx context.Context) error {
	return k.rotateIfDue(ctx, time.Now())
}

func (k *Keys) rotateIfDue(ctx context.Context, now time.Time) error {
	rows, err := k.alone(ctx, now)
	if err != nil {
		return fmt.Errorf("storage: rotate keys: %w", err)
	}
	for _, alg := range algorithms {
		current, next, err := pair(rows, alg)
		if err != nil {
			return fmt.Errorf("storage: rotate keys: %w", err)
		}
		if now.Before(k.config.due(current, next)) {
			continue
		}
		// Whoever else rotated has done it for all.
		if err := k.promote(ctx, current, next, "system", now); err != nil && !errors.Is(err, provider.ErrConflict) {
			return fmt.Errorf("storage: rotate %s: %w", alg, err)
		}
	}
	gone := func(r keyRow) bool { return r.state(now) == KeyGone }
	if !slices.ContainsFunc(rows, gone) {
		return nil
	}
	err = k.d.write(ctx).Where("removed > 0 AND removed <= ?", stamp(now)).Delete(&keyRow{}).Error
	if err != nil {
		return fmt.Errorf("storage: delete old keys: %w", err)
	}
	return nil
}

// alone returns the keys, after making the first ones where there are none. It
// refuses to be part of a transaction: what Signing reads in one is remembered,
// and a change that may yet be rolled back must not be among it.
func (k *Keys) alone(ctx context.Context, now time.Time) ([]keyRow, error) {
	if k.d.joined(ctx) != nil {
		return nil, errors.New("keys do not change within a transaction")
	}
	rows, err := k.rows(ctx)
	if err != nil {
		return nil, err
	}
	return k.begun(ctx, rows, now)
}

func (k *Keys) rotate(ctx context.Context, alg, actor string, now time.Time) error {
	rows, err := k.alone(ctx, now)
	if err != nil {
		return fmt.Errorf("storage: rotate %s: %w", alg, err)
	}
	current, next, err := pair(rows, alg)
	if err != nil {
		return fmt.Errorf("storage: rotate keys: %w", err)
	}
	if ready := k.config.ready(next); now.Before(ready) {
		return fmt.Errorf("storage: rotate %s: %w: try again in %v", alg, ErrKeyTooNew, ready.Sub(now).Round(time.Second)+time.Second)
	}
	if err := k.promote(ctx, current, next, actor, now); err != nil {
		return fmt.Errorf("storage: rotate %s: %w", alg, err)
	}
	return nil
}

// promote has next take over from current, if that is what the two still are,
// and returns provider.ErrConflict otherwise.
func (k *Keys) promote(ctx context.Context, current, next keyRow, actor string, now time.Time) error {
	// Before the transaction: an RSA key takes a while.
	fresh, err := newKeyRow(k.sealer, current.Algorithm, now)
	if err != nil {
		return err
	}
	// Until it looks again, another server signs with the key that is retired
	// here, and so a token of it may be about for that much longer.
	removed := now.Add(k.config.Lifetime + k.config.settle())
	err = k.d.Atomically(ctx, func(ctx context.Context) error {
		g := k.d.write(ctx).Model(&keyRow{}).Where("id = ? AND active > 0 AND retired = 0", current.ID).
			Updates(map[string]any{"retired": mark(now), "removed": mark(removed)})
		if err := settled(g, provider.ErrConflict); err != nil {
			return err
		}
		g = k.d.write(ctx).Model(&keyRow{}).Where("id = ? AND active = 0", next.ID).Update("active", mark(now))
		if err := settled(g, provider.ErrConflict); err != nil {
			return err
		}
		if err := settled(k.d.write(ctx).Create(fresh), provider.ErrConflict); err != nil {
			return err
		}
		return k.record(ctx, "rotate", next, actor, now)
	})
	if err == nil {
		k.known.Store(nil) // the old one signs no longer, here at least
	}
	return err
}

// Reseal seals with the Sealer's first key what another one sealed, and returns
// how many keys that were. Every server must have that first key before.
func (k *Keys) Reseal(ctx context.Context) (n int, err error) {
	if k.d.joined(ctx) != nil {
		return 0, errors.New("storage: reseal keys: not within a transaction")
	}
	err = k.d.Atomically(ctx, func(ctx context.Context) error {
		n = 0 // may be the second try
		rows, err := k.rows(ctx)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if !k.sealer.NeedsReseal(mfa.Sealed(row.Sealed)) {
				continue
			}
			about := aboutKey(row.Algorithm, row.ID)
			der, err := k.sealer.Open(mfa.Sealed(row.Sealed), about...)
			if err != nil {
				return fmt.Errorf("key %s: %w", row.ID, err)
			}
			g := k.d.write(ctx).Model(&keyRow{}).Where("id = ? AND sealed = ?", row.ID, row.Sealed).
				Update("sealed", string(k.sealer.Seal(der, about...)))
			if g.Error != nil {
				return g.Error
			}
			n += int(g.RowsAffected)
		}
		if n == 0 {
			return nil
		}
		return k.d.Record(ctx, provider.Event{
			Time: time.Now(), Kind: provider.EventKeys, Outcome: provider.Success, Actor: "admin",
			Detail: map[string]string{"act": "reseal"},
		})
	})
	if err != nil {
		return 0, fmt.Errorf("storage: reseal keys: %w", err)
	}
	return n, nil
}
