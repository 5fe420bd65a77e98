package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the drivers, by which rows are made past the server
	_ "modernc.org/sqlite"

	"github.com/sallyport-id/sallyport/test/fleet"
)

// A population is how many there are of everything: those who sign in, and
// beside them others who were made straight in the database.
type population struct{ users, grants int }

// everyone is who signs in; of the others nobody does.
const everyone = 1000

// grown returns a house with so many users, each with a factor, and so many
// grants, all of them live, with a session and consents; and its replica, which
// is stopped.
func grown(ctx context.Context, binary, database string, p population, crowd *fleet.Crowd) (_ *fleet.House, _ *fleet.Replica, err error) {
	h, err := fleet.Open(ctx, binary, fleet.Plan{Database: database, Users: min(p.users, everyone)})
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close())
		}
	}()
	// What is multiplied was made by the server.
	r, err := h.Start(ctx)
	if err != nil {
		return nil, nil, err
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	t, err := (&driver{fleet.Site{Issuer: r.URL, Transport: transport}, crowd}).signedIn(ctx)
	if err == nil {
		_, err = (fleet.Site{Issuer: r.URL, Transport: transport}).Refresh(ctx, t.Refresh)
	}
	if err := errors.Join(err, r.Stop()); err != nil {
		return nil, nil, err
	}
	return h, r, multiply(ctx, h, p)
}

// A copy says how rows are multiplied: n of them, each like one that is there,
// but for these columns. In what they are set to, i is which it is, from 0 on.
type copied struct {
	table, where string
	n            int
	set          map[string]string
}

