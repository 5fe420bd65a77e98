package storagetest

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

// Clients are those that must be registered in a store that is tested: one that
// wants to be told of logouts, and one that does not.
func Clients() []provider.Client {
	return []provider.Client{
		{ID: "storagetest-told", Type: provider.SPA, BackchannelLogoutURI: "https://app.example/logout"},
		{ID: "storagetest-untold", Type: provider.SPA},
	}
}

const (
	told   = "storagetest-told"
	untold = "storagetest-untold"
)

// signedIn stores a session in which these clients were given something, and
// returns it with the grants.
func signedIn(t *testing.T, s provider.Store, subject string, clients ...string) (provider.Session, []provider.Grant) {
	t.Helper()
	session := newSession(subject)
	done(t, s.SaveSession(t.Context(), session))
	var grants []provider.Grant
	for _, id := range clients {
		g := newGrant(subject, id)
		g.SessionID, g.Scopes = session.ID, []string{"openid"}
		done(t, s.CreateGrant(t.Context(), g))
		grants = append(grants, g)
	}
	return session, grants
}

// due returns the Logouts of subject that are due now, claimed for an hour.
func due(t *testing.T, s provider.Store, subject string) (all []provider.Logout) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	for _, l := range value(s.ClaimLogouts(t.Context(), now, now.Add(time.Hour), 10000))(t) {
		if l.Subject == subject {
			all = append(all, l)
		}
	}
	return all
}

// of returns the clients of Logouts, in order.
func of(all []provider.Logout) (clients []string) {
	for _, l := range all {
		clients = append(clients, l.ClientID)
	}
	slices.Sort(clients)
	return clients
}

