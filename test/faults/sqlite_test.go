package faults

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/sallyport-id/sallyport/test/fleet"
)

// sound looks into a SQLite file that a server was killed over: whether it is
// whole, and nobody is in by less than what is demanded.
func sound(t *testing.T, file string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ask := func(query string) (text string) {
		t.Helper()
		err := db.QueryRow(query).Scan(&text)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			t.Fatalf("%s: %v", query, err)
		}
		return text
	}
	if got := ask("PRAGMA integrity_check"); got != "ok" {
		t.Errorf("integrity_check: %s", got)
	}
	if got := ask("SELECT \"table\" FROM pragma_foreign_key_check"); got != "" {
		t.Errorf("foreign_key_check: %s", got)
	}
	const lacking = `(proofs NOT LIKE '%"pwd"%' OR proofs NOT LIKE '%"otp"%' AND proofs NOT LIKE '%"recovery"%')`
	for what, query := range map[string]string{
		"sessions without a factor": `SELECT count(*) FROM sessions WHERE ` + lacking,
		"grants without a factor":   `SELECT count(*) FROM grants WHERE subject <> '' AND ` + lacking,
		"grants without a session":  `SELECT count(*) FROM grants WHERE session_id <> '' AND session_id NOT IN (SELECT id FROM sessions)`,
		"grants without a consent":  `SELECT count(*) FROM grants WHERE subject <> '' AND NOT EXISTS (SELECT 1 FROM consents WHERE consents.subject = grants.subject AND consents.client_id = grants.client_id)`,
	} {
		if got := ask(query); got != "0" {
			t.Errorf("%s: %s", what, got)
		}
	}
}

// signOut is the deed that is done only here.
func signOut(p *parlour) deed {
	w := p.person(true)
	tokens := w.in()
	// Who signs out loses the cookie; what is asked is whether it is good.
	twin, err := w.Browser.Twin()
	if err != nil {
		p.Fatal(err)
	}
	kept := &person{Login: &fleet.Login{Browser: twin}, p: p}
	if to := p.silently(kept); to.Query().Get("code") == "" {
		p.Fatalf("who is signed in is not: %s", to)
	}
	return deed{func() error {
		q := url.Values{"id_token_hint": {tokens.ID}}
		r, err := http.NewRequestWithContext(p.Context(), http.MethodGet, p.site.Issuer+"/logout?"+q.Encode(), nil)
		if err != nil {
			return err
		}
		_, err = w.Browser.Open(r)
		return err
	}, func(_ bool, _, second error) {
		p.must(second)
		if got := p.silently(kept).Query().Get("error"); got != "login_required" {
			p.Errorf("a session that was ended answers %q", got)
		}
	}}
}

// halfway is someone of whom only the password is known.
func halfway(p *parlour) deed {
	w := p.person(true)
	return deed{func() error { return w.say("password") }, func(_ bool, _, second error) {
		p.must(second)
		if got := p.silently(w).Query().Get("error"); got != "login_required" {
			p.Errorf("by a password alone a browser is signed in: %q", got)
		}
		w.in()
	}}
}

// file is the SQLite file of the house.
func (p *parlour) file() string { return filepath.Join(p.house.Dir, "idp.db") }

// The server is killed (SIGKILL) over its SQLite file again and again, while
// people sign in: by turns as soon as it has answered someone, and at any moment
// while it does. It comes up by itself each time, with all that it had
// acknowledged, and who got no answer goes on with what they had.
func TestTheServerIsKilledOverItsFile(t *testing.T) {
	t.Parallel()
	kills := times(14, 500)
	b := balancer(t)
	users := times(200, 4000)
	p := newParlour(t, fleet.Plan{
		Database: "sqlite", Users: users + kills, Issuer: b.URL, More: "lifetimes: {refresh_grace: 30s}\n",
	}, kills)
	p.next = users
	r := start(t, p.house, 1)[0]
	b.Set(r)
	l := &load{kills: true}
	l.begin(t, visit(t, p.house), users)

	all := append(slices.Clip(deeds), named{"signing out", signOut}, named{"half of a login", halfway})
	var took []time.Duration
	answered, broken := map[string]int{}, map[string]int{}
	for i := range kills {
		d := all[i%len(all)]
		// Of these two a commit that nobody was told of is told from a theft by
		// nothing, but the grace of a refresh. The load has many of them.
		flight := (i+i/len(all))%2 == 1 && d.name != "code" && d.name != "refresh"
		l.more("some to get on", map[string]int{"code": 1, "refresh": 3})
		ready := d.ready(p)
		told := make(chan error, 1)
		go func() { told <- ready.do() }()
		var first error
		if flight {
			select {
			case first = <-told:
				told <- first
			case <-time.After(rand.N(10 * time.Millisecond)):
			}
		} else if first = <-told; first != nil {
			t.Fatalf("%s: %v", d.name, first)
		} else {
			told <- nil
		}
		if err := r.Kill(); err != nil {
			t.Fatal(err)
		}
		first = <-told
		sound(t, p.file())
		if err := r.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		took = append(took, r.Ready)
		var second error
		if first == nil {
			answered[d.name]++
		} else {
			broken[d.name]++
			second = ready.do()
		}
		// It was done before, if it can be seen, or may have been.
		late := first != nil && (d.name == "consent" || status(second) == 401)
		ready.after(late, nil, second)
		if t.Failed() {
			t.Fatalf("kill %d, at %s; answered before: %v", i, d.name, first == nil)
		}
	}
	l.more("more to sign in", enough)
	l.Stop()
	report(t, "kills", kills, "ready again after, at most", slices.Max(took), "in the middle", middle(took))
	report(t, "killed after the answer", fmt.Sprint(answered), "before it", fmt.Sprint(broken))
	l.audit()
}

// Two servers have one file. What is good once is so for both, for fifty at once,
// too, and who begins at one goes on at the other.
func TestTwoServersOverOneFile(t *testing.T) {
	t.Parallel()
	b := balancer(t)
	users, rounds := times(150, 1500), times(1, 100)
	p := newParlour(t, fleet.Plan{Database: "sqlite", Users: users + 4*rounds, Issuer: b.URL}, 2*rounds)
	p.next = users
	b.Set(start(t, p.house, 2)...)
	l := newLoad(t, visit(t, p.house), users)
	for range times(1, 20) {
		l.more("enough", map[string]int{"code": 30, "refresh": 200, "revoke": 3})
	}
	l.Stop()
	report(t, "requests", b.Sent())
	if _, away := l.count(); away[""] > 0 {
		t.Errorf("%d were told to come again", away[""])
	}
	l.audit()
	p.race(rounds)
	sound(t, p.file())
}
