package stepup_test

import (
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/mfa/stepup"
)

// What a call costs an API, with everything in memory: 120 µs at most for
// ES256, of which the curve is most.
func BenchmarkCheck(b *testing.B) {
	a := newAuthority(b)
	a.signers = []signer{{"rsa", "RS256", rsaKey}, {"ed", "EdDSA", ed25519Key()}, {"ec", "ES256", ecKey}}
	demand := stepup.Demand{Scopes: []string{"purchase"}, Level: "mfa", MaxAge: 5 * time.Minute}
	g := a.guard(introspected)
	c := claims{"exp": time.Now().Add(time.Hour).Unix()}
	run := func(name, token string) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			authorization := []string{"Bearer " + token}
			for b.Loop() {
				if _, err := g.Check(b.Context(), authorization, demand); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for _, s := range a.signers {
		run(s.alg, s.sign(b, a.claims(c), nil))
	}
	run("introspected", a.answer("token", c))
}

// No token costs more than a few hundred small allocations, and one that is
// refused costs less than one that is good.
func TestATokenIsNoAllocationStorm(t *testing.T) {
	a := newAuthority(t)
	g := a.guard()
	count := func(token string) float64 {
		authorization := []string{"Bearer " + token}
		return testing.AllocsPerRun(20, func() { g.Check(t.Context(), authorization, anyToken) })
	}
	good := count(a.token(nil))
	if good > 350 {
		t.Errorf("a good token costs %v allocations", good)
	}
	if bad := count(a.signers[0].sign(t, a.claims(nil), map[string]any{"typ": "JWT"})); bad > good {
		t.Errorf("a token of another type costs %v allocations, a good one %v", bad, good)
	}
}
