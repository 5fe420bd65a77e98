package mfa_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/mfa"
)

// A memory is a Store that fails the test if its caller does not keep to the
// contract. One transaction runs at a time.
type memory struct {
	t  testing.TB
	mu sync.Mutex
	kept

	twice  bool // each transaction fails to serialize once, and is run again
	fails  int  // the call that fails, counted from 1; 0: none
	lost   bool // transactions are committed and fail
	calls  int
	writes int // commits that changed something
}

// kept is what a transaction can undo.
type kept struct {
	accounts map[string]mfa.Account
	codes    map[string][]mfa.RecoveryCode
	misses   map[string]mfa.Misses
}

func newMemory(t testing.TB) *memory {
	return &memory{t: t, kept: kept{map[string]mfa.Account{}, map[string][]mfa.RecoveryCode{}, map[string]mfa.Misses{}}}
}

func (k kept) clone() kept {
	c := kept{maps.Clone(k.accounts), maps.Clone(k.codes), maps.Clone(k.misses)}
	for subject, codes := range c.codes {
		c.codes[subject] = slices.Clone(codes)
	}
	return c
}

var (
	errStore     = errors.New("memory: a fault")
	errSerialize = errors.New("memory: serialization failure")
)

type txKey struct{}

// A tx is a running transaction.
type tx struct {
	read  map[string]bool // accounts and keys that it has asked for, and so locked
	wrote bool
}

func (m *memory) Atomically(ctx context.Context, fn func(context.Context) error) error {
	if ctx.Value(txKey{}) != nil {
		return fn(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call(); err != nil {
		return err
	}
	runs := 1
	if m.twice {
		runs = 2
	}
	for run := range runs {
		before := m.clone()
		x := &tx{read: map[string]bool{}}
		err := fn(context.WithValue(ctx, txKey{}, x))
		if err == nil && run < runs-1 {
			err = errSerialize
		}
		if err != nil {
			m.kept = before
		}
		if err != nil && !errors.Is(err, errSerialize) {
			return err
		}
		if err == nil && x.wrote {
			m.writes++
		}
	}
	if m.lost {
		return errStore
	}
	return nil
}

// call counts a call, and returns the error that it is to fail with.
func (m *memory) call() error {
	m.calls++
	if m.calls == m.fails {
		return errStore
	}
	return nil
}

// read is what every reading method begins with. Outside of a transaction it
// returns with the lock held.
func (m *memory) read(ctx context.Context, what string) (done func(), err error) {
	done = func() {}
	if x, ok := ctx.Value(txKey{}).(*tx); ok {
		x.read[what] = true
	} else {
		m.mu.Lock()
		done = m.mu.Unlock
	}
	return done, m.call()
}

// write is what every writing method begins with.
func (m *memory) write(ctx context.Context, what string) error {
	x, ok := ctx.Value(txKey{}).(*tx)
	if !ok {
		m.t.Errorf("%s is written outside of a transaction", what)
		return errStore
	}
	if !x.read[what] {
		m.t.Errorf("%s is written without having been locked", what)
	}
	x.wrote = true
	return m.call()
}

func (m *memory) Account(ctx context.Context, subject string) (mfa.Account, error) {
	done, err := m.read(ctx, subject)
	defer done()
	if err != nil {
		return mfa.Account{}, err
	}
	a := m.accounts[subject]
	a.Misses.Times = slices.Clone(a.Misses.Times)
	a.RecoveryLeft = 0
	for _, c := range m.codes[subject] {
		if c.Used.IsZero() {
			a.RecoveryLeft++
		}
	}
	return a, nil
}

func (m *memory) SaveAccount(ctx context.Context, a mfa.Account) error {
	if err := m.write(ctx, a.Subject); err != nil {
		return err
	}
	if a.Subject == "" {
		m.t.Error("an account without a subject is saved")
	}
	for _, at := range append(slices.Clone(a.Misses.Times), a.Enrolled, a.PendingExpires, a.UnsavedExpires, a.TicketExpires, a.Misses.Since) {
		if at.Location() != time.UTC || !at.Equal(at.Truncate(time.Microsecond)) {
			m.t.Errorf("%v is not in UTC with microseconds", at)
		}
	}
	if a.Version != m.accounts[a.Subject].Version {
		return mfa.ErrConflict
	}
	a.Version++
	a.Misses.Times = slices.Clone(a.Misses.Times)
	m.accounts[a.Subject] = a
	return nil
}

func (m *memory) ReplaceRecoveryCodes(ctx context.Context, subject string, codes []mfa.RecoveryCode) error {
	if err := m.write(ctx, subject); err != nil {
		return err
	}
	m.codes[subject] = slices.Clone(codes)
	return nil
}

func (m *memory) RecoveryCode(ctx context.Context, subject, selector string) (mfa.RecoveryCode, error) {
	done, err := m.read(ctx, subject)
	defer done()
	if err != nil {
		return mfa.RecoveryCode{}, err
	}
	for _, c := range m.codes[subject] {
		if c.Selector == selector {
			return c, nil
		}
	}
	return mfa.RecoveryCode{}, nil
}

func (m *memory) UseRecoveryCode(ctx context.Context, subject, selector string, now time.Time) error {
	if err := m.write(ctx, subject); err != nil {
		return err
	}
	for i, c := range m.codes[subject] {
		if c.Selector == selector && c.Used.IsZero() {
			m.codes[subject][i].Used = now
			return nil
		}
	}
	return mfa.ErrSpent
}

func (m *memory) Misses(ctx context.Context, key string) (mfa.Misses, error) {
	done, err := m.read(ctx, key)
	defer done()
	return m.misses[key], err
}

func (m *memory) SaveMisses(ctx context.Context, key string, misses mfa.Misses, expires time.Time) error {
	if err := m.write(ctx, key); err != nil {
		return err
	}
	if !expires.After(time.Now()) {
		m.t.Errorf("misses of %s are kept until %v", key, expires)
	}
	m.misses[key] = misses
	return nil
}
