package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
	"golang.org/x/net/html"
)

// A screen is what a command prints, for a test that reads while it runs.
type screen struct {
	mu    sync.Mutex
	grown sync.Cond
	b     bytes.Buffer
	ended bool
}

func newScreen() *screen {
	s := &screen{}
	s.grown.L = &s.mu
	return s
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grown.Broadcast()
	return s.b.Write(p)
}

func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.grown.Broadcast()
}

// until waits until text is there, and returns all that is.
func (s *screen) until(t *testing.T, text string) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !strings.Contains(s.b.String(), text) {
		if s.ended {
			t.Fatalf("it ended without saying %q:\n%s", text, s.b.String())
		}
		s.grown.Wait()
	}
	return s.b.String()
}

// A running is the demo, running.
type running struct {
	out, err *screen
	cancel   context.CancelFunc
	code     chan int

	app, provider, username, password string
}

func startDemo(t *testing.T, dir string, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	d := &running{out: newScreen(), err: newScreen(), cancel: cancel, code: make(chan int, 1)}
	go func() {
		c := &cli{in: strings.NewReader(""), out: d.out, err: d.err}
		code := run(ctx, c, append([]string{"demo", "--dir", dir, "--verbose"}, args...))
		d.code <- code
		d.out.end()
	}()
	t.Cleanup(cancel)
	text := d.out.until(t, "Ctrl-C stops.")
	for name, into := range map[string]*string{
		"The demo app": &d.app, "The provider": &d.provider, "Username": &d.username, "Password": &d.password,
	} {
		m := regexp.MustCompile(name + ` +(\S+)`).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("the terminal names no %s:\n%s", name, text)
		}
		*into = m[1]
	}
	return d
}

func (d *running) stop(t *testing.T) {
	t.Helper()
	d.cancel()
	if code := <-d.code; code != 0 {
		t.Fatalf("it ended with %d:\n%s", code, d.err.b.String())
	}
}

// A visitor is someone with a browser.
type visitor struct {
	t    *testing.T
	http *http.Client
	at   *url.URL
	page string
}

func newVisitor(t *testing.T) *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, http: &http.Client{Jar: jar}}
}

func (v *visitor) open(resp *http.Response, err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	v.at, v.page = resp.Request.URL, string(b)
}

func (v *visitor) visit(url string) {
	v.t.Helper()
	v.open(v.http.Get(url))
}

// fill sends the form of the page that is for step, with values.
func (v *visitor) fill(step string, values ...string) {
	v.t.Helper()
	v.submit(step, func(form url.Values, _ string) bool { return form.Get("step") == step }, values)
}

// press sends the form of the page that has this action, with values.
func (v *visitor) press(action string, values ...string) {
	v.t.Helper()
	v.submit(action, func(_ url.Values, to string) bool { return to == action }, values)
}

