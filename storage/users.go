package storage

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/secure/precis"
	"gorm.io/gorm"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage/password"
)

// What Users answer.
var (
	// ErrUsername says that a username can't be one: empty, longer than 255
	// bytes, with spaces in it, or with characters that people can't tell
	// from others (RFC 8265 section 3.3).
	ErrUsername = errors.New("storage: not a username")
	// ErrTaken says that someone has this username, perhaps in another
	// spelling.
	ErrTaken = errors.New("storage: the username is taken")
	// ErrClaims says that claims hold something that is not text, or an
	// attribute under the name of another claim.
	ErrClaims = errors.New("storage: the claims cannot be stored")
)

// Users are the users in the database. They are a provider.Directory.
//
// A username is matched without regard to case and width, and shown as it was
// given. Every change is written to the audit trail in its own transaction.
// Called with the context of Atomically, a change takes part in that one.
type Users struct {
	// Rules are what a password must keep that is set here.
	Rules password.Rules
	// About are words that make bad passwords here: the name of the service,
	// of the company.
	About []string

	d      *DB
	hasher *password.Hasher
}

var (
	_ provider.Directory = (*Users)(nil)
	_ provider.Busier    = (*Users)(nil)
)

// Users returns the users in d, whose passwords h hashes.
func (d *DB) Users(h *password.Hasher) *Users { return &Users{d: d, hasher: h} }

type userRow struct {
	Subject  string `gorm:"primaryKey"`
	Username string
	Folded   string // see fold
	Claims   document[provider.Claims]
	Hash     string // empty: there is no password
	Disabled bool
	Epoch    int64
	Created  micros
	Updated  micros // the claims
}

// TableName tells gorm the table.
func (userRow) TableName() string { return "users" }

func (r userRow) user() provider.User {
	claims := r.Claims.is
	claims.UpdatedAt = r.Updated.time()
	return provider.User{
		Subject:  r.Subject,
		Username: r.Username,
		Disabled: r.Disabled,
		Epoch:    strconv.FormatInt(r.Epoch, 10),
		Claims:   claims,
	}
}

// A UserRecord is a user as an administrator sees them.
type UserRecord struct {
	provider.User
	HasPassword bool
	Created     time.Time
}

func (r userRow) record() UserRecord {
	return UserRecord{r.user(), r.Hash != "", r.Created.time()}
}

// maxUsername is the most bytes of a username.
const maxUsername = 255

// fold returns what two spellings of one username have in common, and an error
// that wraps ErrUsername if name can't be one.
func fold(name string) (string, error) {
	if name == "" || len(name) > maxUsername || !text(name) {
		return "", ErrUsername
	}
	// RFC 8265 section 3.3.
	key, err := precis.UsernameCaseMapped.CompareKey(name)
	if err != nil || key == "" {
		return "", fmt.Errorf("%w: a space, or a character that is not for names", ErrUsername)
	}
	return key, nil
}

// byName returns the row of the user with this name, provider.ErrNoUser if
// there is none.
func (u *Users) byName(ctx context.Context, name string) (userRow, error) {
	folded, err := fold(strings.TrimSpace(name))
	if err != nil {
		return userRow{}, provider.ErrNoUser
	}
	return u.take(ctx, "folded = ?", folded)
}

func (u *Users) take(ctx context.Context, where, value string) (userRow, error) {
	if !text(value) {
		return userRow{}, provider.ErrNoUser
	}
	row, err := take[userRow](ctx, u.d, where, value)
	if errors.Is(err, provider.ErrNotFound) {
		err = provider.ErrNoUser
	}
	return row, err
}

// Authenticate returns the user with this name and password, and
// provider.ErrNoUser if there is none or they are disabled. A password that was
// hashed elsewhere, or at another cost, is hashed anew and stored. It takes its
// time, so it must not be called in a transaction, which others wait for; the
// new hash is not stored then.
func (u *Users) Authenticate(ctx context.Context, name, pw string) (provider.User, error) {
	row, err := u.byName(ctx, name)
	if err != nil && !errors.Is(err, provider.ErrNoUser) {
		return provider.User{}, fmt.Errorf("storage: authenticate: %w", err)
	}
	if row.Hash == "" {
		if err := u.hasher.Burn(ctx); err != nil {
			return provider.User{}, busy(err)
		}
		return provider.User{Subject: row.Subject}, provider.ErrNoUser
	}
	// A disabled user's password is verified too, or the answer to it would
	// come sooner than to others.
	ok, upgrade, err := u.hasher.Verify(ctx, row.Hash, pw)
	if err != nil {
		return provider.User{}, busy(err)
	}
	if !ok || row.Disabled {
		return provider.User{Subject: row.Subject}, provider.ErrNoUser
	}
	if upgrade && u.d.joined(ctx) == nil {
		if err := u.upgrade(ctx, row, pw); err != nil {
			// The password was right, and the next time will do.
			u.d.log.WarnContext(ctx, "storage: a password hash was not upgraded",
				slog.String("subject", row.Subject), slog.Any("error", err))
		}
	}
	return row.user(), nil
}

