package test

import (
	"context"
	"errors"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	xhtml "golang.org/x/net/html"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/test/ports"
)

// An apache is Debian's Apache with mod_auth_openidc, in front of an app that
// knows nothing of OpenID Connect and shows the headers that it gets. All of it
// is in a directory of the test and on loopback; the machine's own Apache, if
// there is one, is neither read nor touched.
type apache struct {
	t   *testing.T
	url string // of its root; another site than the provider's for a browser
	dir string
	idp *stage
	at  string // the provider's URL

	client provider.Client // that the Apache is
	config string
}

// Where Debian has Apache; it is not in everyone's PATH.
const (
	apacheProgram = "/usr/sbin/apache2"
	apacheModules = "/usr/lib/apache2/modules"
)

// apacheSecret is the secret of the client that is the Apache.
const apacheSecret = "the secret of Apache of 256 bits.."

// newApache starts a provider and an Apache that signs in by it. The root
// demands what the provider's floor is; /vault a second factor, which it asks
// for by acr_values when it is missing.
func newApache(t *testing.T, ctx context.Context, dsn string, plans ...plan) *apache {
	t.Helper()
	a := planApache(t, dsn, plans...)
	a.start(ctx)
	return a
}

// planApache is newApache whose Apache is not started yet: its client and its
// config may still be changed.
func planApache(t *testing.T, dsn string, plans ...plan) *apache {
	t.Helper()
	need(t, apacheProgram)
	server := httptest.NewUnstartedServer(nil)
	a := &apache{t: t, at: "http://" + server.Listener.Addr().String(), dir: t.TempDir()}
	plans = append(plans, plan{provider: func(c *provider.Config) { c.Issuer = a.at }})
	a.idp = &stage{house: newHouse(t, dsn, plans...)}
	server.Config.Handler = a.idp
	server.Start()
	t.Cleanup(server.Close)

	app := httptest.NewServer(http.HandlerFunc(shown))
	t.Cleanup(app.Close)
	port := ports.For(t)
	a.url = fmt.Sprintf("http://localhost:%d", port)
	a.client = provider.Client{
		ID: "wiki", Name: "The Wiki", Type: provider.Web, Secrets: []provider.Hash{hash(apacheSecret)},
		RedirectURIs: []string{a.url + "/oidc/callback"}, GrantTypes: []string{"authorization_code"},
		Scopes:                 []string{"openid", "profile", "email", "groups"},
		PostLogoutRedirectURIs: []string{a.url + "/goodbye"},
		BackchannelLogoutURI:   a.url + "/oidc/callback?logout=backchannel",
	}
	a.config = apacheConfig(a.dir, port, a.at, app.URL)
	return a
}

// apacheConfig is the site. docs/integrations/apache.md explains its lines.
func apacheConfig(dir string, port int, issuer, app string) string {
	var modules strings.Builder
	for _, m := range []string{"mpm_event", "authn_core", "authz_core", "authz_user", "proxy", "proxy_http", "headers", "auth_openidc"} {
		fmt.Fprintf(&modules, "LoadModule %s_module %s/mod_%s.so\n", m, apacheModules, m)
	}
	who := ""
	if os.Getuid() == 0 {
		who = "User www-data\nGroup www-data\n"
	}
	return modules.String() + who + fmt.Sprintf(`
ServerRoot %[1]s
DefaultRuntimeDir %[1]s
PidFile %[1]s/pid
Mutex sem
ErrorLog %[1]s/error.log
LogLevel warn auth_openidc:info
Listen 127.0.0.1:%[2]d
ServerName http://localhost:%[2]d

OIDCProviderMetadataURL %[3]s/.well-known/openid-configuration
OIDCClientID wiki
OIDCClientSecret "`+apacheSecret+`"
OIDCRedirectURI http://localhost:%[2]d/oidc/callback
OIDCCryptoPassphrase "a passphrase for its cookies, 256 bits"
OIDCPKCEMethod S256
OIDCScope "openid profile email groups"
OIDCRemoteUserClaim preferred_username
OIDCCookieSameSite On

RequestHeader set X-Remote-User expr=%%{REMOTE_USER}
ProxyPass /oidc !
ProxyPass / %[4]s/
ProxyPassReverse / %[4]s/
<Location />
	AuthType openid-connect
	Require valid-user
</Location>
<Location /goodbye>
	AuthType none
	Require all granted
</Location>
<Location /vault>
	AuthType openid-connect
	Require claim acr:mfa
	OIDCUnAutzAction auth
	OIDCPathAuthRequestParams acr_values=mfa
</Location>
<Location /board>
	AuthType openid-connect
	Require claim groups:board
</Location>
`, dir, port, issuer, app)
}