func multiply(ctx context.Context, h *fleet.House, p population) error {
	kind, dsn := "pgx", h.DSN
	before, after := []string{"SET synchronous_commit = off"}, []string{"ANALYZE", "CHECKPOINT"}
	if dsn == "" {
		kind, dsn = "sqlite", "file:"+filepath.Join(h.Dir, "idp.db")
		before = []string{"PRAGMA journal_mode = delete", "PRAGMA journal_mode = off", "PRAGMA synchronous = off", "PRAGMA cache_size = -500000"}
		after = []string{"PRAGMA journal_mode = wal"}
	}
	db, err := sql.Open(kind, dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, s := range before {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	// Keys lie spread over all that there could be, as random ones do, and are
	// made in their order, which is quick: the tree that comes of it is the same.
	name := func(kind string, of int, i string) string {
		step := fmt.Sprint(math.MaxUint32 / max(of, 1))
		if h.DSN == "" {
			return fmt.Sprintf("printf('%%08x%s%%012d', (%s) * %s, %s)", kind, i, step, i)
		}
		return fmt.Sprintf("lpad(to_hex((%s)::bigint * %s), 8, '0') || '%s' || lpad((%s)::text, 12, '0')", i, step, kind, i)
	}
	bytes := func(of int, i string) string {
		text := name("bytesbytes-x", of, i) // of 32 bytes
		if h.DSN == "" {
			return "CAST(" + text + " AS BLOB)"
		}
		return "convert_to(" + text + ", 'UTF8')"
	}
	users, grants := max(p.users-everyone, 0), p.grants
	sessions := grants / 5
	owner := func(i string) string { return name("u", users, fmt.Sprintf("%s %% %d", i, max(users, 1))) }
	for _, c := range []copied{
		{"users", "true", users, map[string]string{"subject": name("u", users, "i"), "username": name("n", users, "i"), "folded": name("n", users, "i")}},
		{"mfa_accounts", "secret <> ''", users, map[string]string{"subject": name("u", users, "i")}},
		{"consents", "true", users, map[string]string{"subject": name("u", users, "i")}},
		{"sessions", "true", sessions, map[string]string{"id": name("s", sessions, "i"), "cookie": bytes(sessions, "i"), "subject": owner("i")}},
		{"session_clients", "true", sessions, map[string]string{"session_id": name("s", sessions, "i")}},
		{"grants", "revoked = 0", grants, map[string]string{"id": name("g", grants, "i"), "code": bytes(grants, "i"),
			"session_id": name("s", sessions, "i / 5"), "subject": owner("i / 5"), "expires": "expires + i"}},
	} {
		if err := c.make(ctx, db, h); err != nil {
			return fmt.Errorf("%s: %w", c.table, err)
		}
	}
	for _, s := range after {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

func (c copied) make(ctx context.Context, db *sql.DB, h *fleet.House) error {
	rows, err := db.QueryContext(ctx, "SELECT * FROM "+c.table+" LIMIT 0")
	if err != nil {
		return err
	}
	columns, err := rows.Columns()
	if err := errors.Join(err, rows.Close()); err != nil {
		return err
	}
	var values []string
	for _, column := range columns {
		value, ok := c.set[column]
		if !ok {
			value = column
		}
		values = append(values, value)
	}
	const batch = 50_000
	for from := 0; from < c.n; from += batch {
		to := min(from+batch, c.n)
		series := fmt.Sprintf("generate_series(%d, %d) AS series (i)", from, to-1)
		with := ""
		if h.DSN == "" {
			with = fmt.Sprintf("WITH RECURSIVE series (i) AS (SELECT %d UNION ALL SELECT i + 1 FROM series WHERE i < %d) ", from, to-1)
			series = "series"
		}
		statement := fmt.Sprintf("%sINSERT INTO %s (%s) SELECT %s FROM %s, (SELECT * FROM %s WHERE %s LIMIT 1) AS one",
			with, c.table, strings.Join(columns, ", "), strings.Join(values, ", "), series, c.table, c.where)
		if h.DSN == "" {
			statement = strings.TrimPrefix(statement, with)
			statement = with + statement
		}
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
		fmt.Fprintf(os.Stderr, "\r%-16s %9d of %9d", c.table, to, c.n)
	}
	if c.n > 0 {
		fmt.Fprintln(os.Stderr)
	}
	return nil
}

// growth drives servers with few and with many users and grants, in turns, and
// prints how much more an operation takes where there are many.
func (p plan) growth(ctx context.Context, binary, database string) (err error) {
	type town struct {
		population
		server *fleet.Replica
		crowd  *fleet.Crowd
		took   map[string][]time.Duration
	}
	var towns []*town
	for _, of := range p.sizes {
		began := time.Now()
		crowd := fleet.NewCrowd(min(of.users, everyone))
		h, s, err := grown(ctx, binary, database, of, crowd)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, h.Close()) }()
		if err := s.Restart(ctx); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%s: %d users and %d grants after %v; ready after %v\n", database, of.users, of.grants,
			time.Since(began).Round(time.Second), s.Ready.Round(time.Millisecond))
		towns = append(towns, &town{of, s, crowd, map[string][]time.Duration{}})
	}
	for range p.rounds {
		for _, o := range operations {
			if len(p.only) > 0 && !slices.Contains(p.only, o.name) {
				continue
			}
			for _, t := range towns {
				r, err := p.measure(ctx, t.server, t.crowd, o, 1)
				if err != nil {
					return fmt.Errorf("%s with %d users: %w", o.name, t.users, err)
				}
				if r.errors > 0 {
					return fmt.Errorf("%s with %d users: %d errors", o.name, t.users, r.errors)
				}
				t.took[o.name] = append(t.took[o.name], r.cpu)
			}
		}
	}
	fmt.Printf("\n%s, CPU ms of one operation, the median of %d rounds in turns\n\n| operation |", database, p.rounds)
	for _, t := range towns {
		fmt.Printf(" %d users, %d grants |", t.users, t.grants)
	}
	fmt.Print(" last to first |\n|---|" + strings.Repeat("--:|", len(towns)+1) + "\n")
	for _, o := range operations {
		if len(towns[0].took[o.name]) == 0 {
			continue
		}
		fmt.Printf("| %s |", o.name)
		var medians []float64
		for _, t := range towns {
			ms := float64(at(t.took[o.name], .5).Microseconds()) / 1000
			medians = append(medians, ms)
			fmt.Printf(" %.2f |", ms)
		}
		fmt.Printf(" %.2f |\n", medians[len(medians)-1]/medians[0])
	}
	return nil
}
