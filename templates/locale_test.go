package templates

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestLanguagesHaveTheSameTexts(t *testing.T) {
	files, err := read("")
	if err != nil {
		t.Fatal(err)
	}
	load := func(name string) map[Text]forms {
		l, err := parseLocale(name, files[name], nil) // without English to fall back on
		if err != nil {
			t.Fatal(err)
		}
		return l.texts
	}
	english := load("locales/en.json")
	for name := range files {
		if filepath.Ext(name) != ".json" {
			continue
		}
		other := load(name)
		for id, want := range english {
			got, ok := other[id]
			if !ok {
				t.Errorf("%s: %s is missing", name, id)
				continue
			}
			if g, w := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(g, w) {
				t.Errorf("%s: %s has the forms %v, want %v", name, id, g, w)
			}
			for form := range got {
				g, w := slices.Sorted(slices.Values(got[form].names())), slices.Sorted(slices.Values(want[form].names()))
				if !slices.Equal(g, w) {
					t.Errorf("%s: %s has the placeholders %v, want %v", name, id, g, w)
				}
			}
		}
		for id := range other {
			if _, ok := english[id]; !ok {
				t.Errorf("%s: %s is not in English", name, id)
			}
		}
	}
}

// used returns the texts that templates and code name: whole names, and
// beginnings that they complete, such as "scope.".
func used(t *testing.T) (whole, beginnings map[string]bool) {
	whole, beginnings = map[string]bool{}, map[string]bool{}
	files, err := read("")
	if err != nil {
		t.Fatal(err)
	}
	call := regexp.MustCompile(`\b(?:t|plain) "([^"]+)"`)
	begun := regexp.MustCompile(`\bprintf "([^"%]+)%s"`)
	for name, b := range files {
		if filepath.Ext(name) != ".html" {
			continue
		}
		for _, m := range call.FindAllSubmatch(b, -1) {
			whole[string(m[1])] = true
		}
		for _, m := range begun.FindAllSubmatch(b, -1) {
			beginnings[string(m[1])] = true
		}
	}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	dotted := regexp.MustCompile(`^[a-z]+(\.[a-z_-]+)*\.?$`)
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") || name == "samples.go" {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			s, err := strconv.Unquote(lit.Value)
			if err != nil || !dotted.MatchString(s) {
				return true
			}
			if strings.HasSuffix(s, ".") {
				beginnings[s] = true
			} else {
				whole[s] = true
			}
			return true
		})
	}
	return whole, beginnings
}

func TestEveryTextIsUsedAndEveryUsedTextIsThere(t *testing.T) {
	s := newSet(t, Options{})
	whole, beginnings := used(t)
	if !whole[string(CodeWrong)] || !whole["cancel"] || !beginnings["scope."] || !beginnings["ended."] {
		t.Fatalf("the search finds nothing: %v %v", whole, beginnings)
	}
	texts := s.locales["en"].texts
	for id := range texts {
		i := strings.IndexByte(string(id), '.')
		if !whole[string(id)] && !(i > 0 && beginnings[string(id)[:i+1]]) && id != "language.name" {
			t.Errorf("%s is not used", id)
		}
	}
	families := map[string]bool{}
	for id := range texts {
		family, _, _ := strings.Cut(string(id), ".")
		families[family] = true
	}
	for id := range whole {
		family, _, dotted := strings.Cut(id, ".")
		if _, ok := texts[Text(id)]; !ok && dotted && families[family] {
			t.Errorf("%s is used and not there", id)
		}
	}
	for _, kind := range []Ending{
		EndedExpired, EndedUsed, EndedCancelled, EndedSpent, EndedChanged, EndedReset, EndedDenied, EndedUnmet, EndedElsewhere, "nonsense", "",
	} {
		render(t, s, "de", Ended{Kind: kind})
	}
	for _, fault := range []Fault{
		FaultBadRequest, FaultClient, FaultRedirect, FaultNotFound, FaultMethod, FaultTooLarge, FaultCrossOrigin, FaultCookies, FaultBusy, FaultInternal, "nonsense", "",
	} {
		render(t, s, "de", Error{Fault: fault})
	}
}

func TestEndingsAndFaultsSayDifferentThings(t *testing.T) {
	s := newSet(t, Options{})
	said := map[string]string{}
	for _, v := range samples() {
		var why string
		switch p := v.page.(type) {
		case Ended:
			why = "ended " + string(p.Kind)
		case Error:
			why = "error " + string(p.Fault)
		default:
			continue
		}
		h1 := text(find(parse(t, render(t, s, "en", v.page)), "h1")[0])
		if before, ok := said[h1]; ok && before != why {
			t.Errorf("%s and %s both say %q", before, why, h1)
		}
		said[h1] = why
	}
}

