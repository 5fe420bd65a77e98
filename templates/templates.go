package templates

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
)

//go:embed html locales
var embedded embed.FS

// What is wrong with Options or a call.
var (
	ErrTemplate = errors.New("templates: broken template")
	ErrLocale   = errors.New("templates: broken locale file")
	ErrBrand    = errors.New("templates: unusable brand")
	ErrNoText   = errors.New("templates: no such text")
)

// Options say how pages look and where they are. The zero Options are ours.
type Options struct {
	// Dir is a directory whose files take the place of the embedded ones:
	// password.html and so on, style.css, locales/en.json; a further
	// locales/fr.json adds a language. Empty: none.
	Dir string

	Brand Brand

	// Scopes are the words for scopes of your own: what each allows, as in "Send
	// money", by language and then scope. English takes the place of a language
	// that is missing; of a scope without words its name is shown.
	Scopes map[string]map[string]string

	// Base is the path that the provider is mounted under, without a slash at
	// its end; empty: the root.
	Base string
}

// An Asset is a file that pages refer to. Its name changes with its content,
// so that it may be cached for ever.
type Asset struct {
	Name string // the last element of its path
	Type string // Content-Type
	Data []byte
}

// A Set is all pages in all languages, ready to render. It is safe for
// concurrent use.
type Set struct {
	brand   Brand
	base    string
	locales map[string]*locale
	tags    []string // of locales, English first
	pages   map[string]*template.Template
	style   Asset
	icon    Asset
	logo    Asset // without a Name: none but the drawn doors
	buffers sync.Pool
}

// New reads and checks all templates. The error names file and line.
func New(o Options) (*Set, error) {
	s := &Set{
		brand:   o.Brand.withDefaults(),
		base:    strings.TrimRight(o.Base, "/"),
		locales: map[string]*locale{},
		pages:   map[string]*template.Template{},
	}
	s.buffers.New = func() any { return new(bytes.Buffer) }
	files, err := read(o.Dir)
	if err != nil {
		return nil, err
	}
	if err := s.dress(files["style.css"]); err != nil {
		return nil, err
	}
	if err := s.readLocales(files); err != nil {
		return nil, err
	}
	for tag, l := range s.locales {
		l.learn(o.Scopes["en"])
		l.learn(o.Scopes[tag])
	}
	if err := s.parse(files); err != nil {
		return nil, err
	}
	if o.Dir == "" {
		return s, nil // what is embedded is tried out by the tests
	}
	if err := s.rehearse(); err != nil {
		return nil, fmt.Errorf("in %s: %w", o.Dir, err)
	}
	return s, nil
}

