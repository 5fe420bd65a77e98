package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sallyport-id/sallyport/storage/internal/sqlite"
)

// ErrNotSQLite says that something is done to files of SQLite alone.
var ErrNotSQLite = errors.New("storage: the database is not SQLite")

// Backup writes a copy of the database, as it is at one moment, to a new file,
// while it is in use; nobody waits for it. The file is private, and there only
// when it is whole and on the disk. It returns an error that is fs.ErrExist if
// there is a file already, and ErrNotSQLite for PostgreSQL, which has its own
// ways.
func (d *DB) Backup(ctx context.Context, path string) error {
	if d.engine != onSQLite {
		return ErrNotSQLite
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("storage: back up: %w", &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist})
	}
	part, err := copyTo(ctx, d, filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("storage: back up: %w", err)
	}
	defer os.Remove(part)
	if err := flush(part); err != nil {
		return fmt.Errorf("storage: back up: %w", err)
	}
	// A link, since a rename would replace what came there meanwhile. Not every
	// file system has them.
	if err := os.Link(part, path); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("storage: back up: %w", err)
	} else if err != nil {
		if err := os.Rename(part, path); err != nil {
			return fmt.Errorf("storage: back up: %w", err)
		}
	}
	return flush(filepath.Dir(path))
}

// copyTo writes a copy of d to a private file in dir, looks whether it is sound,
// and returns its name.
func copyTo(ctx context.Context, d *DB, dir string) (_ string, err error) {
	f, err := os.CreateTemp(dir, ".idp-*.part") // with mode 0600
	if err != nil {
		return "", err
	}
	path := f.Name()
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	if err := f.Close(); err != nil {
		return "", err
	}
	pool, err := d.reader.DB()
	if err != nil {
		return "", err
	}
	if err := sqlite.CopyTo(ctx, pool, path); err != nil {
		return "", onSQLite.passes(err)
	}
	if err := oneFile(ctx, path); err != nil {
		return "", err
	}
	return path, sound(ctx, path)
}

// oneFile makes of a copy a database that is read without writing beside it, from
// a disk on which nothing can be written.
func oneFile(ctx context.Context, path string) (err error) {
	d, err := openFile(path, "journal_mode(delete)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	var mode string
	if err := d.reader.WithContext(ctx).Raw("PRAGMA journal_mode").Row().Scan(&mode); err != nil {
		return onSQLite.passes(err)
	}
	if mode != "delete" {
		return fmt.Errorf("%s cannot be read alone: its journal is %s", path, mode)
	}
	return nil
}

// sound returns an error unless the file is a whole database with our schema in it, of
// whatever version.
func sound(ctx context.Context, path string) (err error) {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	d, err := openFile(path, "query_only(1)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	var said string
	if err := d.reader.WithContext(ctx).Raw("PRAGMA integrity_check(1)").Row().Scan(&said); err != nil {
		return fmt.Errorf("%s is no database of SQLite, or damaged: %w", path, err)
	}
	if said != "ok" {
		return fmt.Errorf("%s is damaged: %s", path, said)
	}
	made, err := d.applied(ctx)
	if err != nil {
		return err
	}
	if len(made) == 0 {
		return fmt.Errorf("%s is no database of Sallyport", path)
	}
	return nil
}

// openFile opens a file, with what is to be set.
func openFile(path string, pragmas ...string) (*DB, error) {
	path, err := filepath.Abs(path) // a URI has no relative ones
	if err != nil {
		return nil, err
	}
	d := &DB{engine: onSQLite}
	d.reader, err = d.gormOver(dialSQLite(path, nil, pragmas...))
	d.writer = d.reader
	return d, err
}

// flush waits until what is at path is on the disk.
func flush(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// A Restored is what Restore will put in the place of a database.
type Restored struct {
	*DB
	Voided Voided

	path string // of its file
}

// Copy makes a private copy of a file that Backup wrote, beside the database
// at path, where nobody else has it open; brings its schema up to date, and bumps
// its epoch: nothing in it that could be used up or taken back is good any more.
// Look at it as you like, call Replace, and then Discard. The error is ErrSchema
// for a file of a newer program.
func Copy(ctx context.Context, from, path string) (_ *Restored, err error) {
	if err := sound(ctx, from); err != nil {
		return nil, fmt.Errorf("storage: restore: %w", err)
	}
	source, err := openFile(from, "query_only(1)")
	if err != nil {
		return nil, fmt.Errorf("storage: restore: %w", err)
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("storage: restore: %w", err)
	}
	r := &Restored{}
	if r.path, err = copyTo(ctx, source, filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("storage: restore: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Discard())
		}
	}()
	if r.DB, err = Open(ctx, Config{DSN: "sqlite:" + r.path, Migrate: true}); err != nil {
		return nil, err
	}
	r.Voided, err = r.BumpEpoch(ctx)
	return r, err
}

// Replace puts r in the place of the database at path, all of it or nothing. It
// is safe while servers have that open; they see it with their next statement,
// but know for as long as they run what they learn at their start: start them
// again. What they take between Copy and Replace is not void: stop them before
// Copy where that matters. What is in the place of the database and is none, or damaged, it
// leaves alone with an error.
func (r *Restored) Replace(ctx context.Context, path string) (err error) {
	// With the last connection the log is written into the file, which is all of it
	// then.
	if err := r.DB.Close(); err != nil {
		return fmt.Errorf("storage: restore: %w", err)
	}
	r.DB = nil
	d, err := Open(ctx, Config{DSN: "sqlite:" + path, AnySchema: true})
	if err != nil {
		return fmt.Errorf("storage: restore: %w", err)
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	pool, err := d.pool()
	if err != nil {
		return fmt.Errorf("storage: restore: %w", err)
	}
	if err := sqlite.Overwrite(ctx, pool, r.path); err != nil {
		return fmt.Errorf("storage: restore: %w", onSQLite.passes(err))
	}
	return nil
}

// Discard removes the copy. It is safe to call again.
func (r *Restored) Discard() error {
	var errs []error
	if r.DB != nil {
		errs = append(errs, r.DB.Close())
		r.DB = nil
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(r.path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
