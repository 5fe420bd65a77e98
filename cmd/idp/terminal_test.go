//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal returns both ends of a pseudo-terminal.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return person, program
}

// A password that is typed must not stand on the screen.
func TestATypedPasswordIsNotShown(t *testing.T) {
	const typed = "seven wooden lighthouses"
	dir := t.TempDir()
	conf := filepath.Join(dir, "idp.yaml")
	if err := os.WriteFile(conf, fmt.Appendf(nil, scriptConfig, 1, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	person, program := terminal(t)
	cmd := exec.Command("idp", "user", "add", "ada", "--config", conf) // testscript put it on the PATH
	cmd.Stdin, cmd.Stdout = program, program
	prompts, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var asked bytes.Buffer
	for _, prompt := range []string{"New password: ", "The same again: "} {
		for !strings.HasSuffix(asked.String(), prompt) {
			if _, err := io.CopyN(&asked, prompts, 1); err != nil {
				t.Fatalf("asked %q: %v", asked.String(), err)
			}
		}
		// People are slower than this: between the prompt and the end of the
		// echo there is a moment.
		for {
			state, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			if state.Lflag&unix.ECHO == 0 {
				break
			}
		}
		fmt.Fprintln(person, typed)
	}
	if _, err := io.Copy(&asked, prompts); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, asked.String())
	}
	if err := program.Close(); err != nil {
		t.Fatal(err)
	}
	screen, err := io.ReadAll(person)
	if err != nil && !errors.Is(err, syscall.EIO) { // the other end is gone
		t.Fatal(err)
	}
	if !strings.Contains(string(screen), "User ada was added.") {
		t.Errorf("the screen shows %q", screen)
	}
	if strings.Contains(string(screen)+asked.String(), "lighthouses") {
		t.Errorf("the password was shown: %q %q", screen, asked.String())
	}
}
