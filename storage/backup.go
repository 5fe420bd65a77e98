package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/sallyport-id/sallyport/mfa"
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
	defer removeAll(part)
	if err := place(part, path); err != nil {
		return fmt.Errorf("storage: back up: %w", err)
	}
	return nil
}

// place puts the file part, which is whole, at path, where there is none.
func place(part, path string) error {
	if err := flush(part); err != nil {
		return err
	}
	// A link, since a rename would replace what came there meanwhile. Not every
	// file system has them.
	err := os.Link(part, path)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		if err = vacant(path); err == nil {
			err = os.Rename(part, path)
		}
	}
	if err != nil {
		return err
	}
	if err := flush(filepath.Dir(path)); err != nil {
		return errors.Join(err, os.Remove(path)) // it might not outlast a power cut
	}
	return nil
}

// removeAll removes a file of SQLite, if it is there, and what may stand beside it.
func removeAll(path string) error {
	var errs []error
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
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
			err = errors.Join(err, removeAll(path))
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
// a disk on which nothing can be written. What stands beside it yet is written into
// it, or there is an error.
func oneFile(ctx context.Context, path string) error {
	return inFile(path, func(d *DB) error {
		var mode string
		if err := d.reader.WithContext(ctx).Raw("PRAGMA journal_mode").Row().Scan(&mode); err != nil {
			return onSQLite.passes(err)
		}
		if mode != "delete" {
			return fmt.Errorf("%s cannot be read alone: its journal is %s", path, mode)
		}
		return nil
	}, "journal_mode(delete)")
}

// ErrDamaged says that a file is no database of SQLite, or not whole.
var ErrDamaged = errors.New("storage: no database of SQLite, or damaged")

// sound returns an error, which may be ErrDamaged, unless the file is a whole
// database with our schema in it, of whatever version.
func sound(ctx context.Context, path string) error {
	// SQLite does not say why it cannot open one.
	if info, err := os.Stat(path); err != nil {
		return err
	} else if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return inFile(path, func(d *DB) error {
		var said string
		if err := d.reader.WithContext(ctx).Raw("PRAGMA integrity_check(1)").Row().Scan(&said); sqlite.Damaged(err) {
			return fmt.Errorf("%s: %w: %w", path, ErrDamaged, err)
		} else if err != nil {
			return fmt.Errorf("%s cannot be read: %w", path, err)
		}
		if said != "ok" {
			return fmt.Errorf("%s: %w: %s", path, ErrDamaged, said)
		}
		made, err := d.applied(ctx)
		if err != nil {
			return err
		}
		if len(made) == 0 {
			return fmt.Errorf("%s is no database of Sallyport", path)
		}
		return nil
	}, "query_only(1)")
}

// inFile calls fn with the database in a file, and with what is to be set.
func inFile(path string, fn func(*DB) error, pragmas ...string) (err error) {
	d, err := openFile(path, pragmas...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return fn(d)
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

// A Restored is a copy of a backup, on its way into the place of a database.
type Restored struct {
	db   *DB // nil: it is discarded
	path string
}

// Copy makes a private copy of a file that Backup wrote, beside the database
// at path, where nobody else has it open, and brings its schema up to date. Call
// Opens and Replace, and in any case Discard. The error is ErrSchema for a file of
// a newer program.
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
	if err := paged(ctx, r.path, path); err != nil {
		return nil, fmt.Errorf("storage: restore: %w", err)
	}
	r.db, err = Open(ctx, Config{DSN: "sqlite:" + r.path, Migrate: true})
	return r, err
}

// paged gives the copy at part, which has no log, the pages of the database at
// path: with pages of another size it cannot be written over that.
func paged(ctx context.Context, part, path string) error {
	size := func(path string) (n int, err error) {
		err = inFile(path, func(d *DB) error {
			return d.reader.WithContext(ctx).Raw("PRAGMA page_size").Row().Scan(&n)
		}, "query_only(1)")
		return n, err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	want, err := size(path)
	if err != nil {
		return nil // Replace says what is the matter with it
	}
	if have, err := size(part); err != nil || have == want {
		return err
	}
	return inFile(part, func(d *DB) error {
		return d.reader.WithContext(ctx).Exec("VACUUM").Error
	}, fmt.Sprintf("page_size(%d)", want))
}

// Opens returns an error, which wraps mfa.ErrNoKey or mfa.ErrUnsealable, unless
// sealer opens the signing keys and the second factors.
func (r *Restored) Opens(ctx context.Context, sealer *mfa.Sealer) error {
	if _, err := r.db.Keys(sealer, KeysConfig{}).Published(ctx); err != nil {
		return err
	}
	rows, err := r.db.read(ctx).Raw("SELECT subject, secret FROM mfa_accounts WHERE secret <> ''").Rows()
	if err != nil {
		return fmt.Errorf("storage: restore: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var a mfa.Account
		if err := rows.Scan(&a.Subject, &a.Secret); err != nil {
			return fmt.Errorf("storage: restore: %w", err)
		}
		if err := a.Opens(sealer); err != nil {
			return fmt.Errorf("storage: the second factor of %s: %w", a.Subject, err)
		}
	}
	return rows.Err()
}

// Replace bumps the epoch of r, so that nothing in it that could be used up or
// taken back is good any more, and puts it in the place of the database at path,
// all of it or nothing. An error means that nothing was replaced.
//
// Servers may have the database open. While this goes on none of them can write,
// so that what they took before is older than the epoch; then they see what is new
// with their next statement. What they learned at their start they know for as
// long as they run: start them again.
//
// If the epoch of either is in the future it returns ErrEpochAhead, unless the
// clock is to be trusted, as for BumpEpoch.
func (r *Restored) Replace(ctx context.Context, path string, trust bool) (v Voided, err error) {
	put := r.overwrite
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		put = r.found
	}
	v, err = put(ctx, path, trust)
	if sqlite.Damaged(err) {
		err = fmt.Errorf("%s: %w: %w", path, ErrDamaged, err)
	}
	if err != nil {
		return Voided{}, fmt.Errorf("storage: restore: %w", err)
	}
	return v, nil
}

// found puts r where there is no database.
func (r *Restored) found(ctx context.Context, path string, trust bool) (v Voided, err error) {
	if err := vacant(path); err != nil {
		return v, err
	}
	if v, err = r.db.BumpEpoch(ctx, trust); err != nil {
		return v, err
	}
	if err := r.db.Close(); err != nil {
		return v, err
	}
	r.db = nil
	// With the last connection the log should be written into the file, but who
	// closes one is not told if the disk is full.
	if err := oneFile(ctx, r.path); err != nil {
		return v, err
	}
	return v, place(r.path, path)
}

// vacant returns an error, which may be fs.ErrExist, unless there is nothing at
// path, not even what a database has left beside it: SQLite would take that for
// the new one's.
func vacant(path string) error {
	for _, suffix := range []string{"", "-wal", "-journal"} {
		if _, err := os.Lstat(path + suffix); err == nil {
			return fmt.Errorf("%s: %w", path+suffix, fs.ErrExist)
		}
	}
	return nil
}

// overwrite puts r over a database, whoever has it open.
func (r *Restored) overwrite(ctx context.Context, path string, trust bool) (v Voided, err error) {
	d, err := Open(ctx, Config{DSN: "sqlite:" + path, AnySchema: true})
	if err != nil {
		return v, err
	}
	defer d.Close() // what it has written is written
	pool, err := d.pool()
	if err != nil {
		return v, err
	}
	made, err := d.applied(ctx)
	if err != nil {
		return v, onSQLite.passes(err)
	}
	var least micros
	if _, knows := made[14]; knows && !trust { // the step that makes its table
		if least, err = d.epoch(ctx, time.Now()); err != nil {
			return v, onSQLite.passes(err)
		}
	}
	err = sqlite.Overwrite(ctx, pool, r.path, func() (err error) {
		if v, err = r.db.BumpEpoch(ctx, trust); err != nil {
			return err
		}
		// Clocks may differ a little; back it does not go for that.
		return r.db.write(ctx).Exec("UPDATE epoch SET bumped = ? WHERE bumped < ?", least, least).Error
	})
	return v, onSQLite.passes(err)
}

// Discard removes the copy. It is safe to call again.
func (r *Restored) Discard() error {
	var err error
	if r.db != nil {
		err = r.db.Close()
		r.db = nil
	}
	return errors.Join(err, removeAll(r.path))
}
