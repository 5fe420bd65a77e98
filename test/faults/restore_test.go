package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sallyport-id/sallyport/test/fleet"
	"github.com/sallyport-id/sallyport/test/pg"
)

// Things are what is good once, or until it is taken back, from before a backup.
type things struct {
	p        *parlour
	waiting  *person // at the page that asks for a code
	in       *person // with a session
	code     string  // for tokens, not redeemed
	redeemer *person
	tokens   fleet.Tokens
	revoked  fleet.Tokens
	otp      string // of waiting's app
	recovery string
	fresh    *person // whose recovery code that is
	used     url.Values
}

// gather gets everything ready to be used.
func (p *parlour) gather() *things {
	p.Helper()
	g := &things{p: p}
	g.in = p.person(true)
	g.tokens = g.in.in()
	g.revoked = p.person(true).in()
	g.redeemer = p.person(true)
	g.redeemer.to("")
	var err error
	if g.code, err = g.redeemer.Code(); err != nil {
		p.Fatal(err)
	}
	g.fresh = p.person(false)
	g.recovery = g.fresh.enrol()[0]
	g.fresh.in()
	g.fresh.again()
	g.fresh.to("otp")
	g.waiting = p.person(true)
	g.waiting.to("otp")
	g.otp = g.waiting.code()
	g.used = p.assertion()
	return g
}

// use uses or takes back all of it, and returns what failed, by what it is.
// renew makes what waits begin anew, where it may have ended.
func (g *things) use(renew bool) map[string]error {
	p, ctx := g.p, g.p.Context()
	p.Helper()
	if renew {
		g.waiting.again()
		g.waiting.to("otp")
		g.fresh.again()
		g.fresh.to("otp")
	}
	all := map[string]error{}
	_, all["the code for tokens"] = g.redeemer.Redeem(ctx, g.code)
	_, all["the refresh token"] = p.site.Refresh(ctx, g.tokens.Refresh)
	_, all["the access token"] = p.site.Call(ctx, "", "/userinfo", nil, g.revoked.Access)
	_, all["the revocation"] = p.site.Refresh(ctx, g.revoked.Refresh)
	all["the code of the app"] = g.waiting.factor("otp", g.otp)
	all["the recovery code"] = g.fresh.factor("recovery", g.recovery)
	_, all["the client assertion"] = p.site.CallAs(ctx, "/token", g.used)
	if to := p.silently(g.in); to.Query().Get("code") == "" {
		all["the session"] = errors.New(to.Query().Get("error"))
	} else {
		all["the session"] = nil
	}
	return all
}

// all makes sure that all of what use returns is good, or nothing.
func (g *things) all(good bool, got map[string]error) {
	g.p.Helper()
	for what, err := range got {
		if (err == nil) != good {
			g.p.Errorf("%s: good is %v, want %v: %.200v", what, err == nil, good, err)
		}
	}
}

