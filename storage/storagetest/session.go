package storagetest

import (
	"context"
	"crypto/rand"
	"testing"

	"github.com/sallyport-id/sallyport/provider"
)

// newSession returns a session in which every field says something.
func newSession(subject string) provider.Session {
	return provider.Session{
		ID:        rand.Text(),
		Cookie:    hash(),
		Login:     login(subject),
		Created:   at(2),
		Used:      at(3),
		Expires:   at(3600),
		Address:   "2001:db8::1",
		UserAgent: "Mozilla/5.0 (Ünïcode)",
	}
}

var sessionCases = []storeCase{
	{"a session comes back by its cookie", func(t *testing.T, s provider.Store) {
		want := newSession(rand.Text())
		done(t, s.SaveSession(t.Context(), want))
		equal(t, "by cookie", value(s.Session(t.Context(), want.Cookie))(t), want)
	}},
	{"an expired session is still there", func(t *testing.T, s provider.Store) {
		want := newSession(rand.Text())
		want.Expires = at(-1e6)
		done(t, s.SaveSession(t.Context(), want))
		equal(t, "by cookie", value(s.Session(t.Context(), want.Cookie))(t), want)
	}},
	{"an unknown cookie or ID opens nothing", func(t *testing.T, s provider.Store) {
		_, err := s.Session(t.Context(), hash())
		refused(t, "Session", err, provider.ErrNotFound)
		_, err = s.Session(t.Context(), provider.Hash{})
		refused(t, "Session of the zero hash", err, provider.ErrNotFound)
		for _, id := range []string{rand.Text(), "", "\x00", "\xff"} {
			refused(t, "EndSession", s.EndSession(t.Context(), "anna", id), provider.ErrNotFound)
		}
	}},
	{"the old cookie opens nothing", func(t *testing.T, s provider.Store) { // PA-6
		old := newSession(rand.Text())
		done(t, s.SaveSession(t.Context(), old))
		risen := newSession(old.Login.Subject)
		risen.ID = old.ID
		done(t, s.SaveSession(t.Context(), risen))
		_, err := s.Session(t.Context(), old.Cookie)
		refused(t, "the old cookie", err, provider.ErrNotFound)
		equal(t, "by the new cookie", value(s.Session(t.Context(), risen.Cookie))(t), risen)
		equal(t, "how many there are", len(value(s.Sessions(t.Context(), old.Login.Subject))(t)), 1)
	}},
	{"in a transaction a session is locked", func(t *testing.T, s provider.Store) { // PA-6
		session := newSession(rand.Text())
		done(t, s.SaveSession(t.Context(), session))
		one(t, "rising", race(func(int) error {
			return s.Atomically(t.Context(), func(ctx context.Context) error {
				risen, err := s.Session(ctx, session.Cookie)
				if err != nil {
					return err
				}
				// Without the lock one would put back what another has replaced.
				risen.Cookie = hash()
				return s.SaveSession(ctx, risen)
			})
		}), provider.ErrNotFound)
	}},
	{"two sessions do not share a cookie", func(t *testing.T, s provider.Store) {
		anna, bert := newSession(rand.Text()), newSession(rand.Text())
		bert.Cookie = anna.Cookie
		done(t, s.SaveSession(t.Context(), anna))
		if err := s.SaveSession(t.Context(), bert); err == nil {
			t.Error("a second session was stored under a cookie that is in use")
		}
		equal(t, "by the cookie", value(s.Session(t.Context(), anna.Cookie))(t), anna)
	}},
	{"sessions are listed by subject, the last used first", func(t *testing.T, s provider.Store) {
		anna, bert := rand.Text(), rand.Text()
		first, last, others := newSession(anna), newSession(anna), newSession(bert)
		last.Used = first.Used.Add(1000) // a microsecond
		for _, session := range []provider.Session{last, first, others} {
			done(t, s.SaveSession(t.Context(), session))
		}
		equal(t, "anna's", value(s.Sessions(t.Context(), anna))(t), []provider.Session{last, first})
		equal(t, "bert's", value(s.Sessions(t.Context(), bert))(t), []provider.Session{others})
		equal(t, "nobody's", len(value(s.Sessions(t.Context(), rand.Text()))(t)), 0)
	}},
	{"an ended session is gone and stays so", func(t *testing.T, s provider.Store) {
		session := newSession(rand.Text())
		done(t, s.SaveSession(t.Context(), session))
		done(t, s.EndSession(t.Context(), session.Login.Subject, session.ID))
		gone(t, s, session)
		refused(t, "ending it again", s.EndSession(t.Context(), session.Login.Subject, session.ID), provider.ErrNotFound)
		// A request that read it before it was ended and writes it after.
		session.Cookie = hash()
		refused(t, "saving it", s.SaveSession(t.Context(), session), provider.ErrConflict)
		gone(t, s, session)
	}},
	{"nobody ends the session of another", func(t *testing.T, s provider.Store) { // SE-6
		session := newSession(rand.Text())
		done(t, s.SaveSession(t.Context(), session))
		refused(t, "ending it", s.EndSession(t.Context(), rand.Text(), session.ID), provider.ErrNotFound)
		equal(t, "the session", value(s.Session(t.Context(), session.Cookie))(t), session)
	}},
	{"all sessions of one subject end", func(t *testing.T, s provider.Store) { // SE-6
		anna, bert := rand.Text(), rand.Text()
		a, b, others := newSession(anna), newSession(anna), newSession(bert)
		for _, session := range []provider.Session{a, b, others} {
			done(t, s.SaveSession(t.Context(), session))
		}
		done(t, s.EndSessions(t.Context(), anna))
		gone(t, s, a)
		gone(t, s, b)
		equal(t, "bert's", value(s.Sessions(t.Context(), bert))(t), []provider.Session{others})
		done(t, s.EndSessions(t.Context(), anna))
	}},
	{"of many saves and an end the end holds", func(t *testing.T, s provider.Store) {
		session := newSession(rand.Text())
		done(t, s.SaveSession(t.Context(), session))
		for i, err := range race(func(i int) error {
			if i == racers/2 {
				return s.EndSession(t.Context(), session.Login.Subject, session.ID)
			}
			mine := session
			mine.Cookie = hash()
			return s.SaveSession(t.Context(), mine)
		}) {
			if err != nil && i == racers/2 {
				t.Errorf("EndSession: %v", err)
			} else if err != nil {
				refused(t, "SaveSession", err, provider.ErrConflict)
			}
		}
		gone(t, s, session)
	}},
	{"what a browser says of itself is stored whatever it is", func(t *testing.T, s provider.Store) {
		session := newSession(rand.Text())
		session.UserAgent = "\x00\xff\xfe';--"
		done(t, s.SaveSession(t.Context(), session))
		value(s.Session(t.Context(), session.Cookie))(t)
	}},
}

// gone tests that nothing opens the session.
func gone(t *testing.T, s provider.Store, session provider.Session) {
	t.Helper()
	_, err := s.Session(t.Context(), session.Cookie)
	refused(t, "by cookie", err, provider.ErrNotFound)
	for _, other := range value(s.Sessions(t.Context(), session.Login.Subject))(t) {
		if other.ID == session.ID {
			t.Error("it is listed still")
		}
	}
}
