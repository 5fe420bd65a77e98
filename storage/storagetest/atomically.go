package storagetest

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/sallyport-id/sallyport/provider"
)

var atomicCases = []storeCase{
	{"a transaction sees what it wrote, and so does everyone after it", func(t *testing.T, s provider.Store) {
		f := newFlow()
		done(t, s.Atomically(t.Context(), func(ctx context.Context) error {
			if err := s.CreateFlow(ctx, f); err != nil {
				return err
			}
			_, err := s.Flow(ctx, f.ID)
			return err
		}))
		equal(t, "the flow", value(s.Flow(t.Context(), f.ID))(t), f)
	}},
	{"of what failed nothing remains", func(t *testing.T, s provider.Store) { // ST-1
		anna := rand.Text()
		before, spent := newSession(anna), newGrant(anna, "app")
		done(t, s.SaveSession(t.Context(), before))
		done(t, s.CreateGrant(t.Context(), spent))
		pushed, unspent := newPushed(), newPushed()
		done(t, s.CreatePushed(t.Context(), unspent))
		f, session, g := newFlow(), newSession(anna), newGrant(anna, "app")
		undone(t, s, func(ctx context.Context) error {
			return errors.Join(
				s.CreateFlow(ctx, f),
				s.CreatePushed(ctx, pushed),
				s.SpendPushed(ctx, unspent.ID, at(9)),
				s.EndSession(ctx, anna, before.ID),
				s.SaveSession(ctx, session),
				s.SaveConsent(ctx, provider.Consent{Subject: anna, ClientID: "app", Scopes: []string{"openid"}, Given: at(0)}),
				s.SpendCode(ctx, spent.ID, 1, at(10), at(1000)),
				s.CreateGrant(ctx, g),
				s.RevokeGrant(ctx, spent.ID, at(11)),
				s.Record(ctx, newEvent(anna, 1)),
			)
		})
		_, err := s.Flow(t.Context(), f.ID)
		refused(t, "the flow", err, provider.ErrNotFound)
		_, err = s.Pushed(t.Context(), pushed.ID)
		refused(t, "the pushed request", err, provider.ErrNotFound)
		equal(t, "the pushed request before it", value(s.Pushed(t.Context(), unspent.ID))(t), unspent)
		_, err = s.Grant(t.Context(), g.ID)
		refused(t, "the grant", err, provider.ErrNotFound)
		equal(t, "the grant before it", value(s.Grant(t.Context(), spent.ID))(t), spent)
		equal(t, "the sessions", value(s.Sessions(t.Context(), anna))(t), []provider.Session{before})
		equal(t, "the consent", len(value(s.Consent(t.Context(), anna, "app"))(t).Scopes), 0)
		equal(t, "the events", len(value(s.Activity(t.Context(), anna, 10))(t)), 0)
	}},
	{"a second transaction within joins the first", func(t *testing.T, s provider.Store) {
		f, g := newFlow(), newGrant("anna", "app")
		undone(t, s, func(ctx context.Context) error {
			if err := s.CreateFlow(ctx, f); err != nil {
				return err
			}
			return s.Atomically(ctx, func(ctx context.Context) error {
				if _, err := s.Flow(ctx, f.ID); err != nil {
					return err
				}
				return s.CreateGrant(ctx, g)
			})
		})
		_, err := s.Grant(t.Context(), g.ID)
		refused(t, "what the inner one wrote", err, provider.ErrNotFound)
	}},
	{"what fails within is not committed by who does not look", func(t *testing.T, s provider.Store) {
		f := newFlow()
		_ = s.Atomically(t.Context(), func(ctx context.Context) error {
			_ = s.Atomically(ctx, func(ctx context.Context) error {
				return errors.Join(s.CreateFlow(ctx, f), errUndo)
			})
			return nil
		})
		_, err := s.Flow(t.Context(), f.ID)
		refused(t, "what the inner one wrote", err, provider.ErrNotFound)
	}},
	{"a panic undoes", func(t *testing.T, s provider.Store) {
		f := newFlow()
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_ = s.Atomically(t.Context(), func(ctx context.Context) error {
				done(t, s.CreateFlow(ctx, f))
				panic("storagetest")
			})
		}()
		_, err := s.Flow(t.Context(), f.ID)
		refused(t, "the flow", err, provider.ErrNotFound)
	}},
	{"a context that is over commits nothing", func(t *testing.T, s provider.Store) { // PA-12
		f := newFlow()
		ctx, cancel := context.WithCancel(t.Context())
		err := s.Atomically(ctx, func(ctx context.Context) error {
			defer cancel()
			return s.CreateFlow(ctx, f)
		})
		if err == nil {
			t.Error("it was committed")
		}
		_, err = s.Flow(t.Context(), f.ID)
		refused(t, "the flow", err, provider.ErrNotFound)
		// And the store goes on working.
		done(t, s.CreateFlow(t.Context(), f))
	}},
	{"a one-time thing and what it buys come together", func(t *testing.T, s provider.Store) { // ST-1
		code := newGrant("anna", "app")
		done(t, s.CreateGrant(t.Context(), code))
		bought := make([]provider.Flow, racers)
		winner := one(t, "spending", race(func(i int) error {
			bought[i] = newFlow()
			return s.Atomically(t.Context(), func(ctx context.Context) error {
				// What is bought is written first, so that the losers have
				// something to undo.
				if err := s.CreateFlow(ctx, bought[i]); err != nil {
					return err
				}
				return s.SpendCode(ctx, code.ID, 1, at(10), at(1000))
			})
		}), provider.ErrSpent)
		for i, f := range bought {
			_, err := s.Flow(t.Context(), f.ID)
			if i == winner {
				done(t, err)
			} else {
				refused(t, "what a loser bought", err, provider.ErrNotFound)
			}
		}
	}},
	{"in a transaction a flow is locked", func(t *testing.T, s provider.Store) {
		f := newFlow()
		f.State.Misses = 0
		done(t, s.CreateFlow(t.Context(), f))
		for _, err := range race(func(int) error {
			return s.Atomically(t.Context(), func(ctx context.Context) error {
				f, err := s.Flow(ctx, f.ID)
				if err != nil {
					return err
				}
				f.State.Misses++
				return s.SaveFlow(ctx, f) // without the lock: ErrConflict
			})
		}) {
			done(t, err)
		}
		equal(t, "misses", value(s.Flow(t.Context(), f.ID))(t).State.Misses, racers)
	}},
}
