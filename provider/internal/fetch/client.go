package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"code.dny.dev/ssrf"
)

const (
	// Timeout is how long a request may take, to the last byte of its answer.
	Timeout = 3 * time.Second
	// MaxBody is how many bytes of an answer are read; a longer one is none.
	MaxBody = 256 << 10

	maxHeader = 64 << 10
)

// What a request is refused with, before anything is sent. They come wrapped,
// with the reason.
var (
	ErrScheme  = errors.New("fetch: only https is asked")
	ErrAddress = ssrf.ErrProhibitedIP
)

// NewClient returns an http.Client that reaches public addresses, and those in
// allowed; see the package for what else it does not do. A redirect comes back
// as the answer that it is.
func NewClient(allowed ...netip.Prefix) *http.Client {
	return &http.Client{
		Transport:     newTransport(&net.Dialer{Timeout: Timeout}, allowed),
		Timeout:       Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// A transport is the guard around a connection.
type transport struct{ base *http.Transport }

func newTransport(d *net.Dialer, allowed []netip.Prefix) *transport {
	var v4, v6 []netip.Prefix
	for _, p := range allowed {
		if p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	d.Control = ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...)).Safe
	return &transport{&http.Transport{
		DialContext:            d.DialContext,
		TLSHandshakeTimeout:    Timeout,
		ResponseHeaderTimeout:  Timeout,
		MaxResponseHeaderBytes: maxHeader,
		DisableKeepAlives:      true,
		DisableCompression:     true,
	}}
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if !sendable(r.URL) {
		return nil, fmt.Errorf("%w: not %s", ErrScheme, r.URL.Scheme)
	}
	return t.base.RoundTrip(r)
}

// sendable reports whether nobody on the way reads or changes what is asked of
// u: it is https, or the way is within this machine.
func sendable(u *url.URL) bool {
	ip, err := netip.ParseAddr(u.Hostname())
	loopback := u.Hostname() == "localhost" || err == nil && ip.Unmap().IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && loopback
}

// Get returns the body of the answer to a GET of uri by c: of one with status
// 200 and no other.
func Get(ctx context.Context, c *http.Client, uri, accept string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	r.Header.Set("Accept", accept)
	resp, err := c.Do(r)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch: %s answered %d", uri, resp.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody+1))
	if err != nil {
		return nil, fmt.Errorf("fetch: reading from %s: %w", uri, err)
	}
	if len(b) > MaxBody {
		return nil, fmt.Errorf("fetch: %s answered with more than %d bytes", uri, MaxBody)
	}
	return b, nil
}
