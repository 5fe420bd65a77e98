package provider

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// shared counts as a store does, in memory, and how often it was asked.
type shared struct {
	until map[Hash]time.Time
	asked int
}

func (s *shared) charge(_ context.Context, key Hash, since time.Time, cost time.Duration, latest time.Time) (time.Time, error) {
	s.asked++
	until := s.until[key]
	if since.After(until) {
		until = since
	}
	if until = until.Add(cost); until.After(latest) {
		until = latest
	}
	s.until[key] = until
	return until, nil
}

func (s *shared) limiter(requests int) *limiter {
	return &limiter{name: "test", per: time.Minute, cost: time.Minute / time.Duration(requests), slice: max(1, requests/20),
		most: maxCounted, charge: s.charge, keys: map[limited]count{}}
}

func address(i int) limited {
	return limited{address: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}
}

// Who comes from ever new addresses takes no more memory than there is, and
// passes no more often: what is not kept here the store counts.
func TestALimiterKeepsSoManyAndForgetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{until: map[Hash]time.Time{}}
		l := s.limiter(100)
		l.most = 50
		for i := range 1000 {
			if err := l.take(t.Context(), address(i)); err != nil {
				t.Fatal(err)
			}
		}
		if len(l.keys) > 50 {
			t.Errorf("%d kept, want at most 50", len(l.keys))
		}
		n := 0
		for range 300 {
			if l.take(t.Context(), address(999)) == nil {
				n++
			}
		}
		if n != 99 {
			t.Errorf("%d more passed of one that is not kept, want 99", n)
		}
		time.Sleep(time.Hour) // all are empty, and make room
		for i := range 20 {
			if err := l.take(t.Context(), address(5000+i)); err != nil {
				t.Fatal(err)
			}
		}
		if len(l.keys) != 20 {
			t.Errorf("%d kept, want the 20 of now", len(l.keys))
		}
	})
}

// The store is asked once for a twentieth of the limit.
func TestALimiterSeldomAsksTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{until: map[Hash]time.Time{}}
		l := s.limiter(1000)
		var full *throttled
		for i := range 2000 {
			if err := l.take(t.Context(), address(1)); (err == nil) != (i < 1000) || err != nil && !errors.As(err, &full) {
				t.Fatalf("%d: %v", i, err)
			}
		}
		if s.asked != 20 {
			t.Errorf("asked %d times, want 20", s.asked)
		}
	})
}

func BenchmarkLimit(b *testing.B) {
	s := &shared{until: map[Hash]time.Time{}}
	l := s.limiter(1000000)
	l.cost = 1 // never full
	r := &request{address: "2001:db8:1:2:3:4:5:6"}
	c := Client{ID: "client"}
	for name, key := range map[string]func() limited{"address": r.byAddress, "client": func() limited { return r.byClient(c) }} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := l.take(b.Context(), key()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A clock that was an hour ahead, ours or a replica's, keeps nobody waiting for
// an hour, but for minutes where a limit is by the minute; then it holds as ever.
func TestAClockThatWasAheadKeepsNobodyWaitingForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{until: map[Hash]time.Time{}}
		l := s.limiter(100)
		ahead := time.Now().Add(time.Hour)
		l.keys[address(1)] = count{until: ahead}
		for i := range 2 {
			s.until[l.hash(address(i+1))] = ahead
			waited := time.Duration(0)
			for range 200 {
				var full *throttled
				if errors.As(l.take(t.Context(), address(i+1)), &full) {
					waited += full.wait
					time.Sleep(full.wait)
				}
			}
			if waited == 0 || waited > 5*time.Minute {
				t.Errorf("200 requests waited for %v", waited)
			}
			time.Sleep(2 * time.Minute)
			n := 0
			for range 300 {
				if l.take(t.Context(), address(i+1)) == nil {
					n++
				}
			}
			if n != 100 {
				t.Errorf("%d passed, want 100", n)
			}
		}
	})
}

// One request that a replica has told nobody of, long ago, empties no bucket that
// others have filled since.
func TestAnOldCountEmptiesNoBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{until: map[Hash]time.Time{}}
		passes := func(l *limiter, times int) (n int) {
			for range times {
				if l.take(t.Context(), address(1)) == nil {
					n++
				}
			}
			return n
		}
		a, b, c := s.limiter(100), s.limiter(100), s.limiter(100)
		passes(a, 1)
		time.Sleep(10 * time.Minute)
		if got := passes(b, 300); got != 100 {
			t.Errorf("%d passed at the second, want 100", got)
		}
		if got := passes(a, 300); got > 5 {
			t.Errorf("%d more passed at the first, want at most 5", got)
		}
		if got := passes(c, 300); got > 5 {
			t.Errorf("%d more passed at the third, want at most 5", got)
		}
	})
}
