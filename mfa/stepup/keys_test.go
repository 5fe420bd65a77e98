package stepup_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport-id/sallyport/mfa/stepup"
)

const (
	discovery = "/.well-known/openid-configuration"
	keysPath  = "/keys"
)

// Nothing is asked of the issuer for a token: only its keys, once.
func TestAJWTCostsTheIssuerNothingButItsKeys(t *testing.T) {
	a := newAuthority(t)
	server := httptest.NewServer(a)
	defer server.Close()
	a.name = server.URL
	g := a.guard(func(c *stepup.Config) { c.Transport = nil })
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { wants(t, call(g, anyToken, a.token(nil)), 200, "") })
	}
	wg.Wait()
	for range 50 {
		wants(t, call(g, anyToken, a.token(nil)), 200, "")
	}
	if a.count(discovery) != 1 || a.count(keysPath) != 1 || len(a.asked) != 2 {
		t.Errorf("the issuer was asked for %v", a.asked)
	}
}

// Who sees no keys, and then finds that they were fetched just now, looks again.
func TestNobodyComesTooEarlyAndTooLateForTheKeys(t *testing.T) {
	none := 0
	for range 20000 {
		none += stepup.FindAtOnce(8)
	}
	if none > 0 {
		t.Errorf("%d of %d find no key", none, 8*20000)
	}
}

func TestKeysAreFetchedAnewInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t)
		g := a.guard()
		wants(t, call(g, anyToken, a.token(nil)), 200, "")
		time.Sleep(5 * time.Minute)
		old := a.token(nil)
		a.rotate("new")
		a.set(func(a *authority) { a.withheld["ec"] = true }) // withdrawn
		wants(t, call(g, anyToken, old), 200, "")             // by the keys that are there
		synctest.Wait()
		wants(t, call(g, anyToken, old), 401, "invalid_token")
		wants(t, call(g, anyToken, a.token(nil)), 200, "")
		if got := a.count(keysPath); got != 2 {
			t.Errorf("keys were fetched %d times, want 2", got)
		}
	})
}

func TestANewKeyIsFetchedAtItsFirstToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t)
		g := a.guard()
		wants(t, call(g, anyToken, a.token(nil)), 200, "")
		time.Sleep(time.Minute)
		a.rotate("new")
		wants(t, call(g, anyToken, a.token(nil)), 200, "")
		if got := a.count(keysPath); got != 2 {
			t.Errorf("keys were fetched %d times, want 2", got)
		}
	})
}

// Names of keys can be made up by anybody.
func TestMadeUpKeysDoNotHammerTheIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t)
		g := a.guard()
		good := a.token(nil)
		wants(t, call(g, anyToken, good), 200, "")
		start := time.Now()
		for i := range 1000 {
			token := a.signers[0].sign(a.claims(nil), map[string]any{"kid": fmt.Sprint("made-up-", i)})
			wants(t, call(g, anyToken, token), 401, "invalid_token")
			time.Sleep(50 * time.Millisecond)
		}
		most := int(time.Since(start)/(10*time.Second)) + 1
		if got := a.count(keysPath); got > most {
			t.Errorf("keys were fetched %d times in %v, want %d at most", got, time.Since(start), most)
		}
		// And a real one is found, ten seconds after the last at the latest.
		a.rotate("new")
		time.Sleep(10 * time.Second)
		wants(t, call(g, anyToken, a.token(nil)), 200, "")
		wants(t, call(g, anyToken, good), 200, "")
	})
}

