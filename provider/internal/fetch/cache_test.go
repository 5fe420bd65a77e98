package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A publisher is a network on which each URI has a document, says how often it
// was asked for, and can be made to fail.
type publisher struct {
	mu    sync.Mutex
	asked map[string]int
	says  map[string]string // what a URI answers; empty: with an error
	slow  map[string]time.Duration
}

func newPublisher() *publisher {
	return &publisher{asked: map[string]int{}, says: map[string]string{}, slow: map[string]time.Duration{}}
}

func (p *publisher) RoundTrip(r *http.Request) (*http.Response, error) {
	uri := r.URL.String()
	p.mu.Lock()
	p.asked[uri]++
	says, slow := p.says[uri], p.slow[uri]
	p.mu.Unlock()
	select {
	case <-time.After(slow):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if says == "" {
		return nil, errors.New("no route to host")
	}
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(says)), Request: r}, nil
}

func (p *publisher) publish(uri, doc string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.says[uri] = doc
}

func (p *publisher) times(uri string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[uri]
}

// cache returns a Cache of what p publishes; a document that begins with a !
// cannot be read, and with a * makes reading panic.
func (p *publisher) cache() *Cache[string] {
	c := NewClient()
	c.Transport = p
	return NewCache(c, "text/plain", func(b []byte) (string, error) {
		switch {
		case b[0] == '!':
			return "half", errors.New("malformed")
		case b[0] == '*':
			panic("out of my depth")
		}
		return string(b), nil
	})
}

const uri = "https://app.example/jwks"

// OA-10: how often a URI is asked, whatever is asked of us.
func TestADocumentIsFetchedNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher()
		p.publish(uri, "one")
		c := p.cache()
		began := time.Now()
		for _, is := range []struct {
			at     time.Duration
			change string // published just before; "-": nothing can be had
			renew  bool
			want   string
			fails  bool
			asked  int // in all
		}{
			{at: 0, want: "one", asked: 1},
			{at: Fresh - 1, change: "two", want: "one", asked: 1},
			{at: Fresh, want: "two", asked: 2},
			{at: Fresh + 1, renew: true, want: "two", asked: 2}, // too soon
			{at: Fresh + Pause - 1, change: "three", renew: true, want: "two", asked: 2},
			{at: Fresh + Pause, renew: true, want: "three", asked: 3},
			{at: Fresh + Pause + 1, change: "four", renew: true, want: "three", asked: 3},
			{at: 2*Fresh + Pause, change: "-", want: "three", asked: 4}, // stale, but there
			{at: 2*Fresh + Pause + 1, want: "three", asked: 4},
			{at: 2*Fresh + Pause + 1, renew: true, want: "three", fails: true, asked: 4}, // and said to be
			{at: 2*Fresh + 2*Pause, want: "three", asked: 5},
			{at: Fresh + Pause + Stale - 1, want: "three", asked: 6},
			{at: Fresh + Pause + Stale, fails: true, asked: 6},
			{at: Fresh + Pause + Stale + Retry - 1, fails: true, asked: 7},
			{at: Fresh + Pause + Stale + Retry, change: "five", fails: true, asked: 7},
			{at: Fresh + Pause + Stale + 2*Retry - 1, want: "five", asked: 8},
			{at: Fresh + Pause + Stale + 2*Retry + Pause, change: "!", renew: true, want: "five", fails: true, asked: 9},
			{at: Fresh + Pause + Stale + 2*Retry + Pause, want: "five", asked: 9},
			{at: Fresh + Pause + Stale + 2*Retry + 2*Pause, change: "six", renew: true, want: "six", asked: 10},
		} {
			time.Sleep(is.at - time.Since(began))
			switch is.change {
			case "":
			case "-":
				p.publish(uri, "")
			default:
				p.publish(uri, is.change)
			}
			get := c.Get
			if is.renew {
				get = c.Renew
			}
			got, err := get(t.Context(), uri)
			if (err != nil) != is.fails || is.want != "" && got != is.want || p.times(uri) != is.asked {
				t.Errorf("after %v: got %q, %v, having asked %d times; want %q, error: %t, %d times",
					is.at, got, err, p.times(uri), is.want, is.fails, is.asked)
			}
		}
	})
}

// A document that nobody publishes is not asked for by each who wants it.
func TestAFailureIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher()
		c := p.cache()
		for range 100 {
			for _, get := range []func(context.Context, string) (string, error){c.Get, c.Renew} {
				if _, err := get(t.Context(), uri); err == nil || !strings.Contains(err.Error(), "no route to host") {
					t.Errorf("got %v", err)
				}
			}
		}
		if p.times(uri) != 1 {
			t.Errorf("asked %d times, want once", p.times(uri))
		}
		time.Sleep(Retry)
		p.publish(uri, "one")
		if got, err := c.Get(t.Context(), uri); got != "one" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestManyWhoWantADocumentWaitForOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher()
		p.publish(uri, "one")
		p.slow[uri] = 2 * time.Second
		c := p.cache()
		// Whoever came first hangs up, and the others are served still.
		first, hangUp := context.WithTimeout(t.Context(), time.Second)
		defer hangUp()
		var all sync.WaitGroup
		for i := range 50 {
			ctx := t.Context()
			if i == 0 {
				ctx = first
			}
			all.Go(func() {
				if got, err := c.Get(ctx, uri); got != "one" || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
			})
			synctest.Wait()
		}
		// Who is in a hurry does not wait.
		hurry, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, err := c.Get(hurry, uri); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		all.Wait()
		if p.times(uri) != 1 {
			t.Errorf("asked %d times, want once", p.times(uri))
		}
	})
}

func TestASlowServerHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher()
		const slow = "https://slow.example/jwks"
		p.publish(uri, "one")
		p.slow[slow] = time.Hour
		c := p.cache()
		var all sync.WaitGroup
		began := time.Now()
		all.Go(func() {
			if _, err := c.Get(t.Context(), slow); err == nil || time.Since(began) != Timeout {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		})
		synctest.Wait()
		for range 10 {
			if got, err := c.Get(t.Context(), uri); got != "one" || err != nil || time.Since(began) != 0 {
				t.Errorf("got %q, %v after %v", got, err, time.Since(began))
			}
		}
		all.Wait()
	})
}

// A panic while reading is the asking request's own, and leaves nobody waiting.
func TestAPanicIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher()
		p.publish(uri, "*")
		c := p.cache()
		func() {
			defer func() {
				if recover() == nil {
					t.Error("it was swallowed")
				}
			}()
			c.Get(t.Context(), uri)
		}()
		if _, err := c.Get(t.Context(), uri); err == nil || p.times(uri) != 1 {
			t.Errorf("got %v, asked %d times", err, p.times(uri))
		}
	})
}

func TestTheCacheIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher()
		c := p.cache()
		of := func(i int) string { return fmt.Sprintf("https://%d.example/", i) }
		for i := range MaxEntries + 50 {
			p.publish(of(i), "one")
			if _, err := c.Get(t.Context(), of(i)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Get(t.Context(), of(0)); err != nil { // always in use
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		if len(c.entries) != MaxEntries {
			t.Errorf("%d entries, want %d", len(c.entries), MaxEntries)
		}
		for i, want := range map[int]int{0: 1, 1: 2, MaxEntries + 49: 1} {
			if _, err := c.Get(t.Context(), of(i)); err != nil || p.times(of(i)) != want {
				t.Errorf("number %d: %v, asked %d times, want %d", i, err, p.times(of(i)), want)
			}
		}
	})
}
