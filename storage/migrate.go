package storage

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
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
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true), goose.WithSlog(d.log), goose.WithVerbose(true)}
	if d.engine == onPostgres {
		dialect, dir = goose.DialectPostgres, "migrations/postgres"
		locker, err := lock.NewPostgresSessionLocker()
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
	if err := d.checkSchema(ctx); err == nil || errors.Is(err, errNewer) {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		// SQLite has no lock that goose could hold: another process may have
		// done it in the meantime.
		if d.checkSchema(ctx) == nil {
			return nil
		}
		return fmt.Errorf("storage: migrate: %w", err)
	}
	return nil
}

// MigrationStatus returns every step of the schema that this program knows, in
// order.
func (d *DB) MigrationStatus(ctx context.Context) ([]Migration, error) {
	p, err := d.goose()
	if err != nil {
		return nil, fmt.Errorf("storage: migrations: %w", err)
	}
	steps, err := p.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("storage: migrations: %w", err)
	}
	var all []Migration
	for _, s := range steps {
		all = append(all, Migration{s.Source.Version, s.Source.Path, s.AppliedAt.UTC()})
	}
	return all, nil
}

// errNewer is the ErrSchema that Migrate cannot mend.
var errNewer = fmt.Errorf("%w: a newer version of Sallyport has migrated this database; run that version, or restore a backup from before", ErrSchema)

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
	known := []int64{0} // goose's own row
	for _, s := range p.ListSources() {
		known = append(known, s.Version)
	}
	for _, v := range applied {
		if !slices.Contains(known, v) {
			return errNewer
		}
	}
	for _, v := range known[1:] {
		if !slices.Contains(applied, v) {
			return fmt.Errorf("%w: it is at version %d of %d; run \"idp migrate up\" first",
				ErrSchema, slices.Max(append(applied, 0)), slices.Max(known))
		}
	}
	return nil
}

// applied returns the versions that were applied. It only reads, unlike goose,
// which makes its table when asked.
func (d *DB) applied(ctx context.Context) (versions []int64, err error) {
	const onSQLiteQuery = "SELECT count(*) FROM sqlite_master WHERE name = ?"
	const onPostgresQuery = "SELECT count(*) FROM pg_class WHERE oid = to_regclass(?)"
	query := onSQLiteQuery
	if d.engine == onPostgres {
		query = onPostgresQuery
	}
	var n int
	if err := d.read(ctx).Raw(query, goose.DefaultTablename).Scan(&n).Error; err != nil || n == 0 {
		return nil, err
	}
	err = d.read(ctx).Raw("SELECT version_id FROM " + goose.DefaultTablename + " WHERE is_applied").Scan(&versions).Error
	return versions, err
}
