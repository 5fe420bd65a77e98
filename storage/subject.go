package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm/clause"

	"github.com/sallyport-id/sallyport/provider"
)

type subjectKeyRow struct {
	ID      int64 `gorm:"primaryKey;autoIncrement:false"` // 1: there is one
	Key     []byte
	Created micros
}

// TableName tells gorm the table.
func (subjectKeyRow) TableName() string { return "subject_key" }

// SubjectKey returns the key for provider.Config.SubjectKey: 32 random bytes,
// made when it is asked for the first time and the same ever after, for every
// server over this database. It is an error to ask in a transaction: a key that
// was made there and then undone would have named people already.
func (d *DB) SubjectKey(ctx context.Context) ([]byte, error) {
	if d.joined(ctx) != nil {
		return nil, errors.New("storage: subject key: asked for in a transaction")
	}
	row, err := d.subjectKey(ctx)
	if err != nil {
		return nil, fmt.Errorf("storage: subject key: %w", err)
	}
	return row.Key, nil
}

func (d *DB) subjectKey(ctx context.Context) (subjectKeyRow, error) {
	row, err := take[subjectKeyRow](ctx, d, "id = ?", 1)
	if !errors.Is(err, provider.ErrNotFound) {
		return row, err
	}
	row = subjectKeyRow{ID: 1, Key: make([]byte, 32), Created: stamp(time.Now())}
	rand.Read(row.Key) // never fails
	// Of servers that start at once the first one's is everybody's.
	if err := d.write(ctx).Clauses(clause.OnConflict{DoNothing: true}).Create(&row).Error; err != nil {
		return subjectKeyRow{}, err
	}
	return take[subjectKeyRow](ctx, d, "id = ?", 1)
}
