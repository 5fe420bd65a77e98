package storage_test

import (
	"context"
	"errors"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
	"github.com/sallyport-id/sallyport/storage"
	"github.com/sallyport-id/sallyport/storage/password"
)

// A guest has a flow and a grant, and everything that is read beside them.
type guest struct {
	*storage.DB
	users   *storage.Users
	subject string
	asked   atomic.Int64 // statements
}

// withGuest runs a test with every engine and a guest.
func withGuest(t *testing.T, test func(t *testing.T, g *guest)) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			g := &guest{}
			d, err := storage.Open(t.Context(), storage.Config{DSN: e.dsn(t), Migrate: true, Trace: func(s string) {
				recorder.Trace(s)
				g.asked.Add(1)
			}})
			must(t, err)
			t.Cleanup(func() { must(t, d.Close()) })
			g.DB, g.users = d, d.Users(hasher(t, password.Config{}))
			anna, err := g.users.Add(t.Context(), storage.NewUser{
				Username: "Anna", Password: goodPassword, Claims: provider.Claims{Name: "Anna Berg", Groups: []string{"staff"}},
			})
			must(t, err)
			g.subject = anna.Subject
			g.has(t, anna.Subject)
			for _, client := range []string{"another", "app", "third"} {
				must(t, d.SaveConsent(t.Context(), provider.Consent{Subject: g.subject, ClientID: client, Scopes: []string{client}, Given: time.Now()}))
			}
			must(t, d.SaveAccount(t.Context(), mfa.Account{
				Subject: g.subject, Epoch: 4, Secret: "k1.c2VjcmV0", Params: mfa.Params{Algorithm: "SHA256", Digits: 8, Period: 30}, LastStep: 1 << 40,
				Enrolled: time.UnixMicro(7), Had: true, Ticket: make([]byte, 32), Misses: mfa.Misses{Times: []time.Time{time.UnixMicro(9)}, Run: 2},
			}))
			must(t, d.ReplaceRecoveryCodes(t.Context(), g.subject, []mfa.RecoveryCode{{Selector: "a", Hash: "h"}, {Selector: "b", Hash: "h"}}))
			test(t, g)
		})
	}
}

// has gives subject a flow and a grant, of its own name.
func (g *guest) has(t *testing.T, subject string) {
	t.Helper()
	login := authflow.Login{Subject: subject, Epoch: "1"}
	must(t, g.CreateFlow(t.Context(), provider.Flow{
		ID: subject, ClientID: "app", Request: "x=y", State: authflow.Flow{Login: login}, Expires: time.Now().Add(time.Hour),
	}))
	must(t, g.CreateGrant(t.Context(), provider.Grant{ID: subject, Subject: subject, ClientID: "app", Login: login, Expires: time.Now().Add(time.Hour)}))
}

// request begins one, which is over when the test is.
func (g *guest) request(t *testing.T) context.Context {
	ctx, done := g.Prefetch(t.Context())
	t.Cleanup(done)
	return ctx
}

// beside is what can be read beside a flow, and how it changes; of a grant consent
// is a part.
var beside = []struct {
	name   string
	read   func(ctx context.Context, g *guest, subject string) (any, error)
	change func(ctx context.Context, g *guest) error
}{
	{"user", func(ctx context.Context, g *guest, subject string) (any, error) { return g.users.User(ctx, subject) },
		func(ctx context.Context, g *guest) error { return g.users.EndEverything(ctx, g.subject) }},
	{"factors", func(ctx context.Context, g *guest, subject string) (any, error) { return g.Account(ctx, subject) },
		func(ctx context.Context, g *guest) error {
			a, err := g.Account(ctx, g.subject)
			a.Epoch++
			return errors.Join(err, g.SaveAccount(ctx, a))
		}},
	{"consent", func(ctx context.Context, g *guest, subject string) (any, error) {
		return g.Consent(ctx, subject, "app")
	}, func(ctx context.Context, g *guest) error {
		return g.SaveConsent(ctx, provider.Consent{Subject: g.subject, ClientID: "app", Scopes: []string{"more"}, Given: time.Now()})
	}},
}

// fetches are what brings the others with it.
var fetches = map[string]func(ctx context.Context, g *guest, id string) error{
	"flow":  func(ctx context.Context, g *guest, id string) error { _, err := g.Flow(ctx, id); return err },
	"grant": func(ctx context.Context, g *guest, id string) error { _, err := g.Grant(ctx, id); return err },
}

