package provider

import "testing"

// A store may ask any client: pages are only where a single-page app is.
func TestOnlySinglePageAppsHaveOrigins(t *testing.T) {
	for _, kind := range []ClientType{SPA, Web, Native, Service, ""} {
		c := Client{Type: kind, RedirectURIs: []string{"https://app.example/cb"}}
		if got, want := c.HasOrigin("https://app.example"), kind == SPA; got != want {
			t.Errorf("a client of type %q: %v, want %v", kind, got, want)
		}
	}
}
