package templates

import (
	"net"
	"net/url"
	"strings"
	"unicode"
)

const (
	longest = 80 // runes of a name on a page
	marks   = 2  // combining marks in a row
)

// clean returns a name as it may stand on a page. Names are other people's
// text: one that turns the direction of writing, hides behind invisible
// characters, or piles up marks until it covers its neighbours could make a
// page say what it does not.
func clean(name string) string { return inert(name, longest) }

// Inert returns text as it may stand on a page: without what turns, hides or
// covers what stands beside it, on one line, and whole.
func Inert(text string) string { return inert(text, len(text)) }

func inert(name string, longest int) string {
	var b strings.Builder
	n, run, space := 0, 0, false
letters:
	for _, r := range name {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me):
			if run++; run > marks || n == 0 {
				continue
			}
		case unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Zs):
			space = n > 0
			continue
		case invisible(r):
			continue
		default:
			run = 0
		}
		if n == longest {
			b.WriteRune('…')
			break letters
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}

// invisible reports whether r shows nothing but changes what is seen or
// compared: format characters (the bidirectional controls among them), private
// use, surrogates, and letters that are blank.
func invisible(r rune) bool {
	switch r {
	case 0x115F, 0x1160, 0x3164, 0xFFA0, 0x2800, 0x034F:
		return true
	}
	return unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs)
}

// isolate returns text set apart from what is around it, so that a name in
// Hebrew leaves the sentence in order (Unicode TR9 section 2.4.2).
func isolate(text string) string {
	for _, r := range text {
		if r > unicode.MaxASCII {
			return "\u2068" + text + "\u2069"
		}
	}
	return text
}

// link returns address if someone can be sent there: over https, or to their
// own machine; otherwise nothing.
func link(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil {
		return ""
	}
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme == "https" || u.Scheme == "http" && loopback {
		return u.String()
	}
	return ""
}
