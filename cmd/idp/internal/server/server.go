package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Bounds of a connection. Someone who is slower than this holds a connection
// and memory for nothing.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeader         = 32 << 10

	readyTimeout = 2 * time.Second

	// requestTimeout is how long a request may take from its headers on. What is
	// not done then, because a database or a relying party does not answer, is
	// not waited for: there is time yet to say so within writeTimeout.
	requestTimeout = 20 * time.Second

	// silence is how long a connection on which nothing ever came may delay the
	// end.
	silence = 300 * time.Millisecond
)

// Config says what is served, and how.
type Config struct {
	Handler     http.Handler
	Certificate *Certificate // nil: plain HTTP
	Proxies     Proxies
	Log         *slog.Logger // required

	// Ready reports whether requests can be served now. Nil: always.
	Ready func(ctx context.Context) error

	// WithRequestID puts a request's id into its context. Nil: it is only
	// logged.
	WithRequestID func(ctx context.Context, id string) context.Context

	// Grace is how long requests that are being served at the end may take.
	// Zero: 20 seconds.
	Grace time.Duration
}

// Serve serves what arrives at l until ctx ends; then it takes no more
// requests, lets those finish that it has, at most for c.Grace, and returns nil
// if all did. It closes l.
func Serve(ctx context.Context, l net.Listener, c Config) error {
	var quiet unused
	s := &http.Server{
		ConnState:         quiet.follow,
		Handler:           c.handler(),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(c.Log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() {
		if c.Certificate == nil {
			failed <- s.Serve(l)
			return
		}
		s.TLSConfig = &tls.Config{GetCertificate: c.Certificate.Get}
		failed <- s.ServeTLS(l, "", "")
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %v: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	grace := c.Grace
	if grace == 0 {
		grace = 20 * time.Second
	}
	c.Log.Info("stopping", "grace", grace.String())
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	defer time.AfterFunc(silence, quiet.close).Stop()
	if err := s.Shutdown(bounded); err != nil {
		return errors.Join(fmt.Errorf("some requests did not finish in time: %w", err), s.Close())
	}
	return nil
}

// handler adds the health endpoints. They stand at the root, whatever the path
// of the issuer, and are not logged: they are asked every few seconds.
func (c Config) handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		say(w, http.StatusOK, "ok")
	})
	m.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		if err := c.ready(ctx); err != nil {
			// What is wrong is for the log; whoever asks here may be anyone.
			c.Log.Warn("not ready", "error", err)
			say(w, http.StatusServiceUnavailable, "not ready")
			return
		}
		say(w, http.StatusOK, "ready")
	})
	health, logged := http.Handler(m), c.logged(c.Handler)
	// Beside ServeMux and not in it: it would clean and redirect paths that are
	// the provider's to judge.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
			health.ServeHTTP(w, r)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		logged.ServeHTTP(w, r.WithContext(ctx))
	})
}

func (c Config) ready(ctx context.Context) error {
	if c.Ready == nil {
		return nil
	}
	return c.Ready(ctx)
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}
