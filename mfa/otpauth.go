package mfa

import (
	"encoding/base32"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ErrOTPAuth says that a text is no otpauth URI of a TOTP secret that can be
// used here. What is said with it never quotes the text, which holds a secret.
var ErrOTPAuth = errors.New("mfa: unusable otpauth URI")

const (
	maxURI     = 2048
	minSecret  = 10 // bytes: what many providers of the past gave out
	maxSecret  = 128
	maxAccount = 64 // characters of an account name in a URI, or its QR code gets too dense to scan
)

// otpauthURI returns the URI that an authenticator app takes a secret from
// (https://github.com/google/google-authenticator/wiki/Key-Uri-Format). The
// issuer holds no colon; see New.
func otpauthURI(issuer, account string, s Secret, p Params) string {
	account = strings.ToValidUTF8(account, "\uFFFD")
	if utf8.RuneCountInString(account) > maxAccount {
		account = string([]rune(account)[:maxAccount])
	}
	return "otpauth://totp/" + escape(issuer) + ":" + escape(account) +
		"?secret=" + s.base32() +
		"&issuer=" + escape(issuer) +
		"&algorithm=" + p.Algorithm +
		"&digits=" + strconv.Itoa(p.Digits) +
		"&period=" + strconv.Itoa(p.Period)
}

// escape encodes all but the unreserved characters of RFC 3986. A plus for a
// space, as url.QueryEscape writes, shows up as a plus in some apps.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// ParseOTPAuth returns the secret and the parameters in an otpauth URI. It is
// strict: what it does not know for certain to mean the codes that the user's
// app shows, it refuses with ErrOTPAuth, rather than let someone in never again.
func ParseOTPAuth(uri string) (Secret, Params, error) {
	refuse := func(what string) (Secret, Params, error) {
		return nil, Params{}, fmt.Errorf("%w: %s", ErrOTPAuth, what)
	}
	if len(uri) > maxURI {
		return refuse("too long")
	}
	u, err := url.Parse(uri) // its error quotes the URI
	if err != nil {
		return refuse("no URI")
	}
	if u.Scheme != "otpauth" || !strings.EqualFold(u.Host, "totp") {
		return refuse("it does not begin with otpauth://totp/")
	}
	if u.User != nil || u.Opaque != "" || strings.Contains(uri, "#") {
		return refuse("it has parts that no otpauth URI has")
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return refuse("its query is malformed")
	}
	known := []string{"secret", "issuer", "algorithm", "digits", "period", "image"}
	for name, values := range q {
		if len(values) > 1 {
			return refuse("a parameter stands twice")
		}
		if !slices.Contains(known, name) {
			return refuse("it has a parameter that is not known")
		}
	}
	s, ok := parseSecret(q.Get("secret"))
	if !ok {
		return refuse(fmt.Sprintf("its secret is not the base32 of %d to %d bytes", minSecret, maxSecret))
	}
	p, err := parseParams(q)
	if err != nil {
		return refuse(err.Error())
	}
	return s, p, nil
}

func parseSecret(v string) (Secret, bool) {
	v = strings.ToUpper(strings.TrimRight(v, "="))
	if strings.Trim(v, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		return nil, false // the decoder below would skip line breaks
	}
	b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(v)
	s := Secret(b)
	// The decoder drops a character that is too many.
	if err != nil || len(s) < minSecret || len(s) > maxSecret || len(s.base32()) != len(v) {
		return nil, false
	}
	return s, true
}

// parseParams returns the parameters in q, the defaults for those left out.
func parseParams(q url.Values) (Params, error) {
	p := Params{Algorithm: strings.ToUpper(q.Get("algorithm"))}
	if _, ok := algorithms[p.Algorithm]; !ok && q.Has("algorithm") {
		return Params{}, errors.New("its algorithm is none of SHA1, SHA256 and SHA512")
	}
	for name, to := range map[string]*int{"digits": &p.Digits, "period": &p.Period} {
		if !q.Has(name) {
			continue
		}
		n, err := strconv.ParseUint(q.Get(name), 10, 8)
		if err != nil || n == 0 {
			return Params{}, fmt.Errorf("its %s is no number that is used", name)
		}
		*to = int(n)
	}
	p = p.orDefault()
	return p, p.Check()
}
