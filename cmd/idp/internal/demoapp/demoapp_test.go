package demoapp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/demoapp"
)

// A world is the app and a provider of a few lines that says what a test has
// it say.
type world struct {
	app, provider *httptest.Server
	browser       *http.Client
	claims        map[string]any // of the next ID token, over the good ones
	asked         url.Values     // the last authorization request
}

func newWorld(t *testing.T) *world {
	w := &world{claims: map[string]any{}}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := http.NewServeMux()
	w.provider = httptest.NewServer(m)
	t.Cleanup(w.provider.Close)
	say := func(rw http.ResponseWriter, v any) {
		rw.Header().Set("Content-Type", "application/json")
		json.NewEncoder(rw).Encode(v)
	}
	m.HandleFunc("/.well-known/openid-configuration", func(rw http.ResponseWriter, _ *http.Request) {
		say(rw, map[string]any{
			"issuer": w.provider.URL, "authorization_endpoint": w.provider.URL + "/authorize",
			"token_endpoint": w.provider.URL + "/token", "jwks_uri": w.provider.URL + "/jwks",
			"userinfo_endpoint":                     w.provider.URL + "/userinfo",
			"id_token_signing_alg_values_supported": []string{"ES256"},
		})
	})
	m.HandleFunc("/jwks", func(rw http.ResponseWriter, _ *http.Request) {
		say(rw, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), Algorithm: "ES256", Use: "sig"}}})
	})
	m.HandleFunc("/userinfo", func(rw http.ResponseWriter, _ *http.Request) {
		say(rw, map[string]any{
			"sub": "s1", "name": "Ada <b>Byron</b>", "email": "ada@example.com", "email_verified": true,
			"groups": []string{"staff", "admins"}, "address": map[string]string{"formatted": "1 Quay\nHarbour"},
		})
	})
	m.HandleFunc("/token", func(rw http.ResponseWriter, r *http.Request) {
		claims := map[string]any{
			"iss": w.provider.URL, "aud": "demo", "sub": "s1", "nonce": w.asked.Get("nonce"),
			"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(), "auth_time": time.Now().Unix(),
			"amr": []string{"pwd", "otp"}, "acr": "mfa",
		}
		for k, v := range w.claims {
			claims[k] = v
		}
		payload, _ := json.Marshal(claims)
		signed, err := signer.Sign(payload)
		if err != nil {
			t.Error(err)
			return
		}
		token, _ := signed.CompactSerialize()
		say(rw, map[string]any{"access_token": "at", "token_type": "Bearer", "id_token": token})
	})

	var app http.Handler
	w.app = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { app.ServeHTTP(rw, r) }))
	t.Cleanup(w.app.Close)
	app = demoapp.New(demoapp.Config{
		URL: w.app.URL, Issuer: w.provider.URL, ClientID: "demo", Secret: "x",
		Scopes: []string{"openid", "profile"}, Log: slog.New(slog.DiscardHandler),
	})
	jar, _ := cookiejar.New(nil)
	w.browser = &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), w.provider.URL) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return w
}

