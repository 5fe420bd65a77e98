package test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/sallyport-id/sallyport/provider"
)

// allowance is what an answer says to scripts.
func allowance(a reply) string { return a.header.Get("Access-Control-Allow-Origin") }

// The Fetch standard's CORS protocol: what is public anyone's scripts may read,
// tokens and userinfo those of single-page apps, and everything else nobody's.
func TestScriptsReadWhatIsTheirsOnly(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		for _, c := range []provider.Client{
			{ID: "spa", Type: provider.SPA, RedirectURIs: []string{"https://spa.example/a/cb", "http://127.0.0.1:3000/cb"}},
			{ID: "other", Type: provider.SPA, RedirectURIs: []string{"https://other.example:8443/", "com.example.spa:/cb"}},
			{ID: "native", Type: provider.Native, RedirectURIs: []string{"http://127.0.0.1/cb", "https://native.example/cb"}},
		} {
			s.register(c)
		}
		routes, err := s.Routes()
		if err != nil {
			t.Fatal(err)
		}
		public := []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/jwks.json"}
		restricted := []string{"/token", "/userinfo"}
		for origin, known := range map[string]bool{
			"https://spa.example": true, "http://127.0.0.1:3000": true, "https://other.example:8443": true,
			"": false, "null": false, "*": false, "https://app.example": false, "https://native.example": false, "http://127.0.0.1": false,
			"https://evil.example": false, "http://spa.example": false, "https://spa.example:443": false, "https://SPA.example": false,
			"https://spa.example/": false, "https://spa.example.evil.example": false, "https://other.example": false,
			"com.example.spa:": false, "com.example.spa://": false, "https://": false, "\x00": false, issuer: false,
		} {
			for _, route := range routes {
				r := get(t, route.Path, "Origin", origin, "Access-Control-Request-Method", "POST", "Cookie", s.browser.cookies())
				r.Method = route.Method
				a := ask(t, s, r)
				want := ""
				switch {
				case slices.Contains(public, route.Path):
					want = "*"
				case slices.Contains(restricted, route.Path) && known:
					want = origin
				}
				what := route.Method + " " + route.Path + " from " + origin
				if got := allowance(a); got != want {
					t.Errorf("%s: allowed to %q, want %q", what, got, want)
				}
				if got := slices.Contains(a.header.Values("Vary"), "Origin"); got != slices.Contains(restricted, route.Path) {
					t.Errorf("%s: Vary %q", what, a.header.Values("Vary"))
				}
				// No cookie ever counts, and no header but the usual is shown.
				for _, name := range []string{"Access-Control-Allow-Credentials", "Access-Control-Expose-Headers", "Access-Control-Allow-Private-Network"} {
					if got := a.header.Get(name); got != "" {
						t.Errorf("%s: %s %q", what, name, got)
					}
				}
				preflight := route.Method == http.MethodOptions
				if preflight && (a.status != http.StatusNoContent || a.body != "") {
					t.Errorf("%s: %d %q", what, a.status, a.body)
				}
				if got := a.header.Get("Access-Control-Allow-Headers") != ""; got != (preflight && want != "") {
					t.Errorf("%s: as if a preflight: %v", what, got)
				}
			}
		}
		for path, want := range map[string]string{"/token": "POST", "/userinfo": "GET, POST", "/jwks.json": "GET"} {
			r := get(t, path, "Origin", "https://spa.example")
			r.Method = http.MethodOptions
			if got := ask(t, s, r).header.Get("Access-Control-Allow-Methods"); got != want {
				t.Errorf("%s: methods %q, want %q", path, got, want)
			}
		}
		// Two origins are none.
		if a := ask(t, s, get(t, "/userinfo", "Origin", "https://spa.example", "Origin", "https://evil.example")); allowance(a) != "" {
			t.Errorf("two origins: %q", allowance(a))
		}
	})
}
