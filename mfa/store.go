package mfa

import (
	"context"
	"errors"
	"time"
)

// What a [Store] answers.
var (
	ErrConflict = errors.New("mfa: changed by someone else in the meantime")
	ErrSpent    = errors.New("mfa: recovery code used before")
)

// A Store keeps the second factors. Package storage has one.
//
// Times are in UTC with at least microseconds. Methods called with a context
// that Atomically made take part in its transaction.
type Store interface {
	// Atomically calls fn in one transaction, or within the one that ctx is
	// already in, and commits it if fn returns nil. fn may be called again
	// after a serialization failure.
	Atomically(ctx context.Context, fn func(ctx context.Context) error) error

	// Account returns what is kept of subject's factors; with Version 0 and
	// nothing else if there is nothing. In a transaction it is locked: until
	// the transaction ends, another that asks for the same Account waits.
	Account(ctx context.Context, subject string) (Account, error)

	// SaveAccount stores a as version a.Version+1 if the stored version is
	// still a.Version, and returns ErrConflict otherwise. Of two concurrent
	// calls with one version, one fails.
	SaveAccount(ctx context.Context, a Account) error

	// ReplaceRecoveryCodes stores codes in place of all that subject had.
	ReplaceRecoveryCodes(ctx context.Context, subject string, codes []RecoveryCode) error

	// RecoveryCode returns subject's code with this selector, used or not; the
	// zero RecoveryCode if there is none.
	RecoveryCode(ctx context.Context, subject, selector string) (RecoveryCode, error)

	// UseRecoveryCode marks the code as used. Of any number of calls one
	// succeeds, the others get ErrSpent.
	UseRecoveryCode(ctx context.Context, subject, selector string, now time.Time) error

	// Misses returns the wrong attempts kept under key, locked as Account is;
	// the zero Misses if there are none.
	Misses(ctx context.Context, key string) (Misses, error)

	// SaveMisses stores m under key until expires, when it may be swept.
	SaveMisses(ctx context.Context, key string, m Misses, expires time.Time) error
}

// An Account is everything that is kept of one user's second factors but the
// recovery codes. The zero Account has none.
type Account struct {
	Subject string
	Version int64 // for compare-and-swap; 0: not yet stored
	Epoch   int64 // grows with each enrolment, replacement and removal

	// The active TOTP secret. Empty: none.
	Secret   Sealed
	Params   Params
	LastStep int64     // the highest time step whose code was accepted; none at or below it ever is
	Hinted   int64     // a step ahead of its time that a drift hint told of; its code is never accepted
	Enrolled time.Time // when it became active

	// Had says that there was a factor once: no first enrolment on the
	// strength of a password alone.
	Had bool

	// A secret that waits for its first code.
	Pending        Sealed
	PendingParams  Params
	PendingBinding string
	PendingName    string // of the account, as the authenticator app will show it
	PendingExpires time.Time

	// Recovery codes, in a text that their owner has not put away yet.
	Unsaved        Sealed
	UnsavedBinding string
	UnsavedExpires time.Time

	// A one-time ticket that an administrator made for enrolling.
	Ticket        []byte // SHA-256; empty: none
	TicketExpires time.Time

	Misses Misses
	Stolen bool // the password is to be taken as known to a stranger

	// RecoveryLeft is how many recovery codes are not used. It is read with the
	// rest, and not stored with it; of an account that is not stored it is 0.
	RecoveryLeft int
}

// Opens returns an error, which wraps ErrNoKey or ErrUnsealable, unless s opens the
// secret of a, if it has one.
func (a Account) Opens(s *Sealer) error {
	if a.Secret == "" {
		return nil
	}
	_, err := s.Open(a.Secret, forSecret, a.Subject)
	return err
}

// Misses are wrong attempts, as far back as a budget looks.
type Misses struct {
	Times []time.Time // of each, the oldest first
	Run   int         // how many since the last right one
	Since time.Time   // of the last right one that cleared the short windows; zero: never
}

// Sealed is a secret that was sealed by a Sealer: the key's ID and the text. It
// can be stored and shown to anyone. Empty: none.
type Sealed string

// Params are the parameters of a TOTP secret (RFC 6238).
type Params struct {
	Algorithm string // SHA1, SHA256 or SHA512
	Digits    int    // 6 or 8
	Period    int    // seconds of a time step
}

// A RecoveryCode is one recovery code, of which only a hash is known.
type RecoveryCode struct {
	Selector string // the part that finds it; no secret
	Hash     string // of the rest: slow and salted, in PHC form
	Used     time.Time
}
