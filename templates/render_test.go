package templates

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func newSet(t testing.TB, o Options) *Set {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func render(t testing.TB, s *Set, lang string, p Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := s.Render(&b, lang, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What a page says is for a reviewer to see change, in every language.
func TestPagesAreAsReviewed(t *testing.T) {
	s := newSet(t, Options{})
	for _, lang := range s.Languages() {
		for _, v := range samples() {
			file := filepath.Join("testdata", "pages", lang, v.name+".html")
			got := render(t, s, lang, v.page)
			// The stylesheet's name changes with every colour; that is not
			// a change of the page.
			got = strings.NewReplacer(s.style.Name, "HASH.css", s.icon.Name, "HASH.svg").Replace(got)
			if *update {
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs; run with -update and review:\n%s", file, got)
			}
		}
	}
}