// Busy implements provider.Busier.
func (u *Users) Busy() bool { return u.hasher.Busy() }

// busy returns err, and as provider.ErrBusy what the hasher calls busy.
func busy(err error) error {
	if errors.Is(err, password.ErrBusy) {
		return fmt.Errorf("storage: authenticate: %w: %w", provider.ErrBusy, err)
	}
	return fmt.Errorf("storage: authenticate: %w", err)
}

// upgrade stores another hash of the same password. The epoch stays: nothing
// has changed for anybody. If the password has, in the meantime, that stays.
func (u *Users) upgrade(ctx context.Context, row userRow, pw string) error {
	hash, err := u.hasher.Hash(ctx, pw)
	if err != nil {
		return err
	}
	return u.d.write(ctx).Model(&userRow{}).
		Where("subject = ? AND hash = ?", row.Subject, row.Hash).
		Update("hash", hash).Error
}

// User returns the user with this subject, disabled or not, and
// provider.ErrNoUser if there is none.
func (u *Users) User(ctx context.Context, subject string) (provider.User, error) {
	row, err := prefetchedOr(ctx, u.d, subject, "", func() (userRow, error) { return u.take(ctx, "subject = ?", subject) })
	if errors.Is(err, provider.ErrNotFound) {
		err = provider.ErrNoUser
	}
	if err != nil {
		return provider.User{}, fmt.Errorf("storage: user: %w", err)
	}
	return row.user(), nil
}

// ByName returns the user with this username, in any spelling, and
// provider.ErrNoUser if there is none.
func (u *Users) ByName(ctx context.Context, name string) (UserRecord, error) {
	row, err := u.byName(ctx, name)
	if err != nil {
		return UserRecord{}, fmt.Errorf("storage: user: %w", err)
	}
	return row.record(), nil
}

// List returns every user, by name. It reads a page at a time, so that users
// who come and go meanwhile may or may not be among them. After an error it
// ends.
func (u *Users) List(ctx context.Context) iter.Seq2[UserRecord, error] {
	const page = 200
	return func(yield func(UserRecord, error) bool) {
		last := ""
		for {
			var rows []userRow
			err := u.d.read(ctx).Where("folded > ?", last).Order("folded").Limit(page).Find(&rows).Error
			if err != nil {
				yield(UserRecord{}, fmt.Errorf("storage: users: %w", err))
				return
			}
			for _, r := range rows {
				if !yield(r.record(), nil) {
					return
				}
				last = r.Folded
			}
			if len(rows) < page {
				return
			}
		}
	}
}

// A NewUser is a user to be.
type NewUser struct {
	Username string
	Claims   provider.Claims
	Disabled bool

	// The password, or a hash of it that another provider made. With neither
	// the user can't sign in until one is set.
	Password     string
	PasswordHash string
}

// row returns the row of a new user, and an error if there can't be one.
func (n NewUser) row(now time.Time) (userRow, error) {
	folded, err := fold(n.Username)
	if err != nil {
		return userRow{}, err
	}
	if n.PasswordHash != "" {
		if err := password.CheckHash(n.PasswordHash); err != nil {
			return userRow{}, err
		}
	}
	if err := checkClaims(n.Claims); err != nil {
		return userRow{}, err
	}
	return userRow{
		Subject:  rand.Text(), // 130 bits: never given to someone else
		Username: n.Username,
		Folded:   folded,
		Claims:   document[provider.Claims]{n.Claims},
		Hash:     n.PasswordHash,
		Disabled: n.Disabled,
		Epoch:    1,
		Created:  stamp(now),
		Updated:  stamp(now),
	}, nil
}

// checkClaims returns ErrClaims for what PostgreSQL would refuse, so that a
// user who fits one database fits the other, and for attributes that nobody
// would ever be told of.
func checkClaims(c provider.Claims) error {
	b, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrClaims, err)
	}
	if strings.Contains(strings.ReplaceAll(string(b), `\\`, ""), `\u0000`) {
		return fmt.Errorf("%w: a zero byte", ErrClaims)
	}
	for name := range c.Attributes {
		if name == "" || provider.StandardClaim(name) || provider.ReservedClaim(name) {
			return fmt.Errorf("%w: an attribute called %q", ErrClaims, name)
		}
	}
	return nil
}

