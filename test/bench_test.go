package test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/test/pg"
)

// Each endpoint through the handler, on both databases, with ES256 and no
// password hash. The figures of the README come from here: make bench.

// A bench is a desk without a log, with a client whose tokens ES256 signs.
type bench struct {
	*stage
	b       *testing.B
	cookies string
	guests  int

	spent, since time.Duration // of CPU
}

// busy has limits that are counted and that no benchmark reaches.
func busy(c *provider.Config) {
	r := provider.Rate{Requests: 1e6, Per: time.Second}
	c.Limits = provider.Limits{Authorize: r, Pages: r, Passwords: r, Pushed: r, Token: r, Introspect: r, Userinfo: r,
		ClientFailures: r, AddressFailures: r}
}

// loop runs fn as often as wanted, and reports what it took of CPU: unlike the
// clock on the wall, that does not depend on who else is on the machine. What
// PostgreSQL takes is not in it.
func (s *bench) loop(fn func()) {
	s.since = cpu()
	for s.b.Loop() {
		fn()
	}
	s.spent += cpu() - s.since
	s.b.ReportMetric(float64(s.spent.Microseconds())/1000/float64(s.b.N), "cpu-ms/op")
}

// aside runs what is not measured.
func (s *bench) aside(fn func()) {
	s.b.StopTimer()
	s.spent += cpu() - s.since
	fn()
	s.since = cpu()
	s.b.StartTimer()
}

// cpu returns what this process has taken of it so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// onBench runs fn on each database.
func onBench(b *testing.B, fn func(s *bench)) {
	for _, name := range []string{"sqlite", "postgres"} {
		b.Run(name, func(b *testing.B) {
			dsn := "sqlite:" + filepath.Join(b.TempDir(), "idp.db")
			if name == "postgres" {
				dsn = pg.DSN(b)
			}
			s := newDesk(b, dsn, plan{provider: func(c *provider.Config) {
				busy(c)
				c.Logger, c.Notify = slog.New(slog.DiscardHandler), nil
			}})
			s.register(provider.Client{ID: "app", Name: "The App", Type: provider.Web, Secrets: []provider.Hash{hash(appSecret)},
				RedirectURIs: []string{appURL}, Algorithm: "ES256"})
			s.allow("sub-alice", "app", "openid", "profile", "email", "groups", "offline_access")
			b.ReportAllocs()
			fn(&bench{stage: s, b: b, cookies: s.browser.cookies()})
		})
	}
}

// does sends one request and looks at nothing but the status.
func (s *bench) does(r *http.Request, status int) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != status {
		s.b.Fatalf("%s %s: %d\n%s", r.Method, r.URL, w.Code, w.Body)
	}
	return w
}

