package fleet

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// What a process took is in /proc (proc(5)), in ticks of a hundredth of a
// second.
const tick = 10 * time.Millisecond

// CPU returns what the replica has taken of it so far, and PostgreSQL with it.
func (r *Replica) CPU() time.Duration {
	total := taken(r.Pid(), false)
	keeper := r.house.keeper
	if keeper == 0 {
		return total
	}
	total += taken(keeper, true) // and its children that are gone
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return total
	}
	for _, dir := range all {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err == nil && parent(pid) == keeper {
			total += taken(pid, false)
		}
	}
	return total
}

// stat returns the fields of a process from its state on, none if it is gone.
func stat(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	// The name before it can hold anything, parentheses too.
	return strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
}

func parent(pid int) int {
	f := stat(pid)
	if len(f) < 2 {
		return 0
	}
	n, _ := strconv.Atoi(f[1])
	return n
}

// taken returns the CPU of a process: with reaped, of its past children, too.
func taken(pid int, reaped bool) (d time.Duration) {
	f := stat(pid)
	if len(f) < 15 {
		return 0
	}
	fields := f[11:13]
	if reaped {
		fields = f[11:15]
	}
	for _, text := range fields {
		n, _ := strconv.ParseInt(text, 10, 64)
		d += time.Duration(n) * tick
	}
	return d
}

// Memory returns a figure of the replica's status in MiB: VmRSS, or VmHWM for
// the most that it ever was.
func (r *Replica) Memory(what string) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.Pid()))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, what+":"); ok {
			kib, _ := strconv.Atoi(strings.Fields(rest)[0])
			return kib >> 10
		}
	}
	return 0
}
