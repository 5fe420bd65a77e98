package storage_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
	"github.com/sallyport-id/sallyport/storage"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// ST-5
func TestWhatHasExpiredIsSweptAndNothingElse(t *testing.T) {
	before, after := noon.Add(-time.Microsecond), noon.Add(time.Microsecond)
	each(t, func(t *testing.T, d *storage.DB) {
		for _, when := range []struct {
			name    string
			expires time.Time
			swept   bool
		}{
			{"before", before, true}, {"at", noon, false}, {"after", after, false},
		} {
			fill(t, d, when.name, when.expires)
		}
		// A code that is good still, before there is a refresh token.
		code := grant("code", time.Time{})
		code.CodeExpires = after
		must(t, d.CreateGrant(t.Context(), code))
		// A refresh token long after its code.
		refresh := grant("refresh", after)
		refresh.CodeExpires = before
		must(t, d.CreateGrant(t.Context(), refresh))
		// Revoked or ended, a row has its time like any other.
		must(t, d.RevokeGrant(t.Context(), "after", noon))
		must(t, d.EndSession(t.Context(), "anna", "after"))

		n, err := d.Sweep(t.Context(), noon, 100)
		if err != nil || n != 11 {
			t.Errorf("swept %d, %v, want 11", n, err)
		}
		want := map[string]int64{"flows": 2, "pushed_requests": 2, "sessions": 2, "session_clients": 2, "logouts": 2, "grants": 4, "mfa_misses": 2, "mfa_accounts": 3, "events": 2, "assertions": 2, "rates": 2}
		for table, want := range want {
			if got := rows(t, d, table); got != want {
				t.Errorf("%s has %d rows left, want %d", table, got, want)
			}
		}
		if _, err := d.Flow(t.Context(), "before"); !errors.Is(err, provider.ErrNotFound) {
			t.Errorf("the expired flow: %v, want ErrNotFound", err)
		}
		for name, want := range map[string]mfa.Sealed{"before": "", "at": "k1.x", "after": "k1.x"} {
			a, err := d.Account(t.Context(), name)
			if err != nil || a.Pending != want || a.Unsaved != want || a.Secret != "k1.y" {
				t.Errorf("account %s: got pending %q, unsaved %q, secret %q, %v; want %q, the secret untouched",
					name, a.Pending, a.Unsaved, a.Secret, err, want)
			}
		}
	})
}

// ST-5
func TestASweepTakesSmallBatches(t *testing.T) {
	each(t, func(t *testing.T, d *storage.DB) {
		for i := range 25 {
			must(t, d.CreateFlow(t.Context(), flow(fmt.Sprint(i), noon.Add(-time.Second))))
		}
		var took []int
		for {
			n, err := d.Sweep(t.Context(), noon, 10)
			must(t, err)
			if took = append(took, n); n == 0 {
				break
			}
		}
		if got, want := fmt.Sprint(took), "[10 10 5 0]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// ST-5
func TestTablesStayBounded(t *testing.T) {
	const perHour, hours, kept = 5, 12, 4 * time.Hour
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			d := open(t, storage.Config{DSN: e.dsn(t), KeepEvents: kept})
			most := map[string]int64{}
			for hour := range hours {
				now := noon.Add(time.Duration(hour) * time.Hour)
				for range perHour {
					fill(t, d, rand.Text(), now.Add(time.Hour))
				}
				// Whoever reads misses in a transaction leaves a row to lock.
				must(t, d.Atomically(t.Context(), func(ctx context.Context) error {
					_, err := d.Misses(ctx, rand.Text())
					return err
				}))
				for n := 1; n > 0; {
					var err error
					n, err = d.Sweep(t.Context(), now.Add(time.Minute), 50)
					must(t, err)
				}
				for _, table := range []string{"flows", "pushed_requests", "sessions", "session_clients", "logouts", "grants", "mfa_misses", "events", "assertions", "rates"} {
					most[table] = max(most[table], rows(t, d, table))
				}
			}
			for table, got := range most {
				want := int64(3 * perHour)
				if table == "events" {
					want = int64(kept/time.Hour+3) * perHour
				}
				if got > want {
					t.Errorf("%s has had %d rows, want at most %d", table, got, want)
				}
			}
		})
	}
}

