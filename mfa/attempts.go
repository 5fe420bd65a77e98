package mfa

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Attempts bounds how often passwords may be guessed, by account and in the
// store, so that all replicas count together.
type Attempts struct {
	store  Store
	budget Budget
}

// NewAttempts returns Attempts that keep their count in s. The zero Budget
// stands for PasswordBudget.
func NewAttempts(s Store, b Budget) (*Attempts, error) {
	if s == nil {
		return nil, errors.New("mfa: attempts need a store")
	}
	if b.isZero() {
		b = PasswordBudget
	}
	if err := b.Check(); err != nil {
		return nil, err
	}
	return &Attempts{s, b}, nil
}

// Attempt records that a password was given for the account that key names,
// and whether it was right, and reports whether it counts: it does while the
// account's budget lasts, which a wrong one is charged to and a right one
// clears. Beyond the budget a right password is refused like a wrong one, and
// neither is recorded, so that a guesser learns nothing there and the owner
// does not wait longer for it. It takes part in the transaction of ctx.
//
// The password has been hashed by the time it is known to be right. That gives
// nothing away as long as the caller's answer, and the time it takes, depend on
// what Attempt reports alone.
func (a *Attempts) Attempt(ctx context.Context, key string, right bool) (bool, error) {
	var counts bool
	err := a.store.Atomically(ctx, func(ctx context.Context) error {
		counts = false
		m, err := a.store.Misses(ctx, key)
		if err != nil {
			return err
		}
		now := now()
		if a.budget.Wait(m, now) > 0 {
			return nil
		}
		counts = true
		switch {
		case !right:
			return a.save(ctx, key, a.budget.Charge(m, now), now)
		case m.Run > 0:
			return a.save(ctx, key, a.budget.Clear(m, now), now)
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("recording an attempt: %w", err)
	}
	return counts, nil
}

// Wait returns how long no password is accepted for the account that key names.
func (a *Attempts) Wait(ctx context.Context, key string) (time.Duration, error) {
	m, err := a.store.Misses(ctx, key)
	if err != nil {
		return 0, fmt.Errorf("reading attempts: %w", err)
	}
	return a.budget.Wait(m, now()), nil
}

// Unlock forgets all wrong attempts on the account that key names.
func (a *Attempts) Unlock(ctx context.Context, key string) error {
	err := a.store.Atomically(ctx, func(ctx context.Context) error {
		if _, err := a.store.Misses(ctx, key); err != nil {
			return err
		}
		return a.save(ctx, key, Misses{}, now())
	})
	if err != nil {
		return fmt.Errorf("unlocking: %w", err)
	}
	return nil
}

func (a *Attempts) save(ctx context.Context, key string, m Misses, now time.Time) error {
	return a.store.SaveMisses(ctx, key, m, now.Add(a.budget.span()))
}
