package test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

// part returns the i-th part of a JWT as JSON, unverified.
func part(t testing.TB, token string, i int) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", token)
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[i])
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func headerOf(t testing.TB, token string) map[string]any { t.Helper(); return part(t, token, 0) }
func claimsOf(t testing.TB, token string) map[string]any { t.Helper(); return part(t, token, 1) }

// key returns the signing key of the test for alg.
func key(t testing.TB, alg string) provider.SigningKey {
	t.Helper()
	k, err := testKeys.Signing(t.Context(), alg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// mint returns a JWT, signed as its header says: with the provider's own key
// for ES256 and RS256, with the public RSA key as the secret for HS256 (the
// classic confusion), and not at all for none.
func mint(t testing.TB, header, claims map[string]any) string {
	t.Helper()
	alg, _ := header["alg"].(string)
	switch alg {
	case "ES256", "RS256":
		return mintWith(t, key(t, alg).Signer, header, claims)
	}
	return mintWith(t, nil, header, claims)
}

func mintWith(t testing.TB, signer crypto.Signer, header, claims map[string]any) string {
	t.Helper()
	text := encoded(t, header) + "." + encoded(t, claims)
	digest := sha256.Sum256([]byte(text))
	var sig []byte
	var err error
	switch k := signer.(type) {
	case *ecdsa.PrivateKey:
		r, s, e := ecdsa.Sign(rand.Reader, k, digest[:])
		sig, err = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), e
	case *rsa.PrivateKey:
		sig, err = rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, digest[:])
	case nil:
		if header["alg"] == "HS256" {
			der, e := x509.MarshalPKIXPublicKey(key(t, "RS256").Signer.Public())
			m := hmac.New(sha256.New, der)
			m.Write([]byte(text))
			sig, err = m.Sum(nil), e
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func encoded(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// but returns a copy of m in which name is v; nil: it is left out.
func but(m map[string]any, name string, v any) map[string]any {
	c := maps.Clone(m)
	if c[name] = v; v == nil {
		delete(c, name)
	}
	return c
}

// tampered returns token with another subject under the old signature.
func tampered(token string) string {
	parts := strings.Split(token, ".")
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		panic(err)
	}
	parts[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(b), "sub-alice", "sub-bobby", 1)))
	return strings.Join(parts, ".")
}

// TK-1, TK-3: what is taken for an access token at /userinfo.
func TestOnlyAnAccessTokenOfOursOpensUserinfo(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		s.register(provider.Client{ID: "es", Type: provider.SPA, RedirectURIs: []string{appURL}, Algorithm: "ES256", FirstParty: true})
		s.register(provider.Client{ID: "opaque", Type: provider.SPA, RedirectURIs: []string{appURL}, OpaqueTokens: true, FirstParty: true})
		code := s.code(offline())
		tokens := s.trade(exchange(code))
		access, id := tokens.text(t, "access_token"), tokens.text(t, "id_token")
		es := ask(t, s, send(t, "/token", with(exchange(s.code(with(authorization(), "client_id", "es"))), "client_id", "es"))).text(t, "access_token")
		opaque := ask(t, s, send(t, "/token", with(exchange(s.code(with(authorization(), "client_id", "opaque"))), "client_id", "opaque"))).text(t, "access_token")
		if strings.HasPrefix(opaque, "ey") || strings.Contains(opaque, "sub-alice") {
			t.Errorf("an opaque token says something: %s", opaque)
		}
		s.register(api)
		h, c := headerOf(t, access), claimsOf(t, access)
		s.register(provider.Client{ID: "signed", Type: provider.SPA, RedirectURIs: []string{appURL}, UserinfoAlgorithm: "ES256", FirstParty: true})
		info := s.userinfo(ask(t, s, send(t, "/token", with(exchange(s.code(with(authorization(), "client_id", "signed"))), "client_id", "signed"))).text(t, "access_token")).body
		jwk := map[string]any{"kty": "EC"}
		for name, is := range map[string]struct{ token, want string }{
			"an access token":            {access, "200"},
			"one of ES256":               {es, "200"},
			"an opaque one":              {opaque, "200"},
			"made with our key":          {mint(t, h, c), "200"}, // the forgeries below fail for their one difference
			"an ID token":                {id, "401 invalid_token"},
			"signed userinfo":            {info, "401 invalid_token"},
			"signed userinfo, renamed":   {mint(t, but(headerOf(t, info), "typ", "at+jwt"), claimsOf(t, info)), "401 invalid_token"},
			"typ userinfo+jwt":           {mint(t, but(h, "typ", "userinfo+jwt"), c), "401 invalid_token"},
			"a refresh token":            {tokens.text(t, "refresh_token"), "401 invalid_token"},
			"a code":                     {code, "401 invalid_token"},
			"a session's cookie":         {s.cookie(t, sessionCookie), "401 invalid_token"},
			"a browser's cookie":         {s.cookie(t, browserCookie), "401 invalid_token"},
			"a client secret":            {appSecret, "401 invalid_token"},
			"junk":                       {"junk", "401 invalid_token"},
			"dots":                       {"..", "401 invalid_token"},
			"unsigned":                   {mint(t, but(h, "alg", "none"), c), "401 invalid_token"},
			"unsigned, otherwise":        {mint(t, but(h, "alg", "nOnE"), c), "401 invalid_token"},
			"by HMAC with the RSA key":   {mint(t, but(h, "alg", "HS256"), c), "401 invalid_token"},
			"of a changed payload":       {tampered(access), "401 invalid_token"},
			"of another key":             {mintWith(t, stranger, but(h, "alg", "ES256"), c), "401 invalid_token"},
			"of another key, with it":    {mintWith(t, stranger, but(but(but(h, "alg", "ES256"), "jwk", jwkOf(stranger)), "kid", nil), c), "401 invalid_token"},
			"of another key, kid and it": {mintWith(t, stranger, but(but(h, "alg", "ES256"), "jwk", jwkOf(stranger)), c), "401 invalid_token"},
			"with a jku":                 {mintWith(t, stranger, but(but(h, "alg", "ES256"), "jku", "https://evil.example/jwks"), c), "401 invalid_token"},
			"with an x5u":                {mintWith(t, stranger, but(but(h, "alg", "ES256"), "x5u", "https://evil.example/cert"), c), "401 invalid_token"},
			"with a broken jwk":          {mint(t, but(h, "jwk", jwk), c), "401 invalid_token"},
			"with a critical header":     {mint(t, but(h, "crit", []string{"x"}), c), "401 invalid_token"},
			"without a kid":              {mint(t, but(h, "kid", nil), c), "401 invalid_token"},
			"with a space":               {strings.Replace(access, ".", ". ", 1), "401 invalid_token"},
			"with a line break":          {access[:9] + "\n" + access[9:], "401 invalid_token"},
			"of an unknown kid":          {mint(t, but(h, "kid", "../../etc/passwd"), c), "401 invalid_token"},
			"a kid of another alg":       {mint(t, but(h, "kid", key(t, "ES256").ID), c), "401 invalid_token"},
			"typ JWT":                    {mint(t, but(h, "typ", "JWT"), c), "401 invalid_token"},
			"without a typ":              {mint(t, but(h, "typ", nil), c), "401 invalid_token"},
			"typ logout+jwt":             {mint(t, but(h, "typ", "logout+jwt"), c), "401 invalid_token"},
			"typ dpop+jwt":               {mint(t, but(h, "typ", "dpop+jwt"), c), "401 invalid_token"},
			"of another issuer":          {mint(t, h, but(c, "iss", "https://evil.example")), "401 invalid_token"},
			"without an issuer":          {mint(t, h, but(c, "iss", nil)), "401 invalid_token"},
			"for another audience":       {mint(t, h, but(c, "aud", []string{"app"})), "401 invalid_token"},
			"without an audience":        {mint(t, h, but(c, "aud", nil)), "401 invalid_token"},
			"expired":                    {mint(t, h, but(c, "exp", time.Now().Unix())), "401 invalid_token"},
			"without an end":             {mint(t, h, but(c, "exp", nil)), "401 invalid_token"},
			"without an id":              {mint(t, h, but(c, "jti", nil)), "401 invalid_token"},
			"of an unknown grant":        {mint(t, h, but(c, "jti", "AAAAAAAAAAAAAAAAAAAAAA.x")), "401 invalid_token"},
			"without openid":             {mint(t, h, but(c, "scope", "profile")), "403 insufficient_scope"},
			"an ID token, renamed":       {mint(t, but(headerOf(t, id), "typ", "at+jwt"), claimsOf(t, id)), "401 invalid_token"},
			"opaque, a character less":   {opaque[:len(opaque)-1], "401 invalid_token"},
			"opaque, of another kind":    {strings.Replace(tokens.text(t, "refresh_token"), "slp_rt", "slp_at", 1), "401 invalid_token"},
			"opaque, later":              {later(opaque), "401 invalid_token"},
		} {
			a := s.userinfo(is.token)
			if got := strings.TrimSuffix(a.says(), " "); got != is.want {
				t.Errorf("%s: %s, want %s", name, got, is.want)
			}
			challenge := a.header.Get("WWW-Authenticate")
			if a.status == http.StatusOK != (challenge == "") { // RFC 6750 section 3
				t.Errorf("%s: %d with WWW-Authenticate %q", name, a.status, challenge)
			}
			if strings.Contains(challenge+a.body, is.token) && a.status != http.StatusOK {
				t.Errorf("%s: the answer repeats the token", name)
			}
			if a.status != http.StatusUnauthorized {
				continue
			}
			// What opens nothing is worth nothing; fosite introspects an ID token
			// as an access token (fosite.md 3.9).
			if a := s.inspect(is.token); a.status != http.StatusOK || a.body != inactive {
				t.Errorf("%s, introspected: %s %s", name, a.says(), a.body)
			}
			if name == "a refresh token" || name == "for another audience" {
				continue // of those the grant does end: they are ours
			}
			// And it ends nothing, whatever grant it names: there, the last part
			// of a token is enough (fosite.md 3.9).
			if a := s.giveBack(appClient, is.token); a.says() != "200" {
				t.Errorf("%s, revoked: %s", name, a.says())
			}
		}
		if a := s.userinfo(access); a.status != http.StatusOK {
			t.Errorf("what was revoked was a forgery, and the access token is over: %s", a.says())
		}
		// TK-3, the other way: nothing else is redeemed as a code or a refresh token.
		for name, token := range map[string]string{"an access token": access, "an opaque one": opaque, "an ID token": id,
			"signed userinfo": info, "a cookie": s.cookie(t, sessionCookie), "a flow": "AAAAAAAAAAAAAAAAAAAAAA"} {
			for _, v := range []map[string][]string{exchange(token), refresh(token)} {
				if a := s.trade(v); a.says() != "400 invalid_grant" {
					t.Errorf("%s as %s: %s, want 400 invalid_grant", name, v["grant_type"], a.says())
				}
			}
		}
	})
}

