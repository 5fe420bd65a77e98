package faults

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/test/fleet"
	"github.com/sallyport-id/sallyport/test/pg"
)

// among returns the DSN of a cluster with all these hosts in it.
func among(c *pg.Cluster, hosts ...*pg.Cluster) string {
	var all []string
	for _, h := range hosts {
		all = append(all, h.Address())
	}
	return strings.Replace(c.DSN, c.Address(), strings.Join(all, ","), 1)
}

// The primary is killed while people sign in, and its synchronous standby is
// promoted. What they were told is so there, too: what was given is good, and
// what was used or revoked is not.
func TestAFailoverForgetsNothing(t *testing.T) {
	t.Parallel()
	var sinceKill, sincePromotion []time.Duration
	for range times(1, 10) {
		killed, promoted := failover(t)
		sinceKill, sincePromotion = append(sinceKill, killed), append(sincePromotion, promoted)
	}
	report(t, "failovers", len(sinceKill),
		"from the kill until people could sign in again, at most", slices.Max(sinceKill), "in the middle", middle(sinceKill),
		"of that from the end of the promotion, at most", slices.Max(sincePromotion), "in the middle", middle(sincePromotion))
}

func failover(t *testing.T) (killed, promoted time.Duration) {
	primary := cluster(t, "wal_level=replica", "max_wal_senders=4", "synchronous_commit=on")
	standby, err := primary.Standby("second")
	standby = started(t, standby, err)
	if err := primary.Synchronous(t.Context(), "second"); err != nil {
		t.Fatal(err)
	}
	b := balancer(t)
	const users = 200
	h := open(t, fleet.Plan{DSN: among(primary, primary, standby) + "?target_session_attrs=read-write", Users: users, Issuer: b.URL})
	replicas := start(t, h, 2)
	// One comes to the standby first, and was not told what to make of it.
	reconfigure(t, h, among(primary, standby, primary))
	replicas = append(replicas, start(t, h, 1)...)
	refusesStandby(t, h, standby)
	b.Set(replicas...)
	l := newLoad(t, visit(t, h), users)
	l.more("the first families", map[string]int{"code": 10, "refresh": 50, "revoke": 2})

	at := time.Now()
	if err := primary.Stop(pg.Killed); err != nil {
		t.Fatal(err)
	}
	for _, r := range replicas {
		ready(t, r, http.StatusServiceUnavailable)
	}
	l.await("some to be told that it is away", func(_, away map[string]int) bool { return away[""] >= 20 })
	if err := standby.Promote(); err != nil {
		t.Fatal(err)
	}
	promoted = recovers(t, l)
	killed = time.Since(at)
	for _, r := range replicas {
		ready(t, r, http.StatusOK)
	}
	l.more("more to sign in", enough)
	l.Stop()
	l.audit()
	return killed, promoted
}

// reconfigure has the house's next replica use another DSN.
func reconfigure(t *testing.T, h *fleet.House, dsn string) {
	t.Helper()
	b, err := os.ReadFile(h.Config())
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(b), h.DSN, dsn, 1)
	if changed == string(b) {
		t.Fatal("the configuration does not name the database")
	}
	if err := os.WriteFile(h.Config(), []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	h.DSN = dsn
}

// refusesStandby makes sure that a server that is led to a standby alone does
// not start, and says why.
func refusesStandby(t *testing.T, h *fleet.House, standby *pg.Cluster) {
	t.Helper()
	b, err := os.ReadFile(h.Config())
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(h.Dir, "standby.yaml")
	body := strings.Replace(string(b), h.DSN, standby.DSN, 1) + "\nlisten: 127.0.0.1:0\n"
	if err := os.WriteFile(config, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, h.Binary, "serve", "--config", config).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "takes no writes: it is a standby") {
		t.Errorf("over a standby alone it ends with %v and says\n%s", err, out)
	}
}
