package test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// escaped writes every byte of s as %XX.
func escaped(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02x", s[i])
	}
	return b.String()
}

// swapped returns s with its letters in the other case.
func swapped(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsUpper(c) {
			return unicode.ToLower(c)
		}
		return unicode.ToUpper(c)
	}, s)
}

// A trick writes a parameter in a way that somebody might take for the
// parameter, and somebody else not.
type trick struct {
	name string
	do   func(name, value string) string
}

// repeats name a parameter twice: of proxy, log and server each may look at
// another.
var repeats = []trick{
	{"twice", func(n, v string) string { return plainly(n, v) + "&" + plainly(n, v) }},
	{"another after", func(n, v string) string { return plainly(n, v) + "&" + plainly(n, "evil") }},
	{"another before", func(n, v string) string { return plainly(n, "evil") + "&" + plainly(n, v) }},
	{"an empty one after", func(n, v string) string { return plainly(n, v) + "&" + n + "=" }},
	{"one without a value", func(n, v string) string { return plainly(n, v) + "&" + n }},
	{"spelt otherwise", func(n, v string) string { return plainly(n, v) + "&" + escaped(n) + "=" + url.QueryEscape(v) }},
}

// aliases are names that are not the parameter's.
var aliases = []trick{
	{"in the other case", func(n, v string) string { return plainly(swapped(n), v) }},
	{"as a list", func(n, v string) string { return plainly(n+"[]", v) }},
	{"as a list, bare", func(n, v string) string { return n + "[]=" + url.QueryEscape(v) }},
	{"with an index", func(n, v string) string { return plainly(n+"[0]", v) }},
	{"as an object", func(n, v string) string { return plainly(n+"[value]", v) }},
	{"in an object", func(n, v string) string { return plainly("params["+n+"]", v) }},
	{"behind a dot", func(n, v string) string { return plainly("params."+n, v) }},
	{"before a dot", func(n, v string) string { return plainly(n+".", v) }},
	{"after a space", func(n, v string) string { return plainly(" "+n, v) }},
	{"before a space", func(n, v string) string { return plainly(n+" ", v) }},
	{"before a tab", func(n, v string) string { return plainly(n+"\t", v) }},
	{"before a zero byte", func(n, v string) string { return plainly(n+"\x00", v) }},
	{"before a zero byte and more", func(n, v string) string { return plainly(n+"\x00.jpg", v) }},
	{"before an invisible space", func(n, v string) string { return plainly(n+"\u200b", v) }},
	{"after a byte order mark", func(n, v string) string { return plainly("\ufeff"+n, v) }},
	{"encoded twice", func(n, v string) string { return url.QueryEscape(escaped(n)) + "=" + url.QueryEscape(v) }},
	{"overlong", func(n, v string) string {
		return "%c1%" + fmt.Sprintf("%02x", n[0]|0x80) + n[1:] + "=" + url.QueryEscape(v)
	}},
	{"in wide letters", func(n, v string) string { return plainly(string(rune(n[0])-'a'+'ａ')+n[1:], v) }},
	{"with dashes", func(n, v string) string { return plainly(strings.ReplaceAll(n, "_", "-")+"-", v) }},
	{"behind a semicolon", func(n, v string) string { return "x=1;" + plainly(n, v) }},
	{"behind a question mark", func(n, v string) string { return "?" + plainly(n, v) }},
	{"behind a number sign", func(n, v string) string { return "%23" + plainly(n, v) }},
	{"with a colon", func(n, v string) string { return n + ":" + url.QueryEscape(v) }},
	{"with an equals sign that is escaped", func(n, v string) string { return n + "%3d" + url.QueryEscape(v) }},
	{"behind an ampersand that is escaped", func(n, v string) string { return "x=1%26" + plainly(n, v) }},
	{"behind an ampersand of HTML", func(n, v string) string { return "x=1&amp;" + plainly(n, v) }},
	{"in JSON", func(n, v string) string { return url.QueryEscape(fmt.Sprintf("{%q:%q}", n, v)) }},
	{"without a value", func(n, _ string) string { return n }},
	{"left out", func(string, string) string { return "" }},
}

