package stepup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
)

// A Refusal is the answer to a request that may not pass. The zero one is 503.
type Refusal struct {
	Status    int    // HTTP: 400, 401, 403 or 503
	Code      string // of RFC 6750 section 3.1 or RFC 9470 section 3; empty: none
	Text      string // a sentence for who writes the client
	Challenge string // the value of WWW-Authenticate; empty: none
	Err       error  // why, for the log of the API, and nobody else
}

func (r *Refusal) Error() string {
	if r.Err == nil {
		return "stepup: refused"
	}
	return r.Err.Error()
}

// Unwrap returns why.
func (r *Refusal) Unwrap() error { return r.Err }

// Refuse answers a request with an error of Check. Every other error, and none,
// is answered with 503: whoever calls this does not let the request pass.
func Refuse(w http.ResponseWriter, err error) {
	var r *Refusal
	if !errors.As(err, &r) || r == nil || r.Status < 400 {
		r = &Refusal{Status: http.StatusServiceUnavailable}
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/json")
	if r.Challenge != "" {
		h.Set("WWW-Authenticate", r.Challenge)
	}
	code, text := r.Code, r.Text
	if r.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "5")
		// RFC 6749 section 4.1.2.1 has a name for it, if for another endpoint.
		code, text = "temporarily_unavailable", "The access token cannot be checked at the moment."
	}
	w.WriteHeader(r.Status)
	// A client that is gone is no matter of ours.
	_ = json.NewEncoder(w).Encode(struct {
		Code string `json:"error,omitempty"`
		Text string `json:"error_description,omitempty"`
	}{code, text})
}

var (
	errNoToken  = fmt.Errorf("%w: none was sent", ErrToken)
	errRepeated = fmt.Errorf("%w: there are several Authorization headers", ErrToken)
)

// A lack says what a valid token does not have.
type lack struct {
	authentication, scope bool
	token                 Token
}

func (l *lack) Unwrap() error { return ErrInsufficient }

func (l *lack) Error() string {
	t := l.token
	if l.authentication {
		return fmt.Sprintf("%v: the user was authenticated at %v, acr %q", ErrInsufficient, t.AuthTime, t.ACR)
	}
	return fmt.Sprintf("%v: its scopes are %q", ErrInsufficient, t.Scopes)
}

// refuse turns an error into the answer to it. It is the only place that does.
func (g *Guard) refuse(ctx context.Context, d demand, err error) error {
	r := &Refusal{Status: http.StatusUnauthorized, Err: err}
	var l *lack
	var more []param
	switch {
	case errors.Is(err, errNoToken):
		r.Text = "An access token is needed, as Authorization: Bearer."
		// No code: the client did nothing wrong yet (RFC 6750 section 3.1).
	case errors.Is(err, errRepeated):
		r.Status, r.Code, r.Text = http.StatusBadRequest, "invalid_request", "There is more than one Authorization header."
	case errors.Is(err, ErrSpent):
		r.Code, r.Text = "invalid_token", "The access token was good for one call and has been used."
	case errors.As(err, &l) && l.authentication:
		r.Code, r.Text = "insufficient_user_authentication", "The user has to be authenticated more strongly or more recently."
		more = d.params()
		if l.scope {
			more = append(more, param{"scope", strings.Join(d.Scopes, " ")})
		}
	case errors.As(err, &l):
		r.Status, r.Code, r.Text = http.StatusForbidden, "insufficient_scope", "The access token lacks a scope."
		more = append([]param{{"scope", strings.Join(d.Scopes, " ")}}, d.params()...)
	case errors.Is(err, ErrUnavailable), errors.Is(err, ErrDemand):
		r.Status = http.StatusServiceUnavailable
	default:
		r.Code, r.Text = "invalid_token", "The access token is invalid here, or has expired."
	}
	if r.Status != http.StatusServiceUnavailable {
		r.Challenge = g.challenge(r, more)
	}
	level := slog.LevelInfo
	if r.Status == http.StatusServiceUnavailable {
		level = slog.LevelError
	}
	g.log.Log(ctx, level, "access token refused", "status", r.Status, "code", r.Code, "reason", err)
	return r
}

// challenge returns the WWW-Authenticate of r (RFC 9110 section 11.6.1).
func (g *Guard) challenge(r *Refusal, more []param) string {
	var all []param
	if g.config.Realm != "" {
		all = append(all, param{"realm", g.config.Realm})
	}
	if r.Code != "" {
		all = append(all, param{"error", r.Code}, param{"error_description", r.Text})
	}
	return writeChallenge("Bearer", append(all, more...))
}
