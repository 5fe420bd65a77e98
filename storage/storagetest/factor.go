package storagetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/mfa"
)

// newAccount returns an account in which every field says something.
func newAccount(subject string) mfa.Account {
	ticket := hash()
	return mfa.Account{
		Subject:        subject,
		Epoch:          4,
		Secret:         "k1.c2VjcmV0",
		Params:         mfa.Params{Algorithm: "SHA256", Digits: 8, Period: 30},
		LastStep:       1 << 40,
		Hinted:         1<<40 + 7,
		Enrolled:       at(1),
		Had:            true,
		Pending:        "k2.cGVuZGluZw",
		PendingParams:  mfa.Params{Algorithm: "SHA1", Digits: 6, Period: 30},
		PendingBinding: "flow-1",
		PendingName:    "Änna",
		PendingExpires: at(600),
		Unsaved:        "k2.Y29kZXM",
		UnsavedBinding: "flow-0",
		UnsavedExpires: at(700),
		Ticket:         ticket[:],
		TicketExpires:  at(800),
		Misses:         mfa.Misses{Times: []time.Time{at(2), at(3)}, Run: 2, Since: at(1)},
		Stolen:         true,
	}
}

func newCodes(n int) (codes []mfa.RecoveryCode) {
	for range n {
		codes = append(codes, mfa.RecoveryCode{Selector: rand.Text()[:8], Hash: "$argon2id$" + rand.Text()})
	}
	return codes
}

