package templates

import (
	"encoding/base64"
	"fmt"
	"html/template"
	"net/url"
	"strings"
	"time"
)

// funcs returns what templates can call, in one language:
//
//	t "text" "name" value …   a text of the locale, as HTML, with its placeholders
//	plain "text"              the same as text, for attributes
//	say MESSAGE, sayplain     a Message
//	title PAGE, page PAGE     its heading; its name, as that of its template
//	problem PAGE "field"      the Message about that field, or about none (""), or nil
//	problemof PAGE            that Message, whatever it is about, or nil
//	about PAGE                the field it is about, or nothing
//	focus PAGE                whether its first field takes the focus
//	notice PAGE               what else is to be said, or nil
//	app APP, host APP         how an app is called and where it lives
//	name TEXT                 somebody's name, cleaned
//	line TEXT                 a line of details, cleaned and whole
//	asking APP                who asks: the app, or the brand for the account
//	kind ENDED, fault ERROR   why, as part of the name of a text
//	reason ERROR              why, as a message
//	again APP                 where signing in can begin anew, or nothing
//	frame URL, onward URL     if someone may be shown it, or taken there
//	scope "scope"             what it gives, in words, and with detail
//	activity A, device UA     in words
//	ago TIME NOW, date TIME   in words
//	stamp TIME                for a datetime attribute
//	groups KEY                in groups of four
//	image PNG                 as an address of its own
//	otpauth URI               if it is one
//	submit                    the script that submits the form of FormPost
//	lang, dir, brand, style, icon, logo
func (s *Set) funcs(l *locale) template.FuncMap {
	return template.FuncMap{
		"t": func(id string, pairs ...any) (template.HTML, error) {
			a, err := argsOf(pairs)
			if err != nil {
				return "", err
			}
			return l.html(Text(id), a)
		},
		"plain": func(id string, pairs ...any) (string, error) {
			a, err := argsOf(pairs)
			if err != nil {
				return "", err
			}
			return l.plain(Text(id), a)
		},
		"say":       func(m Message) (template.HTML, error) { return l.html(m.Text, m.args(l)) },
		"sayplain":  func(m Message) (string, error) { return l.plain(m.Text, m.args(l)) },
		"title":     Page.title,
		"page":      Page.file,
		"problem":   problem,
		"about":     about,
		"problemof": func(p Page) *Message { m, _ := p.messages(); return m },
		"digits":    digits,
		"focus":     focus,
		"notice":    func(p Page) *Message { _, n := p.messages(); return n },
		"app":       App.label,
		"host":      func(a App) string { return clean(a.Host) },
		"name":      clean,
		"line":      Inert,
		"asking": func(a App) string {
			if name := a.label(); name != "" {
				return name
			}
			return s.brand.Name
		},
		"initial":  initial,
		"again":    func(a App) string { return link(a.InitiateURL) },
		"frame":    link,
		"onward":   onward,
		"kind":     func(p Ended) string { return string(p.kind()) },
		"reason":   func(p Error) Message { return p.reason() },
		"fault":    func(p Error) string { return string(p.fault()) },
		"scope":    l.scope,
		"activity": l.activity,
		"device":   l.device,
		"ago":      l.ago,
		"date":     l.date,
		"stamp":    func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"groups":   groups,
		"image":    image,
		"otpauth":  otpauth,
		"submit":   func() template.HTML { return "<script>" + FormPostScript + "</script>" },
		"lang":     func() string { return l.tag },
		"dir":      func() string { return l.dir },
		"brand":    func() string { return s.brand.Name },
		"style":    func() string { return s.url(s.style) },
		"icon":     func() string { return s.url(s.icon) },
		"logo":     func() string { return s.url(s.logo) },
	}
}

func (s *Set) url(a Asset) string {
	if a.Name == "" {
		return ""
	}
	return s.base + "/assets/" + a.Name
}

func argsOf(pairs []any) (args, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("templates: a placeholder without a value")
	}
	a := args{}
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("templates: %v is no name of a placeholder", pairs[i])
		}
		a[name] = pairs[i+1]
	}
	return a, nil
}

