package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/crypto/bcrypt"
)

const (
	clientSecret = "a secret of the load driver, long enough"
	callback     = "http://127.0.0.1/callback"
	password     = "correct horse battery staple"
)

// A server is idp at work.
type server struct {
	issuer string
	ready  time.Duration
	cmd    *exec.Cmd
	dir    string
	drop   func() error // the database, if it is PostgreSQL's
	keeper int          // the process that PostgreSQL's others are children of; 0: none
}

// build compiles the server as make build does.
func build(ctx context.Context) (binary string, clean func(), err error) {
	dir, err := os.MkdirTemp("", "load")
	if err != nil {
		return "", nil, err
	}
	binary = filepath.Join(dir, "idp")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, "./cmd/idp")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", nil, errors.Join(fmt.Errorf("building: %w\n%s", err, out), os.RemoveAll(dir))
	}
	return binary, func() { os.RemoveAll(dir) }, nil
}

// start starts a server over a new database, with its users.
func start(ctx context.Context, binary, database string, p plan) (_ *server, err error) {
	s := &server{}
	if s.dir, err = os.MkdirTemp("", "load"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	kept, err := s.newDatabase(ctx, database)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s.issuer = "http://127.0.0.1:" + port
	config := filepath.Join(s.dir, "idp.yaml")
	if err := os.WriteFile(config, []byte(s.config(port, kept, p.hash)), 0o600); err != nil {
		return nil, err
	}
	if strings.HasPrefix(kept, "postgres") {
		if err := run(ctx, binary, "migrate", "up", "--config", config); err != nil {
			return nil, err
		}
	}
	if err := s.people(ctx, binary, config, p); err != nil {
		return nil, err
	}
	s.cmd = exec.Command(binary, "serve", "--config", config)
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if err := s.await(ctx); err != nil {
		return nil, err
	}
	s.ready = time.Since(began)
	return s, nil
}

// newDatabase makes a database and returns how the configuration names it.
func (s *server) newDatabase(ctx context.Context, database string) (string, error) {
	if database == "sqlite" {
		return "sqlite: idp.db", nil
	}
	cluster := os.Getenv("SALLYPORT_TEST_POSTGRES")
	if database != "postgres" || cluster == "" {
		return "", errors.New("postgres needs a cluster: go run ./test/pg/withpg -- go run ./test/load")
	}
	dsn, err := url.Parse(cluster)
	if err != nil {
		return "", errors.New("SALLYPORT_TEST_POSTGRES is no URL")
	}
	name := "load_" + strings.ToLower(rand.Text())
	// do also finds the process that all of PostgreSQL's are children of.
	do := func(statement string) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		conn, err := pgx.Connect(ctx, cluster)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		s.keeper = parent(int(conn.PgConn().PID()))
		_, err = conn.Exec(ctx, statement)
		return err
	}
	if err := do("CREATE DATABASE " + name); err != nil {
		return "", err
	}
	s.drop = func() error { return do("DROP DATABASE " + name + " WITH (FORCE)") }
	dsn.Path = "/" + name
	return "postgres: " + dsn.String(), nil
}

func (s *server) config(port, kept string, hash bool) string {
	secret := func() string {
		var b [32]byte
		rand.Read(b[:])
		return base64.StdEncoding.EncodeToString(b[:])
	}
	sum := sha256.Sum256([]byte(clientSecret))
	client := func(id, more string) string {
		return fmt.Sprintf("  - {id: %s, type: web, algorithm: ES256, redirect_uris: [%s], secret_sha256: [%s], %s}\n", id, callback, hex.EncodeToString(sum[:]), more)
	}
	return fmt.Sprintf(`issuer: %s
listen: 127.0.0.1:%s
database: {%s}
secrets: {sealing: [{id: a, key: %s}], tokens: [{secret: %s}]}
log: {level: error}
passwords: {insecure_cheap_cost: %v}
clients:
`, s.issuer, port, kept, secret(), secret(), !hash) +
		client("app", "scopes: [openid, profile, email, offline_access], grant_types: [authorization_code, refresh_token, client_credentials]") +
		client("api", "introspects: true")
}

// people imports the users with a hash that is cheap to check. The server makes
// one of its own of it at the first sign-in, at the cost that the plan says.
func (s *server) people(ctx context.Context, binary, config string, p plan) error {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		return err
	}
	var b strings.Builder
	for i := range p.users {
		fmt.Fprintf(&b, `{"username": %q, "name": "User %d", "email": "user%d@example.com", "email_verified": true, "password_hash": %q, "otpauth": "otpauth://totp/Load:%s?secret=%s&issuer=Load"}`+"\n",
			username(i), i, i, hash, username(i), base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secretOf(i)))
	}
	file := filepath.Join(s.dir, "users.jsonl")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		return err
	}
	return run(ctx, binary, "user", "import", file, "--config", config)
}

func run(ctx context.Context, binary string, args ...string) error {
	if out, err := exec.CommandContext(ctx, binary, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("idp %s: %w\n%s", args[0], err, out)
	}
	return nil
}

// await waits until the server says that it is ready.
func (s *server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.issuer+"/readyz", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(r)
		if err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("the server does not get ready: %w\n%s", err, log)
		case <-time.After(time.Millisecond):
		}
	}
}

// stop ends the server and removes what it left.
func (s *server) stop() error {
	var errs []error
	if s.cmd != nil && s.cmd.Process != nil {
		errs = append(errs, s.cmd.Process.Signal(os.Interrupt))
		errs = append(errs, s.cmd.Wait())
	}
	if s.drop != nil {
		errs = append(errs, s.drop())
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}
