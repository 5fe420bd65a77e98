package test

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"
)

// An ear is where a client is told of logouts: a web server on this machine,
// outside of any bubble.
type ear struct {
	*httptest.Server
	heard chan hearing
}

// A hearing is what a client was sent.
type hearing struct {
	method, kind, query string
	form                url.Values // of the body
	tls                 uint16     // the version; 0: none, on loopback
}

// newEar listens until the test ends, over TLS if it is given a certificate.
func newEar(t *testing.T, certs ...tls.Certificate) *ear {
	t.Helper()
	l := &ear{heard: make(chan hearing, 100)}
	l.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		got := hearing{method: r.Method, kind: r.Header.Get("Content-Type"), query: r.URL.RawQuery, form: r.PostForm}
		if r.TLS != nil {
			got.tls = r.TLS.Version
		}
		l.heard <- got
		w.Header().Set("Cache-Control", "no-store")
	}))
	if len(certs) > 0 {
		l.TLS = &tls.Config{Certificates: certs}
		l.StartTLS()
	} else {
		l.Start()
	}
	t.Cleanup(l.Close)
	return l
}

// hear waits for what is told next. In a bubble its time passes only when
// everything has been told.
func (l *ear) hear(t testing.TB) (got hearing) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	poll(t, ctx, "a logout to be told", func() bool {
		select {
		case got = <-l.heard:
			return true
		default:
			return false
		}
	})
	return got
}

// tells has h tell clients of logouts until the test ends.
func (h *house) tells(t testing.TB) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { h.Deliver(ctx) })
	t.Cleanup(func() { stop(); wg.Wait() })
}
