package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ClockEnv names the file in which a replica of BuildWithClock finds by how many
// seconds its clock is ahead.
const ClockEnv = "SALLYPORT_TEST_CLOCK"

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

const (
	ours   = "github.com/sallyport-id/sallyport"
	engine = "github.com/ory/fosite"
)

func buildWithClock(ctx context.Context, dir string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-deps", "-json=ImportPath,Dir,GoFiles,Module", ours+"/cmd/idp").Output()
	if err != nil {
		return "", fmt.Errorf("listing: %w", err)
	}
	// Of ours the compiler is given other files; of fosite another module.
	overlay := map[string]string{}
	root, module := "", filepath.Join(dir, "fosite")
	n := 0
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p struct {
			ImportPath, Dir string
			GoFiles         []string
			Module          *struct{ Path, Dir string }
		}
		if err := d.Decode(&p); err != nil {
			return "", err
		}
		if p.Module == nil || p.Module.Path != ours && p.Module.Path != engine {
			continue
		}
		if p.Module.Path == ours {
			root = p.Module.Dir
		} else if err := os.CopyFS(module, os.DirFS(p.Module.Dir)); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		for _, name := range p.GoFiles {
			path := filepath.Join(p.Dir, name)
			b, err := os.ReadFile(path)
			if err != nil {
				return "", err
			}
			text, told := toldTheTime(string(b))
			if !told {
				continue
			}
			n++
			file := filepath.Join(dir, fmt.Sprintf("%d.go", n))
			if p.Module.Path == ours {
				overlay[path] = file
			} else {
				file = filepath.Join(module, strings.TrimPrefix(path, p.Module.Dir))
				if err := os.Remove(file); err != nil { // it may not be written to
					return "", err
				}
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				return "", err
			}
		}
	}
	if n == 0 || root == "" {
		return "", errors.New("nothing asks for the time")
	}
	overlay[filepath.Join(root, "testclock", "clock.go")] = filepath.Join(dir, "clock.go")
	listed, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return "", err
	}
	modules, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return "", err
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		return "", err
	}
	for name, text := range map[string]string{
		"clock.go": clock, "overlay.json": string(listed), "go.sum": string(sums),
		"go.mod": string(modules) + "\nreplace " + engine + " => " + module + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	binary := filepath.Join(dir, "idp")
	build := exec.CommandContext(ctx, "go", "build", "-modfile", filepath.Join(dir, "go.mod"), "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary, ours+"/cmd/idp")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building: %w\n%s", err, out)
	}
	return binary, nil
}

// toldTheTime returns a file of Go that asks package testclock for the time, and
// whether it asks at all.
func toldTheTime(text string) (string, bool) {
	told := strings.NewReplacer("time.Now(", "testclock.Now(", "time.Since(", "testclock.Since(", "time.Until(", "testclock.Until(").Replace(text)
	told = strings.Replace(told, "\nimport \"time\"\n", "\nimport (\n\t\"time\"\n)\n", 1)
	before, after, ok := strings.Cut(told, "import (\n")
	if !strings.Contains(told, "testclock.") || !ok { // in a comment, at most
		return text, false
	}
	return before + "import (\n\ttestclock \"" + ours + "/testclock\"\n" + after + "\nvar (\n\t_ time.Duration\n\t_ = testclock.Now\n)\n", true
}
