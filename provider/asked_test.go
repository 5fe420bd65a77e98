package provider

import (
	"net/url"
	"slices"
	"testing"
)

// What anyone may send as claims names no claims but the standard ones that the
// client may have, and none twice.
func FuzzClaimsParameter(f *testing.F) {
	for _, s := range []string{
		`{"userinfo":{"name":null,"email":{"essential":true}},"id_token":{"sub":{"value":"x"},"groups":{"values":["a"]}}}`,
		`null`, `{"id_token":{"sub":{"value":""}}}`, `{"userinfo":{"name":null,"name":{}}}`, `[`, "{\"\xff\":0}",
	} {
		f.Add(s)
	}
	c := Client{Scopes: []string{"openid", "profile"}}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := c.asks(url.Values{"scope": {"openid"}, "claims": {text}})
		if err != nil && (a.subject != "" || a.claims.UserInfo != nil || a.claims.IDToken != nil) {
			t.Errorf("refused, and read as %+v", a)
		}
		for _, names := range [][]string{a.claims.UserInfo, a.claims.IDToken} {
			for i, name := range names {
				if !slices.Contains(scopes[1].claims, name) || slices.Contains(names[:i], name) {
					t.Errorf("%s asks for %q", text, names)
				}
			}
		}
	})
}
