// Withpg runs a command with a PostgreSQL cluster of its own, whose DSN is in
// the environment variable SALLYPORT_TEST_POSTGRES. The cluster is on a
// loopback port, in a temporary directory, and gone when the command ends.
//
//	go run ./test/pg/withpg -- go test ./storage/...
//
// With -unsafe before the --, it does not wait for the disk: what a killed
// process has committed is there, but not what a power cut would take.
//
// If the variable is set already, that cluster is used and left alone.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/sallyport-id/sallyport/test/pg"
)

func main() {
	args, unsafe := os.Args[1:], false
	if len(args) > 0 && args[0] == "-unsafe" {
		args, unsafe = args[1:], true
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "usage: withpg [-unsafe] -- command [argument …]")
		os.Exit(2)
	}
	code, err := run(args, unsafe)
	if err != nil {
		fmt.Fprintln(os.Stderr, "withpg:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

// run returns the exit code of the command.
func run(args []string, unsafe bool) (int, error) {
	// From here on a signal ends the command, and the cluster after it.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	if os.Getenv(pg.Env) != "" {
		return command(args, os.Environ(), signals)
	}
	var settings []string
	if unsafe {
		settings = []string{"fsync=off", "full_page_writes=off"}
	}
	c, err := pg.NewCluster(settings...)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err := c.Remove(); err != nil {
			fmt.Fprintln(os.Stderr, "withpg:", err)
		}
	}()
	if err := start(c, signals); err != nil {
		return 0, err
	}
	return command(args, append(os.Environ(), pg.Env+"="+c.DSN), signals)
}

// start starts the server, unless a signal comes first.
func start(c *pg.Cluster, signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(context.Background())
	started := make(chan error, 1)
	go func() { started <- c.Start(ctx) }()
	defer cancel()
	select {
	case err := <-started:
		return err
	case s := <-signals:
		cancel()
		<-started
		return fmt.Errorf("%v", s)
	}
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