// fields are the form fields of pages, the one that a Problem without a Field
// is about last.
func fields(p Page) []string {
	switch p := p.(type) {
	case Password:
		return []string{"username", "password"}
	case Factor, Recovery, Enroll:
		return []string{"code"}
	case EnrollStart:
		if p.Ticket {
			return []string{"ticket"}
		}
	}
	return nil
}

// about returns the field that p's problem is about, empty if none.
func about(p Page) string {
	m, _ := p.messages()
	if m == nil || m.Text == OutOfStep || m.Text == ProveAgain || m.Text == SetupExpired {
		return ""
	}
	all := fields(p)
	for _, f := range all {
		if f == m.Field {
			return f
		}
	}
	if m.Field == "" && len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
}

// focus reports whether p's code field takes the focus even if nothing was
// wrong. Where a picture is to be scanned first, a phone would scroll past it.
func focus(p Page) bool {
	_, scan := p.(Enroll)
	return !scan
}

// digits returns how many digits a code has.
func digits(n int) int {
	if n <= 0 {
		return 6
	}
	return n
}

func problem(p Page, field string) *Message {
	if m, _ := p.messages(); m != nil && about(p) == field {
		return m
	}
	return nil
}

// initial returns the letter that stands for a name.
func initial(name string) string {
	for _, r := range clean(name) {
		return strings.ToUpper(string(r))
	}
	return "?"
}

// A scopeText is what a scope gives.
type scopeText struct{ What, Detail template.HTML }

func (l *locale) scope(name string) (v scopeText, err error) {
	id := Text("scope." + name)
	if _, known := l.texts[id]; !known || name == "unknown" {
		v.What, err = l.html("scope.unknown", args{"name": name})
		return v, err
	}
	if v.What, err = l.html(id, nil); err != nil {
		return v, err
	}
	if _, more := l.texts[id+".detail"]; more {
		v.Detail, err = l.html(id+".detail", nil)
	}
	return v, err
}

// learn has l know words for scopes. They are taken as they stand: a brace in
// them is a brace.
func (l *locale) learn(scopes map[string]string) {
	for name, text := range scopes {
		l.texts[Text("scope."+name)] = forms{"other": {clean(text)}}
		delete(l.texts, Text("scope."+name+".detail"))
	}
}

func (l *locale) activity(a Activity) (template.HTML, error) {
	id := Text("activity." + a.Kind)
	if _, ok := l.texts[id]; !ok || a.Kind == "" {
		id = "activity.other"
	}
	if _, ok := l.texts[id+".failed"]; ok && a.Failed {
		id += ".failed"
	}
	return l.html(id, nil)
}

func (l *locale) device(userAgent string) (template.HTML, error) {
	browser, system := device(userAgent)
	switch {
	case browser != "" && system != "":
		return l.html("device.both", args{"browser": words(browser), "system": words(system)})
	case browser == "" && system == "":
		return l.html("device.unknown", nil)
	}
	return template.HTML(browser + system), nil // one of them is empty
}

// groups returns key in groups of four.
func groups(key string) []string {
	key = strings.ReplaceAll(key, " ", "")
	var all []string
	for len(key) > 4 {
		all, key = append(all, key[:4]), key[4:]
	}
	return append(all, key)
}

// image returns an address that holds the image itself. What it says is base64
// of ours, so html/template can be told that it is safe.
func image(png []byte) template.URL {
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(png))
}

// onward lets through, besides what link does, the private-use schemes by which
// apps on a device are opened (RFC 8252 section 7.1): they have a dot, which no
// scheme has that could be a script.
func onward(address string) template.URL {
	if u, err := url.Parse(address); err == nil && strings.Contains(u.Scheme, ".") {
		return template.URL(u.String())
	}
	return template.URL(link(address))
}

// otpauth lets the one scheme through that html/template does not know.
// Anything else could be a script.
func otpauth(uri string) template.URL {
	if !strings.HasPrefix(uri, "otpauth://totp/") {
		return ""
	}
	return template.URL(uri)
}