// start registers the client and runs Apache until the test ends, however it
// ends: the shell waits for its standard input, which is this process's to
// close or to die with.
func (a *apache) start(ctx context.Context) {
	a.t.Helper()
	a.idp.register(a.client)
	file := filepath.Join(a.dir, "apache.conf")
	if err := os.WriteFile(file, []byte(a.config), 0o600); err != nil {
		a.t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `"$@" & cat >/dev/null; kill $!; wait $!`, "sh", apacheProgram, "-X", "-f", file)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.WaitDelay = 10 * time.Second
	stop, err := cmd.StdinPipe()
	if err != nil {
		a.t.Fatal(err)
	}
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() {
		err := errors.Join(stop.Close(), cmd.Wait())
		if a.t.Failed() {
			log, logErr := os.ReadFile(filepath.Join(a.dir, "error.log"))
			a.t.Logf("Apache ended with %v and said %s\n%s\n%v", err, said.String(), log, logErr)
		}
	})
	poll(a.t, ctx, "Apache to answer", func() bool {
		resp, err := http.Get(a.url + "/oidc/callback")
		return err == nil && resp.Body.Close() == nil
	})
}

// shown is an app that shows who it is told is there, with a link to sign out.
func shown(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, "<!doctype html><html lang=en><title>Wiki</title><link rel=icon href=data:,><h1>Wiki</h1><p>%s\n", html.EscapeString(r.URL.Path))
	goodbye := url.Values{"logout": {"http://" + r.Header.Get("X-Forwarded-Host") + "/goodbye"}}
	fmt.Fprintf(w, "<p><a href=\"/oidc/callback?%s\">Sign out</a>\n", goodbye.Encode())
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		claim, ok := strings.CutPrefix(strings.ToLower(name), "oidc_claim_")
		if ok || claim == "x-remote-user" {
			fmt.Fprintf(w, "<p>%s is %s\n", html.EscapeString(claim), html.EscapeString(r.Header.Get(name)))
		}
	}
}

// heardBehind returns what the app behind Apache was told, by the claims' names.
func heardBehind(p *page) map[string]string {
	all := map[string]string{}
	walk(p.doc, func(n *xhtml.Node) {
		if name, value, ok := strings.Cut(words(n), " is "); ok && n.Data == "p" {
			all[name] = value
		}
	})
	return all
}

// sentOn goes where a page of Apache's own sends the browser at once.
func (b *browser) sentOn() {
	b.t.Helper()
	to := ""
	walk(b.page.doc, func(n *xhtml.Node) {
		if _, u, ok := strings.Cut(attr(n, "content"), "0; url="); ok && attr(n, "http-equiv") == "refresh" {
			to = u
		}
	})
	b.open(to)
}

// visitor returns a plain browser on the real network.
func (a *apache) visitor() *browser {
	a.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		a.t.Fatal(err)
	}
	return &browser{t: a.t, client: &http.Client{Jar: jar}}
}

