package test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"

	"github.com/sallyport-id/sallyport/provider"
)

// WEB-2: in a browser that keeps to the policy the page posts by itself, and
// where no script runs by its button; nothing is in the URL.
func TestBrowserPostsAnAnswerWithAndWithoutItsScript(t *testing.T) {
	need(t, "chromium")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><link rel=icon href=data:,><h1>App</h1><p>%s with %q, %s %s.`,
			r.Method, r.URL.RawQuery, r.PostFormValue("error"), r.PostFormValue("state"))
	}))
	t.Cleanup(app.Close)
	idp := httptest.NewUnstartedServer(nil)
	at := "http://" + idp.Listener.Addr().String()
	h := newHouse(t, "sqlite:"+filepath.Join(t.TempDir(), "idp.db"), plan{provider: func(c *provider.Config) { c.Issuer = at }})
	idp.Config.Handler = h
	idp.Start()
	t.Cleanup(idp.Close)
	h.register(provider.Client{ID: "app", Name: "The App", Type: provider.SPA, RedirectURIs: []string{app.URL + "/cb?kept=1"}})

	// Nobody is signed in, so that a silent request is answered at once.
	v := with(with(formPost(), "redirect_uri", app.URL+"/cb?kept=1"), "prompt", "none")
	request := at + "/authorize?" + v.Encode()
	arrived := func(b *tab) {
		t.Helper()
		poll(t, ctx, "the app", func() bool { return b.path() == "/cb" })
		b.on("App", `POST with "kept=1", login_required the app's state.`)
		b.clean()
	}
	b := newTab(t, ctx)
	b.open(request)
	b.on("Continue to The App")
	b.press("Continue")
	arrived(b)

	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: false})
	b.open(at + "/account") // away from the app
	b.open(request)
	arrived(b)
}