// newHash checks a password that someone is to get and returns its hash.
func (u *Users) newHash(ctx context.Context, pw, username string, c provider.Claims) (string, error) {
	about := append([]string{username, c.Name, c.GivenName, c.FamilyName, c.Nickname, c.PreferredUsername, c.Email}, u.About...)
	if err := u.Rules.Check(pw, about...); err != nil {
		return "", err
	}
	return u.hasher.Hash(ctx, pw)
}

// Add makes a user. It returns ErrTaken if someone has the name, and a
// *password.Refusal if the password is a bad one.
func (u *Users) Add(ctx context.Context, n NewUser) (provider.User, error) {
	if n.Password != "" {
		hash, err := u.newHash(ctx, n.Password, n.Username, n.Claims)
		if err != nil {
			return provider.User{}, fmt.Errorf("storage: add user: %w", err)
		}
		n.PasswordHash = hash
	}
	row, err := n.row(time.Now())
	if err != nil {
		return provider.User{}, fmt.Errorf("storage: add user: %w", err)
	}
	err = u.d.Atomically(ctx, func(ctx context.Context) error {
		if err := settled(u.d.write(ctx).Create(&row), ErrTaken); err != nil {
			return err
		}
		return u.record(ctx, row.Subject, "add")
	})
	if err != nil {
		return provider.User{}, fmt.Errorf("storage: add user: %w", err)
	}
	return row.user(), nil
}

// SetPassword gives the user a new password and ends everything that is open:
// sessions, half-finished sign-ins, refresh tokens. The second factor stays. It
// returns a *password.Refusal if the password is a bad one.
func (u *Users) SetPassword(ctx context.Context, subject, pw string) error {
	who, err := u.User(ctx, subject)
	if err != nil {
		return err
	}
	hash, err := u.newHash(ctx, pw, who.Username, who.Claims)
	if err != nil {
		return fmt.Errorf("storage: set password: %w", err)
	}
	return u.end(ctx, subject, "set-password", map[string]any{"hash": hash})
}

// Disable keeps the user out, at once, and ends everything that is open.
func (u *Users) Disable(ctx context.Context, subject string) error {
	return u.end(ctx, subject, "disable", map[string]any{"disabled": true})
}

// EndEverything ends what the user has open: sessions, half-finished sign-ins,
// refresh tokens. They can sign in again.
func (u *Users) EndEverything(ctx context.Context, subject string) error {
	return u.end(ctx, subject, "end-everything", map[string]any{})
}

// Enable lets the user in again. What was ended stays so.
func (u *Users) Enable(ctx context.Context, subject string) error {
	return u.change(ctx, subject, "enable", map[string]any{"disabled": false})
}

// UpdateClaims puts c in place of the user's claims.
func (u *Users) UpdateClaims(ctx context.Context, subject string, c provider.Claims) error {
	if err := checkClaims(c); err != nil {
		return fmt.Errorf("storage: update user: %w", err)
	}
	return u.change(ctx, subject, "update", map[string]any{
		"claims":  document[provider.Claims]{c},
		"updated": stamp(time.Now()),
	})
}

// end is change, with a new epoch.
func (u *Users) end(ctx context.Context, subject, act string, set map[string]any) error {
	set["epoch"] = gorm.Expr("epoch + 1")
	return u.d.Atomically(ctx, func(ctx context.Context) error {
		if err := u.change(ctx, subject, act, set); err != nil {
			return err
		}
		return u.d.EndSessions(ctx, subject)
	})
}

// change sets columns of the user's row and records it as act.
func (u *Users) change(ctx context.Context, subject, act string, set map[string]any) error {
	err := u.d.Atomically(ctx, func(ctx context.Context) error {
		if !text(subject) {
			return provider.ErrNoUser
		}
		g := u.d.write(ctx).Model(&userRow{}).Where("subject = ?", subject).Updates(set)
		if err := settled(g, provider.ErrNoUser); err != nil {
			return err
		}
		return u.record(ctx, subject, act)
	})
	if err != nil {
		return fmt.Errorf("storage: %s user: %w", act, err)
	}
	return nil
}

// record writes an administrator's act to the audit trail.
func (u *Users) record(ctx context.Context, subject, act string) error {
	return u.d.Record(ctx, provider.Event{
		Time:    time.Now(),
		Kind:    provider.EventUser,
		Outcome: provider.Success,
		Subject: subject,
		Actor:   "admin",
		Detail:  map[string]string{"act": act},
	})
}
