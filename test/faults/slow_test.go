package faults

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/test/fleet"
)

// slowly sends begin to the server and then a byte each second, for ever. It
// returns when the server has had enough.
func slowly(address, begin string, stop <-chan struct{}) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, begin); err != nil {
		return nil
	}
	gone := make(chan struct{})
	go func() {
		io.Copy(io.Discard, c)
		close(gone)
	}()
	for {
		select {
		case <-stop:
			return errStopped
		case <-gone:
			return nil
		case <-time.After(time.Second):
			if _, err := io.WriteString(c, "a"); err != nil {
				return nil
			}
		}
	}
}

var errStopped = errors.New("stopped")

// Thousands who send a byte a second, of their headers or of a form, do not
// harm the others, and are not waited for.
func TestSlowClientsDoNotHarmTheOthers(t *testing.T) {
	t.Parallel()
	clients := times(300, 5000)
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	if need := uint64(clients + 200); files.Cur < need {
		t.Fatalf("needs %d open files, and has %d: see ulimit -n", need, files.Cur)
	}
	users := times(100, 1200)
	h := open(t, fleet.Plan{Database: "sqlite", Users: users})
	r := start(t, h, 1)[0]
	site := visit(t, h)
	l := newLoad(t, site, users)
	work := map[string]int{"code": times(10, 300), "refresh": times(50, 2000)}
	began := time.Now()
	l.more("the load without them", work)
	alone, before := time.Since(began), l.lap()

	address := strings.TrimPrefix(r.URL, "http://")
	begins := map[string]string{
		"headers":         "GET /authorize?client_id=app HTTP/1.1\r\nHost: a\r\nX: ",
		"the token form":  "POST /token HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9000\r\n\r\ngrant_type=",
		"a sign-in page":  "POST /flow/AAAAAAAAAAAAAAAAAAAAAA HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9000\r\n\r\nstep=",
		"nothing but one": "G",
	}
	var names []string
	for name := range begins {
		names = append(names, name)
	}
	stop := make(chan struct{})
	var all sync.WaitGroup
	var at, cut atomic.Int64
	byName := map[string]*atomic.Int64{}
	for _, name := range names {
		byName[name] = new(atomic.Int64)
	}
	for i := range clients {
		name := names[i%len(names)]
		all.Go(func() {
			at.Add(1)
			defer at.Add(-1)
			for {
				err := slowly(address, begins[name], stop)
				if err == errStopped {
					return
				}
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				cut.Add(1)
				byName[name].Add(1)
			}
		})
	}
	began = time.Now()
	l.more("the load beside them", work)
	beside, meanwhile := time.Since(began), l.lap()
	// Each kind is cut off.
	l.await("all kinds to be cut off", func(_, _ map[string]int) bool {
		for _, n := range byName {
			if n.Load() == 0 {
				return false
			}
		}
		return true
	})
	memory := r.Memory("VmHWM")
	close(stop)
	all.Wait()
	l.Stop()
	report(t, "slow clients", clients, "cut off", cut.Load(), "memory at most, MiB", memory)
	report(t, "the load took alone", alone, "beside them", beside)
	report(t, "answers took alone (p50, p99, longest)", fmt.Sprint(before), "beside them", fmt.Sprint(meanwhile))
	if _, away := l.count(); away[""] > 0 {
		t.Errorf("%d were told to come again", away[""])
	}
	// What the server lets gather before it collects, as serve says, and what Go
	// does not count.
	if most := 256 + 64*runtime.NumCPU() + 64; memory > most {
		t.Errorf("%d MiB for %d slow clients, want at most %d", memory, clients, most)
	}
	l.audit()
}

// What is too long is refused before it is all there.
func TestOversizedInputIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	h := open(t, fleet.Plan{Database: "sqlite"})
	r := start(t, h, 1)[0]
	address := strings.TrimPrefix(r.URL, "http://")
	const form = "Host: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"
	const enough = 96 << 10 // headers may have 32 KiB, forms 64
	type input struct {
		head   string // as it begins
		rest   string // what comes then, again and again
		status int
	}
	inputs := map[string]input{
		"a long URL":      {"GET /authorize?state=", "a", http.StatusRequestHeaderFieldsTooLarge},
		"a long header":   {"GET /authorize HTTP/1.1\r\nHost: a\r\nX: ", "a", http.StatusRequestHeaderFieldsTooLarge},
		"many headers":    {"GET /authorize HTTP/1.1\r\nHost: a\r\n", "X: a\r\n", http.StatusRequestHeaderFieldsTooLarge},
		"a long cookie":   {"GET /authorize HTTP/1.1\r\nHost: a\r\nCookie: a=", "a", http.StatusRequestHeaderFieldsTooLarge},
		"many cookies":    {"GET /authorize HTTP/1.1\r\nHost: a\r\nCookie: a=b", "; a=b", http.StatusRequestHeaderFieldsTooLarge},
		"a long ID token": {"GET /logout?id_token_hint=", "a", http.StatusRequestHeaderFieldsTooLarge},
	}
	for _, path := range []string{"/token", "/par", "/introspect", "/revoke", "/authorize", "/flow/AAAAAAAAAAAAAAAAAAAAAA", "/logout", "/userinfo"} {
		post := "POST " + path + " HTTP/1.1\r\n" + form
		status := http.StatusRequestEntityTooLarge
		if path == "/userinfo" {
			status = http.StatusBadRequest // with a challenge (RFC 6750 section 3)
		}
		inputs["a long form at "+path] = input{post + "Content-Length: 100000000\r\n\r\na=", "a", status}
		inputs["a form without end at "+path] = input{post + "Transfer-Encoding: chunked\r\n\r\n", "400\r\n" + strings.Repeat("a", 0x400) + "\r\n", status}
	}
	for name, in := range inputs {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		// So much and no more: who waits for the rest waits for ever.
		text := in.head + strings.Repeat(in.rest, enough/len(in.rest))
		go io.WriteString(c, text) // fails where it is not read
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if resp.StatusCode != in.status {
			t.Errorf("%s: answered with %s, want %d", name, resp.Status, in.status)
		}
		resp.Body.Close()
	}
	report(t, "kinds of input", len(inputs), "refused after KiB at most", enough>>10)
}
