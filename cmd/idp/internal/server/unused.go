package server

import (
	"net"
	"net/http"
	"sync"
)

// unused are the connections on which no request has ever come. Browsers open
// some in advance, and net/http waits 5 seconds for each before it shuts down:
// Ctrl-C would look as if it did nothing.
type unused struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// follow is a [http.Server.ConnState].
func (u *unused) follow(c net.Conn, state http.ConnState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.conns == nil {
		u.conns = map[net.Conn]struct{}{}
	}
	if state == http.StateNew {
		u.conns[c] = struct{}{}
		return
	}
	delete(u.conns, c)
}

// close closes them.
func (u *unused) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for c := range u.conns {
		c.Close()
	}
}
