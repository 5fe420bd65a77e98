package storagetest

import (
	"context"
	"testing"

	"github.com/sallyport-id/sallyport/provider"
)

var assertionCases = []storeCase{
	{"an assertion is good once", func(t *testing.T, s provider.Store) {
		key := hash()
		done(t, s.SpendAssertion(t.Context(), key, at(0), at(60)))
		refused(t, "the second time", s.SpendAssertion(t.Context(), key, at(0), at(60)), provider.ErrSpent)
		refused(t, "with another end", s.SpendAssertion(t.Context(), key, at(0), at(90)), provider.ErrSpent)
		done(t, s.SpendAssertion(t.Context(), hash(), at(0), at(60)))
	}},
	{"of many that spend one assertion one wins", func(t *testing.T, s provider.Store) {
		key := hash()
		one(t, "SpendAssertion", race(func(i int) error {
			return s.SpendAssertion(t.Context(), key, at(0), at(60+i))
		}), provider.ErrSpent)
	}},
	{"of many that spend one assertion in transactions one wins", func(t *testing.T, s provider.Store) {
		key := hash()
		one(t, "SpendAssertion", race(func(i int) error {
			return s.Atomically(t.Context(), func(ctx context.Context) error {
				return s.SpendAssertion(ctx, key, at(0), at(60+i))
			})
		}), provider.ErrSpent)
	}},
	{"an assertion is spent with the rest or not at all", func(t *testing.T, s provider.Store) { // ST-1
		key := hash()
		undone(t, s, func(ctx context.Context) error { return s.SpendAssertion(ctx, key, at(0), at(60)) })
		done(t, s.SpendAssertion(t.Context(), key, at(0), at(60)))
	}},
	{"a transaction outlives an assertion that was spent before", func(t *testing.T, s provider.Store) {
		key, g := hash(), newGrant("anna", "app")
		done(t, s.SpendAssertion(t.Context(), key, at(0), at(60)))
		done(t, s.Atomically(t.Context(), func(ctx context.Context) error {
			refused(t, "spending it again", s.SpendAssertion(ctx, key, at(0), at(60)), provider.ErrSpent)
			return s.CreateGrant(ctx, g)
		}))
		equal(t, "what else was written", value(s.Grant(t.Context(), g.ID))(t), g)
	}},
}
