package stepup_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport-id/sallyport/mfa/stepup"
)

const (
	issuer = "https://as.example.net"
	api    = "https://rs.example.com"
)

// An authority is a tiny issuer: metadata, keys, introspection, and a count of
// what it was asked. It is its own http.RoundTripper, so that it also answers
// in a synctest bubble.
type authority struct {
	t    testing.TB
	name string

	mu       sync.Mutex
	asked    map[string]int // requests by path
	pages    map[string]http.HandlerFunc
	down     bool
	signers  []signer          // of which the last signs, and all are published
	withheld map[string]bool   // kids that are not published
	opaque   map[string]string // answers to introspection
}

// A signer is a key of the issuer's.
type signer struct {
	kid, alg string
	private  crypto.Signer
}

var (
	ecKey  = must(newECKey())
	rsaKey = must(rsa.GenerateKey(rand.Reader, 2048))
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newAuthority(t testing.TB) *authority {
	a := &authority{
		t: t, name: issuer, asked: map[string]int{}, withheld: map[string]bool{}, opaque: map[string]string{},
		signers: []signer{{"ec", "ES256", ecKey}},
	}
	a.pages = map[string]http.HandlerFunc{
		"/.well-known/openid-configuration": a.metadata,
		"/keys":                             a.keys,
		"/introspect":                       a.introspect,
	}
	return a
}

func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.asked[r.URL.Path]++
	page, down := a.pages[r.URL.Path], a.down
	a.mu.Unlock()
	switch {
	case down:
		http.Error(w, "down", http.StatusBadGateway)
	case page == nil:
		http.NotFound(w, r)
	default:
		page(w, r)
	}
}

// RoundTrip answers without a network.
func (a *authority) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasPrefix(r.URL.String(), a.name) {
		a.t.Errorf("a request to %s, which is not the issuer", r.URL)
		return nil, errors.New("no such host")
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

func (a *authority) metadata(w http.ResponseWriter, _ *http.Request) {
	reply(w, map[string]any{"issuer": a.name, "jwks_uri": a.name + "/keys", "introspection_endpoint": a.name + "/introspect"})
}

func (a *authority) keys(w http.ResponseWriter, _ *http.Request) {
	w.Write(a.jwks())
}

func (a *authority) jwks() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, s := range a.signers {
		if !a.withheld[s.kid] {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: s.private.Public(), KeyID: s.kid, Algorithm: s.alg, Use: "sig"})
		}
	}
	return must(json.Marshal(set))
}

func (a *authority) introspect(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	if r.Method != "POST" || id != "the+api" || secret != "hush%3A+hush" || r.PostFormValue("token_type_hint") != "access_token" {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	a.mu.Lock()
	text, ok := a.opaque[r.PostFormValue("token")]
	a.mu.Unlock()
	if !ok {
		text = `{"active":false}`
	}
	w.Write([]byte(text))
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

// set changes the issuer while it is being asked.
func (a *authority) set(change func(*authority)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(a)
}

// count returns how often path was asked for.
func (a *authority) count(path string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked[path]
}

// rotate makes the issuer sign with another key, which it publishes.
func (a *authority) rotate(kid string) {
	k := must(newECKey())
	a.set(func(a *authority) { a.signers = append(a.signers, signer{kid, "ES256", k}) })
}

// claims are those of a token that opens everything here.
type claims map[string]any

func (a *authority) claims(changes claims) claims {
	now := time.Now().Unix()
	c := claims{
		"iss": a.name, "sub": "someone@example.net", "aud": api, "exp": now + 300, "iat": now,
		"jti": rand.Text(), "client_id": "s6BhdRkqt3", "scope": "purchase read", "auth_time": now - 2,
		"acr": "mfa", "amr": []string{"pwd", "otp"},
	}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// token signs claims as an access token; nil ones are left out.
func (a *authority) token(changes claims) string {
	a.mu.Lock()
	s := a.signers[len(a.signers)-1]
	a.mu.Unlock()
	return s.sign(a.claims(changes), nil)
}

// sign signs claims, with header fields in place of the usual.
func (s signer) sign(c any, header map[string]any) string {
	o := (&jose.SignerOptions{}).WithType("at+jwt").WithHeader("kid", s.kid)
	for name, v := range header {
		o.WithHeader(jose.HeaderKey(name), v)
	}
	maps.DeleteFunc(o.ExtraHeaders, func(_ jose.HeaderKey, v any) bool { return v == nil })
	j := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(s.alg), Key: s.private}, o))
	payload, ok := c.([]byte)
	if !ok {
		payload = must(json.Marshal(c))
	}
	return must(must(j.Sign(payload)).CompactSerialize())
}

func newECKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func ed25519Key() ed25519.PrivateKey {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	return must(k, err)
}

var ladder = stepup.Ladder{{"pwd"}, {"mfa", "https://refeds.org/profile/mfa"}, {"phr"}}

// guard returns a guard of a's tokens.
func (a *authority) guard(changes ...func(*stepup.Config)) *stepup.Guard {
	a.t.Helper()
	c := stepup.Config{Issuer: a.name, Audience: api, Ladder: ladder, Transport: a, Store: &stepup.MemoryStore{}}
	for _, change := range changes {
		change(&c)
	}
	g, err := stepup.New(c)
	if err != nil {
		a.t.Fatal(err)
	}
	return g
}

// introspected makes a guard ask a about tokens that are no JWTs.
func introspected(c *stepup.Config) {
	c.Introspection = &stepup.Introspection{ClientID: "the api", Secret: "hush: hush"}
}

var anyToken = stepup.Demand{AnyToken: true}

// call calls an API that demands d, with a bearer token.
func call(g *stepup.Guard, d stepup.Demand, token string) *http.Response {
	return callWith(g, d, "Bearer "+token)
}

// callWith calls it with Authorization headers. The API says whose call it was.
func callWith(g *stepup.Guard, d stepup.Demand, authorization ...string) *http.Response {
	h := g.Require(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t, ok := stepup.From(r.Context())
		if !ok {
			panic("the handler runs and there is no token")
		}
		w.Write([]byte(t.Subject))
	}))
	r := httptest.NewRequest("POST", api+"/transfer", nil)
	for _, v := range authorization {
		r.Header.Add("Authorization", v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// wants fails the test unless resp has this status and, if it is not empty, this
// error in its challenge.
func wants(t testing.TB, resp *http.Response, status int, code string) {
	t.Helper()
	all, err := stepup.ParseChallenges(resp.Header.Values("WWW-Authenticate"))
	if err != nil {
		t.Errorf("the challenge cannot be read: %v", err)
	}
	got := ""
	if len(all) > 0 {
		got = all[0].Code
	}
	if resp.StatusCode != status || got != code {
		t.Errorf("got %d %q, want %d %q", resp.StatusCode, got, status, code)
	}
	if challenged := len(all) > 0; challenged != (status/100 == 4) {
		t.Errorf("%d with %d challenges", status, len(all))
	}
}

func readAll(resp *http.Response) (string, error) {
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}