func (w *world) get(t *testing.T, path string) (int, string) {
	t.Helper()
	resp, err := w.browser.Get(w.app.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if l := resp.Header.Get("Location"); l != "" {
		u, err := url.Parse(l)
		if err != nil {
			t.Fatal(err)
		}
		w.asked = u.Query()
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// answer comes back from the provider as a right answer to the last request
// does, with changes as name, value; an empty value takes the name out.
func (w *world) answer(t *testing.T, changes ...string) (int, string) {
	t.Helper()
	q := url.Values{"code": {"c"}, "state": {w.asked.Get("state")}, "iss": {w.provider.URL}}
	for i := 0; i < len(changes); i += 2 {
		q.Set(changes[i], changes[i+1])
		if changes[i+1] == "" {
			q.Del(changes[i])
		}
	}
	return w.get(t, "/callback?"+q.Encode())
}

func TestSigningInShowsWhoAndHow(t *testing.T) {
	w := newWorld(t)
	if _, body := w.get(t, "/"); !strings.Contains(body, "Sign in") {
		t.Fatalf("the first page offers no sign-in:\n%s", body)
	}
	w.get(t, "/login")
	if w.asked.Get("code_challenge_method") != "S256" || w.asked.Get("nonce") == "" || w.asked.Get("prompt") != "" {
		t.Errorf("the request was %v", w.asked)
	}
	status, body := w.answer(t)
	for _, want := range []string{
		"Hello", "Ada &lt;b&gt;Byron&lt;/b&gt;", "a password and a one-time code", "amr pwd otp", "two factors", "acr mfa", "just now", "auth_time 1",
		"ada@example.com (verified)", "admins, staff", "1 Quay, Harbour", "&#34;amr&#34;: [",
	} {
		if status != 200 || !strings.Contains(body, want) {
			t.Errorf("status %d, and the page does not say %q:\n%s", status, want, body)
		}
	}
	w.get(t, "/login?again=1")
	if got := w.asked.Get("prompt"); got != "login" {
		t.Errorf("signing in again asked for prompt %q, want login", got)
	}

	resp, err := w.browser.Post(w.app.URL+"/logout", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if _, body := w.get(t, "/"); !strings.Contains(body, "Welcome") {
		t.Error("signing out did not sign out")
	}
}

func TestSayingNoIsTakenForAnAnswer(t *testing.T) {
	w := newWorld(t)
	w.get(t, "/login")
	if _, body := w.answer(t, "error", "access_denied"); !strings.Contains(body, "Welcome") || !strings.Contains(body, "nothing was shared") {
		t.Errorf("the page says %s", body)
	}
	w.get(t, "/login")
	w.answer(t)
	w.get(t, "/login?again=1")
	if _, body := w.answer(t, "error", "access_denied"); !strings.Contains(body, "Hello") || !strings.Contains(body, "did not sign in again") {
		t.Errorf("someone who was signed in before sees %s", body)
	}
}

func TestTwoTabsBothEndWell(t *testing.T) {
	w := newWorld(t)
	w.get(t, "/login")
	first := w.asked
	w.get(t, "/login")
	if status, _ := w.answer(t); status != 200 {
		t.Errorf("the second tab got %d", status)
	}
	w.asked = first
	if status, _ := w.answer(t); status != 200 {
		t.Errorf("the first tab got %d", status)
	}
}

func TestAnAnswerThatDoesNotHoldSignsNobodyIn(t *testing.T) {
	for name, c := range map[string]struct {
		claims map[string]any
		answer []string
	}{
		"a state that was not given":  {nil, []string{"state", "x"}},
		"no state":                    {nil, []string{"state", ""}},
		"another issuer":              {nil, []string{"iss", "https://evil.example"}},
		"no issuer":                   {nil, []string{"iss", ""}},
		"an error":                    {nil, []string{"error", "server_error"}},
		"a no":                        {nil, []string{"error", "access_denied"}},
		"another nonce":               {map[string]any{"nonce": "x"}, nil},
		"a token for someone else":    {map[string]any{"aud": "other"}, nil},
		"a token of another issuer":   {map[string]any{"iss": "https://evil.example"}, nil},
		"a token that has expired":    {map[string]any{"exp": 1}, nil},
		"userinfo about someone else": {map[string]any{"sub": "s2"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.get(t, "/login")
			for k, v := range c.claims {
				w.claims[k] = v
			}
			w.answer(t, c.answer...)
			if _, body := w.get(t, "/"); strings.Contains(body, "Hello") {
				t.Error("someone is signed in")
			}
		})
	}
}

func TestAnAnswerIsGoodOnceAndInItsBrowser(t *testing.T) {
	w := newWorld(t)
	w.get(t, "/login")
	jar := w.browser.Jar
	w.browser.Jar, _ = cookiejar.New(nil)
	if status, _ := w.answer(t); status != 400 {
		t.Errorf("another browser got %d, want 400", status)
	}
	w.browser.Jar = jar
	if status, _ := w.answer(t); status != 200 {
		t.Errorf("its own browser got %d, want 200", status)
	}
	if status, _ := w.answer(t); status != 400 {
		t.Errorf("the second time it got %d, want 400", status)
	}
}

func TestAnotherSiteCanOnlyAskForOurProvider(t *testing.T) {
	w := newWorld(t)
	if status, _ := w.get(t, "/login?iss="+url.QueryEscape("https://evil.example")); status != 400 {
		t.Errorf("got %d, want 400", status)
	}
	if status, _ := w.get(t, "/login?iss="+url.QueryEscape(w.provider.URL)); status != 303 {
		t.Errorf("got %d, want 303", status)
	}
}

func TestAProviderThatIsAwayIsNoCrash(t *testing.T) {
	w := newWorld(t)
	w.provider.Close()
	status, body := w.get(t, "/login")
	if status != 502 || !strings.Contains(body, "cannot be reached") {
		t.Errorf("got %d %s", status, body)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	w := newWorld(t)
	for i := range 1100 {
		w.browser.Jar, _ = cookiejar.New(nil)
		if status, body := w.get(t, "/login"); status != 303 {
			t.Fatal(i, status, fmt.Sprintf("%.200s", body))
		}
	}
	if status, _ := w.answer(t); status != 200 {
		t.Errorf("the newest session was lost: %d", status)
	}
}