// A relying party that we did not write, and no library: Apache signs alice in
// with the second factor and tells the app behind it what was proven. (TK-2)
func TestApacheSignsInAndPassesOnWhatWasProven(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		a := newApache(t, ctx, dsn)
		phone, b := a.idp.enrolled("alice"), a.visitor()
		started := time.Now().Unix()
		b.open(a.url + "/page?of=it")
		b.login("alice", phone)
		b.submit("consent", "decision", "allow")
		b.at("", http.StatusOK)
		told := heardBehind(b.page)
		for name, want := range map[string]string{
			"x-remote-user": "alice", "sub": "sub-alice", "iss": a.at, "aud": "wiki", "acr": "mfa", "amr": "pwd,otp",
			"name": "Alice Example", "email": "alice@example.org", "email_verified": "1", "groups": "staff",
		} {
			if told[name] != want {
				t.Errorf("the app is told that %s is %q, want %q", name, told[name], want)
			}
		}
		if at, err := strconv.ParseInt(told["auth_time"], 10, 64); err != nil || at < started || at > time.Now().Unix() || told["sid"] == "" {
			t.Errorf("the app is told %v", told)
		}
		if b.page.url.String() != a.url+"/page?of=it" {
			t.Errorf("at %s", b.page.url)
		}

		// Groups open what they open, and what the browser says of itself nothing.
		r, err := http.NewRequest(http.MethodGet, a.url+"/board", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", "text/html")
		r.Header.Set("OIDC_CLAIM_groups", "board")
		if got := b.do(r); got.status != http.StatusUnauthorized {
			t.Errorf("the board is open: %s", got.text())
		}
		a.idp.people.change("bob", func(u *provider.User) { u.Claims.Groups = []string{"staff", "board"} })
		phone, b = a.idp.enrolled("bob"), a.visitor()
		b.open(a.url + "/board")
		b.login("bob", phone)
		b.submit("consent", "decision", "allow")
		b.at("", http.StatusOK)
	})
}

// SU-1, SU-3: Apache asks for a second factor where it wants one, and gets
// just that; the rest of the site is content with less.
func TestApacheStepsUpWhereItWantsMore(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		a := newApache(t, ctx, dsn, plan{provider: func(c *provider.Config) { c.Floor = "pwd" }})
		phone, b := a.idp.enrolled("alice"), a.visitor()
		b.open(a.url + "/")
		b.password("alice")
		b.submit("consent", "decision", "allow")
		b.at("", http.StatusOK)
		if got := heardBehind(b.page); got["acr"] != "pwd" || got["amr"] != "pwd" {
			t.Errorf("the app is told %v", got)
		}
		b.open(a.url + "/vault")
		b.sentOn()
		b.at("factor", http.StatusOK)
		b.submit("otp", "code", phone.code(0))
		b.at("", http.StatusOK)
		if got := heardBehind(b.page); got["acr"] != "mfa" || got["amr"] != "pwd,otp" || b.page.url.Path != "/vault" {
			t.Errorf("at %s the app is told %v", b.page.url, got)
		}
	})
}

// The same in a browser that keeps to what the pages' policy says: Apache is
// another site than the provider.
func TestBrowserSignsInToApache(t *testing.T) {
	need(t, "chromium", "oathtool")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	a := newApache(t, ctx, "sqlite:"+filepath.Join(t.TempDir(), "idp.db"), plan{provider: func(c *provider.Config) { c.Floor = "pwd" }})
	secret := a.idp.enrolled("alice").key.Secret()
	b := newTab(t, ctx)
	b.open(a.url + "/vault")
	b.on("Sign in", "to continue to The Wiki")
	b.fill("Username", "alice")
	b.fill("Password", passwords["alice"])
	b.press("Continue")
	b.on("Enter your code")
	b.fill("Code", oathtool(t, secret, time.Now()))
	b.press("Continue")
	b.on("Allow The Wiki?", "localhost")
	b.press("Allow")
	b.on("Wiki", "/vault", "acr is mfa", "amr is pwd,otp", "x-remote-user is alice")
	if got := b.at().String(); got != a.url+"/vault" {
		t.Errorf("at %s", got)
	}
	b.clean()
}