func (v *visitor) submit(what string, is func(form url.Values, action string) bool, values []string) {
	v.t.Helper()
	doc, err := html.Parse(strings.NewReader(v.page))
	if err != nil {
		v.t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != "form" {
			continue
		}
		form, action := url.Values{}, ""
		for _, a := range n.Attr {
			if a.Key == "action" {
				action = a.Val
			}
		}
		for in := range n.Descendants() {
			if name := attr(in, "name"); in.Data == "input" && name != "" {
				form.Set(name, attr(in, "value"))
			}
		}
		if !is(form, action) {
			continue
		}
		for i := 0; i < len(values); i += 2 {
			form.Set(values[i], values[i+1])
		}
		to, err := v.at.Parse(action)
		if err != nil {
			v.t.Fatal(err)
		}
		v.open(v.http.PostForm(to.String(), form))
		return
	}
	v.t.Fatalf("the page at %s has no form for %s:\n%s", v.at, what, v.page)
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func (v *visitor) sees(texts ...string) {
	v.t.Helper()
	for _, text := range texts {
		if !strings.Contains(v.page, text) {
			v.t.Fatalf("the page at %s does not say %q:\n%s", v.at, text, v.page)
		}
	}
}

// enrol signs in for the first time, up to the recovery codes, and returns what
// shows codes. The one of this moment is used up.
func (v *visitor) enrol(d *running) (code func(later time.Duration) string) {
	t := v.t
	t.Helper()
	v.visit(d.app + "/login")
	v.fill("password", "username", d.username, "password", d.password)
	v.fill("enroll")
	m := regexp.MustCompile(`href="(otpauth:[^"]+)"`).FindStringSubmatch(v.page)
	if m == nil {
		t.Fatalf("no otpauth link:\n%s", v.page)
	}
	key, err := otp.NewKeyFromURL(html.UnescapeString(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	if got := key.Issuer(); got != "Sallyport demo" {
		t.Errorf("the authenticator app will show %q", got)
	}
	code = func(later time.Duration) string {
		code, err := totp.GenerateCode(key.Secret(), time.Now().Add(later))
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	v.fill("confirm", "code", code(0))
	return code
}

// The demo as someone sees it who starts it for the first time, and again.
func TestTheDemoFromTheFirstSignInToTheNextStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	d := startDemo(t, dir, "--port", "18080")
	v := newVisitor(t)
	v.visit(d.app)
	v.sees("Sign in")
	code := v.enrol(d)
	v.fill("saved")
	v.sees("Demo app")
	v.fill("consent", "decision", "allow")
	if got := v.at.String(); got != d.app+"/" {
		t.Fatalf("landed at %s, want the app:\n%s", got, v.page)
	}
	v.sees("Hello, <bdi>Ada Byron</bdi>", "a password and a one-time code", "two factors", "mfa",
		"ada@example.com (verified)", "44 20 7946 0018", "London", "engines, mathematics", "&#34;otp&#34;")

	// Again: no enrolment and no consent, but a password and a code. The step
	// of the first code is used up; the next one is good already.
	v.visit(d.app + "/login?again=1")
	v.fill("password", "username", d.username, "password", d.password)
	v.fill("otp", "code", code(30*time.Second))
	v.sees("Hello")

	d.stop(t)
	if text := d.out.until(t, "Stopped."); strings.Contains(d.err.b.String(), d.password) {
		t.Errorf("the log shows the password:\n%s%s", d.err.b.String(), text)
	}

	// The next start has the same addresses, and the session at the provider is
	// still there: the app, which has forgotten everyone, asks for no page.
	e := startDemo(t, dir)
	if e.app != d.app || e.provider != d.provider || e.password != d.password {
		t.Errorf("the second start has %s, %s, %s; the first had %s, %s, %s", e.app, e.provider, e.password, d.app, d.provider, d.password)
	}
	v.visit(e.app)
	v.sees("Welcome")
	v.visit(e.app + "/login")
	v.sees("Hello", "one-time code")

	// A second demo in the same directory finds its port taken and says so.
	var out, errs bytes.Buffer
	if code := run(t.Context(), &cli{out: &out, err: &errs}, []string{"demo", "--dir", dir}); code != failed ||
		!strings.Contains(errs.String(), "Does the demo run already?") {
		t.Errorf("a second demo ended with %d: %s", code, errs.String())
	}

	// The other commands work on it meanwhile.
	if code := run(t.Context(), &cli{out: &out, err: &errs}, []string{"user", "show", "ada", "--config", filepath.Join(dir, "idp.yaml")}); code != 0 ||
		!strings.Contains(out.String(), "authenticator app") {
		t.Errorf("user show ended with %d: %s%s", code, out.String(), errs.String())
	}
	e.stop(t)
}

// A demo of a version that had no bank finds everything still there, and a bank.
func TestADemoOfAnEarlierVersionLearnsToSendMoney(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	d, was := earlierDemo(t, dir, 18110)
	r := startDemo(t, dir)
	if r.app != d.App || r.provider != d.Issuer || r.password != d.Password {
		t.Errorf("it is at %s and %s; the earlier one was at %s and %s", r.app, r.provider, d.App, d.Issuer)
	}
	v := newVisitor(t)
	code := v.enrol(r)
	v.fill("saved")
	v.fill("consent", "decision", "allow")
	v.sees("Hello", "1000.00 EUR of play money", "Nothing has been sent yet.")
	v.press("/send", "amount", "20", "payee", "Grace")
	v.sees("Send money", "Pay 20.00 EUR", "to Grace")
	v.fill("otp", "code", code(30*time.Second))
	v.sees("Pay 20.00 EUR")
	v.fill("consent", "decision", "allow")
	if got := v.at.String(); got != r.app+"/sent" {
		t.Fatalf("landed at %s:\n%s", got, v.page)
	}
	v.sees("20.00 EUR sent to <bdi>Grace</bdi>", "980.00 EUR left", "403 insufficient_scope", "amr pwd otp", "acr mfa", "&#34;payee&#34;: &#34;Grace&#34;")
	v.visit(r.app)
	v.press("/send", "amount", "20", "payee", "Grace")
	v.fill("cancel")
	v.sees("nothing was sent", "980.00 EUR of play money")
	r.stop(t)

	// Once it is there it stays as it is.
	if now, err := os.ReadFile(filepath.Join(dir, "idp.yaml")); err != nil || bytes.Equal(now, was) {
		t.Errorf("the configuration did not grow: %v", err)
	}
	again, first, err := openDemo(dir, 1)
	if err != nil || first || again.Bank == "" {
		t.Errorf("opened again: %+v, %v, %v", again, first, err)
	}
}

// earlierDemo makes a demo as the version before the bank made it, and returns
// its configuration.
func earlierDemo(t *testing.T, dir string, port int) (*demo, []byte) {
	t.Helper()
	d, _, err := openDemo(dir, port)
	if err != nil {
		t.Fatal(err)
	}
	d.Bank = ""
	conf, err := d.configuration()
	state, err2 := d.state()
	if err := errors.Join(err, err2, os.Remove(d.file(paymentFile)), d.write([]made{{"idp.yaml", conf}, {demoFile, state}})); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(conf, []byte("transfer")) || bytes.Contains(state, []byte("bank")) {
		t.Fatalf("this is not the earlier version:\n%s%s", conf, state)
	}
	return d, conf
}

// A start that was interrupted while the demo grew is gone on with; what was
// changed by hand stays as it is.
func TestAnEarlierDemoGrowsWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	d, was := earlierDemo(t, dir, 18130)
	grown, _, err := openDemo(dir, 1)
	if err != nil || grown.Bank == "" {
		t.Fatalf("got %+v, %v", grown, err)
	}
	if err := d.write([]made{{"idp.yaml", was}}); err != nil {
		t.Fatal(err)
	}
	again, _, err := openDemo(dir, 1)
	if err != nil || again.Bank != grown.Bank {
		t.Errorf("gone on with: %+v, %v; want the bank at %s", again, err, grown.Bank)
	}
	if now, err := os.ReadFile(d.configFile()); err != nil || bytes.Equal(now, was) {
		t.Errorf("the configuration did not grow: %v", err)
	}

	dir = t.TempDir()
	d, was = earlierDemo(t, dir, 18130)
	mine := append(was, "# mine\n"...)
	if err := d.write([]made{{"idp.yaml", mine}}); err != nil {
		t.Fatal(err)
	}
	kept, _, err := openDemo(dir, 1)
	if err != nil || kept.Bank != "" {
		t.Errorf("got %+v, %v; want no bank", kept, err)
	}
	if now, err := os.ReadFile(d.configFile()); err != nil || !bytes.Equal(now, mine) {
		t.Errorf("what was written by hand is gone: %v\n%s", err, now)
	}
	r := startDemo(t, dir)
	v := newVisitor(t)
	v.enrol(r)
	v.fill("saved")
	v.fill("consent", "decision", "allow")
	if v.sees("Hello"); strings.Contains(v.page, "Send money") {
		t.Error("it offers to send money without a bank")
	}
	if text := r.out.until(t, "Ctrl-C"); !strings.Contains(text, "changed by\n  hand") {
		t.Errorf("it does not say why:\n%s", text)
	}
	r.stop(t)
}

func TestWhatTheDemoMakesIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	startDemo(t, dir, "--port", "18090").stop(t)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("%s has mode %v, want 0600", e.Name(), got)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v, %v; want 0700", info.Mode(), err)
	}
	if len(entries) < 7 {
		t.Errorf("only %d files were made", len(entries))
	}
}

// A first start that was interrupted is begun anew; one that was damaged is
// not touched.
func TestADemoThatIsNotWholeIsMadeOrNamed(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "idp.yaml"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, first, err := openDemo(dir, 18100)
	if err != nil || !first || d.Password == "" {
		t.Fatalf("got %+v, %v, %v", d, first, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "demo.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := openDemo(dir, 18100); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("got %v, want that it is damaged", err)
	}
	if _, err := freePort(70000); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("a port beyond all: %v", err)
	}
}
