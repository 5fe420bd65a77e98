package stepup_test

import (
	"syscall"
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
			before := cpu()
			for b.Loop() {
				if _, err := g.Check(b.Context(), authorization, demand); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
	for _, s := range a.signers {
		run(s.alg, s.sign(a.claims(c), nil))
	}
	run("introspected", a.answer("token", c))
}

// cpu returns what this process has taken of it so far: unlike the clock on the
// wall, it does not depend on who else is on the machine.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
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
	if bad := count(a.signers[0].sign(a.claims(nil), map[string]any{"typ": "JWT"})); bad > good {
		t.Errorf("a token of another type costs %v allocations, a good one %v", bad, good)
	}
}
