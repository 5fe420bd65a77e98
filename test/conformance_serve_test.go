package test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/test/ports"
)

// serveConfig is what someone writes who has idp serve certified. A password is
// enough: a code is good once in thirty seconds, which here are real.
const serveConfig = `issuer: https://127.0.0.1:%[1]d
listen: 127.0.0.1:%[1]d
tls: {cert: tls.crt, key: tls.key}
database: {sqlite: idp.db}
secrets:
  sealing: [{id: k1, key: kKJzVYJtF+lnQq1Hn5NSGgsUYPPBwNbrOnv6bhHRVzE=}]
  tokens: [{secret: o7yMnjVpXv0OrwZTBzNYRdXkfl0q4cmNWbFqQ1uzCcs=}]
private_networks: [127.0.0.0/8]
floor: pwd
passwords: {min_length: 15}
clients:
  - id: suite-1
    name: The suite
    redirect_uris: [%[2]s]
    scopes: &all [openid, profile, email, address, phone, offline_access]
    pkce: optional
    secret_sha256: &secret [%[4]s]
    post_logout_redirect_uris: &left [%[5]s]
  - id: suite-2
    name: The suite
    redirect_uris: ["%[3]s"]
    scopes: *all
    pkce: optional
    secret_sha256: *secret
  - id: suite-back
    name: The suite
    redirect_uris: [%[2]s]
    scopes: *all
    pkce: optional
    secret_sha256: *secret
    post_logout_redirect_uris: *left
    backchannel_logout_uri: %[6]s
  - id: suite-front
    name: The suite
    redirect_uris: [%[2]s]
    scopes: *all
    pkce: optional
    secret_sha256: *secret
    post_logout_redirect_uris: *left
    frontchannel_logout_uri: %[7]s
`

// unhurried are the modules that let time pass, or ask for a second login where
// it has to.
var unhurried = []string{"oidcc-prompt-login", "oidcc-max-age-1", "oidcc-codereuse-30seconds", "oidcc-refresh-token"}

// The server itself, built, configured and run as anyone does, over the network:
// all modules but those that would have to wait.
func TestTheServerPassesTheModulesOverTheNetwork(t *testing.T) {
	s := serveIDP(t)
	for _, p := range plans[:6] {
		for _, m := range p.modules {
			if slices.Contains(unhurried, m.name) {
				continue
			}
			t.Run(p.profile+"/"+m.name+": "+m.shows, func(t *testing.T) {
				e := newExam(t, s.road, s.issuer, p.mode, &person{name: "alice", secret: passwords["alice"]})
				e.ear = s.ear
				e.steps, e.wait = []string{"password"}, func(time.Duration) {}
				m.run(e)
			})
		}
	}
}

// A served is idp serve at work.
type served struct {
	issuer string
	road   http.RoundTripper
	ear    *ear // of a client, on this machine
}

// serveIDP serves until the test ends, and fails it if there was an error in
// the log.
func serveIDP(t *testing.T) served {
	t.Helper()
	dir, bin, port := t.TempDir(), build(t), ports.For(t)
	cert := certificate(t, "127.0.0.1")
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	sum, ear := hash(examSecret), newEar(t, cert)
	for name, text := range map[string][]byte{
		"tls.crt":     pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Leaf.Raw}),
		"tls.key":     pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		"idp.yaml":    fmt.Appendf(nil, serveConfig, port, firstCallback, secondCallback, hex.EncodeToString(sum[:]), leftURI, ear.URL, frameURI),
		"users.jsonl": aliceLine(t),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	conf := filepath.Join(dir, "idp.yaml")
	if out, err := exec.Command(bin, "user", "import", filepath.Join(dir, "users.jsonl"), "--config", conf).CombinedOutput(); err != nil {
		t.Fatalf("idp user import: %v\n%s", err, out)
	}
	var log bytes.Buffer
	cmd := exec.Command(bin, "serve", "--config", conf)
	cmd.Stderr = &log
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+filepath.Join(dir, "tls.crt")) // whom it believes
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil || strings.Contains(log.String(), `"level":"ERROR"`) || t.Failed() {
			t.Errorf("idp serve ended with %v:\n%s", err, log.String())
		}
	})
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	s := served{
		issuer: fmt.Sprintf("https://127.0.0.1:%d", port),
		road:   &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true},
		ear:    ear,
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	poll(t, ctx, "idp serve to be ready", func() bool {
		resp, err := (&http.Client{Transport: s.road}).Get(s.issuer + "/readyz")
		return err == nil && resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	})
	return s
}

// aliceLine is alice in a file of users, with every standard claim.
func aliceLine(t *testing.T) []byte {
	t.Helper()
	hashed, err := bcrypt.GenerateFromPassword([]byte(passwords["alice"]), 10)
	if err != nil {
		t.Fatal(err)
	}
	line, err := json.Marshal(struct {
		Username string `json:"username"`
		provider.Claims
		Hash string `json:"password_hash"`
	}{"alice", fullClaims, string(hashed)})
	if err != nil {
		t.Fatal(err)
	}
	return line
}
