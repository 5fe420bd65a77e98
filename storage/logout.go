package storage

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"time"

	"gorm.io/gorm/clause"

	"github.com/sallyport-id/sallyport/provider"
)

type sessionClientRow struct {
	SessionID string `gorm:"primaryKey"`
	ClientID  string `gorm:"primaryKey"`
}

// TableName tells gorm the table.
func (sessionClientRow) TableName() string { return "session_clients" }

type logoutRow struct {
	ID        string `gorm:"primaryKey"`
	ClientID  string
	Subject   string
	SessionID string
	Created   micros
	Tries     int
	Due       micros
	GivenUp   micros
	Problem   string
	Expires   micros
}

// TableName tells gorm the table.
func (logoutRow) TableName() string { return "logouts" }

// keepLogouts is how long a Logout is kept that no client has taken: an
// operator sees it for as long, and nothing piles up where nobody delivers.
const keepLogouts = 7 * 24 * time.Hour

func (r logoutRow) logout() provider.Logout {
	return provider.Logout{
		ID:        r.ID,
		ClientID:  r.ClientID,
		Subject:   r.Subject,
		SessionID: r.SessionID,
		Created:   r.Created.time(),
		Tries:     r.Tries,
		Due:       r.Due.time(),
		GivenUp:   r.GivenUp.time(),
		Problem:   r.Problem,
	}
}

// join notes that the client was given something in the session, if that is
// there and has not ended.
func (d *DB) join(ctx context.Context, session, client string) error {
	return d.write(ctx).Exec("INSERT INTO session_clients (session_id, client_id)"+
		" SELECT id, CAST(? AS TEXT) FROM sessions WHERE id = ? AND ended = ? ON CONFLICT DO NOTHING",
		client, session, false).Error
}

// SessionClients returns the IDs of the clients that were given something in
// the session, in order.
func (d *DB) SessionClients(ctx context.Context, id string) ([]string, error) {
	if !text(id) {
		return nil, nil
	}
	var rows []sessionClientRow
	if err := d.read(ctx).Where("session_id = ?", id).Order("client_id").Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("storage: clients of a session: %w", err)
	}
	var all []string
	for _, r := range rows {
		all = append(all, r.ClientID)
	}
	return all, nil
}

// joins returns in which of sessions which clients were given something.
func (d *DB) joins(ctx context.Context, sessions []sessionRow) (in []sessionClientRow, err error) {
	ids := make([]string, len(sessions))
	for i, s := range sessions {
		ids[i] = s.ID
	}
	err = d.read(ctx).Where("session_id IN ?", ids).Order("session_id, client_id").Find(&in).Error
	return in, err
}

// announce writes a Logout for each of in, which were in the sessions that have
// ended, whose client wants to be told. It returns how many.
func (d *DB) announce(ctx context.Context, ended []sessionRow, in []sessionClientRow, now time.Time) (n int, err error) {
	if len(in) == 0 {
		return 0, nil
	}
	clients, wants, subjects := map[string]bool{}, map[string]bool{}, map[string]string{}
	for _, r := range in {
		clients[r.ClientID] = true
	}
	for _, s := range ended {
		subjects[s.ID] = s.Subject
	}
	var rows []clientRow
	if err := d.read(ctx).Select("id", "registration").Where("id IN ?", slices.Sorted(maps.Keys(clients))).Find(&rows).Error; err != nil {
		return 0, err
	}
	for _, r := range rows {
		wants[r.ID] = r.Registration.is.BackchannelLogoutURI != ""
	}
	var out []logoutRow
	for _, r := range in {
		if wants[r.ClientID] {
			out = append(out, logoutRow{
				ID: rand.Text(), ClientID: r.ClientID, Subject: subjects[r.SessionID], SessionID: r.SessionID,
				Created: stamp(now), Due: stamp(now), Expires: stamp(now.Add(keepLogouts)),
			})
		}
	}
	if len(out) == 0 {
		return 0, nil
	}
	return len(out), d.write(ctx).CreateInBatches(out, 500).Error
}

// ClaimLogouts returns at most limit Logouts that are due at now and not given
// up, those longest due, and makes them due again at until. Of two
// concurrent calls, one gets a Logout.
func (d *DB) ClaimLogouts(ctx context.Context, now, until time.Time, limit int) ([]provider.Logout, error) {
	due := "SELECT id FROM logouts WHERE given_up = 0 AND due <= ? ORDER BY due, id LIMIT ?"
	among := "id IN (" + due + ")"
	if d.engine == onPostgres {
		// Who comes at the same time takes others. As a plain IN it would be run
		// once for each row, and skip what it has taken itself.
		among = "id = ANY (ARRAY(" + due + " FOR UPDATE SKIP LOCKED))"
	}
	var rows []logoutRow
	err := d.write(ctx).Model(&rows).Clauses(clause.Returning{}).
		Where("given_up = 0 AND due <= ?", stamp(now)).Where(among, stamp(now), limit).
		Update("due", stamp(until)).Error
	if err != nil {
		return nil, fmt.Errorf("storage: claim logouts: %w", err)
	}
	var all []provider.Logout
	for _, r := range rows {
		all = append(all, r.logout())
	}
	return all, nil
}

// SaveLogout stores the Tries, Due, GivenUp and Problem of l, if it is still
// due at claimed; provider.ErrConflict if not.
func (d *DB) SaveLogout(ctx context.Context, l provider.Logout, claimed time.Time) error {
	err := settled(d.write(ctx).Model(&logoutRow{}).
		Where("id = ? AND due = ? AND given_up = 0", l.ID, stamp(claimed)).
		Select("tries", "due", "given_up", "problem").
		Updates(&logoutRow{Tries: l.Tries, Due: stamp(l.Due), GivenUp: stamp(l.GivenUp), Problem: clean(l.Problem)}),
		provider.ErrConflict)
	if err != nil {
		return fmt.Errorf("storage: save logout: %w", err)
	}
	return nil
}

// RemoveLogout removes a Logout, whoever has claimed it.
func (d *DB) RemoveLogout(ctx context.Context, id string) error {
	if err := d.write(ctx).Where("id = ?", id).Delete(&logoutRow{}).Error; err != nil {
		return fmt.Errorf("storage: remove logout: %w", err)
	}
	return nil
}

// Logouts returns what clients have not been told yet, given up or not, the
// oldest first.
func (d *DB) Logouts(ctx context.Context) ([]provider.Logout, error) {
	var rows []logoutRow
	if err := d.read(ctx).Order("created, id").Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("storage: logouts: %w", err)
	}
	var all []provider.Logout
	for _, r := range rows {
		all = append(all, r.logout())
	}
	return all, nil
}

// RetryLogouts makes the Logout with this ID due at now, as if it had never
// been tried, or with an empty ID every one that was given up. It returns how
// many there were. One that is being tried at this moment may be tried twice:
// its client tells by the jti.
func (d *DB) RetryLogouts(ctx context.Context, id string, now time.Time) (int, error) {
	if !text(id) {
		return 0, nil
	}
	g := d.write(ctx).Model(&logoutRow{})
	if id == "" {
		g = g.Where("given_up > 0")
	} else {
		g = g.Where("id = ?", id)
	}
	g = g.Updates(map[string]any{"tries": 0, "due": stamp(now), "given_up": 0, "problem": ""})
	if g.Error != nil {
		return 0, fmt.Errorf("storage: retry logouts: %w", g.Error)
	}
	return int(g.RowsAffected), nil
}