// read returns all files by name, those of dir in place of the embedded ones.
func read(dir string) (map[string][]byte, error) {
	files := map[string][]byte{}
	err := each(embedded, "html", func(name string, b []byte) error {
		files[name] = b
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = each(embedded, "locales", func(name string, b []byte) error {
		files["locales/"+name] = b
		return nil
	})
	if err != nil || dir == "" {
		return files, err
	}
	err = each(os.DirFS(dir), ".", func(name string, b []byte) error {
		if _, ok := files[name]; !ok && (path.Ext(name) == ".html" || path.Ext(name) == ".css") {
			// A misspelled name would be ignored for ever without a word.
			return fmt.Errorf("%w: %s/%s: there is no template of this name", ErrTemplate, dir, name)
		} else if ok {
			files[name] = b
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = each(os.DirFS(dir), "locales", func(name string, b []byte) error {
		if path.Ext(name) == ".json" {
			files["locales/"+name] = b
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return files, err
}

// each calls f with the regular files of dir.
func each(fsys fs.FS, dir string, f func(name string, b []byte) error) error {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return fmt.Errorf("templates: reading: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		b, err := fs.ReadFile(fsys, path.Join(dir, e.Name()))
		if err != nil {
			return fmt.Errorf("templates: reading: %w", err)
		}
		if err := f(e.Name(), b); err != nil {
			return err
		}
	}
	return nil
}

func (s *Set) readLocales(files map[string][]byte) error {
	english, err := parseLocale("locales/en.json", files["locales/en.json"], nil)
	if err != nil {
		return err
	}
	s.locales["en"], s.tags = english, []string{"en"}
	for name, b := range files {
		tag, ok := strings.CutSuffix(strings.TrimPrefix(name, "locales/"), ".json")
		if !ok || tag == "en" {
			continue
		}
		if s.locales[tag], err = parseLocale(name, b, english); err != nil {
			return err
		}
		s.tags = append(s.tags, tag)
	}
	slices.Sort(s.tags[1:])
	return nil
}

// parse makes the templates of each language: the same text with other words.
func (s *Set) parse(files map[string][]byte) error {
	words := template.New("").Funcs(s.funcs(s.locales["en"]))
	for name, b := range files {
		if path.Ext(name) != ".html" {
			continue
		}
		if _, err := words.New(name).Parse(string(b)); err != nil {
			return fmt.Errorf("%w: %w", ErrTemplate, err)
		}
	}
	for _, tag := range s.tags {
		t, err := words.Clone()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrTemplate, err)
		}
		s.pages[tag] = t.Funcs(s.funcs(s.locales[tag]))
	}
	return nil
}

// rehearse renders every page once, so that a mistake in an overriding file
// is found at the start and not by the first person who needs the page.
func (s *Set) rehearse() error {
	for _, tag := range s.tags {
		for _, v := range samples() {
			if err := s.Render(io.Discard, tag, v.page); err != nil {
				return fmt.Errorf("%w: %w", ErrTemplate, err)
			}
		}
	}
	return nil
}

// Render writes p in the language lang, one of Languages (any other: English),
// all of it or nothing.
func (s *Set) Render(w io.Writer, lang string, p Page) error {
	t, ok := s.pages[lang]
	if !ok {
		t = s.pages["en"]
	}
	b := s.buffers.Get().(*bytes.Buffer)
	defer s.buffers.Put(b)
	// The buffer has held other people's pages, with names and secrets.
	defer func() { clear(b.Bytes()); b.Reset() }()
	if err := t.ExecuteTemplate(b, p.file()+".html", p); err != nil {
		return fmt.Errorf("templates: rendering: %w", err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("templates: writing: %w", err)
	}
	return nil
}

// Languages returns the tags of the languages there are, English first.
func (s *Set) Languages() []string { return slices.Clone(s.tags) }

// Asset returns what pages refer to as {Base}/assets/{name}.
func (s *Set) Asset(name string) (Asset, bool) {
	for _, a := range []Asset{s.style, s.icon, s.logo} {
		if name != "" && a.Name == name {
			return a, true
		}
	}
	return Asset{}, false
}

// Stylesheet returns the one stylesheet of all pages.
func (s *Set) Stylesheet() Asset { return s.style }

// Text returns the sentence m, for what is no page; empty if there is none.
func (s *Set) Text(lang string, m Message) string {
	text, err := s.locale(lang).plain(m.Text, m.args(s.locale(lang)))
	if err != nil {
		return ""
	}
	return text
}

func (s *Set) locale(lang string) *locale {
	if l, ok := s.locales[lang]; ok {
		return l
	}
	return s.locales["en"]
}

// CodesFile returns the recovery codes of p as a plain text file, to be served
// as an attachment.
func (s *Set) CodesFile(lang string, p Codes) []byte {
	l := s.locale(lang)
	var b strings.Builder
	line := func(id Text, a args) {
		text, err := l.plain(id, a)
		if err == nil {
			b.WriteString(text + "\n")
		}
	}
	line("codes.file", args{"brand": s.brand.Name, "user": p.Username})
	if !p.Made.IsZero() {
		line("codes.made", args{"date": l.date(p.Made)})
	}
	b.WriteString("\n")
	for _, c := range p.Codes {
		b.WriteString("  " + c + "\n")
	}
	b.WriteString("\n")
	line("codes.once", args{})
	return []byte(b.String())
}
