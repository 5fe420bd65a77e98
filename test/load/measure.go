package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport-id/sallyport/test/fleet"
)

// An operation is one kind of thing that is asked of the server. begin makes
// what one client repeats; what it needs first is not measured.
type operation struct {
	name  string
	begin func(ctx context.Context, d *driver) (repeat func() error, err error)
}

// A driver is one client at work.
type driver struct {
	fleet.Site
	crowd *fleet.Crowd
}

func (d *driver) signedIn(ctx context.Context) (fleet.Tokens, error) {
	user, code, err := d.crowd.Take(ctx)
	if err != nil {
		return fleet.Tokens{}, err
	}
	return d.Login(ctx, user, code)
}

// fetch repeats a request that depends on nothing.
func fetch(client, path string, v url.Values) func(context.Context, *driver) (func() error, error) {
	return func(ctx context.Context, d *driver) (func() error, error) {
		return func() error {
			_, err := d.Call(ctx, client, path, v, "")
			return err
		}, nil
	}
}

var operations = []operation{
	{"discovery", fetch("", "/.well-known/openid-configuration", nil)},
	{"keys", fetch("", "/jwks.json", nil)},
	{"client credentials", fetch(fleet.App, "/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"profile"}})},
	{"introspect", func(ctx context.Context, d *driver) (func() error, error) {
		t, err := d.signedIn(ctx)
		return func() error {
			_, err := d.Call(ctx, fleet.API, "/introspect", url.Values{"token": {t.Access}}, "")
			return err
		}, err
	}},
	{"userinfo", func(ctx context.Context, d *driver) (func() error, error) {
		t, err := d.signedIn(ctx)
		return func() error {
			_, err := d.Call(ctx, "", "/userinfo", nil, t.Access)
			return err
		}, err
	}},
	{"refresh", func(ctx context.Context, d *driver) (func() error, error) {
		t, err := d.signedIn(ctx)
		return func() (err error) {
			t, err = d.Refresh(ctx, t.Refresh)
			return err
		}, err
	}},
	{"login", func(ctx context.Context, d *driver) (func() error, error) {
		return func() error {
			_, err := d.signedIn(ctx)
			return err
		}, nil
	}},
}

// A row is what an operation came to.
type row struct {
	database, operation string
	clients             int
	rate                float64 // a second
	p50, p95, p99       time.Duration
	cpu                 time.Duration // of the server, for one
	errors              int
}

func (r row) String() string {
	ms := func(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d.Microseconds())/1000) }
	return fmt.Sprintf("| %s | %d | %.0f | %s | %s | %s | %s | %d |",
		r.operation, r.clients, r.rate, ms(r.p50), ms(r.p95), ms(r.p99), ms(r.cpu), r.errors)
}

// measure has n clients repeat o for as long as the plan says, or for logins
// until every user has had theirs.
func (p plan) measure(ctx context.Context, s *fleet.Replica, c *fleet.Crowd, o operation, n int) (row, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: n, MaxConnsPerHost: n}
	defer transport.CloseIdleConnections()
	repeat := make([]func() error, n)
	for i := range repeat {
		var err error
		if repeat[i], err = o.begin(ctx, &driver{fleet.Site{Issuer: s.URL, Transport: transport}, c}); err != nil {
			return row{}, err
		}
	}
	most := int64(1 << 40)
	if o.name == "login" {
		most = int64(p.users) // no user waits for the clock
	}
	var (
		wg     sync.WaitGroup
		begun  atomic.Int64
		failed atomic.Int64
		first  atomic.Pointer[error]
		took   = make([][]time.Duration, n)
	)
	before, began := s.CPU(), time.Now()
	for i := range n {
		wg.Go(func() {
			for time.Since(began) < p.span && ctx.Err() == nil && begun.Add(1) <= most {
				at := time.Now()
				if err := repeat[i](); err != nil {
					failed.Add(1)
					first.CompareAndSwap(nil, &err)
					return
				}
				took[i] = append(took[i], time.Since(at))
			}
		})
	}
	wg.Wait()
	span, spent := time.Since(began), s.CPU()-before
	all := slices.Concat(took...)
	slices.Sort(all)
	if err := ctx.Err(); err != nil {
		return row{}, err
	}
	if len(all) == 0 {
		err := errors.New("nothing was done")
		if e := first.Load(); e != nil {
			err = *e
		}
		return row{}, err
	}
	if e := first.Load(); e != nil {
		fmt.Printf("first error: %v\n", *e)
	}
	at := func(share float64) time.Duration { return all[min(len(all)-1, int(share*float64(len(all))))] }
	return row{
		operation: o.name, clients: n, rate: float64(len(all)) / span.Seconds(),
		p50: at(.50), p95: at(.95), p99: at(.99), cpu: spent / time.Duration(len(all)), errors: int(failed.Load()),
	}, nil
}
