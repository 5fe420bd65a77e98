package storage

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
)

type accountRow struct {
	Subject          string `gorm:"primaryKey"`
	Version          int64
	Epoch            int64
	Secret           string
	Algorithm        string
	Digits           int
	Period           int
	LastStep         int64
	Hinted           int64
	Enrolled         micros
	Had              bool
	Pending          string
	PendingAlgorithm string
	PendingDigits    int
	PendingPeriod    int
	PendingBinding   string
	PendingName      string
	PendingExpires   micros
	Unsaved          string
	UnsavedBinding   string
	UnsavedExpires   micros
	Ticket           []byte
	TicketExpires    micros
	Misses           document[[]micros]
	MissesRun        int
	MissesSince      micros
	Stolen           bool
}

// TableName tells gorm the table.
func (accountRow) TableName() string { return "mfa_accounts" }

func newAccountRow(a mfa.Account, version int64) *accountRow {
	return &accountRow{
		Subject:          a.Subject,
		Version:          version,
		Epoch:            a.Epoch,
		Secret:           string(a.Secret),
		Algorithm:        a.Params.Algorithm,
		Digits:           a.Params.Digits,
		Period:           a.Params.Period,
		LastStep:         a.LastStep,
		Hinted:           a.Hinted,
		Enrolled:         stamp(a.Enrolled),
		Had:              a.Had,
		Pending:          string(a.Pending),
		PendingAlgorithm: a.PendingParams.Algorithm,
		PendingDigits:    a.PendingParams.Digits,
		PendingPeriod:    a.PendingParams.Period,
		PendingBinding:   a.PendingBinding,
		PendingName:      clean(a.PendingName),
		PendingExpires:   stamp(a.PendingExpires),
		Unsaved:          string(a.Unsaved),
		UnsavedBinding:   a.UnsavedBinding,
		UnsavedExpires:   stamp(a.UnsavedExpires),
		Ticket:           append([]byte{}, a.Ticket...), // nil would be NULL
		TicketExpires:    stamp(a.TicketExpires),
		Misses:           document[[]micros]{stamps(a.Misses.Times)},
		MissesRun:        a.Misses.Run,
		MissesSince:      stamp(a.Misses.Since),
		Stolen:           a.Stolen,
	}
}

func (r accountRow) account() mfa.Account {
	a := mfa.Account{
		Subject:        r.Subject,
		Version:        r.Version,
		Epoch:          r.Epoch,
		Secret:         mfa.Sealed(r.Secret),
		Params:         mfa.Params{Algorithm: r.Algorithm, Digits: r.Digits, Period: r.Period},
		LastStep:       r.LastStep,
		Hinted:         r.Hinted,
		Enrolled:       r.Enrolled.time(),
		Had:            r.Had,
		Pending:        mfa.Sealed(r.Pending),
		PendingParams:  mfa.Params{Algorithm: r.PendingAlgorithm, Digits: r.PendingDigits, Period: r.PendingPeriod},
		PendingBinding: r.PendingBinding,
		PendingName:    r.PendingName,
		PendingExpires: r.PendingExpires.time(),
		Unsaved:        mfa.Sealed(r.Unsaved),
		UnsavedBinding: r.UnsavedBinding,
		UnsavedExpires: r.UnsavedExpires.time(),
		TicketExpires:  r.TicketExpires.time(),
		Misses:         mfa.Misses{Times: times(r.Misses.is), Run: r.MissesRun, Since: r.MissesSince.time()},
		Stolen:         r.Stolen,
	}
	if len(r.Ticket) > 0 {
		a.Ticket = r.Ticket
	}
	return a
}

// A countedRow is an account with how many of its recovery codes are not used.
type countedRow struct {
	Account      accountRow `gorm:"embedded"`
	RecoveryLeft int        `gorm:"->"`
}

// TableName tells gorm the table.
func (countedRow) TableName() string { return "mfa_accounts" }

func (countedRow) computed() (expressions []string, join string) {
	return []string{"(SELECT count(*) FROM mfa_recovery_codes WHERE mfa_recovery_codes.subject = mfa_accounts.subject AND used = 0)"}, ""
}

