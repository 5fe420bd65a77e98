package storage

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"
)

// A transaction travels in the context that Atomically gives to its function.
type transaction struct {
	tx    *gorm.DB
	wrote atomic.Bool
	spoil atomic.Pointer[error] // why it may no longer be committed

	clients atomic.Bool // were changed
}

// inTx is the context key of the transaction in d: two databases in one
// process never see each other's.
type inTx struct{ d *DB }

// joined returns the transaction that ctx is in, nil if none.
func (d *DB) joined(ctx context.Context) *transaction {
	t, _ := ctx.Value(inTx{d}).(*transaction)
	return t
}

// retries bounds how often a transaction is begun again that lost against
// another one.
const retries = 10

// Atomically calls fn in one transaction, or in the one that ctx is in. It
// commits if fn returns nil. After a serialization failure or a deadlock it
// calls fn again, a bounded number of times. If a joined call fails, the whole
// transaction does, even if the outer function returns nil: half of it must
// not remain.
func (d *DB) Atomically(ctx context.Context, fn func(ctx context.Context) error) error {
	if t := d.joined(ctx); t != nil {
		err := fn(ctx)
		if err != nil {
			t.spoil.CompareAndSwap(nil, &err)
		}
		return err
	}
	return untilWon(ctx, func() error { return d.attempt(ctx, fn) })
}

func (d *DB) attempt(ctx context.Context, fn func(ctx context.Context) error) error {
	defer d.forget(ctx) // what was read before
	pool, err := d.pool()
	if err != nil {
		return fmt.Errorf("storage: begin: %w", d.engine.passes(err))
	}
	conn, err := pool.Conn(ctx)
	if err != nil {
		return fmt.Errorf("storage: begin: %w", d.engine.passes(err))
	}
	defer conn.Close()
	tx, err := begin(d.engine.txContext(ctx), conn)
	if err != nil {
		return fmt.Errorf("storage: begin: %w", d.engine.passes(err))
	}
	committed := false
	defer func() {
		if committed {
			return
		}
		// A connection with half a transaction in it must not be used again:
		// the next one would go on in it.
		if err := tx.Rollback(); err != nil {
			discard(conn)
		}
	}()

	t := &transaction{tx: d.writer.WithContext(ctx)}
	t.tx.Statement.ConnPool = conn
	if err := fn(context.WithValue(ctx, inTx{d}, t)); err != nil {
		return err
	}
	if cause := t.spoil.Load(); cause != nil {
		return fmt.Errorf("storage: part of the transaction failed: %w", *cause)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("storage: commit: %w", d.engine.passes(err))
	}
	err = tx.Commit()
	if t.clients.Load() {
		d.clients.forget() // even after an error: it may have been committed
	}
	if err != nil {
		return fmt.Errorf("storage: commit: %w", d.engine.passes(err))
	}
	committed = true
	if t.wrote.Load() {
		d.commits.Add(1)
	}
	return nil
}

// begin begins a transaction on conn, as its driver does. That of database/sql
// has a goroutine, and one more for each query in it, which wait for contexts to
// end: here each statement sees to its own.
func begin(ctx context.Context, conn *sql.Conn) (on, error) {
	t := on{conn: conn}
	err := conn.Raw(func(c any) (err error) {
		b, ok := c.(driver.ConnBeginTx)
		if !ok {
			return fmt.Errorf("storage: %T begins no transactions", c)
		}
		t.tx, err = b.BeginTx(ctx, driver.TxOptions{})
		return err
	})
	return t, err
}

// on is a transaction on a connection.
type on struct {
	conn *sql.Conn
	tx   driver.Tx
}

// Commit implements driver.Tx.
func (t on) Commit() error { return t.conn.Raw(func(any) error { return t.tx.Commit() }) }

// Rollback implements driver.Tx.
func (t on) Rollback() error { return t.conn.Raw(func(any) error { return t.tx.Rollback() }) }

// discard closes the connection instead of giving it back to the pool.
func discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
}

// transient reports whether the transaction lost against another one and may
// win if it is tried again.
func transient(err error) bool {
	var pg *pgconn.PgError
	// PostgreSQL documentation, appendix A: serialization_failure, deadlock_detected.
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}

// pause waits before the next try: longer each time, and of a random length,
// so that those who collided do not collide again.
func pause(ctx context.Context, try int) error {
	most := min(5*time.Millisecond<<try, 200*time.Millisecond)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(rand.N(most)):
		return nil
	}
}

// An again runs single statements outside of a transaction as Atomically runs
// transactions: those that lost against another one are run again. At READ
// COMMITTED none does; at SERIALIZABLE each change can.
type again struct{ *sql.DB }

// ExecContext implements gorm.ConnPool.
func (a again) ExecContext(ctx context.Context, query string, args ...any) (r sql.Result, err error) {
	err = untilWon(ctx, func() (err error) {
		r, err = a.DB.ExecContext(ctx, query, args...)
		return err
	})
	return r, err
}

// QueryContext implements gorm.ConnPool. pgx has the first row, or the error in
// its place, when it returns.
func (a again) QueryContext(ctx context.Context, query string, args ...any) (rows *sql.Rows, err error) {
	err = untilWon(ctx, func() (err error) {
		rows, err = a.DB.QueryContext(ctx, query, args...)
		return err
	})
	return rows, err
}

// onOne runs read on a connection of the pool, again as QueryContext does: but without
// the goroutine that database/sql has for each query, since the context is quiet. A
// connection that has gone leaves the pool, so that one after all of them is new.
func (a again) onOne(ctx context.Context, read func(context.Context, *sql.Conn) error) error {
	return untilWon(ctx, func() error {
		for gone := 0; ; gone++ {
			err := a.borrow(ctx, read)
			if !errors.Is(err, driver.ErrBadConn) || gone == a.Stats().MaxOpenConnections {
				return err
			}
		}
	})
}

func (a again) borrow(ctx context.Context, read func(context.Context, *sql.Conn) error) error {
	conn, err := a.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return read(quiet{ctx}, conn)
}

// GetDBConn implements gorm.GetDBConnector.
func (a again) GetDBConn() (*sql.DB, error) { return a.DB, nil }

// untilWon calls fn until it does not lose any more, a bounded number of times.
func untilWon(ctx context.Context, fn func() error) error {
	for try := 0; ; try++ {
		err := fn()
		if err == nil || try == retries || !transient(err) || pause(ctx, try) != nil {
			return err
		}
	}
}
