package faults

import (
	"database/sql"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/sallyport-id/sallyport/test/fleet"
)

// sound looks into a SQLite file that a server was killed over: whether it is
// whole, and nobody is in by less than what is demanded.
func sound(t *testing.T, file string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ask := func(query string) (text string) {
		t.Helper()
		err := db.QueryRow(query).Scan(&text)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			t.Fatalf("%s: %v", query, err)
		}
		return text
	}
	if got := ask("PRAGMA integrity_check"); got != "ok" {
		t.Errorf("integrity_check: %s", got)
	}
	if got := ask("SELECT \"table\" FROM pragma_foreign_key_check"); got != "" {
		t.Errorf("foreign_key_check: %s", got)
	}
	for what, query := range map[string]string{
		"sessions without a factor": `SELECT count(*) FROM sessions WHERE proofs NOT LIKE '%"pwd"%' OR proofs NOT LIKE '%"otp"%'`,
		"grants without a factor":   `SELECT count(*) FROM grants WHERE subject <> '' AND (proofs NOT LIKE '%"pwd"%' OR proofs NOT LIKE '%"otp"%')`,
		"grants without a session":  `SELECT count(*) FROM grants WHERE session_id <> '' AND session_id NOT IN (SELECT id FROM sessions)`,
		"grants without a consent":  `SELECT count(*) FROM grants WHERE subject <> '' AND NOT EXISTS (SELECT 1 FROM consents WHERE consents.subject = grants.subject AND consents.client_id = grants.client_id)`,
	} {
		if got := ask(query); got != "0" {
			t.Errorf("%s: %s", what, got)
		}
	}
}

// The server is killed (SIGKILL) over its SQLite file again and again, while
// people sign in. It comes up by itself each time, with all that it had
// acknowledged.
func TestTheServerIsKilledOverItsFile(t *testing.T) {
	t.Parallel()
	b := balancer(t)
	users := times(200, 4000)
	h := open(t, fleet.Plan{Database: "sqlite", Users: users, Issuer: b.URL, More: "lifetimes: {refresh_grace: 30s}\n"})
	r := start(t, h, 1)[0]
	b.Set(r)
	l := &load{kills: true}
	l.begin(t, visit(t, h), users)

	var took []time.Duration
	kills := times(12, 500)
	for range kills {
		done, _ := l.count()
		l.await("some to get on", func(now, _ map[string]int) bool {
			return now["code"] > done["code"] && now["refresh"] >= done["refresh"]+3
		})
		if err := r.Kill(); err != nil {
			t.Fatal(err)
		}
		sound(t, filepath.Join(h.Dir, "idp.db"))
		if err := r.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		took = append(took, r.Ready)
		if t.Failed() {
			break
		}
	}
	done, _ := l.count()
	l.await("more to sign in", func(now, _ map[string]int) bool {
		return now["code"] >= done["code"]+5 && now["revoke"] > done["revoke"]
	})
	l.Stop()
	report(t, "kills", kills, "ready again after, at most", slices.Max(took), "in the middle", middle(took))
	l.audit()
}

// Two servers have one file. What is good once is so for both, and who begins at
// one goes on at the other.
func TestTwoServersOverOneFile(t *testing.T) {
	t.Parallel()
	b := balancer(t)
	users := times(150, 1500)
	h := open(t, fleet.Plan{Database: "sqlite", Users: users, Issuer: b.URL})
	b.Set(start(t, h, 2)...)
	site := visit(t, h)
	l := newLoad(t, site, users)
	l.await("enough", func(done, _ map[string]int) bool {
		return done["code"] >= times(30, 300) && done["refresh"] >= times(200, 2000) && done["revoke"] >= 5
	})
	l.Stop()
	report(t, "requests", b.Sent())
	if _, away := l.count(); away[""] > 0 {
		t.Errorf("%d were told to come again", away[""])
	}
	l.audit()
	sound(t, filepath.Join(h.Dir, "idp.db"))
}