var factorCases = []factorCase{
	{"nothing is kept of who is not known", func(t *testing.T, s mfa.Store) {
		anna := rand.Text()
		equal(t, "the account", value(s.Account(t.Context(), anna))(t), mfa.Account{Subject: anna})
		done(t, s.Atomically(t.Context(), func(ctx context.Context) error {
			equal(t, "the account, locked", value(s.Account(ctx, anna))(t), mfa.Account{Subject: anna})
			equal(t, "the misses, locked", value(s.Misses(ctx, anna))(t), mfa.Misses{})
			return nil
		}))
		equal(t, "the account after it", value(s.Account(t.Context(), anna))(t), mfa.Account{Subject: anna})
		equal(t, "the misses", value(s.Misses(t.Context(), anna))(t), mfa.Misses{})
		equal(t, "a recovery code", value(s.RecoveryCode(t.Context(), anna, "x"))(t), mfa.RecoveryCode{})
	}},
	{"an account comes back as it was stored", func(t *testing.T, s mfa.Store) {
		a := newAccount(rand.Text())
		done(t, s.SaveAccount(t.Context(), a))
		a.Version = 1
		equal(t, "the account", value(s.Account(t.Context(), a.Subject))(t), a)
		// Back to nothing: what is empty must be stored too.
		done(t, s.SaveAccount(t.Context(), mfa.Account{Subject: a.Subject, Version: 1}))
		equal(t, "the emptied account", value(s.Account(t.Context(), a.Subject))(t), mfa.Account{Subject: a.Subject, Version: 2})
	}},
	{"an account is saved only from its version", func(t *testing.T, s mfa.Store) {
		a := newAccount(rand.Text())
		done(t, s.SaveAccount(t.Context(), a))
		want := value(s.Account(t.Context(), a.Subject))(t)
		for _, version := range []int64{0, 2, 7} {
			stale := a
			stale.Version, stale.LastStep = version, 1
			refused(t, fmt.Sprint("saving version ", version), s.SaveAccount(t.Context(), stale), mfa.ErrConflict)
		}
		equal(t, "the account after it", value(s.Account(t.Context(), a.Subject))(t), want)
		refused(t, "saving a later version of what is not there",
			s.SaveAccount(t.Context(), mfa.Account{Subject: rand.Text(), Version: 3}), mfa.ErrConflict)
	}},
	{"of many that save one version one wins", func(t *testing.T, s mfa.Store) { // TO-2
		a := newAccount(rand.Text())
		for version := range int64(2) {
			winner := one(t, "SaveAccount", race(func(i int) error {
				mine := a
				mine.Version, mine.LastStep = version, int64(i)
				return s.SaveAccount(t.Context(), mine)
			}), mfa.ErrConflict)
			got := value(s.Account(t.Context(), a.Subject))(t)
			equal(t, "the version", got.Version, version+1)
			equal(t, "what the winner wrote", got.LastStep, int64(winner))
		}
	}},
	{"in a transaction an account is locked, there before or not", func(t *testing.T, s mfa.Store) { // TO-7
		anna := rand.Text()
		for _, err := range race(func(int) error {
			return s.Atomically(t.Context(), func(ctx context.Context) error {
				a, err := s.Account(ctx, anna)
				if err != nil {
					return err
				}
				a.Misses.Run++
				return s.SaveAccount(ctx, a) // without the lock: ErrConflict
			})
		}) {
			done(t, err)
		}
		equal(t, "counted", value(s.Account(t.Context(), anna))(t).Misses.Run, racers)
	}},
	{"in a transaction misses are locked, there before or not", func(t *testing.T, s mfa.Store) { // TO-7
		key := rand.Text()
		for _, err := range race(func(i int) error {
			return s.Atomically(t.Context(), func(ctx context.Context) error {
				m, err := s.Misses(ctx, key)
				if err != nil {
					return err
				}
				m.Run++
				m.Times = append(m.Times, at(m.Run))
				return s.SaveMisses(ctx, key, m, at(1000))
			})
		}) {
			done(t, err)
		}
		got := value(s.Misses(t.Context(), key))(t)
		equal(t, "counted", got.Run, racers)
		equal(t, "times", len(got.Times), racers)
	}},
	{"misses come back as they were stored, under their key alone", func(t *testing.T, s mfa.Store) {
		for _, key := range []string{rand.Text(), "\x00\xff" + rand.Text(), string(make([]byte, 10_000)) + rand.Text()} {
			m := mfa.Misses{Times: []time.Time{at(1), at(2)}, Run: 2, Since: at(0)}
			done(t, s.SaveMisses(t.Context(), key, m, at(1000)))
			equal(t, "the misses", value(s.Misses(t.Context(), key))(t), m)
			equal(t, "those of another", value(s.Misses(t.Context(), key+"x"))(t), mfa.Misses{})
			done(t, s.SaveMisses(t.Context(), key, mfa.Misses{}, at(1000)))
			equal(t, "the misses, cleared", value(s.Misses(t.Context(), key))(t), mfa.Misses{})
		}
	}},
	{"a recovery code is good once", func(t *testing.T, s mfa.Store) { // RC-1
		anna, codes := stored(t, s), newCodes(3)
		done(t, s.ReplaceRecoveryCodes(t.Context(), anna, codes))
		equal(t, "the code", value(s.RecoveryCode(t.Context(), anna, codes[1].Selector))(t), codes[1])
		done(t, s.UseRecoveryCode(t.Context(), anna, codes[1].Selector, at(5)))
		refused(t, "using it again", s.UseRecoveryCode(t.Context(), anna, codes[1].Selector, at(6)), mfa.ErrSpent)
		codes[1].Used = at(5)
		equal(t, "the used code", value(s.RecoveryCode(t.Context(), anna, codes[1].Selector))(t), codes[1])
		equal(t, "left", value(s.Account(t.Context(), anna))(t).RecoveryLeft, 2)
	}},
	{"of many that use one recovery code one wins", func(t *testing.T, s mfa.Store) { // RC-1
		anna, codes := stored(t, s), newCodes(2)
		done(t, s.ReplaceRecoveryCodes(t.Context(), anna, codes))
		winner := one(t, "UseRecoveryCode", race(func(i int) error {
			return s.UseRecoveryCode(t.Context(), anna, codes[0].Selector, at(i))
		}), mfa.ErrSpent)
		equal(t, "when", value(s.RecoveryCode(t.Context(), anna, codes[0].Selector))(t).Used, at(winner))
		equal(t, "left", value(s.Account(t.Context(), anna))(t).RecoveryLeft, 1)
	}},
	{"a recovery code opens one account", func(t *testing.T, s mfa.Store) { // RC-5
		anna, bert, codes := stored(t, s), stored(t, s), newCodes(1)
		done(t, s.ReplaceRecoveryCodes(t.Context(), bert, codes))
		equal(t, "bert's code on anna's account", value(s.RecoveryCode(t.Context(), anna, codes[0].Selector))(t), mfa.RecoveryCode{})
		refused(t, "using it there", s.UseRecoveryCode(t.Context(), anna, codes[0].Selector, at(1)), mfa.ErrSpent)
		for _, selector := range []string{"", "\x00", "\xff", "' OR ''='"} {
			equal(t, "no selector", value(s.RecoveryCode(t.Context(), bert, selector))(t), mfa.RecoveryCode{})
			refused(t, "using it", s.UseRecoveryCode(t.Context(), bert, selector, at(1)), mfa.ErrSpent)
		}
		equal(t, "left", value(s.Account(t.Context(), bert))(t).RecoveryLeft, 1)
	}},
	{"new recovery codes take the place of all old ones", func(t *testing.T, s mfa.Store) { // RC-3
		anna, bert, old, others := stored(t, s), stored(t, s), newCodes(3), newCodes(1)
		done(t, s.ReplaceRecoveryCodes(t.Context(), bert, others))
		done(t, s.ReplaceRecoveryCodes(t.Context(), anna, old))
		done(t, s.UseRecoveryCode(t.Context(), anna, old[0].Selector, at(1)))
		done(t, s.ReplaceRecoveryCodes(t.Context(), anna, newCodes(2)))
		equal(t, "left", value(s.Account(t.Context(), anna))(t).RecoveryLeft, 2)
		for _, c := range old {
			equal(t, "an old code", value(s.RecoveryCode(t.Context(), anna, c.Selector))(t), mfa.RecoveryCode{})
		}
		equal(t, "bert's left", value(s.Account(t.Context(), bert))(t).RecoveryLeft, 1)
		done(t, s.ReplaceRecoveryCodes(t.Context(), anna, nil))
		equal(t, "left after none", value(s.Account(t.Context(), anna))(t).RecoveryLeft, 0)
	}},
	{"of many that replace recovery codes one set remains", func(t *testing.T, s mfa.Store) { // RC-3
		anna := stored(t, s)
		for _, err := range race(func(int) error {
			return s.ReplaceRecoveryCodes(t.Context(), anna, newCodes(10))
		}) {
			done(t, err)
		}
		equal(t, "left", value(s.Account(t.Context(), anna))(t).RecoveryLeft, 10)
	}},
	{"of what failed nothing remains", func(t *testing.T, s mfa.Store) { // ST-1
		a, codes := newAccount(rand.Text()), newCodes(2)
		done(t, s.SaveAccount(t.Context(), a))
		a.Version = 1
		done(t, s.ReplaceRecoveryCodes(t.Context(), a.Subject, codes))
		undone(t, s, func(ctx context.Context) error {
			// Joins, and is undone with the rest.
			return s.Atomically(ctx, func(ctx context.Context) error {
				return errors.Join(
					s.UseRecoveryCode(ctx, a.Subject, codes[0].Selector, at(1)),
					s.ReplaceRecoveryCodes(ctx, a.Subject, newCodes(5)),
					s.SaveAccount(ctx, mfa.Account{Subject: a.Subject, Version: 1}),
					s.SaveMisses(ctx, a.Subject, mfa.Misses{Run: 1}, at(1000)),
				)
			})
		})
		a.RecoveryLeft = 2
		equal(t, "the account", value(s.Account(t.Context(), a.Subject))(t), a)
		equal(t, "the misses", value(s.Misses(t.Context(), a.Subject))(t), mfa.Misses{})
		done(t, s.UseRecoveryCode(t.Context(), a.Subject, codes[0].Selector, at(2)))
	}},
	{"what fails within is not committed by who does not look", func(t *testing.T, s mfa.Store) {
		anna := rand.Text()
		_ = s.Atomically(t.Context(), func(ctx context.Context) error {
			_ = s.Atomically(ctx, func(ctx context.Context) error {
				return errors.Join(s.SaveAccount(ctx, newAccount(anna)), errUndo)
			})
			return nil
		})
		equal(t, "the account", value(s.Account(t.Context(), anna))(t), mfa.Account{Subject: anna})
	}},
}

// stored returns the subject of an account that is there.
func stored(t *testing.T, s mfa.Store) string {
	t.Helper()
	a := newAccount(rand.Text())
	done(t, s.SaveAccount(t.Context(), a))
	return a.Subject
}
