package storage

import (
	"cmp"
	"crypto"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

// A KeyState is where a signing key is in its life.
type KeyState string

const (
	KeyNext    KeyState = "next"    // published, and will sign
	KeyCurrent KeyState = "current" // signs
	KeyLast    KeyState = "last"    // has signed, and still verifies
	KeyGone    KeyState = "gone"    // no token it signed is good any more; to be deleted
)

// state derives what the key is at now from its times.
func (r keyRow) state(now time.Time) KeyState {
	at := stamp(now)
	switch {
	case r.Active == 0:
		return KeyNext
	case r.Retired == 0:
		return KeyCurrent
	case at < r.Removed:
		return KeyLast
	default:
		return KeyGone
	}
}

// A ring is the keys as they were in the database at one moment, unsealed. The
// nil ring knows none.
type ring struct {
	read time.Time // when reading began
	keys []openKey
}

type openKey struct {
	keyRow
	signer crypto.Signer
}

// fresh reports whether r is younger than age. A clock that was set back makes
// it stale.
func (r *ring) fresh(now time.Time, age time.Duration) bool {
	return r != nil && !now.Before(r.read) && now.Sub(r.read) < age
}

// signer returns what row holds, nil if it is not known or was sealed anew.
func (r *ring) signer(row keyRow) crypto.Signer {
	if r == nil {
		return nil
	}
	for _, k := range r.keys {
		if k.ID == row.ID && k.Sealed == row.Sealed {
			return k.signer
		}
	}
	return nil
}

// signing returns the current key for alg. A key that another server made
// current by a clock that is ahead of this one's may sign: what counts is that
// it has long been published.
func (r *ring) signing(alg string, now time.Time) (provider.SigningKey, error) {
	for _, k := range r.keys {
		if k.Algorithm == alg && k.state(now) == KeyCurrent {
			return provider.SigningKey{ID: k.ID, Algorithm: k.Algorithm, Signer: k.signer}, nil
		}
	}
	return provider.SigningKey{}, fmt.Errorf("%w for %q", ErrNoKey, alg)
}

// published returns the keys that are not gone, of each algorithm the current
// one first: some verifiers without regard for the kid take that.
func (r *ring) published(now time.Time) (all []provider.PublicKey) {
	keys := slices.Clone(r.keys)
	order := map[KeyState]int{KeyCurrent: 0, KeyNext: 1, KeyLast: 2}
	slices.SortStableFunc(keys, func(a, b openKey) int {
		return cmp.Or(cmp.Compare(a.Algorithm, b.Algorithm), order[a.state(now)]-order[b.state(now)])
	})
	for _, k := range keys {
		if k.state(now) != KeyGone {
			all = append(all, provider.PublicKey{ID: k.ID, Algorithm: k.Algorithm, Key: k.signer.Public()})
		}
	}
	return all
}

// pair returns the current and the next key of alg. Both are always there: the
// first keys are made together, and a rotation makes a next one.
func pair(rows []keyRow, alg string) (current, next keyRow, err error) {
	for _, r := range rows {
		switch {
		case r.Algorithm != alg:
		case r.Active == 0:
			next = r
		case r.Retired == 0:
			current = r
		}
	}
	if current.ID == "" || next.ID == "" {
		return current, next, fmt.Errorf("%w for %q", ErrNoKey, alg)
	}
	return current, next, nil
}

// ready returns when the next key may sign, by command or by schedule.
func (c KeysConfig) ready(next keyRow) time.Time {
	return next.Published.time().Add(c.settle())
}

// due returns when the schedule has next take over from current.
func (c KeysConfig) due(current, next keyRow) time.Time {
	at := current.Active.time().Add(c.Period)
	for _, t := range []time.Time{next.Published.time().Add(c.Overlap), c.ready(next)} {
		if t.After(at) {
			at = t
		}
	}
	return at
}
