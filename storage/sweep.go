package storage

import (
	"context"
	"fmt"
	"time"
)

// An expiry says which rows of a table may go.
type expiry struct {
	table string
	key   string
	where string // @now is the time, @kept that before which events go
	set   string // empty: the row goes; otherwise these columns are cleared
}

// expiries lists what expires. Each condition is served by an index, so that a
// sweep costs what it removes and not what is there.
var expiries = []expiry{
	{table: "flows", key: "id", where: "expires < @now"},
	{table: "pushed_requests", key: "id", where: "kept < @now"},
	{table: "sessions", key: "id", where: "expires < @now"}, // and with them their session_clients
	{table: "logouts", key: "id", where: "expires < @now"},
	// A grant is made with its code and no refresh token yet.
	{table: "grants", key: "id", where: "expires < @now AND code_expires < @now"},
	{table: "assertions", key: "key", where: "expires < @now"},
	{table: "rates", key: "key", where: "until < @now"},
	{table: "mfa_misses", key: "key", where: "expires < @now"},
	// Sealed or not, a secret that nobody can ask for any more is not kept.
	{table: "mfa_accounts", key: "subject", where: "pending_expires > 0 AND pending_expires < @now",
		set: "pending = '', pending_binding = '', pending_expires = 0"},
	{table: "mfa_accounts", key: "subject", where: "unsaved_expires > 0 AND unsaved_expires < @now",
		set: "unsaved = '', unsaved_binding = '', unsaved_expires = 0"},
	{table: "events", key: "id", where: "time < @kept"},
}

// Sweep removes what has expired: of each table at most batch rows in one
// short transaction, so that nobody waits for it for long. It returns how many
// rows it removed; until that is 0 there may be more. Replicas may sweep at the
// same time. Events go when they are older than Config.KeepEvents.
func (d *DB) Sweep(ctx context.Context, now time.Time, batch int) (n int, err error) {
	for _, e := range expiries {
		g := d.write(ctx).Exec(e.statement(d.engine), map[string]any{
			"now":   stamp(now),
			"kept":  stamp(now.Add(-d.keep)),
			"batch": batch,
		})
		if g.Error != nil {
			return n, fmt.Errorf("storage: sweep %s: %w", e.table, g.Error)
		}
		n += int(g.RowsAffected)
	}
	return n, nil
}

func (e expiry) statement(on engine) string {
	do := "DELETE FROM " + e.table
	if e.set != "" {
		do = "UPDATE " + e.table + " SET " + e.set
	}
	// PostgreSQL: a row that someone is about to renew is left to them, and of
	// two replicas each takes rows of its own.
	skip := ""
	if on == onPostgres {
		skip = " FOR UPDATE SKIP LOCKED"
	}
	return fmt.Sprintf("%s WHERE %s IN (SELECT %s FROM %s WHERE %s LIMIT @batch%s)",
		do, e.key, e.key, e.table, e.where, skip)
}
