package mfa_test

import (
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

// steal misses as often in a row as marks the password as stolen.
func steal(t *testing.T, f *mfa.Factors) {
	t.Helper()
	for n := 0; n < 30; {
		v := verify(t, f, "nonsense")
		if v.Wait > 0 {
			time.Sleep(v.Wait)
			continue
		}
		if n++; v.Stolen != (n == 30) {
			t.Fatalf("wrong attempt %d gets %+v", n, v)
		}
	}
}

// TO-7
func TestNoMoreCodesAreLookedAtThanTheBudgetHolds(t *testing.T) {
	at(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		replica := factors(t, m, mfa.Config{})
		looked := 0
		for _, v := range parallel(t, 50, func(i int) (authflow.Verdict, error) {
			if i%2 == 0 {
				return f.Verify(ctx, alice, authflow.OTP, wrong)
			}
			return replica.Verify(ctx, alice, authflow.Recovery, "0000-0000-0000-0000-0000")
		}) {
			if v.Wait == 0 {
				looked++
			}
			if v.OK {
				t.Error("a wrong code is right")
			}
		}
		if looked != 5 {
			t.Errorf("%d were looked at, want 5", looked)
		}
	})
}

// TO-7, TO-8
func TestARightCodeIsNotLookedAtDuringAWait(t *testing.T) {
	at(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		for range 5 {
			verify(t, f, wrong)
		}
		before := m.accounts[alice].Version
		for range 3 {
			if v, want := verify(t, f, code(t, secret, 0)), (authflow.Verdict{Wait: 30 * time.Second}); v != want {
				t.Errorf("got %+v, want %+v", v, want)
			}
		}
		if m.accounts[alice].Version != before {
			t.Error("what is not looked at is counted")
		}
		time.Sleep(30*time.Second - time.Microsecond)
		if v := verify(t, f, code(t, secret, 0)); v.Wait != time.Microsecond {
			t.Errorf("at the end of the wait: %+v", v)
		}
		time.Sleep(time.Microsecond)
		if v := verify(t, f, code(t, secret, 0)); !v.OK {
			t.Errorf("after the wait: %+v", v)
		}
		for range 4 {
			if v := verify(t, f, wrong); v.Wait > 0 {
				t.Errorf("a right code has not cleared the run: %+v", v)
			}
		}
	})
}

// TO-8
func TestOneBudgetIsForCodesRecoveryCodesAndEnrolment(t *testing.T) {
	at(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		begin(t, f, alice, flow, "")
		verify(t, f, wrong)
		verifyOf(t, f, alice, authflow.Recovery, "0000-0000-0000-0000-0000")
		verifyOf(t, f, alice, authflow.Recovery, "")
		confirm(t, f, alice, flow, "nonsense")
		verify(t, f, wrong)
		if v := verify(t, f, wrong); v.Wait != 30*time.Second {
			t.Errorf("a code gets %+v", v)
		}
		if v := verifyOf(t, f, alice, authflow.Recovery, ""); v.Wait != 30*time.Second {
			t.Errorf("a recovery code gets %+v", v)
		}
		if v := confirm(t, f, alice, flow, code(t, scan(t, f, alice, flow), 0)); v.Wait != 30*time.Second {
			t.Errorf("a confirmation gets %+v", v)
		}
		// A new enrolment is no way round it.
		begin(t, f, alice, other, "")
		if v := confirm(t, f, alice, other, code(t, scan(t, f, alice, other), 0)); v.Wait != 30*time.Second {
			t.Errorf("a confirmation of another enrolment gets %+v", v)
		}
		// Another account has its own.
		if v := verifyOf(t, f, bob, authflow.OTP, wrong); v.Wait != 0 {
			t.Errorf("another account gets %+v", v)
		}
	})
}

// TO-8
func TestTheMonthIsNotClearedByARightCode(t *testing.T) {
	at(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		for i := range 60 {
			if v := verify(t, f, "nonsense"); v.Wait > 0 {
				t.Fatalf("wrong attempt %d gets %+v", i+1, v)
			}
			if i < 59 {
				if v := verify(t, f, code(t, secret, 0)); !v.OK {
					t.Fatalf("a right code after wrong attempt %d gets %+v", i+1, v)
				}
			}
			time.Sleep(30 * time.Second)
		}
		if v := verify(t, f, code(t, secret, 0)); v.Wait < 29*24*time.Hour {
			t.Errorf("after 60 wrong attempts in a month a code gets %+v", v)
		}
	})
}

