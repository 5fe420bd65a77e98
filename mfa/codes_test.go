package mfa_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

// RC-3
func TestRecoveryCodesAreShownUntilPutAway(t *testing.T) {
	bare(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		_, shown := enrol(t, f, alice)
		if len(shown) != 10 || !slices.Equal(codes(t, f, alice, flow), shown) {
			t.Errorf("a reload shows %v, want %v", codes(t, f, alice, flow), shown)
		}
		if codes(t, f, alice, other) != nil || codes(t, f, alice, "") != nil || codes(t, f, bob, flow) != nil {
			t.Error("somebody else sees them")
		}
		if err := f.PutAway(ctx, alice, other); err != nil {
			t.Fatal(err)
		}
		if codes(t, f, alice, flow) == nil {
			t.Error("somebody else puts them away")
		}
		if err := f.PutAway(ctx, alice, flow); err != nil {
			t.Fatal(err)
		}
		if codes(t, f, alice, flow) != nil || status(t, f, alice, flow).Unsaved {
			t.Error("they are shown after being put away")
		}
		if err := f.PutAway(ctx, alice, flow); err != nil {
			t.Errorf("a second time: %v", err)
		}

		if err := f.NewCodes(ctx, alice, other); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Minute)
		if codes(t, f, alice, other) != nil || status(t, f, alice, other).Unsaved {
			t.Error("they are shown for longer than 15 minutes")
		}
	})
}

// RC-3
func TestNewRecoveryCodesKillTheOld(t *testing.T) {
	bare(t, mfa.Config{Budget: wide}, func(t *testing.T, f *mfa.Factors, m *memory) {
		_, old := enrol(t, f, alice)
		epoch := status(t, f, alice, flow).FactorEpoch
		if err := f.NewCodes(ctx, alice, flow); err != nil {
			t.Fatal(err)
		}
		for _, c := range old {
			if v := verifyOf(t, f, alice, authflow.Recovery, c); v.OK {
				t.Errorf("%s is good", c)
			}
		}
		if v := verifyOf(t, f, alice, authflow.Recovery, codes(t, f, alice, flow)[3]); !v.OK {
			t.Errorf("a new one gets %+v", v)
		}
		if got := status(t, f, alice, flow).FactorEpoch; got != epoch {
			t.Error("new recovery codes are taken for a new factor")
		}
		if err := f.NewCodes(ctx, bob, flow); !errors.Is(err, mfa.ErrNotEnrolled) {
			t.Errorf("for someone without a factor: %v, want ErrNotEnrolled", err)
		}
	})
}

// RC-1, TO-9
func TestARecoveryCodeIsGoodOnce(t *testing.T) {
	bare(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		_, shown := enrol(t, f, alice)
		typed := " " + strings.ToLower(strings.ReplaceAll(shown[4], "-", " ")) + " "
		if v, want := verifyOf(t, f, alice, authflow.Recovery, typed), (authflow.Verdict{OK: true, RecoveryLeft: 9}); v != want {
			t.Errorf("got %+v, want %+v", v, want)
		}
		if v, want := verifyOf(t, f, alice, authflow.Recovery, shown[4]), (authflow.Verdict{Replayed: true}); v != want {
			t.Errorf("again: got %+v, want %+v", v, want)
		}
		if got := status(t, f, alice, flow).RecoveryLeft; got != 9 {
			t.Errorf("%d are left, want 9", got)
		}
	})
}

// RC-1
func TestOfFiftyPostsOfOneRecoveryCodeOneWins(t *testing.T) {
	bare(t, mfa.Config{Budget: wide}, func(t *testing.T, f *mfa.Factors, m *memory) {
		_, shown := enrol(t, f, alice)
		ok := 0
		for _, v := range parallel(t, 50, func(int) (authflow.Verdict, error) {
			return f.Verify(ctx, alice, authflow.Recovery, shown[0])
		}) {
			if v.OK {
				ok++
			}
		}
		if ok != 1 {
			t.Errorf("%d are accepted, want 1", ok)
		}
	})
}

// RC-5
func TestARecoveryCodeIsOfOneAccount(t *testing.T) {
	bare(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		_, hers := enrol(t, f, alice)
		_, his := enrol(t, f, bob)
		if v := verifyOf(t, f, alice, authflow.Recovery, his[0]); v.OK {
			t.Error("bob's code opens alice's account")
		}
		// The same selector does not help.
		mixed := hers[0][:4] + his[0][4:]
		if v := verifyOf(t, f, alice, authflow.Recovery, mixed); v.OK {
			t.Error("bob's code opens alice's account under her selector")
		}
		if v := verifyOf(t, f, bob, authflow.Recovery, his[0]); !v.OK {
			t.Errorf("bob's code gets %+v", v)
		}
	})
}
