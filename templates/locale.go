package templates

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A locale is the texts of one language.
type locale struct {
	tag, dir string
	texts    map[Text]forms
}

// forms are the plural forms of a text by the exact count they are for;
// "other" is for all else. A text without a plural has only that.
type forms map[string]sentence

// A sentence alternates between literal text and the names of placeholders,
// beginning with text.
type sentence []string

// args are what stands in placeholders: a string is somebody's name and set
// apart, a number also chooses the plural, words are our own.
type args map[string]any

// words is text of a locale that stands in a sentence.
type words string

// parseLocale reads a locale file: an object from the name of a text to a
// string, or to an object of plural forms. Where it lacks a text that base
// has, base's is taken.
func parseLocale(file string, b []byte, base *locale) (*locale, error) {
	raw, line, err := decode(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %s:%d: %w", ErrLocale, file, line, err)
	}
	l := &locale{tag: tagOf(file), dir: "ltr", texts: raw}
	if d, ok := raw["language.dir"]; ok && d["other"][0] == "rtl" {
		l.dir = "rtl"
	}
	if base == nil {
		return l, nil
	}
	for id, f := range raw {
		want, ok := base.texts[id]
		if !ok {
			return nil, fmt.Errorf("%w: %s: %s is not used anywhere", ErrLocale, file, id)
		}
		for _, have := range f {
			for _, name := range have.names() {
				if !slices.Contains(want["other"].names(), name) {
					return nil, fmt.Errorf("%w: %s: %s has nothing for {%s}", ErrLocale, file, id, name)
				}
			}
		}
	}
	for id, f := range base.texts {
		if _, ok := raw[id]; !ok {
			raw[id] = f
		}
	}
	return l, nil
}

func tagOf(file string) string {
	return strings.TrimSuffix(file[strings.LastIndexByte(file, '/')+1:], ".json")
}

// decode reads the texts one by one, so that an error has a line.
func decode(b []byte) (texts map[Text]forms, line int, err error) {
	texts = map[Text]forms{}
	d := json.NewDecoder(bytes.NewReader(b))
	defer func() {
		at := d.InputOffset()
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			at = max(at, syntax.Offset)
		}
		line = 1 + bytes.Count(b[:min(int(at), len(b))], []byte("\n"))
	}()
	open, err := d.Token()
	if err != nil {
		return nil, 0, err
	}
	if open != json.Delim('{') {
		return nil, 0, errors.New("not an object")
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, 0, err
		}
		var f forms
		if err := d.Decode(&f); err != nil {
			return nil, 0, fmt.Errorf("%v: %w", key, err)
		}
		id := Text(key.(string)) // the keys of an object are strings
		if _, ok := texts[id]; ok {
			return nil, 0, fmt.Errorf("%s stands twice", id)
		}
		texts[id] = f
	}
	if _, err := d.Token(); err != nil {
		return nil, 0, err
	}
	return texts, 0, nil
}

// UnmarshalJSON reads a string, or an object of plural forms.
func (f *forms) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var s sentence
		err := json.Unmarshal(b, &s)
		*f = forms{"other": s}
		return err
	}
	var m map[string]sentence
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	if _, ok := m["other"]; !ok {
		return errors.New(`plural forms without "other"`)
	}
	*f = m
	return nil
}

// UnmarshalJSON reads a string with {placeholders}.
func (s *sentence) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	for {
		before, rest, open := strings.Cut(text, "{")
		*s = append(*s, before)
		if !open {
			return nil
		}
		name, after, shut := strings.Cut(rest, "}")
		if !shut {
			return fmt.Errorf("%q: { without }", text)
		}
		*s, text = append(*s, name), after
	}
}

// names returns the names of the placeholders.
func (s sentence) names() (names []string) {
	for i := 1; i < len(s); i += 2 {
		names = append(names, s[i])
	}
	return names
}

func (f forms) of(count int) sentence {
	if s, ok := f[strconv.Itoa(count)]; ok {
		return s
	}
	return f["other"]
}

// html returns the text called id as HTML: names are escaped and set apart by
// bdi elements.
func (l *locale) html(id Text, a args) (template.HTML, error) {
	var b strings.Builder
	err := l.write(&b, id, a, template.HTMLEscapeString, func(name string) string {
		return "<bdi>" + template.HTMLEscapeString(clean(name)) + "</bdi>"
	})
	return template.HTML(b.String()), err
}

// plain returns the text called id as text; names are set apart by characters.
func (l *locale) plain(id Text, a args) (string, error) {
	var b strings.Builder
	err := l.write(&b, id, a, func(s string) string { return s }, func(name string) string {
		return isolate(clean(name))
	})
	return b.String(), err
}

func (l *locale) write(b *strings.Builder, id Text, a args, ours, theirs func(string) string) error {
	f, ok := l.texts[id]
	if !ok {
		return fmt.Errorf("%w: %q", ErrNoText, id)
	}
	count, _ := a["count"].(int)
	for i, part := range f.of(count) {
		if i%2 == 0 {
			b.WriteString(ours(part))
			continue
		}
		switch v := a[part].(type) {
		case string:
			b.WriteString(theirs(v))
		case words:
			b.WriteString(ours(string(v)))
		case int:
			b.WriteString(strconv.Itoa(v))
		default:
			return fmt.Errorf("%w: %q with {%s}", ErrNoText, id, part)
		}
	}
	return nil
}

// args returns what m has for placeholders.
func (m Message) args(l *locale) args {
	return args{"count": m.Count, "wait": l.wait(m.Wait), "name": m.Name}
}

// text returns a text without placeholders, or with a count alone.
func (l *locale) text(id Text, count int) words {
	s, err := l.plain(id, args{"count": count})
	if err != nil {
		return ""
	}
	return words(s)
}

// wait tells a duration in words, rounded up.
func (l *locale) wait(d time.Duration) words {
	up := func(unit time.Duration) int { return int((max(d, 0) + unit - 1) / unit) }
	switch {
	case d > 90*time.Minute:
		return l.text("wait.hours", up(time.Hour))
	case d > 59*time.Second:
		return l.text("wait.minutes", up(time.Minute))
	default:
		return l.text("wait.seconds", up(time.Second))
	}
}

// ago tells how long before now t was; as a date, if long, or if now is zero.
func (l *locale) ago(t, now time.Time) words {
	switch d := now.Sub(t); {
	case now.IsZero() || d >= 30*24*time.Hour:
		return l.date(t)
	case d < time.Minute:
		return l.text("ago.now", 0)
	case d < time.Hour:
		return l.text("ago.minutes", int(d/time.Minute))
	case d < 24*time.Hour:
		return l.text("ago.hours", int(d/time.Hour))
	default:
		return l.text("ago.days", int(d/(24*time.Hour)))
	}
}

// date tells the day of t, in UTC: a page without scripts does not know where
// its reader is.
func (l *locale) date(t time.Time) words {
	y, m, d := t.UTC().Date()
	s, err := l.plain("date", args{
		"day": d, "month": l.text(Text("month."+strconv.Itoa(int(m))), 0), "year": y,
	})
	if err != nil {
		return ""
	}
	return words(s)
}
