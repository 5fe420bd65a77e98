package storage

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/sallyport-id/sallyport/provider"
)

// ErrDeclared says that a client belongs to the configuration file and can only
// be changed there.
var ErrDeclared = errors.New("storage: the client is declared in the configuration; change it there")

type clientRow struct {
	ID               string `gorm:"primaryKey"`
	Name             string
	Type             string
	Secrets          document[[][]byte]
	RedirectURIs     document[[]string] `gorm:"column:redirect_uris"`
	Scopes           document[[]string]
	GrantTypes       document[[]string]
	FirstParty       bool
	PKCEOptional     bool `gorm:"column:pkce_optional"`
	OpaqueTokens     bool
	Introspects      bool
	Algorithm        string
	Floor            string
	InitiateLoginURI string
	ContinuesTo      document[[]string]
	Registration     document[registration]
	Declared         bool
	Created          micros
}

// A registration is what few clients say of themselves. Nothing is found by it,
// so that it needs no columns.
type registration struct {
	MaxAge                 int64    `json:"max_age,omitempty"` // this and the next: in seconds
	FactorMaxAge           int64    `json:"factor_max_age,omitempty"`
	Keys                   []byte   `json:"jwks,omitempty"`
	KeysURI                string   `json:"jwks_uri,omitempty"`
	Pushed                 bool     `json:"pushed,omitempty"`
	Pairwise               bool     `json:"pairwise,omitempty"`
	Sector                 string   `json:"sector,omitempty"`
	Claims                 []extra  `json:"claims,omitempty"`
	UserinfoAlgorithm      string   `json:"userinfo_algorithm,omitempty"`
	Resources              []string `json:"resources,omitempty"`
	DetailsTypes           []string `json:"details_types,omitempty"`
	PostLogoutRedirectURIs []string `json:"post_logout_redirect_uris,omitempty"`
	BackchannelLogoutURI   string   `json:"backchannel_logout_uri,omitempty"`
	FrontchannelLogoutURI  string   `json:"frontchannel_logout_uri,omitempty"`
}

// An extra is a claim that a client is given without asking. Its value is JSON in
// a text: as JSON in JSON, PostgreSQL would write it anew, and what has not
// changed would look changed.
type extra struct {
	Name  string   `json:"name"`
	From  string   `json:"from,omitempty"`
	Value string   `json:"value,omitempty"`
	In    []string `json:"in,omitempty"`
}

func newExtras(claims []provider.ExtraClaim) (all []extra) {
	for _, c := range claims {
		all = append(all, extra{c.Name, c.From, string(c.Value), c.In})
	}
	return all
}

func (r registration) extraClaims() (all []provider.ExtraClaim) {
	for _, e := range r.Claims {
		c := provider.ExtraClaim{Name: e.Name, From: e.From, In: e.In}
		if e.Value != "" {
			c.Value = []byte(e.Value)
		}
		all = append(all, c)
	}
	return all
}

// TableName tells gorm the table.
func (clientRow) TableName() string { return "clients" }

func newClientRow(c provider.Client) *clientRow {
	row := &clientRow{
		ID:               c.ID,
		Name:             c.Name,
		Type:             string(c.Type),
		RedirectURIs:     document[[]string]{c.RedirectURIs},
		Scopes:           document[[]string]{c.Scopes},
		GrantTypes:       document[[]string]{c.GrantTypes},
		FirstParty:       c.FirstParty,
		PKCEOptional:     c.PKCEOptional,
		OpaqueTokens:     c.OpaqueTokens,
		Introspects:      c.Introspects,
		Algorithm:        c.Algorithm,
		Floor:            c.Floor,
		InitiateLoginURI: c.InitiateLoginURI,
		ContinuesTo:      document[[]string]{c.ContinuesTo},
		Registration: document[registration]{registration{
			MaxAge:                 int64(c.MaxAge / time.Second),
			FactorMaxAge:           int64(c.FactorMaxAge / time.Second),
			Keys:                   c.Keys,
			KeysURI:                c.KeysURI,
			Pushed:                 c.Pushed,
			Pairwise:               c.Pairwise,
			Sector:                 c.Sector,
			Claims:                 newExtras(c.Claims),
			UserinfoAlgorithm:      c.UserinfoAlgorithm,
			Resources:              c.Resources,
			DetailsTypes:           c.DetailsTypes,
			PostLogoutRedirectURIs: c.PostLogoutRedirectURIs,
			BackchannelLogoutURI:   c.BackchannelLogoutURI,
			FrontchannelLogoutURI:  c.FrontchannelLogoutURI,
		}},
		Declared: c.Declared,
		Created:  stamp(c.Created),
	}
	for _, s := range c.Secrets {
		row.Secrets.is = append(row.Secrets.is, s[:])
	}
	return row
}

