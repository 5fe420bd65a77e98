// Package fleet runs the real idp, as many processes of it as a test wants over
// one database, and browsers that sign in there. It knows the server by its
// command line, its configuration and HTTP alone, and shares no code with it.
package fleet

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/crypto/argon2"

	"github.com/sallyport-id/sallyport/test/ports"
)

// The clients and the password that every house knows.
const (
	App          = "app" // signs people in, refreshes, and has client credentials
	API          = "api" // introspects
	ClientSecret = "a secret of the load driver, long enough"
	Callback     = "http://127.0.0.1/callback"
	Password     = "correct horse battery staple"
)

// BinaryEnv names a built idp in the environment, so that what runs many
// packages builds it once.
const BinaryEnv = "SALLYPORT_TEST_IDP"

// Build compiles idp, as tests compile it too, or takes the one of BinaryEnv. clean
// removes what it made.
func Build(ctx context.Context) (binary string, clean func(), err error) {
	if binary := os.Getenv(BinaryEnv); binary != "" {
		return binary, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "fleet")
	if err != nil {
		return "", nil, err
	}
	binary = filepath.Join(dir, "idp")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "github.com/sallyport-id/sallyport/cmd/idp")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", nil, errors.Join(fmt.Errorf("building: %w\n%s", err, out), os.RemoveAll(dir))
	}
	return binary, func() { os.RemoveAll(dir) }, nil
}

// A Plan is what a house is to be.
type Plan struct {
	Database string // "sqlite", or "postgres": a new one in the cluster of SALLYPORT_TEST_POSTGRES
	DSN      string // an empty PostgreSQL database to use instead
	File     string // of SQLite; "": idp.db in the house's directory
	Users    int    // with a password and an authenticator app, from Username(0) on
	Hash     bool   // passwords at the default cost, otherwise at next to none
	Issuer   string // the balancer's URL; "": the address of the first replica
	More     string // more of the configuration: YAML, keys that a house does not set
	Level    string // of the log; "": error
}

// A House is a database with users in it, and a configuration for replicas.
type House struct {
	Issuer string
	Dir    string // what replicas keep: configurations, logs, the SQLite file idp.db
	DSN    string // of PostgreSQL, else ""
	Binary string

	port    string         // of the first replica, which the issuer names
	kept    []func() error // give up the ports of the replicas
	body    string         // the configuration but for listen
	begun   int            // replicas so far
	drop    func() error
	keeper  int // the process that PostgreSQL's others are children of; 0: none
	mu      sync.Mutex
	running map[*Replica]bool
}

// Open makes a house with binary; Close it. Nothing serves yet.
func Open(ctx context.Context, binary string, p Plan) (_ *House, err error) {
	h := &House{Binary: binary, DSN: p.DSN, Issuer: p.Issuer, running: map[*Replica]bool{}}
	if h.Dir, err = os.MkdirTemp("", "fleet"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close())
		}
	}()
	kept, err := h.database(ctx, p)
	if err != nil {
		return nil, err
	}
	if h.port, err = h.reserve(); err != nil {
		return nil, err
	}
	if h.Issuer == "" {
		h.Issuer = "http://127.0.0.1:" + h.port
	}
	h.body = h.configuration(kept, p)
	if err := os.WriteFile(h.Config(), []byte(h.body), 0o600); err != nil {
		return nil, err
	}
	if h.DSN != "" {
		if _, err := h.Run(ctx, "migrate", "up"); err != nil {
			return nil, err
		}
	}
	memory, passes := uint32(64), uint32(1) // what insecure_cheap_cost is
	if p.Hash {
		memory, passes = 19<<10, 2 // the default
	}
	return h, h.people(ctx, p.Users, memory, passes)
}

// Config names the configuration that commands run with.
func (h *House) Config() string { return filepath.Join(h.Dir, "idp.yaml") }

// Change makes something else of the configuration, of the commands and of every
// replica there has been; those that run have what they started with.
func (h *House) Change(change func(string) string) error {
	files, err := filepath.Glob(filepath.Join(h.Dir, "*.yaml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(change(string(b))), 0o600); err != nil {
			return err
		}
	}
	h.body = change(h.body)
	return nil
}

// Secrets are the first sealing key and the first secret of tokens, as the
// configuration has them.
func (h *House) Secrets() (sealing, tokens string) {
	_, rest, _ := strings.Cut(h.body, "sealing: [")
	sealing, rest, _ = strings.Cut(rest, "}")
	_, rest, _ = strings.Cut(rest, "tokens: [")
	tokens, _, _ = strings.Cut(rest, "}")
	return sealing + "}", tokens + "}"
}