// later moves the end of an opaque token.
func later(token string) string {
	parts := strings.Split(token, ".")
	parts[3] = "zzzzzz"
	return strings.Join(parts, ".")
}

// stranger is a key that nobody published.
var stranger = func() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}()

func jwkOf(k *ecdsa.PrivateKey) map[string]any {
	b, err := k.PublicKey.Bytes() // 4, x, y
	if err != nil {
		panic(err)
	}
	return map[string]any{
		"kty": "EC", "crv": "P-256", "x": base64.RawURLEncoding.EncodeToString(b[1:33]),
		"y": base64.RawURLEncoding.EncodeToString(b[33:]),
	}
}

// What tokens say: OpenID Connect Core section 2, RFC 9068 section 2.2, TK-2.
func TestTokensSayWhatTheSpecificationsWant(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		signedIn := time.Now()
		for _, alg := range []string{"", "RS256", "ES256"} {
			s.register(provider.Client{ID: "alg" + alg, Type: provider.SPA, RedirectURIs: []string{appURL}, Algorithm: alg, FirstParty: true})
			time.Sleep(time.Second) // iat and auth_time are to differ
			a := ask(t, s, send(t, "/token", with(exchange(s.code(with(offline(), "client_id", "alg"+alg))), "client_id", "alg"+alg)))
			body := a.json(t)
			if got := slices.Sorted(maps.Keys(body)); !slices.Equal(got, []string{"access_token", "expires_in", "id_token", "refresh_token", "scope", "token_type"}) {
				t.Errorf("the answer has %v", got)
			}
			if body["token_type"] != "Bearer" || body["expires_in"] != 600.0 || body["scope"] != "openid profile email groups offline_access" {
				t.Errorf("got %v", body)
			}
			want := alg
			if want == "" {
				want = "RS256" // OpenID Connect Registration section 2
			}
			now := float64(time.Now().Unix())
			common := map[string]any{
				"iss": issuer, "sub": "sub-alice", "iat": now, "exp": now + 600,
				"auth_time": float64(signedIn.Unix()), "acr": "mfa", "amr": []any{"pwd", "otp"},
			}
			for name, is := range map[string]struct {
				typ  string
				also map[string]any
				any  []string // claims of any value
			}{
				"access_token": {"at+jwt", map[string]any{
					"aud": []any{issuer}, "client_id": "alg" + alg, "scope": body["scope"],
				}, []string{"jti"}},
				"id_token": {"JWT", map[string]any{
					"aud": "alg" + alg, "nonce": "the app's nonce", "at_hash": atHash(body["access_token"].(string)),
				}, []string{"sid"}},
			} {
				token := body[name].(string)
				if got := headerOf(t, token); !equal(got, map[string]any{"alg": want, "typ": is.typ, "kid": key(t, want).ID}) {
					t.Errorf("%s %s has the header %v", alg, name, got)
				}
				got := claimsOf(t, token)
				for _, claim := range is.any {
					if v, _ := got[claim].(string); v == "" {
						t.Errorf("%s %s has no %s", alg, name, claim)
					}
					delete(got, claim)
				}
				all := maps.Clone(common)
				maps.Copy(all, is.also)
				if !equal(got, all) {
					t.Errorf("%s %s says %v, want %v", alg, name, got, all)
				}
			}
		}
	})
}

