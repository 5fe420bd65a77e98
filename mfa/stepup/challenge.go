package stepup

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// A Challenge is what an API answers to a call that it does not let pass (RFC
// 6750 section 3, RFC 9470 section 3). The zero Challenge asks for nothing and
// is no reason to step up.
type Challenge struct {
	Scheme string `json:"scheme,omitempty"` // Bearer, DPoP …, as it came
	Code   string `json:"code,omitempty"`   // error; empty: no token was sent
	Text   string `json:"text,omitempty"`   // error_description: for who writes the client, not for users

	ACRValues []string `json:"acr_values,omitempty"` // one of which is needed, the preferred first
	MaxAge    *int     `json:"max_age,omitempty"`    // seconds since the user was authenticated; nil: any number
	Scopes    []string `json:"scopes,omitempty"`
}

// ErrChallenge says that a challenge cannot be read, or asks for what the
// client must not ask for.
var ErrChallenge = errors.New("stepup: a challenge that cannot be met")

// IsStepUp reports whether a new authorization can meet c: the user has to be
// authenticated otherwise, or a scope is missing. Others, such as invalid_token,
// are for the client's usual way to a new token.
func (c Challenge) IsStepUp() bool {
	if !strings.EqualFold(c.Scheme, "Bearer") && !strings.EqualFold(c.Scheme, "DPoP") {
		return false
	}
	return c.Code == "insufficient_user_authentication" || c.Code == "insufficient_scope"
}

// Challenged returns the challenge of resp that a new authorization can meet;
// false if there is none, so that resp is an answer like any other. Of several
// the one about the user's authentication is taken. ErrChallenge says that there
// may be one, but it is not well-formed. The body of resp is left alone.
func Challenged(resp *http.Response) (Challenge, bool, error) {
	if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
		return Challenge{}, false, nil
	}
	all, err := ParseChallenges(resp.Header.Values("WWW-Authenticate"))
	found := Challenge{}
	for _, c := range all {
		if c.IsStepUp() && (found.Code == "" || found.Code == "insufficient_scope" && c.Code != found.Code) {
			found = c
		}
	}
	if found.Code != "" {
		return found, true, nil
	}
	return Challenge{}, false, err
}

// ParseChallenges reads WWW-Authenticate fields, of which each can have several
// challenges (RFC 9110 section 11.6.1). Those that are well-formed are returned
// also if others are not, which is ErrChallenge.
func ParseChallenges(fields []string) ([]Challenge, error) {
	var all []Challenge
	var errs []error
	for _, f := range fields {
		p := parser{text: f}
		for {
			c, more, err := p.challenge()
			if err != nil {
				errs = append(errs, fmt.Errorf("%w: %w", ErrChallenge, err))
			}
			if err != nil || !more {
				break
			}
			all = append(all, c)
		}
	}
	return all, errors.Join(errs...)
}

