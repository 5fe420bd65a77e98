package storage

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// ErrSchema says that the database is not of this version of the program.
var ErrSchema = errors.New("storage: the schema does not fit")

//go:embed migrations/sqlite/*.sql migrations/postgres/*.sql
var migrations embed.FS

// A Migration is one step of the schema.
type Migration struct {
	Version int64
	Name    string    // of its file
	Applied time.Time // zero: not yet
}

// goose returns what knows the steps and applies them. On PostgreSQL it holds
// a lock meanwhile, so that of several servers that start at once one migrates
// and the others wait.
func (d *DB) goose() (*goose.Provider, error) {
	dialect, dir := goose.DialectSQLite3, "migrations/sqlite"
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true), goose.WithSlog(slog.New(slog.DiscardHandler))}
	if d.engine == onPostgres {
		dialect, dir = goose.DialectPostgres, "migrations/postgres"
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300)) // asks each second, for five minutes
		if err != nil {
			return nil, err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	files, err := fs.Sub(migrations, dir)
	if err != nil {
		return nil, err
	}
	pool, err := d.pool()
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(dialect, pool, files, options...)
}

// Migrate brings the schema up to date. It changes nothing if it is, and
// returns ErrSchema if a newer program has migrated the database.
func (d *DB) Migrate(ctx context.Context) error {
	p, err := d.goose()
	if err != nil {
		return fmt.Errorf("storage: migrate: %w", err)
	}
	for {
		before, err := d.applied(ctx)
		if err != nil {
			return fmt.Errorf("storage: migrate: %w", err)
		}
		if err := d.checkSchema(ctx); err == nil || errors.Is(err, ErrNewer) {
			return err
		}
		steps, failed := p.Up(ctx)
		for _, s := range steps {
			d.log.InfoContext(ctx, "database migrated", "step", s.Source.Path, "duration", s.Duration)
		}
		after, err := d.applied(ctx)
		if err != nil {
			return fmt.Errorf("storage: migrate: %w", err)
		}
		// SQLite has no lock that goose could hold: there a step that another
		// process has just made fails, and this one goes on from there.
		if len(after) == len(before) {
			return fmt.Errorf("storage: migrate: %w", cmp.Or(failed, ErrSchema))
		}
	}
}

// MigrationStatus returns every step of the schema that this program knows, in
// order. It changes nothing.
func (d *DB) MigrationStatus(ctx context.Context) ([]Migration, error) {
	p, err := d.goose()
	if err != nil {
		return nil, fmt.Errorf("storage: migrations: %w", err)
	}
	applied, err := d.applied(ctx)
	if err != nil {
		return nil, fmt.Errorf("storage: migrations: %w", err)
	}
	var all []Migration
	for _, s := range p.ListSources() {
		all = append(all, Migration{s.Version, s.Path, applied[s.Version]})
	}
	return all, nil
}

// ErrNewer is the ErrSchema that Migrate cannot mend.
var ErrNewer = fmt.Errorf("%w: a newer version of Sallyport has migrated this database; run that version, or restore a backup from before", ErrSchema)

// checkSchema returns ErrSchema unless exactly the known steps were applied.
func (d *DB) checkSchema(ctx context.Context) error {
	p, err := d.goose()
	if err != nil {
		return fmt.Errorf("storage: schema: %w", err)
	}
	applied, err := d.applied(ctx)
	if err != nil {
		return fmt.Errorf("storage: schema: %w", err)
	}
	var known []int64
	for _, s := range p.ListSources() {
		known = append(known, s.Version)
	}
	for v := range applied {
		if !slices.Contains(known, v) {
			return ErrNewer
		}
	}
	for i, v := range known {
		if _, ok := applied[v]; !ok {
			return fmt.Errorf("%w: of its %d steps, %d has not been made; run \"idp migrate up\" first",
				ErrSchema, len(known), i+1)
		}
	}
	return nil
}

// applied returns the steps that were made, and when. It only reads, unlike
// goose, which makes its table when asked.
func (d *DB) applied(ctx context.Context) (map[int64]time.Time, error) {
	query := "SELECT count(*) FROM sqlite_master WHERE name = ?"
	if d.engine == onPostgres {
		query = "SELECT count(*) FROM pg_class WHERE oid = to_regclass(?)"
	}
	var tables int
	err := d.read(ctx).Raw(query, goose.DefaultTablename).Scan(&tables).Error
	if err != nil || tables == 0 {
		return nil, err
	}
	var rows []struct {
		VersionID int64
		Tstamp    time.Time
	}
	// Version 0 is a row that goose makes for itself.
	err = d.read(ctx).Table(goose.DefaultTablename).Where("is_applied AND version_id > 0").Find(&rows).Error
	if err != nil {
		return nil, err
	}
	made := map[int64]time.Time{}
	for _, r := range rows {
		made[r.VersionID] = r.Tstamp.UTC()
	}
	return made, nil
}
