package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

type grantRow struct {
	ID          string `gorm:"primaryKey"`
	Subject     string
	ClientID    string
	SessionID   string
	Scopes      document[[]string]
	Epoch       string
	Claims      *document[provider.AskedClaims] // nil: none
	Details     *string                         // nil: none
	Resources   *document[[]string]             // nil: none
	Proofs      document[authflow.Proofs]
	ACR         string
	Requested   micros
	Created     micros
	Code        []byte
	CodeExpires micros
	CodeSpent   micros
	RedirectURI string
	Challenge   []byte // what a client may choose freely is bytes; see text
	Nonce       []byte
	Generation  int64
	Rotated     micros
	Expires     micros
	Ends        micros
	Revoked     micros
}

// TableName tells gorm the table.
func (grantRow) TableName() string { return "grants" }

func newGrantRow(g provider.Grant) *grantRow {
	var claims *document[provider.AskedClaims]
	if len(g.Claims.UserInfo)+len(g.Claims.IDToken) > 0 {
		claims = &document[provider.AskedClaims]{g.Claims}
	}
	var details *string
	if g.Details != "" {
		details = &g.Details
	}
	var resources *document[[]string]
	if len(g.Resources) > 0 {
		resources = &document[[]string]{g.Resources}
	}
	return &grantRow{
		Claims:      claims,
		Details:     details,
		Resources:   resources,
		ID:          g.ID,
		Subject:     g.Subject,
		ClientID:    g.ClientID,
		SessionID:   g.SessionID,
		Scopes:      document[[]string]{g.Scopes},
		Epoch:       g.Login.Epoch,
		Proofs:      document[authflow.Proofs]{g.Login.Proofs},
		ACR:         g.ACR,
		Requested:   stamp(g.Requested),
		Created:     stamp(g.Created),
		Code:        g.Code[:],
		CodeExpires: stamp(g.CodeExpires),
		CodeSpent:   stamp(g.CodeSpent),
		RedirectURI: g.RedirectURI,
		Challenge:   []byte(g.Challenge),
		Nonce:       []byte(g.Nonce),
		Generation:  g.Generation,
		Rotated:     stamp(g.Rotated),
		Expires:     stamp(g.Expires),
		Ends:        stamp(g.Ends),
		Revoked:     stamp(g.Revoked),
	}
}

func (r grantRow) grant() provider.Grant {
	var claims provider.AskedClaims
	if r.Claims != nil {
		claims = r.Claims.is
	}
	details := ""
	if r.Details != nil {
		details = *r.Details
	}
	var resources []string
	if r.Resources != nil {
		resources = r.Resources.is
	}
	return provider.Grant{
		Claims:      claims,
		Details:     details,
		Resources:   resources,
		ID:          r.ID,
		Subject:     r.Subject,
		ClientID:    r.ClientID,
		SessionID:   r.SessionID,
		Scopes:      r.Scopes.is,
		Login:       authflow.Login{Subject: r.Subject, Epoch: r.Epoch, Proofs: r.Proofs.is},
		ACR:         r.ACR,
		Requested:   r.Requested.time(),
		Created:     r.Created.time(),
		Code:        provider.Hash(r.Code),
		CodeExpires: r.CodeExpires.time(),
		CodeSpent:   r.CodeSpent.time(),
		RedirectURI: r.RedirectURI,
		Challenge:   string(r.Challenge),
		Nonce:       string(r.Nonce),
		Generation:  r.Generation,
		Rotated:     r.Rotated.time(),
		Expires:     r.Expires.time(),
		Ends:        r.Ends.time(),
		Revoked:     r.Revoked.time(),
	}
}

// An allowedRow is a grant with what its user allows its client now.
type allowedRow struct {
	Grant         grantRow            `gorm:"embedded"`
	ConsentScopes *document[[]string] `gorm:"->"` // nil: nothing
	ConsentGiven  micros              `gorm:"->"`
}

// TableName tells gorm the table.
func (allowedRow) TableName() string { return "grants" }

func (allowedRow) computed() (expressions []string, join string) {
	return []string{"consents.scopes", "COALESCE(consents.given, 0)"},
		"LEFT JOIN consents ON consents.subject = grants.subject AND consents.client_id = grants.client_id"
}

func (r allowedRow) whose() (subject, client string) { return r.Grant.Subject, r.Grant.ClientID }

