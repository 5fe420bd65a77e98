package storage_test

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
	"github.com/sallyport-id/sallyport/storage/storagetest"
	"github.com/sallyport-id/sallyport/test/pg"
)

// engines are the databases that everything is tested with.
var engines = []struct {
	name string
	dsn  func(t testing.TB) string
}{
	{"sqlite", func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "idp.db") }},
	{"postgres", pg.DSN},
}

// each runs a test with every engine and an empty, migrated database.
func each(t *testing.T, test func(t *testing.T, d *storage.DB)) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			test(t, open(t, storage.Config{DSN: e.dsn(t)}))
		})
	}
}

// open opens a database and migrates it.
func open(t testing.TB, c storage.Config) *storage.DB {
	t.Helper()
	c.Migrate = true
	c.Trace = recorder.Trace
	d, err := storage.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// ST-2
func TestTheStoreKeepsItsPromises(t *testing.T) {
	each(t, func(t *testing.T, d *storage.DB) {
		for _, c := range storagetest.Clients() {
			must(t, d.AddClient(t.Context(), c))
		}
		storagetest.TestStore(t, func(*testing.T) provider.Store { return d })
		storagetest.TestFactorStore(t, func(*testing.T) mfa.Store { return d })
	})
}

// So it does where transactions are SERIALIZABLE, as a distributed engine has
// them: what loses against another is begun again.
func TestTheStoreKeepsItsPromisesAtSerializable(t *testing.T) {
	d := open(t, storage.Config{DSN: engines[1].dsn(t) + "?default_transaction_isolation=serializable"})
	var level string
	must(t, d.Read(t.Context()).Raw("SHOW transaction_isolation").Row().Scan(&level))
	if level != "serializable" {
		t.Fatalf("transactions are %s", level)
	}
	for _, c := range storagetest.Clients() {
		must(t, d.AddClient(t.Context(), c))
	}
	storagetest.TestStore(t, func(*testing.T) provider.Store { return d })
	storagetest.TestFactorStore(t, func(*testing.T) mfa.Store { return d })
}

func TestOfManyThatOpenANewFileAtOnceAllSucceed(t *testing.T) {
	for range 20 {
		dsn := "sqlite:" + filepath.Join(t.TempDir(), "idp.db")
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				d, err := storage.Open(t.Context(), storage.Config{DSN: dsn, AnySchema: true})
				if err != nil {
					t.Error(err)
					return
				}
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
}
