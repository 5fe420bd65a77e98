package mfa_test

import (
	"context"
	"encoding/base32"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

const (
	alice = "alice-7c1f"
	bob   = "bob-19aa"
	flow  = "flow-1"
	other = "flow-2"

	// The RFCs' secret, as an app has it. Being fixed, it makes no test fail
	// once in a million runs because a wrong code happens to be right.
	secret  = "12345678901234567890"
	imports = "otpauth://totp/Old:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	wrong   = "000000" // around 2000-01-01, when each test begins
)

var ctx = context.Background()

// at runs fn in a bubble, at a time that is the first of a time step, with
// alice's factor imported.
func at(t *testing.T, c mfa.Config, fn func(*testing.T, *mfa.Factors, *memory)) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t)
		f := factors(t, m, c)
		if err := f.Import(ctx, alice, imports); err != nil {
			t.Fatal(err)
		}
		fn(t, f, m)
	})
}

// bare runs fn in a bubble, with nobody enrolled.
func bare(t *testing.T, c mfa.Config, fn func(*testing.T, *mfa.Factors, *memory)) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t)
		fn(t, factors(t, m, c), m)
	})
}

func factors(t testing.TB, s mfa.Store, c mfa.Config) *mfa.Factors {
	t.Helper()
	c.Store = s
	if c.Sealer == nil {
		c.Sealer = sealer(t, key("k1", 1))
	}
	f, err := mfa.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// code is what an app shows whose clock is so many steps off.
func code(t testing.TB, secret string, offset int) string {
	t.Helper()
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte(secret))
	c, err := totp.GenerateCodeCustom(text, time.Now().Add(time.Duration(offset)*30*time.Second), totp.ValidateOpts{Period: 30, Digits: otp.DigitsSix})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func verify(t *testing.T, f *mfa.Factors, code string) authflow.Verdict {
	t.Helper()
	return verifyOf(t, f, alice, authflow.OTP, code)
}

func verifyOf(t *testing.T, f *mfa.Factors, subject string, m authflow.Method, code string) authflow.Verdict {
	t.Helper()
	v, err := f.Verify(ctx, subject, m, code)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func status(t *testing.T, f *mfa.Factors, subject, binding string) authflow.Status {
	t.Helper()
	s, err := f.Status(ctx, subject, binding)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func describe(t *testing.T, f *mfa.Factors, subject string) mfa.Description {
	t.Helper()
	d, err := f.Describe(ctx, subject)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TO-2, TO-9
func TestACodeIsGoodOnce(t *testing.T) {
	at(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		c := code(t, secret, 0)
		if v := verify(t, f, c); !v.OK {
			t.Fatalf("a right code gets %+v", v)
		}
		if v, want := verify(t, f, c), (authflow.Verdict{Replayed: true}); v != want {
			t.Errorf("used again it gets %+v, want %+v", v, want)
		}
		time.Sleep(30 * time.Second) // still in the window
		if v, want := verify(t, f, c), (authflow.Verdict{Replayed: true}); v != want {
			t.Errorf("used again a step later it gets %+v, want %+v", v, want)
		}
		time.Sleep(90 * time.Second) // no longer, but it is known all the same
		if v, want := verify(t, f, c), (authflow.Verdict{Replayed: true}); v != want {
			t.Errorf("used again two minutes later it gets %+v, want %+v", v, want)
		}
		if got := describe(t, f, alice).Run; got != 3 {
			t.Errorf("%d wrong attempts are counted, want 3", got)
		}
		// After a restart, too.
		f = factors(t, m, mfa.Config{})
		if v := verify(t, f, c); v.OK || !v.Replayed {
			t.Errorf("after a restart it gets %+v", v)
		}
	})
}

// TO-2
func TestOfFiftyPostsOfOneCodeOneWins(t *testing.T) {
	at(t, mfa.Config{Budget: wide}, func(t *testing.T, f *mfa.Factors, m *memory) {
		replica := factors(t, m, mfa.Config{Budget: wide})
		c := code(t, secret, 0)
		got := parallel(t, 50, func(i int) (authflow.Verdict, error) {
			if i%2 == 0 {
				return f.Verify(ctx, alice, authflow.OTP, c)
			}
			return replica.Verify(ctx, alice, authflow.OTP, c)
		})
		ok, replayed := 0, 0
		for _, v := range got {
			if v.OK {
				ok++
			}
			if v.Replayed {
				replayed++
			}
		}
		if ok != 1 || replayed != 49 {
			t.Errorf("%d are accepted and %d known as replays, want 1 and 49", ok, replayed)
		}
	})
}

// wide is a budget that is not what a test is about.
var wide = mfa.Budget{Free: 1000, Waits: []time.Duration{time.Second}, Day: 1000, Month: 1000}

// parallel calls fn n times at once.
func parallel(t *testing.T, n int, fn func(i int) (authflow.Verdict, error)) []authflow.Verdict {
	t.Helper()
	got := make([]authflow.Verdict, n)
	begin := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-begin
			v, err := fn(i)
			if err != nil {
				t.Error(err)
			}
			got[i] = v
		})
	}
	close(begin)
	all.Wait()
	return got
}