func (r clientRow) client() provider.Client {
	more := r.Registration.is
	c := provider.Client{
		ID:                     r.ID,
		Name:                   r.Name,
		Type:                   provider.ClientType(r.Type),
		RedirectURIs:           r.RedirectURIs.is,
		Scopes:                 r.Scopes.is,
		GrantTypes:             r.GrantTypes.is,
		FirstParty:             r.FirstParty,
		PKCEOptional:           r.PKCEOptional,
		OpaqueTokens:           r.OpaqueTokens,
		Introspects:            r.Introspects,
		Algorithm:              r.Algorithm,
		Floor:                  r.Floor,
		InitiateLoginURI:       r.InitiateLoginURI,
		ContinuesTo:            r.ContinuesTo.is,
		MaxAge:                 time.Duration(more.MaxAge) * time.Second,
		FactorMaxAge:           time.Duration(more.FactorMaxAge) * time.Second,
		Keys:                   more.Keys,
		KeysURI:                more.KeysURI,
		Pushed:                 more.Pushed,
		Pairwise:               more.Pairwise,
		Sector:                 more.Sector,
		Claims:                 more.extraClaims(),
		UserinfoAlgorithm:      more.UserinfoAlgorithm,
		Resources:              more.Resources,
		DetailsTypes:           more.DetailsTypes,
		PostLogoutRedirectURIs: more.PostLogoutRedirectURIs,
		BackchannelLogoutURI:   more.BackchannelLogoutURI,
		FrontchannelLogoutURI:  more.FrontchannelLogoutURI,
		Declared:               r.Declared,
		Created:                r.Created.time(),
	}
	for _, s := range r.Secrets.is {
		c.Secrets = append(c.Secrets, provider.Hash(s))
	}
	return c
}

// Client returns the client registered as id, as it is or was at most
// StaleClients ago. It is shared: who changes its slices changes them for all.
func (d *DB) Client(ctx context.Context, id string) (provider.Client, error) {
	if !text(id) {
		return provider.Client{}, provider.ErrNotFound
	}
	c, err := d.client(ctx, id)
	if err != nil {
		return provider.Client{}, fmt.Errorf("storage: client: %w", err)
	}
	return c, nil
}

// Clients returns every client, by ID.
func (d *DB) Clients(ctx context.Context) ([]provider.Client, error) {
	var rows []clientRow
	if err := d.read(ctx).Order("id").Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("storage: clients: %w", err)
	}
	var all []provider.Client
	for _, r := range rows {
		all = append(all, r.client())
	}
	return all, nil
}

// AppOrigin reports whether any client has this origin.
func (d *DB) AppOrigin(ctx context.Context, origin string) (bool, error) {
	var rows []clientRow
	if err := d.read(ctx).Select("type", "redirect_uris").Where("type = ?", provider.SPA).Find(&rows).Error; err != nil {
		return false, fmt.Errorf("storage: origins of apps: %w", err)
	}
	return slices.ContainsFunc(rows, func(r clientRow) bool { return r.client().HasOrigin(origin) }), nil
}

