package mfa_test

import (
	"encoding/base32"
	"encoding/base64"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

func b32(s string) string { return base32.StdEncoding.EncodeToString([]byte(s)) }
func b64(s string) string { return base64.RawStdEncoding.EncodeToString([]byte(s)) }

// AD-3
func TestResetMakesAnAccountThatNeverHadAFactor(t *testing.T) {
	bare(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		s, shown := enrol(t, f, alice)
		begin(t, f, alice, other, "")
		verify(t, f, wrong)
		if err := f.Reset(ctx, alice); err != nil {
			t.Fatal(err)
		}
		if got, want := status(t, f, alice, other), (authflow.Status{MayEnroll: true, FactorEpoch: "2"}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if v := verify(t, f, code(t, s, 1)); v.OK {
			t.Error("the secret is still good")
		}
		if v := verifyOf(t, f, alice, authflow.Recovery, shown[0]); v.OK {
			t.Error("a recovery code is still good")
		}
		if pending(t, f, alice, other) != "" || codes(t, f, alice, flow) != nil {
			t.Error("something is still under way")
		}
		if got := describe(t, f, alice); got.Run != 3 || got.RecoveryLeft != 0 || !got.Enrolled.IsZero() { // TO-8
			t.Errorf("got %+v", got)
		}
		if err := f.Reset(ctx, bob); err != nil || status(t, f, bob, flow).FactorEpoch != "0" {
			t.Errorf("of whom nothing is kept: %v", err)
		}
	})
}

func TestUnlockGivesAttemptsBackButNotAStolenPassword(t *testing.T) {
	at(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		steal(t, f)
		if err := f.Unlock(ctx, alice); err != nil {
			t.Fatal(err)
		}
		if got := describe(t, f, alice); got.Wait != 0 || got.Misses != 0 || !got.Stolen {
			t.Errorf("got %+v", got)
		}
		if v := verify(t, f, code(t, secret, 0)); v != (authflow.Verdict{}) {
			t.Errorf("with a stolen password a right code gets %+v", v)
		}
		if err := f.PasswordChanged(ctx, alice); err != nil {
			t.Fatal(err)
		}
		if v := verify(t, f, code(t, secret, 0)); !v.OK {
			t.Errorf("with a new password it gets %+v", v)
		}
	})
}

func TestDescribeTellsWhatAnAdministratorNeeds(t *testing.T) {
	bare(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		if got := describe(t, f, alice); got != (mfa.Description{}) {
			t.Errorf("of nobody: %+v", got)
		}
		_, expires, err := f.NewTicket(ctx, alice)
		if err != nil {
			t.Fatal(err)
		}
		if got := describe(t, f, alice); got != (mfa.Description{TicketExpires: expires}) {
			t.Errorf("with a ticket: %+v", got)
		}
		when := time.Now().UTC()
		enrol(t, f, alice)
		for range 5 {
			verify(t, f, "nonsense")
		}
		begin(t, f, alice, other, "")
		want := mfa.Description{
			Enrolled: when, Params: mfa.Params{Algorithm: "SHA1", Digits: 6, Period: 30}, RecoveryLeft: 10, Pending: true,
			Run: 5, Misses: 5, Wait: 30 * time.Second,
		}
		if got := describe(t, f, alice); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		time.Sleep(time.Hour)
		want.Pending, want.Wait = false, 0
		if got := describe(t, f, alice); got != want {
			t.Errorf("an hour later: %+v, want %+v", got, want)
		}
	})
}

func TestAfterResealingTheOldKeyCanGo(t *testing.T) {
	old, new := key("old", 1), key("new", 99)
	bare(t, mfa.Config{Sealer: sealer(t, old)}, func(t *testing.T, f *mfa.Factors, m *memory) {
		s, shown := enrol(t, f, alice)
		begin(t, f, alice, other, "")

		both := factors(t, m, mfa.Config{Sealer: sealer(t, new, old)})
		if changed, err := both.Reseal(ctx, alice); err != nil || !changed {
			t.Fatalf("got %v, %v", changed, err)
		}
		if changed, err := both.Reseal(ctx, alice); err != nil || changed {
			t.Errorf("a second time: %v, %v", changed, err)
		}
		if changed, err := both.Reseal(ctx, bob); err != nil || changed {
			t.Errorf("of nobody: %v, %v", changed, err)
		}

		after := factors(t, m, mfa.Config{Sealer: sealer(t, new)})
		if !slices.Equal(codes(t, after, alice, flow), shown) {
			t.Error("the codes that were to be put away are lost")
		}
		if pending(t, after, alice, other) == "" {
			t.Error("the pending secret is lost")
		}
		if v := verify(t, after, code(t, s, 1)); !v.OK {
			t.Errorf("got %+v", v)
		}
		if _, err := f.Verify(ctx, alice, authflow.OTP, wrong); !errors.Is(err, mfa.ErrNoKey) {
			t.Errorf("with the old key alone: %v, want ErrNoKey", err)
		}
	})
}

func TestARightCodeReseals(t *testing.T) {
	old, new := key("old", 1), key("new", 99)
	at(t, mfa.Config{Sealer: sealer(t, old)}, func(t *testing.T, f *mfa.Factors, m *memory) {
		s := sealer(t, new, old)
		both := factors(t, m, mfa.Config{Sealer: s})
		if v := verify(t, both, code(t, secret, 0)); !v.OK {
			t.Fatalf("got %+v", v)
		}
		if s.NeedsReseal(m.accounts[alice].Secret) {
			t.Error("the secret is still sealed with the old key")
		}
	})
}