// ST-5: what a sweep costs is what it removes.
func TestSweepsUseIndexes(t *testing.T) {
	d := open(t, storage.Config{DSN: engines[0].dsn(t)})
	for _, statement := range storage.SweepStatements(d) {
		var plan []struct{ Detail string }
		if err := d.Write(t.Context()).Raw("EXPLAIN QUERY PLAN "+statement,
			map[string]any{"now": 1, "kept": 1, "batch": 1}).Scan(&plan).Error; err != nil {
			t.Fatal(err)
		}
		for _, step := range plan {
			if strings.HasPrefix(step.Detail, "SCAN") {
				t.Errorf("%s\nscans: %s", statement, step.Detail)
			}
		}
	}
}

// A row that someone renews while it is swept stays.
func TestASweepLeavesWhatIsBeingRenewed(t *testing.T) {
	d := open(t, storage.Config{DSN: engines[1].dsn(t)})
	must(t, d.CreateFlow(t.Context(), flow("f", noon.Add(-time.Hour))))
	must(t, d.Atomically(t.Context(), func(ctx context.Context) error {
		f, err := d.Flow(ctx, "f")
		if err != nil {
			return err
		}
		// Someone else sweeps meanwhile, and need not wait.
		n, err := d.Sweep(t.Context(), noon, 10)
		if n != 0 || err != nil {
			t.Errorf("swept %d, %v, want 0", n, err)
		}
		f.Expires = noon.Add(time.Hour)
		return d.SaveFlow(ctx, f)
	}))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func rows(t *testing.T, d *storage.DB, table string) (n int64) {
	t.Helper()
	must(t, d.Read(t.Context()).Table(table).Count(&n).Error)
	return n
}

func flow(id string, expires time.Time) provider.Flow {
	return provider.Flow{ID: id, Expires: expires}
}

func grant(id string, expires time.Time) provider.Grant {
	return provider.Grant{ID: id, Subject: "anna", ClientID: "app", Login: authflow.Login{Subject: "anna"}, CodeExpires: expires, Expires: expires}
}

// given is a grant that was given in the session called like it.
func given(id string, expires time.Time) provider.Grant {
	g := grant(id, expires)
	g.SessionID = id
	return g
}

// second is the error of a call that also returns a time.
func second(_ time.Time, err error) error { return err }

// fill writes one row into each table, to expire at expires; an event of a time
// that makes it 400 days old a moment later than that.
func fill(t *testing.T, d *storage.DB, id string, expires time.Time) {
	t.Helper()
	var cookie provider.Hash
	_, _ = rand.Read(cookie[:])
	must(t, d.Atomically(t.Context(), func(ctx context.Context) error {
		return errors.Join(
			d.CreateFlow(ctx, flow(id, expires)),
			d.CreatePushed(ctx, provider.PushedRequest{ID: cookie, ClientID: "app", Kept: expires, Spent: noon}),
			d.SaveSession(ctx, provider.Session{ID: id, Cookie: cookie, Login: authflow.Login{Subject: "anna"}, Expires: expires}),
			d.CreateGrant(ctx, given(id, expires)),
			d.SpendAssertion(ctx, cookie, time.Now(), expires),
			second(d.Charge(ctx, cookie, expires, 0, expires)),
			storage.AddLogout(ctx, d, id, expires),
			d.SaveMisses(ctx, id, mfa.Misses{Run: 1}, expires),
			d.SaveAccount(ctx, mfa.Account{Subject: id, Secret: "k1.y", Pending: "k1.x", PendingExpires: expires, Unsaved: "k1.x", UnsavedExpires: expires}),
			d.Record(ctx, provider.Event{Kind: provider.EventFactor, Subject: "anna", Time: expires.Add(-storage.Keep(d))}),
		)
	}))
}
