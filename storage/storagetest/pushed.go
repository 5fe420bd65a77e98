package storagetest

import (
	"context"
	"testing"

	"github.com/sallyport-id/sallyport/provider"
)

// newPushed returns a pushed request in which every field says something but
// that which says what became of it.
func newPushed() provider.PushedRequest {
	return provider.PushedRequest{
		ID:       hash(),
		ClientID: "app",
		Request:  "client_id=app&scope=openid+profile&state=%00%FF%26",
		Expires:  at(90),
		Kept:     at(990),
	}
}

var pushedCases = []storeCase{
	{"a pushed request comes back as it was stored", func(t *testing.T, s provider.Store) {
		p := newPushed()
		done(t, s.CreatePushed(t.Context(), p))
		equal(t, "the pushed request", value(s.Pushed(t.Context(), p.ID))(t), p)
	}},
	{"a pushed request is created once", func(t *testing.T, s provider.Store) {
		p := newPushed()
		done(t, s.CreatePushed(t.Context(), p))
		other := newPushed()
		other.ID, other.ClientID = p.ID, "mail"
		if err := s.CreatePushed(t.Context(), other); err == nil {
			t.Error("a second pushed request took the place of the first")
		}
		equal(t, "the pushed request", value(s.Pushed(t.Context(), p.ID))(t), p)
	}},
	{"a pushed request that is not there is not found, and spent", func(t *testing.T, s provider.Store) {
		for _, id := range []provider.Hash{hash(), {}} {
			_, err := s.Pushed(t.Context(), id)
			refused(t, "Pushed", err, provider.ErrNotFound)
			refused(t, "SpendPushed", s.SpendPushed(t.Context(), id, at(1)), provider.ErrSpent)
		}
	}},
	{"a pushed request is spent once", func(t *testing.T, s provider.Store) {
		p, other := newPushed(), newPushed()
		done(t, s.CreatePushed(t.Context(), p))
		done(t, s.CreatePushed(t.Context(), other))
		done(t, s.SpendPushed(t.Context(), p.ID, at(10)))
		p.Spent = at(10)
		equal(t, "the pushed request", value(s.Pushed(t.Context(), p.ID))(t), p)
		refused(t, "spending it again", s.SpendPushed(t.Context(), p.ID, at(11)), provider.ErrSpent)
		equal(t, "the pushed request after it", value(s.Pushed(t.Context(), p.ID))(t), p)
		equal(t, "another one", value(s.Pushed(t.Context(), other.ID))(t), other)
	}},
	{"an expired pushed request can be spent", func(t *testing.T, s provider.Store) {
		p := newPushed() // by a flow that began before it expired
		done(t, s.CreatePushed(t.Context(), p))
		done(t, s.SpendPushed(t.Context(), p.ID, at(91)))
	}},
	{"of many that spend one pushed request one wins", func(t *testing.T, s provider.Store) {
		p := newPushed()
		done(t, s.CreatePushed(t.Context(), p))
		winner := one(t, "SpendPushed", race(func(i int) error {
			return s.SpendPushed(t.Context(), p.ID, at(i))
		}), provider.ErrSpent)
		equal(t, "what the winner wrote", value(s.Pushed(t.Context(), p.ID))(t).Spent, at(winner))
	}},
	{"of many that buy with one pushed request one wins, and the others have nothing", func(t *testing.T, s provider.Store) { // ST-1
		p := newPushed()
		done(t, s.CreatePushed(t.Context(), p))
		bought := make([]provider.Grant, racers)
		winner := one(t, "spending", race(func(i int) error {
			bought[i] = newGrant("anna", "app")
			return s.Atomically(t.Context(), func(ctx context.Context) error {
				if err := s.CreateGrant(ctx, bought[i]); err != nil {
					return err
				}
				return s.SpendPushed(ctx, p.ID, at(i))
			})
		}), provider.ErrSpent)
		for i, g := range bought {
			_, err := s.Grant(t.Context(), g.ID)
			if i == winner {
				done(t, err)
			} else {
				refused(t, "what a loser bought", err, provider.ErrNotFound)
			}
		}
	}},
}
