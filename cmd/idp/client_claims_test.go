package main

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/sallyport-id/sallyport/provider"
)

// FuzzClaimFlags reads what stands behind --claim, --claim-value and
// --attribute. What passes says what was written.
func FuzzClaimFlags(f *testing.F) {
	for _, s := range []string{"", "=", "a", "a=", "=b", "a=b", "a=b=c", "a=\xff", "a\x00=\"", "https://x.example/y=z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if e, err := parseClaim(s); err == nil && (e.Name == "" || e.Value != nil || e.Name != s && e.Name+"="+e.From != s) {
			t.Errorf("%q is %+v", s, e)
		}
		var text string
		e, err := parseClaimValue(s)
		if err == nil && (e.From != "" || json.Unmarshal(e.Value, &text) != nil || utf8.ValidString(s) && e.Name+"="+text != s) {
			t.Errorf("%q is %+v", s, e)
		}
		var c provider.Claims
		if err := addAttribute(&c, s); err == nil {
			for name, v := range c.Attributes {
				if name+"="+v.(string) != s {
					t.Errorf("%q is %q = %q", s, name, v)
				}
			}
			if err := addAttribute(&c, s); err == nil {
				t.Errorf("%q stands twice", s)
			}
		}
	})
}
