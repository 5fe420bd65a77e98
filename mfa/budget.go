package mfa

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// A Budget says how many wrong attempts an account has, and over what time. It
// is pure: what happened is in a [Misses], and the time is passed in. The zero
// Budget allows no attempt at all.
type Budget struct {
	Free   int             // wrong attempts in a row after which one need not wait; at least 1
	Waits  []time.Duration // how long after each one beyond; the last holds for all further ones
	Day    int             // wrong attempts in 24 hours, since the last right one; 0: any number
	Month  int             // wrong attempts in 30 days, whatever was right between them; 0: any number
	Stolen int             // wrong attempts in a row that mark the password as stolen; 0: never
}

const (
	day   = 24 * time.Hour
	month = 30 * day

	// forever is longer than anyone waits.
	forever = time.Duration(math.MaxInt64)
)

// FactorBudget is the Budget of a Config that has none. A guess at a code is
// worth 3 in a million, because three codes are good at any time; 60 guesses in
// 30 days keep a year of guessing below a quarter of a percent. Whoever has
// missed 30 times in a row knew the password each time, and over three days at
// least: it is not the owner.
var FactorBudget = Budget{
	Free: 5,
	Waits: []time.Duration{
		30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 15 * time.Minute,
	},
	Day:    10,
	Month:  60,
	Stolen: 30,
}

// PasswordBudget is the Budget of Attempts that are given none. Unlike codes,
// passwords can be tried by anyone who knows a name, so a budget is also a way
// to shut the owner out; hence it is wide, and no wait is longer than a cup of
// coffee. A hundred tries a day do not get beyond the lists of common
// passwords, which are refused when a password is set; it is the number that
// NIST SP 800-63B-4 section 3.2.2 allows in a row.
var PasswordBudget = Budget{
	Free: 10,
	Waits: []time.Duration{
		10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
	},
	Day: 100,
}

// Check says what is wrong with b.
func (b Budget) Check() error {
	switch {
	case b.Free < 1:
		return errors.New("mfa: a budget needs at least one free attempt")
	case len(b.Waits) == 0 || slices.Min(b.Waits) <= 0:
		return errors.New("mfa: a budget needs waits, each longer than nothing")
	case b.Day < 0 || b.Month < 0 || b.Stolen < 0:
		return errors.New("mfa: a number of attempts is negative")
	case b.Stolen > 0 && b.Stolen <= b.Free:
		return fmt.Errorf("mfa: a password is stolen after %d wrong attempts, but %d are free", b.Stolen, b.Free)
	}
	return nil
}

// isZero reports whether b was left out of a configuration.
func (b Budget) isZero() bool {
	return b.Free == 0 && b.Waits == nil && b.Day == 0 && b.Month == 0 && b.Stolen == 0
}

// Wait returns how long no attempt may be looked at, 0 if one may be now.
func (b Budget) Wait(m Misses, now time.Time) time.Duration {
	if b.Free < 1 {
		return forever
	}
	wait := max(
		within(m.Times, b.Month, month, now),
		within(slices.DeleteFunc(slices.Clone(m.Times), func(t time.Time) bool { return !t.After(m.Since) }), b.Day, day, now),
	)
	if beyond := m.Run - b.Free; beyond >= 0 {
		if len(b.Waits) == 0 {
			return forever
		}
		if n := len(m.Times); n > 0 {
			pause := b.Waits[min(beyond, len(b.Waits)-1)]
			wait = max(wait, m.Times[n-1].Add(pause).Sub(now))
		}
	}
	return max(wait, 0)
}

// within returns how long it takes until less than most of times, the oldest
// first, are younger than span.
func within(times []time.Time, most int, span time.Duration, now time.Time) time.Duration {
	if most == 0 || len(times) < most {
		return 0
	}
	return times[len(times)-most].Add(span).Sub(now)
}

// Charge returns m with a wrong attempt at now. What is older than any budget
// looks back is dropped.
func (b Budget) Charge(m Misses, now time.Time) Misses {
	times := make([]time.Time, 0, len(m.Times)+1)
	for _, t := range m.Times {
		if now.Sub(t) < b.span() {
			times = append(times, t)
		}
	}
	times = append(times, now)
	slices.SortFunc(times, time.Time.Compare) // the clocks of two replicas differ
	return Misses{Times: times, Run: m.Run + 1, Since: m.Since}
}

// Clear returns m after a right attempt at now: the run is over and the day
// begins anew. The month goes on.
func (b Budget) Clear(m Misses, now time.Time) Misses {
	return Misses{Times: m.Times, Since: now}
}

// Spent reports whether m has as many wrong attempts in a row as mark the
// password as stolen.
func (b Budget) Spent(m Misses) bool { return b.Stolen > 0 && m.Run >= b.Stolen }

// span is how far back b looks.
func (b Budget) span() time.Duration {
	if b.Month > 0 {
		return month
	}
	return day
}
