package storage

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/sallyport-id/sallyport/storage/internal/sqlite"
)

// An engine is a kind of database. The zero engine is none.
type engine int

const (
	onSQLite engine = iota + 1
	onPostgres
)

// connect opens the pools.
func (d *DB) connect(ctx context.Context, c Config) error {
	if strings.HasPrefix(c.DSN, "postgres://") || strings.HasPrefix(c.DSN, "postgresql://") {
		d.engine = onPostgres
		return d.connectPostgres(ctx, c)
	}
	path := c.DSN
	for _, prefix := range []string{"sqlite:", "file:"} {
		path = strings.TrimPrefix(path, prefix)
	}
	switch {
	case path == "":
		return errors.New("storage: the DSN names no database; give sqlite:PATH or postgres://…")
	case strings.Contains(path, "://"):
		return errors.New("storage: the DSN begins with neither sqlite: nor postgres://")
	case strings.Contains(path, ":memory:"):
		// Each connection would have a database of its own.
		return errors.New("storage: SQLite needs a file")
	}
	d.engine = onSQLite
	return d.connectSQLite(ctx, path, c)
}

// connectSQLite opens one connection that writes and several that read. SQLite
// knows one writer at a time: with one connection for it, writers queue here,
// in order and without polling the lock.
func (d *DB) connectSQLite(ctx context.Context, path string, c Config) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	if err := private(path); err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	readers := c.Readers
	if readers <= 0 {
		readers = 4
	}
	busy := c.BusyTimeout
	if busy <= 0 {
		busy = 5 * time.Second
	}
	common := []string{
		fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds()),
		"foreign_keys(1)",
		"temp_store(memory)",
	}
	d.writer, err = d.gormOver(dialSQLite(path, c.Trace, append(common,
		"journal_mode(wal)", "synchronous(full)", "journal_size_limit(67108864)")...))
	if err != nil {
		return fmt.Errorf("storage: open %s: %w", path, err)
	}
	if err := limit(d.writer, 1); err != nil {
		return err
	}
	if err := awake(ctx, d.writer, busy); err != nil {
		return fmt.Errorf("storage: open %s: %w", path, err)
	}
	d.reader, err = d.gormOver(dialSQLite(path, c.Trace, append(common, "query_only(1)")...))
	if err != nil {
		return fmt.Errorf("storage: open %s: %w", path, err)
	}
	if err := limit(d.reader, readers); err != nil {
		return err
	}
	return d.Ping(ctx)
}

// awake opens the connection that writes, which makes a new file one with a
// write-ahead log. While another process does that, SQLite does not wait for
// it, whatever the busy timeout.
func awake(ctx context.Context, g *gorm.DB, most time.Duration) error {
	pool, err := g.DB()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for {
		err := pool.PingContext(ctx)
		if err == nil || !sqlite.Busy(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Millisecond):
		}
	}
}

// dialSQLite is how gorm speaks to a file of SQLite.
func dialSQLite(path string, trace func(string), pragmas ...string) gorm.Dialector {
	// The lock is taken when a transaction begins. One that begins reading and
	// then wants to write fails at once if someone wrote in between, whatever
	// the busy timeout. https://www.sqlite.org/lang_transaction.html
	q := url.Values{"_txlock": {"immediate"}, "_pragma": pragmas}
	return sqliteDialector{sqlite.Open((&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String(), trace)}
}

// private makes sure that only we can read the file at path, and those that
// SQLite puts beside it, which get the same mode.
func private(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

// connectTimeout is how long one host of PostgreSQL may take to take a
// connection, unless the DSN says another connect_timeout. A host that is off
// refuses nothing, and would be waited for for minutes before the next is tried.
const connectTimeout = 5 * time.Second

func (d *DB) connectPostgres(ctx context.Context, c Config) error {
	config, err := pgx.ParseConfig(c.DSN)
	if err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	for k, v := range map[string]string{
		"application_name":   "sallyport",
		"synchronous_commit": "on",
		"timezone":           "UTC",
	} {
		config.RuntimeParams[k] = v
	}
	if config.RuntimeParams["default_transaction_isolation"] == "" {
		// Whatever the server's is; a stricter one, in the DSN, works as well.
		config.RuntimeParams["default_transaction_isolation"] = "read committed"
	}
	if c.Trace != nil {
		config.Tracer = tracer(c.Trace)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	if config.ValidateConnect == nil { // no target_session_attrs
		config.ValidateConnect = writable
	}
	pool := sql.OpenDB(listening{stdlib.GetConnector(*config)})
	d.writer, err = d.gormOver(postgresDialector{postgres.New(postgres.Config{Conn: pool}).(*postgres.Dialector)})
	if err != nil {
		return errors.Join(fmt.Errorf("storage: %w", err), pool.Close())
	}
	d.writer.ConnPool = again{pool}
	d.writer.Statement.ConnPool = d.writer.ConnPool
	d.reader = d.writer
	conns := c.Conns
	if conns <= 0 {
		conns = 10
	}
	if err := limit(d.writer, conns); err != nil {
		return err
	}
	return d.Ping(ctx)
}

// A quiet context ends as another does, and only connections that listen hear it.
type quiet struct{ context.Context }

// Done implements context.Context.
func (quiet) Done() <-chan struct{} { return nil }

// heard returns the context that ctx keeps quiet about.
func heard(ctx context.Context) context.Context {
	if q, ok := ctx.(quiet); ok {
		return q.Context
	}
	return ctx
}

// A listening connector makes listeners.
type listening struct{ driver.Connector }

// Connect implements driver.Connector.
func (l listening) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := l.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return listener{c.(*stdlib.Conn)}, nil
}

// A listener is a connection that hears when a quiet context ends.
type listener struct{ *stdlib.Conn }

// ExecContext implements driver.ExecerContext.
func (l listener) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return l.Conn.ExecContext(heard(ctx), query, args)
}

// QueryContext implements driver.QueryerContext.
func (l listener) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return l.Conn.QueryContext(heard(ctx), query, args)
}

// A tracer tells of statements on PostgreSQL.
type tracer func(statement string)

// TraceQueryStart implements pgx.QueryTracer.
func (t tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	t(data.SQL)
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (tracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// limit bounds the connections, and keeps them: opening one costs more than
// any statement.
func limit(g *gorm.DB, n int) error {
	var pool *sql.DB
	pool, err := g.DB()
	if err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	pool.SetMaxOpenConns(n)
	pool.SetMaxIdleConns(n)
	return nil
}

// extremes are the functions for the least and the most of some values.
func (e engine) extremes() (least, most string) {
	if e == onPostgres {
		return "LEAST", "GREATEST"
	}
	return "min", "max"
}

// txContext returns the context that a transaction is begun with. database/sql
// closes the connection of one whose context ends; SQLite's only writer is not
// thrown away because a browser hung up. There each statement looks at ctx
// itself, and so does the commit.
func (e engine) txContext(ctx context.Context) context.Context {
	if e == onSQLite {
		return context.WithoutCancel(ctx)
	}
	return ctx
}
