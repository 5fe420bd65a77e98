package storage_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
)

// Whatever room there is, a restore puts all into place, or nothing.
func TestARestoreToAFullDiskIsWholeOrNothing(t *testing.T) {
	ctx, disk := t.Context(), t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("needs a small file system, which only root may mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	file, filler := filepath.Join(disk, "idp.db"), filepath.Join(disk, "filler")
	const n = 1000
	d := open(t, storage.Config{DSN: "sqlite:" + filepath.Join(t.TempDir(), "idp.db")})
	must(t, d.AddClient(ctx, provider.Client{ID: "backed up", Type: provider.SPA, BackchannelLogoutURI: "https://app.example/"}))
	must(t, d.Atomically(ctx, func(ctx context.Context) error {
		for i := range n {
			sessionIn(ctx, t, d, fmt.Sprintf("person %d", i), "backed up")
		}
		return nil
	}))
	backup := filepath.Join(t.TempDir(), "backup.db")
	must(t, d.Backup(ctx, backup))

	// here returns who has the database in file.
	here := func() string {
		t.Helper()
		d, err := storage.Open(ctx, storage.Config{DSN: "sqlite:" + file})
		must(t, err)
		defer d.Close()
		var said string
		must(t, d.Read(ctx).Raw("PRAGMA integrity_check").Row().Scan(&said))
		if said != "ok" {
			return said
		}
		var good int
		must(t, d.Read(ctx).Raw("SELECT count(*) FROM sessions WHERE NOT ended").Row().Scan(&good))
		if good > 0 {
			return fmt.Sprintf("someone with %d sessions", good)
		}
		for _, id := range []string{"backed up", "replaced"} {
			if _, err := d.Client(ctx, id); err == nil {
				return id
			}
		}
		return "nobody"
	}
	done := map[string]int{}
	for free := 256 << 10; free <= 3<<20; free += 64 << 10 {
		for _, over := range []bool{false, true} {
			if over {
				d, err := storage.Open(ctx, storage.Config{DSN: "sqlite:" + file, Migrate: true})
				must(t, err)
				must(t, errors.Join(d.AddClient(ctx, provider.Client{ID: "replaced", Type: provider.SPA}), d.Close()))
			}
			r, err := storage.Copy(ctx, backup, file)
			must(t, err)
			var room syscall.Statfs_t
			must(t, syscall.Statfs(disk, &room))
			must(t, os.WriteFile(filler, make([]byte, int(room.Bavail)*int(room.Bsize)-free), 0o600))
			_, err = r.Replace(ctx, file, false)
			must(t, errors.Join(r.Discard(), os.Remove(filler)))
			_, missing := os.Stat(file)
			switch {
			case err == nil:
				if who := here(); who != "backed up" {
					t.Errorf("with %d bytes free, over another %v, it is restored, and there is %s", free, over, who)
				}
			case !over && missing == nil:
				t.Errorf("with %d bytes free there is %v, and %s", free, err, here())
			case over:
				if who := here(); who != "replaced" {
					t.Errorf("with %d bytes free there is %v, and %s", free, err, who)
				}
			}
			done[fmt.Sprint(over, err == nil)]++
			left, err := filepath.Glob(filepath.Join(disk, "*"))
			must(t, err)
			for _, path := range left {
				must(t, os.Remove(path))
			}
		}
	}
	if len(done) != 4 {
		t.Errorf("not all was seen: %v", done)
	}
	t.Log(done)
}
