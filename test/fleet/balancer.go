package fleet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Balancer sends each request to the next replica, so that no two in a row
// go to the same: nothing sticks. A request that no replica took, because none
// listened there, goes to the next; one that was taken and broke is answered
// with 502, as it is not known what was done.
type Balancer struct {
	URL string

	server *httptest.Server
	next   atomic.Uint64
	flight sync.RWMutex // held for reading while a replica has a request
	mu     sync.Mutex
	to     []*url.URL
	sent   map[string]int
}

// NewBalancer listens on loopback; Close it.
func NewBalancer() *Balancer {
	b := &Balancer{sent: map[string]int{}}
	dialer := &net.Dialer{Timeout: 2 * time.Second}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetXForwarded()
			r.Out.Host = r.In.Host
			// The transport dials the address; which, it decides itself.
			r.Out.URL.Scheme, r.Out.URL.Host = "http", "replica"
		},
		Transport: &tries{b, &http.Transport{
			MaxIdleConnsPerHost: 64, DialContext: dialer.DialContext, DisableCompression: true,
		}},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			status := http.StatusBadGateway
			if errors.Is(err, errNobody) {
				status = http.StatusServiceUnavailable
			}
			w.Header().Set("Balancer", err.Error())
			w.WriteHeader(status)
		},
	}
	b.server = httptest.NewServer(proxy)
	b.URL = b.server.URL
	return b
}

// Close ends the balancer.
func (b *Balancer) Close() { b.server.CloseClientConnections(); b.server.Close() }

// Set says which replicas there are from now on. Those that are left out have
// no request any more when it returns, and may be stopped.
func (b *Balancer) Set(replicas ...*Replica) {
	b.flight.Lock()
	defer b.flight.Unlock()
	var to []*url.URL
	for _, r := range replicas {
		u, err := url.Parse(r.URL)
		if err != nil {
			panic(err) // we made it
		}
		to = append(to, u)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.to = to
}

// Sent says how many requests each replica was sent, by its URL.
func (b *Balancer) Sent() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	sent := make(map[string]int, len(b.sent))
	for k, v := range b.sent {
		sent[k] = v
	}
	return sent
}

// order is the replicas, the one whose turn it is first.
func (b *Balancer) order() []*url.URL {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.to) == 0 {
		return nil
	}
	at := int(b.next.Add(1) % uint64(len(b.to)))
	return slices.Concat(b.to[at:], b.to[:at])
}

var errNobody = errors.New("no replica listens")

type tries struct {
	*Balancer
	http.RoundTripper
}

// RoundTrip sends r to the first replica that takes it.
func (t *tries) RoundTrip(r *http.Request) (*http.Response, error) {
	t.flight.RLock()
	defer t.flight.RUnlock()
	for _, u := range t.order() {
		q := r.Clone(r.Context())
		q.URL.Host = u.Host
		if r.Body != nil {
			q.Body = io.NopCloser(r.Body) // a transport that does not get through closes it
		}
		resp, err := t.RoundTripper.RoundTrip(q)
		if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" && r.Context().Err() == nil {
			continue // nothing of the request has been sent
		}
		t.mu.Lock()
		t.sent["http://"+u.Host]++
		t.mu.Unlock()
		return resp, err
	}
	if err := context.Cause(r.Context()); err != nil {
		return nil, err
	}
	return nil, errNobody
}
