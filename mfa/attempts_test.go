package mfa_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-id/sallyport/mfa"
)

func attempts(t *testing.T, fn func(t *testing.T, a *mfa.Attempts, m *memory)) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t)
		a, err := mfa.NewAttempts(m, mfa.Budget{})
		if err != nil {
			t.Fatal(err)
		}
		fn(t, a, m)
	})
}

func attempt(t *testing.T, a *mfa.Attempts, key string, right bool) bool {
	t.Helper()
	ok, err := a.Attempt(ctx, key, right)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func wait(t *testing.T, a *mfa.Attempts, key string) time.Duration {
	t.Helper()
	w, err := a.Wait(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestAPasswordCountsWhileTheBudgetLasts(t *testing.T) {
	attempts(t, func(t *testing.T, a *mfa.Attempts, m *memory) {
		for range 9 {
			if !attempt(t, a, "k", false) {
				t.Error("a wrong one does not count")
			}
		}
		if !attempt(t, a, "k", true) {
			t.Error("a right one after nine wrong ones does not count")
		}
		for range 10 {
			if w := wait(t, a, "k"); w != 0 {
				t.Errorf("after a right one the wait is %v", w)
			}
			attempt(t, a, "k", false)
		}
		if attempt(t, a, "k", true) || attempt(t, a, "k", false) {
			t.Error("one after ten wrong ones counts")
		}
		if attempt(t, a, "other", true) != true {
			t.Error("another account has no budget of its own")
		}
		time.Sleep(10 * time.Second)
		if !attempt(t, a, "k", true) {
			t.Error("a right one after the wait does not count")
		}
	})
}

func TestPasswordWaitsGrowToFiveMinutesAndAHundredADay(t *testing.T) {
	attempts(t, func(t *testing.T, a *mfa.Attempts, m *memory) {
		began := time.Now()
		var longest time.Duration
		for range 100 {
			w := wait(t, a, "k")
			longest = max(longest, w)
			time.Sleep(w)
			attempt(t, a, "k", false)
		}
		if longest != 5*time.Minute {
			t.Errorf("the longest wait is %v", longest)
		}
		if got, want := wait(t, a, "k"), 24*time.Hour-time.Since(began); got != want {
			t.Errorf("after a hundred the wait is %v, want %v", got, want)
		}
		if err := a.Unlock(ctx, "k"); err != nil {
			t.Fatal(err)
		}
		if !attempt(t, a, "k", true) {
			t.Error("unlocked, a right one does not count")
		}
	})
}

// TO-7
func TestOfManyPasswordsAtOnceNoMoreCountThanTheBudgetHolds(t *testing.T) {
	attempts(t, func(t *testing.T, a *mfa.Attempts, m *memory) {
		var all sync.WaitGroup
		var counted atomic.Int32
		for range 200 {
			all.Go(func() {
				if attempt(t, a, "k", false) {
					counted.Add(1)
				}
			})
		}
		all.Wait()
		if got := len(m.misses["k"].Times); got != 10 || counted.Load() != 10 {
			t.Errorf("%d are recorded and %d count, want 10", got, counted.Load())
		}
	})
}

func TestAnUntroubledSignInWritesNothing(t *testing.T) {
	attempts(t, func(t *testing.T, a *mfa.Attempts, m *memory) {
		for range 3 {
			if !attempt(t, a, "k", true) {
				t.Error("a right one does not count")
			}
		}
		if m.writes != 0 {
			t.Errorf("%d commits", m.writes)
		}
	})
}

// PA-12
func TestAFaultDeniesAPassword(t *testing.T) {
	for n := 1; n <= 3; n++ {
		attempts(t, func(t *testing.T, a *mfa.Attempts, m *memory) {
			attempt(t, a, "k", false)
			m.calls, m.fails = 0, n
			if ok, err := a.Attempt(ctx, "k", true); ok || err == nil {
				t.Errorf("with call %d failing: %v, %v", n, ok, err)
			}
		})
	}
	attempts(t, func(t *testing.T, a *mfa.Attempts, m *memory) {
		m.lost = true
		if ok, err := a.Attempt(ctx, "k", true); ok || err == nil {
			t.Errorf("with the answer lost: %v, %v", ok, err)
		}
		m.lost, m.twice = false, true
		attempt(t, a, "k", false)
		if got := m.misses["k"].Run; got != 1 {
			t.Errorf("run again, %d are recorded, want 1", got)
		}
	})
}

func TestAnAttemptJoinsTheTransactionOfItsCaller(t *testing.T) {
	attempts(t, func(t *testing.T, a *mfa.Attempts, m *memory) {
		undo := errors.New("undo")
		if err := m.Atomically(ctx, func(ctx context.Context) error {
			if _, err := a.Attempt(ctx, "k", false); err != nil {
				t.Error(err)
			}
			return undo
		}); err != undo {
			t.Fatal(err)
		}
		if got := m.misses["k"].Run; got != 0 {
			t.Errorf("%d are recorded, want 0", got)
		}
	})
}

func TestBadAttemptsAreRefused(t *testing.T) {
	if _, err := mfa.NewAttempts(nil, mfa.Budget{}); err == nil {
		t.Error("without a store")
	}
	if _, err := mfa.NewAttempts(newMemory(t), mfa.Budget{Day: 1}); err == nil {
		t.Error("with half a budget")
	}
}
