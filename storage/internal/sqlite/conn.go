package sqlite

import (
	"context"
	"database/sql/driver"
	"io"
	"strings"
)

// A connector makes connections that keep what they prepare.
type connector struct {
	driver.Connector
	trace func(statement string) // nil: nobody is told
}

// Connect implements driver.Connector.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{connection: inner.(connection), trace: c.trace, kept: map[string]*statement{}}, nil
}

// A connection is what the driver's can do.
type connection interface {
	driver.Conn
	driver.Pinger
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

// most is how many statements a connection keeps. We have fewer.
const most = 400

// A conn keeps the statements that it has prepared, by their text, for as long
// as it is open. As any connection it is used by one goroutine at a time.
type conn struct {
	connection
	trace func(statement string)
	kept  map[string]*statement

	in     bool  // a transaction
	broken error // that SQLite may have rolled it back for; nil: none
}

// BeginTx implements driver.ConnBeginTx.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	inner, err := c.connection.BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	c.in, c.broken = true, nil
	return tx{inner, c}, nil
}

// noted returns err. When the disk is full or fails, SQLite may roll back by
// itself (https://www.sqlite.org/lang_transaction.html, "Response To Errors
// Within A Transaction"). Each statement after it would then be a transaction of
// its own, and stay: none is let through any more.
func (c *conn) noted(err error) error {
	if err != nil && err != io.EOF && c.in && Passing(err) {
		c.broken = err
	}
	return err
}

// tx is a transaction.
type tx struct {
	driver.Tx
	of *conn
}

// Commit implements driver.Tx.
func (t tx) Commit() error {
	err := t.of.broken
	t.of.in, t.of.broken = false, nil
	if err != nil {
		_ = t.Tx.Rollback() // which SQLite may have done
		return err
	}
	return t.Tx.Commit()
}

// Rollback implements driver.Tx.
func (t tx) Rollback() error {
	err := t.of.broken
	t.of.in, t.of.broken = false, nil
	e := t.Tx.Rollback()
	if err != nil && e != nil && strings.Contains(e.Error(), "no transaction is active") {
		return nil // SQLite was first
	}
	return e
}

// A statement is prepared. It is busy while its rows are being read: who wants
// the same then gets one of their own.
type statement struct {
	inner interface {
		driver.Stmt
		driver.StmtExecContext
		driver.StmtQueryContext
	}
	busy bool
}

// statement returns query prepared, nil if it is not one to keep: those that
// change the schema or a setting come once.
func (c *conn) statement(ctx context.Context, query string) (*statement, error) {
	if c.trace != nil {
		c.trace(query)
	}
	if c.broken != nil {
		return nil, c.broken
	}
	if s := c.kept[query]; s != nil {
		if s.busy {
			return nil, nil
		}
		return s, nil
	}
	verb, _, _ := strings.Cut(query, " ")
	switch strings.ToUpper(verb) {
	case "SELECT", "INSERT", "UPDATE", "DELETE":
	default:
		return nil, nil
	}
	if len(c.kept) == most {
		return nil, nil
	}
	inner, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, c.noted(err)
	}
	s := &statement{}
	var ok bool
	if s.inner, ok = inner.(interface {
		driver.Stmt
		driver.StmtExecContext
		driver.StmtQueryContext
	}); !ok {
		return nil, inner.Close()
	}
	c.kept[query] = s
	return s, nil
}

// ExecContext implements driver.ExecerContext.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	var r driver.Result
	if s == nil {
		r, err = c.connection.ExecContext(ctx, query, args)
	} else {
		r, err = s.inner.ExecContext(ctx, args)
	}
	return r, c.noted(err)
}

// QueryContext implements driver.QueryerContext.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		s = &statement{} // nobody's
		r, err := c.connection.QueryContext(ctx, query, args)
		if err != nil {
			return nil, c.noted(err)
		}
		return &rows{r, c, s}, nil
	}
	r, err := s.inner.QueryContext(ctx, args)
	if err != nil {
		return nil, c.noted(err)
	}
	s.busy = true
	return &rows{r, c, s}, nil
}

// Close implements driver.Conn.
func (c *conn) Close() error {
	for _, s := range c.kept {
		// What it fails with is what the connection fails with.
		_ = s.inner.Close()
	}
	return c.connection.Close()
}

// rows are those of a statement.
type rows struct {
	driver.Rows
	c  *conn
	of *statement
}

// Next implements driver.Rows.
func (r *rows) Next(dest []driver.Value) error { return r.c.noted(r.Rows.Next(dest)) }

// Close implements driver.Rows.
func (r *rows) Close() error {
	r.of.busy = false
	return r.c.noted(r.Rows.Close())
}