// disguises are values that are not the parameter's.
var disguises = []trick{
	{"empty", func(n, _ string) string { return n + "=" }},
	{"and a zero byte", func(n, v string) string { return plainly(n, v+"\x00") }},
	{"and a zero byte and more", func(n, v string) string { return plainly(n, v+"\x00.example") }},
	{"after a zero byte", func(n, v string) string { return plainly(n, "\x00"+v) }},
	{"and a space", func(n, v string) string { return plainly(n, v) + "+" }},
	{"after a space", func(n, v string) string { return n + "=+" + url.QueryEscape(v) }},
	{"and a line break", func(n, v string) string { return plainly(n, v+"\n") }},
	{"and a header", func(n, v string) string { return plainly(n, v+"\r\nSet-Cookie: a=b\r\n\r\n<script>") }},
	{"and a tab", func(n, v string) string { return plainly(n, v+"\t") }},
	{"and no UTF-8", func(n, v string) string { return plainly(n, v+"\xff") }},
	{"and half a letter", func(n, v string) string { return plainly(n, v+"\xc3") }},
	{"and a surrogate", func(n, v string) string { return plainly(n, v+"\xed\xa0\x80") }},
	{"and an overlong slash", func(n, v string) string { return plainly(n, v+"\xc0\xaf") }},
	{"and an invisible space", func(n, v string) string { return plainly(n, v+"\u200b") }},
	{"and an accent", func(n, v string) string { return plainly(n, v+"\u0301") }},
	{"right to left", func(n, v string) string { return plainly(n, "\u202e"+v) }},
	{"after a byte order mark", func(n, v string) string { return plainly(n, "\ufeff"+v) }},
	{"encoded twice", func(n, v string) string { return n + "=" + url.QueryEscape(escaped(v)) }},
	{"and a bad escape", func(n, v string) string { return plainly(n, v) + "%zz" }},
	{"and half an escape", func(n, v string) string { return plainly(n, v) + "%4" }},
	{"and a percent sign", func(n, v string) string { return plainly(n, v) + "%" }},
	{"and an escape of scripts", func(n, v string) string { return plainly(n, v) + "%u0041" }},
	{"in quotes", func(n, v string) string { return plainly(n, `"`+v+`"`) }},
	{"in brackets", func(n, v string) string { return plainly(n, "["+v+"]") }},
	{"in JSON", func(n, v string) string { return plainly(n, `["`+v+`"]`) }},
	{"an operator", func(n, _ string) string { return plainly(n, `{"$ne":null}`) }},
	{"an expression", func(n, v string) string { return plainly(n, v+"' OR '1'='1") }},
	{"a comment", func(n, v string) string { return plainly(n, v+"'--") }},
	{"a wildcard", func(n, _ string) string { return plainly(n, "*") }},
	{"a wildcard of SQL", func(n, _ string) string { return plainly(n, "%") }},
	{"a pattern", func(n, _ string) string { return plainly(n, ".*") }},
	{"a template", func(n, v string) string { return plainly(n, v+"{{.}}${7*7}") }},
	{"a script", func(n, v string) string { return plainly(n, v+`"><script>alert(1)</script>`) }},
	{"two in one", func(n, v string) string { return plainly(n, v+","+v) }},
	{"two in one, by a space", func(n, v string) string { return plainly(n, v+" "+v) }},
	{"null", func(n, _ string) string { return plainly(n, "null") }},
	{"undefined", func(n, _ string) string { return plainly(n, "undefined") }},
	{"a number", func(n, _ string) string { return plainly(n, "0") }},
	{"a path", func(n, v string) string { return plainly(n, "../../"+v) }},
	{"longer", func(n, v string) string { return plainly(n, v+strings.Repeat("a", 4000)) }},
	{"too long", func(n, v string) string { return plainly(n, v+strings.Repeat("a", 70_000)) }},
}

// rows crosses the lures with what can be wrong with them.
func (b *bait) rows() (all []hostile) {
	for _, l := range b.lures {
		first := len(all)
		app := func(name string) bool { return l.here != nil && !slices.Contains(l.here, name) }
		each := func(names []string, tricks []trick) {
			for _, name := range names {
				for _, trick := range tricks {
					text := l.text(l.encoded(func(n, v string) string {
						if n == name {
							return trick.do(n, v)
						}
						return plainly(n, v)
					}))
					all = append(all, hostile{name: l.name + ", " + name + " " + trick.name, text: text, app: app(name)})
				}
			}
		}
		var names []string
		for _, p := range l.params {
			names = append(names, p[0])
		}
		each(names, repeats)
		each(slices.Concat(l.exact, l.named), aliases)
		each(l.exact, disguises)
		for _, name := range l.exact { // of a request, one part here and one there
			if l.method == http.MethodPost {
				moved := l
				moved.path += "?" + l.encoded(func(n, v string) string {
					if n == name {
						return plainly(n, v)
					}
					return ""
				})
				all = append(all, bad(l.name+", "+name+" in the URL", moved.text(l.encoded(func(n, v string) string {
					if n == name {
						return ""
					}
					return plainly(n, v)
				}))))
			}
		}
		each(l.exact, []trick{{"in the other case of letters", func(n, v string) string { return plainly(n, swapped(v)) }}})
		all = append(all, l.sizes()...)
		all = append(all, l.kinds()...)
		all = append(all, l.frames()...)
		all = append(all, l.paths()...)
		all = append(all, l.methods()...)
		for i := range all[first:] {
			all[first+i].back = l.back
		}
	}
	return slices.Concat(all, b.additions(), b.forgeries(), b.credentials(), b.elsewhere())
}

