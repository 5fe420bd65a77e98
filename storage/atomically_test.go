package storage_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
)

// fail makes the database fail as it does when a transaction lost.
func fail(ctx context.Context, d *storage.DB, code string) error {
	return d.Write(ctx).Exec("DO $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '" + code + "'; END $$").Error
}

// ST-3
func TestATransactionThatLostIsBegunAgain(t *testing.T) {
	d := open(t, storage.Config{DSN: engines[1].dsn(t)})
	for _, code := range []string{"40001", "40P01"} {
		calls := 0
		err := d.Atomically(t.Context(), func(ctx context.Context) error {
			calls++
			if err := d.CreateFlow(ctx, provider.Flow{ID: code}); err != nil {
				return err
			}
			if calls < 3 {
				return fail(ctx, d, code)
			}
			return nil
		})
		if err != nil || calls != 3 {
			t.Errorf("%s: got %v after %d calls, want none after 3", code, err, calls)
		}
	}
}

func TestATransactionIsNotBegunAgainForEver(t *testing.T) {
	d := open(t, storage.Config{DSN: engines[1].dsn(t)})
	for code, want := range map[string]int{"40001": 1 + storage.Retries, "23514": 1} {
		calls := 0
		err := d.Atomically(t.Context(), func(ctx context.Context) error {
			calls++
			return fail(ctx, d, code)
		})
		if err == nil || calls != want {
			t.Errorf("%s: got %v after %d calls, want an error after %d", code, err, calls, want)
		}
	}
	// Nor when nobody waits for it any more.
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	err := d.Atomically(ctx, func(ctx context.Context) error {
		calls++
		defer cancel()
		return fail(ctx, d, "40001")
	})
	if err == nil || calls != 1 {
		t.Errorf("cancelled: got %v after %d calls, want an error after 1", err, calls)
	}
}

