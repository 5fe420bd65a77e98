package provider

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport-id/sallyport/provider/internal/engine"
	"github.com/sallyport-id/sallyport/templates"
)

// A handler looks at a request and says what to answer. It does not write.
type handler func(r *request) (answer, error)

// A kind of endpoint decides how errors look and what is checked before.
type kind int

const (
	api  kind = iota // JSON
	page             // HTML
	form             // HTML, and posted by a page of ours
)

// Limits of a request: beyond them it is refused unread (OA-13).
const (
	maxURL        = 8 << 10
	maxBody       = 64 << 10
	maxParameters = 64
)

// Faults of a request that belong to no protocol.
var (
	errNotFound    = errors.New("provider: no such page")
	errMethod      = errors.New("provider: method not allowed")
	errTooLarge    = errors.New("provider: request too large")
	errCrossOrigin = errors.New("provider: form of another site")
	errMalformed   = errors.New("provider: malformed request")
	errClient      = errors.New("provider: unknown client")
	errRedirect    = errors.New("provider: redirect URI not registered")
	errStale       = errors.New("provider: no such pushed request, any more or of this client")
	errUnavailable = errors.New("provider: not done; it can be tried again")
)

// A request is an HTTP request and what was found out about it.
type request struct {
	*http.Request
	id      string // in the log and on error pages
	address string
	now     time.Time
	lang    string

	// What happened, to be told once it is stored.
	events  []Event
	notices []Notice
	right   bool // the password: it takes no room in Limits.Passwords
	logouts bool // a session has ended: clients may have to be told

	tooLong bool // the body, whose rest is not read
}

// An answer is what a request is answered with: one of page, json, data and
// location.
type answer struct {
	status   int // 0: 200, with location 303
	page     templates.Page
	json     any
	data     []byte
	location string

	kind    string // Content-Type of data
	cookies []*http.Cookie
	cache   string // Cache-Control; empty: no-store
	header  map[string]string
	targets []string // where forms of the page may lead, beside ourselves
}

// serve makes an http.Handler of h. It is the one place that writes.
func (p *Provider) serve(k kind, h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		r := &request{
			Request: hr, id: engine.NewID(), address: p.config.ClientAddress(hr),
			now:  now(),
			lang: p.pages.Language("", hr.Header.Get("Accept-Language")),
		}
		if ext, ok := hr.Context().Value(requestIDKey{}).(string); ok {
			r.id = ext
		}
		if len(hr.RequestURI) > maxURL || hr.URL != nil && len(hr.URL.RawQuery) > maxURL {
			p.write(w, r, p.failure(r, k, errTooLarge))
			return
		}
		hr.Body = http.MaxBytesReader(w, hr.Body, maxBody)
		if s, ok := p.store.(Prefetcher); ok {
			ctx, done := s.Prefetch(hr.Context())
			defer done()
			r.Request = hr.WithContext(ctx)
		}
		if k == form && p.crossOrigin(hr) {
			p.write(w, r, p.failure(r, k, errCrossOrigin))
			return
		}
		a, err := h(r)
		if err != nil {
			a = p.failure(r, k, err)
		}
		p.tell(r)
		p.write(w, r, a)
	})
}

type requestIDKey struct{}

// WithRequestID returns a context in which requests are known by id, in the
// log and on error pages.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// crossOrigin reports whether a form was not posted by one of our own pages.
func (p *Provider) crossOrigin(r *http.Request) bool {
	own := p.issuer.Scheme + "://" + p.issuer.Host
	// Of browsers without Sec-Fetch-Site the standard library compares Origin
	// with the Host alone: our name over plain http would pass, and any other
	// name that has been made to lead here.
	if origin := r.Header.Get("Origin"); origin != "" && origin != own && r.Header.Get("Sec-Fetch-Site") == "" {
		return true
	}
	return p.origin.Check(r) != nil
}

// sameOrigin returns what tells our own forms from those of other sites.
func sameOrigin(issuer *url.URL) (*http.CrossOriginProtection, error) {
	c := http.NewCrossOriginProtection()
	// Behind a proxy the Host may be another; the issuer is what counts.
	if err := c.AddTrustedOrigin(issuer.Scheme + "://" + issuer.Host); err != nil {
		return nil, fmt.Errorf("%w: Issuer: %w", ErrConfig, err)
	}
	return c, nil
}

