// Package ports keeps ports for servers that are yet to be started. A port that is
// merely found free may be someone else's by then, and whoever waits for the server
// to answer there gets another's answer.
package ports

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"
)

// Reserve returns a port of 127.0.0.1 that is given to nobody else until release is
// called: neither to a listener that asks for any port, nor to a connection. A server
// that is told the port can listen there, again and again, if it sets SO_REUSEADDR, as
// Go's, PostgreSQL and Apache do: Linux lets it share a port that is bound and not
// listened on (socket(7)).
func Reserve() (port int, release func() error, err error) {
	fd, err := socket()
	if err != nil {
		return 0, nil, fmt.Errorf("ports: %w", os.NewSyscallError("socket", err))
	}
	release = sync.OnceValue(func() error { return os.NewSyscallError("close", syscall.Close(fd)) })
	if port, err = bind(fd); err != nil {
		return 0, nil, errors.Join(fmt.Errorf("ports: %w", err), release())
	}
	return port, release, nil
}

// For reserves a port for as long as t runs.
func For(t testing.TB) int {
	t.Helper()
	port, release, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := release(); err != nil {
			t.Error(err)
		}
	})
	return port
}

// socket makes one that no child inherits.
func socket() (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	return fd, err
}

func bind(fd int) (int, error) {
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, os.NewSyscallError("bind", err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, os.NewSyscallError("getsockname", err)
	}
	return at.(*syscall.SockaddrInet4).Port, nil
}
