package stepup

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Request returns authURL, an authorization request as the client makes it
// anyway, made into one that meets c: acr_values are c's, max_age is the lower
// of both, c's scopes are added, and prompt=none is taken out. Everything else
// stays as it is, so state, nonce and code_challenge must be new ones of this
// request. extra is added, such as authorization_details (RFC 9396) or
// login_hint; it cannot change who asks, what comes back, or what c demands.
// Where the issuer takes pushed requests (RFC 9126), its query can be pushed.
func (c Challenge) Request(authURL string, extra url.Values) (string, error) {
	u, err := url.Parse(authURL)
	if err != nil {
		return "", fmt.Errorf("stepup: reading an authorization request: %w", err)
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "", fmt.Errorf("stepup: reading an authorization request: %w", err)
	}
	if q.Has("request") || q.Has("request_uri") {
		return "", errors.New("stepup: to an authorization request by reference nothing can be added: add it before it is pushed or signed")
	}
	if len(c.ACRValues) > 0 {
		q.Set("acr_values", strings.Join(c.ACRValues, " "))
	}
	if c.MaxAge != nil {
		if own, err := strconv.Atoi(q.Get("max_age")); err != nil || own < 0 || own > *c.MaxAge {
			q.Set("max_age", strconv.Itoa(*c.MaxAge))
		}
	}
	if len(c.Scopes) > 0 {
		q.Set("scope", strings.Join(union(strings.Fields(q.Get("scope")), c.Scopes), " "))
	}
	if q.Get("prompt") == "none" {
		q.Del("prompt") // the user has to be asked for something
	}
	for name, values := range extra {
		if slices.Contains(ours, name) {
			return "", fmt.Errorf("stepup: %s is not an extra parameter", name)
		}
		q[name] = values
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// ours are the parameters that nothing from outside of a request replaces.
var ours = []string{
	"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "code_challenge",
	"code_challenge_method", "acr_values", "max_age", "request", "request_uri",
}

func union(a, b []string) []string {
	all := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

// A Client is an app that calls APIs and, where one asks for it, sends its user
// to be authenticated anew. The zero Client sends nobody anywhere.
type Client struct {
	// Issuer is whose answers are taken.
	Issuer string

	// Endpoint is the issuer's authorization endpoint: https, or http on
	// loopback.
	Endpoint string

	ClientID    string
	RedirectURI string

	// Scopes are those of every request, such as openid.
	Scopes []string

	// MayAsk are scopes that a challenge may add. Others are ErrChallenge: an
	// API that was taken over could have the user allow anything, and would be
	// shown the token. Nil: none.
	MayAsk []string

	// InsecureNoIssuer takes answers without iss, of an issuer that does not
	// send it (RFC 9207). It is only safe in an app with a single issuer.
	InsecureNoIssuer bool
}

// A Flow is one thing that a user wants done, a call of an API, on its way
// through at most one step-up. It is begun by the app with its Call, and kept as
// JSON in the user's session, under its State, while the browser is at the
// issuer. It has a secret, Verifier, which the browser must not see.
type Flow struct {
	// Call is what the app needs to repeat the call. It is the app's own.
	Call json.RawMessage `json:"call,omitempty"`

	// Extra are parameters of the authorization request, such as
	// authorization_details for what the user is to approve.
	Extra url.Values `json:"extra,omitempty"`

	// The rest is written by StepUp and Answer, and read by the app.

	Asked    Challenge `json:"asked,omitzero"`     // what the API demanded
	State    string    `json:"state,omitempty"`    // empty: no step-up has begun
	Nonce    string    `json:"nonce,omitempty"`    // the ID token's must be this
	Verifier string    `json:"verifier,omitempty"` // for the token request (RFC 7636 section 4.5)
	Answered bool      `json:"answered,omitempty"` // the issuer's answer has come
}

var (
	// ErrAgain says that the API asks for a step-up after there was one. It
	// would ask forever.
	ErrAgain = errors.New("stepup: a second step-up for the same call")

	// ErrAnswer says that what came to the redirect URI is not the issuer's
	// answer to this flow. The flow goes on waiting.
	ErrAnswer = errors.New("stepup: not the answer to this request")

	errClient = errors.New("stepup: a client without issuer, endpoint, ID or redirect URI")
)

// A Declined is an error that the issuer answered.
type Declined struct {
	Code string // access_denied: the user did not want to; unmet_authentication_requirements: the user cannot …
	Text string // for who writes the app; empty: none
}

func (d *Declined) Error() string {
	return fmt.Sprintf("stepup: the issuer answered %.100q (%.300q)", d.Code, d.Text)
}

// StepUp looks at the answer to the call of f. An empty string means that resp
// is an answer to be used, good or bad. Otherwise the API wants a step-up: send
// the browser to the URL that is returned, and store f until it comes back.
// After one step-up it is ErrAgain instead.
func (c Client) StepUp(f *Flow, resp *http.Response) (string, error) {
	challenge, ok, err := Challenged(resp)
	if !ok || err != nil {
		return "", err
	}
	if f.State != "" {
		return "", fmt.Errorf("%w: %s", ErrAgain, again(f.Asked, challenge))
	}
	if err := c.check(); err != nil {
		return "", err
	}
	for _, s := range challenge.Scopes {
		if !slices.Contains(c.Scopes, s) && !slices.Contains(c.MayAsk, s) {
			return "", fmt.Errorf("%w: the API wants scope %.100q, for which this app does not ask", ErrChallenge, s)
		}
	}
	next := *f
	next.Asked, next.State, next.Nonce, next.Verifier = challenge, rand.Text(), rand.Text(), rand.Text()+rand.Text()
	to, err := challenge.Request(c.request(next), next.Extra)
	if err != nil {
		return "", err
	}
	*f = next
	return to, nil
}

// again says why a second step-up would not help, for who runs the app.
func again(first, second Challenge) string {
	switch {
	case first.Code != second.Code:
		return fmt.Sprintf("the API said %s first and now says %s", first.Code, second.Code)
	case second.Code == "insufficient_scope":
		return fmt.Sprintf("the issuer did not grant what the API asks for: scope %q", second.Scopes)
	}
	return fmt.Sprintf("the issuer did not say, in the new access token, that the user was authenticated as the API asks: "+
		"acr_values %q, max_age %s", second.ACRValues, age(second.MaxAge))
}

func age(seconds *int) string {
	if seconds == nil {
		return "any"
	}
	return strconv.Itoa(*seconds)
}

func (c Client) check() error {
	if c.Issuer == "" || c.ClientID == "" || c.RedirectURI == "" || c.Endpoint == "" {
		return errClient
	}
	if err := checkURL(c.Endpoint, c.Endpoint); err != nil {
		return fmt.Errorf("stepup: the authorization endpoint: %w", err)
	}
	return nil
}

// request returns f's authorization request, before a challenge is added.
func (c Client) request(f Flow) string {
	challenge := sha256.Sum256([]byte(f.Verifier))
	q := url.Values{
		"response_type": {"code"}, "client_id": {c.ClientID}, "redirect_uri": {c.RedirectURI},
		"state": {f.State}, "nonce": {f.Nonce},
		"code_challenge":        {base64.RawURLEncoding.EncodeToString(challenge[:])},
		"code_challenge_method": {"S256"},
	}
	if len(c.Scopes) > 0 {
		q.Set("scope", strings.Join(c.Scopes, " "))
	}
	sep := "?"
	if strings.Contains(c.Endpoint, "?") {
		sep = "&"
	}
	return c.Endpoint + sep + q.Encode()
}

// Answer takes what came to the redirect URI, and returns the code. It is good
// with f.Verifier; the ID token that it buys must have f.Nonce and be about the
// user who began the flow, or somebody else's proof would serve. Then the call
// is repeated, and its answer given to StepUp again.
//
// An error that the issuer answered is a *Declined. Anything that is not the
// answer to f is ErrAnswer.
func (c Client) Answer(f *Flow, q url.Values) (string, error) {
	if err := c.check(); err != nil {
		return "", err
	}
	if f.State == "" || f.Answered {
		return "", fmt.Errorf("%w: none is waited for", ErrAnswer)
	}
	for name, values := range q {
		if len(values) != 1 {
			return "", fmt.Errorf("%w: %.40q stands in it %d times", ErrAnswer, name, len(values))
		}
	}
	if subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(f.State)) != 1 {
		return "", fmt.Errorf("%w: its state is another", ErrAnswer)
	}
	// RFC 9207 section 2.4.
	if iss := q.Get("iss"); iss != c.Issuer && (q.Has("iss") || !c.InsecureNoIssuer) {
		return "", fmt.Errorf("%w: its issuer is %.100q", ErrAnswer, iss)
	}
	if code := q.Get("error"); code != "" {
		f.Answered = true
		return "", &Declined{Code: code, Text: q.Get("error_description")}
	}
	if q.Get("code") == "" {
		return "", fmt.Errorf("%w: it has no code", ErrAnswer)
	}
	f.Answered = true
	return q.Get("code"), nil
}
