package templates

import (
	"io"
)

// Options say how pages look and where they are. The zero Options are ours.
type Options struct {
	// Dir is a directory whose files take the place of the embedded ones:
	// password.html and so on, style.css, locales/en.json; a further
	// locales/fr.json adds a language. Empty: none.
	Dir string

	Brand Brand

	// Base is the path that the provider is mounted under, without a slash at
	// its end; empty: the root.
	Base string
}

// A Brand is whose pages these are. The zero Brand is Sallyport's.
type Brand struct {
	Name string // empty: Sallyport

	// Logo is an image shown beside the name, SVG or PNG. Nil: two doors.
	Logo []byte

	// Accent is the colour of buttons, links and the focus ring on light
	// ground, AccentDark on dark, each as #rrggbb. Empty: a calm green.
	// Wherever text would be hard to read, a lighter or darker shade is used.
	Accent, AccentDark string
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
type Set struct{}

// New reads and checks all templates. The error names file and line.
func New(o Options) (*Set, error) { return &Set{}, nil }

// Render writes p in the language lang, one of Languages (any other: English),
// all of it or nothing.
func (s *Set) Render(w io.Writer, lang string, p Page) error { return nil }

// Languages returns the tags of the languages there are, English first.
func (s *Set) Languages() []string { return nil }

// Language returns the language to use for someone who asks for ui_locales
// (OpenID Connect Core section 3.1.2.1) with a browser that sends
// Accept-Language; either may be empty or nonsense.
func (s *Set) Language(uiLocales, acceptLanguage string) string { return "" }

// Asset returns what pages refer to as {Base}/assets/{name}.
func (s *Set) Asset(name string) (Asset, bool) { return Asset{}, false }

// Stylesheet returns the one stylesheet of all pages.
func (s *Set) Stylesheet() Asset { return Asset{} }

// CodesFile returns the recovery codes of p as a plain text file, to be served
// as an attachment.
func (s *Set) CodesFile(lang string, p Codes) []byte { return nil }

// Text returns the sentence m, for what is no page.
func (s *Set) Text(lang string, m Message) string { return "" }
