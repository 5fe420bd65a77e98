package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm/clause"

	"github.com/sallyport-id/sallyport/provider"
)

// An Imported is what became of one of the users that Import was given.
type Imported struct {
	Subject string // empty if Err is set
	Updated bool   // there was one of this name
	Err     error  // why this one was not imported; the others are not concerned
}

// Import adds users, in one transaction, and returns what became of each, in
// order. A user whose name is taken gets ErrTaken, or with update set, the new
// claims and password hash where there are any; where the hash is another one,
// everything open is ended. Nobody is enabled by it. The error is one of the
// database: then nobody was imported.
//
// A batch of some hundred keeps others from waiting for long. Passwords in
// plain text are refused: hashing them would hold up the transaction.
func (u *Users) Import(ctx context.Context, users []NewUser, update bool) ([]Imported, error) {
	now := time.Now()
	var all []Imported
	err := u.d.Atomically(ctx, func(ctx context.Context) error {
		all = make([]Imported, len(users)) // may be the second try
		for i, n := range users {
			is, err := u.importOne(ctx, n, update, now)
			if err != nil {
				return err
			}
			all[i] = is
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("storage: import users: %w", err)
	}
	return all, nil
}

// importOne imports n. The error is one of the database.
func (u *Users) importOne(ctx context.Context, n NewUser, update bool, now time.Time) (Imported, error) {
	if n.Password != "" {
		return Imported{Err: errors.New("storage: import takes hashes of passwords only")}, nil
	}
	row, err := n.row(now)
	if err != nil {
		return Imported{Err: err}, nil
	}
	// In PostgreSQL an insert that fails would take the transaction with it.
	g := u.d.write(ctx).Clauses(clause.OnConflict{DoNothing: true}).Create(&row)
	if g.Error != nil {
		return Imported{}, g.Error
	}
	if g.RowsAffected == 1 {
		return Imported{Subject: row.Subject}, u.record(ctx, row.Subject, "import")
	}
	if !update {
		return Imported{Err: ErrTaken}, nil
	}
	old, err := u.take(ctx, "folded = ?", row.Folded)
	if err != nil {
		return Imported{}, err
	}
	return Imported{Subject: old.Subject, Updated: true}, u.importOver(ctx, old, row)
}

// importOver gives the user in old what row has.
func (u *Users) importOver(ctx context.Context, old, row userRow) error {
	set := map[string]any{
		"username": row.Username,
		"claims":   document[provider.Claims](row.Claims),
		"updated":  row.Updated,
	}
	ends := false
	if row.Hash != "" && row.Hash != old.Hash {
		set["hash"], ends = row.Hash, true
	}
	if row.Disabled && !old.Disabled {
		set["disabled"], ends = true, true
	}
	if ends {
		return u.end(ctx, old.Subject, "import", set)
	}
	return u.change(ctx, old.Subject, "import", set)
}
