package test

import (
	"context"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

// passwordOnly is a provider that is content with a password, so that who signs
// in twice need not wait for the next code.
var passwordOnly = plan{provider: func(c *provider.Config) { c.Floor = "pwd" }}

// delivers has the provider tell Apache of logouts until the test ends.
func (a *apache) delivers() {
	ctx, stop := context.WithCancel(a.t.Context())
	var deliverer sync.WaitGroup
	deliverer.Go(func() { a.idp.Deliver(ctx) })
	a.t.Cleanup(func() { stop(); deliverer.Wait() })
}

// enters signs name in to Apache by a browser of their own.
func (a *apache) enters(name string) *browser {
	a.t.Helper()
	b := a.visitor()
	b.open(a.url + "/")
	b.password(name)
	if b.page.kind() == "consent" {
		b.submit("consent", "decision", "allow")
	}
	a.lets(b, name)
	return b
}

// lets fails the test unless Apache has b in as name, and asks nobody.
func (a *apache) lets(b *browser, name string) {
	a.t.Helper()
	r, err := http.NewRequest(http.MethodGet, a.url+"/", nil)
	if err != nil {
		a.t.Fatal(err)
	}
	if p := b.once(r); p.status != http.StatusOK || heardBehind(p)["x-remote-user"] != name {
		a.t.Errorf("Apache does not have %s in: %s", name, p.text())
	}
}

// OA-12: a relying party that we did not write signs its user out of both, by
// an ID token of this session and so without a page that asks.
func TestApacheSignsOutOfTheProviderToo(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		a := newApache(t, ctx, dsn, passwordOnly)
		a.idp.enrolled("alice")
		b := a.enters("alice")
		r, err := http.NewRequest(http.MethodGet, a.url+"/oidc/callback?"+values("logout", a.url+"/goodbye").Encode(), nil)
		if err != nil {
			t.Fatal(err)
		}
		to := b.once(r).header.Get("Location")
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		if q := u.Query(); !strings.HasPrefix(to, a.at+"/logout?") || q.Get("post_logout_redirect_uri") != a.url+"/goodbye" || claimsOf(t, q.Get("id_token_hint"))["aud"] != "wiki" {
			t.Fatalf("the module sends the browser to %s", to)
		}
		b.open(to)
		b.at("", http.StatusOK)
		if got := b.page.url.String(); got != a.url+"/goodbye" || len(heardBehind(b.page)) > 0 {
			t.Errorf("at %s the app is told %v", got, heardBehind(b.page))
		}
		if left := a.idp.sessions("alice"); len(left) > 0 {
			t.Errorf("the provider's session lives on: %v", left)
		}
		b.open(a.url + "/")
		b.at("password", http.StatusOK)

		// When the provider's session has ended before, its hint is still good
		// for the way back.
		b = a.enters("alice")
		if err := a.idp.db.EndSessions(ctx, "sub-alice"); err != nil {
			t.Fatal(err)
		}
		b.open(a.url + "/")
		b.follow("/oidc/callback?logout=")
		b.at("", http.StatusOK)
		if got := b.page.url.String(); got != a.url+"/goodbye" {
			t.Errorf("without a session at %s", got)
		}
	})
}

// OA-12, TK-3: a relying party that we did not write takes our logout token,
// for a session that ended elsewhere and for that one alone.
func TestApacheHearsOfALogoutOverTheBackChannel(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		a := newApache(t, ctx, dsn, passwordOnly)
		a.idp.enrolled("alice")
		a.idp.enrolled("bob")
		here, there, bob := a.enters("alice"), a.enters("alice"), a.enters("bob")
		out := func(b *browser) {
			t.Helper()
			poll(t, ctx, "Apache to hear of it", func() bool { return b.open(a.url+"/").kind() == "password" })
		}

		// Nobody has told Apache yet.
		here.open(a.at + "/logout")
		here.submit("sign-out")
		here.at("signedout", http.StatusOK)
		a.lets(here, "alice")
		a.delivers()
		out(here)
		a.lets(there, "alice")

		// As a command ends it.
		if err := a.idp.db.EndSessions(ctx, "sub-alice"); err != nil {
			t.Fatal(err)
		}
		out(there)
		a.lets(bob, "bob")
		poll(t, ctx, "all logouts to be delivered", func() bool { return len(a.idp.untold()) == 0 })
	})
}

// The same in Chromium, to which Apache is another site than the provider; and
// in a frame, where Apache gets no cookie and goes by sid.
func TestBrowserSignsOutOfApache(t *testing.T) {
	need(t, "chromium")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	a := newApache(t, ctx, "sqlite:"+filepath.Join(t.TempDir(), "idp.db"), passwordOnly)
	a.idp.enrolled("alice")
	b := newTab(t, ctx)
	enter := func() {
		t.Helper()
		b.open(a.url + "/page")
		b.on("Sign in", "to continue to The Wiki")
		b.fill("Username", "alice")
		b.fill("Password", passwords["alice"])
		b.press("Continue")
	}
	enter()
	b.on("Allow The Wiki?")
	b.press("Allow")
	b.on("Wiki", "/page", "x-remote-user is alice")
	b.follow("Sign out")
	b.on("Wiki", "/goodbye")
	if got := b.at().String(); got != a.url+"/goodbye" {
		t.Errorf("at %s", got)
	}
	if left := a.idp.sessions("alice"); len(left) > 0 {
		t.Errorf("the provider's session lives on: %v", left)
	}
	b.clean()

	a.client.FrontchannelLogoutURI = a.url + "/oidc/callback?logout=get"
	a.idp.register(a.client)
	enter()
	b.on("Wiki", "/page", "x-remote-user is alice")
	b.open(a.at + "/logout")
	b.on("Sign out?")
	b.press("Sign out")
	b.on("You are signed out")
	// The module forbids to show what it answers (X-Frame-Options), of which
	// Chromium complains: all is done by then.
	poll(t, ctx, "the frame", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return slices.ContainsFunc(b.faults, func(f string) bool { return strings.Contains(f, "ERR_BLOCKED_BY_RESPONSE") })
	})
	b.open(a.url + "/page")
	b.on("Sign in", "to continue to The Wiki")
}