// failure is the one table that turns errors into HTTP.
func (p *Provider) failure(r *request, k kind, err error) answer {
	fault, status := templates.FaultInternal, http.StatusInternalServerError
	var refusal *engine.Refusal
	var tooLong *http.MaxBytesError
	var full *throttled
	switch {
	case errors.Is(err, ErrUnavailable): // even where the engine made a refusal of it
		fault, status = templates.FaultBusy, http.StatusServiceUnavailable
	case errors.As(err, &refusal):
		status = refusal.Status
		if status < 500 {
			fault = templates.FaultBadRequest
		}
	case errors.As(err, &full):
		fault, status = templates.FaultThrottled, http.StatusTooManyRequests
	case errors.Is(err, errTooLarge), errors.As(err, &tooLong):
		fault, status = templates.FaultTooLarge, http.StatusRequestEntityTooLarge
	case errors.Is(err, errNotFound):
		fault, status = templates.FaultNotFound, http.StatusNotFound
	case errors.Is(err, errMethod):
		fault, status = templates.FaultMethod, http.StatusMethodNotAllowed
	case errors.Is(err, errCrossOrigin):
		fault, status = templates.FaultCrossOrigin, http.StatusForbidden
	case errors.Is(err, errMalformed):
		fault, status = templates.FaultBadRequest, http.StatusBadRequest
	case errors.Is(err, errClient):
		fault, status = templates.FaultClient, http.StatusBadRequest
	case errors.Is(err, errRedirect):
		fault, status = templates.FaultRedirect, http.StatusBadRequest
	case errors.Is(err, errStale):
		fault, status = templates.FaultStale, http.StatusBadRequest
	case errors.Is(err, errUnavailable), errors.Is(err, ErrBusy), errors.Is(err, ErrConflict), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		fault, status = templates.FaultBusy, http.StatusServiceUnavailable
	}
	level := slog.LevelInfo
	if status >= 500 {
		level = slog.LevelError
	}
	attrs := []any{"request_id", r.id, "method", r.Method,
		"path", r.URL.Path, "status", status, "address", r.address, "error", err}
	if refusal != nil && refusal.Cause != nil {
		attrs = append(attrs, "cause", refusal.Cause)
	}
	p.log.Log(r.Context(), level, "request refused", attrs...)
	a := answer{status: status, header: map[string]string{}}
	if status == http.StatusServiceUnavailable {
		a.header["Retry-After"] = "5"
	}
	var wait time.Duration
	if full != nil {
		// Rounded up: after so long there is room.
		wait = (full.wait + time.Second - 1).Truncate(time.Second)
		seconds := strconv.Itoa(int(wait.Seconds()))
		a.header["Retry-After"] = seconds
		refusal = engine.Refuse("temporarily_unavailable", "Too many requests. Try again in "+seconds+" seconds.")
	}
	if k == api {
		if refusal == nil || errors.Is(err, ErrUnavailable) {
			refusal = engine.Refuse("server_error", "The request could not be completed. Request id "+r.id+".")
			if status < 500 {
				refusal = engine.Refuse("invalid_request", http.StatusText(status)+".")
			}
		}
		a.json = map[string]string{"error": refusal.Code, "error_description": refusal.Description}
		return a
	}
	a.page = templates.Error{Fault: fault, RequestID: r.id, Wait: wait}
	return a
}

// tell logs what happened and lets the user know. It is called when what
// happened has been stored.
func (p *Provider) tell(r *request) {
	for _, e := range r.events {
		level := slog.LevelInfo
		if e.Outcome == Failure {
			level = slog.LevelWarn
		}
		attrs := []any{"kind", string(e.Kind), "outcome", string(e.Outcome), "subject", e.Subject,
			"client_id", e.ClientID, "request_id", e.RequestID, "address", e.Address}
		for k, v := range e.Detail {
			attrs = append(attrs, k, v)
		}
		p.log.Log(r.Context(), level, "event", attrs...)
	}
	if r.logouts {
		p.wake()
	}
	if p.config.Notify == nil {
		return
	}
	for _, n := range r.notices {
		p.config.Notify(context.WithoutCancel(r.Context()), n)
	}
}

// happened returns an event of r.
func (r *request) happened(k EventKind, o Outcome, subject, clientID string) Event {
	return Event{Time: r.now, Kind: k, Outcome: o, Subject: subject, ClientID: clientID,
		RequestID: r.id, Address: r.address}
}

