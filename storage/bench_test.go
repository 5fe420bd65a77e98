package storage_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"testing"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
	"github.com/sallyport-id/sallyport/storage"
	"github.com/sallyport-id/sallyport/test/pg"
)

// BenchmarkStore measures each operation, on PostgreSQL too if there is one.
func BenchmarkStore(b *testing.B) {
	for _, e := range engines {
		if e.name == "postgres" && os.Getenv(pg.Env) == "" {
			continue
		}
		b.Run(e.name, func(b *testing.B) {
			d := open(b, storage.Config{DSN: e.dsn(b)})
			for _, o := range operations {
				b.Run(o.name, func(b *testing.B) {
					op := o.prepare(b, d)
					b.ReportAllocs()
					for i := 0; b.Loop(); i++ {
						if err := op(b.Context(), i); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		})
	}
}

// An operation is prepared once, and then called with 0, 1, 2 …
type operation struct {
	name    string
	prepare func(b *testing.B, d *storage.DB) func(ctx context.Context, i int) error
}

var operations = []operation{
	{"Client", func(b *testing.B, d *storage.DB) func(context.Context, int) error {
		ready(b, d.SaveClient(b.Context(), newClient("app")))
		return func(ctx context.Context, _ int) error { _, err := d.Client(ctx, "app"); return err }
	}},
	{"CreateFlow", func(b *testing.B, d *storage.DB) func(context.Context, int) error {
		return func(ctx context.Context, _ int) error { return d.CreateFlow(ctx, flow(rand.Text(), noon)) }
	}},
	{"Flow", func(b *testing.B, d *storage.DB) func(context.Context, int) error {
		f := flow(rand.Text(), noon)
		ready(b, d.CreateFlow(b.Context(), f))
		return func(ctx context.Context, _ int) error { _, err := d.Flow(ctx, f.ID); return err }
	}},
	{"SaveFlow", func(b *testing.B, d *storage.DB) func(context.Context, int) error {
		f := flow(rand.Text(), noon)
		ready(b, d.CreateFlow(b.Context(), f))
		return func(ctx context.Context, i int) error {
			f.Version = int64(i) + 1
			return d.SaveFlow(ctx, f)
		}
	}},
	{"Session", func(b *testing.B, d *storage.DB) func(context.Context, int) error {
		s := session()
		ready(b, d.SaveSession(b.Context(), s))
		return func(ctx context.Context, _ int) error { _, err := d.Session(ctx, s.Cookie); return err }
	}},
	{"SaveSession", func(b *testing.B, d *storage.DB) func(context.Context, int) error {
		return func(ctx context.Context, _ int) error { return d.SaveSession(ctx, session()) }
	}},
	{"Consent", func(b *testing.B, d *storage.DB) func(context.Context, int) error {
		ready(b, d.SaveConsent(b.Context(), provider.Consent{Subject: "anna", ClientID: "app", Scopes: []string{"openid"}, Given: noon}))
		return func(ctx context.Context, _ int) error { _, err := d.Consent(ctx, "anna", "app"); return err }
	}},
	{"SaveConsent", func(b *testing.B, d *storage.DB) func(context.Context, int) error {
		return func(ctx context.Context, i int) error {
			return d.SaveConsent(ctx, provider.Consent{Subject: fmt.Sprint(i), ClientID: "app", Scopes: []string{"openid"}, Given: noon})
		}
	}},
	{"CreateGrant", func(b *testing.B, d *storage.DB) func(context.Context, int) error {
		return func(ctx context.Context, _ int) error { return d.CreateGrant(ctx, grant(rand.Text(), noon)) }
	}},
	{"Grant", func(b *testing.B, d *storage.DB) func(context.Context, int) error {
		g := grant(rand.Text(), noon)
		ready(b, d.CreateGrant(b.Context(), g))
		return func(ctx context.Context, _ int) error { _, err := d.Grant(ctx, g.ID); return err }
	}},
	{"CreateGrant, SpendCode", func(b *testing.B, d *storage.DB) func(context.Context, int) error {
		return func(ctx context.Context, _ int) error {
			g := grant(rand.Text(), noon)
			if err := d.CreateGrant(ctx, g); err != nil {
				return err
			}
			return d.SpendCode(ctx, g.ID, 1, noon, noon)
		}
	}},
	{"RotateGrant", func(b *testing.B, d *storage.DB) func(context.Context, int) error {
		g := grant(rand.Text(), noon)
		ready(b, d.CreateGrant(b.Context(), g))
		return func(ctx context.Context, i int) error { return d.RotateGrant(ctx, g.ID, int64(i), noon, noon) }
	}},
	{"RevokeGrant", func(b *testing.B, d *storage.DB) func(context.Context, int) error {
		return func(ctx context.Context, _ int) error { return d.RevokeGrant(ctx, "none", noon) }
	}},
	{"Record", func(b *testing.B, d *storage.DB) func(context.Context, int) error {
		return func(ctx context.Context, _ int) error {
			return d.Record(ctx, provider.Event{Time: noon, Kind: provider.EventSignIn, Subject: "anna"})
		}
	}},
	{"Activity", func(b *testing.B, d *storage.DB) func(context.Context, int) error {
		return func(ctx context.Context, _ int) error { _, err := d.Activity(ctx, "anna", 20); return err }
	}},
	{"Account", func(b *testing.B, d *storage.DB) func(context.Context, int) error {
		a := mfa.Account{Subject: rand.Text(), Secret: "k1.x"}
		ready(b, d.SaveAccount(b.Context(), a))
		return func(ctx context.Context, _ int) error { _, err := d.Account(ctx, a.Subject); return err }
	}},
	{"Account, SaveAccount in a transaction", func(b *testing.B, d *storage.DB) func(context.Context, int) error {
		anna := rand.Text()
		return func(ctx context.Context, _ int) error {
			return d.Atomically(ctx, func(ctx context.Context) error {
				a, err := d.Account(ctx, anna)
				if err != nil {
					return err
				}
				a.LastStep++
				return d.SaveAccount(ctx, a)
			})
		}
	}},
	{"Misses, SaveMisses in a transaction", func(b *testing.B, d *storage.DB) func(context.Context, int) error {
		key := rand.Text()
		return func(ctx context.Context, _ int) error {
			return d.Atomically(ctx, func(ctx context.Context) error {
				m, err := d.Misses(ctx, key)
				if err != nil {
					return err
				}
				m.Run++
				return d.SaveMisses(ctx, key, m, noon)
			})
		}
	}},
	{"RecoveryCode", func(b *testing.B, d *storage.DB) func(context.Context, int) error {
		ready(b, d.ReplaceRecoveryCodes(b.Context(), "anna", []mfa.RecoveryCode{{Selector: "a", Hash: "h"}}))
		return func(ctx context.Context, _ int) error { _, err := d.RecoveryCode(ctx, "anna", "a"); return err }
	}},
	{"ReplaceRecoveryCodes", func(b *testing.B, d *storage.DB) func(context.Context, int) error {
		var codes []mfa.RecoveryCode
		for i := range 10 {
			codes = append(codes, mfa.RecoveryCode{Selector: fmt.Sprint(i), Hash: "h"})
		}
		return func(ctx context.Context, _ int) error { return d.ReplaceRecoveryCodes(ctx, "bert", codes) }
	}},
	{"Sweep of nothing", func(b *testing.B, d *storage.DB) func(context.Context, int) error {
		return func(ctx context.Context, _ int) error {
			_, err := d.Sweep(ctx, noon.AddDate(-10, 0, 0), 100)
			return err
		}
	}},
}

func session() provider.Session {
	s := provider.Session{ID: rand.Text(), Login: authflow.Login{Subject: "anna"}, Created: noon, Used: noon, Expires: noon}
	_, _ = rand.Read(s.Cookie[:]) // never fails
	return s
}

func ready(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