func equal(a, b map[string]any) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}

// atHash is the at_hash of a token that SHA-256 belongs to (OpenID Connect
// Core section 3.1.3.6).
func atHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// OpenID Connect Core section 3.1.3.6: of each algorithm that there is, and of
// whatever form the access token beside it has, the first time and the next.
func TestTheAtHashIsOfTheTokenBesideIt(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		for _, alg := range []string{"RS256", "ES256"} {
			for _, opaque := range []bool{false, true} {
				c := provider.Client{ID: "hash", Type: provider.SPA, RedirectURIs: []string{appURL}, Algorithm: alg, OpaqueTokens: opaque, FirstParty: true}
				s.register(c)
				tokens := s.bought(c)
				for range 2 {
					id, access := tokens.text(t, "id_token"), tokens.text(t, "access_token")
					if got := claimsOf(t, id)["at_hash"]; headerOf(t, id)["alg"] != alg || got != atHash(access) {
						t.Errorf("%s, opaque %t: at_hash %v, want %s", alg, opaque, got, atHash(access))
					}
					tokens = s.as(c, "/token", refresh(tokens.text(t, "refresh_token")))
				}
			}
		}
	})
}

// cookie returns the value of a cookie of s's browser.
func (s *stage) cookie(t testing.TB, name string) string {
	t.Helper()
	r := &http.Request{Header: http.Header{"Cookie": {s.browser.cookies()}}}
	c, err := r.Cookie(name)
	if err != nil {
		t.Fatalf("no cookie %s", name)
	}
	return c.Value
}
