package fleet

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// A Cut is a wire to PostgreSQL that can be cut at a write or a commit. It
// follows the protocol (PostgreSQL documentation, chapter 55), to know which
// message writes, and which commits: a COMMIT of a transaction that wrote, or a
// single statement that writes.
type Cut struct {
	listener net.Listener
	to       string
	spare    []string

	mu    sync.Mutex
	in    int // moments until the cut; 0: it is not armed
	at    Moment
	then  func()
	made  string // what was cut at
	wires map[*wire]bool
	all   sync.WaitGroup
}

// A Moment is one at which a wire can be cut.
type Moment string

const (
	Write     Moment = "before a write" // a statement that writes, alone or in a transaction
	Commit    Moment = "before a commit"
	Committed Moment = "after a commit" // before its answer gets back
)

// NewCut makes a wire to the PostgreSQL at to, host and port; Close it. Statements
// that contain one of spare do not count, nor their commits: a server has chores
// that write, too, whenever they come.
func NewCut(to string, spare ...string) (*Cut, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &Cut{listener: l, to: to, spare: spare, wires: map[*wire]bool{}}
	c.all.Go(c.accept)
	return c, nil
}

// DSN returns dsn, a URL, as it leads through the wire, in the clear.
func (c *Cut) DSN(dsn string) (string, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return "", errors.New("the DSN is no URL")
	}
	q := u.Query()
	q.Set("sslmode", "disable")
	u.Host, u.RawQuery = c.listener.Addr().String(), q.Encode()
	return u.String(), nil
}

// Close cuts everything and ends the wire.
func (c *Cut) Close() {
	c.listener.Close()
	c.mu.Lock()
	for w := range c.wires {
		w.close()
	}
	c.mu.Unlock()
	c.all.Wait()
}

// Reset resets every connection (RST), as what stands between may at any time.
func (c *Cut) Reset() {
	c.mu.Lock()
	wires := slices.Collect(maps.Keys(c.wires))
	c.mu.Unlock()
	for _, w := range wires {
		_ = w.client.(*net.TCPConn).SetLinger(0) // so that its end is no goodbye
		w.close()
		w.passing.Wait()
	}
}

// Arm has the wire cut at the n-th such moment from now on, 1 being the next.
// then, unless it is nil, is called before anyone sees that it is cut. The
// connection on which that happens is cut; others are not.
func (c *Cut) Arm(n int, at Moment, then func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in, c.at, c.then, c.made = n, at, then, ""
}

// Disarm returns at which statement the wire was cut since it was armed, "" if
// there was no such moment, and lets everything pass from now on.
func (c *Cut) Disarm() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in = 0
	return c.made
}

