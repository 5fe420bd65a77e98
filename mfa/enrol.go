package mfa

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"strings"
	"time"

	"github.com/sallyport-id/sallyport/provider/authflow"
)

// mayEnroll reports whether a may get a first factor on the way, and whether it
// takes a ticket.
func (f *Factors) mayEnroll(a Account, binding string, now time.Time) (may, ticket bool) {
	switch {
	case a.enrolled():
		return false, false // to replace it takes more: TO-11
	case a.pending(binding, now):
		return true, false // a ticket, if it took one, is used up
	case f.policy == Inline && !a.Had:
		return true, false
	case f.policy != Forbidden && len(a.Ticket) > 0 && now.Before(a.TicketExpires):
		return true, true
	}
	return false, false
}

// Begin makes a new secret for subject, pending until Confirm, for 10 minutes
// at most, in place of one that was pending before. account is the name that
// the authenticator app will show. An account without a factor gets a refusing
// Verdict unless the policy lets it enrol; one with a factor replaces it, for
// which the caller has made sure that it may.
func (f *Factors) Begin(ctx context.Context, subject, binding, account, ticket string) (authflow.Verdict, error) {
	if binding == "" {
		return authflow.Verdict{}, errNoBinding
	}
	var v authflow.Verdict
	err := f.change(ctx, subject, func(ctx context.Context, a *Account, now time.Time) (save bool, err error) {
		may, needsTicket := f.mayEnroll(*a, binding, now)
		switch {
		case a.Stolen || !may && !a.enrolled():
			v = authflow.Verdict{}
			return false, nil
		case needsTicket:
			v, save, err = f.try(a, now, func() (authflow.Verdict, error) {
				return authflow.Verdict{OK: a.useTicket(ticket)}, nil
			})
		default:
			v, save = authflow.Verdict{OK: true}, true
		}
		if v.OK {
			a.Pending = f.sealer.Seal(newSecret(), forPending, subject, binding)
			a.PendingParams = f.params
			a.PendingBinding = binding
			a.PendingName = account
			a.PendingExpires = now.Add(pendingLifetime)
		}
		return save, err
	})
	if err != nil {
		return authflow.Verdict{}, fmt.Errorf("beginning to enrol: %w", err)
	}
	return v, nil
}

// Pending returns the otpauth URI of the secret that binding has pending; empty
// if it has none, or no longer. It holds the secret.
func (f *Factors) Pending(ctx context.Context, subject, binding string) (uri string, err error) {
	a, err := f.account(ctx, subject)
	if err != nil {
		return "", fmt.Errorf("reading a pending secret: %w", err)
	}
	if !a.pending(binding, now()) {
		return "", nil
	}
	secret, err := f.sealer.Open(a.Pending, forPending, subject, binding)
	if err != nil {
		return "", fmt.Errorf("opening a pending secret: %w", err)
	}
	return otpauthURI(f.issuer, a.PendingName, secret, a.PendingParams), nil
}

// Confirm makes the secret that binding has pending the active one, in place of
// any other, if code comes from it; the code is used up. New recovery codes
// take the place of old ones, and wait for binding to put them away. A wrong
// code is charged as by Verify. Where nothing is pending, the Verdict refuses
// and nothing is charged.
func (f *Factors) Confirm(ctx context.Context, subject, binding, code string) (authflow.Verdict, error) {
	var v authflow.Verdict
	err := f.change(ctx, subject, func(ctx context.Context, a *Account, now time.Time) (save bool, err error) {
		if !a.pending(binding, now) {
			v = authflow.Verdict{}
			return false, nil
		}
		v, save, err = f.try(a, now, func() (authflow.Verdict, error) { return f.confirm(a, binding, code, now) })
		if err != nil || !v.OK {
			return save, err
		}
		return true, f.renewCodes(ctx, a, binding, now)
	})
	if err != nil {
		return authflow.Verdict{}, fmt.Errorf("confirming a second factor: %w", err)
	}
	return v, nil
}

func (f *Factors) confirm(a *Account, binding, code string, now time.Time) (authflow.Verdict, error) {
	secret, err := f.sealer.Open(a.Pending, forPending, a.Subject, binding)
	if err != nil {
		return authflow.Verdict{}, err
	}
	p := a.PendingParams
	at, err := p.fit(secret, normalCode(code, p.Digits), now)
	if err != nil || !at.ok {
		return authflow.Verdict{}, err
	}
	if !at.inWindow() {
		return authflow.Verdict{Drift: p.drift(at)}, nil
	}
	f.activate(a, secret, p, at.step, now)
	return authflow.Verdict{OK: true, RecoveryLeft: recoveryCodes}, nil
}

// activate makes secret a's only factor. Whatever was under way to another one
// ends: a first enrolment that was begun before must not become a replacement.
func (f *Factors) activate(a *Account, secret Secret, p Params, lastStep int64, now time.Time) {
	a.Secret = f.sealer.Seal(secret, forSecret, a.Subject)
	a.Params = p
	a.LastStep = lastStep
	a.Hinted = 0
	a.Enrolled = now
	a.Had = true
	a.Epoch++
	a.dropPending()
	a.dropTicket()
}