func TestOldKeysServeWhileTheIssuerIsAwayUntilTheyAreStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t)
		g := a.guard(func(c *stepup.Config) { c.Stale = 30 * time.Minute })
		forever := claims{"exp": time.Now().Add(24 * time.Hour).Unix()}
		token := a.token(forever)
		wants(t, call(g, anyToken, token), 200, "")
		a.set(func(a *authority) { a.down = true })
		for range 29 {
			time.Sleep(time.Minute)
			wants(t, call(g, anyToken, token), 200, "")
			synctest.Wait()
		}
		// Nobody can tell whether this key is the issuer's.
		unknown := a.signers[0].sign(a.claims(nil), map[string]any{"kid": "new"})
		wants(t, call(g, anyToken, unknown), 503, "")
		time.Sleep(time.Minute)
		if resp := call(g, anyToken, token); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
			t.Errorf("with stale keys: %d, %v", resp.StatusCode, resp.Header)
		}
		tries := a.count(keysPath)
		for range 100 {
			wants(t, call(g, anyToken, token), 503, "")
		}
		if got := a.count(keysPath); got > tries+1 {
			t.Errorf("an issuer that is away was asked %d times at once", got-tries)
		}
		a.set(func(a *authority) { a.down = false })
		time.Sleep(2 * time.Second)
		wants(t, call(g, anyToken, token), 200, "")
	})
}

func TestAnIssuerThatIsNotThereYetIsFoundLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t)
		a.down = true
		g := a.guard()
		token := a.token(nil)
		wants(t, call(g, anyToken, token), 503, "")
		a.set(func(a *authority) { a.down = false })
		time.Sleep(5 * time.Second)
		wants(t, call(g, anyToken, token), 200, "")
	})
}

// An issuer that answers, but with nothing that can be used, is as good as none.
func TestWhatIsNoKeySetIsAnIssuerThatIsAway(t *testing.T) {
	document := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(text)) }
	}
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	meta := func(issuer, jwks string) http.HandlerFunc {
		return document(`{"issuer":"` + issuer + `","jwks_uri":"` + jwks + `"}`)
	}
	for name, pages := range map[string]map[string]http.HandlerFunc{
		"no metadata":                 {discovery: http.NotFound},
		"metadata that are no JSON":   {discovery: document("<html>")},
		"metadata of another issuer":  {discovery: meta("https://evil.example", issuer+"/keys")},
		"metadata of a similar one":   {discovery: meta(issuer+"/", issuer+"/keys")},
		"an issuer twice":             {discovery: document(`{"issuer":"` + issuer + `","issuer":"` + issuer + `","jwks_uri":"` + issuer + `/keys"}`)},
		"metadata elsewhere":          {discovery: redirect("https://evil.example/")},
		"no jwks_uri":                 {discovery: meta(issuer, "")},
		"keys over http":              {discovery: meta(issuer, "http://as.example.net/keys")},
		"keys over http on loopback":  {discovery: meta(issuer, "http://127.0.0.1/keys")},
		"keys in a file":              {discovery: meta(issuer, "file:///etc/keys")},
		"no keys":                     {keysPath: http.NotFound},
		"keys elsewhere":              {keysPath: redirect(issuer + "/other"), "/other": document("{}")},
		"keys that are no JSON":       {keysPath: document("<html>")},
		"keys that are no list":       {keysPath: document(`{"keys":{}}`)},
		"a list of nothing":           {keysPath: document(`{"keys":[]}`)},
		"nothing at all":              {keysPath: document("")},
		"a set without keys":          {keysPath: document(`{}`)},
		"endless keys":                {keysPath: document(`{"keys":[` + strings.Repeat(" ", 300<<10) + `]}`)},
		"deeply nested keys":          {keysPath: document(`{"keys":` + strings.Repeat("[", 200<<10))},
		"keys that another may not":   {keysPath: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }},
		"keys that break off halfway": {keysPath: document(`{"keys":[{"kty":"EC"`)},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t)
			for path, page := range pages {
				a.pages[path] = page
			}
			wants(t, call(a.guard(), anyToken, a.token(nil)), 503, "")
		})
	}
}

func TestAnIssuerThatDoesNotAnswerIsWaitedForFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t)
		hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		a.pages[keysPath] = hang
		g := a.guard()
		start := time.Now()
		wants(t, call(g, anyToken, a.token(nil)), 503, "")
		if got := time.Since(start); got != 5*time.Second {
			t.Errorf("it was waited for %v, want 5s", got)
		}
	})
}

