package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

type rateRow struct {
	Key   []byte `gorm:"primaryKey"`
	Until micros
}

// TableName tells gorm the table.
func (rateRow) TableName() string { return "rates" }

// Charge adds cost to what is counted under key, as of the time since, and
// returns until when all of it together takes up room. It is one statement: of
// concurrent calls none is lost.
func (d *DB) Charge(ctx context.Context, key provider.Hash, since time.Time, cost time.Duration, latest time.Time) (time.Time, error) {
	least, most := d.engine.extremes()
	first := since.Add(cost)
	if first.After(latest) {
		first = latest
	}
	// The key does not come first: gorm would take it for a list.
	var row rateRow
	err := d.write(ctx).Raw("INSERT INTO rates (until, key) VALUES (@first, @key) ON CONFLICT (key) DO UPDATE SET until = "+
		least+"("+most+"(rates.until, @since) + @cost, @latest) RETURNING key, until", map[string]any{
		"key": key[:], "first": stamp(first), "since": stamp(since), "cost": cost.Microseconds(), "latest": stamp(latest),
	}).Scan(&row).Error
	if err != nil {
		return time.Time{}, fmt.Errorf("storage: charge: %w", d.engine.passes(err))
	}
	if t := d.joined(ctx); t != nil {
		t.wrote.Store(true)
	} else {
		d.commits.Add(1)
	}
	return row.Until.time(), nil
}
