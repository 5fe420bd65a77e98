package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/config"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
	"github.com/sallyport-id/sallyport/test/ports"
)

// signIn stores a session of the user with this name in which the client was
// given something.
func (h *house) signIn(t *testing.T, name, client string) {
	t.Helper()
	login := authflow.Login{Subject: h.subject(t, name), Epoch: "1"}
	s := provider.Session{ID: "s-" + name, Login: login, Created: time.Now(), Used: time.Now(), Expires: time.Now().Add(time.Hour)}
	copy(s.Cookie[:], name)
	if err := h.db.SaveSession(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	err := h.db.CreateGrant(t.Context(), provider.Grant{
		ID: "g-" + name, Subject: login.Subject, ClientID: client, SessionID: s.ID, Login: login, Expires: s.Expires})
	if err != nil {
		t.Fatal(err)
	}
}

// OA-12: what a command ends, the server tells clients of, in a few seconds; and
// an operator sees what they have not taken.
func TestWhatACommandEndsTheServerTells(t *testing.T) {
	down, told := make(chan bool), make(chan string, 100)
	rp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-down:
			told <- r.PostFormValue("logout_token")
		default:
			w.WriteHeader(http.StatusBadGateway)
			told <- ""
		}
	}))
	t.Cleanup(rp.Close)
	d := newDesk(t, "  - {id: app, name: App, type: spa, redirect_uris: [https://app.example.com/cb], backchannel_logout_uri: '"+rp.URL+"/out'}\n")
	conf, err := config.Load(d.conf, nil)
	if err != nil {
		t.Fatal(err)
	}
	conf.Listen = fmt.Sprint("127.0.0.1:", ports.For(t))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	began := make(chan bool)
	var log bytes.Buffer
	go func() { ended <- serve(ctx, conf, logger(conf.Log, &log), func() { close(began) }) }()
	select {
	case <-began:
	case err := <-ended:
		t.Fatal(err)
	}

	h := d.house()
	if got := d.run("", "logout", "list"); got != "Every client has been told.\n" {
		t.Errorf("it says %q", got)
	}
	if got := d.run("", "logout", "retry"); got != "None was given up.\n" {
		t.Errorf("it says %q", got)
	}
	d.run(`{"username": "ada"}`, "user", "import", "-")
	h.signIn(t, "ada", "app")
	d.run("", "user", "sessions", "ada", "--end", "s-ada")
	await := func() string {
		t.Helper()
		select {
		case token := <-told:
			return token
		case <-time.After(time.Minute):
			t.Fatalf("nobody was told:\n%s", log.String())
			return ""
		}
	}
	if token := await(); token != "" {
		t.Fatalf("told %q", token)
	}
	// The server writes down what came of it.
	var list string
	for until := time.Now().Add(time.Minute); !strings.Contains(list, "it answered 502"); list = d.run("", "logout", "list") {
		if time.Now().After(until) {
			t.Fatalf("the list is\n%s", list)
		}
		time.Sleep(20 * time.Millisecond)
	}
	lines := strings.Split(strings.TrimSpace(list), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "ID") || !strings.Contains(lines[1], "app") || !strings.Contains(lines[1], h.subject(t, "ada")) {
		t.Errorf("the list is\n%s", list)
	}
	if got := d.run("", "logout", "list", "--json"); !strings.Contains(got, `"session_id": "s-ada"`) || !strings.Contains(got, `"tries": 1`) || !strings.Contains(got, `"next": "`) {
		t.Errorf("the list is\n%s", got)
	}
	close(down)
	id, _, _ := strings.Cut(lines[1], " ")
	if got := d.run("", "logout", "retry", id); got != "1 will be tried again by the server, in a few seconds.\n" {
		t.Errorf("it says %q", got)
	}
	if token := await(); strings.Count(token, ".") != 2 {
		t.Errorf("told %q", token)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := d.run("", "logout", "list"); got != "Every client has been told.\n" {
		t.Errorf("it says %q", got)
	}
	var out bytes.Buffer
	c := &cli{in: os.Stdin, out: &out, err: &out}
	if code := run(t.Context(), c, []string{"logout", "retry", "nobody's", "--config", d.conf}); code != failed || !strings.Contains(out.String(), "see: idp logout list") {
		t.Errorf("%d: %s", code, out.String())
	}
	// LG-2
	if strings.Contains(log.String(), "eyJ") || !strings.Contains(log.String(), `"msg":"logout delivered"`) {
		t.Errorf("the log is\n%s", log.String())
	}
}
