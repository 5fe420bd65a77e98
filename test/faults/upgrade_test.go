package faults

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sallyport-id/sallyport/test/fleet"
	"github.com/sallyport-id/sallyport/test/pg"
)

// nextVersion builds idp, once, as it might be one version on: with a further step of the
// schema, of the kinds that ours may be of, and one that nothing in it keeps from
// being made twice.
func nextVersion(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(scratch, "next")
	building.Lock()
	defer building.Unlock()
	if _, err := os.Stat(path); err == nil {
		return path
	}
	dir := t.TempDir()
	steps := map[string]string{
		"postgres": "ALTER TABLE flows ADD COLUMN next TEXT NOT NULL DEFAULT '';\nALTER TABLE grants ADD COLUMN next BIGINT NOT NULL DEFAULT 0;\n" +
			"ALTER TABLE mfa_accounts ADD COLUMN next TEXT NOT NULL DEFAULT '';\nALTER TABLE users ADD COLUMN next TEXT;\n" +
			"CREATE TABLE next (id TEXT NOT NULL PRIMARY KEY);\nCREATE INDEX users_next ON users (next);",
		"sqlite": "CREATE TABLE next (id TEXT NOT NULL PRIMARY KEY) STRICT;",
	}
	replace := map[string]string{}
	put := func(name, as, step string) {
		t.Helper()
		file := filepath.Join(dir, name+as)
		if err := os.WriteFile(file, []byte("-- +goose Up\n\n"+step+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		into, err := filepath.Abs(filepath.Join("..", "..", "storage", "migrations", name, as))
		if err != nil {
			t.Fatal(err)
		}
		replace[into] = file
	}
	for name, step := range steps {
		put(name, "00999_next.sql", step)
	}
	put("postgres", "01000_row.sql", "INSERT INTO next SELECT md5(random()::text) FROM pg_sleep(0.3);")
	put("sqlite", "01000_row.sql", "INSERT INTO next WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i < 500000) SELECT hex(randomblob(16)) FROM c WHERE i = 500000;")
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-overlay", file, "-o", path, "github.com/sallyport-id/sallyport/cmd/idp")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the next version: %v\n%s", err, out)
	}
	return path
}

var building sync.Mutex // the next version

// upAtOnce has so many processes migrate at the same time, and returns how often
// one said that it was done.
func upAtOnce(t *testing.T, h *fleet.House, n int) {
	t.Helper()
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if out, err := h.Run(t.Context(), "migrate", "up"); err != nil || !strings.Contains(out, "The database is of this version.") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	all.Wait()
}

// steps reads which steps of the schema were made, and how often.
func steps(t *testing.T, dsn string) (all map[int64]int) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "SELECT version_id, count(*) FROM goose_db_version WHERE version_id > 0 GROUP BY 1")
	if err != nil {
		t.Fatal(err)
	}
	all = map[int64]int{}
	for rows.Next() {
		var version int64
		var n int
		if err := rows.Scan(&version, &n); err != nil {
			t.Fatal(err)
		}
		all[version] = n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// rows counts those of a table of the SQLite database in a file.
func rows(t *testing.T, file, table string) (n int) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// The schema is brought one version on while people sign in over replicas of the
// old version; those go on, and are replaced by the new one after another.
// Nobody notices. The old version does not start any more, and says why. Of many
// that migrate at once each step is made by one.
func TestARollingUpgrade(t *testing.T) {
	needsPostgres(t)
	t.Parallel()
	next := nextVersion(t)
	upgrades := times(1, 10)
	var signedIn, refreshed int
	for range upgrades {
		b := balancer(t)
		users := 300
		h := open(t, fleet.Plan{Database: "postgres", Users: users, Issuer: b.URL})
		replicas := start(t, h, 3)
		b.Set(replicas...)
		l := newLoad(t, visit(t, h), users)
		some := map[string]int{"code": 10, "refresh": 50, "revoke": 1}
		l.more("the first families", some)
		before := len(steps(t, h.DSN))

		old := h.Binary
		h.Binary = next
		upAtOnce(t, h, 4)
		made := steps(t, h.DSN)
		if len(made) != before+2 || made[999] != 1 || made[1000] != 1 {
			t.Errorf("steps of the schema: %v", made)
		}
		l.more("the old version to go on", some)
		h.Binary = old
		if out, err := h.Run(t.Context(), "serve"); err == nil || !strings.Contains(out, "a newer version of Sallyport has migrated this database") {
			t.Errorf("the old version starts: %v, %s", err, out)
		}
		h.Binary = next
		roll(t, b, replicas, func(new int) {
			l.more(fmt.Sprintf("%d of the new version beside %d of the old", new, len(replicas)-new), some)
		})
		l.Stop()
		done, away := l.count()
		if away[""] > 0 {
			t.Errorf("%d were told to come again", away[""])
		}
		signedIn, refreshed = signedIn+done["code"], refreshed+done["refresh"]
		l.audit()
		for _, r := range replicas {
			if err := r.Stop(); err != nil {
				t.Error(err)
			}
		}
	}
	report(t, "upgrades", upgrades, "sign-ins meanwhile", signedIn, "refreshes", refreshed)
}

// Many processes at once migrate a database that has nothing yet.
func TestManyMigrateAtOnce(t *testing.T) {
	t.Parallel()
	const processes = 8
	rounds := times(1, 20)
	next := nextVersion(t)
	for range rounds {
		h := open(t, fleet.Plan{Database: "sqlite"})
		file := filepath.Join(h.Dir, "idp.db")
		upAtOnce(t, h, processes)
		sound(t, file)
		h.Binary = next
		upAtOnce(t, h, processes)
		if n := rows(t, file, "next"); n != 1 {
			t.Errorf("a step that nothing in it keeps from being made twice was made %d times", n)
		}
		if os.Getenv(pg.Env) == "" {
			continue
		}
		h = open(t, fleet.Plan{Database: "postgres"})
		known := steps(t, h.DSN)
		dsn, drop, err := pg.New(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Change(func(c string) string { return strings.Replace(c, h.DSN, dsn, 1) }); err != nil {
			t.Fatal(err)
		}
		upAtOnce(t, h, processes)
		made := steps(t, dsn)
		if len(made) != len(known) {
			t.Errorf("steps of the schema: %v", made)
		}
		for version, n := range made {
			if n != 1 {
				t.Errorf("step %d was made %d times", version, n)
			}
		}
		if err := drop(); err != nil {
			t.Error(err)
		}
	}
	report(t, "rounds", rounds, "processes at once", processes)
}