// sizes are too much of it.
func (l lure) sizes() (all []hostile) {
	whole := l.encoded(plainly)
	if whole != "" {
		all = append(all, bad(l.name+", with 65 parameters", l.text(whole+strings.Repeat("&a=b", 65))),
			bad(l.name+", with a thousand names", l.text(whole+strings.Repeat("&a", 1000))),
			bad(l.name+", with ampersands only", l.text(strings.Repeat("&", 70_000)+whole)),
			bad(l.name+", with a long name", l.text(whole+"&"+strings.Repeat("n", 70_000)+"=1")))
	}
	long := l
	long.path += "?" + strings.Repeat("a", 9000)
	return append(all, bad(l.name+", with a long URL", long.text(whole)))
}

// kinds are bodies that are no form, or not said to be one.
func (l lure) kinds() (all []hostile) {
	if l.method != http.MethodPost {
		return nil
	}
	whole := l.encoded(plainly)
	const form = "Content-Type: application/x-www-form-urlencoded\r\n"
	json := "{"
	for i, p := range l.params {
		if i > 0 {
			json += ","
		}
		json += fmt.Sprintf("%q:%q", p[0], p[1])
	}
	json += "}"
	var parts strings.Builder
	for _, p := range l.params {
		fmt.Fprintf(&parts, "--b\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", p[0], p[1])
	}
	parts.WriteString("--b--\r\n")
	wide := func(s string) string { // UTF-16
		var b strings.Builder
		for i := range len(s) {
			b.WriteByte(0)
			b.WriteByte(s[i])
		}
		return b.String()
	}
	for _, is := range []struct{ name, kind, body string }{
		{"JSON", "Content-Type: application/json\r\n", json + "}"},
		{"JSON that is said to be a form", form, json + "}"},
		{"a form that is said to be JSON", "Content-Type: application/json\r\n", whole},
		{"JSON for a form", "Content-Type: application/json;application/x-www-form-urlencoded\r\n", whole},
		{"multipart", "Content-Type: multipart/form-data; boundary=b\r\n", parts.String()},
		{"multipart without an end", "Content-Type: multipart/form-data; boundary=\r\n", parts.String()},
		{"multipart that is said to be a form", form, parts.String()},
		{"plain text", "Content-Type: text/plain\r\n", whole},
		{"plain text of a charset", "Content-Type: text/plain; charset=application/x-www-form-urlencoded\r\n", whole},
		{"bytes", "Content-Type: application/octet-stream\r\n", whole},
		{"no kind", "", whole},
		{"an empty kind", "Content-Type:\r\n", whole},
		{"a kind that is longer", "Content-Type: application/x-www-form-urlencoded-x\r\n", whole},
		{"a kind with a wildcard", "Content-Type: application/*\r\n", whole},
		{"two kinds", form + "Content-Type: application/json\r\n", whole},
		{"two kinds, otherwise", "Content-Type: application/json\r\n" + form, whole},
		{"two kinds in one", "Content-Type: application/x-www-form-urlencoded, application/json\r\n", whole},
		{"a kind with a broken parameter", "Content-Type: application/x-www-form-urlencoded; charset=\"\r\n", whole},
		{"a kind with two charsets", "Content-Type: application/x-www-form-urlencoded; charset=utf-8; charset=utf-16\r\n", whole},
		{"UTF-16", "Content-Type: application/x-www-form-urlencoded; charset=utf-16\r\n", wide(whole)},
		{"UTF-7", "Content-Type: application/x-www-form-urlencoded; charset=utf-7\r\n", strings.ReplaceAll(whole, "=", "+AD0-")},
		{"EBCDIC", "Content-Type: application/x-www-form-urlencoded; charset=ibm037\r\n", strings.ReplaceAll(whole, "=", "\x7e")},
		{"gzip", form + "Content-Encoding: gzip\r\n", "\x1f\x8b\x08\x00" + whole},
		{"base64", form + "Content-Transfer-Encoding: base64\r\n", base64.StdEncoding.EncodeToString([]byte(whole))},
		{"XML", "Content-Type: application/xml\r\n", `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>`},
		{"nothing", form, ""},
	} {
		head, _, _ := strings.Cut(l.text(""), "Content-Type:")
		all = append(all, bad(l.name+", the body "+is.name,
			head+is.kind+fmt.Sprintf("Content-Length: %d\r\nConnection: close\r\n\r\n", len(is.body))+is.body))
	}
	return all
}