// TO-3
func TestAcceptedStepsStrictlyIncrease(t *testing.T) {
	at(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		ahead, current, behind := code(t, secret, 1), code(t, secret, 0), code(t, secret, -1)
		if v := verify(t, f, ahead); !v.OK {
			t.Fatalf("the next code gets %+v", v)
		}
		for _, c := range []string{behind, current, ahead} {
			if v := verify(t, f, c); v.OK {
				t.Errorf("%s is accepted after a later one", c)
			}
		}
		time.Sleep(time.Minute)
		if v := verify(t, f, code(t, secret, 0)); !v.OK {
			t.Errorf("the code of a later step gets %+v", v)
		}
	})
}

// TO-4
func TestTheWindowIsOneStepEachWay(t *testing.T) {
	for offset := -3; offset <= 3; offset++ {
		for _, into := range []time.Duration{0, 30*time.Second - time.Microsecond} {
			at(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
				time.Sleep(into)
				want := offset >= -1 && offset <= 1
				if v := verify(t, f, code(t, secret, offset)); v.OK != want {
					t.Errorf("%v into the step the code of %+d steps gets %+v", into, offset, v)
				}
			})
		}
	}
}

// TO-6
func TestWhatIsNoCodeIsRefusedAndCounted(t *testing.T) {
	at(t, mfa.Config{Budget: wide}, func(t *testing.T, f *mfa.Factors, m *memory) {
		c := code(t, secret, 0)
		bad := []string{"", " ", c[:5], c + "0", c[:5] + "x", "-" + c[1:], c + "\n", "\x00\x00\x00\x00\x00\x00", strings.Repeat("0", 1<<20)}
		for i, in := range bad {
			if v, want := verify(t, f, in), (authflow.Verdict{}); v != want {
				t.Errorf("%.20q gets %+v", in, v)
			}
			if got := describe(t, f, alice).Run; got != i+1 {
				t.Errorf("%.20q: %d attempts are counted, want %d", in, got, i+1)
			}
		}
		if v := verify(t, f, " "+c[:3]+" "+c[3:]+" "); !v.OK {
			t.Errorf("with spaces a right code gets %+v", v)
		}
	})
}

// TO-1
func TestTheVectorsOfRFC6238AreAccepted(t *testing.T) {
	secrets := map[string]string{
		"SHA1":   secret,
		"SHA256": "12345678901234567890123456789012",
		"SHA512": "1234567890123456789012345678901234567890123456789012345678901234",
	}
	vectors := []struct {
		unix      int64
		algorithm string
		code      string
	}{
		{1111111109, "SHA1", "07081804"}, {1111111109, "SHA256", "68084774"}, {1111111109, "SHA512", "25091201"},
		{1111111111, "SHA1", "14050471"}, {1111111111, "SHA256", "67062674"}, {1111111111, "SHA512", "99943326"},
		{1234567890, "SHA1", "89005924"}, {1234567890, "SHA256", "91819424"}, {1234567890, "SHA512", "93441116"},
		{2000000000, "SHA1", "69279037"}, {2000000000, "SHA256", "90698825"}, {2000000000, "SHA512", "38618901"},
	}
	for _, v := range vectors {
		bare(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
			time.Sleep(time.Until(time.Unix(v.unix, 0)))
			text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte(secrets[v.algorithm]))
			uri := "otpauth://totp/a?digits=8&algorithm=" + v.algorithm + "&secret=" + text
			if err := f.Import(ctx, alice, uri); err != nil {
				t.Fatal(err)
			}
			if got := verify(t, f, v.code); !got.OK {
				t.Errorf("%s at %d: Verify says %+v of %s", v.algorithm, v.unix, got, v.code)
			}

			// Confirm takes the same codes: bob's pending secret is the RFC's.
			s := sealer(t, key("k1", 1))
			m.accounts[bob] = mfa.Account{
				Subject:        bob,
				Version:        1,
				Pending:        s.Seal([]byte(secrets[v.algorithm]), "totp pending", bob, flow),
				PendingParams:  mfa.Params{Algorithm: v.algorithm, Digits: 8, Period: 30},
				PendingBinding: flow,
				PendingExpires: time.Now().Add(time.Minute).UTC(),
			}
			got, err := f.Confirm(ctx, bob, flow, v.code)
			if err != nil || !got.OK {
				t.Errorf("%s at %d: Confirm says %+v, %v of %s", v.algorithm, v.unix, got, err, v.code)
			}
		})
	}
}

