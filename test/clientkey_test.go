package test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport-id/sallyport/provider"
)

// A clientKey is a key of a client.
type clientKey struct {
	kid string
	crypto.Signer
}

// theKeys are the keys of clients of the tests by the algorithm that they are
// for, and further ones by what is the matter with them.
var theKeys = sync.OnceValue(func() map[string]clientKey {
	all := map[string]clientKey{}
	add := func(name string, k crypto.Signer, err error) {
		if err != nil {
			panic(err)
		}
		all[name] = clientKey{"the " + name + " key", k}
	}
	ec := func(c elliptic.Curve) (crypto.Signer, error) { return ecdsa.GenerateKey(c, rand.Reader) }
	k, err := ec(elliptic.P256())
	add("ES256", k, err)
	k, err = ec(elliptic.P256())
	add("other", k, err)
	k, err = ec(elliptic.P384())
	add("P-384", k, err)
	for name, bits := range map[string]int{"RS256": 2048, "PS256": 2048, "small": 1024} {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		add(name, k, err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	add("EdDSA", ed, err)
	return all
})

// jwk returns k's public half, with some members more.
func (k clientKey) jwk(t testing.TB, more ...any) map[string]any {
	t.Helper()
	b, err := (&jose.JSONWebKey{Key: k.Public(), KeyID: k.kid}).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(more); i += 2 {
		v = but(v, more[i].(string), more[i+1])
	}
	return v
}

// jwks is a JWK Set.
func jwks(t testing.TB, keys ...map[string]any) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{"keys": append([]map[string]any{}, keys...)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sign returns a JWT that k signed as alg says, whatever its header says.
func (k clientKey) sign(t testing.TB, alg string, header map[string]any, payload any) string {
	t.Helper()
	text := encoded(t, header) + "." + encoded(t, payload)
	hash, opts := crypto.SHA256, crypto.SignerOpts(crypto.SHA256)
	switch alg {
	case "PS256":
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	case "EdDSA":
		sig, err := k.Sign(nil, []byte(text), crypto.Hash(0))
		if err != nil {
			t.Fatal(err)
		}
		return text + "." + base64.RawURLEncoding.EncodeToString(sig)
	}
	h := hash.New()
	h.Write([]byte(text))
	var sig []byte
	var err error
	if ec, ok := k.Signer.(*ecdsa.PrivateKey); ok {
		r, s, e := ecdsa.Sign(rand.Reader, ec, h.Sum(nil))
		size := (ec.Curve.Params().BitSize + 7) / 8
		sig, err = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...), e
	} else {
		sig, err = k.Sign(rand.Reader, h.Sum(nil), opts)
	}
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// aboutItself are the claims of an assertion of the client called id in which
// nothing is wrong.
func aboutItself(id string) map[string]any {
	now := time.Now().Unix()
	return map[string]any{"iss": id, "sub": id, "aud": issuer, "exp": now + 60, "iat": now, "jti": rand.Text()}
}

// asserted returns the parameters of a client that authenticates by an
// assertion.
func asserted(assertion string) url.Values {
	return url.Values{
		"client_assertion":      {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
	}
}

// proof returns an assertion of the client called id under its ES256 key.
func proof(t testing.TB, id string) url.Values {
	t.Helper()
	k := theKeys()["ES256"]
	return asserted(k.sign(t, "ES256", map[string]any{"alg": "ES256", "kid": k.kid}, aboutItself(id)))
}

// both returns the parameters of all, the later before the earlier.
func both(all ...url.Values) url.Values {
	v := url.Values{}
	for _, more := range all {
		maps.Copy(v, more)
	}
	return v
}

// A publisher is a web server on this machine, outside of any bubble, at which
// clients publish their keys.
type publisher struct {
	*httptest.Server
	mu    sync.Mutex
	docs  map[string]string // by path; what is not there is 404
	asked map[string]int
}

func newPublisher(t *testing.T) *publisher {
	t.Helper()
	p := &publisher{docs: map[string]string{}, asked: map[string]int{}}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked[r.URL.Path]++
		doc, ok := p.docs[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write([]byte(doc))
	}))
	t.Cleanup(p.Close)
	return p
}

// publish lets path answer with doc, or with 404 if that is empty.
func (p *publisher) publish(path, doc string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.docs[path] = doc; doc == "" {
		delete(p.docs, path)
	}
}

func (p *publisher) times(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[path]
}

// reachable is a plan by which publishers are reached, which are on loopback.
var reachable = plan{provider: func(c *provider.Config) {
	c.InsecureNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
}}

// keyed is a service that may do everything, with some keys.
func keyed(id string, set []byte) provider.Client {
	return provider.Client{ID: id, Type: provider.Service, Keys: set, Introspects: true,
		GrantTypes: []string{"client_credentials"}, Scopes: []string{"jobs"}}
}

// asking is what each endpoint at which a client authenticates is asked, for
// nothing in particular.
var asking = map[string]url.Values{
	"/token":      values("grant_type", "client_credentials"),
	"/revoke":     values("token", "none"),
	"/introspect": values("token", "none"),
}
