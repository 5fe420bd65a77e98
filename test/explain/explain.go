// Package explain asks both databases how they would run the statements that tests
// have run, and says which of them look at more rows than they need.
package explain

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite" // as the driver of database/sql

	"github.com/sallyport-id/sallyport/storage"
	"github.com/sallyport-id/sallyport/test/pg"
)

// few are the tables that stay small, whatever grows: to read one wholly is as
// good as by an index. Every other table must be looked into by one.
var few = []string{"clients", "signing_keys", "subject_key", "epoch", "goose_db_version", "sqlite_master", "sqlite_schema", "pg_class", "pg_tables"}

// wide are statements that may look at more rows than they return, by what
// stands in them once quotes are left out, and why.
var wide = []struct{ part, why string }{
	{"FROM sqlite_master", "the tables, of which there are few"},
	{"goose_db_version", "the steps of the schema, of which there are few"},
	{"information_schema", "the tables, of which there are few"},
	{"pg_advisory", "a lock and no table"},
	{"clock_timestamp", "the time and no table"},
	{"pg_sleep", "a test waits"},
	{"SELECT DISTINCT session_id, client_id FROM grants", "a migration, which is run once"},
	{"DELETE FROM logouts WHERE client_id", "a client is removed rarely, and an index would cost each logout"},
	{"DELETE FROM session_clients WHERE client_id", "a client is removed rarely, and an index would cost each login"},
	{"FROM events WHERE client_id", "a command reads back in time until it has enough, and an index would cost each event"},
	{"FROM events WHERE kind", "as above"},
	{"FROM events WHERE outcome", "as above"},
	{"FROM logouts ORDER BY created", "a command lists what has not been delivered, which is kept for a day"},
	{"WHERE given_up > 0", "a command has what was given up tried again"},
	{"UPDATE flows SET ended = ?, ending = ?", "the epoch is bumped: all of them"}, {"UPDATE flows SET ended = $", "as above"},
	{"DELETE FROM pushed_requests WHERE spent = 0", "as above"}, {"UPDATE grants SET revoked = ? WHERE revoked = 0", "as above"},
	{"UPDATE grants SET revoked = $1 WHERE revoked = 0", "as above"}, {"UPDATE mfa_accounts SET version = version + 1", "as above"},
	{"UPDATE mfa_recovery_codes SET used = ? WHERE used = 0", "as above"}, {"UPDATE mfa_recovery_codes SET used = $1 WHERE used = 0", "as above"},
	{"FROM mfa_recovery_codes WHERE used = 0", "as above"},
	{"SELECT secret FROM mfa_accounts WHERE secret", "a restore looks at all of them"},
	{"SELECT count(*) FROM assertions", "a test counts"}, {"SELECT count(*) FROM events", "a test counts"},
	{"SELECT count(*) FROM flows", "a test counts"}, {"SELECT count(*) FROM grants", "a test counts"},
	{"SELECT count(*) FROM logouts", "a test counts"}, {"SELECT count(*) FROM mfa_accounts", "a test counts"},
	{"SELECT count(*) FROM mfa_misses", "a test counts"}, {"SELECT count(*) FROM pushed_requests", "a test counts"},
	{"SELECT count(*) FROM session_clients", "a test counts"}, {"SELECT count(*) FROM rates", "a test counts"}, {"SELECT count(*) FROM sessions", "a test counts"},
	{"DELETE FROM flows", "a test empties it"},
	{"FROM child", "a table of a test"}, {"INTO child", "a table of a test"}, {"INTO mine", "a table of a test"},
}

var unquote = strings.NewReplacer("`", "", `"`, "")

// allowed reports whether s stands in wide: where the part is a whole statement
// of its own, s must be no more than that.
func allowed(s string) bool {
	s = unquote.Replace(s)
	for _, w := range wide {
		whole := strings.HasPrefix(w.part, "SELECT count") || w.part == "DELETE FROM flows"
		if whole && s == w.part || !whole && strings.Contains(s, w.part) {
			return true
		}
	}
	return false
}

// A Recorder keeps the statements that are run, each once.
type Recorder struct {
	mu   sync.Mutex
	seen map[string]bool
}

// Trace is for storage.Config.Trace.
func (r *Recorder) Trace(statement string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[string]bool{}
	}
	r.seen[statement] = true
}

