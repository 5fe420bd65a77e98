package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

// SpendAssertion notes that the client assertion with this key was used, until
// it expires. Of any number of calls with one key one succeeds; the others get
// provider.ErrSpent, and provider.ErrVoid who gives what was issued before the
// epoch was bumped.
func (d *DB) SpendAssertion(ctx context.Context, key provider.Hash, issued, expires time.Time) error {
	values := "?, ?"
	if d.engine == onPostgres {
		values = "?::BYTEA, ?::BIGINT"
	}
	// A duplicate key as an error would end a transaction of PostgreSQL.
	err := settled(d.write(ctx).Exec("INSERT INTO assertions (key, expires) SELECT "+values+
		" WHERE NOT EXISTS (SELECT 1 FROM epoch WHERE bumped >= ?) ON CONFLICT DO NOTHING",
		key[:], stamp(expires), stamp(issued)), provider.ErrSpent)
	if errors.Is(err, provider.ErrSpent) {
		var void int64
		if e := d.read(ctx).Raw("SELECT count(*) FROM epoch WHERE bumped >= ?", stamp(issued)).Row().Scan(&void); e != nil {
			err = e
		} else if void > 0 {
			err = provider.ErrVoid
		}
	}
	if err != nil {
		return fmt.Errorf("storage: spend assertion: %w", err)
	}
	return nil
}
