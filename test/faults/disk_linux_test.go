package faults

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/test/fleet"
)

// The disk under the SQLite file is full for a while, and then it is not.
func TestTheDiskIsFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=12m"); err != nil {
		t.Skipf("needs a small file system, which only root may mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	users := times(150, 1500)
	h := open(t, fleet.Plan{Database: "sqlite", File: filepath.Join(dir, "idp.db"), Users: users})
	r := start(t, h, 1)[0]
	l := newLoad(t, visit(t, h), users)
	l.await("the first families", func(done, _ map[string]int) bool { return done["code"] >= 5 })

	fills := times(2, 20)
	var took []time.Duration
	for range fills {
		done, before := l.count()
		filler := filepath.Join(dir, "filler")
		fill(t, filler)
		l.await("some to be told that there is no room, and others to read", func(now, away map[string]int) bool {
			fill(t, filler) // what the log of SQLite gave back
			return away[""] >= before[""]+20 && now["userinfo"] >= done["userinfo"]+20 && now["introspect"] >= done["introspect"]+20
		})
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		took = append(took, recovers(t, l))
		done, _ = l.count()
		l.await("more to sign in", func(now, _ map[string]int) bool {
			return now["code"] >= done["code"]+5 && now["refresh"] >= done["refresh"]+20 && now["revoke"] > done["revoke"]
		})
	}
	l.Stop()
	select {
	case <-r.Gone():
		t.Errorf("the server has ended:\n%s", r.Log())
	default:
	}
	report(t, "fills", fills, "until people could sign in again, at most", slices.Max(took))
	l.audit()
	sound(t, filepath.Join(dir, "idp.db"))
}

// fill writes to path until there is no room.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4<<10)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, io.ErrShortWrite) {
		t.Fatal(err)
	}
}