// AddClient stores c, whose ID is new; provider.ErrConflict if it is not.
func (d *DB) AddClient(ctx context.Context, c provider.Client) error {
	c.Declared = false
	err := settled(d.write(ctx).Create(newClientRow(c)), provider.ErrConflict)
	d.changesClients(ctx)
	if err != nil {
		return fmt.Errorf("storage: add client: %w", err)
	}
	return nil
}

// SaveClient stores c, new or in place of what has its ID; ErrDeclared if that
// belongs to the configuration. When it was created does not change.
func (d *DB) SaveClient(ctx context.Context, c provider.Client) error {
	c.Declared = false
	err := settled(d.upsertClient(ctx, newClientRow(c), gorm.Expr("clients.declared = ?", false)), ErrDeclared)
	if err != nil {
		return fmt.Errorf("storage: save client %s: %w", c.ID, err)
	}
	return nil
}

func (d *DB) upsertClient(ctx context.Context, row *clientRow, where ...clause.Expression) *gorm.DB {
	defer d.changesClients(ctx)
	return d.write(ctx).Clauses(clause.OnConflict{
		Columns: []clause.Column{{Name: "id"}},
		DoUpdates: clause.AssignmentColumns([]string{"name", "type", "secrets", "redirect_uris", "scopes",
			"grant_types", "first_party", "pkce_optional", "opaque_tokens", "introspects", "algorithm", "floor",
			"initiate_login_uri", "continues_to", "registration", "declared"}),
		Where: clause.Where{Exprs: where},
	}).Create(row)
}

// RemoveClient removes the client with what users allowed it, and revokes every
// grant it was given. It returns provider.ErrNotFound if there is none, and
// ErrDeclared if it belongs to the configuration.
func (d *DB) RemoveClient(ctx context.Context, id string) error {
	err := d.Atomically(ctx, func(ctx context.Context) error {
		row, err := hold[clientRow](ctx, d, "id = ?", id)
		if err != nil {
			return err
		}
		if row.Declared {
			return ErrDeclared
		}
		return d.removeClient(ctx, id)
	})
	if err != nil {
		return fmt.Errorf("storage: remove client %s: %w", id, err)
	}
	return nil
}

// removeClient leaves nothing that would come back to life if another client
// were registered under the same ID.
func (d *DB) removeClient(ctx context.Context, id string) error {
	defer d.changesClients(ctx)
	return errors.Join(
		d.write(ctx).Where("id = ?", id).Delete(&clientRow{}).Error,
		d.write(ctx).Where("client_id = ?", id).Delete(&consentRow{}).Error,
		d.write(ctx).Model(&grantRow{}).Where("client_id = ? AND revoked = 0", id).
			Update("revoked", mark(time.Now())).Error,
		d.write(ctx).Where("client_id = ?", id).Delete(&sessionClientRow{}).Error,
		d.write(ctx).Where("client_id = ?", id).Delete(&logoutRow{}).Error,
	)
}

// SyncClients makes declared the clients that the configuration owns: new ones
// are stored, changed ones changed, those of the same ID that a command made
// taken over, and those no longer declared removed as by RemoveClient. It
// writes nothing where nothing has changed.
func (d *DB) SyncClients(ctx context.Context, declared []provider.Client) error {
	err := d.Atomically(ctx, func(ctx context.Context) error {
		stored, err := d.Clients(ctx)
		if err != nil {
			return err
		}
		for _, c := range declared {
			if err := d.declare(ctx, c, stored); err != nil {
				return err
			}
		}
		for _, old := range stored {
			is := func(c provider.Client) bool { return c.ID == old.ID }
			if !old.Declared || slices.ContainsFunc(declared, is) {
				continue
			}
			if err := d.removeClient(ctx, old.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("storage: declared clients: %w", err)
	}
	return nil
}

func (d *DB) declare(ctx context.Context, c provider.Client, stored []provider.Client) error {
	c.Declared = true
	row := newClientRow(c)
	for _, old := range stored {
		if old.ID != c.ID {
			continue
		}
		row.Created = stamp(old.Created)
		if reflect.DeepEqual(newClientRow(old), row) {
			return nil
		}
	}
	return d.upsertClient(ctx, row).Error
}
