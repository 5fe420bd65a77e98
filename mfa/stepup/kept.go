package stepup

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// afterFailure is how long the issuer is left alone when it has failed, and
	// afterSuccess when it has answered. They are what a flood of bad tokens
	// costs the issuer at most.
	afterFailure = 2 * time.Second
	afterSuccess = 10 * time.Second
)

// A kept is something that is fetched from the issuer and kept. Of any number
// of goroutines that want it one fetches, and the others wait for it.
type kept[T any] struct {
	fetch func(context.Context) (T, error)

	mu     sync.Mutex
	value  T
	got    time.Time     // when value was fetched; zero: never
	tried  time.Time     // when the last fetch ended, well or not
	err    error         // of the last fetch
	flight chan struct{} // closed when the fetch under way ends; nil: there is none
}

// A look is what is kept at one moment.
type look[T any] struct {
	value T
	age   time.Duration // of value
	have  bool          // whether there is a value at all
	err   error         // why the last fetch failed, nil if it did not
}

func (k *kept[T]) look() look[T] {
	k.mu.Lock()
	defer k.mu.Unlock()
	return look[T]{k.value, time.Since(k.got), !k.got.IsZero(), k.err}
}

// renew begins a fetch, unless one is under way or the issuer is to be left
// alone. It returns what is closed at the end of it, nil if there is nothing to
// wait for.
func (k *kept[T]) renew() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.flight != nil {
		return k.flight
	}
	pause := afterSuccess
	if k.err != nil {
		pause = afterFailure
	}
	if !k.tried.IsZero() && time.Since(k.tried) < pause {
		return nil
	}
	done := make(chan struct{})
	k.flight = done
	// Not in the context of the request that happens to be first: the others
	// wait for it too, and it may be given up by its client.
	go k.run(done)
	return done
}

func (k *kept[T]) run(done chan struct{}) {
	var v T
	var err error
	defer func() {
		// The caller's Transport runs here, and no server stands behind this
		// goroutine that would bear its panic.
		if p := recover(); p != nil {
			err = fmt.Errorf("fetching it panicked: %v", p)
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		k.tried, k.err, k.flight = time.Now(), err, nil
		if err == nil {
			k.value, k.got = v, k.tried
		}
		close(done)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 3*fetchTimeout)
	defer cancel()
	v, err = k.fetch(ctx)
}

// wait waits for the end of a fetch.
func wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
