package stepup

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// A Dialect is what a database speaks. The zero one is none.
type Dialect int

const (
	SQLite     Dialect = iota + 1 // 3.24 and later
	PostgreSQL                    // 9.5 and later
)

// An SQLStore remembers spent tokens in a table, stepup_spent, of an SQLite or a
// PostgreSQL database. NewSQLStore makes one; the zero SQLStore spends nothing.
type SQLStore struct {
	db            *sql.DB
	insert, sweep string
	inserted      atomic.Int64
}

// Schema makes the table of an SQLStore, in both dialects, and may be run each
// time the program starts. It is for your migrations, if you have them.
const Schema = `CREATE TABLE IF NOT EXISTS stepup_spent (id VARCHAR(43) NOT NULL PRIMARY KEY, expires BIGINT NOT NULL);
CREATE INDEX IF NOT EXISTS stepup_spent_expires ON stepup_spent (expires);`

const (
	// After so many inserts up to so many expired rows are removed: more than
	// come, so that the table is bounded by the tokens that have not expired.
	sweepEvery = 32
	sweepBatch = 128

	// sweepLater keeps what has expired for a while: the clocks of replicas
	// differ.
	sweepLater = 2 * time.Minute
)

var (
	errNoDatabase = errors.New("stepup: the store has no database")
	errDialect    = errors.New("stepup: the dialect is neither SQLite nor PostgreSQL")
)

// NewSQLStore returns a store over db, whose driver is up to the caller. The
// table must be there; see Schema.
func NewSQLStore(db *sql.DB, d Dialect) (*SQLStore, error) {
	if db == nil {
		return nil, errNoDatabase
	}
	a, b := "?", "?"
	switch d {
	case SQLite:
	case PostgreSQL:
		a, b = "$1", "$2"
	default:
		return nil, errDialect
	}
	return &SQLStore{
		db:     db,
		insert: "INSERT INTO stepup_spent (id, expires) VALUES (" + a + ", " + b + ") ON CONFLICT (id) DO NOTHING",
		sweep:  "DELETE FROM stepup_spent WHERE id IN (SELECT id FROM stepup_spent WHERE expires < " + a + " ORDER BY expires LIMIT " + b + ")",
	}, nil
}

// Spend spends id: whoever inserts its row has.
func (s *SQLStore) Spend(ctx context.Context, id string, expires time.Time) error {
	if s == nil || s.db == nil {
		return errNoDatabase
	}
	r, err := s.db.ExecContext(ctx, s.insert, id, expires.Unix()+1)
	if err != nil {
		return fmt.Errorf("stepup: spending a token: %w", err)
	}
	n, err := r.RowsAffected()
	if err != nil {
		return fmt.Errorf("stepup: spending a token: %w", err)
	}
	switch n {
	case 0:
		return ErrSpent
	case 1:
	default:
		return fmt.Errorf("stepup: spending a token wrote %d rows", n)
	}
	if s.inserted.Add(1)%sweepEvery == 0 {
		// The token is spent, whatever becomes of the old ones: the next sweep
		// finds them still there.
		_, _ = s.Sweep(ctx, time.Now(), sweepBatch)
	}
	return nil
}

// Sweep removes up to most rows of tokens that have expired before now, and
// returns how many there were. Spend does that now and then by itself; Sweep is
// for those who would rather do it at quiet times.
func (s *SQLStore) Sweep(ctx context.Context, now time.Time, most int) (int, error) {
	if s == nil || s.db == nil {
		return 0, errNoDatabase
	}
	r, err := s.db.ExecContext(ctx, s.sweep, now.Add(-sweepLater).Unix(), most)
	if err != nil {
		return 0, fmt.Errorf("stepup: sweeping spent tokens: %w", err)
	}
	n, err := r.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("stepup: sweeping spent tokens: %w", err)
	}
	return int(n), nil
}
