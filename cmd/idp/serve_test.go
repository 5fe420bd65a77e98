package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/certtest"
	"github.com/sallyport-id/sallyport/test/ports"
)

// As a supervisor runs it: with a certificate of its own, ended by SIGTERM.
func TestServeSpeaksTLSAndEndsOnSIGTERM(t *testing.T) {
	port := ports.For(t)
	dir := t.TempDir()
	certtest.Write(t, filepath.Join(dir, "tls"))
	conf := strings.ReplaceAll(fmt.Sprintf(scriptConfig, port, port), "issuer: http:", "issuer: https:")
	conf = strings.ReplaceAll(conf, "  insecure_cheap_cost: true\n", "  min_length: 12\n") + "tls: {cert: tls.crt, key: tls.key}\n"
	if err := os.WriteFile(filepath.Join(dir, "idp.yaml"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command("idp", "serve", "--config", filepath.Join(dir, "idp.yaml"))
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	cert, err := os.ReadFile(filepath.Join(dir, "tls.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	var resp *http.Response
	for resp == nil {
		r, err := client.Get(fmt.Sprintf("https://127.0.0.1:%d/.well-known/openid-configuration", port))
		switch {
		case err == nil:
			resp = r
		case strings.Contains(err.Error(), "x509"):
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v\n%s", err, log.String())
		case <-time.After(10 * time.Millisecond): // until it listens
		}
	}
	resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.TLS.Version < tls.VersionTLS12 {
		t.Errorf("it speaks %s over TLS %x", resp.Proto, resp.TLS.Version)
	}
	if got := resp.Header.Get("Strict-Transport-Security"); got == "" {
		t.Error("an https issuer answers without Strict-Transport-Security")
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v:\n%s", err, log.String())
	}
	// LG-2: no secret of the configuration is in the log.
	for _, secret := range []string{"kKJzVYJtF", "o7yMnjVpX", "9f86d08188"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log holds %s…:\n%s", secret, log.String())
		}
	}
}
