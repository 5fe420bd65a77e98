package engine

import (
	"crypto/rand"
	"errors"
	"net/url"
	"strings"
	"testing"
)

// FuzzTokens hands strangers' text to everything that takes a code or a token
// apart. None of it may panic, and nothing may pass that we did not make.
func FuzzTokens(f *testing.F) {
	// A secret of this process alone: what another one of the fuzzer made is
	// not ours.
	secret := make([]byte, 32)
	rand.Read(secret)
	e := newEngine(f, secret)
	opaque := app
	opaque.Opaque = true
	ours := map[string]bool{}
	for _, c := range []Client{app, opaque} {
		for _, name := range []string{"access_token", "refresh_token", "id_token"} {
			token := tokens(f, e, c)[name].(string)
			ours[token] = true
			f.Add(token)
			f.Add(token[:len(token)-1])
			f.Add(strings.Replace(token, ".", "..", 1))
		}
	}
	_, code := granted()
	for _, s := range []string{"", ".", "..", "....", code, "slp_rt.", "slp_at....", "slp_rt.grant.-1.x", "slp_rt.grant.zzzzzzzzzzzzzzzzzzzz.x",
		"eyJhbGciOiJub25lIn0..", "\x00.\xff", strings.Repeat(".", 1000), strings.Repeat("a", 5000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if a, err := e.Access(ctx, s, published); err == nil && !ours[s] {
			t.Errorf("%q is taken for the access token %+v", s, a)
		} else if err != nil && !errors.Is(err, ErrAccess) {
			t.Errorf("%q is a fault: %v", s, err)
		}
		if id, ok := e.RefreshGrant(s); ok && (!ours[s] || id != "grant") {
			t.Errorf("%q is taken for a refresh token of %q", s, id)
		}
		if _, generation, ok := e.Refresh(s); ok && generation != 1 {
			t.Errorf("%q is taken for generation %d", s, generation)
		}
		if id, ok := CodeGrant(s); ok && (id == "" || !strings.HasPrefix(s, id+".")) {
			t.Errorf("%q is a code of %q", s, id)
		}
		for _, typ := range []string{"JWT", "at+jwt"} {
			if _, err := Verify(ctx, s, typ, published); err == nil && !ours[s] {
				t.Errorf("%q verifies as %s", s, typ)
			}
		}
		for _, v := range []url.Values{exchange(s), {"grant_type": {"refresh_token"}, "refresh_token": {s}}, {"grant_type": {s}}} {
			g, _ := granted()
			got, err := e.Token(ctx, v, app, g)
			if err == nil && s != code && !ours[s] {
				t.Errorf("%q buys %v", s, got.Body)
			}
			var r *Refusal
			if err != nil && (!errors.As(err, &r) || r.Status >= 500) {
				t.Errorf("%q is a fault: %v", s, err)
			}
		}
	})
}
