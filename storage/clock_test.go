package storage

import (
	"testing"
	"time"
)

// Who bumps the epoch with a clock that is wrong would leave good what was used
// last, or void what comes next.
func TestTheEpochIsTheLaterOfTwoClocksThatAgree(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		theirs time.Duration
		good   bool
	}{{0, true}, {3 * time.Second, true}, {-3 * time.Second, true}, {11 * time.Second, false}, {-11 * time.Second, false}, {-time.Hour, false}} {
		got, err := agreed(now, now.Add(c.theirs))
		if (err == nil) != c.good {
			t.Errorf("theirs is ahead by %v: %v", c.theirs, err)
		}
		if want := now.Add(max(0, c.theirs)); c.good && !got.Equal(want) {
			t.Errorf("theirs is ahead by %v: got %v, want %v", c.theirs, got, want)
		}
	}
}
