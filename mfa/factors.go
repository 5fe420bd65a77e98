package mfa

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport-id/sallyport/provider/authflow"
)

// Why something cannot be done to an account.
var (
	ErrEnrolled    = errors.New("mfa: the account has a second factor")
	ErrNotEnrolled = errors.New("mfa: the account has no second factor")
	ErrForbidden   = errors.New("mfa: enrolment is forbidden")

	errNobody    = errors.New("mfa: no subject")
	errNoBinding = errors.New("mfa: no binding")
)

// Config says how second factors are to be. Store and Sealer are required.
type Config struct {
	Store  Store
	Sealer *Sealer

	// Issuer is the name under which authenticator apps show the account: at
	// most 64 bytes, without a colon. Empty: "Sallyport".
	Issuer string

	// Params are those of new secrets; of zero fields SHA1, 6 digits and 30
	// seconds, which every authenticator app understands. Some ignore others
	// without a word, and show wrong codes.
	Params Params

	// Enrolment says who may enrol a first factor. Empty: Inline.
	Enrolment Enrolment

	// Budget bounds wrong codes, recovery codes and tickets, by account and
	// all together. Zero: FactorBudget. Day and Month cannot be left out.
	Budget Budget

	// TicketLifetime is how long an enrolment ticket is good. Zero: 24 hours.
	TicketLifetime time.Duration
}

// An Enrolment is a policy of first enrolment. Whoever has a factor may replace
// it under any.
type Enrolment string

const (
	Inline    Enrolment = "inline"    // on the way, behind the password, by an account that never had a factor
	Ticket    Enrolment = "ticket"    // with a ticket that an administrator made
	Forbidden Enrolment = "forbidden" // not at all; an administrator may import a secret
)

const (
	pendingLifetime = 10 * time.Minute
	unsavedLifetime = authflow.Lifetime // a flow that shows new codes does not live longer
)

// Factors are the second factors of all users. Only New makes one. It may be
// used by several goroutines at once.
type Factors struct {
	store  Store
	sealer *Sealer
	issuer string
	params Params
	policy Enrolment
	budget Budget
	ticket time.Duration // lifetime
}

// New returns Factors that follow c, or says what is wrong with it.
func New(c Config) (*Factors, error) {
	f := &Factors{
		store:  c.Store,
		sealer: c.Sealer,
		issuer: cmp.Or(c.Issuer, "Sallyport"),
		params: c.Params.orDefault(),
		policy: cmp.Or(c.Enrolment, Inline),
		budget: c.Budget,
		ticket: cmp.Or(c.TicketLifetime, 24*time.Hour),
	}
	if f.budget.isZero() {
		f.budget = FactorBudget
	}
	switch {
	case f.store == nil:
		return nil, errors.New("mfa: no store")
	case f.sealer == nil || len(f.sealer.keys) == 0:
		return nil, errors.New("mfa: no sealer")
	case len(f.issuer) > 64 || strings.ToValidUTF8(f.issuer, "") != f.issuer || strings.ContainsRune(f.issuer, ':'):
		return nil, fmt.Errorf("mfa: issuer %q is longer than 64 bytes, no UTF-8 or has a colon", f.issuer)
	case f.policy != Inline && f.policy != Ticket && f.policy != Forbidden:
		return nil, fmt.Errorf("mfa: enrolment %q is none of inline, ticket and forbidden", f.policy)
	case f.ticket < 0:
		return nil, errors.New("mfa: the lifetime of a ticket is negative")
	case f.budget.Day == 0 || f.budget.Month == 0:
		return nil, errors.New("mfa: a budget without limit by day or month lets codes be guessed in time")
	}
	if err := f.params.Check(); err != nil {
		return nil, err
	}
	if err := f.budget.Check(); err != nil {
		return nil, err
	}
	return f, nil
}

// Status returns what is true of subject's factors. Called in a transaction it
// holds until the transaction ends.
func (f *Factors) Status(ctx context.Context, subject, binding string) (authflow.Status, error) {
	a, err := f.account(ctx, subject)
	if err != nil {
		return authflow.Status{}, fmt.Errorf("reading factors: %w", err)
	}
	now := now()
	s := authflow.Status{
		FactorEpoch: strconv.FormatInt(a.Epoch, 10),
		Stolen:      a.Stolen,
		Unsaved:     a.unsaved(binding, now),
		Pending:     a.pending(binding, now),
	}
	s.MayEnroll, s.Ticket = f.mayEnroll(a, binding, now)
	if !a.enrolled() {
		return s, nil
	}
	s.RecoveryLeft = a.RecoveryLeft
	s.Enrolled = authflow.Of(authflow.OTP)
	if s.RecoveryLeft > 0 {
		s.Enrolled |= authflow.Of(authflow.Recovery)
	}
	return s, nil
}

// Verify charges subject's budget with an attempt and checks code, an OTP or a
// Recovery code as m says. A right code is used up by it.
func (f *Factors) Verify(ctx context.Context, subject string, m authflow.Method, code string) (authflow.Verdict, error) {
	var v authflow.Verdict
	err := f.change(ctx, subject, func(ctx context.Context, a *Account, now time.Time) (save bool, err error) {
		v, save, err = f.try(a, now, func() (authflow.Verdict, error) {
			switch m {
			case authflow.OTP:
				return f.checkOTP(a, code, now)
			case authflow.Recovery:
				return f.checkRecovery(ctx, a, code, now)
			}
			return authflow.Verdict{}, fmt.Errorf("mfa: %v is not verified here", m)
		})
		return save, err
	})
	if err != nil {
		return authflow.Verdict{}, fmt.Errorf("verifying a code: %w", err)
	}
	return v, nil
}