func TestWhatIsPrefetchedIsWhatIsRead(t *testing.T) {
	withGuest(t, func(t *testing.T, g *guest) {
		g.has(t, "nobody")
		for name, fetch := range fetches {
			for _, subject := range []string{g.subject, "nobody"} {
				ctx := g.request(t)
				must(t, fetch(ctx, g, subject))
				for _, b := range beside {
					if name == "grant" && b.name == "consent" {
						continue
					}
					before := g.asked.Load()
					got, err := b.read(ctx, g, subject)
					if n := g.asked.Load() - before; n != 0 {
						t.Errorf("%s beside a %s took %d statements", b.name, name, n)
					}
					want, wantErr := b.read(t.Context(), g, subject)
					if !reflect.DeepEqual(got, want) || errors.Is(err, provider.ErrNoUser) != errors.Is(wantErr, provider.ErrNoUser) || (err == nil) != (wantErr == nil) {
						t.Errorf("%s beside a %s: got %+v, %v, want %+v, %v", b.name, name, got, err, want, wantErr)
					}
				}
			}
		}
	})
}

// What was prefetched answers one question, and none after the request has changed
// something, or ended a transaction.
func TestWhatIsPrefetchedIsNeverOld(t *testing.T) {
	other := func(ctx context.Context, g *guest) error {
		return g.CreateFlow(ctx, provider.Flow{ID: time.Now().String(), Expires: time.Now()})
	}
	withGuest(t, func(t *testing.T, g *guest) {
		for name, fetch := range fetches {
			for _, b := range beside {
				if name == "grant" && b.name == "consent" {
					continue
				}
				// read reads with ctx what someone else has changed meanwhile.
				read := func(ctx context.Context, how string) {
					t.Helper()
					got, err := b.read(ctx, g, g.subject)
					must(t, err)
					want, err := b.read(t.Context(), g, g.subject)
					must(t, err)
					if !reflect.DeepEqual(got, want) {
						t.Errorf("%s beside a %s, %s: got %+v, want %+v", b.name, name, how, got, want)
					}
				}
				change := func() { t.Helper(); must(t, b.change(t.Context(), g)) }

				ctx := g.request(t)
				must(t, fetch(ctx, g, g.subject))
				_, err := b.read(ctx, g, g.subject)
				must(t, err)
				change()
				read(ctx, "asked again")

				must(t, fetch(ctx, g, g.subject))
				change()
				must(t, other(ctx, g))
				read(ctx, "after a change")

				must(t, fetch(ctx, g, g.subject))
				change()
				must(t, g.Atomically(ctx, func(context.Context) error { return nil }))
				read(ctx, "after a transaction")

				must(t, g.Atomically(ctx, func(context.Context) error { return fetch(ctx, g, g.subject) }))
				change()
				read(ctx, "after a transaction beside which it was read")

				must(t, fetch(ctx, g, g.subject))
				change()
				read(g.request(t), "by another request")

				ctx, done := g.Prefetch(t.Context())
				must(t, fetch(ctx, g, g.subject))
				change()
				done()
				read(context.WithoutCancel(ctx), "after the request")
				must(t, fetch(ctx, g, g.subject))
				change()
				read(ctx, "after the request, and another fetch")
			}
		}
	})
}

// A grant is there to be revoked, though its user cannot be read.
func TestWhatCannotBePrefetchedKeepsNothingBack(t *testing.T) {
	withGuest(t, func(t *testing.T, g *guest) {
		must(t, g.Write(t.Context()).Exec("UPDATE users SET claims = '[]' WHERE subject = ?", g.subject).Error)
		for name, fetch := range fetches {
			ctx := g.request(t)
			if err := fetch(ctx, g, g.subject); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := g.users.User(ctx, g.subject); err == nil {
				t.Errorf("beside a %s the user is read", name)
			}
		}
	})
}

// A transaction that reads an account has it for itself, whatever it read before.
func TestInATransactionNothingIsPrefetched(t *testing.T) {
	withGuest(t, func(t *testing.T, g *guest) {
		must(t, g.Atomically(g.request(t), func(ctx context.Context) error {
			for name, fetch := range fetches {
				if err := fetch(ctx, g, g.subject); err != nil {
					return err
				}
				for _, b := range beside {
					before := g.asked.Load()
					if _, err := b.read(ctx, g, g.subject); err != nil {
						return err
					}
					if n := g.asked.Load() - before; n != 1 {
						t.Errorf("%s after a %s took %d statements, want 1", b.name, name, n)
					}
				}
			}
			return nil
		}))
	})
}
