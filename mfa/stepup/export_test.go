package stepup

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// FindAtOnce has so many look at once for a key that is fetched in no time, and
// returns how many do not find it.
func FindAtOnce(many int) int {
	k := newFetchedKeys(&issuer{log: slog.New(slog.DiscardHandler)}, "", time.Hour)
	k.set.fetch = func(context.Context) (keySet, error) { return keySet{"a": {key{}}}, nil }
	var all sync.WaitGroup
	var none atomic.Int64
	for range many {
		all.Go(func() {
			if _, err := k.find(context.Background(), "a"); err != nil {
				none.Add(1)
			}
		})
	}
	all.Wait()
	return int(none.Load())
}

// Remembered returns how many answers to introspection g remembers.
func Remembered(g *Guard) int {
	g.ask.mu.Lock()
	defer g.ask.mu.Unlock()
	return len(g.ask.known)
}

// Kept returns how many spent tokens s remembers.
func Kept(s *MemoryStore) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.spent)
}

// Write returns c as a guard would write it.
func Write(c Challenge) string {
	p := []param{{"error", c.Code}, {"error_description", c.Text}, {"acr_values", strings.Join(c.ACRValues, " ")}, {"scope", strings.Join(c.Scopes, " ")}}
	if c.MaxAge != nil {
		p = append(p, param{"max_age", strconv.Itoa(*c.MaxAge)})
	}
	return writeChallenge(c.Scheme, p)
}
