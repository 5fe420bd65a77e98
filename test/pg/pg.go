// Package pg gives tests a PostgreSQL database. The cluster comes from
// outside, by the environment; withpg makes one for as long as a command runs.
package pg

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Env is the environment variable with the DSN of a cluster, a URL, in which
// tests may make databases.
const Env = "SALLYPORT_TEST_POSTGRES"

// DSN makes a new, empty database and returns its DSN. The database is dropped
// when the test ends. Without a cluster the test fails: one that is left out
// in silence proves nothing.
func DSN(t testing.TB) string {
	t.Helper()
	cluster := os.Getenv(Env)
	if cluster == "" {
		t.Fatalf("%s is not set: run \"make test\", or \"go run ./test/pg/withpg -- go test …\"", Env)
	}
	dsn, err := url.Parse(cluster)
	if err != nil {
		t.Fatalf("%s is no URL", Env)
	}
	name := "t_" + strings.ToLower(rand.Text())
	run(t, cluster, "CREATE DATABASE "+name)
	t.Cleanup(func() { run(t, cluster, "DROP DATABASE "+name+" WITH (FORCE)") })
	dsn.Path = "/" + name
	return dsn.String()
}

func run(t testing.TB, dsn, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatal(err)
	}
}
