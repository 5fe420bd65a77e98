package storage_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
	"github.com/sallyport-id/sallyport/storage"
	"github.com/sallyport-id/sallyport/storage/password"
)

// sessionWith stores a session of subject in which the client was given something.
func sessionWith(t *testing.T, d *storage.DB, subject, client string) provider.Session {
	t.Helper()
	return sessionIn(t.Context(), t, d, subject, client)
}

// sessionIn does so in the transaction of ctx.
func sessionIn(ctx context.Context, t *testing.T, d *storage.DB, subject, client string) provider.Session {
	t.Helper()
	s := provider.Session{ID: rand.Text(), Login: authflow.Login{Subject: subject}, Expires: time.Now().Add(time.Hour)}
	_, _ = rand.Read(s.Cookie[:]) // never fails
	must(t, d.SaveSession(ctx, s))
	g := provider.Grant{ID: rand.Text(), Subject: subject, ClientID: client, SessionID: s.ID, Login: s.Login, Expires: s.Expires}
	must(t, d.CreateGrant(ctx, g))
	return s
}

// logouts returns whom what is still to be told, as "client subject".
func logouts(t *testing.T, d *storage.DB) (all []string) {
	t.Helper()
	found, err := d.Logouts(t.Context())
	must(t, err)
	for _, l := range found {
		all = append(all, l.ClientID+" "+l.Subject)
	}
	return all
}

// OA-12: whatever an administrator does to a user that ends sessions, clients
// hear of it.
func TestWhatEndsAUsersSessionsIsToldToClients(t *testing.T) {
	each(t, func(t *testing.T, d *storage.DB) {
		must(t, d.AddClient(t.Context(), provider.Client{ID: "app", Type: provider.SPA, BackchannelLogoutURI: "https://app.example/"}))
		h, err := password.New(password.Config{Cost: password.Cheap()})
		must(t, err)
		users := d.Users(h)
		for what, do := range map[string]func(subject string) error{
			"disable":        func(s string) error { return users.Disable(t.Context(), s) },
			"set-password":   func(s string) error { return users.SetPassword(t.Context(), s, "seven grey herons, unpaid") },
			"end-everything": func(s string) error { return users.EndEverything(t.Context(), s) },
		} {
			u, err := users.Add(t.Context(), storage.NewUser{Username: what})
			must(t, err)
			sessionWith(t, d, u.Subject, "app")
			before := len(logouts(t, d))
			must(t, do(u.Subject))
			all := logouts(t, d)
			if len(all) != before+1 || !strings.Contains(fmt.Sprint(all), "app "+u.Subject) {
				t.Errorf("%s: to be told are %v", what, all)
			}
		}
	})
}

func TestAnOperatorSeesLogoutsAndHasThemTriedAgain(t *testing.T) {
	each(t, func(t *testing.T, d *storage.DB) {
		must(t, d.AddClient(t.Context(), provider.Client{ID: "app", Type: provider.SPA, BackchannelLogoutURI: "https://app.example/"}))
		for _, subject := range []string{"anna", "bert", "cleo"} {
			sessionWith(t, d, subject, "app")
			must(t, d.EndSessions(t.Context(), subject))
		}
		now := time.Now().UTC().Truncate(time.Microsecond)
		claimed, err := d.ClaimLogouts(t.Context(), now, now.Add(time.Minute), 10)
		must(t, err)
		ids := map[string]string{}
		for _, l := range claimed {
			ids[l.Subject] = l.ID
			if l.Subject == "cleo" {
				continue
			}
			at := l.Due
			l.Tries, l.GivenUp, l.Problem = 8, now, "it answered 500"
			must(t, d.SaveLogout(t.Context(), l, at))
		}
		all, err := d.Logouts(t.Context())
		must(t, err)
		if len(all) != 3 || all[0].Subject != "anna" || all[0].Tries != 8 || all[0].Problem != "it answered 500" || all[2].Tries != 0 {
			t.Errorf("got %+v", all)
		}
		due := func() int {
			found, err := d.ClaimLogouts(t.Context(), now, now.Add(time.Minute), 10)
			must(t, err)
			return len(found)
		}
		for _, is := range []struct {
			id      string
			n, then int
		}{
			{"nobody's", 0, 0}, {"\x00", 0, 0}, {ids["anna"], 1, 1}, {ids["cleo"], 1, 1}, {"", 1, 1}, {"", 0, 0},
		} {
			n, err := d.RetryLogouts(t.Context(), is.id, now)
			if got := due(); err != nil || n != is.n || got != is.then {
				t.Errorf("%q: %d, %v, then %d are due; want %d, then %d", is.id, n, err, got, is.n, is.then)
			}
		}
	})
}

