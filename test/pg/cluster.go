package pg

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sallyport-id/sallyport/test/ports"
)

// A Cluster is a PostgreSQL server of its own on a loopback port, and its data
// in a temporary directory. Start it; it can be stopped, killed and started
// again, always at the same address. Remove it at the end. It is not safe for
// concurrent use.
type Cluster struct {
	DSN string // a URL, of the database postgres and a user who may do all

	bin, dir string
	port     string
	release  func() error // gives up the port
	password string
	settings []string
	as       *syscall.Credential // nil: as we are
	server   *exec.Cmd           // nil: it does not run
	ended    chan error
}

// A Way is how a server is made to end.
type Way syscall.Signal

// The ways, from the gentlest on.
const (
	Fast      = Way(syscall.SIGINT)  // sessions are told, and what is committed is tidied up
	Immediate = Way(syscall.SIGQUIT) // nothing is tidied up: the next start recovers
	Killed    = Way(syscall.SIGKILL) // the postmaster and every backend, unasked
)

func (w Way) String() string {
	return map[Way]string{Fast: "fast", Immediate: "immediate", Killed: "kill -9"}[w]
}

// NewCluster makes the data of one. The settings ("name=value") count beside
// those that every cluster has: fsync is on, since what is tested is tested as
// it will run.
func NewCluster(settings ...string) (_ *Cluster, err error) {
	c, err := empty(rand.Text(), settings)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Remove())
		}
	}()
	pwfile := filepath.Join(c.dir, "password")
	if err := c.write(pwfile, c.password+"\n"); err != nil {
		return nil, err
	}
	return c, c.run("initdb", "--pgdata="+c.data(), "--username=test", "--pwfile="+pwfile,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")
}

// Standby makes a cluster that follows c, which must run, by streaming
// replication under the application name name. Start it; Promote makes a
// primary of it.
func (c *Cluster) Standby(name string) (_ *Cluster, err error) {
	s, err := empty(c.password, c.settings)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Remove())
		}
	}()
	primary := fmt.Sprintf("host=127.0.0.1 port=%s user=test password=%s application_name=%s", c.port, c.password, name)
	if err := s.run("pg_basebackup", "--pgdata="+s.data(), "--dbname="+primary, "--wal-method=stream", "--checkpoint=fast", "--no-sync"); err != nil {
		return nil, err
	}
	s.settings = append(slices.Clone(s.settings), "primary_conninfo="+primary, "hot_standby=on")
	return s, s.write(filepath.Join(s.data(), "standby.signal"), "")
}

// Synchronous lets no commit of c be answered from now on that the standby
// called name has not on its disk, too, and returns when that is so.
func (c *Cluster) Synchronous(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.DSN)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, statement := range []string{"ALTER SYSTEM SET synchronous_standby_names = '" + name + "'", "SELECT pg_reload_conf()"} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	for {
		var n int
		err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_stat_replication WHERE application_name = $1 AND sync_state = 'sync'", name).Scan(&n)
		if err != nil || n > 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the standby does not follow: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Promote makes a primary of a standby, and returns when it is one.
func (c *Cluster) Promote() error {
	return c.run("pg_ctl", "--pgdata="+c.data(), "promote", "--wait", "--timeout=60")
}

// empty is a cluster without data.
func empty(password string, settings []string) (_ *Cluster, err error) {
	c := &Cluster{password: password, settings: settings}
	if c.bin, err = binaries(); err != nil {
		return nil, err
	}
	if c.dir, err = os.MkdirTemp("", "sallyport-pg-"); err != nil {
		return nil, err
	}
	n, release, err := ports.Reserve()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.dir))
	}
	c.port, c.release = strconv.Itoa(n), release
	c.DSN = (&url.URL{
		Scheme: "postgres",
		User:   url.UserPassword("test", c.password),
		Host:   c.Address(),
		Path:   "/postgres",
	}).String()
	if err := c.disown(); err != nil {
		return nil, errors.Join(err, c.Remove())
	}
	return c, nil
}

// Address is where the server listens: host and port.
func (c *Cluster) Address() string { return net.JoinHostPort("127.0.0.1", c.port) }

