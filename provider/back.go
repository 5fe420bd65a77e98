package provider

import (
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sallyport-id/sallyport/templates"
)

// responseModes are the ways in which answers go back to the client: in the
// query of a redirect, the default, or posted by a page of ours (OAuth 2.0
// Form Post Response Mode).
var responseModes = []string{"query", "form_post"}

// posted reports whether the answer to v is posted by a page. It is not where
// no form could carry it: to an app by its private-use scheme, or with a state
// that a browser would change, as it does to line breaks, zero bytes and what
// is no UTF-8. Such a request is refused, and by a redirect.
func posted(v url.Values) bool {
	if mode, _ := only(v, "response_mode"); mode != "form_post" {
		return false
	}
	source := sourceOf(v.Get("redirect_uri"))
	if !strings.HasPrefix(source, "https://") && !strings.HasPrefix(source, "http://") {
		return false
	}
	state, _ := only(v, "state")
	return utf8.ValidString(state) && !strings.ContainsAny(state, "\x00\r\n")
}

// refuse sends the browser back to the client with an error.
func (p *Provider) refuse(c Client, v url.Values, code, text string) answer {
	return p.back(c, v, []templates.Field{{Name: "error", Value: code}, {Name: "error_description", Value: text}})
}

// back sends the browser back to the client c of the request v: with what is
// given, the state exactly as it came, and iss (RFC 9207 section 2).
func (p *Provider) back(c Client, v url.Values, given []templates.Field) answer {
	if state, ok := only(v, "state"); ok {
		given = append(given, templates.Field{Name: "state", Value: state})
	}
	given = append(given, templates.Field{Name: "iss", Value: p.config.Issuer})
	uri := v.Get("redirect_uri")
	if posted(v) {
		return answer{
			page:    templates.FormPost{App: c.app(uri), Action: uri, Fields: given},
			targets: c.targets(uri),
		}
	}
	q := url.Values{}
	for _, f := range given {
		q.Set(f.Name, f.Value)
	}
	return answer{location: extended(uri, q)}
}

// extended returns uri, letter by letter, with q behind the query that it may
// have (RFC 6749 section 3.1.2).
func extended(uri string, q url.Values) string {
	sep := "?"
	switch {
	case len(q) == 0:
		return uri
	case strings.HasSuffix(uri, "?") || strings.HasSuffix(uri, "&"):
		sep = ""
	case strings.Contains(uri, "?"):
		sep = "&"
	}
	return uri + sep + q.Encode()
}

// targets returns where forms may lead that end at uri: there, and where c
// sends the browser on to.
func (c Client) targets(uri string) []string {
	return sourcesOf(append([]string{uri}, c.ContinuesTo...))
}

// sourcesOf returns the sources of uris, each once.
func sourcesOf(uris []string) []string {
	all := make([]string, 0, len(uris))
	for _, s := range uris {
		if source := sourceOf(s); source != "" && !slices.Contains(all, source) {
			all = append(all, source)
		}
	}
	return all
}

// sourceOf returns the origin of a URI, or its scheme if it has none, as a
// source of a Content-Security-Policy; empty if it cannot be one.
func sourceOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme == "" {
		return ""
	}
	source := u.Scheme + ":"
	if u.Host != "" {
		source += "//" + u.Host
	}
	// A source is part of a header: nothing may end it.
	if strings.ContainsAny(source, " ;,'\"\r\n\t") {
		return ""
	}
	return source
}
