package storage_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
)

// TK-4, LG-1
func TestTheScheduleRotatesWhenItIsDueAndOnce(t *testing.T) {
	withReplicas(t, func(t *testing.T, d *storage.DB, a, b *storage.Keys) {
		start := time.Now()
		if err := a.RotateIfDueAt(t.Context(), start); err != nil {
			t.Fatal(err)
		}
		first := signing(t, a, "ES256", start).ID
		if err := b.RotateIfDueAt(t.Context(), start.Add(brisk.Period-time.Second)); err != nil {
			t.Fatal(err)
		}
		if got := signing(t, b, "ES256", start.Add(brisk.Period-time.Second)).ID; got != first {
			t.Error("rotated before it was due")
		}
		due := start.Add(brisk.Period + time.Second)
		var all sync.WaitGroup
		for i := range 6 {
			all.Go(func() {
				if err := []*storage.Keys{a, b}[i%2].RotateIfDueAt(t.Context(), due); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		events, err := d.Events(t.Context(), storage.EventFilter{Kind: provider.EventKeys})
		if err != nil {
			t.Fatal(err)
		}
		rotated := 0
		for _, e := range events {
			if e.Detail["act"] == "rotate" && e.Detail["algorithm"] == "ES256" && e.Actor == "system" {
				rotated++
			}
		}
		if got := states(t, a, "ES256"); rotated != 1 || got[storage.KeyLast]+got[storage.KeyGone] != 1 || got[storage.KeyCurrent] != 1 || got[storage.KeyNext] != 1 {
			t.Errorf("rotated %d times, to %v", rotated, got)
		}

		before := d.Stats().Commits
		if err := a.RotateIfDueAt(t.Context(), due.Add(time.Second)); err != nil || d.Stats().Commits != before {
			t.Errorf("with nothing due: %v and %d commits", err, d.Stats().Commits-before)
		}
		// The last key goes when no token of it is good any more, not before.
		gone := due.Add(brisk.Lifetime + settled)
		for _, tt := range []struct {
			now  time.Time
			want bool
		}{{gone.Add(-time.Second), true}, {gone, false}} {
			if err := a.RotateIfDueAt(t.Context(), tt.now); err != nil {
				t.Fatal(err)
			}
			keys, err := a.List(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			there := slices.ContainsFunc(keys, func(k storage.KeyInfo) bool { return k.ID == first })
			published := slices.Contains(publishedIDs(t, b, tt.now), first)
			if there != tt.want || published != tt.want {
				t.Errorf("%v after: the last key is stored: %v, published: %v, want %v", tt.now.Sub(due), there, published, tt.want)
			}
		}
	})
}

// TK-4: however short a key's time to sign, the next one has been published for
// as long as caches and other servers need before the schedule has it sign.
func TestTheScheduleWaitsUntilTheNextKeyIsKnown(t *testing.T) {
	for name, is := range map[string]struct {
		config storage.KeysConfig
		wait   time.Duration
	}{
		"caches":        {storage.KeysConfig{Period: 10 * time.Second, Overlap: time.Minute, Refresh: time.Second}, time.Minute},
		"other servers": {storage.KeysConfig{Period: 10 * time.Second, Overlap: time.Second, Refresh: 20 * time.Second}, 40 * time.Second},
		"the schedule":  {storage.KeysConfig{Period: time.Minute, Overlap: time.Second, Refresh: time.Second}, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, d *storage.DB) {
				k, start := d.Keys(sealer(t, "k1"), is.config), time.Now()
				if err := k.RotateIfDueAt(t.Context(), start); err != nil {
					t.Fatal(err)
				}
				first := signing(t, k, "ES256", start).ID
				for _, at := range []struct {
					after   time.Duration
					rotated bool
				}{{is.wait - time.Second, false}, {is.wait + time.Second, true}} {
					if err := k.RotateIfDueAt(t.Context(), start.Add(at.after)); err != nil {
						t.Fatal(err)
					}
					if got := signing(t, k, "ES256", start.Add(at.after)).ID != first; got != at.rotated {
						t.Errorf("after %v: rotated %v, want %v", at.after, got, at.rotated)
					}
				}
			})
		})
	}
}

// TK-4: what was fetched from a server that had just not heard of a new key may be
// kept for as long as Ahead says.
func TestEveryServerHasPublishedAKeyAheadOfTheSchedule(t *testing.T) {
	withReplicas(t, func(t *testing.T, _ *storage.DB, a, b *storage.Keys) {
		at := time.Now()
		rotate := func() {
			t.Helper()
			if err := a.RotateIfDueAt(t.Context(), at); err != nil {
				t.Fatal(err)
			}
		}
		rotate()
		at = at.Add(brisk.Period)
		publishedIDs(t, b, at.Add(-time.Millisecond)) // and now it does not look for a while
		rotate()
		at = at.Add(max(brisk.Period, brisk.Overlap))
		published := publishedIDs(t, b, at.Add(-a.Ahead()))
		rotate()
		if signs := signing(t, a, "ES256", at).ID; !slices.Contains(published, signs) {
			t.Errorf("%s signs and was not published %v before", signs, a.Ahead())
		}
		if a.Ahead() < brisk.Overlap-settled || a.Ahead() > brisk.Overlap-brisk.Refresh {
			t.Errorf("ahead by %v, with an overlap of %v", a.Ahead(), brisk.Overlap)
		}
	})
}
