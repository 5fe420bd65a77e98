package storage_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
)

func TestABackupIsOnePrivateFileAndReplacesNone(t *testing.T) {
	each(t, func(t *testing.T, d *storage.DB) {
		path := filepath.Join(t.TempDir(), "100% of it?.db")
		err := d.Backup(t.Context(), path)
		if errors.Is(err, storage.ErrNotSQLite) {
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it wrote something: %v", err)
			}
			return
		}
		must(t, err)
		files, err := os.ReadDir(filepath.Dir(path))
		must(t, err)
		if len(files) != 1 {
			t.Errorf("left are %v", files)
		}
		info, err := os.Stat(path)
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("its mode is %v", info.Mode())
		}
		b, err := os.ReadFile(path)
		must(t, err)
		// Of one with a log beside it these are 2 (https://www.sqlite.org/fileformat2.html).
		if b[18] != 1 || b[19] != 1 {
			t.Errorf("it is no file that can be read alone: %v", b[18:20])
		}
		if err := d.Backup(t.Context(), path); !errors.Is(err, fs.ErrExist) {
			t.Errorf("a second time: %v", err)
		}
	})
}

// What a restore puts into place is as it was, and void; what is given up in
// between leaves nothing behind.
func TestARestoreIsWholeOrNothing(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	file := filepath.Join(dir, "idp.db")
	d := open(t, storage.Config{DSN: "sqlite:" + file})
	must(t, d.AddClient(ctx, provider.Client{ID: "app", Type: provider.SPA}))
	s := sessionWith(t, d, "anna", "app")
	backup := filepath.Join(t.TempDir(), "backup.db")
	must(t, d.Backup(ctx, backup))
	must(t, d.AddClient(ctx, provider.Client{ID: "later", Type: provider.SPA}))

	r, err := storage.Copy(ctx, backup, file)
	must(t, err)
	must(t, r.Discard())
	must(t, r.Discard())
	if found, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(found) > 0 {
		t.Errorf("left are %v, %v", found, err)
	}
	if _, err := d.Session(ctx, s.Cookie); err != nil {
		t.Errorf("a copy that was not put into place: %v", err)
	}

	r, err = storage.Copy(ctx, backup, file)
	must(t, err)
	// Used beside the restore, and not in the backup.
	issued := time.Now()
	must(t, d.SpendAssertion(ctx, provider.Hash{1}, issued, issued.Add(time.Hour)))
	voided, err := r.Replace(ctx, file, false)
	must(t, err)
	if voided.Sessions != 1 {
		t.Errorf("void are %+v", voided)
	}
	must(t, r.Discard())
	// d has had it open all the time.
	if err := d.SpendAssertion(ctx, provider.Hash{1}, issued, issued.Add(time.Hour)); !errors.Is(err, provider.ErrVoid) {
		t.Errorf("an assertion that was used while the copy was made: %v", err)
	}
	if _, err := d.Session(ctx, s.Cookie); !errors.Is(err, provider.ErrNotFound) {
		t.Errorf("a session of before: %v", err)
	}
	until := time.Now().Add(20 * storage.StaleClients)
	for {
		_, err := d.Client(ctx, "later")
		if errors.Is(err, provider.ErrNotFound) {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("a client that was not there yet: %v", err)
		}
		<-time.After(10 * time.Millisecond)
	}
	if _, err := d.Client(ctx, "app"); err != nil {
		t.Error(err)
	}
	sessionWith(t, d, "bert", "app")
}

// Where there is no database there is one after, or nothing: a server that found
// an empty one would take it for its own.
func TestARestoreMakesADatabaseOrNothing(t *testing.T) {
	ctx := t.Context()
	d := open(t, storage.Config{DSN: "sqlite:" + filepath.Join(t.TempDir(), "idp.db")})
	must(t, d.AddClient(ctx, provider.Client{ID: "app", Type: provider.SPA}))
	backup := filepath.Join(t.TempDir(), "backup.db")
	must(t, d.Backup(ctx, backup))
	dir := filepath.Join(t.TempDir(), "new")
	file := filepath.Join(dir, "idp.db")
	replace := func(ctx context.Context) error {
		r, err := storage.Copy(t.Context(), backup, file)
		must(t, err)
		_, err = r.Replace(ctx, file, false)
		must(t, r.Discard())
		return err
	}
	left := func() (names []string) {
		files, err := os.ReadDir(dir)
		must(t, err)
		for _, f := range files {
			names = append(names, f.Name())
		}
		return names
	}

	gone, cancel := context.WithCancel(ctx)
	cancel()
	if err := replace(gone); err == nil || len(left()) > 0 {
		t.Errorf("it was given up with %v, and left are %v", err, left())
	}
	must(t, os.WriteFile(file+"-wal", []byte("of another"), 0o600))
	if err := replace(ctx); err == nil || !slices.Equal(left(), []string{"idp.db-wal"}) {
		t.Errorf("beside a log: %v, and left are %v", err, left())
	}
	must(t, os.Remove(file+"-wal"))
	must(t, replace(ctx))
	if !slices.Equal(left(), []string{"idp.db"}) {
		t.Errorf("left are %v", left())
	}
	if _, err := open(t, storage.Config{DSN: "sqlite:" + file}).Client(ctx, "app"); err != nil {
		t.Error(err)
	}
}

