package engine

import (
	"errors"
	"net/http"
	"strings"

	"github.com/ory/fosite"
)

// A Refusal is an OAuth error (RFC 6749 sections 4.1.2.1 and 5.2): what a
// client is told.
type Refusal struct {
	Code        string // invalid_request, …
	Description string // for the client's developer, in the characters that RFC 6749 allows
	Status      int    // where it is answered directly

	// Reuse says that something was presented that had been used before: the
	// grant is to be revoked.
	Reuse bool

	// Cause is for the log, never for the client.
	Cause error
}

func (r *Refusal) Error() string { return r.Code + ": " + r.Description }
func (r *Refusal) Unwrap() error { return r.Cause }

// Refuse returns a Refusal with the status that belongs to code.
func Refuse(code, description string) *Refusal {
	return &Refusal{Code: code, Description: legible(description), Status: status(code)}
}

func status(code string) int {
	switch code {
	case "invalid_client":
		return http.StatusUnauthorized
	case "server_error":
		return http.StatusInternalServerError
	case "temporarily_unavailable":
		return http.StatusServiceUnavailable
	default:
		return http.StatusBadRequest
	}
}

// codeOf maps what fosite says to what the specifications define. It has
// codes of its own making and 403s and 500s for faults of the client.
var codeOf = map[string]string{
	"scope_not_granted":         "invalid_scope",
	"token_inactive":            "invalid_grant",
	"invalid_token":             "invalid_grant", // malformed or expired
	"token_signature_mismatch":  "invalid_grant",
	"not_found":                 "invalid_grant",
	"invalid_state":             "invalid_request",
	"insufficient_entropy":      "invalid_request",
	"request_unauthorized":      "invalid_request",
	"unsupported_response_mode": "invalid_request",
}

// refusal turns an error of fosite into ours.
func refusal(err error) *Refusal {
	var own *Refusal
	if errors.As(err, &own) {
		return own
	}
	rfc := fosite.ErrorToRFC6749Error(err)
	code := rfc.ErrorField
	if known, ok := codeOf[code]; ok {
		code = known
	}
	switch code {
	case "invalid_request", "invalid_grant", "invalid_scope", "unauthorized_client",
		"unsupported_response_type", "unsupported_grant_type", "invalid_client":
		r := Refuse(code, rfc.GetDescription())
		r.Cause = err
		return r
	default:
		// A cause that has no name of its own is ours to look into.
		r := Refuse("server_error", "The request could not be completed. Try again later.")
		r.Cause = err
		return r
	}
}

// legible keeps of s what RFC 6749 section 5.2 allows in error_description.
func legible(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '"':
			return '\''
		case c < 0x20 || c == '\\' || c > 0x7e:
			return -1
		}
		return c
	}, s)
}
