package storage_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
)

const secret = "hunter2-secret"

// gorm prints statements with their values when one is slow, fails or finds
// nothing, unless it is told not to. To see all that is printed, by whatever
// way, a child process does it.
//
// LG-2
func TestNothingSecretIsPrinted(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			self, err := os.Executable()
			must(t, err)
			child := exec.Command(self)
			child.Env = append(os.Environ(), provokedEnv+"="+e.dsn(t))
			out, err := child.CombinedOutput()
			if err != nil {
				t.Errorf("the child: %v", err)
			}
			if leaks(string(out)) {
				t.Errorf("printed: %s", out)
			}
			if got, want := strings.Count(string(out), "provoked"), 10; got != want {
				t.Errorf("got %d errors, want %d: %s", got, want, out)
			}
		})
	}
}

// provoke makes the database refuse what has a secret in it, in every way, and
// prints the errors as a program would.
func provoke(dsn string) {
	ctx := context.Background()
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	slog.SetDefault(logger)
	d, err := storage.Open(ctx, storage.Config{DSN: dsn, Logger: logger, AnySchema: true})
	if err == nil {
		err = d.Migrate(ctx)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	provoked := func(err error) {
		if err != nil {
			slog.Error("provoked", "err", err)
			fmt.Printf("%v\n%+v\n", err, err)
		}
	}
	flow := provider.Flow{ID: secret, Request: secret}
	var hash provider.Hash
	copy(hash[:], secret)
	_, notFound := d.Flow(ctx, secret)
	provoked(notFound)
	provoked(d.CreateFlow(ctx, flow)) // well
	provoked(d.CreateFlow(ctx, flow)) // the key is taken
	provoked(d.CreateFlow(ctx, provider.Flow{ID: "f" + secret, Ending: secret}))
	provoked(d.CreatePushed(ctx, provider.PushedRequest{ID: hash, Request: secret}))          // no client
	provoked(d.SaveSession(ctx, provider.Session{ID: secret, Cookie: hash, Address: secret})) // no subject
	provoked(d.SaveAccount(ctx, mfa.Account{Subject: "anna", Secret: secret, Ticket: []byte(secret)}))
	provoked(d.Write(ctx).Exec("INSERT INTO nothing VALUES (?)", secret).Error)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	provoked(d.CreateFlow(cancelled, flow))
	_ = d.Close()
	provoked(d.CreateFlow(ctx, flow))
	provoked(d.Atomically(ctx, func(ctx context.Context) error { return d.CreateFlow(ctx, flow) }))
}

func leaks(s string) bool {
	return strings.Contains(s, secret) || strings.Contains(s, fmt.Sprintf("%x", secret))
}
