// Package storagetest says of a store whether it keeps what package provider
// and package mfa rely on. Every implementation should pass it, races and all:
//
//	func TestMyStore(t *testing.T) {
//		storagetest.TestStore(t, func(t *testing.T) provider.Store { return open(t) })
//		storagetest.TestFactorStore(t, func(t *testing.T) mfa.Store { return open(t) })
//	}
//
// It also has Faulty, which fails at a chosen call, for tests of what stands
// upon a store.
package storagetest

import (
	"context"
	"crypto/rand"
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

// TestStore tests the store that open returns, which need not be empty, and in
// which Clients are registered. open is called once.
func TestStore(t *testing.T, open func(t *testing.T) provider.Store) {
	s := open(t)
	for _, part := range []struct {
		name  string
		cases []storeCase
	}{
		{"flow", flowCases},
		{"pushed", pushedCases},
		{"session", sessionCases},
		{"consent", consentCases},
		{"grant", grantCases},
		{"assertion", assertionCases},
		{"rate", rateCases},
		{"logout", logoutCases},
		{"event", eventCases},
		{"atomically", atomicCases},
	} {
		t.Run(part.name, func(t *testing.T) {
			for _, c := range part.cases {
				t.Run(c.says, func(t *testing.T) { c.test(t, s) })
			}
		})
	}
}

// TestFactorStore tests the store of second factors that open returns, which
// need not be empty. open is called once.
func TestFactorStore(t *testing.T, open func(t *testing.T) mfa.Store) {
	s := open(t)
	for _, c := range factorCases {
		t.Run(c.says, func(t *testing.T) { c.test(t, s) })
	}
}

type storeCase struct {
	says string
	test func(t *testing.T, s provider.Store)
}

type factorCase struct {
	says string
	test func(t *testing.T, s mfa.Store)
}

// racers is how many do the same thing at the same time.
const racers = 50

// errUndo makes Atomically undo.
var errUndo = errors.New("storagetest: undo")

// at is a time with every microsecond used, a little later for each n.
func at(n int) time.Time {
	return time.Date(2026, 11, 22, 17, 5, 9, 123457000, time.UTC).Add(time.Duration(n) * time.Second)
}

func hash() (h provider.Hash) {
	_, _ = rand.Read(h[:]) // never fails
	return h
}

func login(subject string) authflow.Login {
	return authflow.Login{
		Subject: subject,
		Epoch:   "7.2",
		Proofs:  authflow.Proofs{authflow.Password: at(1), authflow.OTP: at(2)},
	}
}

// done stops the test if err is one.
func done(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// value is done for what comes with a value.
func value[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		done(t, err)
		return v
	}
}

func refused(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

// race calls f from many goroutines at once and returns what each returned.
func race(f func(i int) error) []error {
	errs := make([]error, racers)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	all.Wait()
	return errs
}

// one tests that exactly one of errs is nil and every other is lost. It
// returns who won.
func one(t *testing.T, what string, errs []error, lost error) (winner int) {
	t.Helper()
	winner = -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			t.Errorf("%s: both %d and %d succeeded, want one", what, winner, i)
		case err == nil:
			winner = i
		case !errors.Is(err, lost):
			t.Errorf("%s: got error %v, want %v", what, err, lost)
		}
	}
	if winner < 0 {
		t.Fatalf("%s: none succeeded, want one", what)
	}
	return winner
}

// undone calls fn in a transaction that is undone.
func undone(t *testing.T, s interface {
	Atomically(context.Context, func(context.Context) error) error
}, fn func(ctx context.Context) error) {
	t.Helper()
	err := s.Atomically(t.Context(), func(ctx context.Context) error {
		if err := fn(ctx); err != nil {
			return err
		}
		return errUndo
	})
	refused(t, "the error of the function", err, errUndo)
}
