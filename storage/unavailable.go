package storage

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage/internal/sqlite"
)

// passing are the errors of PostgreSQL that pass: who asks again later may find
// it well. Of two characters, the whole class (PostgreSQL documentation,
// appendix A).
var passing = []string{
	"08",    // connection_exception
	"25006", // read_only_sql_transaction: it is a standby, or was made to write no more
	"40",    // transaction_rollback: lost against another one too often
	"53",    // insufficient_resources: disk full, too many connections
	"55P03", // lock_not_available
	"57014", // query_canceled, by a timeout of the server's or by an administrator
	"57P",   // it is shut down, has crashed, or cannot be connected to yet
	"58",    // system_error: of its disks
}

// away reports whether err says that PostgreSQL could not be reached or could
// not do anything now, whatever it was asked.
func away(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return slices.ContainsFunc(passing, func(code string) bool {
			return strings.HasPrefix(pg.Code, code)
		})
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed)
}

// passes returns err, and as provider.ErrUnavailable what passes. Who ended
// their own context is told that alone.
func (e engine) passes(err error) error {
	if err == nil || errors.Is(err, provider.ErrUnavailable) || errors.Is(err, context.Canceled) {
		return err
	}
	if e == onPostgres && !away(err) || e == onSQLite && !sqlite.Passing(err) {
		return err
	}
	return fmt.Errorf("%w: %w", provider.ErrUnavailable, err)
}

// A postgresDialector is gorm's, and sees every error that passes gorm.
type postgresDialector struct{ *postgres.Dialector }

// Translate implements gorm.ErrorTranslator.
func (d postgresDialector) Translate(err error) error {
	return onPostgres.passes(d.Dialector.Translate(err))
}

// A sqliteDialector is gorm's, and sees every error that passes gorm.
type sqliteDialector struct{ gorm.Dialector }

// Translate implements gorm.ErrorTranslator.
func (d sqliteDialector) Translate(err error) error {
	return onSQLite.passes(d.Dialector.(gorm.ErrorTranslator).Translate(err))
}

// doubt is for how long it is found out whether a statement was done whose
// answer was lost.
const doubt = 10 * time.Second

// once does a conditional change of its own that can happen only once, and
// makes sure of it: if the connection is lost, the change may have happened, and
// whoever asked would come again and be taken for a thief. So it is tried again,
// for a while; if it is refused then, it was done or someone else was quicker,
// and done, which looks at what there is, says which. In a transaction there is
// nothing to make sure of: all of it is undone, or its commit is in doubt.
func (d *DB) once(ctx context.Context, change func() error, done func() (bool, error)) error {
	err := change()
	if d.joined(ctx) != nil || !lost(err) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, doubt)
	defer cancel()
	for try := 0; ; try++ {
		if pause(ctx, try) != nil {
			return err
		}
		again := change()
		if again == nil {
			return nil
		}
		if errors.Is(again, provider.ErrUnavailable) {
			continue
		}
		did, unknown := done()
		switch {
		case errors.Is(unknown, provider.ErrUnavailable):
		case unknown != nil:
			return err
		case did:
			return nil
		default:
			return again
		}
	}
}

// lost reports whether err leaves open whether the statement was done. If there
// was no connection, it was not; if PostgreSQL refused it, neither. A backend
// that is told to end can have committed before.
func lost(err error) bool {
	var connect *pgconn.ConnectError
	var pg *pgconn.PgError
	if errors.As(err, &pg) && !strings.HasPrefix(pg.Code, "57P") {
		return false
	}
	return errors.Is(err, provider.ErrUnavailable) && !errors.As(err, &connect) && !pgconn.SafeToRetry(err)
}

// errReadOnly says what to do about a server that cannot write.
var errReadOnly = errors.New("the server takes no writes: it is a standby, or default_transaction_read_only is on. " +
	"Let the connection string lead to the primary, or name all hosts in it (postgres://…@one,two/…): the one that takes writes is used")

// writable refuses a new connection to a server that cannot write, so that of
// several hosts the primary is taken, whichever that is by now.
func writable(ctx context.Context, c *pgconn.PgConn) error {
	r := c.ExecParams(ctx, "SHOW transaction_read_only", nil, nil, nil, nil).Read()
	switch {
	case r.Err != nil:
		return r.Err
	case len(r.Rows) == 1 && len(r.Rows[0]) == 1 && string(r.Rows[0][0]) == "on":
		return errReadOnly
	}
	return nil
}
