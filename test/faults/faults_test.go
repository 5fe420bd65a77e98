// Package faults breaks things under the real server while people sign in, and
// looks at what is left: processes killed, databases restarted, clocks moved,
// disks filled.
//
//	make faults                                  the long forms, which docs/reliability.md has the numbers of
//	go run ./test/pg/withpg -- go test ./test/faults   the short ones, a part of make test
package faults

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/test/fleet"
	"github.com/sallyport-id/sallyport/test/pg"
)

var long = flag.Bool("long", false, "break things as often as docs/reliability.md says, not just a few times")

var (
	binary  string // idp, built once
	scratch string // a directory for what the tests share
)

func TestMain(m *testing.M) {
	flag.Parse()
	built, clean, err := fleet.Build(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
	binary = built
	if scratch, err = os.MkdirTemp("", "faults"); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
	status := m.Run()
	clean()
	os.RemoveAll(scratch)
	os.Exit(status)
}

// needsPostgres skips a test where there is none.
func needsPostgres(t *testing.T) {
	t.Helper()
	if os.Getenv(pg.Env) == "" {
		t.Skip("needs PostgreSQL: go run ./test/pg/withpg -- go test ./test/faults")
	}
}

// times is how often something is done: short, or with -long.
func times(short, long_ int) int {
	if *long {
		return long_
	}
	return short
}

// open makes a house, which is closed when the test ends.
func open(t *testing.T, p fleet.Plan) *fleet.House {
	t.Helper()
	h, err := fleet.Open(t.Context(), binary, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// start starts n replicas of h, one after another.
func start(t *testing.T, h *fleet.House, n int) []*fleet.Replica {
	t.Helper()
	var all []*fleet.Replica
	for range n {
		r, err := h.Start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// balancer makes one, which is closed when the test ends.
func balancer(t *testing.T) *fleet.Balancer {
	b := fleet.NewBalancer()
	t.Cleanup(b.Close)
	return b
}

// roll stops the replicas, and starts each again before the next is stopped; the
// balancer sends nothing to one that is being stopped. It says how many are new.
func roll(t *testing.T, b *fleet.Balancer, replicas []*fleet.Replica, each func(new int)) {
	t.Helper()
	for i, r := range replicas {
		b.Set(slices.Concat(replicas[:i], replicas[i+1:])...)
		if err := r.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := r.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.Set(replicas...)
		each(i + 1)
	}
}

// wired puts a wire that can be cut between a server and the database at dsn. It
// returns the DSN that leads through it.
func wired(t *testing.T, dsn string) (*fleet.Cut, string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	wire, err := fleet.NewCut(u.Host, chores...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(wire.Close)
	through, err := wire.DSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return wire, through
}

// visit returns the house as those see it who come to its issuer.
func visit(t *testing.T, h *fleet.House) fleet.Site {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return fleet.Site{Issuer: h.Issuer, Transport: transport}
}

// report prints a line of numbers as docs/reliability.md shows them: pairs of
// what and how many.
func report(t *testing.T, what ...any) {
	t.Helper()
	line := ""
	for i := 0; i+1 < len(what); i += 2 {
		value := what[i+1]
		if d, ok := value.(time.Duration); ok {
			value = d.Round(time.Millisecond)
		}
		line += fmt.Sprintf("; %v: %v", what[i], value)
	}
	t.Log(line[min(len(line), 2):])
}
