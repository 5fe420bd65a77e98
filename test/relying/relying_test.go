package relying

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

const (
	issuer = "https://idp.example"
	access = "an-access-token-of-0123456789abcdefghijklmnopqrstuvwxyz"
)

type signer struct {
	id, alg string
	key     crypto.Signer
}

var rs, es, ps, ed = signer{"rs", "RS256", must(rsa.GenerateKey(rand.Reader, 2048))},
	signer{"es", "ES256", must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))},
	signer{"ps", "PS256", must(rsa.GenerateKey(rand.Reader, 2048))},
	signer{"ed", "EdDSA", func() ed25519.PrivateKey { _, k, err := ed25519.GenerateKey(rand.Reader); return must(k, err) }()}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwk returns the public key of s.
func (s signer) jwk() map[string]any {
	v := map[string]any{"kid": s.id, "alg": s.alg, "use": "sig"}
	switch key := s.key.Public().(type) {
	case *rsa.PublicKey:
		v["kty"], v["n"], v["e"] = "RSA", b64(key.N.Bytes()), b64(big.NewInt(int64(key.E)).Bytes())
	case *ecdsa.PublicKey:
		point := must(key.Bytes())
		v["kty"], v["crv"], v["x"], v["y"] = "EC", "P-256", b64(point[1:33]), b64(point[33:])
	case ed25519.PublicKey:
		v["kty"], v["crv"], v["x"] = "OKP", "Ed25519", b64(key)
	}
	return v
}

// sign returns a JWT with header fields over the usual ones.
func (s signer) sign(header, claims map[string]any) string {
	h := map[string]any{"alg": s.alg, "kid": s.id, "typ": "JWT"}
	maps.Copy(h, header)
	text := b64(must(json.Marshal(h))) + "." + b64(must(json.Marshal(claims)))
	sum := sha256.Sum256([]byte(text))
	switch key := s.key.(type) {
	case *rsa.PrivateKey:
		if s.alg == "PS256" {
			return text + "." + b64(must(rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], nil)))
		}
		return text + "." + b64(must(rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])))
	case *ecdsa.PrivateKey:
		r, t, err := ecdsa.Sign(rand.Reader, key, sum[:])
		return text + "." + b64(append(must(r, err).FillBytes(make([]byte, 32)), t.FillBytes(make([]byte, 32))...))
	}
	return text + "." + b64(must(s.key.Sign(nil, []byte(text), crypto.Hash(0))))
}

// party is at a provider that is as it must be, and answers with what answer
// returns.
func party(t *testing.T, answer func(r *http.Request) (int, http.Header, string)) *Party {
	t.Helper()
	keys, err := parseKeys([]map[string]any{rs.jwk(), es.jwk(), ps.jwk(), ed.jwk()})
	if err != nil {
		t.Fatal(err)
	}
	return &Party{
		Provider: &Provider{Issuer: issuer, Metadata: metadata(), Keys: keys},
		Client: &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			status, header, body := answer(r)
			w := httptest.NewRecorder()
			maps.Copy(w.Header(), header)
			w.WriteHeader(status)
			w.WriteString(body)
			return w.Result(), nil
		})},
		ID: "party", Secret: "secret", RedirectURI: "https://party.example/cb?a=b", Algorithm: "RS256",
	}
}

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

func metadata() map[string]any {
	m := map[string]any{
		"issuer": issuer, "authorization_endpoint": issuer + "/authorize", "token_endpoint": issuer + "/token",
		"userinfo_endpoint": issuer + "/userinfo", "jwks_uri": issuer + "/jwks.json",
		"scopes_supported": []any{"openid"}, "response_types_supported": []any{"code"}, "subject_types_supported": []any{"public"},
		"claims_supported": []any{"sub"}, "id_token_signing_alg_values_supported": []any{"RS256"}, "ui_locales_supported": []any{"de", "pt-BR"},
		"token_endpoint_auth_methods_supported": []any{"private_key_jwt"}, "token_endpoint_auth_signing_alg_values_supported": []any{"ES256"},
		"authorization_response_iss_parameter_supported": true,
	}
	return m
}

// changed returns a copy of m with one member changed, or removed by nil.
func changed(m map[string]any, name string, v any) map[string]any {
	m = maps.Clone(m)
	if m[name] = v; v == nil {
		delete(m, name)
	}
	return m
}

// noticed checks that err is there if, and only if, something is wrong.
func noticed(t *testing.T, what string, err error, wrong bool) {
	t.Helper()
	if wrong != (err != nil) {
		t.Errorf("%s: %v", what, err)
	}
}

func with(v url.Values, name, value string) url.Values {
	v = maps.Clone(v)
	v[name] = []string{value}
	return v
}
