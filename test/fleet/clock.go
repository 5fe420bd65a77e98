package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ClockEnv names the file in which a replica of BuildWithClock finds by how many
// seconds its clock is ahead.
const ClockEnv = "SALLYPORT_TEST_CLOCK"

// told are the packages that such a replica tells the time: what it decides by.
var told = []string{"github.com/sallyport-id/sallyport/", "github.com/ory/fosite"}

// clock is the time of such a replica, without a monotonic part, so that it steps
// with the file.
const clock = `package testclock

import (
	"os"
	"strconv"
	"strings"
	"time"
)

var file = os.Getenv("` + ClockEnv + `")

func Now() time.Time {
	b, _ := os.ReadFile(file)
	ahead, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return time.Now().Round(0).Add(time.Duration(ahead) * time.Second)
}

func Since(t time.Time) time.Duration { return Now().Sub(t) }
func Until(t time.Time) time.Duration { return t.Sub(Now()) }
`

// BuildWithClock compiles idp with another clock: every time.Now of ours and of
// fosite is replaced as it is compiled, and no source is changed.
func BuildWithClock(ctx context.Context) (binary string, clean func(), err error) {
	dir, err := os.MkdirTemp("", "fleet")
	if err != nil {
		return "", nil, err
	}
	clean = func() { os.RemoveAll(dir) }
	if binary, err = buildWithClock(ctx, dir); err != nil {
		clean()
		return "", nil, err
	}
	return binary, clean, nil
}

func buildWithClock(ctx context.Context, dir string) (string, error) {
	const idp = "github.com/sallyport-id/sallyport/cmd/idp"
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-json=ImportPath,Dir,GoFiles,Module", idp)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("listing: %w", err)
	}
	replace := map[string]string{}
	n := 0
	put := func(path, text string) error {
		n++
		file := filepath.Join(dir, fmt.Sprintf("%d.go", n))
		replace[path] = file
		return os.WriteFile(file, []byte(text), 0o600)
	}
	root := ""
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p struct {
			ImportPath, Dir string
			GoFiles         []string
			Module          *struct{ Dir string }
		}
		if err := d.Decode(&p); err != nil {
			return "", err
		}
		if p.ImportPath == idp {
			root = p.Module.Dir
		}
		tells := false
		for _, prefix := range told {
			tells = tells || strings.HasPrefix(p.ImportPath, prefix)
		}
		for _, name := range p.GoFiles {
			if !tells {
				continue
			}
			path := filepath.Join(p.Dir, name)
			b, err := os.ReadFile(path)
			if err != nil {
				return "", err
			}
			if !strings.Contains(string(b), "import (\n") {
				continue // a comment, at most
			}
			text := strings.NewReplacer("time.Now(", "testclock.Now(", "time.Since(", "testclock.Since(", "time.Until(", "testclock.Until(").Replace(string(b))
			if text == string(b) {
				continue
			}
			before, after, _ := strings.Cut(text, "import (\n")
			text = before + "import (\n\ttestclock \"github.com/sallyport-id/sallyport/testclock\"\n" + after + "\nvar _ time.Duration\n"
			if err := put(path, text); err != nil {
				return "", err
			}
		}
	}
	if n == 0 || root == "" {
		return "", errors.New("nothing asks for the time")
	}
	if err := put(filepath.Join(root, "testclock", "clock.go"), clock); err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "idp")
	if out, err := exec.CommandContext(ctx, "go", "build", "-overlay", file, "-o", binary, idp).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building: %w\n%s", err, out)
	}
	return binary, nil
}