// The first request fetches for all, so it must not take the fetch along when
// its client hangs up.
func TestARequestThatIsGivenUpDoesNotEndTheFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t)
		a.pages[keysPath] = func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(3 * time.Second)
			a.keys(w, r)
		}
		g := a.guard()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.Check(ctx, []string{"Bearer " + a.token(nil)}, anyToken); !errors.Is(err, stepup.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
		wants(t, call(g, anyToken, a.token(nil)), 200, "")
		if got := a.count(keysPath); got != 1 {
			t.Errorf("keys were fetched %d times, want 1", got)
		}
	})
}

func TestATransportThatPanicsIsAnIssuerThatIsAway(t *testing.T) {
	a := newAuthority(t)
	a.pages[keysPath] = func(http.ResponseWriter, *http.Request) { panic("at the wrong time") }
	wants(t, call(a.guard(), anyToken, a.token(nil)), 503, "")
}

func TestMetadataAreFoundWhereRFC8414HasThem(t *testing.T) {
	for _, test := range []struct{ path, at string }{
		{"", "/.well-known/oauth-authorization-server"},
		{"/tenant/1", "/.well-known/oauth-authorization-server/tenant/1"},
		{"/tenant/1", "/tenant/1/.well-known/openid-configuration"},
	} {
		a := newAuthority(t)
		server := httptest.NewServer(a)
		a.name = server.URL + test.path
		a.pages = map[string]http.HandlerFunc{
			test.at: func(w http.ResponseWriter, _ *http.Request) {
				reply(w, map[string]string{"issuer": a.name, "jwks_uri": server.URL + "/keys"})
			},
			"/keys": a.keys,
		}
		wants(t, call(a.guard(func(c *stepup.Config) { c.Transport = nil }), anyToken, a.token(nil)), 200, "")
		server.Close()
	}
}

func TestKeysCanBeGiven(t *testing.T) {
	a := newAuthority(t)
	byURL := a.guard(func(c *stepup.Config) { c.JWKSURL = issuer + "/keys" })
	wants(t, call(byURL, anyToken, a.token(nil)), 200, "")
	if a.count(discovery) != 0 {
		t.Error("metadata were read")
	}
	given := a.guard(func(c *stepup.Config) { c.JWKS = a.jwks() })
	before := a.count(keysPath)
	wants(t, call(given, anyToken, a.token(nil)), 200, "")
	a.rotate("new")
	wants(t, call(given, anyToken, a.token(nil)), 401, "invalid_token")
	if a.count(keysPath) != before {
		t.Error("keys were fetched")
	}
}

// Issuers publish keys for other purposes beside those that sign tokens.
func TestKeysThatDoNotVerifyTokensArePassedOver(t *testing.T) {
	a := newAuthority(t)
	private := must(newECKey())
	encryption := must(newECKey())
	j := func(k jose.JSONWebKey) string { return string(must(k.MarshalJSON())) }
	good := j(jose.JSONWebKey{Key: ecKey.Public(), KeyID: "ec"}) // without alg and use
	set := `{"keys":[1,{},{"kty":"new","kid":"new"},{"kty":"oct","kid":"oct","k":"c2VjcmV0"},{"kty":"EC","kid":"half","crv":"P-256"},` +
		j(jose.JSONWebKey{Key: private, KeyID: "private"}) + "," +
		j(jose.JSONWebKey{Key: encryption.Public(), KeyID: "enc", Use: "enc"}) + "," +
		j(jose.JSONWebKey{Key: encryption.Public(), KeyID: "rs", Algorithm: "RS256"}) + "," +
		j(jose.JSONWebKey{Key: encryption.Public(), KeyID: "ec"}) + "," + // a second of the same name
		good + `]}`
	a.pages[keysPath] = func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(set)) }
	g := a.guard()
	wants(t, call(g, anyToken, a.token(nil)), 200, "")
	for _, s := range []signer{{"private", "ES256", private}, {"enc", "ES256", encryption}, {"rs", "ES256", encryption}} {
		wants(t, call(g, anyToken, s.sign(a.claims(nil), nil)), 401, "invalid_token")
	}
}
