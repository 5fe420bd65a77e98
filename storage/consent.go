package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm/clause"

	"github.com/sallyport-id/sallyport/provider"
)

type consentRow struct {
	Subject  string `gorm:"primaryKey"`
	ClientID string `gorm:"primaryKey"`
	Scopes   document[[]string]
	Given    micros
}

// TableName tells gorm the table.
func (consentRow) TableName() string { return "consents" }

func (r consentRow) consent() provider.Consent {
	return provider.Consent{Subject: r.Subject, ClientID: r.ClientID, Scopes: r.Scopes.is, Given: r.Given.time()}
}

// Consent returns the scopes that subject allowed the client; none if it was
// never asked.
func (d *DB) Consent(ctx context.Context, subject, clientID string) (provider.Consent, error) {
	if !text(clientID) {
		return provider.Consent{Subject: subject, ClientID: clientID}, nil
	}
	row, err := prefetchedOr(ctx, d, subject, clientID, func() (consentRow, error) {
		return take[consentRow](ctx, d, "subject = ? AND client_id = ?", subject, clientID)
	})
	if errors.Is(err, provider.ErrNotFound) {
		return provider.Consent{Subject: subject, ClientID: clientID}, nil
	}
	if err != nil {
		return provider.Consent{}, fmt.Errorf("storage: consent: %w", err)
	}
	return row.consent(), nil
}

// Consents returns what subject allowed, by client ID.
func (d *DB) Consents(ctx context.Context, subject string) ([]provider.Consent, error) {
	var rows []consentRow
	if err := d.read(ctx).Where("subject = ?", subject).Order("client_id").Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("storage: consents: %w", err)
	}
	var all []provider.Consent
	for _, r := range rows {
		all = append(all, r.consent())
	}
	return all, nil
}

// SaveConsent adds c.Scopes to what subject allowed the client.
func (d *DB) SaveConsent(ctx context.Context, c provider.Consent) error {
	row := consentRow{Subject: c.Subject, ClientID: c.ClientID, Given: stamp(c.Given)}
	row.Scopes.is = union(nil, c.Scopes)
	err := d.Atomically(ctx, func(ctx context.Context) error {
		// Writing the row first locks it, there before or not: of two that add
		// at once, neither loses what the other added.
		old := row
		err := d.write(ctx).Clauses(clause.OnConflict{
			Columns:   []clause.Column{{Name: "subject"}, {Name: "client_id"}},
			DoUpdates: clause.AssignmentColumns([]string{"given"}),
		}, clause.Returning{Columns: []clause.Column{{Name: "scopes"}}}).Create(&old).Error
		if err != nil {
			return err
		}
		all := union(old.Scopes.is, c.Scopes)
		if slices.Equal(all, old.Scopes.is) {
			return nil
		}
		return d.write(ctx).Model(&consentRow{}).Where("subject = ? AND client_id = ?", c.Subject, c.ClientID).
			Update("scopes", document[[]string]{all}).Error
	})
	if err != nil {
		return fmt.Errorf("storage: save consent: %w", err)
	}
	return nil
}

// union returns all of a and b, in order; never nil, which would be another
// JSON.
func union(a, b []string) []string {
	all := append(append([]string{}, a...), b...)
	slices.Sort(all)
	return slices.Compact(all)
}

// RevokeConsent forgets what subject allowed the client, and revokes every
// grant that it made.
func (d *DB) RevokeConsent(ctx context.Context, subject, clientID string, now time.Time) error {
	if !text(clientID) {
		return nil
	}
	err := d.Atomically(ctx, func(ctx context.Context) error {
		err := d.write(ctx).Where("subject = ? AND client_id = ?", subject, clientID).Delete(&consentRow{}).Error
		if err != nil {
			return err
		}
		return d.write(ctx).Model(&grantRow{}).
			Where("client_id = ? AND subject = ? AND revoked = 0", clientID, subject).
			Update("revoked", mark(now)).Error
	})
	if err != nil {
		return fmt.Errorf("storage: revoke consent: %w", err)
	}
	return nil
}
