package provider

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// written returns a key as JSON, with some members more; nil: that one is left
// out.
func written(t *testing.T, key any, more ...any) string {
	t.Helper()
	b, err := (&jose.JSONWebKey{Key: key, KeyID: "k"}).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(more); i += 2 {
		name := more[i].(string)
		if m[name] = more[i+1]; m[name] == nil {
			delete(m, name)
		}
	}
	if b, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TK-1: what may be registered as keys of a client, and what people are told.
func TestOnlyPublicKeysOfKnownKindsAreRegistered(t *testing.T) {
	ec, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, err2 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	rs, err3 := rsa.GenerateKey(rand.Reader, 2048)
	small, err4 := rsa.GenerateKey(rand.Reader, 1024)
	pub, ed, err5 := ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		t.Fatal(err)
	}
	huge := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 4096), E: 65537}
	set := func(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }
	good := written(t, ec.Public())
	for name, is := range map[string]struct{ set, want string }{
		"EC":                     {set(good), "[k]"},
		"RSA":                    {set(written(t, rs.Public())), "[k]"},
		"Ed25519":                {set(written(t, pub)), "[k]"},
		"several":                {set(good, written(t, rs.Public(), "kid", "r"), written(t, pub, "kid", nil)), "[k r ]"},
		"for signing":            {set(written(t, ec.Public(), "use", "sig", "alg", "ES256")), "[k]"},
		"with members of others": {`{"keys":[` + written(t, ec.Public(), "iat", 7) + `],"more":1}`, "[k]"},
		"nothing":                {"", "no JWK Set"},
		"no JSON":                {"-----BEGIN PUBLIC KEY-----", "no JWK Set"},
		"one key":                {good, "no JWK Set"},
		"a list":                 {"[" + good + "]", "no JWK Set"},
		"null":                   {`{"keys":null}`, "no JWK Set"},
		"no keys":                {set(), "there is no key"},
		"too many keys":          {set(slices.Repeat([]string{good}, maxKeys+1)...), "more than 100"},
		"no object":              {set("7"), "key 1 is no JSON object"},
		"an EC private key":      {set(good, written(t, ec)), "key 2 is private"},
		"an RSA private key":     {set(written(t, rs)), "key 1 is private"},
		"an Ed25519 private key": {set(written(t, ed)), "key 1 is private"},
		"a secret":               {set(written(t, []byte("secret"))), "key 1 is private"},
		"half a private key":     {set(written(t, rs.Public(), "dp", "AQAB")), "key 1 is private"},
		"P-384":                  {set(written(t, p384.Public())), "fits none of the algorithms"},
		"a small RSA key":        {set(written(t, small.Public())), "fits none of the algorithms"},
		"a huge RSA key":         {set(written(t, huge)), "key 1 cannot be read"},
		"RSA of exponent 1":      {set(written(t, rs.Public(), "e", "AQ")), "key 1 cannot be read"},
		"for encrypting":         {set(written(t, ec.Public(), "use", "enc")), `for "enc"`},
		"for another algorithm":  {set(written(t, ec.Public(), "alg", "ES384")), "fits none of the algorithms"},
		"for another type's":     {set(written(t, ec.Public(), "alg", "RS256")), "fits none of the algorithms"},
		"of an unknown type":     {set(`{"kty":"new"}`), "key 1 cannot be read"},
		"not on its curve":       {set(written(t, ec.Public(), "x", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")), "key 1 cannot be read"},
	} {
		ids, err := CheckKeys([]byte(is.set))
		got := fmt.Sprint(ids)
		if err != nil {
			got = err.Error()
		}
		if errors.Is(err, ErrKeys) != (err != nil) || !strings.Contains(got, is.want) {
			t.Errorf("%s: got %s, want %s", name, got, is.want)
		}
	}
}
