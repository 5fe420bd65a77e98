package storagetest

import (
	"crypto/rand"
	"errors"
	"testing"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

// newFlow returns a flow in which every field says something.
func newFlow() provider.Flow {
	return provider.Flow{
		ID:       rand.Text(),
		Version:  1,
		Browser:  hash(),
		Request:  "client_id=app&scope=openid+profile&state=%00%FF%26",
		ClientID: "app",
		Session:  "s-" + rand.Text(),
		Pushed:   hash(),
		State: authflow.Flow{
			Login:    login("anna"),
			Pinned:   "anna",
			Approved: true,
			Misses:   3,
			Created:  at(0),
		},
		Expires: at(900),
	}
}

var flowCases = []storeCase{
	{"a flow comes back as it was stored", func(t *testing.T, s provider.Store) {
		f := newFlow()
		done(t, s.CreateFlow(t.Context(), f))
		equal(t, "the flow", value(s.Flow(t.Context(), f.ID))(t), f)
	}},
	{"an empty flow comes back empty", func(t *testing.T, s provider.Store) {
		f := provider.Flow{ID: rand.Text(), Version: 1, Expires: at(900)}
		done(t, s.CreateFlow(t.Context(), f))
		equal(t, "the flow", value(s.Flow(t.Context(), f.ID))(t), f)
	}},
	{"a new flow is version 1 whatever it says", func(t *testing.T, s provider.Store) {
		f := newFlow()
		f.Version = 9
		done(t, s.CreateFlow(t.Context(), f))
		equal(t, "the version", value(s.Flow(t.Context(), f.ID))(t).Version, int64(1))
	}},
	{"a saved flow is the next version", func(t *testing.T, s provider.Store) {
		f := newFlow()
		done(t, s.CreateFlow(t.Context(), f))
		// Back to nothing: what is empty must be stored too.
		next := provider.Flow{ID: f.ID, Version: 1, Browser: f.Browser, Ending: provider.EndCancelled, Expires: at(60)}
		next.State.Ended = true
		done(t, s.SaveFlow(t.Context(), next))
		next.Version = 2
		equal(t, "the flow", value(s.Flow(t.Context(), f.ID))(t), next)
	}},
	{"a flow is saved only from its version", func(t *testing.T, s provider.Store) {
		f := newFlow()
		done(t, s.CreateFlow(t.Context(), f))
		done(t, s.SaveFlow(t.Context(), f))
		want := value(s.Flow(t.Context(), f.ID))(t)
		stale := f
		stale.State.Misses = 9
		refused(t, "saving an old version", s.SaveFlow(t.Context(), stale), provider.ErrConflict)
		stale.Version = 3
		refused(t, "saving a version to come", s.SaveFlow(t.Context(), stale), provider.ErrConflict)
		equal(t, "the flow after it", value(s.Flow(t.Context(), f.ID))(t), want)
	}},
	{"a flow that has ended is not saved again", func(t *testing.T, s provider.Store) {
		f := newFlow()
		done(t, s.CreateFlow(t.Context(), f))
		f.State.Ended, f.Ending = true, provider.EndCancelled
		done(t, s.SaveFlow(t.Context(), f))
		f.Version, f.State.Ended, f.Ending = 2, false, ""
		refused(t, "saving it", s.SaveFlow(t.Context(), f), provider.ErrConflict)
		equal(t, "the flow after it", value(s.Flow(t.Context(), f.ID))(t).State.Ended, true)
	}},
	{"of many saves of one version one wins", func(t *testing.T, s provider.Store) {
		f := newFlow()
		done(t, s.CreateFlow(t.Context(), f))
		winner := one(t, "SaveFlow", race(func(i int) error {
			mine := f
			mine.State.Misses = i
			return s.SaveFlow(t.Context(), mine)
		}), provider.ErrConflict)
		got := value(s.Flow(t.Context(), f.ID))(t)
		equal(t, "the version", got.Version, int64(2))
		equal(t, "what the winner wrote", got.State.Misses, winner)
	}},
	{"a flow that is not there is not found", func(t *testing.T, s provider.Store) {
		for _, id := range []string{rand.Text(), "", "\x00", "\xff", "' OR ''='"} {
			_, err := s.Flow(t.Context(), id)
			refused(t, "Flow", err, provider.ErrNotFound)
		}
		if err := s.SaveFlow(t.Context(), newFlow()); !errors.Is(err, provider.ErrNotFound) && !errors.Is(err, provider.ErrConflict) {
			t.Errorf("SaveFlow: got error %v, want ErrNotFound or ErrConflict", err)
		}
	}},
	{"a flow is created once", func(t *testing.T, s provider.Store) {
		f := newFlow()
		done(t, s.CreateFlow(t.Context(), f))
		other := newFlow()
		other.ID = f.ID
		if err := s.CreateFlow(t.Context(), other); err == nil {
			t.Error("a second flow took the place of the first")
		}
		equal(t, "the flow", value(s.Flow(t.Context(), f.ID))(t), f)
	}},
}
