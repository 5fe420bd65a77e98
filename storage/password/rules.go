package password

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Max is how many characters a password may have.
const Max = 256

// Rules say which passwords may be chosen. The zero Rules are those of NIST
// SP 800-63B-4 section 3.1.1.2 for a password beside another factor: at least 8
// characters, anything in them, none that everybody tries first.
type Rules struct {
	Min int // characters at least; zero: 8. Where the password is the only factor: 15
}

// A Reason is why a password is refused.
type Reason string

const (
	TooShort Reason = "too short"
	TooLong  Reason = "too long"
	NotText  Reason = "not text"
	Common   Reason = "common"
	AboutYou Reason = "about you"
)

// A Refusal is the error for a password that may not be chosen. It does not
// show the password.
type Refusal struct {
	Reason Reason
	Limit  int // characters, with TooShort and TooLong
}

// Error returns the reason for a log.
func (r *Refusal) Error() string { return "password: refused: " + string(r.Reason) }

// Sentence returns the reason for the person who chose the password.
func (r *Refusal) Sentence() string {
	switch r.Reason {
	case TooShort:
		return fmt.Sprintf("Use at least %d characters. A few words in a row are easy to remember.", r.Limit)
	case TooLong:
		return fmt.Sprintf("Use at most %d characters.", r.Limit)
	case NotText:
		return "This password holds something that is not text. Type it, or paste it from where it was made."
	case Common:
		return "This password is among those that attackers try first. Choose one that nobody would guess."
	case AboutYou:
		return "This password is little more than your name or the name of this service. Choose one that has nothing to do with them."
	}
	return "This password cannot be used. Choose another one."
}

// Check returns nil if pw may be chosen by someone about whom the words of
// about are known: username, name, email address, name of the service.
// Otherwise the error is a *Refusal. A password is counted in characters
// (code points) of its NFC form.
func (r Rules) Check(pw string, about ...string) error {
	if len(pw) > longest {
		return &Refusal{Reason: TooLong, Limit: Max}
	}
	if !utf8.ValidString(pw) {
		return &Refusal{Reason: NotText}
	}
	if r.Min <= 0 {
		r.Min = 8
	}
	switch n := utf8.RuneCountInString(norm.NFC.String(pw)); {
	case n < r.Min:
		return &Refusal{Reason: TooShort, Limit: r.Min}
	case n > Max:
		return &Refusal{Reason: TooLong, Limit: Max}
	}
	low := fold(pw)
	if guessable(low) {
		return &Refusal{Reason: Common}
	}
	if names(low, about) {
		return &Refusal{Reason: AboutYou}
	}
	return nil
}

//go:embed common.txt
var commonText string

// common returns the words of common.txt as they stand there, and as plain makes
// them.
var common = sync.OnceValue(func() map[string]bool {
	words := map[string]bool{}
	for line := range strings.Lines(commonText) {
		if !strings.HasPrefix(line, "#") {
			for w := range strings.FieldsSeq(line) {
				words[w] = true
				words[plain(w)] = true
			}
		}
	}
	return words
})

// fold returns s without differences of case, width and spaces.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFKC.String(s))
}

// standIns are what is written for letters by people who were told to use a
// digit and a special character.
var standIns = strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "5", "s", "7", "t", "@", "a", "$", "s", "!", "i")

// plain returns a folded s with letters for what stands in for them.
func plain(s string) string { return standIns.Replace(s) }

// trimmed returns s without what is no letter at its ends.
func trimmed(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return !unicode.IsLetter(r) })
}

// guessable reports whether a folded pw is a common one, a common word with
// some digits and marks around it, a walk along the alphabet or the digits, or
// a short piece over and over.
func guessable(pw string) bool {
	// plain before trimmed would make letters of the digits behind a word:
	// dragon13 is dragon with a number, not dragonie.
	for _, w := range []string{pw, plain(pw), trimmed(pw), plain(trimmed(pw)), trimmed(plain(pw))} {
		// What was cut off must be short, or it is itself the password.
		if common()[w] && utf8.RuneCountInString(pw)-utf8.RuneCountInString(w) <= 6 {
			return true
		}
	}
	return walks(pw) || repeats(pw)
}

// walks reports whether each character of pw but a few follows its neighbour
// up, down or not at all: 23456789, fedcba98, aaaabbbb.
func walks(pw string) bool {
	rs := []rune(pw)
	breaks := 0
	for i := 2; i < len(rs); i++ {
		step := rs[i] - rs[i-1]
		if step < -1 || step > 1 || step != rs[i-1]-rs[i-2] {
			breaks++
		}
	}
	return breaks*4 <= len(rs)
}

// repeats reports whether pw is one piece of at most a third of it, or a common
// one, over and over, the last time perhaps not all of it.
func repeats(pw string) bool {
	rs := []rune(pw)
	for n := 1; n <= len(rs)/2; n++ {
		piece := string(rs[:n])
		again := strings.HasPrefix(strings.Repeat(piece, len(rs)/n+1), pw)
		if again && (n <= len(rs)/3 || common()[piece] || common()[plain(piece)]) {
			return true
		}
	}
	return false
}

// enough is how many characters must be in a password beside what is known
// about its owner.
const enough = 6

// names reports whether a folded pw is little more than words of about, forwards
// or backwards.
func names(pw string, about []string) bool {
	var words []string
	for _, a := range about {
		parts := strings.FieldsFunc(a, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		for _, w := range append(parts, a, strings.Join(parts, "")) {
			if w = fold(w); utf8.RuneCountInString(w) >= 3 {
				words = append(words, w, reversed(w))
			}
		}
	}
	// The longest first, or ann would leave abel of annabel.
	slices.SortFunc(words, func(a, b string) int { return len(b) - len(a) })
	for _, view := range []func(string) string{func(s string) string { return s }, plain} {
		rest := view(pw)
		for _, w := range words {
			rest = strings.ReplaceAll(rest, view(w), "")
		}
		if rest != view(pw) && utf8.RuneCountInString(rest) < enough {
			return true
		}
	}
	return false
}

func reversed(s string) string {
	rs := []rune(s)
	slices.Reverse(rs)
	return string(rs)
}
