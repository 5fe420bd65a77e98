package stepup_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/sallyport-id/sallyport/mfa/stepup"
)

// Nothing opens the API but what the issuer has signed, and nothing that is
// sent makes it fall over.
func FuzzCheck(f *testing.F) {
	a := newAuthority(f)
	g := a.guard(introspected, func(c *stepup.Config) { c.JWKS = a.jwks() })
	foreign := signer{"ec", "ES256", must(newECKey())}
	for _, seed := range []string{"Bearer " + foreign.sign(a.claims(nil), nil), "Bearer eyJhbGciOiJub25lIn0.e30.", "Bearer opaque", "bearer  .. ", "Basic YTpi", "Bearer"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, authorization string) {
		got, err := g.Check(context.Background(), []string{authorization}, anyToken)
		var r *stepup.Refusal
		if got.Subject != "" || !errors.As(err, &r) || r.Status != 401 || !errors.Is(err, stepup.ErrToken) {
			t.Errorf("%q: %+v, %v", authorization, got, err)
		}
	})
}

// Whatever the issuer signs, a token that passes has what a token must have.
func FuzzClaims(f *testing.F) {
	a := newAuthority(f)
	g := a.guard(func(c *stepup.Config) { c.JWKS = a.jwks() })
	c := a.claims(claims{"exp": 253402300799, "authorization_details": []any{map[string]any{"type": "payment"}}})
	f.Add(must(json.Marshal(c)))
	f.Add(must(json.Marshal(a.claims(claims{"aud": []string{api, "x"}, "exp": 1e10, "nbf": 0.5}))))
	f.Add([]byte(`{"cnf":null,"acr":1}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		token := a.signers[0].sign(payload, nil)
		got, err := g.Check(context.Background(), []string{"Bearer " + token}, anyToken)
		if err != nil {
			return
		}
		if got.Issuer != issuer || got.Subject == "" || got.ClientID == "" || got.ID == "" || !slices.Contains(got.Audience, api) || got.Expires.IsZero() || got.Issued.IsZero() {
			t.Errorf("%s passes as %+v", payload, got)
		}
		stepup.Approved[payment](got, "payment")
	})
}