// comes counts a moment at which what is written or committed, unless that is
// "", and says whether to cut at it.
func (c *Cut) comes(at Moment, what string) bool {
	if what == "" {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	spared := func(text string) bool { return strings.Contains(strings.ToLower(what), text) }
	if c.in == 0 || at != c.at || slices.ContainsFunc(c.spare, spared) {
		return false
	}
	if c.in--; c.in > 0 {
		return false
	}
	c.made = what
	return true
}

// now calls what is to be called.
func (c *Cut) now() {
	c.mu.Lock()
	then := c.then
	c.mu.Unlock()
	if then != nil {
		then()
	}
}

func (c *Cut) accept() {
	for {
		client, err := c.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", c.to)
		if err != nil {
			client.Close()
			continue
		}
		w := &wire{cut: c, client: client, server: server, status: 'I', texts: map[string]string{}, idle: make(chan struct{}, 1), over: make(chan struct{})}
		for _, pass := range []func(){w.forth, w.back} {
			w.passing.Go(func() {
				pass()
				w.close()
			})
		}
		c.mu.Lock()
		c.wires[w] = true
		c.mu.Unlock()
		c.all.Go(func() {
			w.passing.Wait()
			c.mu.Lock()
			defer c.mu.Unlock()
			delete(c.wires, w)
		})
	}
}

// A wire is one connection.
type wire struct {
	cut            *Cut
	client, server net.Conn
	passing        sync.WaitGroup // both ways

	texts map[string]string // of prepared statements, by name
	bound string            // the text that is executed next
	wrote string            // the last text that wrote in this transaction

	mu     sync.Mutex
	status byte          // of the last ReadyForQuery: I, T, E
	deaf   bool          // nothing gets back any more
	idle   chan struct{} // told at a ReadyForQuery once it is deaf
	over   chan struct{} // closed when nothing is passed on to the server any more
}

func (w *wire) close() {
	w.client.Close()
	w.server.Close()
}

// forth passes on what the client sends.
func (w *wire) forth() {
	defer close(w.over)
	r := bufio.NewReader(w.client)
	first, err := message(r, 0)
	if err != nil {
		return
	}
	if _, err := w.server.Write(first); err != nil {
		return
	}
	for {
		m, err := message(r, 1)
		if err != nil {
			return
		}
		writing, committing := w.read(m)
		if w.cut.comes(Write, writing) || w.cut.comes(Commit, committing) {
			w.cut.now()
			return
		}
		if w.cut.comes(Committed, committing) {
			w.mu.Lock()
			w.deaf = true
			w.mu.Unlock()
			if _, err := w.server.Write(m); err == nil {
				<-w.idle
			}
			w.cut.now()
			return
		}
		if _, err := w.server.Write(m); err != nil {
			return
		}
	}
}

// read returns the statement that the message has run, if that writes, and what
// it commits; "" if it does not.
func (w *wire) read(m []byte) (writing, committing string) {
	w.mu.Lock()
	status := w.status
	w.mu.Unlock()
	body := m[5:]
	word := func() string { // up to the next zero
		s, rest, _ := bytes.Cut(body, []byte{0})
		body = rest
		return string(s)
	}
	switch m[0] {
	case 'Q':
		text := strings.ToLower(word())
		switch {
		case text == "begin":
			w.wrote = ""
		case text == "commit":
			return "", w.wrote
		case writes(text):
			w.wrote = text
			if status == 'I' {
				return text, text
			}
			return text, ""
		}
	case 'P':
		name := word()
		w.texts[name] = word()
	case 'B':
		word()
		w.bound = w.texts[word()]
	case 'E':
		if writes(w.bound) {
			w.wrote = w.bound
			return w.bound, ""
		}
	case 'S':
		text := w.bound
		w.bound = ""
		if writes(text) && status == 'I' {
			return "", w.wrote
		}
	}
	return "", ""
}

func writes(text string) bool {
	verb, _, _ := strings.Cut(strings.TrimSpace(strings.ToLower(text)), " ")
	return verb == "insert" || verb == "update" || verb == "delete" || verb == "with"
}

// back passes on what PostgreSQL answers.
func (w *wire) back() {
	defer close(w.idle)
	r := bufio.NewReader(w.server)
	for {
		m, err := message(r, 1)
		if err != nil {
			return
		}
		w.mu.Lock()
		if m[0] == 'Z' {
			w.status = m[5]
		}
		deaf := w.deaf
		w.mu.Unlock()
		if deaf {
			if m[0] == 'Z' {
				w.idle <- struct{}{}
				<-w.over
				return
			}
			continue
		}
		if _, err := w.client.Write(m); err != nil {
			return
		}
	}
}

// message reads one: a type of so many bytes, a length that counts itself, and
// the rest.
func message(r io.Reader, kind int) ([]byte, error) {
	head := make([]byte, kind+4)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[kind:])
	if n < 4 || n > 1<<24 {
		return nil, errors.New("not PostgreSQL's protocol")
	}
	m := append(head, make([]byte, n-4)...)
	_, err := io.ReadFull(r, m[kind+4:])
	return m, err
}
