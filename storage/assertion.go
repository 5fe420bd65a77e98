package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

// SpendAssertion notes that the client assertion with this key was used, until
// it expires. Of any number of calls with one key one succeeds; the others get
// provider.ErrSpent, and so does what was issued before the epoch was bumped.
func (d *DB) SpendAssertion(ctx context.Context, key provider.Hash, issued, expires time.Time) error {
	values := "?, ?"
	if d.engine == onPostgres {
		values = "?::BYTEA, ?::BIGINT"
	}
	// A duplicate key as an error would end a transaction of PostgreSQL.
	err := settled(d.write(ctx).Exec("INSERT INTO assertions (key, expires) SELECT "+values+
		" WHERE NOT EXISTS (SELECT 1 FROM epoch WHERE bumped >= ?) ON CONFLICT DO NOTHING",
		key[:], stamp(expires), stamp(issued)), provider.ErrSpent)
	if err != nil {
		return fmt.Errorf("storage: spend assertion: %w", err)
	}
	return nil
}
