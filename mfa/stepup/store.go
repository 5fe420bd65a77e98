package stepup

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrSpent says that a token that is good for one call has had it.
var ErrSpent = errors.New("stepup: the token has been used")

// A Store remembers which tokens have been spent. All replicas of an API need
// one in common.
type Store interface {
	// Spend returns nil if id is spent by this call, and ErrSpent if it was
	// before. Of any number of concurrent calls with one id one gets nil, here
	// or on another replica. Any other error means that nobody can tell, and
	// the request is refused. An id is 43 characters of base64url, made of the
	// token's issuer and jti; it must be remembered until expires at least.
	Spend(ctx context.Context, id string, expires time.Time) error
}

// A MemoryStore remembers spent tokens in memory: for an API that is a single
// process. When that starts anew, a token that was spent before and has not
// expired can be spent again; if that matters, use an SQLStore. The zero
// MemoryStore is ready to be used.
type MemoryStore struct {
	mu    sync.Mutex
	spent map[string]time.Time // when they expire
	sweep time.Time            // when those that did are next removed
}

// memorySweep is how often a MemoryStore forgets what has expired.
const memorySweep = time.Minute

// Spend spends id.
func (s *MemoryStore) Spend(_ context.Context, id string, expires time.Time) error {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, spent := s.spent[id]; spent {
		return ErrSpent
	}
	if s.spent == nil {
		s.spent = map[string]time.Time{}
	}
	if !now.Before(s.sweep) {
		for old, end := range s.spent {
			if end.Before(now) {
				delete(s.spent, old)
			}
		}
		s.sweep = now.Add(memorySweep)
	}
	s.spent[id] = expires
	return nil
}
