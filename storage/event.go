package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

type eventRow struct {
	ID        int64 `gorm:"primaryKey;autoIncrement"`
	Time      micros
	Kind      string
	Outcome   string
	Subject   string
	ClientID  string
	Actor     string
	RequestID string
	Address   string
	Detail    document[map[string]string]
}

// TableName tells gorm the table.
func (eventRow) TableName() string { return "events" }

func newEventRow(e provider.Event) *eventRow {
	row := &eventRow{
		Time:      stamp(e.Time),
		Kind:      string(e.Kind),
		Outcome:   string(e.Outcome),
		Subject:   clean(e.Subject),
		ClientID:  clean(e.ClientID),
		Actor:     clean(e.Actor),
		RequestID: clean(e.RequestID),
		Address:   clean(e.Address),
	}
	if len(e.Detail) > 0 {
		row.Detail.is = map[string]string{}
	}
	for k, v := range e.Detail {
		row.Detail.is[clean(k)] = clean(v)
	}
	return row
}

func (r eventRow) event() provider.Event {
	return provider.Event{
		Time:      r.Time.time(),
		Kind:      provider.EventKind(r.Kind),
		Outcome:   provider.Outcome(r.Outcome),
		Subject:   r.Subject,
		ClientID:  r.ClientID,
		Actor:     r.Actor,
		RequestID: r.RequestID,
		Address:   r.Address,
		Detail:    r.Detail.is,
	}
}

// Record writes e to the audit trail. In a transaction it is written if and
// only if the rest is.
func (d *DB) Record(ctx context.Context, e provider.Event) error {
	if err := d.write(ctx).Create(newEventRow(e)).Error; err != nil {
		return fmt.Errorf("storage: record: %w", err)
	}
	return nil
}

// Activity returns the last events about subject, the newest first.
func (d *DB) Activity(ctx context.Context, subject string, limit int) ([]provider.Event, error) {
	return d.Events(ctx, EventFilter{Subject: subject, Limit: limit})
}

// An EventFilter says which events are looked for. Its zero fields allow any.
type EventFilter struct {
	Subject  string
	ClientID string
	Kind     provider.EventKind
	Outcome  provider.Outcome
	From     time.Time // not earlier
	Before   time.Time // earlier
	Limit    int       // how many at most; 0: 100
}

// Events returns the events of the audit trail that f allows, the newest first.
func (d *DB) Events(ctx context.Context, f EventFilter) ([]provider.Event, error) {
	q := d.read(ctx)
	for column, value := range map[string]string{
		"subject":   f.Subject,
		"client_id": f.ClientID,
		"kind":      string(f.Kind),
		"outcome":   string(f.Outcome),
	} {
		if value != "" {
			q = q.Where(column+" = ?", value)
		}
	}
	if !f.From.IsZero() {
		q = q.Where("time >= ?", stamp(f.From))
	}
	if !f.Before.IsZero() {
		q = q.Where("time < ?", stamp(f.Before))
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	var rows []eventRow
	if err := q.Order("time DESC, id DESC").Limit(limit).Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("storage: events: %w", err)
	}
	var all []provider.Event
	for _, r := range rows {
		all = append(all, r.event())
	}
	return all, nil
}