// try lets check look at something that could be guessed, if a's budget allows
// it, and charges the budget first. It reports whether a is to be saved.
//
// The charge and what it paid for are saved together. That is as good as saving
// the charge before: a is locked, so that of many attempts at once each sees
// the charge of the one before; and if the transaction fails, nobody learns
// what check said.
func (f *Factors) try(a *Account, now time.Time, check func() (authflow.Verdict, error)) (authflow.Verdict, bool, error) {
	if a.Stolen {
		return authflow.Verdict{}, false, nil
	}
	before := a.Misses
	if wait := f.budget.Wait(before, now); wait > 0 {
		return authflow.Verdict{Wait: wait}, false, nil
	}
	a.Misses = f.budget.Charge(before, now)
	v, err := check()
	switch {
	case err != nil:
		return authflow.Verdict{}, false, err
	case v.OK:
		a.Misses = f.budget.Clear(before, now)
	case f.budget.Spent(a.Misses):
		a.Stolen, v.Stolen = true, true
	}
	return v, true, nil
}

func (f *Factors) checkOTP(a *Account, code string, now time.Time) (authflow.Verdict, error) {
	if !a.enrolled() {
		return authflow.Verdict{}, nil // a pending secret does not count
	}
	secret, err := f.sealer.Open(a.Secret, forSecret, a.Subject)
	if err != nil {
		return authflow.Verdict{}, err
	}
	at, err := a.Params.fit(secret, normalCode(code, a.Params.Digits), now)
	if err != nil {
		return authflow.Verdict{}, err
	}
	switch {
	case !at.ok:
		return authflow.Verdict{}, nil
	case at.inWindow() && at.step > a.LastStep && at.step != a.Hinted:
		a.LastStep = at.step
		f.resealSecret(a, secret)
		return authflow.Verdict{OK: true}, nil
	case at.inWindow() || at.step == a.LastStep:
		return authflow.Verdict{Replayed: true}, nil
	}
	// The hint tells a guesser which code will be good in a few minutes; without
	// this a guess would be worth four times what the budget reckons with.
	if at.offset > 0 {
		a.Hinted = at.step
	}
	return authflow.Verdict{Drift: a.Params.drift(at)}, nil
}

func (f *Factors) checkRecovery(ctx context.Context, a *Account, code string, now time.Time) (authflow.Verdict, error) {
	selector, secret, ok := splitRecoveryCode(code)
	var kept RecoveryCode
	if ok && a.enrolled() {
		var err error
		if kept, err = f.store.RecoveryCode(ctx, a.Subject, selector); err != nil {
			return authflow.Verdict{}, err
		}
	}
	right, err := matches(kept.Hash, secret)
	if err != nil || !right {
		return authflow.Verdict{}, err
	}
	err = f.store.UseRecoveryCode(ctx, a.Subject, selector, now)
	if errors.Is(err, ErrSpent) {
		return authflow.Verdict{Replayed: true}, nil
	}
	if err != nil {
		return authflow.Verdict{}, err
	}
	return authflow.Verdict{OK: true, RecoveryLeft: a.RecoveryLeft - 1}, nil
}

// account returns what is kept of subject.
func (f *Factors) account(ctx context.Context, subject string) (Account, error) {
	if subject == "" {
		return Account{}, errNobody
	}
	a, err := f.store.Account(ctx, subject)
	a.Subject = subject
	return a, err
}

// change calls fn with subject's account, locked, in a transaction, and saves it
// if fn says so. fn may be called more than once.
func (f *Factors) change(ctx context.Context, subject string, fn func(context.Context, *Account, time.Time) (save bool, err error)) error {
	return f.store.Atomically(ctx, func(ctx context.Context) error {
		a, err := f.account(ctx, subject)
		if err != nil {
			return err
		}
		now := now()
		save, err := fn(ctx, &a, now)
		if err != nil || !save {
			return err
		}
		a.tidy(now)
		return f.store.SaveAccount(ctx, a)
	})
}

// What a sealed text of an account is about, besides the subject. A text that
// belongs to a binding is about that, too.
const (
	forSecret  = "totp"
	forPending = "totp pending"
	forUnsaved = "recovery codes"
)

// enrolled reports whether a has an active factor.
func (a *Account) enrolled() bool { return a.Secret != "" }

// pending reports whether binding has a secret that waits for its first code.
func (a *Account) pending(binding string, now time.Time) bool {
	return a.Pending != "" && binding != "" && a.PendingBinding == binding && now.Before(a.PendingExpires)
}

// unsaved reports whether binding has recovery codes to put away.
func (a *Account) unsaved(binding string, now time.Time) bool {
	return a.Unsaved != "" && binding != "" && a.UnsavedBinding == binding && now.Before(a.UnsavedExpires)
}

func (a *Account) dropPending() {
	a.Pending, a.PendingParams, a.PendingBinding, a.PendingName, a.PendingExpires = "", Params{}, "", "", time.Time{}
}

func (a *Account) dropUnsaved() { a.Unsaved, a.UnsavedBinding, a.UnsavedExpires = "", "", time.Time{} }
func (a *Account) dropTicket()  { a.Ticket, a.TicketExpires = nil, time.Time{} }

// tidy drops what has expired: a secret that is of no use is best not kept.
func (a *Account) tidy(now time.Time) {
	if !now.Before(a.PendingExpires) {
		a.dropPending()
	}
	if !now.Before(a.UnsavedExpires) {
		a.dropUnsaved()
	}
	if !now.Before(a.TicketExpires) {
		a.dropTicket()
	}
}
