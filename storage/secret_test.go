package storage_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
)

// gorm prints statements with their values when one is slow, fails or finds
// nothing, unless it is told not to.
//
// LG-2
func TestNothingSecretIsPrinted(t *testing.T) {
	const secret = "hunter2-secret"
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			var errs []error
			printed := captured(t, func(logger *slog.Logger) {
				d := open(t, storage.Config{DSN: e.dsn(t), Logger: logger})
				flow := provider.Flow{ID: secret, Request: secret}
				var hash provider.Hash
				copy(hash[:], secret)
				session := provider.Session{ID: secret, Cookie: hash, Address: secret}
				_, notFound := d.Flow(t.Context(), secret)
				errs = append(errs,
					d.CreateFlow(t.Context(), flow),
					d.CreateFlow(t.Context(), flow),                                               // the key is taken
					d.CreateFlow(t.Context(), provider.Flow{ID: "\x00" + secret, Ending: secret}), // a check fails
					d.SaveSession(t.Context(), session),                                           // a check fails: no subject
					d.SaveAccount(t.Context(), mfa.Account{Subject: "anna", Secret: secret, Ticket: []byte(secret)}),
					notFound,
					d.Write(t.Context()).Exec("INSERT INTO nothing VALUES (?)", secret).Error,
				)
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				errs = append(errs, d.CreateFlow(ctx, flow))
				if err := d.Close(); err != nil {
					t.Error(err)
				}
				errs = append(errs, d.CreateFlow(t.Context(), flow))
				errs = append(errs, d.Atomically(t.Context(), func(context.Context) error { return nil }))
			})
			for i, err := range errs {
				if (err == nil) != (i == 0) {
					t.Errorf("error %d is %v; the test does not do what it should", i, err)
				}
				if leaks(fmt.Sprintf("%v %+v", err, err), secret) {
					t.Errorf("error %d says %v", i, err)
				}
			}
			if leaks(printed, secret) {
				t.Errorf("printed: %s", printed)
			}
			if !strings.Contains(printed, "00001_initial.sql") {
				t.Errorf("what was printed was not caught: %q", printed)
			}
		})
	}
}

func leaks(s, secret string) bool {
	return strings.Contains(s, secret) || strings.Contains(s, fmt.Sprintf("%x", secret))
}

// captured returns everything that f printed, by whatever way.
func captured(t *testing.T, f func(logger *slog.Logger)) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var printed bytes.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(&printed, r)
	}()
	stdout, stderr, logs, slogs := os.Stdout, os.Stderr, log.Writer(), slog.Default()
	defer func() {
		os.Stdout, os.Stderr = stdout, stderr
		slog.SetDefault(slogs)
		log.SetOutput(logs)
	}()
	os.Stdout, os.Stderr = w, w
	logger := slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
	slog.SetDefault(logger)
	log.SetOutput(w)
	f(logger)
	_ = w.Close()
	<-read
	return printed.String()
}
