package server_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/server"
)

var proxies = server.Proxies{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("2001:db8:1::/48"),
	netip.MustParsePrefix("127.0.0.1/32"),
}

// from returns a request from peer with headers as "Name: value".
func from(peer string, headers ...string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = peer
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return r
}

// WEB-3: a header that names an address counts only from a listed proxy, and
// only what listed proxies have added.
func TestOnlyListedProxiesNameAddresses(t *testing.T) {
	for _, c := range []struct {
		name    string
		peer    string
		headers []string
		want    string
	}{
		{"nobody in between", "192.0.2.1:1000", nil, "192.0.2.1"},
		{"a stranger names another", "192.0.2.1:1000", []string{"X-Forwarded-For: 198.51.100.7"}, "192.0.2.1"},
		{"a stranger names another in Forwarded", "192.0.2.1:1000", []string{"Forwarded: for=198.51.100.7"}, "192.0.2.1"},
		{"a listed proxy", "10.0.0.1:1000", []string{"X-Forwarded-For: 198.51.100.7"}, "198.51.100.7"},
		{"a chain of listed proxies", "10.0.0.1:1", []string{"X-Forwarded-For: 198.51.100.7, 10.2.3.4"}, "198.51.100.7"},
		{"a chain in two headers", "10.0.0.1:1", []string{"X-Forwarded-For: 198.51.100.7", "X-Forwarded-For: 10.2.3.4"}, "198.51.100.7"},
		{"what the client wrote itself", "10.0.0.1:1", []string{"X-Forwarded-For: 203.0.113.9, 198.51.100.7"}, "198.51.100.7"},
		{"a client that claims to be a proxy", "10.0.0.1:1", []string{"X-Forwarded-For: 203.0.113.9, 10.9.9.9, 198.51.100.7"}, "198.51.100.7"},
		{"all listed", "10.0.0.1:1", []string{"X-Forwarded-For: 10.0.0.9"}, "10.0.0.9"},
		{"nothing named", "10.0.0.1:1", nil, "10.0.0.1"},
		{"nonsense", "10.0.0.1:1", []string{"X-Forwarded-For: 203.0.113.9, unknown"}, "10.0.0.1"},
		{"nonsense behind a proxy", "10.0.0.1:1", []string{"X-Forwarded-For: <script>, 10.0.0.2"}, "10.0.0.2"},
		{"a port", "10.0.0.1:1", []string{"X-Forwarded-For: 198.51.100.7:4711"}, "198.51.100.7"},
		{"IPv6", "[2001:db8:1::1]:1", []string{"X-Forwarded-For: 2001:db8::7"}, "2001:db8::7"},
		{"IPv6 with a port", "10.0.0.1:1", []string{"X-Forwarded-For: [2001:db8::7]:443"}, "2001:db8::7"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:1", []string{"X-Forwarded-For: ::ffff:198.51.100.7"}, "198.51.100.7"},
		{"Forwarded", "10.0.0.1:1", []string{`Forwarded: for=198.51.100.7;proto=https;by=10.0.0.1`}, "198.51.100.7"},
		{"Forwarded, quoted", "10.0.0.1:1", []string{`Forwarded: For="[2001:db8::7]:4711"`}, "2001:db8::7"},
		{"Forwarded, a chain", "10.0.0.1:1", []string{`Forwarded: for=203.0.113.9, for=198.51.100.7, for="10.0.0.4"`}, "198.51.100.7"},
		{"Forwarded, hidden", "10.0.0.1:1", []string{`Forwarded: for=_secret`}, "10.0.0.1"},
		{"Forwarded, a comma in quotes", "10.0.0.1:1", []string{`Forwarded: for="203.0.113.9, for=203.0.113.8";x="a,b"`}, "10.0.0.1"},
		{"both and they agree", "10.0.0.1:1", []string{"Forwarded: for=198.51.100.7", "X-Forwarded-For: 198.51.100.7"}, "198.51.100.7"},
		{"both and they differ", "10.0.0.1:1", []string{"Forwarded: for=203.0.113.9", "X-Forwarded-For: 198.51.100.7"}, "10.0.0.1"},
		{"no address", "@", []string{"X-Forwarded-For: 198.51.100.7"}, "@"},
	} {
		if got := proxies.ClientAddress(from(c.peer, c.headers...)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	if got := (server.Proxies{}).ClientAddress(from("10.0.0.1:1", "X-Forwarded-For: 198.51.100.7")); got != "10.0.0.1" {
		t.Errorf("without listed proxies: got %s, want 10.0.0.1", got)
	}
}

// Whatever the headers say, a stranger's own address is what counts, and a
// proxy's client can make it at most unknown.
func FuzzClientAddress(f *testing.F) {
	f.Add("198.51.100.7, 10.0.0.2", `for="[2001:db8::7]:4711";proto=https, for=_x`)
	f.Add(`"`, `for="\`)
	f.Fuzz(func(t *testing.T, plain, standard string) {
		r := from("192.0.2.1:1000", "X-Forwarded-For: "+plain, "Forwarded: "+standard)
		if got := proxies.ClientAddress(r); got != "192.0.2.1" {
			t.Errorf("a stranger became %s", got)
		}
		r = from("10.0.0.1:1000", "X-Forwarded-For: "+plain+", 192.0.2.1")
		if got := proxies.ClientAddress(r); got != "192.0.2.1" {
			t.Errorf("a proxy's client became %s", got)
		}
		r = from("10.0.0.1:1000", "Forwarded: "+standard)
		if _, err := netip.ParseAddr(proxies.ClientAddress(r)); err != nil {
			t.Errorf("not an address: %v", err)
		}
	})
}
