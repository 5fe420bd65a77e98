package storage

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

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
	row, err := hold[sessionRow](ctx, d, "cookie = ? AND ended = ?", cookie[:], false)
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

// EndSession ends the session if it is subject's, with all that hangs on it;
// provider.ErrNotFound if not.
func (d *DB) EndSession(ctx context.Context, subject, id string) error {
	if !text(id) {
		return provider.ErrNotFound
	}
	n, err := d.endSessions(ctx, subject, id)
	if err == nil && n == 0 {
		err = provider.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("storage: end session: %w", err)
	}
	return nil
}

// EndSessions ends every session of subject, with all that hangs on them, and
// every flow in which subject has proven something.
func (d *DB) EndSessions(ctx context.Context, subject string) error {
	err := d.Atomically(ctx, func(ctx context.Context) error {
		if err := d.endFlows(ctx, "subject <> '' AND subject = ?", subject); err != nil {
			return err
		}
		_, err := d.endSessions(ctx, subject, "")
		return err
	})
	if err != nil {
		return fmt.Errorf("storage: end sessions: %w", err)
	}
	return nil
}

// endSessions ends the sessions of subject, or one, and returns how many. Flows are
// locked before sessions, as by the step of a flow.
func (d *DB) endSessions(ctx context.Context, subject, id string) (n int, err error) {
	one, args := "", []any{subject, false}
	if id != "" {
		one, args = " AND id = ?", append(args, id)
	}
	err = d.Atomically(ctx, func(ctx context.Context) error {
		err := d.endFlows(ctx, "session_id <> '' AND session_id IN (SELECT id FROM sessions WHERE subject = ? AND ended = ?"+one+")", args...)
		if err != nil {
			return err
		}
		ended, err := d.markEnded(ctx, "subject = ? AND ended = ?"+one, args...)
		if err != nil {
			return err
		}
		n = len(ended)
		for some := range slices.Chunk(ended, 500) {
			if err := d.bereave(ctx, subject, some); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

// markEnded ends the sessions that fulfil a condition, and returns whose they were.
// It is the one place where sessions end.
func (d *DB) markEnded(ctx context.Context, where string, args ...any) (ended []sessionRow, err error) {
	err = d.write(ctx).Model(&ended).Clauses(clause.Returning{Columns: []clause.Column{{Name: "id"}, {Name: "subject"}}}).
		Where(where, args...).Update("ended", true).Error
	return ended, err
}

// bereave revokes the grants of sessions that have ended, and writes down which
// clients are to be told.
func (d *DB) bereave(ctx context.Context, subject string, ended []sessionRow) error {
	now := time.Now()
	in, err := d.joins(ctx, ended)
	if err != nil || len(in) == 0 {
		return err
	}
	clients, ids := map[string]bool{}, map[string]bool{}
	for _, r := range in {
		clients[r.ClientID], ids[r.SessionID] = true, true
	}
	// OpenID Connect Back-Channel Logout section 2.7. What is offline goes on.
	err = d.write(ctx).Model(&grantRow{}).
		Where("client_id IN ? AND subject = ? AND session_id IN ? AND revoked = 0",
			slices.Sorted(maps.Keys(clients)), subject, slices.Sorted(maps.Keys(ids))).
		Where(`CAST(scopes AS TEXT) NOT LIKE '%"offline!_access"%' ESCAPE '!'`).
		Update("revoked", mark(now)).Error
	if err != nil {
		return err
	}
	_, err = d.announce(ctx, ended, in, now)
	return err
}