// A client that is gone is told nothing, nor is one that is registered later
// under its ID.
func TestALogoutGoesWithItsClient(t *testing.T) {
	each(t, func(t *testing.T, d *storage.DB) {
		c := provider.Client{ID: "app", Type: provider.SPA, BackchannelLogoutURI: "https://app.example/"}
		must(t, d.AddClient(t.Context(), c))
		sessionWith(t, d, "anna", "app")
		must(t, d.EndSessions(t.Context(), "anna"))
		s := sessionWith(t, d, "bert", "app")
		must(t, d.RemoveClient(t.Context(), "app"))
		must(t, d.AddClient(t.Context(), c))
		must(t, d.EndSession(t.Context(), "bert", s.ID))
		if got := logouts(t, d); len(got) > 0 {
			t.Errorf("to be told are %v", got)
		}
	})
}

// Ending a session costs what hangs on it, and looking for what is due nothing
// where nothing is.
func TestLogoutsUseIndexes(t *testing.T) {
	d := open(t, storage.Config{DSN: engines[0].dsn(t)})
	for _, statement := range []string{
		"UPDATE flows SET ended = 1 WHERE ended = 0 AND (subject <> '' AND subject = 'x')",
		"UPDATE flows SET ended = 1 WHERE ended = 0 AND (session_id <> '' AND session_id IN (SELECT id FROM sessions WHERE subject = 'x' AND ended = 0))",
		"UPDATE flows SET ended = 1 WHERE ended = 0 AND (subject <> '' AND subject = 'x' AND browser = x'00')",
		"UPDATE grants SET revoked = 1 WHERE client_id IN ('a', 'b') AND subject = 'x' AND session_id IN ('s') AND revoked = 0",
		"UPDATE logouts SET due = 2 WHERE given_up = 0 AND due <= 1 AND id IN (SELECT id FROM logouts WHERE given_up = 0 AND due <= 1 ORDER BY due, id LIMIT 1)",
	} {
		var plan []struct{ Detail string }
		must(t, d.Write(t.Context()).Raw("EXPLAIN QUERY PLAN "+statement).Scan(&plan).Error)
		for _, step := range plan {
			if strings.HasPrefix(step.Detail, "SCAN") {
				t.Errorf("%s\nscans: %s", statement, step.Detail)
			}
		}
	}
}

// ST-4: sessions that were there before the table of their clients was.
func TestSessionsFromBeforeAreToldToTheirClients(t *testing.T) {
	each(t, func(t *testing.T, d *storage.DB) {
		must(t, d.AddClient(t.Context(), provider.Client{ID: "app", Type: provider.SPA, BackchannelLogoutURI: "https://app.example/"}))
		s := sessionWith(t, d, "anna", "app")
		must(t, d.CreateGrant(t.Context(), grant("of no session", s.Expires)))
		must(t, d.DownTo(t.Context(), 8))
		must(t, d.Migrate(t.Context()))
		must(t, d.EndSession(t.Context(), "anna", s.ID))
		if got := fmt.Sprint(logouts(t, d)); got != "[app anna]" {
			t.Errorf("to be told are %v", got)
		}
	})
}
