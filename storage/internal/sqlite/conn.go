package sqlite

import (
	"context"
	"database/sql/driver"
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
	return &conn{inner.(connection), c.trace, map[string]*statement{}}, nil
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
		return nil, err
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
	if s == nil {
		return c.connection.ExecContext(ctx, query, args)
	}
	return s.inner.ExecContext(ctx, args)
}

// QueryContext implements driver.QueryerContext.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.connection.QueryContext(ctx, query, args)
	}
	r, err := s.inner.QueryContext(ctx, args)
	if err != nil {
		return nil, err
	}
	s.busy = true
	return &rows{r, s}, nil
}

// Close implements driver.Conn.
func (c *conn) Close() error {
	for _, s := range c.kept {
		// What it fails with is what the connection fails with.
		_ = s.inner.Close()
	}
	return c.connection.Close()
}

// rows are those of a statement that is kept.
type rows struct {
	driver.Rows
	of *statement
}

// Close implements driver.Rows.
func (r *rows) Close() error {
	r.of.busy = false
	return r.Rows.Close()
}
