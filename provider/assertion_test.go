package provider

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// FuzzAssertion reads what strangers say of themselves. What passes is of a
// known algorithm and type, says what it must, is over in time and signed by
// the key of the one that it is about.
func FuzzAssertion(f *testing.F) {
	key, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	stranger, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err := errors.Join(err1, err2); err != nil {
		f.Fatal(err)
	}
	keys := []jose.JSONWebKey{{Key: key.Public(), KeyID: "k"}}
	const here = "https://idp.example"
	now := time.Unix(1_800_000_000, 0)
	for _, header := range []string{
		`{"alg":"ES256"}`, `{"alg":"ES256","kid":"k","typ":"JWT"}`, `{"alg":"none"}`, `{"alg":"HS256"}`, `{"alg":"ES256","crit":["b64"],"b64":false}`,
		`{"alg":"ES256","jwk":{"kty":"EC","crv":"P-256","x":"","y":""}}`, `{"alg":"ES256","x5c":["AAAA"],"typ":{}}`, `{"alg":"RS256","kid":7}`,
	} {
		for _, claims := range []string{
			`{"iss":"c","sub":"c","aud":"` + here + `","exp":1800000060,"jti":"j"}`,
			`{"iss":"c","sub":"c","aud":["` + here + `"],"exp":1800000060.5,"jti":"j","nbf":1800000008,"iat":1}`,
			`{"iss":"c","sub":"c","aud":["` + here + `","x"],"exp":1e400,"jti":null}`, `{"ISS":"c"}`, `[]`, "\"\xff\"",
		} {
			f.Add(header, claims, "")
		}
	}
	f.Add("", "", "..")
	f.Add("", "", "{}")
	f.Fuzz(func(t *testing.T, header, claims, whole string) {
		if whole == "" {
			text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
			digest := sha256.Sum256([]byte(text))
			r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
			if err != nil {
				t.Fatal(err)
			}
			whole = text + "." + base64.RawURLEncoding.EncodeToString(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
		}
		a, err := readAssertion(whole)
		if err != nil {
			return
		}
		signed, _ := a.signedBy(keys)
		if other, _ := a.signedBy([]jose.JSONWebKey{{Key: stranger.Public(), KeyID: a.kid}}); other {
			t.Errorf("%q is signed by anyone", whole)
		}
		if a.judge([]string{here}, now) != nil || !signed {
			return
		}
		var h, c map[string]any
		err1, err2 := json.Unmarshal([]byte(header), &h), json.Unmarshal([]byte(claims), &c)
		typ, _ := h["typ"].(string)
		switch {
		case err1 != nil || err2 != nil:
			t.Errorf("%s %s: %v, %v", header, claims, err1, err2)
		case h["alg"] != "ES256" || h["jwk"] != nil || h["crit"] != nil || strings.HasSuffix(strings.ToLower(typ), "at+jwt"):
			t.Errorf("the header %s passes", header)
		case c["iss"] != a.client || c["sub"] != a.client || a.client == "" || c["jti"] != a.id || a.id == "" || len(a.id) > maxID:
			t.Errorf("the claims %s pass as %+v", claims, a)
		case a.expires.Before(now.Add(-skew)) || a.expires.After(now.Add(maxAhead+skew)) || a.begins.After(now.Add(skew)):
			t.Errorf("the times in %s pass", claims)
		}
	})
}

// Nobody uses up the jti of another client, whatever either is called.
func TestAJTIIsTheClientsOwn(t *testing.T) {
	seen := map[Hash]assertion{}
	for _, a := range []assertion{
		{client: "a", id: "bc"}, {client: "ab", id: "c"}, {client: "a", id: "b"}, {client: "b", id: "a"},
		{client: "a ", id: "bc"}, {client: "1 a", id: "bc"}, {client: "1", id: " abc"}, {client: "a", id: "BC"},
	} {
		if other, ok := seen[a.key()]; ok {
			t.Errorf("%q's %q is %q's %q", a.client, a.id, other.client, other.id)
		}
		seen[a.key()] = a
	}
}

// An assertion that names no key is not tried with any number of them.
func TestAnAssertionIsTriedWithAFewKeys(t *testing.T) {
	var keys []jose.JSONWebKey
	var last *ecdsa.PrivateKey
	for range maxTries + 1 {
		var err error
		if last, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, jose.JSONWebKey{Key: last.Public(), KeyID: rand.Text()})
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: last}, nil)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign([]byte(`{"iss":"c","sub":"c","aud":"x","exp":1,"jti":"j"}`))
	if err != nil {
		t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	a, err := readAssertion(text)
	if err != nil {
		t.Fatal(err)
	}
	if signed, _ := a.signedBy(keys); signed {
		t.Errorf("it was tried with %d keys", len(keys))
	}
	a.kid = keys[maxTries].KeyID
	if signed, known := a.signedBy(keys); !signed || !known {
		t.Error("the key that it names was not found")
	}
	slices.Reverse(keys)
	a.kid = ""
	if signed, _ := a.signedBy(keys); !signed {
		t.Error("the first of its keys was not tried")
	}
}
