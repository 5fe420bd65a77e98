package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
)

var (
	_ provider.Store = (*DB)(nil)
	_ mfa.Store      = (*DB)(nil)
)

// Config says where the database is and how it is used.
type Config struct {
	// DSN names the database: "sqlite:PATH", "file:PATH" or a bare path for a
	// file of SQLite, which is made if it is missing; "postgres://…" or
	// "postgresql://…" for PostgreSQL. Of several hosts in it the one is used
	// that takes writes, unless target_session_attrs says otherwise.
	DSN string

	Logger *slog.Logger // of migrations; nil: silent

	// Trace is called with the text of each statement before it is run, in which
	// a ? or $1 stands for each value. It must not block. Nil: nobody.
	Trace func(statement string)

	Readers     int           // connections that read a SQLite file; 0: 4
	Conns       int           // connections to PostgreSQL at most; 0: 10
	BusyTimeout time.Duration // how long SQLite waits for another process; 0: 5 s

	// KeepEvents is how long Sweep leaves the audit trail alone; 0: 400 days.
	KeepEvents time.Duration

	// Migrate brings the schema up to date first, as DB.Migrate does.
	Migrate bool

	// AnySchema opens a database whatever its schema is, so that Migrate and
	// MigrationStatus can be called. Until it is migrated, nothing else works.
	AnySchema bool
}

// A DB is an open database. It is safe for concurrent use.
type DB struct {
	engine  engine
	writer  *gorm.DB
	reader  *gorm.DB // the same as writer with PostgreSQL
	log     *slog.Logger
	keep    time.Duration
	commits atomic.Int64
	clients clientCache
}

// Open opens the database that c names. It returns ErrSchema, saying what to
// do, if the schema is not the one that this program was made for.
func Open(ctx context.Context, c Config) (*DB, error) {
	d := &DB{log: c.Logger, keep: c.KeepEvents}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if d.keep == 0 {
		d.keep = 400 * 24 * time.Hour
	}
	if err := d.connect(ctx, c); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	if c.Migrate {
		if err := d.Migrate(ctx); err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	if !c.AnySchema {
		if err := d.checkSchema(ctx); err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	return d, nil
}

// gormOver returns gorm over a pool. Its logger is off because it prints SQL
// with the values in it: hashes, sealed secrets and who signs in.
func (d *DB) gormOver(dial gorm.Dialector) (*gorm.DB, error) {
	g, err := gorm.Open(dial, &gorm.Config{
		SkipDefaultTransaction: true,
		TranslateError:         true,
		QueryFields:            true, // names the columns: a column added by a later version is not read
		DisableAutomaticPing:   true,
		Logger:                 logger.Discard,
		NowFunc:                func() time.Time { return time.Now().UTC().Truncate(time.Microsecond) },
	})
	if err != nil {
		return nil, err
	}
	// Whatever writes passes here, so that Stats misses no commit.
	return g, errors.Join(
		g.Callback().Create().After("gorm:create").Register("storage:count", d.count),
		g.Callback().Update().After("gorm:update").Register("storage:count", d.count),
		g.Callback().Delete().After("gorm:delete").Register("storage:count", d.count),
		g.Callback().Raw().After("gorm:raw").Register("storage:count", d.count),
	)
}

// Close closes the database.
func (d *DB) Close() error {
	if d.reader == d.writer {
		return shut(d.writer)
	}
	// The last to leave a file of SQLite tidies it up, which a reader cannot.
	return errors.Join(shut(d.reader), shut(d.writer))
}

func shut(g *gorm.DB) error {
	if g == nil {
		return nil
	}
	pool, err := g.DB()
	if err != nil {
		return err
	}
	return pool.Close()
}

// Ping reports whether the database answers.
func (d *DB) Ping(ctx context.Context) error {
	pool, err := d.reader.DB()
	if err == nil {
		err = pool.PingContext(ctx)
	}
	if err != nil {
		return fmt.Errorf("storage: ping: %w", d.engine.passes(err))
	}
	return nil
}

// Stats are what a DB has done since it was opened.
type Stats struct {
	// Commits is how many transactions that changed something were committed,
	// single statements outside of Atomically among them.
	Commits int64
}

// Stats returns what d has done so far.
func (d *DB) Stats() Stats { return Stats{Commits: d.commits.Load()} }

// count notes that a statement changed something.
func (d *DB) count(g *gorm.DB) {
	if g.Error != nil || g.RowsAffected == 0 {
		return
	}
	if t := d.joined(g.Statement.Context); t != nil {
		t.wrote.Store(true)
		return
	}
	d.commits.Add(1)
}

// read returns the handle for reading: within a transaction its own, so that
// it sees what it wrote, otherwise one that cannot write.
func (d *DB) read(ctx context.Context) *gorm.DB { return d.handle(ctx, d.reader) }

// write returns the handle for writing. Outside of a transaction each
// statement is one of its own.
func (d *DB) write(ctx context.Context) *gorm.DB {
	d.forget(ctx)
	return d.handle(ctx, d.writer)
}

// handle returns that of the transaction that ctx is in, otherwise g. For a
// context that can end database/sql has a goroutine for each query. A statement
// on SQLite is over before anyone could give it up. On PostgreSQL the connection
// sees to it by itself, but who waits for one needs the context.
func (d *DB) handle(ctx context.Context, g *gorm.DB) *gorm.DB {
	t := d.joined(ctx)
	if t != nil {
		g = t.tx
	}
	switch {
	case d.engine == onSQLite:
		g = g.WithContext(context.WithoutCancel(ctx))
		if err := ctx.Err(); err != nil {
			_ = g.AddError(err) // which each call with it returns
		}
		return g
	case t != nil:
		return g.WithContext(quiet{ctx})
	default:
		return g.WithContext(ctx)
	}
}

// pool returns the connections that may write.
func (d *DB) pool() (*sql.DB, error) { return d.writer.DB() }
