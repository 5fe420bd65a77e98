package test

import (
	"context"
	"net/http"
	"testing"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
)

// An attentive store notes whether it may read more than it is asked for.
type attentive struct {
	*storage.DB
	may, mayNot, done int
}

type inAdvance struct{}

// Prefetch implements provider.Prefetcher.
func (a *attentive) Prefetch(ctx context.Context) (context.Context, func()) {
	ctx, done := a.DB.Prefetch(ctx)
	return context.WithValue(ctx, inAdvance{}, true), func() { a.done++; done() }
}

// Grant implements provider.Store.
func (a *attentive) Grant(ctx context.Context, id string) (provider.Grant, error) {
	if ctx.Value(inAdvance{}) != nil {
		a.may++
	} else {
		a.mayNot++
	}
	return a.DB.Grant(ctx, id)
}

// A store may read along what a request is about to ask.
func TestARequestMayBePrefetched(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		a := &attentive{}
		s := newDesk(t, dsn, plan{store: func(d *storage.DB) (provider.Store, mfa.Store) { a.DB = d; return a, d }})
		s.register(api)
		token := s.tokens(offline()).text(t, "access_token")
		a.may, a.mayNot, a.done = 0, 0, 0
		if i := s.inspect(token); i.status != http.StatusOK {
			t.Errorf("introspection answers %s", i.says())
		}
		if a.may != 1 || a.mayNot != 0 || a.done != 1 {
			t.Errorf("of the grants it read %d in advance and %d not, and was done %d times, want 1, 0 and 1", a.may, a.mayNot, a.done)
		}
	})
}
