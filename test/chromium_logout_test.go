package test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"

	"github.com/sallyport-id/sallyport/provider"
)

// OpenID Connect Front-Channel Logout section 3: in a browser that keeps to the
// policy the frames are loaded, with the app's cookies and without anyone seeing
// them, and then the browser goes on; with scripts and without.
func TestBrowserSignsOutInFramesAndGoesOn(t *testing.T) {
	need(t, "chromium")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	type hit struct {
		path   string
		query  url.Values
		cookie string
	}
	hits := make(chan hit, 100)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := r.Cookie("app")
		if c == nil {
			c = &http.Cookie{Value: "none"}
		}
		hits <- hit{r.URL.Path, r.URL.Query(), c.Value}
		switch r.URL.Path {
		case "/cb":
			http.SetCookie(w, &http.Cookie{Name: "app", Value: "signed-in", Path: "/"})
		case "/out":
			http.SetCookie(w, &http.Cookie{Name: "app", MaxAge: -1, Path: "/"})
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><link rel=icon href=data:,><h1>App</h1><p>%s with %q.`, r.URL.Path, r.URL.Query().Get("state"))
	}))
	t.Cleanup(app.Close)
	idp := httptest.NewUnstartedServer(nil)
	at := "http://" + idp.Listener.Addr().String()
	h := newHouse(t, "sqlite:"+filepath.Join(t.TempDir(), "idp.db"), plan{provider: func(c *provider.Config) { c.Issuer = at }})
	idp.Config.Handler = h
	idp.Start()
	t.Cleanup(idp.Close)
	h.register(provider.Client{
		ID: "app", Name: "The App", Type: provider.SPA, RedirectURIs: []string{app.URL + "/cb"}, FirstParty: true,
		PostLogoutRedirectURIs: []string{app.URL + "/bye"}, FrontchannelLogoutURI: app.URL + "/out?kept=1",
	})
	s := &stage{house: h}
	phone := s.keyring("sub-alice")
	until := func(path string) hit {
		t.Helper()
		for {
			select {
			case got := <-hits:
				if got.path == path {
					return got
				}
			case <-ctx.Done():
				t.Fatalf("nobody came to %s", path)
			}
		}
	}

	b := newTab(t, ctx)
	for i, scripts := range []bool{true, false} {
		call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !scripts})
		v := with(with(authorization(), "redirect_uri", app.URL+"/cb"), "scope", "openid")
		b.open(at + "/authorize?" + v.Encode())
		b.fill("Username", "alice")
		b.fill("Password", passwords["alice"])
		b.press("Continue")
		b.fill("Code", phone.code(i)) // a code is good once, and the next one already
		b.press("Continue")
		poll(t, ctx, "the app", func() bool { return b.path() == "/cb" })
		sid := h.sessions("alice")[0].ID
		if got := until("/cb"); got.query.Get("code") == "" {
			t.Fatalf("signed in with %v", got.query)
		}

		// The session's ID is its sid; the page asks, because no hint is sent.
		b.open(at + "/logout?" + values("client_id", "app", "post_logout_redirect_uri", app.URL+"/bye", "state", "s 1").Encode())
		b.on("Sign out?", "The App asks to sign you out here.")
		b.press("Sign out")
		b.on("You are signed out", "You are being taken on to The App")
		out := until("/out")
		if want := values("kept", "1", "iss", at, "sid", sid); out.query.Encode() != want.Encode() || out.cookie != "signed-in" {
			t.Errorf("the frame was asked for with %v and the cookie %q, want %v", out.query, out.cookie, want)
		}
		if bye := until("/bye"); bye.query.Encode() != "state=s+1" || bye.cookie != "none" {
			t.Errorf("gone on with %v and the cookie %q", bye.query, bye.cookie)
		}
		poll(t, ctx, "the app", func() bool { return b.path() == "/bye" })
		b.on("App", `/bye with "s 1".`)
		b.clean()
		if len(h.sessions("alice")) > 0 {
			t.Error("the session lives on")
		}
	}
}
