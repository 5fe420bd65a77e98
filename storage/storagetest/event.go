package storagetest

import (
	"context"
	"crypto/rand"
	"testing"

	"github.com/sallyport-id/sallyport/provider"
)

// newEvent returns an event in which every field says something.
func newEvent(subject string, n int) provider.Event {
	return provider.Event{
		Time:      at(n),
		Kind:      provider.EventFactor,
		Outcome:   provider.Failure,
		Subject:   subject,
		ClientID:  "app",
		Actor:     "admin",
		RequestID: rand.Text(),
		Address:   "192.0.2.1",
		Detail:    map[string]string{"method": "otp", "reason": "wrong"},
	}
}

var eventCases = []storeCase{
	{"activity is of one subject, the newest first, as many as asked for", func(t *testing.T, s provider.Store) {
		anna := rand.Text()
		first, second, third := newEvent(anna, 1), newEvent(anna, 2), newEvent(anna, 3)
		for _, e := range []provider.Event{second, newEvent(rand.Text(), 4), third, first} {
			done(t, s.Record(t.Context(), e))
		}
		equal(t, "all", value(s.Activity(t.Context(), anna, 10))(t), []provider.Event{third, second, first})
		equal(t, "two", value(s.Activity(t.Context(), anna, 2))(t), []provider.Event{third, second})
		equal(t, "nobody's", len(value(s.Activity(t.Context(), rand.Text(), 10))(t)), 0)
	}},
	{"of two events of one moment the later recorded is newer", func(t *testing.T, s provider.Store) {
		anna := rand.Text()
		first, second := newEvent(anna, 1), newEvent(anna, 1)
		done(t, s.Record(t.Context(), first))
		done(t, s.Record(t.Context(), second))
		equal(t, "all", value(s.Activity(t.Context(), anna, 10))(t), []provider.Event{second, first})
	}},
	{"an event is undone with the rest", func(t *testing.T, s provider.Store) { // LG-3
		anna := rand.Text()
		undone(t, s, func(ctx context.Context) error { return s.Record(ctx, newEvent(anna, 1)) })
		equal(t, "events", len(value(s.Activity(t.Context(), anna, 10))(t)), 0)
	}},
	{"what strangers sent is recorded whatever it is", func(t *testing.T, s provider.Store) {
		anna := rand.Text()
		e := newEvent(anna, 1)
		e.ClientID, e.Address, e.RequestID = "\x00\xff", "\x00", "\xff"
		e.Detail = map[string]string{"reason": "\x00\xff"}
		done(t, s.Record(t.Context(), e))
		equal(t, "events", len(value(s.Activity(t.Context(), anna, 10))(t)), 1)
	}},
}
