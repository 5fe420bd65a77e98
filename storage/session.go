package storage

import (
	"context"
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

type sessionRow struct {
	ID        string `gorm:"primaryKey"`
	Cookie    []byte
	Subject   string
	Epoch     string
	Proofs    document[authflow.Proofs]
	Created   micros
	Used      micros
	Expires   micros
	Address   string
	UserAgent string
	Ended     bool
}

// TableName tells gorm the table.
func (sessionRow) TableName() string { return "sessions" }

func newSessionRow(s provider.Session) *sessionRow {
	return &sessionRow{
		ID:        s.ID,
		Cookie:    s.Cookie[:],
		Subject:   s.Login.Subject,
		Epoch:     s.Login.Epoch,
		Proofs:    document[authflow.Proofs]{s.Login.Proofs},
		Created:   stamp(s.Created),
		Used:      stamp(s.Used),
		Expires:   stamp(s.Expires),
		Address:   clean(s.Address),
		UserAgent: clean(s.UserAgent),
	}
}

func (r sessionRow) session() provider.Session {
	return provider.Session{
		ID:        r.ID,
		Cookie:    provider.Hash(r.Cookie),
		Login:     authflow.Login{Subject: r.Subject, Epoch: r.Epoch, Proofs: r.Proofs.is},
		Created:   r.Created.time(),
		Used:      r.Used.time(),
		Expires:   r.Expires.time(),
		Address:   r.Address,
		UserAgent: r.UserAgent,
	}
}

// Session returns the session whose cookie has this hash, unless it was ended.
// In a transaction it is locked.
func (d *DB) Session(ctx context.Context, cookie provider.Hash) (provider.Session, error) {
	row, err := take[sessionRow](d.hold(ctx), "cookie = ? AND ended = ?", cookie[:], false)
	if err != nil {
		return provider.Session{}, fmt.Errorf("storage: session: %w", err)
	}
	return row.session(), nil
}

// SaveSession stores s in place of what has its ID. A session that was ended is
// not brought back to life by a request that was under way: ErrConflict.
func (d *DB) SaveSession(ctx context.Context, s provider.Session) error {
	err := settled(d.write(ctx).Clauses(clause.OnConflict{
		Columns: []clause.Column{{Name: "id"}},
		DoUpdates: clause.AssignmentColumns([]string{"cookie", "subject", "epoch", "proofs",
			"created", "used", "expires", "address", "user_agent"}),
		Where: clause.Where{Exprs: []clause.Expression{gorm.Expr("sessions.ended = ?", false)}},
	}).Create(newSessionRow(s)), provider.ErrConflict)
	if err != nil {
		return fmt.Errorf("storage: save session: %w", err)
	}
	return nil
}

// Sessions returns the sessions of subject that were not ended, the last used
// first.
func (d *DB) Sessions(ctx context.Context, subject string) ([]provider.Session, error) {
	var rows []sessionRow
	err := d.read(ctx).Where("subject = ? AND ended = ?", subject, false).
		Order("used DESC, id").Find(&rows).Error
	if err != nil {
		return nil, fmt.Errorf("storage: sessions: %w", err)
	}
	var all []provider.Session
	for _, r := range rows {
		all = append(all, r.session())
	}
	return all, nil
}

// EndSession ends the session if it is subject's; provider.ErrNotFound if not.
func (d *DB) EndSession(ctx context.Context, subject, id string) error {
	if !text(id) {
		return provider.ErrNotFound
	}
	err := settled(d.write(ctx).Model(&sessionRow{}).
		Where("id = ? AND subject = ? AND ended = ?", id, subject, false).
		Update("ended", true), provider.ErrNotFound)
	if err != nil {
		return fmt.Errorf("storage: end session: %w", err)
	}
	return nil
}

// EndSessions ends every session of subject.
func (d *DB) EndSessions(ctx context.Context, subject string) error {
	// Several rows are locked, in no certain order: a deadlock is tried again.
	err := d.Atomically(ctx, func(ctx context.Context) error {
		return d.write(ctx).Model(&sessionRow{}).
			Where("subject = ? AND ended = ?", subject, false).
			Update("ended", true).Error
	})
	if err != nil {
		return fmt.Errorf("storage: end sessions: %w", err)
	}
	return nil
}
