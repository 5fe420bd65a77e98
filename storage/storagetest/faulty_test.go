package storagetest_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
	"github.com/sallyport-id/sallyport/storage/storagetest"
)

func open(t *testing.T) *storage.DB {
	t.Helper()
	d, err := storage.Open(t.Context(), storage.Config{DSN: filepath.Join(t.TempDir(), "idp.db"), AnySchema: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAStoreWithoutAFaultIsTheStoreItself(t *testing.T) {
	d := open(t)
	for _, c := range storagetest.Clients() {
		if err := d.AddClient(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	s := storagetest.Faulty(d, storagetest.Fault{})
	storagetest.TestStore(t, func(*testing.T) provider.Store { return s })
	storagetest.TestFactorStore(t, func(*testing.T) mfa.Store { return s })
}

// story writes two things together, one within the other, and one after them.
func story(ctx context.Context, s storagetest.Store) error {
	err := s.Atomically(ctx, func(ctx context.Context) error {
		if err := s.CreateFlow(ctx, provider.Flow{ID: "f"}); err != nil {
			return err
		}
		return s.Atomically(ctx, func(ctx context.Context) error {
			return s.SaveAccount(ctx, mfa.Account{Subject: "anna"})
		})
	})
	if err != nil {
		return err
	}
	return s.SaveMisses(ctx, "anna", mfa.Misses{Run: 1}, provider.Flow{}.Expires)
}

func TestOneCallFailsBeforeOrAfterItHappened(t *testing.T) { // PA-12
	whole := storagetest.Faulty(open(t), storagetest.Fault{})
	if err := story(t.Context(), whole); err != nil {
		t.Fatal(err)
	}
	calls := whole.Calls()
	if want := []string{"begin", "CreateFlow", "SaveAccount", "commit", "SaveMisses"}; !slices.Equal(calls, want) {
		t.Fatalf("got calls %q, want %q", calls, want)
	}
	for i, name := range calls {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, after: %t", name, after), func(t *testing.T) {
				d := open(t)
				s := storagetest.Faulty(d, storagetest.Fault{Call: i + 1, After: after})
				if err := story(t.Context(), s); !errors.Is(err, storagetest.ErrFault) {
					t.Fatalf("got %v, want ErrFault", err)
				}
				wrote := name == "commit" && after || name == "SaveMisses"
				_, err := d.Flow(t.Context(), "f")
				a, err2 := d.Account(t.Context(), "anna")
				if (err == nil) != wrote || (a.Version == 1) != wrote || err2 != nil {
					t.Errorf("flow: %v, account: %+v, want both there: %t", err, a, wrote)
				}
				m, err := d.Misses(t.Context(), "anna")
				if want := name == "SaveMisses" && after; (m.Run == 1) != want || err != nil {
					t.Errorf("misses: %+v, %v, want them there: %t", m, err, want)
				}
			})
		}
	}
}