// Statements returns those that read or change rows, for SQLite or PostgreSQL.
func (r *Recorder) Statements(postgres bool) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, s := range slices.Sorted(maps.Keys(r.seen)) {
		verb, _, _ := strings.Cut(s, " ")
		quoted := strings.Contains(s, "`")
		numbered := numbers.MatchString(s) || strings.Contains(s, `"`)
		switch {
		case !slices.Contains([]string{"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"}, strings.ToUpper(verb)):
		case allowed(s):
		case postgres && (quoted || strings.Contains(s, "?")), !postgres && numbered:
		default:
			all = append(all, s)
		}
	}
	return all
}

var numbers = regexp.MustCompile(`\$[0-9]+`)

// A Wide says that a statement looks at all rows of a table, or of an index.
type Wide struct {
	Statement string
	Plan      string // the part of its plan that does
}

// A Database is one whose plans are asked for. It has the schema and no rows.
type Database interface {
	// Wide returns which of statements look at all rows of a table that grows.
	Wide(ctx context.Context, statements []string) ([]Wide, error)
	// Indexes returns the indexes that only make reading faster: not those that
	// keep a rule.
	Indexes(ctx context.Context) ([]string, error)
	// Without calls fn while index is not there.
	Without(ctx context.Context, index string, fn func() error) error
	Close() error
}

// SQLite returns the database in a file.
func SQLite(path string) (Database, error) {
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return sqlite{db}, nil
}

type sqlite struct{ *sql.DB }

// bare tells a whole table or index from a part of one: https://www.sqlite.org/eqp.html
var bare = regexp.MustCompile(`^SCAN ([a-z]\w*)`)

func (d sqlite) Wide(ctx context.Context, statements []string) (all []Wide, err error) {
	for _, s := range statements {
		lines, err := d.explain(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s, err)
		}
		for _, line := range lines {
			m := bare.FindStringSubmatch(line)
			if m != nil && !slices.Contains(few, m[1]) && !bounded(s) {
				all = append(all, Wide{s, line})
			}
		}
	}
	return all, nil
}

// bounded reports whether s takes so many rows in the order of an index, and
// stops there: it has no condition to look for.
func bounded(s string) bool {
	return strings.Contains(s, "LIMIT") && strings.Contains(s, "ORDER BY") && !strings.Contains(s, "WHERE")
}

