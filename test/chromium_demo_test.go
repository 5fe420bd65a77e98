package test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A demo is idp demo as someone starts it in a terminal.
type demo struct {
	t                               *testing.T
	cmd                             *exec.Cmd
	app, provider, username, secret string // as it prints them
	printed                         string // until it said how to stop it

	mu  sync.Mutex
	log bytes.Buffer
}

// build returns the path of a static idp.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "idp")
	cmd := exec.Command("go", "build", "-o", bin, "./cmd/idp")
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// Write takes what the demo logs.
func (d *demo) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.Write(b)
}

func (d *demo) logged() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

// startDemo starts a demo and returns when both of its sites answer.
func startDemo(t *testing.T, ctx context.Context, bin, dir string, port int) *demo {
	t.Helper()
	d := &demo{t: t, cmd: exec.CommandContext(ctx, bin, "demo", "--dir", dir, "--port", strconv.Itoa(port))}
	d.cmd.Stderr = d
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the demo logged:\n%s", d.logged())
		}
		d.cmd.Process.Kill()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		d.printed += lines.Text() + "\n"
		if strings.Contains(lines.Text(), "Ctrl-C stops") {
			break
		}
	}
	go io.Copy(io.Discard, out) // so that it never waits for its reader
	for _, line := range []struct {
		label string
		to    *string
	}{{"The demo app", &d.app}, {"The provider", &d.provider}, {"Username", &d.username}, {"Password", &d.secret}} {
		found := regexp.MustCompile(`(?m)^\s*` + line.label + `\s+(\S+)$`).FindStringSubmatch(d.printed)
		if found == nil {
			t.Fatalf("the demo does not print %q:\n%s\n%s", line.label, d.printed, d.logged())
		}
		*line.to = found[1]
	}
	for _, u := range []string{d.app, d.provider + "/healthz"} {
		poll(t, ctx, u+" to answer", func() bool {
			resp, err := http.Get(u)
			if err != nil {
				return false
			}
			return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
		})
	}
	return d
}

// stop is Ctrl-C. It fails the test unless the demo ends well and has logged
// no error.
func (d *demo) stop() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		d.t.Fatal(err)
	}
	if err := d.cmd.Wait(); err != nil {
		d.t.Errorf("the demo ended with %v\n%s", err, d.logged())
	}
	if log := d.logged(); strings.Contains(log, "level=ERROR") {
		d.t.Errorf("the demo logged errors:\n%s", log)
	}
}

// poll asks until the answer is yes.
func poll(t testing.TB, ctx context.Context, what string, yes func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s: %v", what, ctx.Err())
		case <-tick.C:
		}
	}
}

// oathtool returns the code of a secret at a time as a program of others
// computes it.
func oathtool(t *testing.T, secret string, at time.Time) string {
	t.Helper()
	out, err := exec.Command("oathtool", "--totp", "-b", "--now", at.UTC().Format("2006-01-02 15:04:05 UTC"), secret).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		t.Fatalf("oathtool: %v: %s", err, exit.Stderr)
	}
	if err != nil {
		t.Fatalf("oathtool: %v", err)
	}
	return strings.TrimSpace(string(out))
}
