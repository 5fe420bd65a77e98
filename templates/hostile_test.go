package templates

import (
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
)

// attacks are what hostile names are put together from.
var attacks = []string{
	"<script>alert(1)</script>", "</title><script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "' onfocus='alert(1)' autofocus='",
	"<!--", "-->", "]]>", "<![CDATA[", "</main></body></html>", "<base href=//evil.example>", "<meta http-equiv=refresh content=0>",
	"<svg/onload=alert(1)>", "<form action=//evil.example>", "</form>", "</bdi>", "<bdi dir=rtl>", "</textarea>", "<plaintext>", "<style>*{display:none}</style>",
	"{{.Action}}", "{{template \"top\" .}}", "{name}", "{", "}", "%3Cscript%3E", "&lt;script&gt;", "&#60;b&#62;", "&", "\\u003cscript\\u003e", "`", "${1}",
	"javascript:alert(1)", "data:text/html,<script>alert(1)</script>", "//evil.example", "https://evil.example/?a=\"><b>",
	"\x00", "\x1b[31m", "\r\n\r\n<b>", "\u2028", "\u2029", "\t", "\ufeff", "\xff\xfe", "\xc0\xbc",
	"\u202e", "\u202d", "\u2066", "\u2067", "\u2068", "\u2069\u2069\u2069", "\u200f", "\u061c", "\u200b", "\u00ad", "\u3164", "\U000e0001",
	"Z\u0351\u0362\u0353\u0347\u0316\u0322\u0338\u0321\u0489\u0341", strings.Repeat("\u0301", 200), strings.Repeat("W", 500), strings.Repeat("<b>", 50),
	"أهلا", "שלום", "日本語", "👩‍👩‍👧‍👦", "Ada Lovelace", "", " ",
}

func hostile(r *rand.Rand) string {
	var b strings.Builder
	for range 1 + r.IntN(4) {
		b.WriteString(attacks[r.IntN(len(attacks))])
	}
	return b.String()
}

// pagesOf returns pages that carry what others wrote wherever they can.
func pagesOf(name, host, user, scope, address string) []Page {
	app := App{name, host, address}
	flow := Flow{Action: "/flow/1", App: app, Username: user, Notice: &Message{Text: ConsentRevoked, Name: name}}
	return []Page{
		Password{flow, false}, Factor{flow, 6, "/flow/1"}, Recovery{flow, "/flow/1"}, EnrollStart{flow, true, false},
		Enroll{flow, nil, "KEY", "otpauth://totp/" + url.QueryEscape(name), 6}, Codes{flow, []string{"CODE"}, "/codes", time.Time{}},
		Consent{flow, []string{"openid", scope}}, Ended{app, EndedExpired, scope},
		FormPost{app, "https://x.example/", []Field{{"state", scope}}}, Error{FaultCookies, app, scope, 0},
		SignOut{"/logout", app, user, scope, "/account", nil}, SignedOut{app, "/account", []string{address}, address},
		Account{
			Action: "/account", Username: user, Name: name, Notice: flow.Notice,
			Sessions: []Session{{ID: scope, UserAgent: name, Address: host}, {ID: "2", This: true, UserAgent: user, Address: user}},
			Consents: []Allowed{{ClientID: scope, App: app, Scopes: []string{scope, user}}},
			Activity: []Activity{{Kind: scope, App: name, Address: host}},
		},
	}
}

// WEB-4
func TestHostileNamesAreInert(t *testing.T) {
	s := newSet(t, Options{})
	r := rand.New(rand.NewPCG(1, 2))
	var want []string
	for _, p := range pagesOf("x", "h", "u", "s", "https://x.example/?q=") {
		want = append(want, skeleton(parse(t, render(t, s, "en", p))))
	}
	for n := range 10_000 / 4 { // each with four names
		// The letter in front keeps a name from being empty, which would
		// rightly leave its element out, and apart from the others.
		name, host, user, scope := "x"+hostile(r), "h"+hostile(r), "u"+hostile(r), "s"+hostile(r)
		pages := pagesOf(name, host, user, scope, "https://x.example/?q="+url.QueryEscape(hostile(r)))
		i := n % len(pages)
		got := render(t, s, "en", pages[i])
		if skeleton(judge(t, got)) != want[i] {
			t.Fatalf("name %q, host %q, user %q, scope %q change the page:\n%s", name, host, user, scope, got)
		}
	}
}

