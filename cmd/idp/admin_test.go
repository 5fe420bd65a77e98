package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/config"
	"github.com/sallyport-id/sallyport/cmd/idp/internal/notify/smtptest"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

// A desk is where an administrator sits: a configuration and the commands.
type desk struct {
	t    *testing.T
	conf string
}

// newDesk returns a desk whose configuration ends in extra.
func newDesk(t *testing.T, extra string) desk {
	t.Helper()
	d := desk{t, filepath.Join(t.TempDir(), "idp.yaml")}
	if err := os.WriteFile(d.conf, fmt.Appendf(nil, scriptConfig+extra, 1, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

// run carries out a command with stdin and returns what it printed.
func (d desk) run(stdin string, args ...string) string {
	d.t.Helper()
	var out, errs bytes.Buffer
	c := &cli{in: strings.NewReader(stdin), out: &out, err: &errs}
	if code := run(d.t.Context(), c, append(args, "--config", d.conf)); code != succeeded {
		d.t.Fatalf("idp %v ended with %d: %s", args, code, errs.String())
	}
	return out.String()
}

// house opens what the commands work on.
func (d desk) house() *house {
	d.t.Helper()
	conf, err := config.Load(d.conf, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	h, err := newHouse(d.t.Context(), conf, logger(conf.Log, d.t.Output()))
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		if err := h.close(context.Background()); err != nil {
			d.t.Error(err)
		}
	})
	return h
}

func (h *house) subject(t *testing.T, name string) string {
	t.Helper()
	u, err := h.users.ByName(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return u.Subject
}

// AD-3: one act in the trail, and the user is told.
func TestAResetIsRecordedAndTheUserIsTold(t *testing.T) {
	port, mails := smtptest.New(t)
	d := newDesk(t, fmt.Sprintf("notify: {smtp: {host: 127.0.0.1, port: %d, security: none, from: id@example.com}}\n", port))
	d.run(`{"username": "ada", "email": "ada@example.com", "otpauth": "otpauth://totp/Old:ada?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Old"}`,
		"user", "import", "-")
	h := d.house()
	subject := h.subject(t, "ada")
	before, err := h.factors.Status(t.Context(), subject, "")
	if err != nil {
		t.Fatal(err)
	}
	session := provider.Session{
		ID: "s1", Login: authflow.Login{Subject: subject, Epoch: "1"},
		Created: time.Now(), Used: time.Now(), Expires: time.Now().Add(time.Hour),
	}
	if err := h.db.SaveSession(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	d.run("", "user", "reset-factors", "ada")
	if out := d.run("", "user", "sessions", "ada"); !strings.Contains(out, "signed in nowhere") {
		t.Errorf("a session outlived the reset:\n%s", out)
	}
	after, err := h.factors.Status(t.Context(), subject, "")
	if err != nil {
		t.Fatal(err)
	}
	if before.Enrolled == 0 || after.Enrolled != 0 || before.FactorEpoch == after.FactorEpoch {
		t.Errorf("the factors were %+v and are %+v", before, after)
	}
	if mail := <-mails; !strings.Contains(mail, "RCPT TO:<ada@example.com>") || !strings.Contains(mail, "second factor was removed") {
		t.Errorf("the mail is:\n%s", mail)
	}
	events, err := h.db.Activity(t.Context(), subject, 1)
	if err != nil || len(events) != 1 {
		t.Fatalf("%v, %v", events, err)
	}
	if e := events[0]; e.Kind != provider.EventReset || e.Actor != "admin" || e.Outcome != provider.Success {
		t.Errorf("the trail says %+v", e)
	}
}

// PW-1: what the configuration says of passwords, and the name of the service,
// are rules for the commands too.
func TestPasswordsSetByCommandKeepTheRules(t *testing.T) {
	d := newDesk(t, "brand: {name: Quiet Harbour}\n")
	conf, err := os.ReadFile(d.conf)
	if err != nil {
		t.Fatal(err)
	}
	conf = bytes.Replace(conf, []byte("passwords:\n"), []byte("passwords:\n  min_length: 12\n"), 1)
	if err := os.WriteFile(d.conf, conf, 0o600); err != nil {
		t.Fatal(err)
	}
	for pw, want := range map[string]string{
		"two lemons":     "at least 12 characters",
		"quiet harbour1": "little more than your name or the name of this service",
	} {
		var errs bytes.Buffer
		c := &cli{in: strings.NewReader(pw + "\n"), out: io.Discard, err: &errs}
		if code := run(t.Context(), c, []string{"user", "add", "ada", "--config", d.conf}); code != failed || !strings.Contains(errs.String(), want) {
			t.Errorf("%q: ended with %d: %s", pw, code, errs.String())
		}
	}
}

func TestALongImportShowsThatItIsAlive(t *testing.T) {
	d := newDesk(t, "")
	var file strings.Builder
	for i := range 2100 {
		fmt.Fprintf(&file, "{\"username\": \"user%d\"}\n", i)
	}
	var out, errs bytes.Buffer
	c := &cli{in: strings.NewReader(file.String()), out: &out, err: &errs}
	if code := run(t.Context(), c, []string{"user", "import", "-", "--config", d.conf}); code != succeeded {
		t.Fatalf("it ended with %d: %s", code, errs.String())
	}
	if got, want := out.String(), "2100 users added, 0 updated.\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := errs.String(), "1000 lines read, 1000 users added, 0 updated, 0 lines bad\n2000 lines read, 2000 users added, 0 updated, 0 lines bad\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// LG-1, LG-3: every act of an administrator stands in the audit trail.
func TestEveryActOfAnAdministratorIsRecorded(t *testing.T) {
	d := newDesk(t, "")
	d.run("four quiet harbours\n", "user", "add", "ada")
	d.run("seven wooden lighthouses\n", "user", "set-password", "ada")
	for _, act := range []string{"disable", "enable", "unlock", "enroll-ticket"} {
		d.run("", "user", act, "ada")
	}
	d.run("", "user", "sessions", "ada", "--end-all")
	d.run("", "client", "add", "blog", "--redirect-uri", "https://blog.example.com/")
	d.run("", "client", "rotate-secret", "blog")
	d.run("", "client", "remove", "blog")
	d.run("", "keys", "rotate")

	h := d.house()
	var got []string
	for _, subject := range []string{h.subject(t, "ada"), ""} {
		events, err := h.db.Activity(t.Context(), subject, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if subject == "" && e.Subject != "" {
				continue
			}
			got = append(got, fmt.Sprintf("%s %s %s", e.Actor, e.Kind, e.Detail["act"]))
		}
	}
	for _, want := range []string{
		"admin user add", "admin user set-password", "admin user disable", "admin user enable", "admin user unlock",
		"admin user enroll-ticket", "admin user end-everything",
		"admin client added", "admin client secret rotated", "admin client removed", "system keys make",
	} {
		if !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("the trail has no %q, only:\n%s", want, strings.Join(got, "\n"))
		}
	}
}

// The commands and the provider must mean the same account by what attempts are
// counted under, or unlock unlocks nothing.
func TestUnlockLetsAThrottledUserInAgain(t *testing.T) {
	d := newDesk(t, "")
	d.run("four quiet harbours\n", "user", "add", "ada")
	h := d.house()
	if err := errors.Join(h.declare(t.Context()), h.keys.RotateIfDue(t.Context())); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(nil)
	defer s.Close()
	h.config.Issuer = "http://" + s.Listener.Addr().String()
	p, err := h.provider(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Config.Handler = p
	s.Start()

	asks := func(pw string) string {
		v := newVisitor(t)
		v.visit(h.config.Issuer + "/account")
		v.fill("password", "username", "Ada", "password", pw)
		return v.page
	}
	const in = `value="enroll"` // the page behind the password
	if page := asks("four quiet harbours"); !strings.Contains(page, in) {
		t.Fatalf("the right password shows:\n%s", page)
	}
	for range 20 {
		asks("wrong")
	}
	if page := asks("four quiet harbours"); strings.Contains(page, in) {
		t.Fatal("after 20 wrong passwords the right one still opens")
	}
	if out := d.run("", "user", "show", "ada"); !strings.Contains(out, "passwords") || !strings.Contains(out, "idp user unlock") {
		t.Errorf("user show does not tell what keeps the user waiting:\n%s", out)
	}
	d.run("", "user", "unlock", "ada")
	if page := asks("four quiet harbours"); !strings.Contains(page, in) {
		t.Errorf("after unlock the right password shows:\n%s", page)
	}
}
