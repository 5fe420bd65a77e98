package provider

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// readers say whose scripts may read what an endpoint answers (the CORS
// protocol of the Fetch standard). Cookies are never part of it: what one of
// these endpoints says depends on none.
type readers int

const (
	anyone readers = iota + 1 // what is public
	apps                      // pages of the origins of single-page apps
)

// shared lets scripts read the answers of h, errors included.
func (p *Provider) shared(whose readers, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.share(w.Header(), r, whose)
		h.ServeHTTP(w, r)
	})
}

// share names in h who may read the answer to r. What cannot be found out is
// not said: without the header a browser keeps the answer to itself.
func (p *Provider) share(h http.Header, r *http.Request, whose readers) bool {
	if whose == anyone {
		h.Set("Access-Control-Allow-Origin", "*")
		return true
	}
	h.Add("Vary", "Origin")
	origins := r.Header.Values("Origin")
	if len(origins) != 1 {
		return false
	}
	known, err := p.store.AppOrigin(r.Context(), origins[0])
	if err != nil {
		p.log.ErrorContext(r.Context(), "looking for the origin of an app", "error", err)
	}
	if err != nil || !known {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origins[0])
	return true
}

// preflight answers what a browser asks before a script's request: methods,
// and the headers that carry a token or a form.
func (p *Provider) preflight(whose readers, methods ...string) http.Handler {
	return p.serve(api, func(r *request) (answer, error) {
		h := http.Header{}
		a := answer{status: http.StatusNoContent, header: map[string]string{"Allow": strings.Join(append(methods, http.MethodOptions), ", ")}}
		if p.share(h, r.Request, whose) {
			h.Set("Access-Control-Allow-Methods", strings.Join(methods, ", "))
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
			h.Set("Access-Control-Max-Age", "600")
		}
		for name := range h {
			a.header[name] = h.Get(name)
		}
		return a, nil
	})
}

// HasOrigin reports whether pages of this origin are c's: those of a single-page
// app have that of a redirect URI. For any other client it is false.
func (c Client) HasOrigin(origin string) bool {
	return c.Type == SPA && slices.ContainsFunc(c.RedirectURIs, func(uri string) bool {
		u, err := url.Parse(uri)
		return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" &&
			fmt.Sprintf("%s://%s", u.Scheme, u.Host) == origin
	})
}
