package faults

import (
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/sallyport-id/sallyport/test/fleet"
)

// crush is how many try the same at once.
const crush = 50

// A race is something that is good once, ready to be used by many at once. Each
// use reports whether it was; refused are the statuses of those for which it
// was not. after looks at what is left.
type race struct {
	uses    []func() error
	refused []int
	after   func()
}

// many is the same use, so often.
func many(use func() error) (all []func() error) {
	for range crush {
		all = append(all, use)
	}
	return all
}

var races = []struct {
	name  string
	ready func(p *parlour) race
}{
	{"code of an app", func(p *parlour) race {
		w := p.person(true)
		return p.factors(w, "otp", w.code())
	}},
	{"recovery code", func(p *parlour) race {
		w := p.person(false)
		code := w.enrol()[0]
		w.in()
		return p.factors(w, "recovery", code)
	}},
	{"code for tokens", func(p *parlour) race {
		w := p.person(true)
		w.to("")
		code, err := w.Code()
		p.must(err)
		return race{many(func() error { _, err := w.Redeem(p.Context(), code); return err }), []int{400}, func() {}}
	}},
	{"refresh token", func(p *parlour) race {
		tokens := p.person(true).in()
		refresh := func() error { _, err := p.site.Refresh(p.Context(), tokens.Refresh); return err }
		return race{many(refresh), []int{400}, func() {
			// Someone else has it, too: the whole family is over.
			if active, err := p.site.Active(p.Context(), tokens.Access); err != nil || active {
				p.Errorf("after its refresh token was used twice a family is active: %v, %v", active, err)
			}
		}}
	}},
	{"client assertion", func(p *parlour) race {
		v := p.assertion()
		return race{many(func() error { _, err := p.site.CallAs(p.Context(), "/token", v); return err }), []int{401}, func() {}}
	}},
	{"confirming an app", func(p *parlour) race {
		w := p.person(false)
		w.to("enroll")
		p.must(w.say("enroll"))
		w.scan()
		code := w.code()
		var mu sync.Mutex
		shown := map[string]int{}
		// It was one of them, and all are shown what came of it.
		return race{many(func() error {
			page := w.Page
			page.Form = maps.Clone(page.Form)
			got, err := w.Browser.Answer(p.Context(), page, "confirm", "code", code)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			list := codes.FindAllString(got.HTML, -1)
			if shown[fmt.Sprint(list)]++; len(list) != 10 {
				p.Errorf("%d recovery codes are shown", len(list))
			}
			if shown[fmt.Sprint(list)] > 1 {
				return errAgain
			}
			return nil
		}), nil, func() {
			if got := p.enrolments(w.name); got != 1 {
				p.Errorf("enrolled %d times", got)
			}
		}}
	}},
}

// errAgain is for what is shown again, and not done again.
var errAgain = errors.New("shown again")

// factors is a race for a code of w, from as many browsers, all of which are at
// the page that asks for it.
func (p *parlour) factors(w *person, step, code string) race {
	var all sync.WaitGroup
	var uses [crush]func() error
	for i := range uses {
		all.Go(func() {
			v := &person{p: p, name: w.name}
			var err error
			if v.Login, err = p.site.Begin(p.Context(), nil); err == nil {
				err = v.say("password")
			}
			p.must(err)
			uses[i] = func() error {
				err := v.factor(step, code)
				if err == nil && v.Page.Step() != "consent" {
					return fmt.Errorf("leads to %q", v.Page.Step())
				}
				return err
			}
		})
	}
	all.Wait()
	// So many wrong ones: some are not even looked at.
	return race{uses[:], []int{422, 429}, func() {}}
}

// enrolments is how often someone has enrolled an app, by the audit trail.
func (p *parlour) enrolments(name string) (n int) {
	p.Helper()
	driver, dsn := "pgx", p.dsn
	if dsn == "" {
		driver, dsn = "sqlite", "file:"+p.file()+"?_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		p.Fatal(err)
	}
	defer db.Close()
	err = db.QueryRowContext(p.Context(), `SELECT count(*) FROM events JOIN users USING (subject)
		WHERE username = $1 AND kind = 'enroll' AND outcome = 'success'`, name).Scan(&n)
	if err != nil {
		p.Fatal(err)
	}
	return n
}

// What is good once is so for fifty at once over several processes.
func TestWhatIsGoodOnceIsSoOverProcesses(t *testing.T) {
	needsPostgres(t)
	t.Parallel()
	rounds := times(3, 1000)
	b := balancer(t)
	p := newParlour(t, fleet.Plan{Database: "postgres", Users: 4 * rounds, Issuer: b.URL}, 2*rounds)
	replicas := start(t, p.house, 3)
	b.Set(replicas...)
	p.race(rounds)
}

// race runs so many rounds of each race.
func (p *parlour) race(rounds int) {
	p.Helper()
	for _, r := range races {
		good, refused := 0, map[int]int{}
		for round := range rounds {
			ready := r.ready(p)
			var all sync.WaitGroup
			errs := make([]error, len(ready.uses))
			for i, use := range ready.uses {
				all.Go(func() { errs[i] = use() })
			}
			all.Wait()
			won := 0
			for _, err := range errs {
				switch {
				case err == nil:
					won++
				case errors.Is(err, errAgain), slices.Contains(ready.refused, status(err)):
					refused[status(err)]++
				default:
					p.Errorf("%s, round %d: %v", r.name, round, err)
				}
			}
			if won != 1 {
				p.Errorf("%s, round %d: good for %d of %d", r.name, round, won, len(errs))
			}
			ready.after()
			if p.Failed() {
				p.FailNow()
			}
			good += won
		}
		report(p.T, r.name+": rounds", rounds, "good", good, "refused, by status", fmt.Sprint(refused))
	}
}
