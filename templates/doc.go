// Package templates shows people the pages of Sallyport: one struct a page,
// one HTML template a struct, one stylesheet, one file of texts a language.
//
//	pages, err := templates.New(templates.Options{})
//	…
//	err = pages.Render(w, pages.Language(uiLocales, acceptLanguage), templates.Factor{…})
//
// A page struct holds facts, never sentences: what was wrong is a [Text], and
// how long to wait is a duration. So every word that anybody reads stands in
// locales/, where it can be translated, and no err.Error() reaches a page.
//
// # Decisions
//
// There is no JavaScript, no inline style and nothing from elsewhere: every
// page works under default-src 'none'; style-src 'self'; img-src 'self' data:
// (the data: is the QR code's, which must not have an address of its own).
//
// All names are other people's text. html/template keeps them from becoming
// markup; clean keeps them from reordering, hiding or covering what stands
// beside them, and a bdi element sets each apart, so that a page also reads
// right in a language that is written from the right. What was typed into a
// field comes back exactly as it was, in the field alone. Passwords, codes and
// tickets never come back: what is nearly a secret is one.
//
// Render is all or nothing: it fills a buffer first, so that half a page never
// goes out under a status of 200. The buffer is cleared before it is used
// again.
//
// Embedded templates are tried out by the tests. Overriding ones (Options.Dir)
// are tried out by New, which renders every page in every shape: a misspelled
// field is found at the start and not by whoever first loses their phone. For
// the same reason a file of an unknown name is an error and not ignored.
//
// Texts have named placeholders and, where a count stands in them, forms for
// exact counts and one for the rest. That is less than CLDR's plural rules and
// enough for the languages here; a language with more forms can word around
// it. A further locale file may lack texts, which are then English, so that a
// new version does not stop a server whose operator translated the last one.
//
// The brand's accent colours are never refused for their contrast: buttons
// take a shade that stands out from the card by 3:1, their text is white or
// near black, and links a shade that reaches 4.5:1 on every ground. An
// operator cannot make a page that is hard to read.
//
// A heading says what to do, the browser's title says what is wrong first, the
// error stands below its field and is named by aria-describedby, and the first
// field in error has the focus. A field that follows a picture to be scanned
// does not take the focus by itself: a phone would scroll past the picture.
//
// Times are told relative to now, and as dates in UTC when long past: a page
// without scripts does not know the time zone of its reader.
package templates
