package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

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
	Logouts  int64 // to be told to clients, of each session that they were in
}

// BumpEpoch makes void whatever was good before now and could be used up or
// taken back: flows, pushed requests, sessions, grants, tickets, recovery codes,
// the codes of apps up to the next time step and client assertions. After an
// older copy of the database was put back, all that was used or revoked since
// would be good again; after this it is not. What nobody can know any more stays
// as it is in the copy: passwords, clients, consents, who is disabled.
//
// It is one transaction over all of them, which who writes meanwhile waits for.
// What a replica is at is either before it, or sees it. On PostgreSQL it fails if
// the clocks here and there differ by more than 10 s: by a wrong one, what was
// used last would be good, or what comes next would not. If the epoch is in the
// future already, it returns ErrEpochAhead, unless the clock here is to be trusted:
// then what was void until then is good again as soon as it is newer than now.
func (d *DB) BumpEpoch(ctx context.Context, trust bool) (Voided, error) {
	var v Voided
	err := d.Atomically(ctx, func(ctx context.Context) error {
		v = Voided{} // may be the second try
		now, err := d.clock(ctx)
		if err != nil {
			return err
		}
		if !trust {
			if _, err := d.epoch(ctx, now); err != nil {
				return err
			}
		}
		// A code of the step to come is good already, and may have been used.
		const step = "(CAST(? AS BIGINT) / period + 1)"
		_, most := d.engine.extremes()
		bumped, below := most+"(epoch.bumped, excluded.bumped)", " < "
		if trust {
			bumped, below = "excluded.bumped", " <> "
		}
		for _, s := range []struct {
			n    *int64
			text string
			args []any
		}{
			{&v.Flows, "UPDATE flows SET ended = ?, ending = ?, version = version + 1 WHERE ended = ?", []any{true, string(provider.EndDenied), false}},
			{&v.Pushed, "DELETE FROM pushed_requests WHERE spent = 0", nil},
			{&v.Grants, "UPDATE grants SET revoked = ? WHERE revoked = 0", []any{mark(now)}},
			{nil, "UPDATE mfa_accounts SET version = version + 1, last_step = " + step + " WHERE period > 0 AND last_step" + below + step, []any{now.Unix(), now.Unix()}},
			{&v.Tickets, "UPDATE mfa_accounts SET version = version + 1, ticket = ?, ticket_expires = 0," +
				" pending = '', pending_binding = '', pending_expires = 0, unsaved = '', unsaved_binding = '', unsaved_expires = 0" +
				" WHERE ticket_expires > 0 OR pending_expires > 0 OR unsaved_expires > 0", []any{[]byte{}}},
			{&v.Codes, "UPDATE mfa_recovery_codes SET used = ? WHERE used = 0", []any{mark(now)}},
			{nil, "INSERT INTO epoch (id, bumped) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET bumped = " + bumped, []any{mark(now)}},
		} {
			switch s.n {
			case &v.Grants: // sessions are locked after flows and before grants, as by the step of a flow
				if v.Sessions, v.Logouts, err = d.endAll(ctx, now); err != nil {
					return err
				}
			case &v.Codes:
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

// ErrEpochAhead says that the epoch is in the future: the clock here is behind, or
// that of who bumped it was ahead.
var ErrEpochAhead = errors.New("storage: the epoch is in the future")

// epoch returns the epoch, 0 if it was never bumped, and ErrEpochAhead if it is
// later than now, by more than clocks may differ.
func (d *DB) epoch(ctx context.Context, now time.Time) (at micros, err error) {
	err = d.read(ctx).Raw("SELECT coalesce(max(bumped), 0) FROM epoch").Row().Scan(&at)
	if err == nil && at.time().After(now.Add(apart)) {
		err = fmt.Errorf("%w: it is %s", ErrEpochAhead, at.time().Format(time.RFC3339))
	}
	return at, err
}

// endAll ends every session, some at a time, and writes down which clients are to
// be told. It returns how many of each.
func (d *DB) endAll(ctx context.Context, now time.Time) (sessions, logouts int64, err error) {
	const some = 500
	for first, more := "", true; more; {
		last := ""
		err := d.read(ctx).Raw("SELECT id FROM sessions WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?", first, some-1).Row().Scan(&last)
		if more = err == nil; !more && !errors.Is(err, sql.ErrNoRows) {
			return 0, 0, err
		}
		among, args := "ended = ? AND id > ?", []any{false, first}
		if more {
			among, args = among+" AND id <= ?", append(args, last) // by the database's order
		}
		ended, err := d.markEnded(ctx, among, args...)
		if err != nil {
			return 0, 0, err
		}
		in, err := d.joins(ctx, ended)
		if err != nil {
			return 0, 0, err
		}
		n, err := d.announce(ctx, ended, in, now)
		if err != nil {
			return 0, 0, err
		}
		first, sessions, logouts = last, sessions+int64(len(ended)), logouts+int64(n)
	}
	return sessions, logouts, nil
}

// clock returns the time that it is, for here and for the database: the later of
// the two, since what was used until then is to be void.
func (d *DB) clock(ctx context.Context) (time.Time, error) {
	if d.engine == onSQLite {
		return time.Now(), nil
	}
	var theirs time.Time
	if err := d.read(ctx).Raw("SELECT clock_timestamp()").Row().Scan(&theirs); err != nil {
		return time.Time{}, err
	}
	return agreed(time.Now(), theirs)
}

// apart is how far the clock of who bumps the epoch may be from the database's.
const apart = 10 * time.Second

func agreed(ours, theirs time.Time) (time.Time, error) {
	if by := ours.Sub(theirs); by.Abs() > apart {
		return time.Time{}, fmt.Errorf("the clock here and that of the database differ by %v; set them right, and try again", by.Abs().Round(time.Second))
	}
	if theirs.After(ours) {
		return theirs, nil
	}
	return ours, nil
}
