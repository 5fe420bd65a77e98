package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport-id/sallyport/test/fleet"
)

// A siege sends passwords to be hashed at a given rate, whatever becomes of
// them, as a crowd does that nobody holds back, and meanwhile does a little of
// everything else, to see what that takes.
type siege struct {
	site  fleet.Site
	ready chan *visitor // who waits at the password page
	next  atomic.Int64  // the next user who has not come yet
	users int

	mu       sync.Mutex
	took     map[string][]time.Duration
	failures map[string]int
	first    error
	in       int // passwords accepted
	refused  int // with 503
}

// A visitor has begun to sign in.
type visitor struct {
	user  int
	login *fleet.Login
}

// others are what goes on beside the passwords, each so many times a second.
const othersRate = 20

// overload prints what half, all, and five times of the passwords that the server
// can hash do to all else (PW-4).
func (p plan) overload(ctx context.Context, binary, database string) (err error) {
	h, err := fleet.Open(ctx, binary, fleet.Plan{Database: database, Users: p.users, Hash: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	r, err := h.Start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Stop()) }()
	transport := &http.Transport{MaxIdleConnsPerHost: 512}
	defer transport.CloseIdleConnections()
	s := &siege{site: fleet.Site{Issuer: r.URL, Transport: transport}, ready: make(chan *visitor, 4096), users: p.users}

	before, err := s.capacity(ctx, p.span)
	if err != nil {
		return fmt.Errorf("how many passwords it can hash: %w", err)
	}
	fmt.Printf("\n%s: it can hash %.1f passwords a second\n\n", database, before)
	fmt.Println("| passwords a second | logins a second | refused | 503 within, p99 | the rest of a login, p99 | refresh | userinfo | introspect | other errors | memory at most |")
	fmt.Println("|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	var good, peak float64 // logins a second, with the last and the best of the loads
	for _, times := range []float64{0, 0.5, 1, 5} {
		if err := s.lay(ctx, times*before, p.span); err != nil {
			return err
		}
		good = float64(s.in) / p.span.Seconds()
		peak = max(peak, good)
		ms := func(what string) string {
			return fmt.Sprintf("%.1f ms", float64(at(s.took[what], .99).Microseconds())/1000)
		}
		failed := 0
		for _, n := range s.failures {
			failed += n
		}
		fmt.Printf("| %.0f (%g times) | %.1f | %d | %s | %s | %s | %s | %s | %d | %d MiB |\n", times*before, times,
			good, s.refused, ms("refusal"), ms("rest"), ms("refresh"), ms("userinfo"), ms("introspect"), failed, r.Memory("VmHWM"))
		if s.first != nil {
			fmt.Printf("first error: %v\n", s.first)
		}
	}
	// The machine may have become another meanwhile.
	after, err := s.capacity(ctx, p.span)
	if err != nil {
		return fmt.Errorf("how many passwords it can hash after: %w", err)
	}
	fmt.Printf("\n%s: after it, it can hash %.1f passwords a second. Five times as many get in %.0f %% of those, with all that follows, and %.0f %% of the most that got in\n",
		database, after, 200*good/(before+after), 100*good/peak)
	return nil
}

// at returns what so large a share took at most; 0 if there is nothing.
func at(took []time.Duration, share float64) time.Duration {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[min(len(took)-1, int(share*float64(len(took))))]
}

// come brings one more visitor to the password page.
func (s *siege) come(ctx context.Context) (*visitor, error) {
	user := int(s.next.Add(1)) - 1
	if user >= s.users {
		return nil, errors.New("no users are left; give more with -users")
	}
	l, err := s.site.Begin(ctx, nil)
	return &visitor{user, l}, err
}

func (v *visitor) password(ctx context.Context) error {
	return v.login.Answer(ctx, "password", "username", fleet.Username(v.user), "password", fleet.Password)
}

// rest is what follows the password.
func (v *visitor) rest(ctx context.Context) (fleet.Tokens, error) {
	code := fleet.TOTP(fleet.Secret(v.user), time.Now().Unix()/30)
	for _, a := range [][]string{{"otp", "code", code}, {"consent", "decision", "allow"}} {
		if err := v.login.Answer(ctx, a[0], a[1:]...); err != nil {
			return fleet.Tokens{}, err
		}
	}
	bought, err := v.login.Code()
	if err != nil {
		return fleet.Tokens{}, err
	}
	return v.login.Redeem(ctx, bought)
}

// capacity returns how many passwords a second are accepted of clients who wait
// for their answers, twice as many as cores.
func (s *siege) capacity(ctx context.Context, span time.Duration) (float64, error) {
	var wg sync.WaitGroup
	var done atomic.Int64
	errs := make(chan error, 4)
	began := time.Now()
	for range cap(errs) {
		wg.Go(func() {
			for time.Since(began) < span {
				v, err := s.come(ctx)
				if err == nil {
					err = v.password(ctx)
				}
				if err != nil {
					errs <- err
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return 0, err
	default:
		return float64(done.Load()) / time.Since(began).Seconds(), nil
	}
}

// lay sends so many passwords a second, and everything else, as strangers come:
// each without regard to the others, now three at once and now nobody for a while
// (a Poisson process). At regular intervals half of what can be hashed would never
// meet another.
func (s *siege) lay(ctx context.Context, rate float64, span time.Duration) error {
	s.took, s.failures, s.first, s.in, s.refused = map[string][]time.Duration{}, map[string]int{}, nil, 0, 0
	// They are there before it begins, and those who were let in are replaced.
	for len(s.ready) < int(rate)+1 {
		v, err := s.come(ctx)
		if err != nil {
			return err
		}
		s.ready <- v
	}
	v := <-s.ready
	if err := v.password(ctx); err != nil {
		return err
	}
	mine, err := v.rest(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, span)
	defer cancel()
	var wg sync.WaitGroup
	every := func(rate float64, fn func()) {
		if rate == 0 {
			return
		}
		wg.Go(func() {
			for next := time.Now(); ; {
				next = next.Add(time.Duration(rand.ExpFloat64() / rate * float64(time.Second)))
				select {
				case <-ctx.Done():
					return
				case <-time.After(time.Until(next)):
					wg.Go(fn)
				}
			}
		})
	}
	slow := context.WithoutCancel(ctx) // what has begun is finished
	every(rate, func() { s.knock(slow) })
	refresh := make(chan fleet.Tokens, 1)
	refresh <- mine
	every(othersRate, func() {
		select {
		case t := <-refresh:
			s.time("refresh", func() (err error) {
				next, err := s.site.Refresh(slow, t.Refresh)
				if err == nil {
					t = next
				}
				return err
			})
			refresh <- t
		default: // the one before has not been answered
		}
	})
	every(othersRate, func() {
		s.time("userinfo", func() error {
			_, err := s.site.Call(slow, "", "/userinfo", nil, mine.Access)
			return err
		})
	})
	every(othersRate, func() {
		s.time("introspect", func() error {
			_, err := s.site.Call(slow, fleet.API, "/introspect", url.Values{"token": {mine.Access}}, "")
			return err
		})
	})
	wg.Wait()
	return nil
}

// time notes what fn took, or that it failed.
func (s *siege) time(what string, fn func() error) {
	began := time.Now()
	err := fn()
	took := time.Since(began)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.failures[what]++
		if s.first == nil {
			s.first = fmt.Errorf("%s: %w", what, err)
		}
		return
	}
	s.took[what] = append(s.took[what], took)
}

// knock has one visitor give their password, and go on if it is taken. Who is
// refused waits for their next turn.
func (s *siege) knock(ctx context.Context) {
	var v *visitor
	select {
	case v = <-s.ready:
	default:
		s.time("visitors", func() error { return errors.New("nobody was left to send a password") })
		return
	}
	began := time.Now()
	err := v.password(ctx)
	var a *fleet.Answer
	if errors.As(err, &a) && a.Status == http.StatusServiceUnavailable && a.RetryAfter != "" {
		s.mu.Lock()
		s.refused++
		s.took["refusal"] = append(s.took["refusal"], time.Since(began))
		s.mu.Unlock()
		s.ready <- v
		return
	}
	s.time("password", func() error { return err })
	if err != nil {
		return
	}
	s.mu.Lock()
	s.in++
	s.mu.Unlock()
	s.time("rest", func() error {
		_, err := v.rest(ctx)
		return err
	})
	s.time("begin", func() error {
		v, err := s.come(ctx)
		if err == nil {
			s.ready <- v
		}
		return err
	})
}
