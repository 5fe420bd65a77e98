package mfa_test

import (
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/mfa"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// spend makes wrong attempts as early as b allows each, and returns how long
// each had to wait.
func spend(b mfa.Budget, m *mfa.Misses, now *time.Time, n int) (waits []time.Duration) {
	for range n {
		w := b.Wait(*m, *now)
		waits = append(waits, w)
		*now = now.Add(w)
		*m = b.Charge(*m, *now)
	}
	return waits
}

// TO-8
func TestFiveAttemptsAreFreeAndThenEachWaitsLonger(t *testing.T) {
	var m mfa.Misses
	now := noon
	got := spend(mfa.FactorBudget, &m, &now, 10)
	want := []time.Duration{
		0, 0, 0, 0, 0,
		30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute,
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("attempt %d waited %v, want %v", i+1, got[i], want[i])
		}
	}
}

// TO-8
func TestTenWrongAttemptsInADayAreTheMost(t *testing.T) {
	var m mfa.Misses
	now := noon
	spend(mfa.FactorBudget, &m, &now, 10)
	if got, want := mfa.FactorBudget.Wait(m, now), noon.Add(24*time.Hour).Sub(now); got != want {
		t.Errorf("the eleventh waits %v, want %v, until the first is a day old", got, want)
	}
	now = noon.Add(24*time.Hour - time.Microsecond)
	if mfa.FactorBudget.Wait(m, now) == 0 {
		t.Error("the eleventh is let in within 24 hours")
	}
	if got := mfa.FactorBudget.Wait(m, noon.Add(24*time.Hour)); got != 0 {
		t.Errorf("a day later there is still a wait of %v", got)
	}
}

// TO-8
func TestARightAttemptClearsRunAndDayButNotTheMonth(t *testing.T) {
	b := mfa.FactorBudget
	var m mfa.Misses
	now := noon
	for i := range b.Month {
		if w := b.Wait(m, now); w != 0 {
			t.Fatalf("wrong attempt %d, each followed by a right one, waits %v", i+1, w)
		}
		m = b.Charge(m, now)
		now = now.Add(time.Minute)
		m = b.Clear(m, now)
		now = now.Add(time.Minute)
	}
	if got, want := b.Wait(m, now), noon.Add(30*24*time.Hour).Sub(now); got != want {
		t.Errorf("after %d wrong attempts in a month the wait is %v, want %v", b.Month, got, want)
	}
	if m.Run != 0 {
		t.Errorf("the run is %d after a right attempt", m.Run)
	}
}

// TO-8: no year of guessing beats the figure that the budget is sold with.
func TestAYearOfGuessingIsBelowAQuarterPercent(t *testing.T) {
	b := mfa.FactorBudget
	b.Stolen = 0 // even if the password were never taken as stolen
	for _, owner := range []bool{false, true} {
		var m mfa.Misses
		guesses := 0
		for now := noon; ; guesses++ {
			if owner && b.Wait(m, now) == 0 {
				m = b.Clear(m, now) // signs in whenever it helps the guesser
			}
			now = now.Add(b.Wait(m, now))
			if now.After(noon.AddDate(1, 0, 0)) {
				break
			}
			m = b.Charge(m, now)
		}
		if chance := 3e-6 * float64(guesses); chance > 0.0025 {
			t.Errorf("owner signs in: %v: %d guesses a year are worth %.4f", owner, guesses, chance)
		}
		if guesses < 600 {
			t.Errorf("owner signs in: %v: only %d guesses: the test does not guess well", owner, guesses)
		}
	}
}

// TO-8
func TestThirtyWrongInARowMarkThePasswordAsStolen(t *testing.T) {
	b := mfa.FactorBudget
	var m mfa.Misses
	now := noon
	spend(b, &m, &now, 29)
	if b.Spent(m) {
		t.Error("29 are enough")
	}
	spend(b, &m, &now, 1)
	if !b.Spent(m) {
		t.Error("30 are not enough")
	}
	if b.Spent(b.Clear(m, now)) {
		t.Error("30 with a right one between them are enough")
	}
	if now.Sub(noon) < 48*time.Hour {
		t.Errorf("30 were possible within %v", now.Sub(noon))
	}
}

func TestTheZeroBudgetAllowsNothing(t *testing.T) {
	if (mfa.Budget{}).Wait(mfa.Misses{}, noon) == 0 {
		t.Error("the zero Budget allows an attempt")
	}
	if (mfa.Budget{Waits: mfa.FactorBudget.Waits}).Wait(mfa.Misses{}, noon) == 0 {
		t.Error("a Budget without free attempts allows one")
	}
	if (mfa.Budget{Free: 1}).Wait(mfa.Misses{Run: 1}, noon) == 0 {
		t.Error("a Budget without waits allows a second attempt")
	}
}

func TestMissesDoNotGrowWithoutBound(t *testing.T) {
	for name, b := range map[string]mfa.Budget{"factor": mfa.FactorBudget, "password": mfa.PasswordBudget} {
		var m mfa.Misses
		now := noon
		spend(b, &m, &now, 1000)
		if most := max(b.Day, b.Month); len(m.Times) > most {
			t.Errorf("%s: %d times are kept, want %d at most", name, len(m.Times), most)
		}
	}
}

// Two replicas whose clocks differ write times out of order.
func TestAnAttemptFromASlowClockCountsAndWaitsForTheLast(t *testing.T) {
	b := mfa.FactorBudget
	var m mfa.Misses
	for i := range 5 {
		m = b.Charge(m, noon.Add(-time.Duration(i)*time.Second))
	}
	if got := b.Wait(m, noon); got != 30*time.Second {
		t.Errorf("wait is %v, want 30s from the latest", got)
	}
}

func TestChargeLeavesWhatItWasGivenAlone(t *testing.T) {
	times := make([]time.Time, 1, 8)
	times[0] = noon
	m := mfa.Misses{Times: times, Run: 1}
	a := mfa.FactorBudget.Charge(m, noon.Add(time.Second))
	mfa.FactorBudget.Charge(m, noon.Add(time.Hour))
	if got := a.Times[1]; !got.Equal(noon.Add(time.Second)) {
		t.Errorf("a second Charge changed the first one's result to %v", got)
	}
}

func TestABadBudgetIsRefused(t *testing.T) {
	good := mfa.FactorBudget
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	if err := mfa.PasswordBudget.Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*mfa.Budget){
		"nothing free":      func(b *mfa.Budget) { b.Free = 0 },
		"no waits":          func(b *mfa.Budget) { b.Waits = nil },
		"a wait of nothing": func(b *mfa.Budget) { b.Waits = []time.Duration{time.Second, 0} },
		"negative day":      func(b *mfa.Budget) { b.Day = -1 },
		"negative month":    func(b *mfa.Budget) { b.Month = -1 },
		"negative stolen":   func(b *mfa.Budget) { b.Stolen = -1 },
		"stolen while free": func(b *mfa.Budget) { b.Stolen = b.Free },
	} {
		b := good
		change(&b)
		if b.Check() == nil {
			t.Errorf("%s: is accepted", name)
		}
	}
}
