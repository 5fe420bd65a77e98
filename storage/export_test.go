package storage

import (
	"context"
	"database/sql"
	"time"

	"gorm.io/gorm"
)

// Tests see the tables as they are.

func (d *DB) Read(ctx context.Context) *gorm.DB  { return d.read(ctx) }
func (d *DB) Write(ctx context.Context) *gorm.DB { return d.write(ctx) }

// Down undoes every migration.
func (d *DB) Down(ctx context.Context) error { return d.DownTo(ctx, 0) }

// DownTo undoes every migration after version.
func (d *DB) DownTo(ctx context.Context, version int64) error {
	p, err := d.goose()
	if err != nil {
		return err
	}
	_, err = p.DownTo(ctx, version)
	return err
}

// ReadOne reads the text that statement answers with on PostgreSQL, as a row is read
// outside of transactions. Without a statement it panics on the way.
func ReadOne(ctx context.Context, d *DB, statement string) error {
	return d.reader.ConnPool.(again).onOne(ctx, func(ctx context.Context, c *sql.Conn) error {
		if statement == "" {
			panic("there is nothing to read")
		}
		var answer string
		return first(ctx, c, statement, nil, []any{&answer})
	})
}

// InUse is how many connections are.
func InUse(d *DB) int {
	pool, err := d.pool()
	if err != nil {
		panic(err)
	}
	return pool.Stats().InUse
}

// Retries is how often a transaction is begun again.
const Retries = retries

// Rows are one of each row.
func Rows() []any {
	return []any{
		&clientRow{}, &flowRow{}, &pushedRow{}, &sessionRow{}, &consentRow{}, &grantRow{}, &eventRow{},
		&accountRow{}, &recoveryRow{}, &missesRow{}, &userRow{}, &keyRow{}, &subjectKeyRow{},
		&sessionClientRow{}, &logoutRow{}, &rateRow{}, &assertionRow{}, &epochRow{},
	}
}

// Rows of tables that the package names in its statements alone.
type (
	assertionRow struct {
		Key     []byte `gorm:"primaryKey"`
		Expires micros
	}
	epochRow struct {
		ID     int
		Bumped micros
	}
)

func (assertionRow) TableName() string { return "assertions" }
func (epochRow) TableName() string     { return "epoch" }

// Keep is how long events are kept.
func Keep(d *DB) time.Duration { return d.keep }

// SweepStatements are what Sweep executes.
func SweepStatements(d *DB) (all []string) {
	for _, e := range expiries {
		all = append(all, e.statement(d.engine))
	}
	return all
}

// AddLogout stores a Logout that expires at expires.
func AddLogout(ctx context.Context, d *DB, id string, expires time.Time) error {
	return d.write(ctx).Create(&logoutRow{ID: id, ClientID: "app", Subject: "anna", SessionID: id, Expires: stamp(expires)}).Error
}

// Passes is what passes makes of an error of PostgreSQL.
func Passes(err error) error { return onPostgres.passes(err) }
