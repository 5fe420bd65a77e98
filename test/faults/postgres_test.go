package faults

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/test/fleet"
	"github.com/sallyport-id/sallyport/test/pg"
)

// cluster starts a PostgreSQL of the test's own, which is gone at its end.
// Without any PostgreSQL the test is skipped, as others are.
func cluster(t *testing.T, settings ...string) *pg.Cluster {
	t.Helper()
	if os.Getenv(pg.Env) == "" {
		t.Skip("needs PostgreSQL: go run ./test/pg/withpg -- go test ./test/faults")
	}
	c, err := pg.NewCluster(settings...)
	return started(t, c, err)
}

func started(t *testing.T, c *pg.Cluster, err error) *pg.Cluster {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Remove(); err != nil {
			t.Error(err)
		}
	})
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// ready waits until the replica says that it is ready, or that it is not.
func ready(t *testing.T, r *fleet.Replica, want int) {
	t.Helper()
	limit := time.After(10 * time.Second)
	for {
		resp, err := http.Get(r.URL + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode == want {
			return
		}
		select {
		case <-limit:
			t.Fatalf("/readyz answers %d, want %d", resp.StatusCode, want)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// recovers signs someone in, again and again until it works, and returns how
// long that took. Ten seconds are what is promised.
func recovers(t *testing.T, l *load) time.Duration {
	t.Helper()
	back := time.Now()
	user, code, err := l.crowd.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.signIn(user, code)
	took := time.Since(back)
	if err != nil || f == nil || took > 10*time.Second {
		t.Fatalf("nobody can sign in %v after the database was back: %v", took, err)
	}
	return took
}

// PostgreSQL is stopped, made to crash and killed while people sign in over
// three replicas. Until it is back they are told to come again; when it is they
// can, without anyone having touched a replica, and nothing that they were told
// has been forgotten.
func TestPostgreSQLComesAndGoes(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	b := balancer(t)
	users := times(200, 1200)
	h := open(t, fleet.Plan{DSN: c.DSN, Users: users, Issuer: b.URL})
	replicas := start(t, h, 3)
	b.Set(replicas...)
	l := newLoad(t, visit(t, h), users)
	l.more("the first families", enough)

	ways := map[pg.Way]int{}
	var took []time.Duration
	for i := range times(3, 20) {
		way := []pg.Way{pg.Fast, pg.Immediate, pg.Killed}[i%3]
		ways[way]++
		_, before := l.count()
		if err := c.Stop(way); err != nil {
			t.Fatal(err)
		}
		for _, r := range replicas {
			ready(t, r, http.StatusServiceUnavailable)
		}
		l.await("some to be told that it is away", func(_, away map[string]int) bool { return away[""] >= before[""]+20 })
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		took = append(took, recovers(t, l))
		for _, r := range replicas {
			ready(t, r, http.StatusOK)
		}
		l.more("more to sign in", enough)
	}
	l.Stop()
	for _, r := range replicas {
		select {
		case <-r.Gone():
			t.Errorf("a replica has ended:\n%s", r.Log())
		default:
		}
	}
	report(t, "ends of PostgreSQL", fmt.Sprint(ways), "until people could sign in again, at most", slices.Max(took), "in the middle", middle(took))
	l.audit()
}

// PostgreSQL keeps its connections and says nothing more, as behind a cable that
// was cut. Nobody waits for longer than a request may take; who tries the same
// refresh token again in its grace has lost nothing.
func TestASilentPostgreSQLKeepsNobodyWaiting(t *testing.T) {
	if !*long {
		t.Skip("waits for 20 s: with -long")
	}
	t.Parallel()
	c := cluster(t)
	b := balancer(t)
	const users = 60
	h := open(t, fleet.Plan{DSN: c.DSN, Users: users, Issuer: b.URL, More: "lifetimes: {refresh_grace: 60s}\n"})
	replicas := start(t, h, 2)
	b.Set(replicas...)
	site, crowd := visit(t, h), fleet.NewCrowd(users)
	var families []fleet.Tokens
	for range 20 {
		user, code, err := crowd.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		tokens, err := site.Login(t.Context(), user, code)
		if err != nil {
			t.Fatal(err)
		}
		families = append(families, tokens)
	}

	if err := c.Freeze(); err != nil {
		t.Fatal(err)
	}
	defer c.Thaw()
	type result struct {
		what string
		err  error
		took time.Duration
	}
	results := make(chan result)
	asked := 0
	ask := func(what string, do func(ctx context.Context) error) {
		asked++
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), hang)
			defer cancel()
			began := time.Now()
			err := do(ctx)
			results <- result{what, err, time.Since(began)}
		}()
	}
	// More than there are connections.
	for _, f := range families {
		ask("authorize", func(ctx context.Context) error { _, err := site.Begin(ctx, nil); return err })
		ask("refresh", func(ctx context.Context) error { _, err := site.Refresh(ctx, f.Refresh); return err })
		ask("introspect", func(ctx context.Context) error { _, err := site.Active(ctx, f.Access); return err })
		ask("userinfo", func(ctx context.Context) error {
			_, err := site.Call(ctx, "", "/userinfo", nil, f.Access)
			return err
		})
	}
	var worst time.Duration
	refused := 0
	for range asked {
		r := <-results
		worst = max(worst, r.took)
		if r.err == nil {
			t.Errorf("%s is answered well by nobody", r.what)
		} else if err := clean(r.err); err != nil {
			t.Errorf("%s, after %v: %v", r.what, r.took, err)
		} else {
			refused++
		}
	}
	for _, r := range replicas {
		ready(t, r, http.StatusServiceUnavailable)
	}
	if err := c.Thaw(); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	for _, r := range replicas {
		ready(t, r, http.StatusOK)
	}
	l := &load{t: t, site: site, crowd: crowd, done: map[string]int{}, away: map[string]int{}}
	recovers(t, l)
	took := time.Since(back)
	for _, f := range families {
		if _, err := l.ask("refresh", func(ctx context.Context) error {
			_, err := site.Refresh(ctx, f.Refresh)
			return err
		}); err != nil {
			t.Errorf("a refresh that was in doubt: %v", err)
		}
	}
	report(t, "asked of a silent PostgreSQL", asked, "clean 503s", refused, "longest answer", worst, "until people could sign in again", took)
}

func middle(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}
