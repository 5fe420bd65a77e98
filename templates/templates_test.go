package templates

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
)

func TestADirectoryTakesThePlaceOfEmbeddedFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "signedout.html", `{{template "top" .}}<h1>Bye, {{t "signedout.title"}}</h1>{{template "bottom" .}}`)
	write(t, dir, "style.css", "body { color: red }")
	write(t, dir, "README", "not a template")
	s := newSet(t, Options{Dir: dir})
	if page := render(t, s, "en", SignedOut{}); !strings.Contains(page, "<h1>Bye, You are signed out</h1>") {
		t.Errorf("the page is\n%s", page)
	}
	if css := string(s.Stylesheet().Data); !strings.Contains(css, "--accent:") || !strings.Contains(css, "color: red") || strings.Contains(css, ".steps") {
		t.Errorf("the stylesheet is\n%s", css)
	}
	if page := render(t, s, "en", Password{}); !strings.Contains(page, `value="password"`) {
		t.Errorf("a page that is not overridden is\n%s", page)
	}
}

func TestABrokenTemplateIsFoundAtTheStart(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"factor.html", "\n\n{{if}}", "factor.html:3"},
		{"factor.html", "\n{{.Nothing}}", "factor.html:2"},
		{"factor.html", "{{if .Problem}}\n\n\n{{.Problem.Nothing}}{{end}}", "factor.html:4"}, // only where something was wrong
		{"factor.html", "\n{{t \"no.such.text\"}}", "factor.html:2"},
		{"factor.html", "\n{{t \"to.app\" \"app\"}}", "factor.html:2"},
		{"factor.html", "\n{{t \"to.app\" 1 2}}", "factor.html:2"},
		{"factor.html", "\n{{t \"to.app\"}}", "factor.html:2"},
		{"factor.html", "\n{{nothing}}", "factor.html:2"},
		{"factor.html", "<a href='{{if .CodeURL}}'{{end}}>", "factor.html:1"},
		{"top.html", "", `"top"`},
		{"facter.html", "", "facter.html"},
		{"styles.css", "", "styles.css"},
	} {
		dir := t.TempDir()
		write(t, dir, c.name, c.text)
		_, err := New(Options{Dir: dir})
		if !errors.Is(err, ErrTemplate) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: %v, want %s", c.name, c.text, err, c.want)
		}
	}
	if _, err := New(Options{Dir: t.TempDir() + "/nowhere"}); err == nil {
		t.Error("a directory that is not there is taken for an empty one")
	}
}

// A page that fails halfway must not leave half of itself under a 200.
func TestRenderIsAllOrNothing(t *testing.T) {
	s := newSet(t, Options{})
	var b bytes.Buffer
	err := s.Render(&b, "en", Factor{Flow: Flow{Problem: &Message{Text: "no.such.text", Field: "code"}}})
	if !errors.Is(err, ErrNoText) || b.Len() != 0 {
		t.Errorf("%v, and %d bytes", err, b.Len())
	}
	if err := s.Render(shut{}, "en", SignedOut{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a failing writer: %v", err)
	}
}

type shut struct{}

func (shut) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// Nothing of one person's page is ever in another's.
func TestPagesAreRenderedSideBySide(t *testing.T) {
	s := newSet(t, Options{})
	want := map[string]string{}
	for _, v := range samples() {
		want[v.name] = render(t, s, "en", v.page)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for _, v := range samples() {
				var b bytes.Buffer
				if err := s.Render(&b, "en", v.page); err != nil || b.String() != want[v.name] {
					t.Errorf("%s: %v", v.name, err)
				}
			}
		})
	}
	all.Wait()
}

func TestZeroPagesRender(t *testing.T) {
	s := newSet(t, Options{})
	for _, p := range []Page{
		Password{}, Factor{}, Recovery{}, EnrollStart{}, Enroll{}, Codes{}, Consent{}, FormPost{}, Ended{}, Error{}, Account{}, SignOut{}, SignedOut{},
	} {
		render(t, s, "", p)
	}
}

// A problem lands at the field it names, at the secret one if it names none,
// and on its own where there is no such field.
func TestAProblemFindsItsField(t *testing.T) {
	flow := func(text Text, field string) Flow { return Flow{Problem: &Message{Text: text, Field: field}} }
	for _, c := range []struct {
		page Page
		want string
	}{
		{Password{flow(PasswordWrong, ""), false}, "password"},
		{Password{flow(UsernameMissing, "username"), false}, "username"},
		{Password{flow(UsernameMissing, "code"), false}, ""},
		{Factor{flow(CodeWrong, ""), 6, ""}, "code"},
		{Factor{flow(OutOfStep, ""), 6, ""}, ""},
		{EnrollStart{flow(TicketWrong, ""), true, false}, "ticket"},
		{EnrollStart{flow(TicketWrong, ""), false, false}, ""},
		{Account{Problem: &Message{Text: ProveAgain}}, ""},
		{Ended{}, ""},
	} {
		if got := about(c.page); got != c.want {
			t.Errorf("%+v is about %q, want %q", c.page, got, c.want)
		}
	}
}