// Run runs idp with args on the house's configuration, and returns what it
// prints.
func (h *House) Run(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, h.Binary, append(args, "--config", h.Config())...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("idp %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// Close stops every replica and removes the house.
func (h *House) Close() error {
	var errs []error
	for r := range h.alive() {
		errs = append(errs, r.Kill())
	}
	if h.drop != nil {
		errs = append(errs, h.drop())
	}
	for _, release := range h.kept {
		errs = append(errs, release())
	}
	return errors.Join(append(errs, os.RemoveAll(h.Dir))...)
}

// alive is the replicas that run.
func (h *House) alive() map[*Replica]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.running)
}

func (h *House) is(r *Replica, running bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if running {
		h.running[r] = true
	} else {
		delete(h.running, r)
	}
}

// database makes one and returns how the configuration names it.
func (h *House) database(ctx context.Context, p Plan) (string, error) {
	switch {
	case h.DSN != "":
		return "postgres: " + strconv.Quote(h.DSN), nil
	case p.Database == "sqlite":
		return "sqlite: " + strconv.Quote(cmp.Or(p.File, "idp.db")), nil
	}
	cluster := os.Getenv("SALLYPORT_TEST_POSTGRES")
	if p.Database != "postgres" || cluster == "" {
		return "", errors.New("postgres needs a cluster: go run ./test/pg/withpg -- COMMAND")
	}
	dsn, err := url.Parse(cluster)
	if err != nil {
		return "", errors.New("SALLYPORT_TEST_POSTGRES is no URL")
	}
	name := "fleet_" + strings.ToLower(rand.Text())
	// do also finds the process that all of PostgreSQL's are children of.
	do := func(statement string) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		conn, err := pgx.Connect(ctx, cluster)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		h.keeper = parent(int(conn.PgConn().PID()))
		_, err = conn.Exec(ctx, statement)
		return err
	}
	if err := do("CREATE DATABASE " + name); err != nil {
		return "", err
	}
	h.drop = func() error { return do("DROP DATABASE " + name + " WITH (FORCE)") }
	dsn.Path = "/" + name
	h.DSN = dsn.String()
	return "postgres: " + strconv.Quote(h.DSN), nil
}

func (h *House) configuration(kept string, p Plan) string {
	secret := func() string {
		var b [32]byte
		rand.Read(b[:])
		return base64.StdEncoding.EncodeToString(b[:])
	}
	sum := sha256.Sum256([]byte(ClientSecret))
	client := func(id, more string) string {
		return fmt.Sprintf("  - {id: %s, type: web, algorithm: ES256, redirect_uris: [%s], secret_sha256: [%s], %s}\n", id, Callback, hex.EncodeToString(sum[:]), more)
	}
	level := p.Level
	if level == "" {
		level = "error"
	}
	return fmt.Sprintf(`issuer: %s
database: {%s}
secrets: {sealing: [{id: a, key: %s}], tokens: [{secret: %s}]}
trusted_proxies: [127.0.0.1]
log: {level: %s}
limits: {authorize: off, pages: off, passwords: off, pushed_requests: off, token: off, introspection: off, userinfo: off, client_failures: off, address_failures: off}
passwords: {insecure_cheap_cost: %v}
clients:
`, h.Issuer, kept, secret(), secret(), level, !p.Hash) +
		client(App, "scopes: [openid, profile, email, offline_access], grant_types: [authorization_code, refresh_token, client_credentials]") +
		client(API, "introspects: true") + p.More
}

// people imports the users with a hash as the server would make it (RFC 9106),
// so that it has no cause to make another.
func (h *House) people(ctx context.Context, users int, memory, passes uint32) error {
	if users == 0 {
		return nil
	}
	var salt [16]byte
	rand.Read(salt[:])
	key := argon2.IDKey([]byte(Password), salt[:], passes, memory, 1, 32)
	hash := fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$%s$%s", argon2.Version, memory, passes,
		base64.RawStdEncoding.EncodeToString(salt[:]), base64.RawStdEncoding.EncodeToString(key))
	var b strings.Builder
	for i := range users {
		fmt.Fprintf(&b, `{"username": %q, "name": "User %d", "email": "user%d@example.com", "email_verified": true, "password_hash": %q, "otpauth": "otpauth://totp/Load:%s?secret=%s&issuer=Load"}`+"\n",
			Username(i), i, i, hash, Username(i), base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(Secret(i)))
	}
	file := filepath.Join(h.Dir, "users.jsonl")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		return err
	}
	_, err := h.Run(ctx, "user", "import", file)
	return err
}

// reserve returns a port that is the house's until it is closed.
func (h *House) reserve() (string, error) {
	n, release, err := ports.Reserve()
	if err != nil {
		return "", err
	}
	h.kept = append(h.kept, release)
	return strconv.Itoa(n), nil
}
