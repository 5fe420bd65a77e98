package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/server"
)

// A journal is a log that a test can wait for.
type journal struct {
	mu    sync.Mutex
	grown sync.Cond
	b     bytes.Buffer
}

func newJournal() *journal {
	j := &journal{}
	j.grown.L = &j.mu
	return j
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.grown.Broadcast()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// line returns the line that holds text. It waits for it: a request is logged
// after it was answered.
func (j *journal) line(text string) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		for line := range strings.Lines(j.b.String()) {
			if strings.Contains(line, text) {
				return line
			}
		}
		j.grown.Wait()
	}
}

func get(t *testing.T, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func TestHealthTellsWhatIsToBeTold(t *testing.T) {
	broken := errors.New("the password of the database is hunter2")
	var fault error
	addr := serve(t, server.Config{
		Handler: http.NotFoundHandler(),
		Ready:   func(context.Context) error { return fault },
	})
	for _, c := range []struct {
		path   string
		fault  error
		status int
	}{
		{"/healthz", nil, 200}, {"/healthz", broken, 200},
		{"/readyz", nil, 200}, {"/readyz", broken, 503},
		{"/healthz/", nil, 404}, {"/", nil, 404},
	} {
		fault = c.fault
		resp, body := get(t, "http://"+addr+c.path)
		if resp.StatusCode != c.status {
			t.Errorf("%s with %v: got %d, want %d", c.path, c.fault, resp.StatusCode, c.status)
		}
		if strings.Contains(body, "hunter2") {
			t.Errorf("%s tells strangers what is wrong: %s", c.path, body)
		}
	}
}

type idKey struct{}

// LG-2: the log knows the path and not the query, which carries codes.
func TestEachRequestIsLoggedWithoutItsQuery(t *testing.T) {
	log := newJournal()
	seen := make(chan string, 1)
	addr := serve(t, server.Config{
		Log:     slog.New(slog.NewJSONHandler(log, nil)),
		Proxies: server.Proxies{netip.MustParsePrefix("127.0.0.0/8")},
		WithRequestID: func(ctx context.Context, id string) context.Context {
			return context.WithValue(ctx, idKey{}, id)
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen <- r.Context().Value(idKey{}).(string)
			w.WriteHeader(http.StatusTeapot)
			io.WriteString(w, "short and stout")
		}),
	})
	resp, _ := get(t, "http://"+addr+"/callback?code=hunter2&state=hunter2",
		"Authorization", "Bearer hunter2", "Cookie", "c=hunter2", "X-Forwarded-For", "198.51.100.7")
	id := <-seen
	if got := resp.Header.Get("X-Request-Id"); got != id || id == "" {
		t.Errorf("the answer names request %q, the context %q", got, id)
	}
	line := log.line("/callback")
	var entry map[string]any
	if err := json.Unmarshal([]byte(line), &entry); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]any{
		"request_id": id, "method": "GET", "path": "/callback", "status": 418.0, "bytes": 15.0, "address": "198.51.100.7",
	} {
		if entry[k] != want {
			t.Errorf("%s: got %v, want %v", k, entry[k], want)
		}
	}
	if strings.Contains(log.String(), "hunter2") {
		t.Errorf("the log holds a secret: %s", log.String())
	}

	get(t, "http://"+addr+"/b", "X-Request-Id", "chosen-by-the-proxy")
	if got := <-seen; got != "chosen-by-the-proxy" {
		t.Errorf("the id of a listed proxy became %s", got)
	}
	get(t, "http://"+addr+"/b", "X-Request-Id", `"><script>`)
	if got := <-seen; strings.Contains(got, "script") {
		t.Errorf("an id of any form was taken: %s", got)
	}
}

func TestAnIDOfAStrangerIsNotTaken(t *testing.T) {
	addr := serve(t, server.Config{Handler: http.NotFoundHandler()})
	resp, _ := get(t, "http://"+addr+"/", "X-Request-Id", "chosen-by-a-stranger")
	if got := resp.Header.Get("X-Request-Id"); got == "" || got == "chosen-by-a-stranger" {
		t.Errorf("got id %q, want one of our own", got)
	}
}

func TestEveryRequestHasAnEnd(t *testing.T) {
	addr := serve(t, server.Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		end, ok := r.Context().Deadline()
		if left := time.Until(end); !ok || left > 20*time.Second {
			t.Errorf("it may take %v (%v), want 20s", left, ok)
		}
	})})
	get(t, "http://"+addr+"/")
}

func TestAPanicIsAnsweredAndLogged(t *testing.T) {
	log := newJournal()
	addr := serve(t, server.Config{
		Log:     slog.New(slog.NewTextHandler(log, nil)),
		Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") }),
	})
	resp, body := get(t, "http://"+addr+"/")
	if resp.StatusCode != 500 || !strings.Contains(body, resp.Header.Get("X-Request-Id")) || strings.Contains(body, "boom") {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
	if !strings.Contains(log.line("msg=panic"), "boom") {
		t.Error("the log does not say what happened")
	}
}

func TestWhoIsBeingServedIsServedToTheEnd(t *testing.T) {
	entered, leave := make(chan bool), make(chan bool)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- server.Serve(ctx, l, server.Config{
			Log: slog.New(slog.DiscardHandler),
			Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				entered <- true
				<-leave
				io.WriteString(w, "served")
			}),
		})
	}()
	body := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + l.Addr().String())
		if err != nil {
			body <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		body <- string(b)
	}()
	<-entered
	stop()
	// The listener closes first; only then is it certain that the end began.
	for {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			break
		}
		c.Close()
	}
	leave <- true
	if got := <-body; got != "served" {
		t.Errorf("who was being served got %q", got)
	}
	if err := <-done; err != nil {
		t.Errorf("the server ended with %v", err)
	}
}

// Browsers open connections in advance. net/http waits for them, longer than
// the grace here.
func TestNobodyWaitsForAConnectionOnWhichNothingCame(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- server.Serve(ctx, l, server.Config{
			Handler: http.NotFoundHandler(), Log: slog.New(slog.DiscardHandler), Grace: 3 * time.Second,
		})
	}()
	quiet, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer quiet.Close()
	// Connections are taken in order: this one is answered, so that one is there.
	get(t, "http://"+l.Addr().String()+"/")
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestTheEndIsBounded(t *testing.T) {
	entered, leave := make(chan bool), make(chan bool)
	defer close(leave)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- server.Serve(ctx, l, server.Config{
			Log: slog.New(slog.DiscardHandler), Grace: time.Millisecond,
			Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				entered <- true
				<-leave
			}),
		})
	}()
	go http.Get("http://" + l.Addr().String())
	<-entered
	stop()
	if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want that it took too long", err)
	}
}
