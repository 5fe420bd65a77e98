package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sallyport-id/sallyport/test/pg"
	"github.com/sallyport-id/sallyport/test/ports"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"idp": main})
}

// The scripts are the manual of the command, and this is whether it is true.
func TestScripts(t *testing.T) { scripts(t, "testdata", nil) }

func TestScriptsOnPostgres(t *testing.T) {
	dsn := pg.DSN(t)
	scripts(t, "testdata/postgres", []string{"SALLYPORT_POSTGRES=" + dsn})
}

func scripts(t *testing.T, dir string, environ []string) {
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			port, release, err := ports.Reserve()
			if err != nil {
				return err
			}
			e.Defer(func() { release() })
			e.Vars = append(append(e.Vars, environ...), "PORT="+strconv.Itoa(port),
				"GORACE=atexit_sleep_ms=10") // of a race detector that would wait a second at each end
			return os.WriteFile(e.WorkDir+"/idp.yaml", fmt.Appendf(nil, scriptConfig, port, port), 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"get": get, "ahead": ahead},
	})
}

// scriptConfig is the idp.yaml of every script that has none of its own.
const scriptConfig = `issuer: http://127.0.0.1:%d
listen: 127.0.0.1:%d
database:
  sqlite: idp.db
secrets:
  sealing:
    - id: k1
      key: kKJzVYJtF+lnQq1Hn5NSGgsUYPPBwNbrOnv6bhHRVzE=
  tokens:
    - secret: o7yMnjVpXv0OrwZTBzNYRdXkfl0q4cmNWbFqQ1uzCcs=
passwords:
  insecure_cheap_cost: true
clients:
  - id: wiki
    name: The wiki
    redirect_uris: [https://wiki.example.com/callback]
    secret_sha256: [9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08]
`

// ahead puts the epoch of the database FILE an hour ahead, as a wrong clock does.
func ahead(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ahead FILE")
	}
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	defer db.Close()
	_, err = db.Exec("UPDATE epoch SET bumped = ?", time.Now().Add(time.Hour).UnixMicro())
	ts.Check(err)
}

// get prints what the server answers to PATH, once there is one.
func get(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: get PATH")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		r, err := http.NewRequestWithContext(ctx, "GET", "http://127.0.0.1:"+ts.Getenv("PORT")+args[0], nil)
		ts.Check(err)
		resp, err := http.DefaultClient.Do(r)
		if err == nil {
			body, err := io.ReadAll(resp.Body)
			ts.Check(err)
			ts.Check(resp.Body.Close())
			fmt.Fprintf(ts.Stdout(), "%d\n%s", resp.StatusCode, strings.TrimSpace(string(body)))
			return
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("no answer: %v", err)
		case <-time.After(20 * time.Millisecond): // until it listens
		}
	}
}
