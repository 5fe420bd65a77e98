package test

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// A vault is what nobody may find: secrets, by what they are.
type vault map[string]string

// A find is where a secret stands, and how it is written there.
type find struct{ secret, as string }

// in returns what of v stands in text: raw, hex, URL-encoded, and as base32
// and base64 of either alphabet, at whatever place of a longer text.
func (v vault) in(text string) (found []find) {
	for _, name := range slices.Sorted(maps.Keys(v)) {
		for as, form := range written(v[name]) {
			if strings.Contains(text, form) {
				found = append(found, find{name, as})
			}
		}
	}
	return found
}

// written returns the ways in which secret may have been written.
func written(secret string) map[string]string {
	b := []byte(secret)
	forms := map[string]string{
		"raw": secret, "hex": hex.EncodeToString(b), "HEX": strings.ToUpper(hex.EncodeToString(b)),
		"query": url.QueryEscape(secret), "path": url.PathEscape(secret), "quoted": strings.Trim(fmt.Sprintf("%q", secret), `"`),
	}
	aligned(forms, "base64", 3, 4, b, base64.RawStdEncoding.EncodeToString)
	aligned(forms, "base64url", 3, 4, b, base64.RawURLEncoding.EncodeToString)
	aligned(forms, "base32", 5, 8, b, base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString)
	return forms
}

// aligned adds the texts of an encoding that turns groups of in bytes into out
// characters, for each place of secret within a group: those characters that
// do not depend on what stands around it.
func aligned(forms map[string]string, name string, in, out int, secret []byte, encode func([]byte) string) {
	for before := range in {
		text := encode(append(make([]byte, before), secret...))
		bits := 8 * in / out
		from := (8*before + bits - 1) / bits
		to := 8 * (before + len(secret)) / bits
		if to-from >= 8 {
			forms[fmt.Sprintf("%s+%d", name, before)] = text[from:to]
		}
	}
}

// The search would find each of them: it can fail.
func TestTheSearchForSecretsFindsThem(t *testing.T) {
	v := vault{"it": "a Secret/with ö+and more"}
	for name, text := range map[string]string{
		"raw":           "x" + v["it"] + "y",
		"hex":           fmt.Sprintf("%x", "ab"+v["it"]+"c"),
		"base64":        base64.StdEncoding.EncodeToString([]byte("ab" + v["it"] + "cd")),
		"base64url":     base64.URLEncoding.EncodeToString([]byte("a" + v["it"] + "cd")),
		"base32":        base32.StdEncoding.EncodeToString([]byte("abcd" + v["it"] + "cd")),
		"URL-encoded":   "?x=" + url.QueryEscape(v["it"]),
		"in a Go value": fmt.Sprintf("%+v", struct{ A any }{[]string{v["it"]}}),
		"in JSON":       fmt.Sprintf("%q", v["it"]),
	} {
		if len(v.in(text)) == 0 {
			t.Errorf("%s: not found", name)
		}
		if len(v.in(strings.Replace(text, "a", "b", -1)[:5])) != 0 {
			t.Errorf("%s: found where it is not", name)
		}
	}
}