func TestTextsTellCountsAndTimes(t *testing.T) {
	s := newSet(t, Options{})
	for _, c := range []struct {
		lang string
		m    Message
		want string
	}{
		{"en", Message{Text: RecoveryLeft, Count: 0}, "You have no recovery codes left. Make new ones on your account page."},
		{"en", Message{Text: RecoveryLeft, Count: 1}, "You have 1 recovery code left. Make new ones on your account page."},
		{"de", Message{Text: RecoveryLeft, Count: 3}, "Sie haben noch 3 Wiederherstellungscodes. Erstellen Sie neue auf Ihrer Kontoseite."},
		{"en", Message{Text: CodeWait, Wait: 29500 * time.Millisecond}, "Too many wrong codes. Wait 30 seconds, then try again."},
		{"en", Message{Text: CodeWait, Wait: time.Minute}, "Too many wrong codes. Wait 1 minute, then try again."},
		{"de", Message{Text: CodeWait, Wait: 61 * time.Second}, "Zu viele falsche Codes. Warten Sie 2 Minuten und versuchen Sie es dann noch einmal."},
		{"en", Message{Text: CodeWait, Wait: 23*time.Hour + time.Second}, "Too many wrong codes. Wait 24 hours, then try again."},
		{"en", Message{Text: CodeWait, Wait: -time.Second}, "Too many wrong codes. Wait 0 seconds, then try again."},
		{"xx", Message{Text: ConsentRevoked, Name: "Wiki"}, "Wiki no longer has access."},
		{"en", Message{Text: ConsentRevoked, Name: "ויקי\u202e"}, "\u2068ויקי\u2069 no longer has access."},
		{"en", Message{Text: "nothing"}, ""},
	} {
		if got := s.Text(c.lang, c.m); got != c.want {
			t.Errorf("%+v: %q, want %q", c.m, got, c.want)
		}
	}
}

func TestTimesAreToldRelativeToNow(t *testing.T) {
	s := newSet(t, Options{})
	now := time.Date(2026, 11, 22, 1, 30, 0, 0, time.FixedZone("", 2*3600))
	for _, c := range []struct {
		ago      time.Duration
		en, de   string
		dateOnly bool
	}{
		{-time.Hour, "just now", "gerade eben", false},
		{59 * time.Second, "just now", "gerade eben", false},
		{time.Minute, "1 minute ago", "vor 1 Minute", false},
		{23 * time.Hour, "23 hours ago", "vor 23 Stunden", false},
		{25 * time.Hour, "yesterday", "gestern", false},
		{29 * 24 * time.Hour, "29 days ago", "vor 29 Tagen", false},
		{30 * 24 * time.Hour, "22 October 2026", "22. Oktober 2026", false},
		{0, "21 November 2026", "21. November 2026", true},
	} {
		n := now
		if c.dateOnly {
			n = time.Time{}
		}
		if en, de := string(s.locales["en"].ago(now.Add(-c.ago), n)), string(s.locales["de"].ago(now.Add(-c.ago), n)); en != c.en || de != c.de {
			t.Errorf("%v ago: %q and %q, want %q and %q", c.ago, en, de, c.en, c.de)
		}
	}
}

// RC-3
func TestTheCodesFileHoldsTheCodesAndWhoseTheyAre(t *testing.T) {
	s := newSet(t, Options{})
	p := Codes{Flow{Username: "ada\n\u202e"}, []string{"AAAA-BBBB", "CCCC-DDDD"}, "", time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)}
	got := string(s.CodesFile("de", p))
	want := "Wiederherstellungscodes von ada für Sallyport\nErstellt am 22. November 2026. Ältere Codes gelten nicht mehr.\n\n" +
		"  AAAA-BBBB\n  CCCC-DDDD\n\nJeder Code gilt einmal. Sie werden nur jetzt gezeigt.\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBrokenLocalesAreRefusedWithFileAndLine(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"en.json", "{\n\"cancel\": \"a\"\n\"switch\": \"b\"}", "locales/en.json:3"},
		{"fr.json", "{\n\n\"cancel\": 7}", "locales/fr.json:3"},
		{"fr.json", "{\n\"cancel\": \"a\",\n\"cancel\": \"b\"}", "locales/fr.json:3"},
		{"fr.json", `[]`, "locales/fr.json:1"},
		{"fr.json", "", "locales/fr.json:1"},
		{"fr.json", "{\n\"cancel\": \"a\"", "locales/fr.json:2"},
		{"fr.json", `{"cancel": "{"}`, "locales/fr.json:1"},
		{"fr.json", `{"cancel": {"1": "un"}}`, "other"},
		{"fr.json", `{"cancle": "Annuler"}`, "cancle"},
		{"fr.json", `{"to.app": "vers {application}"}`, "{application}"},
	} {
		dir := t.TempDir()
		write(t, dir, "locales/"+c.name, c.text)
		if _, err := New(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v, want %s", c.name, c.text, err, c.want)
		}
	}
}

func TestAFurtherLanguageFallsBackOnEnglish(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "locales/ar.json", `{"language.dir": "rtl", "cancel": "إلغاء"}`)
	s := newSet(t, Options{Dir: dir})
	if got, want := s.Languages(), []string{"en", "ar", "de"}; !slices.Equal(got, want) {
		t.Errorf("languages %v, want %v", got, want)
	}
	page := render(t, s, "ar", Password{})
	for _, want := range []string{`<html lang="ar" dir="rtl">`, "إلغاء", "Sign in"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
}

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
