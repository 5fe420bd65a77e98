package storage

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm/clause"

	"github.com/sallyport-id/sallyport/provider"
)

type assertionRow struct {
	Key     []byte `gorm:"primaryKey"`
	Expires micros
}

// TableName tells gorm the table.
func (assertionRow) TableName() string { return "assertions" }

// SpendAssertion notes that the client assertion with this key was used, until
// it expires. Of any number of calls with one key one succeeds; the others get
// provider.ErrSpent.
func (d *DB) SpendAssertion(ctx context.Context, key provider.Hash, expires time.Time) error {
	// A duplicate key as an error would end a transaction of PostgreSQL.
	err := settled(d.write(ctx).Clauses(clause.OnConflict{DoNothing: true}).
		Create(&assertionRow{Key: key[:], Expires: stamp(expires)}), provider.ErrSpent)
	if err != nil {
		return fmt.Errorf("storage: spend assertion: %w", err)
	}
	return nil
}
