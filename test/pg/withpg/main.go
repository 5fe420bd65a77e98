// Withpg runs a command with a PostgreSQL cluster of its own, whose DSN is in
// the environment variable SALLYPORT_TEST_POSTGRES. The cluster is on a
// loopback port, in a temporary directory, and gone when the command ends.
//
//	go run ./test/pg/withpg -- go test ./storage/...
//
// If the variable is set already, that cluster is used and left alone.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sallyport-id/sallyport/test/pg"
)

func main() {
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "usage: withpg -- command [argument …]")
		os.Exit(2)
	}
	code, err := run(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "withpg:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

// run returns the exit code of the command.
func run(args []string) (int, error) {
	// From here on a signal ends the command, and the cluster after it.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	if os.Getenv(pg.Env) != "" {
		return command(args, os.Environ(), signals)
	}
	c, err := newCluster()
	if err != nil {
		return 0, err
	}
	defer c.remove()
	if err := c.start(signals); err != nil {
		return 0, err
	}
	return command(args, append(os.Environ(), pg.Env+"="+c.dsn), signals)
}

// command runs args and hands signals on to it.
func command(args, env []string, signals <-chan os.Signal) (int, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = os.Stdin, os.Stdout, os.Stderr, env
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			_ = cmd.Process.Signal(s)
		case err := <-done:
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				// A command that a signal ended has the code -1.
				return max(exit.ExitCode(), 1), nil
			}
			return 0, err
		}
	}
}

// A cluster is a PostgreSQL server and its data.
type cluster struct {
	bin, dir string
	dsn      string
	password string
	as       *syscall.Credential // nil: as we are
	server   *exec.Cmd
	ended    chan error
}

func newCluster() (_ *cluster, err error) {
	c := &cluster{password: rand.Text(), ended: make(chan error, 1)}
	if c.bin, err = binaries(); err != nil {
		return nil, err
	}
	if c.dir, err = os.MkdirTemp("", "sallyport-pg-"); err != nil {
		return nil, err
	}
	if err := c.init(); err != nil {
		c.remove()
		return nil, err
	}
	return c, nil
}

// binaries returns the directory of the newest PostgreSQL there is.
func binaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	if len(found) > 0 {
		newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
		return filepath.Dir(newest), nil
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	return "", fmt.Errorf("no PostgreSQL here: install it (Debian: postgresql), or set %s", pg.Env)
}

func (c *cluster) init() error {
	pwfile := filepath.Join(c.dir, "password")
	if err := os.WriteFile(pwfile, []byte(c.password+"\n"), 0o600); err != nil {
		return err
	}
	// PostgreSQL refuses to run as root.
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			u, err = user.Lookup("nobody")
		}
		if err != nil {
			return err
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return err
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			return err
		}
		c.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := errors.Join(os.Chown(c.dir, uid, gid), os.Chown(pwfile, uid, gid)); err != nil {
			return err
		}
	}
	initdb := c.tool("initdb", "--pgdata="+c.data(), "--username=test", "--pwfile="+pwfile,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func (c *cluster) data() string { return filepath.Join(c.dir, "data") }
func (c *cluster) log() string  { return filepath.Join(c.dir, "log") }

// tool returns a command of PostgreSQL. It has a process group of its own, so
// that Ctrl-C ends the tests first and the server after them.
func (c *cluster) tool(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Dir = c.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.as}
	return cmd
}

// start starts the server, and waits until it answers.
func (c *cluster) start(signals <-chan os.Signal) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	c.dsn = (&url.URL{
		Scheme: "postgres",
		User:   url.UserPassword("test", c.password),
		Host:   net.JoinHostPort("127.0.0.1", port),
		Path:   "/postgres",
	}).String()
	log, err := os.Create(c.log())
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{"-D", c.data(), "-p", port}
	for _, setting := range []string{
		"listen_addresses=127.0.0.1",
		"unix_socket_directories=",
		"fsync=on", // what is tested is tested as it will run
		"shared_buffers=32MB",
		"max_connections=200",
		"wal_level=minimal",
		"max_wal_senders=0",
	} {
		args = append(args, "-c", setting)
	}
	c.server = c.tool("postgres", args...)
	c.server.Stdout, c.server.Stderr = log, log
	if err := c.server.Start(); err != nil {
		c.server = nil
		return err
	}
	go func() { c.ended <- c.server.Wait() }()

	deadline := time.After(time.Minute)
	for {
		err := c.answers()
		if err == nil {
			return nil
		}
		select {
		case <-c.ended:
			c.server = nil
			return fmt.Errorf("the server has ended:\n%s", c.said())
		case s := <-signals:
			return fmt.Errorf("%v", s)
		case <-deadline:
			return fmt.Errorf("the server does not answer: %w\n%s", err, c.said())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (c *cluster) answers() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.dsn)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

func (c *cluster) said() string {
	b, err := os.ReadFile(c.log())
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// remove stops the server and removes what it wrote.
func (c *cluster) remove() {
	if c.server != nil {
		// To PostgreSQL, SIGINT is a fast shutdown.
		_ = c.server.Process.Signal(os.Interrupt)
		select {
		case <-c.ended:
		case <-time.After(20 * time.Second):
			_ = c.server.Process.Signal(syscall.SIGQUIT)
			<-c.ended
		}
	}
	if err := os.RemoveAll(c.dir); err != nil {
		fmt.Fprintln(os.Stderr, "withpg:", err)
	}
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}