func (s *bench) toToken(v url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, issuer+"/token", strings.NewReader(v.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", basic("app", appSecret))
	return r
}

func BenchmarkDiscovery(b *testing.B) {
	onBench(b, func(s *bench) {
		s.loop(func() {
			s.does(get(s.b, "/.well-known/openid-configuration"), http.StatusOK)
		})
	})
}

func BenchmarkKeySet(b *testing.B) {
	onBench(b, func(s *bench) {
		s.loop(func() {
			s.does(get(s.b, "/jwks.json"), http.StatusOK)
		})
	})
}

// A login in a browser that is signed in: one request, one code.
func BenchmarkAuthorizeSilently(b *testing.B) {
	onBench(b, func(s *bench) {
		path := "/authorize?" + offline().Encode()
		s.loop(func() {
			s.does(get(s.b, path, "Cookie", s.cookies), http.StatusSeeOther)
		})
	})
}

func BenchmarkCodeExchange(b *testing.B) {
	onBench(b, func(s *bench) {
		s.loop(func() {
			var v url.Values
			s.aside(func() {
				v = exchange(s.code(offline()))
			})
			s.does(s.toToken(v), http.StatusOK)
		})
	})
}

func BenchmarkRefresh(b *testing.B) {
	onBench(b, func(s *bench) {
		token := s.tokens(offline()).text(s.b, "refresh_token")
		s.loop(func() {
			w := s.does(s.toToken(refresh(token)), http.StatusOK)
			token = reply{body: w.Body.String()}.text(s.b, "refresh_token")
		})
	})
}

func BenchmarkClientCredentials(b *testing.B) {
	onBench(b, func(s *bench) {
		s.register(provider.Client{ID: "app", Type: provider.Service, Secrets: []provider.Hash{hash(appSecret)}, Algorithm: "ES256",
			GrantTypes: []string{"client_credentials"}, Scopes: []string{"jobs"}})
		s.loop(func() {
			s.does(s.toToken(url.Values{"grant_type": {"client_credentials"}}), http.StatusOK)
		})
	})
}

func BenchmarkUserinfo(b *testing.B) {
	onBench(b, func(s *bench) {
		bearer := "Bearer " + s.tokens(offline()).text(s.b, "access_token")
		s.loop(func() {
			s.does(get(s.b, "/userinfo", "Authorization", bearer), http.StatusOK)
		})
	})
}

// The password page, shown.
func BenchmarkPasswordPage(b *testing.B) {
	onBench(b, func(s *bench) {
		v := s.someone()
		s.begins(v)
		s.loop(func() {
			s.does(get(s.b, v.flow, "Cookie", v.cookies), http.StatusOK)
		})
	})
}

// The password page, answered.
func BenchmarkPasswordAnswered(b *testing.B) {
	onBench(b, func(s *bench) {
		s.loop(func() {
			var v *guest
			s.aside(func() {
				v = s.someone()
				s.begins(v)
			})
			s.password(v)
		})
	})
}

// The page of the second factor, shown.
func BenchmarkCodePage(b *testing.B) {
	onBench(b, func(s *bench) {
		v := s.someone()
		s.begins(v)
		s.password(v)
		s.loop(func() {
			s.does(get(s.b, v.flow, "Cookie", v.cookies), http.StatusOK)
		})
	})
}

// The page of the second factor, answered: the code is checked, session and
// grant are written, and the browser is on its way.
func BenchmarkCodeAnswered(b *testing.B) {
	onBench(b, func(s *bench) {
		s.loop(func() {
			var v *guest
			s.aside(func() {
				v = s.someone()
				s.begins(v)
				s.password(v)
			})
			s.otp(v)
		})
	})
}

// A whole login of someone who has a second factor and has allowed the app:
// authorize, two pages and their answers, the code exchange.
func BenchmarkLogin(b *testing.B) {
	onBench(b, func(s *bench) {
		s.loop(func() {
			var v *guest
			s.aside(func() {
				v = s.someone() // of one person, a code is good once in 30 seconds
			})
			s.begins(v)
			s.does(get(s.b, v.flow, "Cookie", v.cookies), http.StatusOK)
			s.password(v)
			s.does(get(s.b, v.flow, "Cookie", v.cookies), http.StatusOK)
			s.does(s.toToken(exchange(s.otp(v))), http.StatusOK)
		})
	})
}

// A guest is someone on the way through the pages, without a browser, which
// would be measured too.
type guest struct {
	name          string
	phone         phone
	flow, cookies string
}

// someone returns a new person with a second factor, who has allowed the app.
func (s *bench) someone() *guest {
	s.guests++
	g := &guest{name: fmt.Sprintf("guest%d", s.guests)}
	s.people.add(g.name, "correct horse battery")
	g.phone = s.keyring("sub-" + g.name)
	s.allow("sub-"+g.name, "app", "openid", "profile", "email", "groups", "offline_access")
	return g
}

// begins starts a flow.
func (s *bench) begins(g *guest) {
	w := s.does(get(s.b, "/authorize?"+offline().Encode()), http.StatusSeeOther)
	g.flow = strings.TrimPrefix(w.Header().Get("Location"), issuer)
	g.cookies, _, _ = strings.Cut(w.Header().Get("Set-Cookie"), ";")
}

func (s *bench) password(g *guest) {
	v := url.Values{"step": {"password"}, "username": {g.name}, "password": {"correct horse battery"}}
	s.does(send(s.b, g.flow, v, "Cookie", g.cookies), http.StatusSeeOther)
}

// otp answers the page of the second factor and returns the authorization code.
func (s *bench) otp(g *guest) string {
	v := url.Values{"step": {"otp"}, "code": {g.phone.code(0)}}
	w := s.does(send(s.b, g.flow, v, "Cookie", g.cookies), http.StatusSeeOther)
	to, err := url.Parse(w.Header().Get("Location"))
	if err != nil || !to.Query().Has("code") {
		s.b.Fatalf("no code: %v", to)
	}
	return to.Query().Get("code")
}
