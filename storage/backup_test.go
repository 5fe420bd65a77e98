package storage_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

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

// What a restore puts into place is as it was, and void; what fails in between
// leaves nothing behind.
func TestARestoreIsWholeOrNothing(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "idp.db")
	d := open(t, storage.Config{DSN: "sqlite:" + file})
	must(t, d.AddClient(t.Context(), provider.Client{ID: "app", Type: provider.SPA}))
	s := sessionWith(t, d, "anna", "app")
	backup := filepath.Join(t.TempDir(), "backup.db")
	must(t, d.Backup(t.Context(), backup))
	must(t, d.AddClient(t.Context(), provider.Client{ID: "later", Type: provider.SPA}))

	r, err := storage.Copy(t.Context(), backup, file)
	must(t, err)
	if r.Voided.Sessions != 1 {
		t.Errorf("void are %+v", r.Voided)
	}
	must(t, r.Discard())
	must(t, r.Discard())
	if found, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(found) > 0 {
		t.Errorf("left are %v, %v", found, err)
	}
	if _, err := d.Session(t.Context(), s.Cookie); err != nil {
		t.Errorf("a copy that was not put into place: %v", err)
	}

	r, err = storage.Copy(t.Context(), backup, file)
	must(t, err)
	must(t, r.Replace(t.Context(), file))
	must(t, r.Discard())
	// d has had it open all the time.
	if _, err := d.Session(t.Context(), s.Cookie); !errors.Is(err, provider.ErrNotFound) {
		t.Errorf("a session of before: %v", err)
	}
	until := time.Now().Add(20 * storage.StaleClients)
	for {
		_, err := d.Client(t.Context(), "later")
		if errors.Is(err, provider.ErrNotFound) {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("a client that was not there yet: %v", err)
		}
		<-time.After(10 * time.Millisecond)
	}
	if _, err := d.Client(t.Context(), "app"); err != nil {
		t.Error(err)
	}
	sessionWith(t, d, "bert", "app")
}