var logoutCases = []storeCase{
	{"the clients of a session are those that were given something in it", func(t *testing.T, s provider.Store) {
		session, _ := signedIn(t, s, rand.Text(), untold, told, untold)
		equal(t, "its clients", value(s.SessionClients(t.Context(), session.ID))(t), []string{told, untold})
		done(t, s.EndSession(t.Context(), session.Login.Subject, session.ID))
		equal(t, "its clients, when it has ended", value(s.SessionClients(t.Context(), session.ID))(t), []string{told, untold})
		for _, id := range []string{rand.Text(), "", "\x00", "\xff"} {
			equal(t, "the clients of no session", len(value(s.SessionClients(t.Context(), id))(t)), 0)
		}
	}},
	{"a client is in a session if and only if its grant is stored", func(t *testing.T, s provider.Store) {
		session, _ := signedIn(t, s, rand.Text())
		undone(t, s, func(ctx context.Context) error {
			g := newGrant(session.Login.Subject, told)
			g.SessionID = session.ID
			return s.CreateGrant(ctx, g)
		})
		equal(t, "its clients", len(value(s.SessionClients(t.Context(), session.ID))(t)), 0)
	}},
	{"a session that ends leaves a logout for each client that wants one", func(t *testing.T, s provider.Store) { // OA-12
		session, _ := signedIn(t, s, rand.Text(), told, untold)
		subject := session.Login.Subject
		equal(t, "due before", len(due(t, s, subject)), 0)
		done(t, s.EndSession(t.Context(), subject, session.ID))
		all := due(t, s, subject)
		equal(t, "due", of(all), []string{told})
		l := all[0]
		if l.ID == "" || l.SessionID != session.ID || l.Tries != 0 || !l.GivenUp.IsZero() || l.Problem != "" || time.Since(l.Created) > time.Minute {
			t.Errorf("got %+v", l)
		}
		refused(t, "ending it again", s.EndSession(t.Context(), subject, session.ID), provider.ErrNotFound)
		equal(t, "due after it", len(due(t, s, subject)), 0)
	}},
	{"a session whose end is undone leaves no logout", func(t *testing.T, s provider.Store) {
		session, _ := signedIn(t, s, rand.Text(), told)
		subject := session.Login.Subject
		undone(t, s, func(ctx context.Context) error { return s.EndSession(ctx, subject, session.ID) })
		equal(t, "due", len(due(t, s, subject)), 0)
		value(s.Session(t.Context(), session.Cookie))(t)
	}},
	{"all sessions that end leave a logout each", func(t *testing.T, s provider.Store) {
		a, _ := signedIn(t, s, rand.Text(), told)
		subject := a.Login.Subject
		b, _ := signedIn(t, s, subject, told, untold)
		signedIn(t, s, rand.Text(), told)
		done(t, s.EndSessions(t.Context(), subject))
		all := due(t, s, subject)
		equal(t, "due", of(all), []string{told, told})
		got, want := []string{all[0].SessionID, all[1].SessionID}, []string{a.ID, b.ID}
		slices.Sort(got)
		slices.Sort(want)
		equal(t, "whose", got, want)
		if all[0].ID == all[1].ID {
			t.Error("two logouts have one ID")
		}
	}},
	{"what was given in a session ends with it, unless it is offline", func(t *testing.T, s provider.Store) {
		session, grants := signedIn(t, s, rand.Text(), told, untold)
		subject := session.Login.Subject
		offline := newGrant(subject, told) // has offline_access
		offline.SessionID = session.ID
		near := newGrant(subject, told)
		near.SessionID, near.Scopes = session.ID, []string{"openid", "offline-access", `offline_access"`, "offline_access_x"}
		other, others := signedIn(t, s, subject, told)
		for _, g := range []provider.Grant{offline, near} {
			done(t, s.CreateGrant(t.Context(), g))
		}
		done(t, s.EndSession(t.Context(), subject, session.ID))
		for what, is := range map[string]struct {
			id      string
			revoked bool
		}{
			"of one client": {grants[0].ID, true}, "of the other": {grants[1].ID, true}, "with a scope that only looks like it": {near.ID, true},
			"with offline_access": {offline.ID, false}, "of another session": {others[0].ID, false},
		} {
			if got := !value(s.Grant(t.Context(), is.id))(t).Revoked.IsZero(); got != is.revoked {
				t.Errorf("the grant %s is revoked: %t, want %t", what, got, is.revoked)
			}
		}
		value(s.Session(t.Context(), other.Cookie))(t)
	}},
	{"a grant given in a session that ends at this moment does not survive it", func(t *testing.T, s provider.Store) {
		session, _ := signedIn(t, s, rand.Text())
		subject := session.Login.Subject
		ids := make([]string, racers)
		errs := race(func(i int) error {
			if i == racers/2 {
				return s.EndSession(t.Context(), subject, session.ID)
			}
			g := newGrant(subject, told)
			g.SessionID, g.Scopes = session.ID, []string{"openid"}
			mine := session
			mine.Cookie = hash()
			err := s.Atomically(t.Context(), func(ctx context.Context) error {
				if err := s.SaveSession(ctx, mine); err != nil {
					return err
				}
				return s.CreateGrant(ctx, g)
			})
			if err == nil {
				ids[i] = g.ID
			}
			return err
		})
		given := 0
		for i, id := range ids {
			if id == "" {
				continue
			}
			given++
			if value(s.Grant(t.Context(), id))(t).Revoked.IsZero() {
				t.Errorf("grant %d, %v, stands still", i, errs[i])
			}
		}
		if got, want := len(due(t, s, subject)), min(given, 1); got != want {
			t.Errorf("%d logouts after %d grants, want %d", got, given, want)
		}
	}},
	{"the flows that began in a session end with it", func(t *testing.T, s provider.Store) { // PA-7
		session, _ := signedIn(t, s, rand.Text())
		subject := session.Login.Subject
		in, other, over := newFlow(), newFlow(), newFlow()
		in.Session, over.Session = session.ID, session.ID
		over.State.Ended, over.Ending = true, provider.EndGranted
		for _, f := range []provider.Flow{in, other, over} {
			done(t, s.CreateFlow(t.Context(), f))
		}
		refused(t, "another's", s.EndSession(t.Context(), rand.Text(), session.ID), provider.ErrNotFound)
		equal(t, "the flow", value(s.Flow(t.Context(), in.ID))(t), in)
		done(t, s.EndSession(t.Context(), subject, session.ID))
		ended(t, s, in)
		equal(t, "one of another session", value(s.Flow(t.Context(), other.ID))(t), other)
		equal(t, "one that was over", value(s.Flow(t.Context(), over.ID))(t), over)
	}},
	{"with all sessions of one subject their flows end", func(t *testing.T, s provider.Store) { // PA-7
		session, _ := signedIn(t, s, rand.Text())
		proven, begun, others := newFlow(), newFlow(), newFlow()
		proven.State.Login = login(session.Login.Subject)
		begun.Session, begun.State.Login = session.ID, login("")
		for _, f := range []provider.Flow{proven, begun, others} {
			done(t, s.CreateFlow(t.Context(), f))
		}
		done(t, s.EndSessions(t.Context(), session.Login.Subject))
		ended(t, s, proven)
		ended(t, s, begun)
		equal(t, "another's", value(s.Flow(t.Context(), others.ID))(t), others)
	}},
	{"the flows of one browser end, of one subject", func(t *testing.T, s provider.Store) { // PA-7
		mine, elsewhere, others := newFlow(), newFlow(), newFlow()
		subject := rand.Text()
		mine.State.Login, elsewhere.State.Login = login(subject), login(subject)
		others.Browser = mine.Browser
		for _, f := range []provider.Flow{mine, elsewhere, others} {
			done(t, s.CreateFlow(t.Context(), f))
		}
		done(t, s.EndFlows(t.Context(), mine.Browser, subject))
		ended(t, s, mine)
		equal(t, "in another browser", value(s.Flow(t.Context(), elsewhere.ID))(t), elsewhere)
		equal(t, "another's", value(s.Flow(t.Context(), others.ID))(t), others)
		stranger := newFlow()
		stranger.State.Login = login("")
		done(t, s.CreateFlow(t.Context(), stranger))
		done(t, s.EndFlows(t.Context(), stranger.Browser, ""))
		equal(t, "nobody's", value(s.Flow(t.Context(), stranger.ID))(t), stranger)
	}},
	{"of many claims of one logout one gets it", func(t *testing.T, s provider.Store) {
		session, _ := signedIn(t, s, rand.Text(), told)
		subject := session.Login.Subject
		done(t, s.EndSession(t.Context(), subject, session.ID))
		now := time.Now().UTC().Truncate(time.Microsecond)
		got := make([]int, racers)
		for _, err := range race(func(i int) error {
			all, err := s.ClaimLogouts(t.Context(), now, now.Add(time.Hour), 10000)
			for _, l := range all {
				if l.Subject == subject {
					got[i]++
				}
			}
			return err
		}) {
			done(t, err)
		}
		sum := 0
		for _, n := range got {
			sum += n
		}
		equal(t, "how often it was claimed", sum, 1)
	}},
	{"a claim that runs out is another's", func(t *testing.T, s provider.Store) {
		session, _ := signedIn(t, s, rand.Text(), told)
		subject := session.Login.Subject
		done(t, s.EndSession(t.Context(), subject, session.ID))
		first := due(t, s, subject)
		equal(t, "claimed", len(first), 1)
		equal(t, "claimed again", len(due(t, s, subject)), 0)
		then := first[0].Due
		var second []provider.Logout
		for _, l := range value(s.ClaimLogouts(t.Context(), then, then.Add(time.Hour), 10000))(t) {
			if l.Subject == subject {
				second = append(second, l)
			}
		}
		equal(t, "claimed later", len(second), 1)
		late := first[0]
		late.Tries, late.Problem = 9, "too late"
		refused(t, "who was too slow", s.SaveLogout(t.Context(), late, first[0].Due), provider.ErrConflict)
		next := second[0]
		next.Tries, next.Problem, next.Due = 1, "no \x00 answer "+strings.Repeat("x", 200), then.Add(2*time.Hour)
		done(t, s.SaveLogout(t.Context(), next, second[0].Due))
		refused(t, "a second time", s.SaveLogout(t.Context(), next, second[0].Due), provider.ErrConflict)
	}},
	{"a logout that is given up or removed is not due any more", func(t *testing.T, s provider.Store) {
		for what, end := range map[string]func(provider.Logout) error{
			"given up": func(l provider.Logout) error {
				claimed := l.Due
				l.GivenUp, l.Due = at(0), at(0)
				return s.SaveLogout(t.Context(), l, claimed)
			},
			"removed": func(l provider.Logout) error { return s.RemoveLogout(t.Context(), l.ID) },
		} {
			session, _ := signedIn(t, s, rand.Text(), told)
			subject := session.Login.Subject
			done(t, s.EndSession(t.Context(), subject, session.ID))
			l := due(t, s, subject)[0]
			done(t, end(l))
			far := time.Now().Add(1e6 * time.Hour)
			for _, other := range value(s.ClaimLogouts(t.Context(), far, far.Add(time.Hour), 10000))(t) {
				if other.ID == l.ID {
					t.Errorf("it was %s and is due", what)
				}
			}
		}
		done(t, s.RemoveLogout(t.Context(), rand.Text()))
	}},
	{"no more are claimed than were asked for, the longest due first", func(t *testing.T, s provider.Store) {
		subject := rand.Text()
		for range 3 {
			session, _ := signedIn(t, s, subject, told)
			done(t, s.EndSession(t.Context(), subject, session.ID))
		}
		// Others may be due, but these are the longest.
		for i, l := range due(t, s, subject) {
			claimed := l.Due
			l.Due = at(-1e7 + i)
			done(t, s.SaveLogout(t.Context(), l, claimed))
		}
		got := value(s.ClaimLogouts(t.Context(), at(-1e7+2), at(1e9), 2))(t)
		equal(t, "how many", len(got), 2)
		rest := value(s.ClaimLogouts(t.Context(), at(-1e7+1), at(1e9), 2))(t)
		equal(t, "how many are left of the two longest", len(rest), 0)
	}},
}

// ended tests that a flow was ended for its user, as a new version.
func ended(t *testing.T, s provider.Store, f provider.Flow) {
	t.Helper()
	want := f
	want.Version++
	want.State.Ended, want.Ending = true, provider.EndDenied
	equal(t, "the flow", value(s.Flow(t.Context(), f.ID))(t), want)
	refused(t, "saving it as it was", s.SaveFlow(t.Context(), f), provider.ErrConflict)
}
