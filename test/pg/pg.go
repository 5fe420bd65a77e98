// Package pg gives tests a PostgreSQL database. The cluster comes from
// outside, by the environment; withpg makes one for as long as a command runs.
package pg

import (
	"context"
	"crypto/rand"
	"errors"
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
	dsn, drop, err := New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := drop(); err != nil {
			t.Error(err)
		}
	})
	return dsn
}

// New makes a new, empty database, and returns its DSN and what drops it.
func New(ctx context.Context) (dsn string, drop func() error, err error) {
	cluster := os.Getenv(Env)
	if cluster == "" {
		return "", nil, errors.New(Env + ` is not set: run "make test", or "go run ./test/pg/withpg -- go test …"`)
	}
	u, err := url.Parse(cluster)
	if err != nil {
		return "", nil, errors.New(Env + " is no URL")
	}
	name := "t_" + strings.ToLower(rand.Text())
	if err := run(ctx, cluster, "CREATE DATABASE "+name); err != nil {
		return "", nil, err
	}
	u.Path = "/" + name
	return u.String(), func() error { return run(context.Background(), cluster, "DROP DATABASE "+name+" WITH (FORCE)") }, nil
}

func run(ctx context.Context, dsn, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}
