package storage_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
)

// Environment variables with the DSN of a database for what this test binary
// does when it is begun anew, as a child.
const (
	killedEnv   = "STORAGE_TEST_KILLED"   // writes until it is killed
	provokedEnv = "STORAGE_TEST_PROVOKED" // makes every mistake with secrets in it
)

func TestMain(m *testing.M) {
	if dsn := os.Getenv(killedEnv); dsn != "" {
		fmt.Fprintln(os.Stderr, writeUntilKilled(dsn))
		os.Exit(1)
	}
	if dsn := os.Getenv(provokedEnv); dsn != "" {
		provoke(dsn)
		os.Exit(0)
	}
	status := m.Run()
	if f := flag.Lookup("test.run"); status == 0 && f.Value.String() == "" {
		// Now every statement has been run.
		if err := checkPlans(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	os.Exit(status)
}

// writeUntilKilled spends codes for flows, each in one transaction, and prints
// the ID of what it has committed.
func writeUntilKilled(dsn string) error {
	ctx := context.Background()
	d, err := storage.Open(ctx, storage.Config{DSN: dsn})
	if err != nil {
		return err
	}
	for {
		id := rand.Text()
		if err := d.CreateGrant(ctx, grant(id, noon)); err != nil {
			return err
		}
		err := d.Atomically(ctx, func(ctx context.Context) error {
			return errors.Join(
				d.SpendCode(ctx, id, 1, noon, noon),
				d.CreateFlow(ctx, flow(id, noon)),
				d.Record(ctx, provider.Event{Kind: provider.EventToken, Subject: id, Time: noon}),
			)
		})
		if err != nil {
			return err
		}
		fmt.Println(id)
	}
}

// ST-1
func TestAfterAKillEverythingOrNothingIsThere(t *testing.T) {
	const kills = 12
	dsn := engines[0].dsn(t)
	d := open(t, storage.Config{DSN: dsn})
	must(t, d.Close()) // whoever is killed is alone: what is left is recovered by the next
	committed := map[string]bool{}
	for range kills {
		for _, id := range killed(t, dsn, 1+mathrand.IntN(20)) {
			committed[id] = true
		}
		check(t, dsn)
	}
	d = open(t, storage.Config{DSN: dsn})
	for id := range committed {
		g, err := d.Grant(t.Context(), id)
		if err != nil || g.CodeSpent.IsZero() {
			t.Errorf("%s was committed and is gone: %+v, %v", id, g, err)
		}
	}
	t.Logf("%d transactions survived %d kills", len(committed), kills)
}

// killed starts a child on the database and kills it a moment after its n-th
// transaction, at whatever point it has got to. It returns what the child has
// committed.
func killed(t *testing.T, dsn string, n int) (committed []string) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	child := exec.Command(self)
	child.Env = append(os.Environ(), killedEnv+"="+dsn)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		committed = append(committed, lines.Text())
		if len(committed) == n {
			// At once would always be at the same point of the next one.
			time.Sleep(mathrand.N(10 * time.Millisecond))
			must(t, child.Process.Kill())
		}
	}
	var exit *exec.ExitError
	if err := child.Wait(); !errors.As(err, &exit) || exit.Exited() {
		t.Fatalf("the child was not killed, it ended: %v", err)
	}
	return committed
}

// check opens the database as the next process would, and looks for halves.
func check(t *testing.T, dsn string) {
	t.Helper()
	d, err := storage.Open(t.Context(), storage.Config{DSN: dsn})
	must(t, err)
	defer d.Close()
	var verdict string
	must(t, d.Read(t.Context()).Raw("PRAGMA integrity_check").Scan(&verdict).Error)
	if verdict != "ok" {
		t.Fatalf("the database is damaged: %s", verdict)
	}
	var halves []string
	must(t, d.Read(t.Context()).Raw(`
		SELECT g.id FROM grants g LEFT JOIN flows f ON f.id = g.id LEFT JOIN events e ON e.subject = g.id
		WHERE (g.code_spent > 0) <> (f.id IS NOT NULL) OR (g.code_spent > 0) <> (e.id IS NOT NULL)
		UNION ALL SELECT id FROM flows WHERE id NOT IN (SELECT id FROM grants)`).Scan(&halves).Error)
	if len(halves) > 0 {
		t.Fatalf("half of these was written: %v", halves)
	}
}
