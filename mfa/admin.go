package mfa

import (
	"context"
	"fmt"
	"time"
)

// A Description is what an administrator may know of a user's second factors.
// There is no secret in it.
type Description struct {
	Enrolled      time.Time // zero: there is no factor
	Params        Params    // of the factor
	RecoveryLeft  int       // recovery codes not yet used
	Pending       bool      // an enrolment was begun and not finished
	TicketExpires time.Time // of an enrolment ticket; zero: there is none

	Run    int           // wrong attempts since the last right one
	Misses int           // wrong attempts in the last 30 days
	Wait   time.Duration // until the next attempt is looked at
	Stolen bool          // the account is closed until its password is changed
}

// Describe returns what is true of subject's factors.
func (f *Factors) Describe(ctx context.Context, subject string) (Description, error) {
	a, err := f.account(ctx, subject)
	if err != nil {
		return Description{}, fmt.Errorf("reading factors: %w", err)
	}
	now := now()
	misses := 0
	for _, t := range a.Misses.Times {
		if now.Sub(t) < month {
			misses++
		}
	}
	a.tidy(now)
	return Description{
		Enrolled:      a.Enrolled,
		Params:        a.Params,
		RecoveryLeft:  a.RecoveryLeft,
		Pending:       a.Pending != "",
		TicketExpires: a.TicketExpires,
		Run:           a.Misses.Run,
		Misses:        misses,
		Wait:          f.budget.Wait(a.Misses, now),
		Stolen:        a.Stolen,
	}, nil
}

// Reset makes subject's an account that has no factor and never had one: its
// secret, its recovery codes and its ticket are gone, and the epoch grows. Its
// budget stays as it is; see Unlock. For an account of which nothing is kept
// there is nothing to do.
func (f *Factors) Reset(ctx context.Context, subject string) error {
	err := f.change(ctx, subject, func(ctx context.Context, a *Account, now time.Time) (bool, error) {
		if a.Version == 0 {
			return false, nil
		}
		*a = Account{
			Subject: a.Subject,
			Version: a.Version,
			Epoch:   a.Epoch + 1,
			Misses:  a.Misses,
			Stolen:  a.Stolen,
		}
		return true, f.store.ReplaceRecoveryCodes(ctx, subject, nil)
	})
	if err != nil {
		return fmt.Errorf("resetting factors: %w", err)
	}
	return nil
}

// Unlock forgets all wrong attempts of subject. A password that was taken as
// stolen still has to be changed.
func (f *Factors) Unlock(ctx context.Context, subject string) error {
	err := f.change(ctx, subject, func(ctx context.Context, a *Account, now time.Time) (bool, error) {
		save := a.Misses.Run > 0 || len(a.Misses.Times) > 0
		a.Misses = Misses{}
		return save, nil
	})
	if err != nil {
		return fmt.Errorf("unlocking: %w", err)
	}
	return nil
}

// PasswordChanged opens the account again if its password was taken as stolen.
// Whoever made the wrong attempts had the old one, so the run and the day are
// cleared then, as by a right code, and the month is not. If the password was
// not taken as stolen, nothing changes: a password is no way to get attempts.
func (f *Factors) PasswordChanged(ctx context.Context, subject string) error {
	err := f.change(ctx, subject, func(ctx context.Context, a *Account, now time.Time) (bool, error) {
		if !a.Stolen {
			return false, nil
		}
		a.Stolen = false
		a.Misses = f.budget.Clear(a.Misses, now)
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("opening an account again: %w", err)
	}
	return nil
}

// Reseal seals with the Sealer's first key what another one sealed of
// subject's, and reports whether there was anything. When it has been called
// for every account, the other keys can go.
func (f *Factors) Reseal(ctx context.Context, subject string) (bool, error) {
	var changed bool
	err := f.change(ctx, subject, func(ctx context.Context, a *Account, now time.Time) (bool, error) {
		changed = false
		a.tidy(now)
		for _, s := range []struct {
			text  *Sealed
			about []string
		}{
			{&a.Secret, []string{forSecret, subject}},
			{&a.Pending, []string{forPending, subject, a.PendingBinding}},
			{&a.Unsaved, []string{forUnsaved, subject, a.UnsavedBinding}},
		} {
			if !f.sealer.NeedsReseal(*s.text) {
				continue
			}
			plain, err := f.sealer.Open(*s.text, s.about...)
			if err != nil {
				return false, err
			}
			*s.text = f.sealer.Seal(plain, s.about...)
			changed = true
		}
		return changed, nil
	})
	if err != nil {
		return false, fmt.Errorf("resealing: %w", err)
	}
	return changed, nil
}
