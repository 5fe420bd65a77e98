package storage_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
	"github.com/sallyport-id/sallyport/test/pg"
)

// ST-3
func TestSQLiteIsDurableAndPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	path := filepath.Join(dir, "idp.db")
	d := open(t, storage.Config{DSN: "sqlite:" + path, BusyTimeout: 1234 * time.Millisecond})
	err := d.Atomically(t.Context(), func(ctx context.Context) error {
		// Within a transaction reading goes to the writer.
		pragmas(t, d, ctx, "writer", map[string]string{
			"journal_mode": "wal", "synchronous": "2", "busy_timeout": "1234", "foreign_keys": "1", "query_only": "0"})
		return d.CreateFlow(ctx, provider.Flow{ID: "f"})
	})
	if err != nil {
		t.Fatal(err)
	}
	pragmas(t, d, t.Context(), "reader", map[string]string{
		"journal_mode": "wal", "busy_timeout": "1234", "query_only": "1"})

	for name, want := range map[string]os.FileMode{
		dir: 0o700 | os.ModeDir, path: 0o600, path + "-wal": 0o600, path + "-shm": 0o600,
	} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), want)
		}
	}
}

func pragmas(t *testing.T, d *storage.DB, ctx context.Context, who string, want map[string]string) {
	t.Helper()
	for name, want := range want {
		var got string
		if err := d.Read(ctx).Raw("PRAGMA " + name).Scan(&got).Error; err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("the %s has %s %s, want %s", who, name, got, want)
		}
	}
}

// ST-3
func TestAFileThatOthersCouldReadIsMadePrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "idp.db")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, storage.Config{DSN: path})
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.Mode(), os.FileMode(0o600); got != want {
		t.Errorf("got mode %v, want %v", got, want)
	}
}

func TestAPathMayHaveAnyCharacters(t *testing.T) {
	for _, name := range []string{"a b.db", "a?b=c.db", "a#b.db", "a%20b.db", "ä&_pragma=synchronous(off).db"} {
		path := filepath.Join(t.TempDir(), name)
		open(t, storage.Config{DSN: "sqlite:" + path})
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

func TestTheReaderCannotWrite(t *testing.T) {
	d := open(t, storage.Config{DSN: engines[0].dsn(t)})
	if err := d.Read(t.Context()).Exec("DELETE FROM flows").Error; err == nil {
		t.Error("it could")
	}
}

// ST-3. That the server itself waits for the disk is its own setting; the tests
// that kill it (test/faults) have it on.
func TestPostgresIsDurable(t *testing.T) {
	for query, isolation := range map[string]string{
		// What the DSN says otherwise is overruled, but for a stricter isolation.
		"?synchronous_commit=off&timezone=Asia/Tokyo": "read committed",
		"?default_transaction_isolation=serializable": "serializable",
	} {
		d := open(t, storage.Config{DSN: pg.DSN(t) + query})
		for name, want := range map[string]string{
			"synchronous_commit": "on", "transaction_isolation": isolation,
			"timezone": "UTC", "application_name": "sallyport",
		} {
			var got string
			if err := d.Read(t.Context()).Raw("SHOW " + name).Scan(&got).Error; err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("%s: %s is %s, want %s", query, name, got, want)
			}
		}
	}
}

// LG-2
func TestADSNThatCannotBeUsedIsRefusedWithoutItsPassword(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("this is no database, but long enough to look like one. "+strings.Repeat("x", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dsn := range []string{
		"",
		"sqlite:",
		"sqlite::memory:",
		"mysql://idp:hunter2@localhost/idp",
		"postgres://idp:hunter2@127.0.0.1:1/idp",
		"postgres://idp:hunter2@127.0.0.1:x/idp",
		"postgres://idp:hun%ter2@127.0.0.1/idp",
		"postgres://idp:hunter2@127.0.0.1:1/idp?sslmode=hunter",
		"postgres://127.0.0.1:x/idp?sslmode=x&password=hunter2",
		file,
		filepath.Join(file, "idp.db"),
	} {
		d, err := storage.Open(t.Context(), storage.Config{DSN: dsn})
		if d != nil || err == nil {
			t.Errorf("%q: got no error", dsn)
			continue
		}
		if said := fmt.Sprintf("%v %+v %q", err, err, err); strings.Contains(said, "ter2") {
			t.Errorf("%q: the error gives the password away: %v", dsn, err)
		}
		t.Logf("%q: %v", dsn, err)
	}
}