// challengeOf makes a Challenge of the parameters of one.
func challengeOf(scheme string, params map[string]string) (Challenge, error) {
	c := Challenge{
		Scheme: scheme, Code: params["error"], Text: params["error_description"],
		ACRValues: list(params["acr_values"]), Scopes: list(params["scope"]),
	}
	text, ok := params["max_age"]
	if !ok {
		return c, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || strings.Trim(text, "0123456789") != "" {
		// To leave it out would send the user for something that is not enough.
		return Challenge{}, fmt.Errorf("max_age is %.40q", text)
	}
	age := int(n)
	c.MaxAge = &age
	return c, nil
}

// list returns the values of a list separated by spaces, nil if there is none.
func list(s string) []string {
	if all := strings.Fields(s); len(all) > 0 {
		return all
	}
	return nil
}

// A param is one of a challenge.
type param struct{ name, value string }

// writeChallenge returns a challenge whose values are quoted strings (RFC 9110
// section 5.6.4).
func writeChallenge(scheme string, params []param) string {
	var b strings.Builder
	b.WriteString(scheme)
	for i, p := range params {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(" " + p.name + `="`)
		for _, r := range []byte(p.value) {
			if r == '"' || r == '\\' {
				b.WriteByte('\\')
			}
			b.WriteByte(r)
		}
		b.WriteByte('"')
	}
	return b.String()
}

// A parser reads one field from its start to its end.
type parser struct {
	text string
	at   int
}

// challenge returns the next challenge, false if there is none any more.
func (p *parser) challenge() (Challenge, bool, error) {
	p.skip(" \t,") // a list may have empty elements (RFC 9110 section 5.6.1.2)
	if p.end() {
		return Challenge{}, false, nil
	}
	scheme := p.token()
	if scheme == "" {
		return Challenge{}, false, fmt.Errorf("no scheme at byte %d", p.at)
	}
	spaces := p.skip(" ")
	if p.end() || p.text[p.at] == ',' {
		return Challenge{Scheme: scheme}, true, nil
	}
	if spaces == 0 {
		return Challenge{}, false, fmt.Errorf("no space after the scheme at byte %d", p.at)
	}
	if p.token68() {
		return Challenge{Scheme: scheme}, true, nil
	}
	params, err := p.params()
	if err != nil {
		return Challenge{}, false, err
	}
	c, err := challengeOf(scheme, params)
	return c, err == nil, err
}

// params reads the parameters of a challenge, up to the next scheme.
func (p *parser) params() (map[string]string, error) {
	params := map[string]string{}
	for {
		start := p.at
		name := strings.ToLower(p.token())
		p.skip(" \t")
		if name == "" || p.end() || p.text[p.at] != '=' {
			if len(params) > 0 && name != "" {
				p.at = start // of the next challenge, of which this is the scheme
				return params, nil
			}
			return nil, fmt.Errorf("no parameter at byte %d", start)
		}
		p.at++
		p.skip(" \t")
		value, err := p.value()
		if err != nil {
			return nil, err
		}
		if _, twice := params[name]; twice {
			return nil, fmt.Errorf("%.40q stands twice", name)
		}
		params[name] = value
		p.skip(" \t")
		if p.end() {
			return params, nil
		}
		if p.text[p.at] != ',' {
			return nil, fmt.Errorf("no comma at byte %d", p.at)
		}
		if p.skip(" \t,"); p.end() {
			return params, nil
		}
	}
}

// value reads a token or a quoted string.
func (p *parser) value() (string, error) {
	if p.end() || p.text[p.at] != '"' {
		v := p.token()
		if v == "" {
			return "", fmt.Errorf("no value at byte %d", p.at)
		}
		return v, nil
	}
	var b strings.Builder
	for p.at++; !p.end(); p.at++ {
		c := p.text[p.at]
		switch {
		case c == '"':
			p.at++
			return b.String(), nil
		case c == '\\':
			if p.at++; p.end() {
				return "", errors.New("a quoted string ends in a backslash")
			}
			c = p.text[p.at]
		}
		if c < ' ' && c != '\t' || c == 0x7f {
			return "", fmt.Errorf("a control character at byte %d", p.at)
		}
		b.WriteByte(c)
	}
	return "", errors.New("a quoted string does not end")
}

// token68 reads the one value that some schemes have in place of parameters. It
// reads nothing if there is something else.
func (p *parser) token68() bool {
	rest := p.text[p.at:]
	value, _, _ := strings.Cut(rest, ",")
	value = strings.TrimRight(value, " \t")
	if !isToken68(value) {
		return false
	}
	p.at += len(value)
	p.skip(" \t")
	return true
}

func (p *parser) token() string {
	start := p.at
	for !p.end() && isTokenChar(p.text[p.at]) {
		p.at++
	}
	return p.text[start:p.at]
}

// skip passes over any of the characters in set, and returns how many it were.
func (p *parser) skip(set string) int {
	start := p.at
	for !p.end() && strings.IndexByte(set, p.text[p.at]) >= 0 {
		p.at++
	}
	return p.at - start
}

func (p *parser) end() bool { return p.at >= len(p.text) }

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// isTokenChar reports whether c is a tchar (RFC 9110 section 5.6.2).
func isTokenChar(c byte) bool {
	return isAlphanumeric(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// isToken68 reports whether s is a token68 (RFC 9110 section 11.2), which is
// also what a bearer token is.
func isToken68(s string) bool {
	s = strings.TrimRight(s, "=")
	return s != "" && !slices.ContainsFunc([]byte(s), func(c byte) bool {
		return !isAlphanumeric(c) && strings.IndexByte("-._~+/", c) < 0
	})
}