// renewCodes gives a new recovery codes in place of all it had.
func (f *Factors) renewCodes(ctx context.Context, a *Account, binding string, now time.Time) error {
	texts, kept, err := newRecoveryCodes()
	if err != nil {
		return err
	}
	a.Unsaved = f.sealer.Seal([]byte(strings.Join(texts, "\n")), forUnsaved, a.Subject, binding)
	a.UnsavedBinding = binding
	a.UnsavedExpires = now.Add(unsavedLifetime)
	return f.store.ReplaceRecoveryCodes(ctx, a.Subject, kept)
}

// Codes returns the recovery codes that binding had made and has not yet put
// away, for 15 minutes at most; none if there are none.
func (f *Factors) Codes(ctx context.Context, subject, binding string) ([]string, error) {
	a, err := f.account(ctx, subject)
	if err != nil {
		return nil, fmt.Errorf("reading new recovery codes: %w", err)
	}
	if !a.unsaved(binding, now()) {
		return nil, nil
	}
	text, err := f.sealer.Open(a.Unsaved, forUnsaved, subject, binding)
	if err != nil {
		return nil, fmt.Errorf("opening new recovery codes: %w", err)
	}
	return strings.Split(string(text), "\n"), nil
}

// PutAway forgets the text of the codes that binding had made. No call returns
// them again.
func (f *Factors) PutAway(ctx context.Context, subject, binding string) error {
	err := f.change(ctx, subject, func(ctx context.Context, a *Account, now time.Time) (bool, error) {
		if !a.unsaved(binding, now) {
			return false, nil
		}
		a.dropUnsaved()
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("putting recovery codes away: %w", err)
	}
	return nil
}

// NewCodes makes new recovery codes in place of all old ones, which wait for
// binding to put them away. The error is ErrNotEnrolled for an account that has
// no factor.
func (f *Factors) NewCodes(ctx context.Context, subject, binding string) error {
	err := errNoBinding
	if binding != "" {
		err = f.change(ctx, subject, func(ctx context.Context, a *Account, now time.Time) (bool, error) {
			if !a.enrolled() {
				return false, ErrNotEnrolled
			}
			return true, f.renewCodes(ctx, a, binding, now)
		})
	}
	if err != nil {
		return fmt.Errorf("making recovery codes: %w", err)
	}
	return nil
}

// ticketSize is the length of a ticket: 24 characters, 120 random bits. So many
// need no slow hash.
const ticketSize = 6 * groupSize

// NewTicket makes a ticket with which subject may enrol a first factor, once,
// in place of one made before. It is shown to the administrator and nobody
// keeps it. The error is ErrEnrolled if there is a factor, which would have to
// be reset first, and ErrForbidden under the policy of that name.
func (f *Factors) NewTicket(ctx context.Context, subject string) (ticket string, expires time.Time, err error) {
	if f.policy == Forbidden {
		return "", time.Time{}, ErrForbidden
	}
	text := randomText(ticketSize)
	err = f.change(ctx, subject, func(ctx context.Context, a *Account, now time.Time) (bool, error) {
		if a.enrolled() {
			return false, ErrEnrolled
		}
		sum := sha256.Sum256([]byte(text))
		expires = now.Add(f.ticket)
		a.Ticket, a.TicketExpires = sum[:], expires
		return true, nil
	})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("making an enrolment ticket: %w", err)
	}
	return grouped(text), expires, nil
}

// useTicket reports whether ticket is a's, which is used up then.
func (a *Account) useTicket(ticket string) bool {
	text, ok := normalText(ticket, ticketSize)
	sum := sha256.Sum256([]byte(text))
	if !ok || subtle.ConstantTimeCompare(sum[:], a.Ticket) != 1 {
		return false
	}
	a.dropTicket()
	return true
}

// Import makes the secret in an otpauth URI subject's active factor, so that
// people who move here need not enrol anew. It makes no recovery codes, since
// nobody is there to put them away. The error is ErrOTPAuth if the URI cannot
// be used, and ErrEnrolled if there is a factor.
func (f *Factors) Import(ctx context.Context, subject, uri string) error {
	secret, p, err := ParseOTPAuth(uri)
	if err == nil {
		err = f.change(ctx, subject, func(ctx context.Context, a *Account, now time.Time) (bool, error) {
			if a.enrolled() {
				return false, ErrEnrolled
			}
			f.activate(a, secret, p, 0, now)
			return true, nil
		})
	}
	if err != nil {
		return fmt.Errorf("importing a second factor: %w", err)
	}
	return nil
}

// resealSecret seals a's secret with the first key, if another did.
func (f *Factors) resealSecret(a *Account, secret Secret) {
	if f.sealer.NeedsReseal(a.Secret) {
		a.Secret = f.sealer.Seal(secret, forSecret, a.Subject)
	}
}