// newcomer sees that people can sign in: someone with a new app, since the codes
// of the old ones are void up to the next step.
func (p *parlour) newcomer() {
	p.Helper()
	w := p.person(false)
	w.enrol()
	w.in()
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A backup is taken while a server runs; what was good at that time is used and
// taken back; the backup is restored: nothing of it is good again. The same file
// put back by hand shows that it would be.
func TestNothingOlderThanARestoreIsGoodAgain(t *testing.T) {
	t.Parallel()
	p := newParlour(t, fleet.Plan{Database: "sqlite", Users: 60}, 10)
	r := start(t, p.house, 1)[0]
	file, backup := filepath.Join(p.house.Dir, "idp.db"), filepath.Join(p.house.Dir, "backup.db")
	g := p.gather()
	if out, err := p.house.Run(t.Context(), "backup", backup); err != nil || !strings.Contains(out, "Backed up to") {
		t.Fatalf("%v: %s", err, out)
	}
	if info, err := os.Stat(backup); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup is there with mode %v, %v", info.Mode(), err)
	}
	if out, err := p.house.Run(t.Context(), "backup", backup); err == nil || !strings.Contains(out, "is there already") {
		t.Errorf("a second time to the same file: %v: %s", err, out)
	}
	g.all(true, g.use(false))
	take(p, g)
	g.all(false, g.use(true))

	stop := func() {
		t.Helper()
		if err := r.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	again := func() {
		t.Helper()
		if err := r.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	copyFile(t, backup, file)
	again()
	back := g.use(true)
	delete(back, "the code of the app") // may be too old by now
	g.all(true, back)

	stop()
	out, err := p.house.Run(t.Context(), "restore", backup)
	if err != nil || !strings.Contains(out, "is in the place of") {
		t.Fatalf("%v: %s", err, out)
	}
	t.Log(out)
	again()
	g.all(false, g.use(true))
	sound(t, file)
	p.newcomer()
}

// take takes back what is still good of g.
func take(p *parlour, g *things) {
	p.Helper()
	_, err := p.site.Call(p.Context(), fleet.App, "/revoke", url.Values{"token": {g.revoked.Refresh}}, "")
	p.must(err)
	if out, err := p.house.Run(p.Context(), "user", "sessions", g.in.name, "--end-all"); err != nil {
		p.Fatalf("%v: %s", err, out)
	}
}

// With PostgreSQL it is a copy of the database that is put back, and then
// "idp epoch bump".
func TestNothingOlderThanABumpIsGoodAgain(t *testing.T) {
	needsPostgres(t)
	t.Parallel()
	p := newParlour(t, fleet.Plan{Database: "postgres", Users: 60}, 10)
	replicas := start(t, p.house, 2)
	g := p.gather()
	ctx := context.WithoutCancel(t.Context())
	u, err := url.Parse(p.dsn)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	admin, err := pgx.Connect(ctx, os.Getenv(pg.Env))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(ctx)
	do := func(statement string) {
		t.Helper()
		if _, err := admin.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	stopped := func(fn func()) {
		t.Helper()
		for _, r := range replicas {
			if err := r.Stop(); err != nil {
				t.Fatal(err)
			}
		}
		fn()
		for _, r := range replicas {
			if err := r.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	stopped(func() { do("CREATE DATABASE " + name + "_copy TEMPLATE " + name) })
	defer do("DROP DATABASE " + name + "_copy")
	restored := func() {
		do("DROP DATABASE " + name + " WITH (FORCE)")
		do("CREATE DATABASE " + name + " TEMPLATE " + name + "_copy")
	}
	g.all(true, g.use(false))
	take(p, g)
	g.all(false, g.use(true))

	stopped(restored)
	back := g.use(true)
	delete(back, "the code of the app")
	g.all(true, back)

	stopped(func() {
		restored()
		out, err := p.house.Run(ctx, "epoch", "bump")
		if err != nil || !strings.Contains(out, "Void are") {
			t.Fatalf("%v: %s", err, out)
		}
		t.Log(out)
	})
	g.all(false, g.use(true))
	p.newcomer()
}

// Backups are taken while people sign in, and nobody notices; one is put back
// over a server that runs, which goes on with what was in it; and whoever puts
// one back and is killed at it leaves the database as it was, or as it shall be.
func TestBackupsAndRestoresAmongOthers(t *testing.T) {
	t.Parallel()
	users := times(100, 1500)
	p := newParlour(t, fleet.Plan{Database: "sqlite", Users: users}, 1)
	h := p.house
	r := start(t, h, 1)[0]
	file := filepath.Join(h.Dir, "idp.db")
	l := newLoad(t, p.site, users)
	l.more("the first families", enough)
	backups := times(3, 50)
	var last string
	var took time.Duration
	for i := range backups {
		last = filepath.Join(h.Dir, fmt.Sprintf("backup%d.db", i))
		began := time.Now()
		if out, err := h.Run(t.Context(), "backup", last); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		took = max(took, time.Since(began))
		sound(t, last)
	}
	l.Stop()
	if _, away := l.count(); away[""] > 0 {
		t.Errorf("%d were told to come again", away[""])
	}
	report(t, "backups under load", backups, "the longest took", took)
	l.audit()

	killed(p, last, file, times(9, 150))
	founded(p, last, times(8, 80))
	if out, err := h.Run(t.Context(), "restore", last); err != nil {
		t.Fatalf("beside a server that runs: %v: %s", err, out)
	}
	for _, f := range l.families {
		if !f.revoked {
			if active, err := l.site.Active(t.Context(), f.tokens.Access); err != nil || active {
				t.Errorf("a token of before is active: %v, %v", active, err)
			}
		}
	}
	p.newcomer()
	sound(t, file)
	if err := r.Stop(); err != nil {
		t.Error(err)
	}
}

// killed puts back a backup n times, and kills that: in a third of them at a moment
// of the time that it takes, in another as soon as so much of the new database is
// written, and in the last a moment after all of it is. It sees that there is the
// old one or the new one, whole.
func killed(p *parlour, backup, file string, n int) {
	p.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)")
	if err != nil {
		p.Fatal(err)
	}
	defer db.Close()
	ctx := p.Context()
	mark := func() { // what is not in the backup
		p.Helper()
		_, err := db.ExecContext(ctx, "INSERT OR IGNORE INTO rates VALUES (zeroblob(32), 9000000000000000)")
		p.must(err)
		_, err = db.ExecContext(ctx, "PRAGMA wal_checkpoint(truncate)")
		p.must(err)
	}
	state := func() (epoch int64, marks int) {
		p.Helper()
		p.must(db.QueryRowContext(ctx, "SELECT coalesce(max(bumped), 0), (SELECT count(*) FROM rates WHERE key = zeroblob(32)) FROM epoch").Scan(&epoch, &marks))
		return epoch, marks
	}
	log := func() int64 {
		if info, err := os.Stat(file + "-wal"); err == nil {
			return info.Size()
		}
		return 0
	}
	// put begins it, kills it as soon as at says so, and returns how much was written.
	put := func(at func(since time.Duration, written int64) bool) (written int64, ended error) {
		p.Helper()
		before := log()
		cmd := exec.CommandContext(ctx, binary, "restore", backup, "--config", p.house.Config())
		began := time.Now()
		p.must(cmd.Start())
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		for {
			select {
			case err := <-done:
				return log() - before, err
			default:
			}
			if at(time.Since(began), log()-before) {
				cmd.Process.Kill()
				return log() - before, <-done
			}
			runtime.Gosched()
		}
	}

	mark()
	began := time.Now()
	all, err := put(func(time.Duration, int64) bool { return false })
	p.must(err)
	took := time.Since(began)
	var kills, olds, news, within int
	// On a busy machine some come too late: more of them, until one was in time.
	for ; kills < n || within == 0 && kills < 20*n; kills++ {
		i := kills % n
		mark()
		before, _ := state()
		var whole time.Duration // when all of it was written
		written, _ := put(func(since time.Duration, written int64) bool {
			switch i % 3 {
			case 0:
				return since >= took*time.Duration(i)/time.Duration(n)
			case 1:
				return written >= all*int64(i)/int64(n)
			default:
				if whole == 0 && written >= all {
					whole = since
				}
				return whole > 0 && since-whole >= 4*time.Millisecond*time.Duration(i)/time.Duration(n)
			}
		})
		switch epoch, marks := state(); {
		case epoch == before && marks == 1:
			olds++
			if written > all/10 { // more than the server's chores write
				within++
			}
		case epoch > before && marks == 0:
			news++
		default:
			p.Errorf("kill %d: the epoch was %d and is %d, and there are %d marks", i, before, epoch, marks)
		}
		sound(p.T, file)
	}
	if within == 0 {
		p.Error("no kill came while the database was replaced")
	}
	left, err := filepath.Glob(filepath.Join(p.house.Dir, ".idp-*"))
	p.must(err)
	for _, path := range left {
		p.must(os.Remove(path))
	}
	report(p.T, "restores killed", kills, "KiB that one writes", all>>10, "it takes", took,
		"the old one", olds, "of them half written", within, "the new one", news, "private files left", len(left))
}

// founded kills restores of a backup to where there is no database, n times, at
// moments over the time that one takes: there is none then, or all of it.
func founded(p *parlour, backup string, n int) {
	p.Helper()
	config, err := os.ReadFile(p.house.Config())
	p.must(err)
	dir := p.TempDir()
	file, name := filepath.Join(dir, "idp.db"), filepath.Join(dir, "idp.yaml") // which names idp.db
	p.must(os.WriteFile(name, config, 0o600))
	var took time.Duration
	var none, all int
	for i := range n + 1 {
		cmd := exec.CommandContext(p.Context(), binary, "restore", backup, "--config", name)
		began := time.Now()
		p.must(cmd.Start())
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		if i == 0 { // to see how long it takes
			p.must(<-done)
			took = time.Since(began)
			done <- nil
		}
		select {
		case <-done:
		case <-time.After(took * time.Duration(i-1) / time.Duration(n)): // the first at once
			cmd.Process.Kill()
			<-done
		}
		if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
			none++
		} else {
			all++
			sound(p.T, file)
			if rows(p.T, file, "epoch") == 0 {
				p.Error("what was used up is good again")
			}
		}
		left, err := os.ReadDir(dir)
		p.must(err)
		for _, f := range left {
			if path := filepath.Join(dir, f.Name()); path != name {
				p.must(os.Remove(path))
			}
		}
	}
	if none == 0 || all == 0 {
		p.Errorf("%d times there was none, and %d times all", none, all)
	}
	report(p.T, "restores to where there was none, killed", n, "none", none, "all", all-1) // one was left to end
}
