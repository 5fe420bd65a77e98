package storage_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
	"github.com/sallyport-id/sallyport/storage"
	"github.com/sallyport-id/sallyport/test/fleet"
)

func TestWhatPassesIsUnavailableAndNothingElseIs(t *testing.T) {
	code := func(code string) error { return fmt.Errorf("storage: %w", &pgconn.PgError{Code: code}) }
	for _, is := range []struct {
		err    error
		passes bool
	}{
		{code("57P01"), true}, {code("57P02"), true}, {code("57P03"), true}, {code("57014"), true},
		{code("08006"), true}, {code("25006"), true}, {code("53300"), true}, {code("53100"), true},
		{code("40001"), true}, {code("40P01"), true}, {code("55P03"), true}, {code("58030"), true},
		{code("23505"), false}, {code("42P01"), false}, {code("22021"), false}, {code("57"), false}, {code(""), false},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, true},
		{fmt.Errorf("reading: %w", io.ErrUnexpectedEOF), true},
		{driver.ErrBadConn, true},
		{context.DeadlineExceeded, true},
		{context.Canceled, false},
		{provider.ErrNotFound, false}, {provider.ErrSpent, false}, {errors.New("another"), false},
	} {
		got := storage.Passes(is.err)
		if errors.Is(got, provider.ErrUnavailable) != is.passes || !errors.Is(got, is.err) {
			t.Errorf("%v becomes %v; unavailable: want %v", is.err, got, is.passes)
		}
	}
	if err := storage.Passes(nil); err != nil {
		t.Errorf("nothing becomes %v", err)
	}
}

