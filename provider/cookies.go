package provider

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// cookies names, makes and reads our two cookies: browser, which binds a
// browser to its flows, and session.
type cookies struct {
	secure  bool
	session string
	browser string
	keys    [][]byte // of the MAC in the browser cookie
}

func newCookies(issuer *url.URL, secrets [][]byte) (cookies, error) {
	c := cookies{secure: issuer.Scheme == "https"}
	prefix, suffix := "__Host-sallyport_", ""
	// The __Host- prefix (RFC 6265bis section 4.1.3.2) wants Path=/ and no
	// Domain, and ports share their cookies, so two providers on one host must
	// differ in the name. On loopback http the prefix cannot be had.
	if !c.secure {
		prefix = "sallyport_"
	}
	if !c.secure || issuer.Path != "" || issuer.Port() != "" {
		sum := sha256.Sum256([]byte(issuer.String()))
		suffix = "_" + hex.EncodeToString(sum[:4])
	}
	c.session, c.browser = prefix+"session"+suffix, prefix+"browser"+suffix
	for _, s := range secrets {
		key, err := hkdf.Key(sha256.New, s, nil, "sallyport browser cookie", 32)
		if err != nil {
			return cookies{}, fmt.Errorf("deriving the cookie key: %w", err)
		}
		c.keys = append(c.keys, key)
	}
	return c, nil
}

func (c cookies) make(name, value string) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value, Path: "/", Secure: c.secure, HttpOnly: true,
		SameSite: http.SameSiteLaxMode, // the way here from the client must carry it
	}
}

// gone returns a cookie that removes the one called name.
func (c cookies) gone(name string) *http.Cookie {
	k := c.make(name, "")
	k.MaxAge = -1
	return k
}

// secret returns 256 random bits as text.
func secret() string {
	var b [32]byte
	rand.Read(b[:]) // never fails: crypto/rand since Go 1.24
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func hashOf(s string) Hash { return sha256.Sum256([]byte(s)) }

// newBrowser returns a new value for the browser cookie.
func (c cookies) newBrowser() string {
	s := secret()
	return s + "." + c.mac(s, c.keys[0])
}

func (c cookies) mac(s string, key []byte) string {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(s))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:16])
}

// browserOf returns the hash by which r's browser is bound to its flows, and
// whether it sent a cookie that we made.
func (c cookies) browserOf(r *http.Request) (Hash, bool) {
	k, err := r.Cookie(c.browser)
	if err != nil {
		return Hash{}, false
	}
	s, mac, _ := strings.Cut(k.Value, ".")
	for _, key := range c.keys {
		// A value that someone else planted must not become this browser's.
		if hmac.Equal([]byte(mac), []byte(c.mac(s, key))) {
			return hashOf(k.Value), true
		}
	}
	return Hash{}, false
}

// sessionOf returns the hash of r's session cookie, if it has one.
func (c cookies) sessionOf(r *http.Request) (Hash, bool) {
	k, err := r.Cookie(c.session)
	if err != nil || k.Value == "" {
		return Hash{}, false
	}
	return hashOf(k.Value), true
}
