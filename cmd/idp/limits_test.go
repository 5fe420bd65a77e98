package main

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/config"
)

// Each key of limits limits, or does not if it is off; and addresses are those
// that a trusted proxy names, whatever others write.
func TestLimitsCountByTheAddressThatATrustedProxyNames(t *testing.T) {
	d := newDesk(t, "")
	h := d.house()
	h.config.Limits.Userinfo = config.Rate{Requests: 5, Per: time.Hour}
	h.config.TrustedProxies = []string{"10.0.0.1"}
	proxies, err := trusted(h.config)
	if err != nil {
		t.Fatal(err)
	}
	p, err := h.provider(t.Context(), proxies.ClientAddress)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(peer, forwarded string) int {
		r := httptest.NewRequest(http.MethodGet, h.config.Issuer+"/userinfo", nil)
		r.RemoteAddr = peer + ":4711"
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		return w.Code
	}
	passes := func(peer string, forwarded func(i int) string) (n int) {
		for i := range 20 {
			if ask(peer, forwarded(i)) != http.StatusTooManyRequests {
				n++
			}
		}
		return n
	}
	nth := func(i int) string { return "198.51.100." + strconv.Itoa(i+1) }
	for _, c := range []struct {
		name, peer string
		forwarded  func(int) string
		want       int
	}{
		{"no proxy, and made-up addresses", "192.0.2.1", nth, 5},
		{"the proxy, people with addresses of their own", "10.0.0.1", nth, 20},
		{"the proxy, one who makes up addresses before it", "10.0.0.1", func(i int) string { return nth(i) + ", 203.0.113.9" }, 5},
		{"the proxy itself", "10.0.0.1", func(int) string { return "" }, 5},
	} {
		if got := passes(c.peer, c.forwarded); got != c.want {
			t.Errorf("%s: %d passed, want %d", c.name, got, c.want)
		}
	}
	h.config.Limits.Userinfo = config.Rate{Requests: -1}
	if p, err = h.provider(t.Context(), proxies.ClientAddress); err != nil {
		t.Fatal(err)
	}
	if got := passes("192.0.2.1", nth); got != 20 {
		t.Errorf("off: %d passed, want 20", got)
	}
}