// TO-2: two neighbouring steps share this code.
func TestACodeOfTwoStepsIsGoodOnce(t *testing.T) {
	at(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		const twin, twinCode = 31914064, "557456"
		time.Sleep(time.Until(time.Unix(twin*30, 0)))
		if v := verify(t, f, twinCode); !v.OK {
			t.Fatalf("it gets %+v", v)
		}
		for range 3 {
			if v := verify(t, f, twinCode); v.OK {
				t.Errorf("it is accepted twice, %v after the first step", time.Since(time.Unix(twin*30, 0)))
			}
			time.Sleep(30 * time.Second)
		}
	})
}

// TO-12
func TestAClockThatIsOffGetsAHint(t *testing.T) {
	for offset := -12; offset <= 12; offset++ {
		if offset >= -1 && offset <= 1 {
			continue
		}
		at(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
			var want authflow.Verdict
			if offset >= -10 && offset <= 10 {
				want.Drift = time.Duration(offset) * 30 * time.Second
			}
			if v := verify(t, f, code(t, secret, offset)); v != want {
				t.Errorf("the code of %+d steps gets %+v, want %+v", offset, v, want)
			}
			if got := describe(t, f, alice).Run; got != 1 {
				t.Errorf("%d attempts are counted, want 1", got)
			}
		})
	}
}

// TO-12: otherwise the hint would make a guess worth four times as much.
func TestACodeThatAHintToldOfIsNeverAccepted(t *testing.T) {
	at(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		c := code(t, secret, 5)
		if v := verify(t, f, c); v.Drift != 150*time.Second {
			t.Fatalf("it gets %+v", v)
		}
		// The owner is not kept out by it.
		if v := verify(t, f, code(t, secret, 0)); !v.OK {
			t.Errorf("a right code after a hint gets %+v", v)
		}
		time.Sleep(120 * time.Second) // the first time that its step is in the window
		for range 3 {
			if v := verify(t, f, c); v.OK || !v.Replayed {
				t.Errorf("once its time has come it gets %+v", v)
			}
			if c == code(t, secret, 0) {
				continue
			}
			time.Sleep(30 * time.Second)
		}
		time.Sleep(time.Minute)
		if v := verify(t, f, code(t, secret, 0)); !v.OK {
			t.Errorf("a later code gets %+v", v)
		}
	})
}

func TestVerifyKnowsNoOtherMethods(t *testing.T) {
	at(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		for _, method := range []authflow.Method{authflow.Password, authflow.Passkey, 99} {
			v, err := f.Verify(ctx, alice, method, code(t, secret, 0))
			if err == nil || v != (authflow.Verdict{}) {
				t.Errorf("%v: got %+v, %v, want an error", method, v, err)
			}
		}
	})
}

func TestNobodyHasNoFactors(t *testing.T) {
	bare(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		if _, err := f.Status(ctx, "", flow); err == nil {
			t.Error("the empty subject has a status")
		}
		if v, err := f.Verify(ctx, "", authflow.OTP, wrong); err == nil || v.OK {
			t.Error("the empty subject is verified")
		}
		if v, err := f.Begin(ctx, "", flow, "a", ""); err == nil || v.OK {
			t.Error("the empty subject begins")
		}
		if v, err := f.Begin(ctx, alice, "", "a", ""); err == nil || v.OK {
			t.Error("the empty binding begins")
		}
		if err := f.NewCodes(ctx, alice, ""); err == nil {
			t.Error("the empty binding makes codes")
		}
		if v := verifyOf(t, f, "unknown", authflow.OTP, wrong); v.OK {
			t.Error("an unknown subject is verified")
		}
	})
}

