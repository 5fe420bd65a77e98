package storage

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

type flowRow struct {
	ID        string `gorm:"primaryKey"`
	Version   int64
	Browser   []byte
	Request   string
	ClientID  string
	SessionID string
	Pushed    []byte // empty: none
	Subject   string
	Epoch     string
	Proofs    document[authflow.Proofs]
	Pinned    string
	Approved  bool
	Misses    int
	Ended     bool
	Created   micros
	Ending    string
	Expires   micros
}

// TableName tells gorm the table.
func (flowRow) TableName() string { return "flows" }

func (r flowRow) whose() (subject, client string) { return r.Subject, r.ClientID }

func (flowRow) sides() []side { return []side{userSide, accountSide, consentSide} }

func newFlowRow(f provider.Flow, version int64) *flowRow {
	row := &flowRow{
		ID:        f.ID,
		Version:   version,
		Browser:   f.Browser[:],
		Request:   f.Request,
		ClientID:  f.ClientID,
		SessionID: f.Session,
		Pushed:    []byte{},
		Subject:   f.State.Login.Subject,
		Epoch:     f.State.Login.Epoch,
		Proofs:    document[authflow.Proofs]{f.State.Login.Proofs},
		Pinned:    f.State.Pinned,
		Approved:  f.State.Approved,
		Misses:    f.State.Misses,
		Ended:     f.State.Ended,
		Created:   stamp(f.State.Created),
		Ending:    string(f.Ending),
		Expires:   stamp(f.Expires),
	}
	if f.Pushed != (provider.Hash{}) {
		row.Pushed = f.Pushed[:]
	}
	return row
}

func (r flowRow) flow() provider.Flow {
	var pushed provider.Hash
	copy(pushed[:], r.Pushed)
	return provider.Flow{
		ID:       r.ID,
		Version:  r.Version,
		Browser:  provider.Hash(r.Browser),
		Request:  r.Request,
		ClientID: r.ClientID,
		Session:  r.SessionID,
		Pushed:   pushed,
		State: authflow.Flow{
			Login:    authflow.Login{Subject: r.Subject, Epoch: r.Epoch, Proofs: r.Proofs.is},
			Pinned:   r.Pinned,
			Approved: r.Approved,
			Misses:   r.Misses,
			Ended:    r.Ended,
			Created:  r.Created.time(),
		},
		Ending:  provider.Ending(r.Ending),
		Expires: r.Expires.time(),
	}
}

// CreateFlow stores f as version 1; provider.ErrConflict if its ID is taken.
func (d *DB) CreateFlow(ctx context.Context, f provider.Flow) error {
	err := settled(d.write(ctx).Create(newFlowRow(f, 1)), provider.ErrConflict)
	if err != nil {
		return fmt.Errorf("storage: create flow: %w", err)
	}
	return nil
}

// Flow returns the flow, ended or not. In a transaction it is locked.
func (d *DB) Flow(ctx context.Context, id string) (provider.Flow, error) {
	if !text(id) {
		return provider.Flow{}, provider.ErrNotFound
	}
	row, err := holdBeside[flowRow](ctx, d, "flows.id = ?", id)
	if err != nil {
		return provider.Flow{}, fmt.Errorf("storage: flow: %w", err)
	}
	return row.flow(), nil
}

// SaveFlow stores f as version f.Version+1 if the stored version is still
// f.Version and has not ended, and returns provider.ErrConflict otherwise. The
// version alone would do, but that a restore makes it smaller.
func (d *DB) SaveFlow(ctx context.Context, f provider.Flow) error {
	err := settled(d.write(ctx).Model(&flowRow{}).
		Where("id = ? AND version = ? AND ended = ?", f.ID, f.Version, false).
		Select("*").Omit("id").Updates(newFlowRow(f, f.Version+1)), provider.ErrConflict)
	if errors.Is(err, provider.ErrConflict) {
		err = missing[flowRow](ctx, d, f.ID, err)
	}
	if err != nil {
		return fmt.Errorf("storage: save flow: %w", err)
	}
	return nil
}

// EndFlows ends the flows of one browser in which subject has proven something.
func (d *DB) EndFlows(ctx context.Context, browser provider.Hash, subject string) error {
	err := d.endFlows(ctx, "subject <> '' AND subject = ? AND browser = ?", subject, browser[:])
	if err != nil {
		return fmt.Errorf("storage: end flows: %w", err)
	}
	return nil
}

// endFlows ends the flows that are not over yet and fulfil a condition. Their
// version grows, or who has read one would save it as if nothing had happened.
func (d *DB) endFlows(ctx context.Context, where string, args ...any) error {
	return d.write(ctx).Model(&flowRow{}).Where("ended = ?", false).Where(where, args...).
		Updates(map[string]any{
			"ended":   true,
			"ending":  string(provider.EndDenied),
			"version": gorm.Expr("version + 1"),
		}).Error
}
