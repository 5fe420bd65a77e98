package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

type pushedRow struct {
	ID       []byte `gorm:"primaryKey"`
	ClientID string
	Request  string
	Expires  micros
	Kept     micros
	Spent    micros
}

// TableName tells gorm the table.
func (pushedRow) TableName() string { return "pushed_requests" }

// CreatePushed stores p; provider.ErrConflict if its ID is taken.
func (d *DB) CreatePushed(ctx context.Context, p provider.PushedRequest) error {
	err := settled(d.write(ctx).Create(&pushedRow{
		ID:       p.ID[:],
		ClientID: p.ClientID,
		Request:  p.Request,
		Expires:  stamp(p.Expires),
		Kept:     stamp(p.Kept),
		Spent:    stamp(p.Spent),
	}), provider.ErrConflict)
	if err != nil {
		return fmt.Errorf("storage: create pushed request: %w", err)
	}
	return nil
}

// Pushed returns the pushed request, expired or spent or not.
func (d *DB) Pushed(ctx context.Context, id provider.Hash) (provider.PushedRequest, error) {
	row, err := take[pushedRow](ctx, d, "id = ?", id[:])
	if err != nil {
		return provider.PushedRequest{}, fmt.Errorf("storage: pushed request: %w", err)
	}
	return provider.PushedRequest{
		ID:       provider.Hash(row.ID),
		ClientID: row.ClientID,
		Request:  row.Request,
		Expires:  row.Expires.time(),
		Kept:     row.Kept.time(),
		Spent:    row.Spent.time(),
	}, nil
}

// SpendPushed marks a pushed request as used. Of any number of calls one
// succeeds; the others get provider.ErrSpent, and so does who spends what is not
// there.
func (d *DB) SpendPushed(ctx context.Context, id provider.Hash, now time.Time) error {
	err := settled(d.write(ctx).Model(&pushedRow{}).Where("id = ? AND spent = 0", id[:]).
		Update("spent", mark(now)), provider.ErrSpent)
	if err != nil {
		return fmt.Errorf("storage: spend pushed request: %w", err)
	}
	return nil
}