// record writes e to the audit trail, in the transaction of ctx, and keeps it
// for the log.
func (p *Provider) record(ctx context.Context, r *request, e Event) error {
	r.events = append(r.events, e)
	if err := p.store.Record(ctx, e); err != nil {
		return fmt.Errorf("recording %s: %w", e.Kind, err)
	}
	return nil
}

// atomically is Store.Atomically for r: what is undone, because fn is called
// again or failed, is not told. Now is when fn begins, and not when the request
// did: who sends a body slowly would have stopped the clock for all that
// expires.
func (p *Provider) atomically(r *request, fn func(ctx context.Context) error) error {
	err := p.store.Atomically(r.Context(), func(ctx context.Context) error {
		r.events, r.notices, r.logouts, r.right, r.now = nil, nil, false, false, now()
		return fn(ctx)
	})
	if err != nil {
		r.events, r.notices, r.logouts, r.right = nil, nil, false, false
	}
	return err
}

// now is the time as it is stored.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// write sends a.
func (p *Provider) write(w http.ResponseWriter, r *request, a answer) {
	body, contentType, err := p.render(r, a)
	if err != nil {
		p.log.ErrorContext(r.Context(), "rendering failed", "request_id", r.id, "error", err)
		http.Error(w, "Something went wrong. Request id "+r.id, http.StatusInternalServerError)
		return
	}
	h := w.Header()
	p.secure(h, a)
	for _, c := range a.cookies {
		http.SetCookie(w, c)
	}
	if a.location != "" {
		h.Set("Location", a.location)
	}
	if contentType != "" {
		h.Set("Content-Type", contentType)
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	for k, v := range a.header {
		h.Set(k, v)
	}
	if r.tooLong {
		// Otherwise net/http waits for more of it before it answers. It knows by
		// itself only if nobody has wrapped w.
		h.Set("Connection", "close")
	}
	switch {
	case a.status != 0:
	case a.location != "":
		a.status = http.StatusSeeOther
	default:
		a.status = http.StatusOK
	}
	w.WriteHeader(a.status)
	if _, err := w.Write(body); err != nil {
		p.log.DebugContext(r.Context(), "client went away", "request_id", r.id, "error", err)
	}
}

func (p *Provider) render(r *request, a answer) (body []byte, contentType string, err error) {
	switch {
	case a.page != nil:
		var b bytes.Buffer
		err = p.pages.Render(&b, r.lang, a.page)
		return b.Bytes(), "text/html; charset=utf-8", err
	case a.json != nil:
		if raw, ok := a.json.(json.RawMessage); ok {
			return raw, "application/json", nil
		}
		body, err = json.Marshal(a.json)
		return body, "application/json", err
	}
	return a.data, a.kind, nil
}

// formPostScript is the source of a policy that allows the script of
// templates.FormPost, and no other.
var formPostScript = func() string {
	sum := sha256.Sum256([]byte(templates.FormPostScript))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()

// secure sets the headers that every answer has (WEB-2).
func (p *Provider) secure(h http.Header, a answer) {
	csp := "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"
	switch page := a.page.(type) {
	case nil:
		csp += "; form-action 'none'"
	case templates.FormPost:
		// The one page with a script, and with a form that leads elsewhere.
		csp += "; style-src 'self'; img-src 'self' data:; script-src " + formPostScript +
			"; form-action " + strings.Join(a.targets, " ")
	case templates.SignedOut:
		csp += "; style-src 'self'; img-src 'self' data:; form-action 'none'"
		if len(page.Frames) > 0 {
			csp += "; frame-src " + strings.Join(sourcesOf(page.Frames), " ")
		}
	default:
		targets := append([]string{"'self'"}, a.targets...)
		csp += "; style-src 'self'; img-src 'self' data:; form-action " + strings.Join(targets, " ")
	}
	if a.location != "" {
		// A redirect that answers a form is judged by the page that posted it.
		csp = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"
	}
	h.Set("Content-Security-Policy", csp)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	if p.issuer.Scheme == "https" {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	if a.cache == "" {
		a.cache = "no-store"
	}
	h.Set("Cache-Control", a.cache)
	if a.cache == "no-store" {
		h.Set("Pragma", "no-cache") // HTTP/1.0, RFC 6749 section 5.1
	}
}
