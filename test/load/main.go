// Load drives the real server over HTTP and prints what an operation costs.
//
//	make load
//	go run ./test/pg/withpg -- go run ./test/load -clients 1,8,32 -seconds 5
//
// It builds the binary, starts it on a fresh database with users who have a
// password and an authenticator app, and then signs in, refreshes, introspects
// and so on as browsers, apps and APIs would: with a cookie jar and the forms
// of the pages. It shares no code with the server. The table has operations per
// second, what half, 95 and 99 of a hundred take at most, and the CPU that the
// server took for one, which alone does not depend on who else is on the
// machine; with PostgreSQL, its processes are counted in.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sallyport-id/sallyport/test/fleet"
)

// A plan is what is to be driven.
type plan struct {
	databases []string // sqlite, postgres
	clients   []int    // how many at once
	only      []string // operations; none: all
	span      time.Duration
	users     int
	hash      bool // at the default cost, instead of next to none
	chart     string
	siege     bool // passwords alone, more than can be hashed
	sizes     []population
	rounds    int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p, err := parse(os.Args[1:])
	if err == nil {
		err = p.run(ctx)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func parse(args []string) (plan, error) {
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	databases := f.String("databases", "sqlite,postgres", "which, with commas between")
	clients := f.String("clients", "1,8,32", "how many at once, with commas between")
	seconds := f.Int("seconds", 5, "how long each operation is driven, at each number of clients")
	users := f.Int("users", 1000, "how many users there are")
	hash := f.Bool("hash", false, "hash passwords at the default cost; otherwise at next to none, so that everything else is seen")
	siege := f.Bool("overload", false, "send five times the passwords that the server can hash, and look at all else, instead")
	sizes := f.String("growth", "", "compare these numbers of users and grants instead, as in 1000:5000,1000000:5000000")
	rounds := f.Int("rounds", 5, "how often each is measured, with -growth")
	only := f.String("operations", "", "which, with commas between; otherwise all")
	chart := f.String("chart", "", "write a chart of the CPU to this SVG file")
	if err := f.Parse(args); err != nil {
		return plan{}, err
	}
	p := plan{
		databases: strings.Split(*databases, ","), span: time.Duration(*seconds) * time.Second,
		users: *users, hash: *hash, chart: *chart, siege: *siege,
	}
	for _, size := range strings.Split(*sizes, ",") {
		var of population
		if size == "" {
			continue
		}
		if _, err := fmt.Sscanf(size, "%d:%d", &of.users, &of.grants); err != nil || of.users < 1 || of.grants < 0 {
			return plan{}, fmt.Errorf("%q is no number of users and grants, as in 1000:5000", size)
		}
		p.sizes = append(p.sizes, of)
	}
	if p.rounds = *rounds; p.rounds < 1 || p.rounds > 100 {
		return plan{}, errors.New("rounds are from 1 to 100")
	}
	for _, name := range strings.Split(*only, ",") {
		if name == "" {
			continue
		}
		if !slices.ContainsFunc(operations, func(o operation) bool { return o.name == name }) {
			return plan{}, fmt.Errorf("%q is no operation", name)
		}
		p.only = append(p.only, name)
	}
	for _, s := range strings.Split(*clients, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 1000 {
			return plan{}, fmt.Errorf("%q is no number of clients from 1 to 1000", s)
		}
		p.clients = append(p.clients, n)
	}
	if *seconds < 1 || *seconds > 600 || *users < 1 {
		return plan{}, errors.New("seconds are from 1 to 600, and there is at least one user")
	}
	return p, nil
}

func (p plan) run(ctx context.Context) error {
	binary, clean, err := fleet.Build(ctx)
	if err != nil {
		return err
	}
	defer clean()
	var all []row
	other := p.overload
	if len(p.sizes) > 0 {
		other = p.growth
	}
	for _, database := range p.databases {
		if p.siege || len(p.sizes) > 0 {
			if err := other(ctx, binary, database); err != nil {
				return fmt.Errorf("%s: %w", database, err)
			}
			continue
		}
		rows, err := p.drive(ctx, binary, database)
		if err != nil {
			return fmt.Errorf("%s: %w", database, err)
		}
		all = append(all, rows...)
	}
	if p.chart == "" || len(all) == 0 {
		return nil
	}
	return os.WriteFile(p.chart, chart(all), 0o644)
}

// drive starts a server on database and drives every operation.
func (p plan) drive(ctx context.Context, binary, database string) (rows []row, err error) {
	h, err := fleet.Open(ctx, binary, fleet.Plan{Database: database, Users: p.users, Hash: p.hash})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	s, err := h.Start(ctx) // which makes the signing keys
	if err != nil {
		return nil, err
	}
	first := s.Ready
	if err := errors.Join(s.Stop(), s.Restart(ctx)); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	fmt.Printf("\n%s, %d users; the first time ready after %d ms, then after %d ms; %d MiB at rest\n\n",
		database, p.users, first.Milliseconds(), s.Ready.Milliseconds(), s.Memory("VmRSS"))
	fmt.Println("| operation | clients | ops/s | p50 ms | p95 ms | p99 ms | CPU ms/op | errors |")
	fmt.Println("|---|--:|--:|--:|--:|--:|--:|--:|")
	crowd := fleet.NewCrowd(p.users)
	for _, n := range p.clients {
		for _, o := range operations {
			if len(p.only) > 0 && !slices.Contains(p.only, o.name) {
				continue
			}
			r, err := p.measure(ctx, s, crowd, o, n)
			if err != nil {
				return rows, fmt.Errorf("%s with %d clients: %w", o.name, n, err)
			}
			r.database = database
			fmt.Println(r)
			rows = append(rows, r)
		}
	}
	fmt.Printf("\n%d MiB at most\n", s.Memory("VmHWM"))
	return rows, nil
}