// AD-1
func TestABadConfigurationIsRefused(t *testing.T) {
	good := func() mfa.Config {
		return mfa.Config{Store: newMemory(t), Sealer: sealer(t, key("k1", 1))}
	}
	if _, err := mfa.New(good()); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*mfa.Config){
		"no store":          func(c *mfa.Config) { c.Store = nil },
		"no sealer":         func(c *mfa.Config) { c.Sealer = nil },
		"zero sealer":       func(c *mfa.Config) { c.Sealer = new(mfa.Sealer) },
		"colon in issuer":   func(c *mfa.Config) { c.Issuer = "a:b" },
		"long issuer":       func(c *mfa.Config) { c.Issuer = strings.Repeat("a", 65) },
		"bytes for issuer":  func(c *mfa.Config) { c.Issuer = "\xff" },
		"MD5":               func(c *mfa.Config) { c.Params.Algorithm = "MD5" },
		"seven digits":      func(c *mfa.Config) { c.Params.Digits = 7 },
		"an hour's period":  func(c *mfa.Config) { c.Params.Period = 3600 },
		"unknown enrolment": func(c *mfa.Config) { c.Enrolment = "anyone" },
		"negative lifetime": func(c *mfa.Config) { c.TicketLifetime = -1 },
		"budget by halves":  func(c *mfa.Config) { c.Budget.Day = 5 },
		"no day":            func(c *mfa.Config) { c.Budget = mfa.FactorBudget; c.Budget.Day = 0 },
		"no month":          func(c *mfa.Config) { c.Budget = mfa.FactorBudget; c.Budget.Month = 0 },
		"no waits":          func(c *mfa.Config) { c.Budget = mfa.FactorBudget; c.Budget.Waits = nil },
	} {
		c := good()
		change(&c)
		if f, err := mfa.New(c); err == nil || f != nil {
			t.Errorf("%s: is accepted", name)
		}
	}
}

func TestEightDigitsAndSHA256CanBeConfigured(t *testing.T) {
	c := mfa.Config{Issuer: "Example", Params: mfa.Params{Algorithm: "SHA256", Digits: 8}}
	bare(t, c, func(t *testing.T, f *mfa.Factors, m *memory) {
		begin(t, f, alice, flow, "")
		uri := pending(t, f, alice, flow)
		s, p, err := mfa.ParseOTPAuth(uri)
		if want := (mfa.Params{Algorithm: "SHA256", Digits: 8, Period: 30}); err != nil || p != want {
			t.Fatalf("got %+v, %v, want %+v", p, err, want)
		}
		text := base32.StdEncoding.EncodeToString([]byte(s))
		code, err := totp.GenerateCodeCustom(text, time.Now(), totp.ValidateOpts{Period: 30, Digits: otp.DigitsEight, Algorithm: otp.AlgorithmSHA256})
		if err != nil {
			t.Fatal(err)
		}
		if v, err := f.Confirm(ctx, alice, flow, code); err != nil || !v.OK {
			t.Errorf("got %+v, %v", v, err)
		}
	})
}

func TestOperationsJoinTheTransactionOfTheirCaller(t *testing.T) {
	at(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		c := code(t, secret, 0)
		undo := errors.New("undo")
		err := m.Atomically(ctx, func(ctx context.Context) error {
			if v, err := f.Verify(ctx, alice, authflow.OTP, c); err != nil || !v.OK {
				t.Errorf("got %+v, %v", v, err)
			}
			if s, err := f.Status(ctx, alice, flow); err != nil || !s.Enrolled.Has(authflow.OTP) {
				t.Errorf("got %+v, %v", s, err)
			}
			return undo
		})
		if err != undo {
			t.Fatal(err)
		}
		if v := verify(t, f, c); !v.OK {
			t.Errorf("what was undone uses the code up: %+v", v)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	m := newMemory(b)
	f := factors(b, m, mfa.Config{Budget: mfa.Budget{Free: 1 << 30, Waits: []time.Duration{1}, Day: 1 << 30, Month: 1 << 30}})
	if err := f.Import(ctx, alice, imports); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		c := code(b, secret, 0)
		a := m.accounts[alice]
		a.LastStep, a.Misses = 0, mfa.Misses{}
		m.accounts[alice] = a
		if v, err := f.Verify(ctx, alice, authflow.OTP, c); err != nil || !v.OK {
			b.Fatal(v, err)
		}
	}
}
