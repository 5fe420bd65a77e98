package storage_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/sallyport-id/sallyport/storage"
)

// OpenID Connect Core section 8.1: the same for ever, whoever asks first.
func TestThereIsOneSubjectKeyAndItStays(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			c := storage.Config{DSN: e.dsn(t)}
			d := open(t, c)
			var wg sync.WaitGroup
			keys := make([][]byte, 20)
			for i := range keys {
				wg.Go(func() {
					var err error
					if keys[i], err = d.SubjectKey(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			again, err := open(t, c).SubjectKey(t.Context())
			must(t, err)
			for _, k := range append(keys, again) {
				if len(k) != 32 || !bytes.Equal(k, keys[0]) || bytes.Equal(k, make([]byte, 32)) {
					t.Fatalf("got %x and %x", keys[0], k)
				}
			}
			other, err := open(t, storage.Config{DSN: e.dsn(t)}).SubjectKey(t.Context())
			must(t, err)
			if bytes.Equal(other, again) {
				t.Error("two databases have the same key")
			}
		})
	}
}

// What a transaction made may be undone, and people have been named by it.
func TestASubjectKeyIsNotMadeInATransaction(t *testing.T) {
	each(t, func(t *testing.T, d *storage.DB) {
		undo := errors.New("undo")
		err := d.Atomically(t.Context(), func(ctx context.Context) error {
			if k, err := d.SubjectKey(ctx); err == nil {
				t.Errorf("got %x", k)
			}
			return undo
		})
		if !errors.Is(err, undo) {
			t.Fatal(err)
		}
	})
}
