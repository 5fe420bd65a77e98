package test

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The guides to other products are at docs/integrations. What they tell an
// administrator to type or to write is typed and written here.

// guides returns the pages by their names.
func guides(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{}
	files, err := filepath.Glob("../docs/integrations/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		pages[filepath.Base(f)] = string(b)
	}
	if len(pages) < 11 {
		t.Fatalf("only %d guides were found", len(pages))
	}
	return pages
}

// commands returns what stands to be typed on a page: lines of an indented
// block that begin with idp, with those that they are continued on.
func commands(page string) (all []string) {
	lines := strings.Split(page, "\n")
	for i := 0; i < len(lines); i++ {
		if !strings.HasPrefix(lines[i], "    idp ") {
			continue
		}
		c := lines[i]
		for strings.HasSuffix(c, `\`) && i+1 < len(lines) {
			i++
			c = strings.TrimSuffix(c, `\`) + lines[i]
		}
		all = append(all, strings.TrimSpace(c))
	}
	return all
}

// secretFiles are the files of a configuration that hold a client's secret.
var secretFiles = regexp.MustCompile(`secret_files: \[([^\]]+)\]`)

// configured writes a configuration with what a page says of its clients, and
// returns where it is.
func configured(t *testing.T, clients string) string {
	t.Helper()
	dir := t.TempDir()
	random := func() string {
		b := make([]byte, 32)
		rand.Read(b)
		return base64.StdEncoding.EncodeToString(b)
	}
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, m := range secretFiles.FindAllStringSubmatch(clients, -1) {
		write(m[1], random())
	}
	return write("config.yaml", fmt.Sprintf(`issuer: http://127.0.0.1:8080
database: {sqlite: idp.db}
secrets:
  sealing: [{id: a, key: %q}]
  tokens: [{secret: %q}]
%s`, random(), random(), clients))
}

func TestTheGuidesSayWhatWorks(t *testing.T) {
	bin := build(t)
	block := regexp.MustCompile("(?s)```yaml\n(clients:.*?)```")
	for name, page := range guides(t) {
		t.Run(name, func(t *testing.T) {
			config := configured(t, "")
			for _, c := range commands(page) {
				// The shell reads it as it would in a terminal.
				cmd := exec.Command("sh", "-c", `idp() { "$IDP" "$@" --config "$CONFIG"; }; `+c)
				cmd.Env = append(os.Environ(), "IDP="+bin, "CONFIG="+config)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s\n%v: %s", c, err, out)
				}
			}
			for _, m := range block.FindAllStringSubmatch(page, -1) {
				if out, err := exec.Command(bin, "check", "--config", configured(t, m[1])).CombinedOutput(); err != nil {
					t.Errorf("%s\n%v: %s", m[1], err, out)
				}
			}
			if name != "README.md" && len(commands(page)) == 0 {
				t.Error("the page does not say what to register")
			}
		})
	}
}

// Every page is in the table, which says whether anyone has tried it, and every
// link leads to a file.
func TestTheGuidesAreListedAndTheirLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^):#]+)\)`)
	pages := guides(t)
	for name, page := range pages {
		for _, m := range link.FindAllStringSubmatch(page, -1) {
			if _, err := os.Stat(filepath.Join("../docs/integrations", m[1])); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
			}
		}
		if name == "README.md" {
			continue
		}
		row := regexp.MustCompile(`(?m)^\| \[[^\]]+\]\(` + regexp.QuoteMeta(name) + `\) \| .*(make test|by hand|documentation).* \| .+ \|$`)
		if !row.MatchString(pages["README.md"]) {
			t.Errorf("%s has no row in the table that says how it was tried", name)
		}
		if first := strings.Join(strings.SplitN(page, "\n", 8), " "); !regexp.MustCompile(`(?i)run (at every|by hand)|is run at every|written from`).MatchString(first) {
			t.Errorf("%s does not begin with how it was tried", name)
		}
	}
}
