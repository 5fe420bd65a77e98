package storage

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

	"github.com/sallyport-id/sallyport/provider"
)

// Voided says how much BumpEpoch has made void.
type Voided struct {
	Flows    int64 // authorization requests that waited for someone
	Pushed   int64 // requests that were pushed and not used yet
	Sessions int64
	Grants   int64 // with their codes, refresh tokens and access tokens
	Codes    int64 // recovery codes
	People   int64 // whose recovery codes those were
	Tickets  int64 // to enrol, and what was about to be enrolled
	Logouts  int64 // clients to be told of the sessions, once for each
}

// BumpEpoch makes void whatever was good before now and could be used up or
// taken back: flows, pushed requests, sessions, grants, tickets, recovery codes,
// the codes of apps up to the next time step and client assertions. After an
// older copy of the database was put back, all that was used or revoked since
// would be good again; after this it is not. What nobody can know any more stays
// as it is in the copy: passwords, clients, consents, who is disabled.
//
// It is one transaction. What a replica is at is either before it, or sees it.
func (d *DB) BumpEpoch(ctx context.Context) (Voided, error) {
	var v Voided
	err := d.Atomically(ctx, func(ctx context.Context) (err error) {
		v = Voided{} // may be the second try
		now := time.Now()
		if v.Logouts, err = d.announceAll(ctx, now); err != nil {
			return err
		}
		// A code of the step to come is good already, and may have been used.
		const step = "(CAST(? AS BIGINT) / period + 1)"
		for _, s := range []struct {
			n    *int64
			text string
			args []any
		}{
			{&v.Flows, "UPDATE flows SET ended = ?, ending = ?, version = version + 1 WHERE ended = ?", []any{true, string(provider.EndDenied), false}},
			{&v.Pushed, "DELETE FROM pushed_requests WHERE spent = 0", nil},
			{&v.Sessions, "UPDATE sessions SET ended = ? WHERE ended = ?", []any{true, false}},
			{&v.Grants, "UPDATE grants SET revoked = ? WHERE revoked = 0", []any{mark(now)}},
			{nil, "UPDATE mfa_accounts SET version = version + 1, last_step = " + step + " WHERE period > 0 AND last_step < " + step, []any{now.Unix(), now.Unix()}},
			{&v.Tickets, "UPDATE mfa_accounts SET version = version + 1, ticket = ?, ticket_expires = 0," +
				" pending = '', pending_binding = '', pending_expires = 0, unsaved = '', unsaved_binding = '', unsaved_expires = 0" +
				" WHERE ticket_expires > 0 OR pending_expires > 0 OR unsaved_expires > 0", []any{[]byte{}}},
			{&v.Codes, "UPDATE mfa_recovery_codes SET used = ? WHERE used = 0", []any{mark(now)}},
			{nil, "INSERT INTO epoch (id, bumped) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET bumped = excluded.bumped", []any{mark(now)}},
		} {
			if s.n == &v.Codes {
				row := d.write(ctx).Raw("SELECT count(DISTINCT subject) FROM mfa_recovery_codes WHERE used = 0").Row()
				if err := row.Scan(&v.People); err != nil {
					return err
				}
			}
			g := d.write(ctx).Exec(s.text, s.args...)
			if g.Error != nil {
				return g.Error
			}
			if s.n != nil {
				*s.n = g.RowsAffected
			}
		}
		return d.Record(ctx, provider.Event{
			Time: now, Kind: provider.EventEpoch, Outcome: provider.Success, Actor: "admin",
		})
	})
	if err != nil {
		return Voided{}, fmt.Errorf("storage: bump the epoch: %w", err)
	}
	return v, nil
}

// announceAll writes down for each session that has not ended which clients are
// to be told that it has, and returns how many.
func (d *DB) announceAll(ctx context.Context, now time.Time) (n int64, err error) {
	var clients []clientRow
	if err := d.read(ctx).Select("id", "registration").Find(&clients).Error; err != nil {
		return 0, err
	}
	clients = slices.DeleteFunc(clients, func(r clientRow) bool { return r.Registration.is.BackchannelLogoutURI == "" })
	for _, c := range clients {
		var in []sessionRow
		err := d.read(ctx).Select("sessions.id", "sessions.subject").
			Joins("JOIN session_clients ON session_clients.session_id = sessions.id").
			Where("session_clients.client_id = ? AND sessions.ended = ?", c.ID, false).
			FindInBatches(&in, 500, func(*gorm.DB, int) error {
				out := make([]logoutRow, len(in))
				for i, s := range in {
					out[i] = newLogoutRow(c.ID, s.Subject, s.ID, now)
				}
				n += int64(len(out))
				return d.write(ctx).Create(&out).Error
			}).Error
		if err != nil {
			return 0, err
		}
	}
	return n, nil
}
