package faults

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sallyport-id/sallyport/test/fleet"
)

// The whole load over three replicas whose DSN asks for SERIALIZABLE, as an
// engine that has nothing weaker would be: a transaction that loses is run
// again, and nobody is told to come again.
func TestTheWholeLoadAtSerializable(t *testing.T) {
	needsPostgres(t)
	t.Parallel()
	b := balancer(t)
	users := times(150, 3000)
	h := open(t, fleet.Plan{Database: "postgres", Users: users, Issuer: b.URL})
	u, err := url.Parse(h.DSN)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("default_transaction_isolation", "serializable")
	u.RawQuery = q.Encode()
	var replicas []*fleet.Replica
	for range 3 {
		r, err := h.StartAt(t.Context(), u.String())
		if err != nil {
			t.Fatal(err)
		}
		replicas = append(replicas, r)
	}
	b.Set(replicas...)

	conn, err := pgx.Connect(t.Context(), h.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	count := func(query string) (n int) {
		t.Helper()
		if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	l := newLoad(t, visit(t, h), users)
	until := time.After(time.Duration(times(0, 60)) * time.Second)
	// Only SERIALIZABLE takes such locks.
	serializable := false
	l.await("enough", func(done, _ map[string]int) bool {
		serializable = serializable || count("SELECT count(*) FROM pg_locks WHERE mode = 'SIReadLock'") > 0
		return serializable && done["code"] >= 30 && done["refresh"] >= 300 && done["revoke"] >= 5
	})
	<-until
	l.Stop()
	report(t, "transactions", count("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"),
		"rolled back, to be run again or not", count("SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()"))
	if _, away := l.count(); away[""] > 0 {
		t.Errorf("%d were told to come again", away[""])
	}
	l.audit()
}
