package relying

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A Party is a relying party as one provider has registered it.
type Party struct {
	*Provider
	Client *http.Client // its own way to the provider; it keeps no cookies

	ID, Secret  string
	Post        bool   // its secret goes into the body (client_secret_post), not into the header
	RedirectURI string // with a query, if it has one
	Algorithm   string // that signs its ID tokens
}

// Request returns a new authorization request with nothing but what every
// request has, and extra parameters in pairs. One that is given empty is left
// out.
func (p *Party) Request(extra ...string) url.Values {
	v := url.Values{
		"client_id": {p.ID}, "redirect_uri": {p.RedirectURI}, "response_type": {"code"},
		"scope": {"openid"}, "state": {rand.Text()}, "nonce": {rand.Text()},
	}
	for i := 0; i+1 < len(extra); i += 2 {
		if v.Set(extra[i], extra[i+1]); extra[i+1] == "" {
			v.Del(extra[i])
		}
	}
	return v
}

// Answer takes apart what a browser brought to the redirect URI, r, in answer
// to the request asked (OpenID Connect Core section 3.1.2.5, RFC 9207, OAuth
// 2.0 Form Post Response Mode). It returns a code, or a Refusal.
func (p *Party) Answer(asked url.Values, r *http.Request) (code string, err error) {
	v, err := p.carried(asked, r)
	if err != nil {
		return "", err
	}
	known := []string{"code", "state", "iss"}
	if v.Has("error") {
		known = []string{"error", "error_description", "error_uri", "state", "iss"}
	}
	var errs []error
	for name, values := range v {
		if !slices.Contains(known, name) || len(values) != 1 || values[0] == "" {
			errs = append(errs, fmt.Errorf("%s=%q in the answer", name, values))
		}
	}
	if !slices.Equal(v["state"], asked["state"]) {
		errs = append(errs, fmt.Errorf("state %q, want %q", v["state"], asked["state"]))
	}
	if p.Metadata["authorization_response_iss_parameter_supported"] == true != v.Has("iss") || v.Has("iss") && v.Get("iss") != p.Issuer {
		errs = append(errs, fmt.Errorf("iss %q, want %q", v["iss"], p.Issuer))
	}
	code = v.Get("code")
	switch {
	case v.Has("error"):
		errs = append(errs, &Refusal{Code: v.Get("error")})
	case entropy(code) < leastEntropy:
		errs = append(errs, fmt.Errorf("the code %q could be guessed", code))
	}
	return code, errors.Join(errs...)
}

// carried returns the parameters of an answer, which come in one place, and in
// the one that was asked for. The query of the redirect URI is not among them.
func (p *Party) carried(asked url.Values, r *http.Request) (url.Values, error) {
	whole := *r.URL
	whole.RawQuery = ""
	base, own, _ := strings.Cut(p.RedirectURI, "?")
	if whole.String() != base {
		return nil, fmt.Errorf("the answer came to %s, want %s", whole.String(), base)
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	registered, err2 := url.ParseQuery(own)
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	for name, values := range registered {
		if !slices.Equal(query[name], values) {
			return nil, fmt.Errorf("of the redirect URI, %s=%q came as %q", name, values, query[name])
		}
		query.Del(name)
	}
	if asked.Get("response_mode") != "form_post" {
		if r.Method != http.MethodGet {
			return nil, fmt.Errorf("the answer came by %s", r.Method)
		}
		return query, nil
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method != http.MethodPost || err != nil || kind != "application/x-www-form-urlencoded" || len(query) > 0 {
		return nil, fmt.Errorf("the answer came by %s as %q, with %q in the URL", r.Method, kind, r.URL.RawQuery)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	return url.ParseQuery(string(body))
}

// A Refusal is an error of OAuth: the answer was as it must be, and was no.
type Refusal struct {
	Code   string
	Status int // of the token endpoint
}

func (r *Refusal) Error() string { return fmt.Sprintf("refused: %s %d", r.Code, r.Status) }

// Refused returns the code of the Refusal that err is, and is wholly; with
// anything else wrong beside it, or if it is none, the empty string.
func Refused(err error) string {
	for {
		switch e := err.(type) {
		case *Refusal:
			return e.Code
		case interface{ Unwrap() []error }:
			if len(e.Unwrap()) != 1 {
				return ""
			}
			err = e.Unwrap()[0]
		default:
			return ""
		}
	}
}
