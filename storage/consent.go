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
	row, err := take[consentRow](ctx, d, "subject = ? AND client_id = ?", subject, clientID)
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
	key := "subject = ? AND client_id = ?"
	err := d.Atomically(ctx, func(ctx context.Context) error {
		// Writing the row first locks it, there before or not: of two that add
		// at once, neither loses what the other added.
		row.Scopes.is = []string{}
		err := d.write(ctx).Clauses(clause.OnConflict{
			Columns:   []clause.Column{{Name: "subject"}, {Name: "client_id"}},
			DoUpdates: clause.AssignmentColumns([]string{"given"}),
		}).Create(&row).Error
		if err != nil {
			return err
		}
		old, err := take[consentRow](ctx, d, key, c.Subject, c.ClientID)
		if err != nil {
			return err
		}
		row.Scopes.is = slices.Concat(old.Scopes.is, c.Scopes)
		slices.Sort(row.Scopes.is)
		row.Scopes.is = slices.Compact(row.Scopes.is)
		return d.write(ctx).Model(&consentRow{}).Where(key, c.Subject, c.ClientID).
			Update("scopes", row.Scopes).Error
	})
	if err != nil {
		return fmt.Errorf("storage: save consent: %w", err)
	}
	return nil
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