// TO-8
func TestThirtyMissesInARowCloseTheAccountUntilThePasswordChanges(t *testing.T) {
	at(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		steal(t, f)
		if s := status(t, f, alice, flow); !s.Stolen || !s.Enrolled.Has(authflow.OTP) {
			t.Errorf("got %+v", s)
		}
		time.Sleep(31 * 24 * time.Hour)
		if v, want := verify(t, f, code(t, secret, 0)), (authflow.Verdict{}); v != want {
			t.Errorf("a right code gets %+v", v)
		}
		if v, err := f.Begin(ctx, alice, flow, "alice", ""); err != nil || v.OK {
			t.Errorf("an enrolment gets %+v, %v", v, err)
		}
		if err := f.PasswordChanged(ctx, alice); err != nil {
			t.Fatal(err)
		}
		if s := status(t, f, alice, flow); s.Stolen {
			t.Errorf("got %+v", s)
		}
		if v := verify(t, f, code(t, secret, 0)); !v.OK { // the factor stays
			t.Errorf("after the change a right code gets %+v", v)
		}
	})
}

// TO-8
func TestAChangedPasswordGivesNoAttempts(t *testing.T) {
	at(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		for range 5 {
			verify(t, f, wrong)
		}
		if err := f.PasswordChanged(ctx, alice); err != nil {
			t.Fatal(err)
		}
		if v := verify(t, f, wrong); v.Wait == 0 {
			t.Error("a changed password resets the budget")
		}
	})
	at(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		steal(t, f)
		if err := f.PasswordChanged(ctx, alice); err != nil {
			t.Fatal(err)
		}
		if got := describe(t, f, alice); got.Misses != 30 || got.Run != 0 || got.Wait != 0 {
			t.Errorf("of a stolen password the month goes on: %+v", got)
		}
	})
}

// PA-12
func TestAFaultOfTheStoreDenies(t *testing.T) {
	for name, op := range operations {
		t.Run(name, func(t *testing.T) {
			for n := 1; ; n++ {
				done := false
				at(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
					run := op(t, f)
					m.calls, m.fails = 0, n
					before := describeAll(m)
					ok, err := run()
					if m.calls < n {
						done = true
						return
					}
					if ok || err == nil {
						t.Errorf("with call %d failing: %v, %v", n, ok, err)
					}
					if after := describeAll(m); after != before {
						t.Errorf("with call %d failing something remains:\n%s\n%s", n, before, after)
					}
				})
				if done {
					if n == 1 {
						t.Error("the store is not called")
					}
					return
				}
			}
		})
	}
}

// PA-12: it failed, but it happened.
func TestALostAnswerOfTheStoreDenies(t *testing.T) {
	for name, op := range operations {
		at(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
			run := op(t, f)
			m.lost = true
			if ok, err := run(); ok || err == nil {
				t.Errorf("%s: got %v, %v", name, ok, err)
			}
		})
	}
}

// A transaction that is run again leaves what one run would have left.
func TestATransactionThatIsRunAgainHappensOnce(t *testing.T) {
	for name, op := range operations {
		at(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
			run := op(t, f)
			m.twice = true
			if ok, err := run(); !ok || err != nil {
				t.Errorf("%s: got %v, %v", name, ok, err)
			}
		})
	}
	at(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		m.twice = true
		for range 4 {
			verify(t, f, wrong)
		}
		if got := describe(t, f, alice).Run; got != 4 {
			t.Errorf("%d attempts are charged, want 4", got)
		}
		// The text that was handed out is the one that is kept.
		ticket, _, err := f.NewTicket(ctx, bob)
		if err != nil {
			t.Fatal(err)
		}
		begin(t, f, bob, flow, ticket)
		if v := confirm(t, f, bob, flow, code(t, scan(t, f, bob, flow), 0)); !v.OK {
			t.Errorf("got %+v", v)
		}
		if v := verifyOf(t, f, bob, authflow.Recovery, codes(t, f, bob, flow)[0]); !v.OK || v.RecoveryLeft != 9 {
			t.Errorf("got %+v", v)
		}
	})
}