func TestLinksLeadToGoodPlacesOnly(t *testing.T) {
	for address, want := range map[string]string{
		"https://wiki.example/login?x=1": "https://wiki.example/login?x=1",
		"http://localhost:8080/":         "http://localhost:8080/",
		"http://127.0.0.1:1/a":           "http://127.0.0.1:1/a",
		"http://[::1]/":                  "http://[::1]/",
		"http://wiki.example/":           "",
		"http://localhost.evil.example/": "",
		"https://good.example@evil.com/": "",
		"javascript:alert(1)":            "",
		"//evil.example/":                "",
		"/relative":                      "",
		"https:///":                      "",
		"":                               "",
		"\x00https://x":                  "",
	} {
		if got := link(address); got != want {
			t.Errorf("link(%q) = %q, want %q", address, got, want)
		}
	}
}

func TestNamesAreCleaned(t *testing.T) {
	for name, want := range map[string]string{
		"Ada Lovelace":                "Ada Lovelace",
		"  Ada \t\n Lovelace  ":       "Ada Lovelace",
		"moc.live\u202egro.doog":      "moc.livegro.doog",
		"a\u200b\u2069\ufeffb\u00ad":  "ab",
		"e\u0301\u0301\u0301\u0301":   "e\u0301\u0301",
		"\u0301a":                     "a",
		"\u3164\u2800":                "",
		"a\xffb":                      "a\ufffdb",
		"Žofie Ångström":              "Žofie Ångström",
		"山田 太郎":                       "山田 太郎",
		strings.Repeat("x", 80):       strings.Repeat("x", 80),
		strings.Repeat("x", 81):       strings.Repeat("x", 80) + "…",
		strings.Repeat("x", 80) + " ": strings.Repeat("x", 80),
	} {
		if got := clean(name); got != want {
			t.Errorf("clean(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestDevicesAreToldInWords(t *testing.T) {
	l := newSet(t, Options{}).locales["de"]
	for agent, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0":                                                    "Firefox unter Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0": "Edge unter Windows",
		"Mozilla/5.0 (Linux; Android 16; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36":           "Chrome unter Android",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Safari/605.1.15":     "Safari unter macOS",
		"curl/8.14.1":          "curl",
		"<script>":             "Unbekannter Browser",
		"<b>Firefox/1 Windows": "Firefox unter Windows",
		"":                     "Unbekannter Browser",
	} {
		if got, err := l.device(agent); err != nil || string(got) != want {
			t.Errorf("%s: %q, want %q (%v)", agent, got, want, err)
		}
	}
}

func TestTheLanguageIsTheMostWanted(t *testing.T) {
	s := newSet(t, Options{})
	for _, c := range []struct{ ui, accept, want string }{
		{"", "", "en"},
		{"de", "en", "de"},
		{"fr de-CH", "en", "de"},
		{"fr", "de;q=0.5, en;q=0.8", "en"},
		{"", "de-DE,de;q=0.9,en;q=0.8", "de"},
		{"", "DE", "de"},
		{"", "en;q=0.1, de;q=0.2", "de"},
		{"", "de;q=0", "en"},
		{"", "de;q=2, fr", "en"},
		{"", "de;q=NaN", "en"},
		{"", "*", "en"},
		{"", "fr, *;q=0.5", "en"},
		{"", strings.Repeat("x-", 5000) + ",de", "de"},
		{"", strings.Repeat("fr,", 30) + "de", "en"},
	} {
		if got := s.Language(c.ui, c.accept); got != c.want {
			t.Errorf("%q, %.40q: %s, want %s", c.ui, c.accept, got, c.want)
		}
	}
}

func FuzzLanguage(f *testing.F) {
	f.Add("de-CH fr", "de;q=0.5,en;q=0.8,*;q=0")
	f.Add("-", ";;q=,,-")
	s := newSet(f, Options{})
	f.Fuzz(func(t *testing.T, ui, accept string) {
		if got := s.Language(ui, accept); got != "en" && got != "de" {
			t.Errorf("Language(%q, %q) = %q", ui, accept, got)
		}
	})
}

func BenchmarkRender(b *testing.B) {
	s := newSet(b, Options{})
	for _, v := range samples() {
		switch v.name {
		case "password", "factor-wrong", "enroll", "consent", "account":
			b.Run(v.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := s.Render(io.Discard, "de", v.page); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		newSet(b, Options{})
	}
}
