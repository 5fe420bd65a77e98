package engine

import (
	"encoding/base64"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

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
