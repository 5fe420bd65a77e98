package server

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"time"
)

// requestID is the form of an id that a listed proxy may give a request.
var requestID = regexp.MustCompile(`^[A-Za-z0-9_-]{8,64}$`)

// logged writes a line for each request to next: without its query, which
// carries codes, states and hints, and without any header.
func (c Config) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		id := r.Header.Get("X-Request-Id")
		// An id that a stranger chose could be another request's.
		if !c.Proxies.Trusts(r) || !requestID.MatchString(id) {
			id = rand.Text()
		}
		if c.WithRequestID != nil {
			r = r.WithContext(c.WithRequestID(r.Context(), id))
		}
		w.Header().Set("X-Request-Id", id)
		rec := &recorder{ResponseWriter: w}
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				c.Log.ErrorContext(r.Context(), "panic", "request_id", id, "panic", p, "stack", string(debug.Stack()))
				if rec.status == 0 {
					http.Error(rec, "Something went wrong on our side. Request id "+id, http.StatusInternalServerError)
				}
			}
			c.Log.LogAttrs(r.Context(), slog.LevelInfo, "request",
				slog.String("request_id", id), slog.String("method", r.Method), slog.String("path", r.URL.Path),
				slog.Int("status", rec.code()), slog.Int64("bytes", rec.bytes),
				slog.Float64("ms", float64(time.Since(began).Microseconds())/1000), slog.String("address", c.Proxies.ClientAddress(r)))
		}()
		next.ServeHTTP(rec, r)
	})
}

// A recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (r *recorder) code() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.status = r.code()
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets [http.ResponseController] reach what is behind.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