func stamps(ts []time.Time) (ms []micros) {
	for _, t := range ts {
		ms = append(ms, stamp(t))
	}
	return ms
}

func times(ms []micros) (ts []time.Time) {
	for _, m := range ms {
		ts = append(ts, m.time())
	}
	return ts
}

// locked reads the row R at where, and keeps it from everyone else until the
// transaction ends. Where there is none it makes the empty one first, so that
// two who come for the first time wait for each other too. Outside of a
// transaction it only reads; SQLite, where a transaction is alone, also.
// It returns provider.ErrNotFound if there is no row.
func locked[R any](ctx context.Context, d *DB, empty any, where string, args ...any) (R, error) {
	if d.joined(ctx) == nil || d.engine == onSQLite {
		return take[R](ctx, d, where, args...)
	}
	for range 5 {
		row, err := hold[R](ctx, d, where, args...)
		if !errors.Is(err, provider.ErrNotFound) {
			return row, err
		}
		// If someone else makes it at this moment, this waits for them.
		err = d.write(ctx).Clauses(clause.OnConflict{DoNothing: true}).Create(empty).Error
		if err != nil {
			return row, err
		}
	}
	var none R
	return none, errors.New("storage: the row is swept as fast as it is made")
}

// Account returns what is kept of subject's factors; with Version 0 and nothing
// else if there is nothing. In a transaction it is locked.
func (d *DB) Account(ctx context.Context, subject string) (mfa.Account, error) {
	row, err := prefetchedOr(ctx, d, subject, "", func() (countedRow, error) {
		empty := newAccountRow(mfa.Account{Subject: subject}, 0)
		return locked[countedRow](ctx, d, empty, "subject = ?", subject)
	})
	if errors.Is(err, provider.ErrNotFound) {
		return mfa.Account{Subject: subject}, nil
	}
	if err != nil {
		return mfa.Account{}, fmt.Errorf("storage: factors: %w", err)
	}
	a := row.Account.account()
	a.RecoveryLeft = row.RecoveryLeft
	return a, nil
}

// SaveAccount stores a as version a.Version+1 if the stored version is still
// a.Version, and returns mfa.ErrConflict otherwise.
func (d *DB) SaveAccount(ctx context.Context, a mfa.Account) error {
	row := newAccountRow(a, a.Version+1)
	q := d.write(ctx)
	if a.Version == 0 {
		q = q.Clauses(clause.OnConflict{
			Columns:   []clause.Column{{Name: "subject"}},
			UpdateAll: true,
			Where:     clause.Where{Exprs: []clause.Expression{gorm.Expr("mfa_accounts.version = 0")}},
		}).Create(row)
	} else {
		q = q.Model(&accountRow{}).Where("subject = ? AND version = ?", a.Subject, a.Version).
			Select("*").Omit("subject").Updates(row)
	}
	if err := settled(q, mfa.ErrConflict); err != nil {
		return fmt.Errorf("storage: save factors: %w", err)
	}
	return nil
}

type recoveryRow struct {
	Subject  string `gorm:"primaryKey"`
	Selector string `gorm:"primaryKey"`
	Hash     string
	Used     micros
}

// TableName tells gorm the table.
func (recoveryRow) TableName() string { return "mfa_recovery_codes" }

// ReplaceRecoveryCodes stores codes in place of all that subject had.
func (d *DB) ReplaceRecoveryCodes(ctx context.Context, subject string, codes []mfa.RecoveryCode) error {
	var rows []recoveryRow
	for _, c := range codes {
		rows = append(rows, recoveryRow{subject, c.Selector, c.Hash, stamp(c.Used)})
	}
	err := d.Atomically(ctx, func(ctx context.Context) error {
		// Of two that replace at once, one set must remain, not both.
		if _, err := d.Account(ctx, subject); err != nil {
			return err
		}
		err := d.write(ctx).Where("subject = ?", subject).Delete(&recoveryRow{}).Error
		if err != nil || len(rows) == 0 {
			return err
		}
		return d.write(ctx).Create(&rows).Error
	})
	if err != nil {
		return fmt.Errorf("storage: replace recovery codes: %w", err)
	}
	return nil
}

