package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/certtest"
	"github.com/sallyport-id/sallyport/cmd/idp/internal/server"
)

func put(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestACertificateIsReloadedWhenItsFilesChange(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	cert, key := certtest.Pair(t, 1)
	put(t, certFile, cert)
	put(t, keyFile, key)
	var log bytes.Buffer
	c, err := server.LoadCertificate(certFile, keyFile, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	addr := serve(t, server.Config{Certificate: c, Handler: http.NotFoundHandler()})
	serial := func() int64 {
		t.Helper()
		conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	check := func(want int64, when string) {
		t.Helper()
		if got := serial(); got != want {
			t.Errorf("%s: certificate %d is served, want %d", when, got, want)
		}
	}
	check(1, "at first")

	cert, key = certtest.Pair(t, 2)
	put(t, certFile, cert)
	check(1, "with a certificate whose key is still to come")
	put(t, keyFile, key)
	check(2, "with both replaced")

	put(t, keyFile, []byte("nonsense"))
	check(2, "with a broken key")
	check(2, "with a broken key, again")
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	check(2, "with no certificate")

	cert, key = certtest.Pair(t, 3)
	put(t, certFile, cert)
	put(t, keyFile, key)
	check(3, "with all in order again")
	if n := strings.Count(log.String(), "unusable"); n > 3 {
		t.Errorf("the log complained %d times, want once for each change", n)
	}
}

func TestACertificateThatIsNoneIsRefusedAtStart(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/k", []byte("x"))
	for _, cert := range []string{dir + "/none", dir + "/k"} {
		if _, err := server.LoadCertificate(cert, dir+"/k", slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s was accepted", cert)
		}
	}
}

// serve serves c until the test ends and returns the address.
func serve(t *testing.T, c server.Config) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, l, c) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}