func (d sqlite) explain(ctx context.Context, s string) (lines []string, err error) {
	args := make([]any, strings.Count(s, "?"))
	rows, err := d.QueryContext(ctx, "EXPLAIN QUERY PLAN "+s, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var line string
		if err := rows.Scan(&id, &parent, &unused, &line); err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return lines, rows.Err()
}

func (d sqlite) Indexes(ctx context.Context) ([]string, error) {
	return column(d.QueryContext(ctx, "SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE 'CREATE INDEX%' ORDER BY name"))
}

func column(rows *sql.Rows, err error) (all []string, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

func (d sqlite) Without(ctx context.Context, index string, fn func() error) error {
	var again string
	if err := d.QueryRowContext(ctx, "SELECT sql FROM sqlite_master WHERE name = ?", index).Scan(&again); err != nil {
		return err
	}
	if _, err := d.ExecContext(ctx, "DROP INDEX "+index); err != nil {
		return err
	}
	err := fn()
	_, back := d.ExecContext(ctx, again)
	return errors.Join(err, back)
}

// Postgres returns the database that dsn names.
func Postgres(ctx context.Context, dsn string) (Database, error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	// Of tables without rows it would read all, whatever indexes there are; and
	// a plan that serves any values is what an index serves.
	_, err = conn.Exec(ctx, "SET enable_seqscan = off; SET enable_bitmapscan = off; SET plan_cache_mode = force_generic_plan")
	if err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	rows, err := conn.Query(ctx, `SELECT c.relname::text, a.attname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
		JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]`)
	if err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	lead := map[string]*regexp.Regexp{}
	var index, first string
	_, err = pgx.ForEachRow(rows, []any{&index, &first}, func() error {
		lead[index] = regexp.MustCompile(`\b` + first + `\b`)
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return postgres{conn, lead}, nil
}

type postgres struct {
	conn *pgx.Conn
	lead map[string]*regexp.Regexp // by index: its first column
}

func (d postgres) Close() error { return d.conn.Close(context.Background()) }

// A node of a plan: https://www.postgresql.org/docs/15/sql-explain.html
type node struct {
	Type      string `json:"Node Type"`
	Relation  string `json:"Relation Name"`
	Index     string `json:"Index Name"`
	Condition string `json:"Index Cond"`
	Plans     []node
}

func (d postgres) Wide(ctx context.Context, statements []string) (all []Wide, err error) {
	for i, s := range statements {
		root, err := d.explain(ctx, fmt.Sprintf("p%d", i), s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s, err)
		}
		var walk func(n node)
		walk = func(n node) {
			// A condition on a later column alone looks at the whole index.
			scans := n.Type == "Seq Scan" || n.Index != "" && (n.Condition == "" || !d.lead[n.Index].MatchString(n.Condition))
			if scans && !slices.Contains(few, n.Relation) && !bounded(s) {
				all = append(all, Wide{s, n.Type + " " + cmp.Or(n.Index, n.Relation)})
			}
			for _, child := range n.Plans {
				walk(child)
			}
		}
		walk(root)
	}
	return all, nil
}

func (d postgres) explain(ctx context.Context, name, s string) (node, error) {
	if _, err := d.conn.Exec(ctx, "PREPARE "+name+" AS "+s); err != nil {
		return node{}, err
	}
	defer d.conn.Exec(ctx, "DEALLOCATE "+name)
	most := 0
	for _, m := range numbers.FindAllString(s, -1) {
		var n int
		fmt.Sscanf(m, "$%d", &n)
		most = max(most, n)
	}
	call := name
	if most > 0 {
		call += "(" + strings.TrimSuffix(strings.Repeat("NULL, ", most), ", ") + ")"
	}
	var text []byte
	if err := d.conn.QueryRow(ctx, "EXPLAIN (FORMAT JSON) EXECUTE "+call).Scan(&text); err != nil {
		return node{}, err
	}
	var plans []struct{ Plan node }
	if err := json.Unmarshal(text, &plans); err != nil {
		return node{}, err
	}
	return plans[0].Plan, nil
}

func (d postgres) Indexes(ctx context.Context) ([]string, error) {
	rows, err := d.conn.Query(ctx, `SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
		JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND NOT i.indisunique ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func (d postgres) Without(ctx context.Context, index string, fn func() error) error {
	if _, err := d.conn.Exec(ctx, "BEGIN; DROP INDEX "+index); err != nil {
		return err
	}
	err := fn()
	_, back := d.conn.Exec(ctx, "ROLLBACK")
	return errors.Join(err, back)
}

// The databases, by name.
const (
	OnSQLite   = "SQLite"
	OnPostgres = "PostgreSQL"
)

// Empty calls fn with a new database of each kind, without rows.
func Empty(ctx context.Context, fn func(ctx context.Context, name string, d Database) error) (err error) {
	dir, err := os.MkdirTemp("", "plans")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "idp.db")
	dsn, drop, err := pg.New(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	for _, dsn := range []string{file, dsn} {
		d, err := storage.Open(ctx, storage.Config{DSN: dsn, Migrate: true})
		if err != nil {
			return err
		}
		if err := d.Close(); err != nil {
			return err
		}
	}
	for _, of := range []struct {
		name string
		open func() (Database, error)
	}{
		{OnSQLite, func() (Database, error) { return SQLite(file) }},
		{OnPostgres, func() (Database, error) { return Postgres(ctx, dsn) }},
	} {
		d, e := of.open()
		if e == nil {
			e = errors.Join(fn(ctx, of.name, d), d.Close())
		}
		if e != nil {
			err = errors.Join(err, fmt.Errorf("the plans of %s: %w", of.name, e))
		}
	}
	return err
}

// Narrow reports every statement that d would run over all rows.
func Narrow(ctx context.Context, d Database, statements []string) error {
	if len(statements) < 20 {
		return fmt.Errorf("only %d statements were recorded", len(statements))
	}
	all, err := d.Wide(ctx, statements)
	if err != nil {
		return err
	}
	var errs []error
	for _, w := range all {
		errs = append(errs, fmt.Errorf("%s\n\tlooks at all rows: %s", w.Statement, w.Plan))
	}
	return errors.Join(errs...)
}

// Needed reports every index without which none of statements, which are
// Narrow, becomes wide.
func Needed(ctx context.Context, d Database, statements []string) error {
	indexes, err := d.Indexes(ctx)
	if err != nil {
		return err
	}
	if len(indexes) == 0 {
		return errors.New("there are no indexes")
	}
	var errs []error
	for _, index := range indexes {
		errs = append(errs, d.Without(ctx, index, func() error {
			wide, err := d.Wide(ctx, statements)
			if err == nil && len(wide) == 0 {
				err = fmt.Errorf("no statement needs the index %s", index)
			}
			return err
		}))
	}
	return errors.Join(errs...)
}
