package storagetest

import (
	"sync"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

var rateCases = []storeCase{
	{"what is charged adds up from the later of two times, to a bound", func(t *testing.T, s provider.Store) {
		key := hash()
		for _, c := range []struct {
			since, cost, want int // seconds
		}{
			{0, 10, 10}, {5, 10, 20}, {60, 10, 70}, {60, -5, 65}, {0, 0, 65}, {0, 300, 100}, {0, 10, 100},
		} {
			got, err := s.Charge(t.Context(), key, at(c.since), time.Duration(c.cost)*time.Second, at(100))
			if err != nil || !got.Equal(at(c.want)) {
				t.Errorf("charged %d s since %d s: got %v, %v, want %v", c.cost, c.since, got, err, at(c.want))
			}
		}
		other, err := s.Charge(t.Context(), hash(), at(0), time.Second, at(60))
		if err != nil || !other.Equal(at(1)) {
			t.Errorf("another key: got %v, %v, want %v", other, err, at(1))
		}
	}},
	{"of many charges at once none is lost", func(t *testing.T, s provider.Store) {
		key := hash()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				_, err := s.Charge(t.Context(), key, at(0), time.Second, at(60))
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got, err := s.Charge(t.Context(), key, at(0), 0, at(60)); err != nil || !got.Equal(at(20)) {
			t.Errorf("got %v, %v, want %v", got, err, at(20))
		}
	}},
}