// RecoveryCode returns subject's code with this selector, used or not; the zero
// RecoveryCode if there is none.
func (d *DB) RecoveryCode(ctx context.Context, subject, selector string) (mfa.RecoveryCode, error) {
	if !text(selector) {
		return mfa.RecoveryCode{}, nil
	}
	row, err := take[recoveryRow](ctx, d, "subject = ? AND selector = ?", subject, selector)
	if errors.Is(err, provider.ErrNotFound) {
		return mfa.RecoveryCode{}, nil
	}
	if err != nil {
		return mfa.RecoveryCode{}, fmt.Errorf("storage: recovery code: %w", err)
	}
	return mfa.RecoveryCode{Selector: row.Selector, Hash: row.Hash, Used: row.Used.time()}, nil
}

// UseRecoveryCode marks the code as used. Of any number of calls one succeeds,
// the others get mfa.ErrSpent.
func (d *DB) UseRecoveryCode(ctx context.Context, subject, selector string, now time.Time) error {
	if !text(selector) {
		return mfa.ErrSpent
	}
	err := settled(d.write(ctx).Model(&recoveryRow{}).
		Where("subject = ? AND selector = ? AND used = 0", subject, selector).
		Update("used", mark(now)), mfa.ErrSpent)
	if err != nil {
		return fmt.Errorf("storage: use recovery code: %w", err)
	}
	return nil
}

// missesRow holds no key but its hash: a key comes of what someone typed as
// their name, and people type their password there.
type missesRow struct {
	Key     []byte `gorm:"primaryKey"`
	Times   document[[]micros]
	Run     int
	Since   micros
	Expires micros
}

// TableName tells gorm the table.
func (missesRow) TableName() string { return "mfa_misses" }

// Misses returns the wrong attempts kept under key, the zero Misses if there
// are none. In a transaction they are locked.
func (d *DB) Misses(ctx context.Context, key string) (mfa.Misses, error) {
	hash := sha256.Sum256([]byte(key))
	row, err := d.misses(ctx, hash[:])
	if errors.Is(err, provider.ErrNotFound) {
		return mfa.Misses{}, nil
	}
	if err != nil {
		return mfa.Misses{}, fmt.Errorf("storage: misses: %w", err)
	}
	return mfa.Misses{Times: times(row.Times.is), Run: row.Run, Since: row.Since.time()}, nil
}

// misses reads the row, and in a transaction of PostgreSQL locks it. Most keys
// have none, so that it is made at once: whoever has the same key waits.
func (d *DB) misses(ctx context.Context, key []byte) (missesRow, error) {
	if d.joined(ctx) == nil || d.engine == onSQLite {
		return take[missesRow](ctx, d, "key = ?", key)
	}
	s, err := selectionOf[missesRow]()
	if err != nil {
		return missesRow{}, err
	}
	columns := strings.ReplaceAll(strings.Join(s.columns, ", "), "mfa_misses.", "")
	return run[missesRow](d.write(ctx), d.engine, s, "INSERT INTO mfa_misses ("+columns+") VALUES ($1, 'null', 0, 0, 0) "+
		"ON CONFLICT (key) DO UPDATE SET key = excluded.key RETURNING "+strings.Join(s.columns, ", "), []any{key})
}

// SaveMisses stores m under key until expires.
func (d *DB) SaveMisses(ctx context.Context, key string, m mfa.Misses, expires time.Time) error {
	hash := sha256.Sum256([]byte(key))
	err := d.write(ctx).Clauses(clause.OnConflict{
		Columns:   []clause.Column{{Name: "key"}},
		UpdateAll: true,
	}).Create(&missesRow{hash[:], document[[]micros]{stamps(m.Times)}, m.Run, stamp(m.Since), stamp(expires)}).Error
	if err != nil {
		return fmt.Errorf("storage: save misses: %w", err)
	}
	return nil
}