// ST-3
func TestADeadlockEndsWellForBoth(t *testing.T) {
	d := open(t, storage.Config{DSN: engines[1].dsn(t)})
	var both sync.WaitGroup
	both.Add(2)
	var all sync.WaitGroup
	for _, order := range [][2]string{{"anna", "bert"}, {"bert", "anna"}} {
		all.Go(func() {
			met := false
			err := d.Atomically(t.Context(), func(ctx context.Context) error {
				for i, subject := range order {
					if i == 1 && !met {
						// Each holds what the other wants.
						met = true
						both.Done()
						both.Wait()
					}
					a, err := d.Account(ctx, subject)
					if err != nil {
						return err
					}
					a.LastStep++
					if err := d.SaveAccount(ctx, a); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, subject := range []string{"anna", "bert"} {
		if a, err := d.Account(t.Context(), subject); err != nil || a.LastStep != 2 {
			t.Errorf("%s: got %d, %v, want 2", subject, a.LastStep, err)
		}
	}
}

func TestAFailedCommitLeavesNoHalfTransactionBehind(t *testing.T) {
	each(t, func(t *testing.T, d *storage.DB) {
		for _, statement := range []string{
			"CREATE TABLE parent (id BIGINT PRIMARY KEY)",
			"CREATE TABLE child (id BIGINT REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
		} {
			if err := d.Write(t.Context()).Exec(statement).Error; err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			before := d.Stats().Commits
			err := d.Atomically(t.Context(), func(ctx context.Context) error {
				return d.Write(ctx).Exec("INSERT INTO child VALUES (1)").Error
			})
			if err == nil {
				t.Fatal("the commit did not fail; the test tests nothing")
			}
			if got := d.Stats().Commits; got != before {
				t.Errorf("it was counted as a commit")
			}
		}
		if err := d.CreateFlow(t.Context(), provider.Flow{ID: "f"}); err != nil {
			t.Fatal(err)
		}
		var left int64
		if err := d.Read(t.Context()).Table("child").Count(&left).Error; err != nil || left != 0 {
			t.Errorf("got %d rows left, %v, want none", left, err)
		}
		if _, err := d.Flow(t.Context(), "f"); err != nil {
			t.Errorf("what was written after it: %v", err)
		}
	})
}

func TestTwoDatabasesDoNotShareATransaction(t *testing.T) {
	one, other := open(t, storage.Config{DSN: engines[0].dsn(t)}), open(t, storage.Config{DSN: engines[0].dsn(t)})
	undo := errors.New("undo")
	err := one.Atomically(t.Context(), func(ctx context.Context) error {
		return errors.Join(one.CreateFlow(ctx, provider.Flow{ID: "f"}), other.CreateFlow(ctx, provider.Flow{ID: "f"}), undo)
	})
	if err == nil || err.Error() != "undo" {
		t.Fatal(err)
	}
	if _, err := one.Flow(t.Context(), "f"); !errors.Is(err, provider.ErrNotFound) {
		t.Errorf("in the first: got %v, want ErrNotFound", err)
	}
	if _, err := other.Flow(t.Context(), "f"); err != nil {
		t.Errorf("in the other: %v", err)
	}
}

// Endpoints are held to a number of commits by this counter.
func TestCommitsAreCounted(t *testing.T) {
	each(t, func(t *testing.T, d *storage.DB) {
		g := provider.Grant{ID: "g", ClientID: "app"}
		g.Subject, g.Login.Subject = "anna", "anna"
		for _, c := range []struct {
			does string
			want int64
			do   func(ctx context.Context) error
		}{
			{"a write", 1, func(ctx context.Context) error { return d.CreateGrant(ctx, g) }},
			{"a read", 0, func(ctx context.Context) error { _, err := d.Grant(ctx, "g"); return err }},
			{"an update", 1, func(ctx context.Context) error { return d.RotateGrant(ctx, "g", 0, g.Expires, g.Expires) }},
			{"an update of nothing", 0, func(ctx context.Context) error {
				_ = d.RotateGrant(ctx, "g", 0, g.Expires, g.Expires)
				return nil
			}},
			{"a statement of three writes", 1, func(ctx context.Context) error {
				return d.ReplaceRecoveryCodes(ctx, "anna", []mfa.RecoveryCode{{Selector: "a", Hash: "h"}, {Selector: "b", Hash: "h"}, {Selector: "c", Hash: "h"}})
			}},
			{"a transaction of three, one of them within", 1, func(ctx context.Context) error {
				return d.Atomically(ctx, func(ctx context.Context) error {
					return errors.Join(
						d.CreateFlow(ctx, provider.Flow{ID: "f"}),
						d.SaveConsent(ctx, provider.Consent{Subject: "anna", ClientID: "app", Scopes: []string{"openid"}}),
						d.Atomically(ctx, func(ctx context.Context) error { return d.Record(ctx, provider.Event{Kind: "x"}) }))
				})
			}},
			{"a transaction that reads", 0, func(ctx context.Context) error {
				return d.Atomically(ctx, func(ctx context.Context) error { _, err := d.Flow(ctx, "f"); return err })
			}},
			{"a transaction that is undone", 0, func(ctx context.Context) error {
				_ = d.Atomically(ctx, func(ctx context.Context) error {
					return errors.Join(d.CreateFlow(ctx, provider.Flow{ID: "f2"}), errors.New("undo"))
				})
				return nil
			}},
			{"a sweep of nothing", 0, func(ctx context.Context) error {
				_, err := d.Sweep(ctx, provider.Flow{}.Expires, 10)
				return err
			}},
		} {
			before := d.Stats().Commits
			if err := c.do(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := d.Stats().Commits - before; got != c.want {
				t.Errorf("%s: got %d commits, want %d", c.does, got, c.want)
			}
		}
	})
}

// A browser that hangs up must not cost the one connection that writes.
func TestACancelledTransactionLeavesTheWriterAlone(t *testing.T) {
	d := open(t, storage.Config{DSN: engines[0].dsn(t)})
	must(t, d.Write(t.Context()).Exec("CREATE TEMP TABLE mine (id INTEGER)").Error) // gone with its connection
	ctx, cancel := context.WithCancel(t.Context())
	err := d.Atomically(ctx, func(ctx context.Context) error {
		must(t, d.CreateFlow(ctx, provider.Flow{ID: "f"}))
		cancel()
		// Whoever watches the context has time to notice.
		for range 100 {
			if _, err := d.Flow(context.WithoutCancel(ctx), "f"); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if err := d.Write(t.Context()).Exec("INSERT INTO mine VALUES (1)").Error; err != nil {
		t.Errorf("it is another connection now: %v", err)
	}
	if n := rows(t, d, "flows"); n != 0 {
		t.Errorf("%d flows were written, want none", n)
	}
}

// A command beside a running server: both read and then write.
func TestTwoProcessesTakeTurns(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) { twoProcesses(t, e.dsn(t)) })
	}
}

func twoProcesses(t *testing.T, dsn string) {
	d, other := open(t, storage.Config{DSN: dsn}), open(t, storage.Config{DSN: dsn})
	must(t, d.CreateFlow(t.Context(), provider.Flow{ID: "f"}))
	const times = 25
	var all sync.WaitGroup
	for _, d := range []*storage.DB{d, other} {
		all.Go(func() {
			for range times {
				err := d.Atomically(t.Context(), func(ctx context.Context) error {
					f, err := d.Flow(ctx, "f")
					if err != nil {
						return err
					}
					f.State.Misses++
					return d.SaveFlow(ctx, f)
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if f, err := other.Flow(t.Context(), "f"); err != nil || f.State.Misses != 2*times {
		t.Errorf("got %d, %v, want %d", f.State.Misses, err, 2*times)
	}
}

// A statement that waits, within a transaction, ends with its context: nobody waits
// for a PostgreSQL that does not answer.
func TestAStatementInATransactionEndsWithItsContext(t *testing.T) {
	d := open(t, storage.Config{DSN: engines[1].dsn(t)})
	const wait = "SELECT pg_sleep(20)"
	for name, do := range map[string]func(*gorm.DB) error{
		"exec":  func(g *gorm.DB) error { return g.Exec(wait).Error },
		"query": func(g *gorm.DB) error { var nothing string; return g.Raw(wait).Row().Scan(&nothing) },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var ended error
		_ = d.Atomically(ctx, func(ctx context.Context) error {
			ended = do(d.Write(ctx))
			return ended
		})
		if ended == nil {
			t.Errorf("%s: it was waited for to the end", name)
		}
	}
	must(t, d.Ping(t.Context()))
}
