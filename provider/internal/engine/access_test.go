package engine

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// TK-1: what a token says of its own algorithm opens nothing, even to keys that
// would fit it, nor does a token that names no key.
func TestNoAlgorithmIsLookedAtButOurs(t *testing.T) {
	small, err1 := rsa.GenerateKey(rand.Reader, 2048)
	large, err2 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p256, err3 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	secret := []byte("a secret that somebody else knows, of 64 bytes, or even of more!!")
	for _, is := range []struct {
		alg       jose.SignatureAlgorithm
		key, with any
		kid       string
		good      bool
	}{
		{jose.RS256, small, small.Public(), "key", true}, {jose.ES256, p256, p256.Public(), "key", true},
		{jose.RS384, small, small.Public(), "key", false}, {jose.RS512, small, small.Public(), "key", false},
		{jose.PS256, small, small.Public(), "key", false}, {jose.ES384, large, large.Public(), "key", false},
		{jose.HS256, secret, secret, "key", false}, {jose.HS512, secret, secret, "key", false},
		{jose.RS256, small, small.Public(), "", false}, {jose.ES256, p256, p256.Public(), "", false},
	} {
		options := (&jose.SignerOptions{}).WithType("JWT")
		if is.kid != "" {
			options = options.WithHeader("kid", is.kid)
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: is.alg, Key: is.key}, options)
		if err != nil {
			t.Fatal(err)
		}
		jws, err := signer.Sign([]byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		token, err := jws.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		fits := func(context.Context, string, string) (crypto.PublicKey, error) { return is.with, nil }
		if _, err := Verify(ctx, token, "JWT", fits); (err == nil) != is.good || err != nil && !errors.Is(err, ErrAccess) {
			t.Errorf("%s with the kid %q: %v", is.alg, is.kid, err)
		}
	}
}

// Introspection is told the same of both forms, and of a client whatever it is
// called.
func TestAnOpaqueTokenSaysWhatAJWTSays(t *testing.T) {
	e := newEngine(t, secrets...)
	opaque := app
	opaque.Opaque = true
	for _, apis := range [][]string{nil, {"https://api.example/?a=b"}, {"urn:one", "https://two.example"}} {
		a, err1 := e.Access(ctx, tokens(t, e, app, apis...)["access_token"].(string), published)
		b, err2 := e.Access(ctx, tokens(t, e, opaque, apis...)["access_token"].(string), published)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if a.ID == "" || b.ID == "" || b.Issued.After(a.Issued.Add(time.Minute)) || b.Expires.Sub(b.Issued) != a.Expires.Sub(a.Issued) {
			t.Errorf("got %+v and %+v", a, b)
		}
		if want := append(slices.Clone(apis), issuer); !slices.Equal(a.Audience, want) {
			t.Errorf("for %q, want %q", a.Audience, want)
		}
		b.ID, b.Issued, b.Expires = a.ID, a.Issued, a.Expires
		if !reflect.DeepEqual(a, b) {
			t.Errorf("got %+v and %+v", a, b)
		}
	}
	odd, end := "a.b c\x00é", strconv.FormatInt(time.Now().Unix()+9, 36)
	for text, want := range map[string]bool{
		strings.Join([]string{accessPrefix, "", "jti", end, "YQ", "1", base64.RawURLEncoding.EncodeToString([]byte(odd)), ""}, "."): true,
		// Under our MAC, and still none: parts that are missing, or no numbers.
		accessPrefix + "..jti." + end + ".YQ":          false,
		accessPrefix + "..jti." + end + ".YQ.1.YQ":     false,
		accessPrefix + "..jti." + end + ".YQ.1.YQ.YQ.": false,
		accessPrefix + "..jti." + end + ".YQ.!.YQ.":    false,
		accessPrefix + "..jti.!.YQ.1.YQ.":              false,
		accessPrefix + "..jti." + end + ".!.1.YQ.":     false,
		accessPrefix + "..jti." + end + ".YQ.1.!.":     false,
		accessPrefix + "..jti." + end + ".YQ.1.YQ.!":   false,
		accessPrefix + "..jti.1.YQ.1.YQ.":              false,
		refreshPrefix + "..jti." + end + ".YQ.1.YQ.":   false,
	} {
		got, err := e.Access(ctx, seal(text, e.macs[0].access), published)
		if (err == nil) != want || want && (got.ClientID != odd || got.Grant != "") {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
	}
}
