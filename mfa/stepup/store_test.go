package stepup_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/sallyport-id/sallyport/mfa/stepup"
	"github.com/sallyport-id/sallyport/test/pg"
)

// onEach runs a story on each database, with a way to open it anew: as another
// replica does.
func onEach(t *testing.T, story func(t *testing.T, open func() (*stepup.SQLStore, *sql.DB))) {
	connect := func(t *testing.T, driver, dsn string, d stepup.Dialect) func() (*stepup.SQLStore, *sql.DB) {
		return func() (*stepup.SQLStore, *sql.DB) {
			t.Helper()
			db, err := sql.Open(driver, dsn)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			if d == stepup.SQLite {
				db.SetMaxOpenConns(1)
			}
			if _, err := db.ExecContext(t.Context(), stepup.Schema); err != nil {
				t.Fatal(err)
			}
			s, err := stepup.NewSQLStore(db, d)
			if err != nil {
				t.Fatal(err)
			}
			return s, db
		}
	}
	t.Run("sqlite", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "spent.db") + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)"
		story(t, connect(t, "sqlite", file, stepup.SQLite))
	})
	t.Run("postgres", func(t *testing.T) { story(t, connect(t, "pgx", pg.DSN(t), stepup.PostgreSQL)) })
}

func TestOneOfFiftyReplicasSpendsAToken(t *testing.T) {
	onEach(t, func(t *testing.T, open func() (*stepup.SQLStore, *sql.DB)) {
		var replicas []stepup.Store
		for range 3 {
			s, _ := open()
			replicas = append(replicas, s)
		}
		for round := range 4 {
			var spent, late atomic.Int64
			var wg sync.WaitGroup
			start := make(chan struct{})
			for i := range 50 {
				wg.Go(func() {
					<-start
					err := replicas[i%len(replicas)].Spend(t.Context(), fmt.Sprint("token-", round), time.Now().Add(time.Minute))
					switch {
					case err == nil:
						spent.Add(1)
					case errors.Is(err, stepup.ErrSpent):
						late.Add(1)
					default:
						t.Error(err)
					}
				})
			}
			close(start)
			wg.Wait()
			if spent.Load() != 1 || late.Load() != 49 {
				t.Errorf("%d spent it and %d were late, want 1 and 49", spent.Load(), late.Load())
			}
		}
	})
}

// The middleware over the real thing: 50 calls, on two replicas of the API.
func TestATokenOpensTheAPIOnceOverAllReplicas(t *testing.T) {
	onEach(t, func(t *testing.T, open func() (*stepup.SQLStore, *sql.DB)) {
		a := newAuthority(t)
		var guards []*stepup.Guard
		for range 2 {
			s, _ := open()
			guards = append(guards, a.guard(func(c *stepup.Config) { c.Store = s }))
		}
		token := a.token(nil)
		var passed atomic.Int64
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				if resp := call(guards[i%2], once, token); resp.StatusCode == 200 {
					passed.Add(1)
				} else {
					wants(t, resp, 401, "invalid_token")
				}
			})
		}
		wg.Wait()
		if passed.Load() != 1 {
			t.Errorf("%d calls passed, want 1", passed.Load())
		}
	})
}

// ST-5
func TestTheTableOfSpentTokensStaysBounded(t *testing.T) {
	onEach(t, func(t *testing.T, open func() (*stepup.SQLStore, *sql.DB)) {
		s, db := open()
		ctx := context.Background()
		rows := func() (n int) {
			t.Helper()
			if err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM stepup_spent").Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		spend := func(id string, expires time.Time) {
			t.Helper()
			if err := s.Spend(ctx, id, expires); err != nil {
				t.Fatal(err)
			}
		}
		long, now := time.Now().Add(-time.Hour), time.Now()
		spend("live", now.Add(time.Minute))
		spend("just over", now.Add(-time.Minute))
		for i := range 200 {
			spend(fmt.Sprint("old-", i), long)
			if got := rows(); got > 64 {
				t.Fatalf("%d rows after %d calls", got, i)
			}
		}
		for i := range 31 { // below what makes Spend sweep by itself again
			spend(fmt.Sprint("older-", i), long)
		}
		n, err := s.Sweep(ctx, now, 1)
		if err != nil || n != 1 {
			t.Errorf("a batch of one removed %d, %v", n, err)
		}
		if _, err := s.Sweep(ctx, now, 1000); err != nil {
			t.Error(err)
		}
		if got := rows(); got != 2 {
			t.Errorf("%d rows are left, want the live one and the one that is just over", got)
		}
		// The clock of another replica may be behind ours.
		for _, id := range []string{"live", "just over"} {
			if err := s.Spend(ctx, id, now); !errors.Is(err, stepup.ErrSpent) {
				t.Errorf("%s: %v, want ErrSpent", id, err)
			}
		}
		if _, err := s.Sweep(ctx, now.Add(time.Hour), 1000); err != nil || rows() != 0 {
			t.Errorf("%d rows are left after an hour, %v", rows(), err)
		}
	})
}

func TestADatabaseThatIsGoneRefuses(t *testing.T) {
	onEach(t, func(t *testing.T, open func() (*stepup.SQLStore, *sql.DB)) {
		a := newAuthority(t)
		s, db := open()
		g := a.guard(func(c *stepup.Config) { c.Store = s })
		token := a.token(nil)
		if _, err := db.Exec("ALTER TABLE stepup_spent RENAME TO elsewhere"); err != nil {
			t.Fatal(err)
		}
		wants(t, call(g, once, token), 503, "")
		if _, err := s.Sweep(t.Context(), time.Now(), 10); err == nil {
			t.Error("a table that is gone was swept")
		}
		if _, err := db.Exec("ALTER TABLE elsewhere RENAME TO stepup_spent"); err != nil {
			t.Fatal(err)
		}
		wants(t, call(g, once, token), 200, "")
		db.Close()
		wants(t, call(g, once, a.token(nil)), 503, "")
	})
}

func TestADialectHasToBeNamed(t *testing.T) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, d := range []stepup.Dialect{0, 3} {
		if _, err := stepup.NewSQLStore(db, d); err == nil {
			t.Errorf("dialect %d is taken", d)
		}
	}
}
