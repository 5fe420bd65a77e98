package test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/test/pg"
)

// BenchmarkIntrospect and BenchmarkRevoke measure whole requests through the
// handler, on PostgreSQL too if there is one.
func BenchmarkIntrospect(b *testing.B) {
	desks(b, func(b *testing.B, s *stage) {
		tokens, opaque := s.bought(webClient), s.bought(opaqueClient)
		for _, is := range []struct{ name, token string }{
			{"JWT", tokens.text(b, "access_token")},
			{"opaque", opaque.text(b, "access_token")},
			{"service", s.bought(service).text(b, "access_token")},
			{"junk", "junk"},
		} {
			b.Run(is.name, func(b *testing.B) {
				b.ReportAllocs()
				(&bench{stage: s, b: b}).loop(func() {
					if a := s.inspect(is.token); a.status != http.StatusOK {
						b.Fatal(a.says())
					}
				})
			})
		}
	})
}

func BenchmarkRevoke(b *testing.B) {
	desks(b, func(b *testing.B, s *stage) {
		b.Run("junk", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.giveBack(webClient, "junk")
			}
		})
		b.Run("refresh token", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				token := s.bought(webClient).text(b, "refresh_token")
				b.StartTimer()
				if a := s.as(webClient, "/revoke", url.Values{"token": {token}}); a.status != http.StatusOK {
					b.Fatal(a.says())
				}
			}
		})
	})
}

// desks runs fn on each database, with clients of each kind.
func desks(b *testing.B, fn func(b *testing.B, s *stage)) {
	for name, dsn := range map[string]func() string{
		"sqlite":   func() string { return "sqlite:" + filepath.Join(b.TempDir(), "idp.db") },
		"postgres": func() string { return pg.DSN(b) },
	} {
		if name == "postgres" && os.Getenv(pg.Env) == "" {
			continue
		}
		b.Run(name, func(b *testing.B) {
			s := newDesk(b, dsn(), plan{provider: busy})
			for _, c := range []provider.Client{webClient, opaqueClient, service, api} {
				s.register(c)
			}
			fn(b, s)
		})
	}
}
