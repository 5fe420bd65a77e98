package faults

import (
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
	"unsafe"

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
	filler := filepath.Join(dir, "filler")
	full(t, filepath.Join(dir, "idp.db"), func(*fleet.Replica) { fill(t, filler) }, func(*fleet.Replica) {
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
	})
}

// The server may write no more where its files are to grow beyond a few pages, as
// under a quota (setrlimit(2), RLIMIT_FSIZE): an error that is not that of a full
// disk, and passes as that does.
func TestTheFilesMayNotGrow(t *testing.T) {
	t.Parallel()
	bounds := func(size uint64) func(*fleet.Replica) {
		return func(r *fleet.Replica) {
			most := syscall.Rlimit{Cur: size, Max: math.MaxUint64}
			if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(r.Pid()), rlimitFileSize,
				uintptr(unsafe.Pointer(&most)), 0, 0, 0); errno != 0 {
				t.Fatal(errno)
			}
		}
	}
	full(t, filepath.Join(t.TempDir(), "idp.db"), bounds(8<<10), bounds(math.MaxUint64))
}

const rlimitFileSize = 1 // RLIMIT_FSIZE

// full has a server over file go on while there is no room for what it writes, as
// shut makes it, and when there is again, as widen makes it.
func full(t *testing.T, file string, shut, widen func(*fleet.Replica)) {
	users := times(150, 1500)
	h := open(t, fleet.Plan{Database: "sqlite", File: file, Users: users})
	r := start(t, h, 1)[0]
	l := newLoad(t, visit(t, h), users)
	l.more("the first families", enough)

	fills := times(2, 20)
	var took []time.Duration
	for range fills {
		done, before := l.count()
		shut(r)
		l.await("some to be told that there is no room, and others to read", func(now, away map[string]int) bool {
			shut(r) // what the log of SQLite gave back
			return away[""] >= before[""]+20 && now["userinfo"] >= done["userinfo"]+20 && now["introspect"] >= done["introspect"]+20
		})
		widen(r)
		took = append(took, recovers(t, l))
		l.more("more to sign in", enough)
	}
	l.Stop()
	select {
	case <-r.Gone():
		t.Errorf("the server has ended:\n%s", r.Log())
	default:
	}
	report(t, "times full", fills, "until people could sign in again, at most", slices.Max(took))
	l.audit()
	sound(t, file)
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