// cuttable opens a database over a wire that can be cut.
func cuttable(t *testing.T) (*storage.DB, *fleet.Cut) {
	t.Helper()
	dsn := engines[1].dsn(t)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	wire, err := fleet.NewCut(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(wire.Close)
	if dsn, err = wire.DSN(dsn); err != nil {
		t.Fatal(err)
	}
	return open(t, storage.Config{DSN: dsn}), wire
}

// However many of the pool have gone: nobody who reads hears of it.
func TestConnectionsThatHaveGoneAreReplaced(t *testing.T) {
	d, wire := cuttable(t)
	const conns = 10
	for range 2 { // one that was not used for a second, or never, would be tried out
		var all, open sync.WaitGroup
		open.Add(conns)
		for range conns {
			all.Go(func() {
				err := d.Atomically(t.Context(), func(ctx context.Context) error {
					open.Done()
					open.Wait()
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	wire.Reset()
	for range conns {
		if _, err := d.Flow(t.Context(), "none"); !errors.Is(err, provider.ErrNotFound) {
			t.Errorf("got %v, want ErrNotFound", err)
		}
	}
}

// Who reads waits neither for a connection nor for an answer longer than they want.
func TestAReadEndsWithItsContext(t *testing.T) {
	d := open(t, storage.Config{DSN: engines[1].dsn(t), Conns: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := storage.ReadOne(ctx, d, "SELECT pg_sleep(20)::text"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for an answer: %v", err)
	}
	must(t, d.Atomically(t.Context(), func(context.Context) error {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := d.Flow(ctx, "none"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting for a connection: %v", err)
		}
		return nil
	}))
	if got := storage.InUse(d); got != 0 {
		t.Errorf("%d connections are in use", got)
	}
	func() {
		defer func() { _ = recover() }()
		_ = storage.ReadOne(t.Context(), d, "")
	}()
	if got := storage.InUse(d); got != 0 {
		t.Errorf("after a panic %d connections are in use", got)
	}
}

func TestACutConnectionIsUnavailableAndTheNextIsGood(t *testing.T) {
	d, wire := cuttable(t)
	for _, late := range []bool{false, true} {
		f := provider.Flow{ID: fmt.Sprint("flow ", late)}
		wire.Arm(1, map[bool]fleet.Moment{false: fleet.Commit, true: fleet.Committed}[late], nil)
		err := d.Atomically(t.Context(), func(ctx context.Context) error { return d.CreateFlow(ctx, f) })
		if !errors.Is(err, provider.ErrUnavailable) || wire.Disarm() == "" {
			t.Errorf("late: %v: %v, want ErrUnavailable", late, err)
		}
		if _, err := d.Flow(t.Context(), f.ID); late && err != nil || !late && !errors.Is(err, provider.ErrNotFound) {
			t.Errorf("late: %v: reading it: %v", late, err)
		}
	}
}

// A code that is spent, or a refresh token that is rotated, by a statement
// whose answer was lost is not one that was used before.
func TestASpendInDoubtIsMadeSureOf(t *testing.T) {
	d, wire := cuttable(t)
	now := time.Now().UTC().Truncate(time.Microsecond)
	then := now.Add(time.Hour)
	for _, late := range []bool{false, true} {
		g := provider.Grant{
			ID: fmt.Sprint("grant ", late), Subject: "ada", ClientID: "app", SessionID: "session", ACR: "mfa",
			Login: authflow.Login{Subject: "ada"}, Requested: now, Created: now, CodeExpires: then, Expires: then, Ends: then,
		}
		if err := d.CreateGrant(t.Context(), g); err != nil {
			t.Fatal(err)
		}
		for _, is := range []struct {
			what   string
			change func(now time.Time) error
		}{
			{"spending the code", func(now time.Time) error { return d.SpendCode(t.Context(), g.ID, 1, now, then) }},
			{"rotating the refresh token", func(now time.Time) error { return d.RotateGrant(t.Context(), g.ID, 1, now, then) }},
		} {
			wire.Arm(1, map[bool]fleet.Moment{false: fleet.Commit, true: fleet.Committed}[late], nil)
			err := is.change(now)
			if wire.Disarm() == "" {
				t.Fatalf("%s commits nothing", is.what)
			}
			if err != nil {
				t.Errorf("%s, late: %v: %v", is.what, late, err)
			}
			// Someone else's, a moment later, is a second use.
			err = is.change(now.Add(time.Microsecond))
			if !errors.Is(err, provider.ErrSpent) && !errors.Is(err, provider.ErrConflict) {
				t.Errorf("%s, late: %v: the second time: %v", is.what, late, err)
			}
		}
	}
}

func TestAServerThatTakesNoWritesIsRefused(t *testing.T) {
	dsn := engines[1].dsn(t)
	d, err := storage.Open(t.Context(), storage.Config{DSN: dsn + "?default_transaction_read_only=on"})
	if err == nil {
		d.Close()
		t.Fatal("it is opened")
	}
	if !strings.Contains(err.Error(), "takes no writes") || !strings.Contains(err.Error(), "name all hosts") {
		t.Errorf("it is refused without saying what to do: %v", err)
	}
	if !errors.Is(err, provider.ErrUnavailable) {
		t.Errorf("it is refused for good: %v", err)
	}
}

// A disk that is full is one that will have room again: nothing is half done,
// reading goes on, and so does writing when there is room.
func TestAFullDiskPasses(t *testing.T) {
	ctx := t.Context()
	d := open(t, storage.Config{DSN: engines[0].dsn(t)})
	must(t, d.CreateGrant(ctx, grant("before", noon)))
	pages := func(statement string) (n int) {
		t.Helper()
		if err := d.Write(ctx).Raw(statement).Row().Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	pages(fmt.Sprintf("PRAGMA max_page_count = %d", pages("PRAGMA page_count")))
	write := func(i int) error {
		return d.Atomically(ctx, func(ctx context.Context) error {
			id := fmt.Sprint("grant", i)
			return errors.Join(d.CreateGrant(ctx, grant(id, noon)), d.CreateFlow(ctx, flow(id, noon)))
		})
	}
	full := -1
	for i := range 1000 {
		if err := write(i); err != nil {
			if !errors.Is(err, provider.ErrUnavailable) {
				t.Fatalf("with a full disk: %v", err)
			}
			full = i
			break
		}
	}
	if full < 0 {
		t.Fatal("the disk is never full")
	}
	id := fmt.Sprint("grant", full)
	_, err1 := d.Grant(ctx, id)
	_, err2 := d.Flow(ctx, id)
	if !errors.Is(err1, provider.ErrNotFound) || !errors.Is(err2, provider.ErrNotFound) {
		t.Errorf("half of what failed is there: %v, %v", err1, err2)
	}
	if _, err := d.Grant(ctx, "before"); err != nil {
		t.Errorf("what is there cannot be read: %v", err)
	}
	pages("PRAGMA max_page_count = 1000000")
	must(t, write(full))
}