// sides are those beside the consent, which is a part of it.
func (allowedRow) sides() []side { return []side{userSide, accountSide} }

// CreateGrant stores g, and that its client is in its session;
// provider.ErrConflict if its ID is taken.
func (d *DB) CreateGrant(ctx context.Context, g provider.Grant) error {
	if g.Login.Subject != g.Subject {
		return fmt.Errorf("storage: create grant: it is %q's with a login of %q", g.Subject, g.Login.Subject)
	}
	err := d.Atomically(ctx, func(ctx context.Context) error {
		if err := settled(d.write(ctx).Create(newGrantRow(g)), provider.ErrConflict); err != nil {
			return err
		}
		return d.join(ctx, g.SessionID, g.ClientID)
	})
	if err != nil {
		return fmt.Errorf("storage: create grant: %w", err)
	}
	return nil
}

// Grant returns the grant, revoked or not. In a transaction it is locked.
func (d *DB) Grant(ctx context.Context, id string) (provider.Grant, error) {
	if !text(id) {
		return provider.Grant{}, provider.ErrNotFound
	}
	row, err := holdBeside[allowedRow](ctx, d, "grants.id = ?", id)
	if err != nil {
		return provider.Grant{}, fmt.Errorf("storage: grant: %w", err)
	}
	g := row.Grant.grant()
	if row.ConsentScopes != nil {
		g.Consent = provider.Consent{Subject: g.Subject, ClientID: g.ClientID, Scopes: row.ConsentScopes.is, Given: row.ConsentGiven.time()}
	}
	return g, nil
}

// SpendCode marks the code of a grant as used, and sets its Generation and
// Expires. Of any number of calls one succeeds; the others, and all calls on a
// revoked grant, get provider.ErrSpent. Whether the code has expired is for the
// caller to see.
func (d *DB) SpendCode(ctx context.Context, id string, generation int64, now, expires time.Time) error {
	to := &grantRow{CodeSpent: mark(now), Generation: generation, Expires: stamp(expires)}
	err := d.once(ctx, func() error {
		return settled(d.write(ctx).Model(&grantRow{}).
			Where("id = ? AND code_spent = 0 AND revoked = 0", id).
			Select("code_spent", "generation", "expires").Updates(to),
			provider.ErrSpent)
	}, func() (bool, error) {
		// The microsecond says whose it is.
		g, err := take[grantRow](ctx, d, "id = ?", id)
		return g.CodeSpent == to.CodeSpent && g.Generation == to.Generation && g.Expires == to.Expires && g.Revoked == 0, err
	})
	if errors.Is(err, provider.ErrSpent) {
		err = missing[grantRow](ctx, d, id, err)
	}
	if err != nil {
		return fmt.Errorf("storage: spend code: %w", err)
	}
	return nil
}

// RotateGrant sets the Generation to from+1, Rotated to now, and Expires, if
// the Generation is still from and the grant is not revoked;
// provider.ErrConflict otherwise.
func (d *DB) RotateGrant(ctx context.Context, id string, from int64, now, expires time.Time) error {
	to := &grantRow{Generation: from + 1, Rotated: mark(now), Expires: stamp(expires)}
	err := d.once(ctx, func() error {
		return settled(d.write(ctx).Model(&grantRow{}).
			Where("id = ? AND generation = ? AND revoked = 0", id, from).
			Select("generation", "rotated", "expires").Updates(to),
			provider.ErrConflict)
	}, func() (bool, error) {
		g, err := take[grantRow](ctx, d, "id = ?", id)
		return g.Generation == to.Generation && g.Rotated == to.Rotated && g.Expires == to.Expires && g.Revoked == 0, err
	})
	if errors.Is(err, provider.ErrConflict) {
		err = missing[grantRow](ctx, d, id, err)
	}
	if err != nil {
		return fmt.Errorf("storage: rotate grant: %w", err)
	}
	return nil
}

// RevokeGrant ends a grant. Doing so again, or to what was never there, is no
// error.
func (d *DB) RevokeGrant(ctx context.Context, id string, now time.Time) error {
	err := d.write(ctx).Model(&grantRow{}).Where("id = ? AND revoked = 0", id).
		Update("revoked", mark(now)).Error
	if err != nil {
		return fmt.Errorf("storage: revoke grant: %w", err)
	}
	return nil
}