// disown gives the directory to someone else if we are root, as which
// PostgreSQL refuses to run.
func (c *Cluster) disown() error {
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	c.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(c.dir, uid, gid)
}

// write makes a file that the server can read.
func (c *Cluster) write(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	if c.as == nil {
		return nil
	}
	return os.Chown(path, int(c.as.Uid), int(c.as.Gid))
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
	return "", fmt.Errorf("no PostgreSQL here: install it (Debian: postgresql), or set %s", Env)
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }
func (c *Cluster) log() string  { return filepath.Join(c.dir, "log") }

// tool returns a command of PostgreSQL. It has a process group of its own, so
// that Ctrl-C ends the tests first and the server after them.
func (c *Cluster) tool(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Dir = c.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.as}
	return cmd
}

func (c *Cluster) run(name string, args ...string) error {
	if out, err := c.tool(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// Start starts the server, and waits until it answers.
func (c *Cluster) Start(ctx context.Context) error {
	log, err := os.OpenFile(c.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{"-D", c.data(), "-p", c.port}
	for _, setting := range append([]string{
		"listen_addresses=127.0.0.1",
		"unix_socket_directories=",
		"fsync=on",
		"shared_buffers=32MB",
		"max_connections=200",
		"wal_level=minimal",
		"max_wal_senders=0",
	}, c.settings...) { // of two with one name the last counts
		args = append(args, "-c", setting)
	}
	server := c.tool("postgres", args...)
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		return err
	}
	c.server, c.ended = server, make(chan error, 1)
	go func(ended chan<- error) { ended <- server.Wait() }(c.ended)

	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := c.answers(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-c.ended:
			c.server = nil
			return fmt.Errorf("the server has ended:\n%s", c.Log())
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w\n%s", err, c.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c *Cluster) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.DSN)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// Log is what the server has said, the last 8 KiB of it.
func (c *Cluster) Log() string {
	b, err := os.ReadFile(c.log())
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-8<<10):])
}

// Stop ends the server in this way, and waits until it has ended. One that does
// not run stays as it is.
func (c *Cluster) Stop(way Way) error {
	if c.server == nil {
		return nil
	}
	if way == Killed {
		// A backend can outlive its postmaster for as long as a statement takes,
		// and the data must not be opened beside it. Stopped first, the
		// postmaster cannot start another one.
		_ = c.server.Process.Signal(syscall.SIGSTOP)
		for _, pid := range children(c.server.Process.Pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	_ = c.server.Process.Signal(syscall.Signal(way))
	select {
	case <-c.ended:
	case <-time.After(20 * time.Second):
		_ = c.server.Process.Signal(syscall.SIGQUIT)
		<-c.ended
	}
	c.server = nil
	if way == Killed {
		// Nobody was there to remove it, and its process id may be another's.
		return os.Remove(filepath.Join(c.data(), "postmaster.pid"))
	}
	return nil
}

// Freeze stops the server as a dead machine or a cut cable does: it keeps its
// connections and answers nothing, until Thaw.
func (c *Cluster) Freeze() error { return c.signal(syscall.SIGSTOP) }

// Thaw lets a server go on that was frozen.
func (c *Cluster) Thaw() error { return c.signal(syscall.SIGCONT) }

func (c *Cluster) signal(s syscall.Signal) error {
	errs := []error{c.server.Process.Signal(s)} // first, or it would start others
	for _, pid := range children(c.server.Process.Pid) {
		errs = append(errs, syscall.Kill(pid, s))
	}
	return errors.Join(errs...)
}

// children are the processes that pid has started and that still run.
func children(pid int) (all []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		b, _ := os.ReadFile(list)
		for f := range strings.FieldsSeq(string(b)) {
			if n, err := strconv.Atoi(f); err == nil {
				all = append(all, n)
			}
		}
	}
	return all
}

// Remove stops the server and removes what it wrote.
func (c *Cluster) Remove() error {
	return errors.Join(c.Stop(Fast), c.release(), os.RemoveAll(c.dir))
}