// WEB-4
func TestHostileAddressesAreNoLinks(t *testing.T) {
	s := newSet(t, Options{})
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		bad := hostile(r)
		flow := Flow{Action: bad, App: App{Name: "x", InitiateURL: bad}}
		for _, p := range []Page{
			Factor{flow, 6, bad}, Recovery{flow, bad}, Enroll{flow, []byte(bad), "KEY", bad, 6}, Codes{flow, nil, bad, time.Time{}},
			Ended{flow.App, EndedExpired, ""}, Error{FaultCookies, flow.App, "", 0}, SignOut{bad, flow.App, bad, bad, bad, nil}, SignedOut{flow.App, bad, []string{bad}, bad}, FormPost{flow.App, bad, []Field{{"state", bad}}},
		} {
			judge(t, render(t, s, "en", p))
		}
	}
}

// judge fails if a page holds anything that could run, or show what it is not.
func judge(t *testing.T, page string) (doc *html.Node) {
	t.Helper()
	doc = parse(t, page)
	for _, n := range find(doc, "") {
		switch n.Data {
		case "script":
			// The one script is as it is, whatever else is on its page.
			if code := n.FirstChild; code == nil || code.Data != FormPostScript || len(n.Attr) > 0 {
				t.Fatalf("a script in\n%s", page)
			}
		case "iframe":
			// What an app is shown in to sign out: unseen, and it stays in there.
			if src, _ := attr(n, "src"); !strings.HasPrefix(src, "http") || !is(n, "sandbox", "allow-scripts allow-same-origin allow-forms") || !is(n, "hidden", "") {
				t.Fatalf("a frame %v in\n%s", n.Attr, page)
			}
		case "style", "object", "embed", "base", "plaintext", "textarea", "foreignobject":
			t.Fatalf("%s in\n%s", n.Data, page)
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "http-equiv" || a.Key == "formaction" {
				t.Fatalf("%s=%q in\n%s", a.Key, a.Val, page)
			}
			if a.Key != "href" && a.Key != "src" && a.Key != "action" {
				continue
			}
			switch scheme, rest, ok := strings.Cut(a.Val, ":"); {
			case !ok || strings.ContainsAny(scheme, "/?#"):
			case scheme == "data" && n.Data == "img" && strings.HasPrefix(rest, "image/png;base64,"):
			case strings.EqualFold(scheme, "https"), strings.EqualFold(scheme, "http"), scheme == "otpauth":
			default:
				t.Fatalf("%s=%q in\n%s", a.Key, a.Val, page)
			}
		}
	}
	title := find(doc, "title")[0]
	for c := range doc.Descendants() {
		if c.Type == html.CommentNode {
			t.Fatalf("a comment in\n%s", page)
		}
		if c.Type != html.TextNode {
			continue
		}
		for _, r := range c.Data {
			isolating := c.Parent == title && (r == 0x2068 || r == 0x2069)
			if unicode.In(r, unicode.Cf, unicode.Co) && !isolating || unicode.Is(unicode.Cc, r) && r != '\n' {
				t.Fatalf("%U in the text of\n%s", r, page)
			}
		}
	}
	if said := text(title); strings.Count(said, "\u2068") != strings.Count(said, "\u2069") {
		t.Fatalf("isolates out of balance in %q", said)
	}
	return doc
}

func FuzzNames(f *testing.F) {
	for _, a := range attacks {
		f.Add(a, a)
	}
	s := newSet(f, Options{})
	f.Fuzz(func(t *testing.T, name, address string) {
		for _, p := range pagesOf(name, name, name, name, address) {
			judge(t, render(t, s, "de", p))
		}
		once := clean(name)
		if again := clean(once); again != once {
			t.Errorf("clean(%q) = %q, cleaned again %q", name, once, again)
		}
		if !utf8.ValidString(once) || utf8.RuneCountInString(once) > (longest+1)*(1+marks) {
			t.Errorf("clean(%q) = %q", name, once)
		}
	})
}