// A file that another program has written anew has pages of another size, be it
// the backup or what it is to replace.
func TestPagesOfAnySizeAreRestored(t *testing.T) {
	for name, small := range map[string]bool{"a backup": false, "a database": true} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			file := filepath.Join(t.TempDir(), "idp.db")
			d, err := storage.Open(ctx, storage.Config{DSN: "sqlite:" + file, Migrate: true})
			must(t, err)
			must(t, d.AddClient(ctx, provider.Client{ID: "app", Type: provider.SPA}))
			backup := filepath.Join(t.TempDir(), "backup.db")
			must(t, errors.Join(d.Backup(ctx, backup), d.Close()))
			larger := backup
			if small {
				larger = file
			}
			other, err := sql.Open("sqlite", larger)
			must(t, err)
			other.SetMaxOpenConns(1)
			_, err = other.ExecContext(ctx, "PRAGMA journal_mode = delete; PRAGMA page_size = 8192; VACUUM")
			must(t, err)
			var size int
			must(t, other.QueryRowContext(ctx, "PRAGMA page_size").Scan(&size))
			must(t, other.Close())
			if size != 8192 {
				t.Fatalf("its pages are of %d bytes", size)
			}
			d = open(t, storage.Config{DSN: "sqlite:" + file})
			r, err := storage.Copy(ctx, backup, file)
			must(t, err)
			_, err = r.Replace(ctx, file, false)
			must(t, errors.Join(err, r.Discard()))
			if _, err := d.Client(ctx, "app"); err != nil {
				t.Error(err)
			}
		})
	}
}

// What nobody could open is not put into place.
func TestARestoreNeedsTheKeysOfSecondFactors(t *testing.T) {
	ctx := t.Context()
	file := filepath.Join(t.TempDir(), "idp.db")
	d := open(t, storage.Config{DSN: "sqlite:" + file})
	key := func(id string) mfa.Key { return mfa.Key{ID: id, Secret: bytes.Repeat([]byte(id), mfa.KeySize/len(id))} }
	sealer := func(keys ...mfa.Key) *mfa.Sealer {
		s, err := mfa.NewSealer(keys...)
		must(t, err)
		return s
	}
	have, lost := sealer(key("have")), sealer(key("lost"))
	for name, s := range map[string]*mfa.Sealer{"anna": have, "bert": lost} {
		f, err := mfa.New(mfa.Config{Store: d, Sealer: s, Issuer: "Sallyport"})
		must(t, err)
		must(t, f.Import(ctx, name, "otpauth://totp/"+name+"?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"))
	}
	backup := filepath.Join(t.TempDir(), "backup.db")
	must(t, d.Backup(ctx, backup))
	r, err := storage.Copy(ctx, backup, file)
	must(t, err)
	defer r.Discard()
	if err := r.Opens(ctx, have); !errors.Is(err, mfa.ErrNoKey) || !strings.Contains(err.Error(), `"lost"`) {
		t.Errorf("one key is missing: %v", err)
	}
	other := mfa.Key{ID: "lost", Secret: bytes.Repeat([]byte("tsol"), mfa.KeySize/4)}
	if err := r.Opens(ctx, sealer(key("have"), other)); !errors.Is(err, mfa.ErrUnsealable) {
		t.Errorf("a key of that ID is another: %v", err)
	}
	must(t, r.Opens(ctx, sealer(key("have"), key("lost"))))
}

// A link to nothing is no database, and what it leads to is not made.
func TestARestoreMakesNothingBehindALink(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	d := open(t, storage.Config{DSN: "sqlite:" + filepath.Join(t.TempDir(), "idp.db")})
	backup := filepath.Join(t.TempDir(), "backup.db")
	must(t, d.Backup(ctx, backup))
	link := filepath.Join(dir, "idp.db")
	must(t, os.Symlink(filepath.Join(dir, "gone.db"), link))
	r, err := storage.Copy(ctx, backup, link)
	must(t, err)
	if _, err := r.Replace(ctx, link, false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	must(t, r.Discard())
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("there are %v, %v", files, err)
	}
}
