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
	bank          *httptest.Server // nil: there is none
	browser       *http.Client
	claims        map[string]any // of the next ID token, over the good ones
	access        map[string]any // of the next access token, over weak ones
	asked         url.Values     // the last authorization request
	who           string         // the subject of who signs in

	key *ecdsa.PrivateKey
}

func newWorld(t *testing.T) *world { return newWorldWith(t, nil) }

// newWorldWith makes a world with a bank, if bank is not nil.
func newWorldWith(t *testing.T, bank func(w *world) http.Handler) *world {
	w := &world{claims: map[string]any{}, who: "s1"}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w.key = key
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
		say(rw, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	})
	m.HandleFunc("/userinfo", func(rw http.ResponseWriter, _ *http.Request) {
		say(rw, map[string]any{
			"sub": w.who, "name": "Ada <b>Byron</b>", "email": "ada@example.com", "email_verified": true,
			"groups": []string{"staff", "admins"}, "address": map[string]string{"formatted": "1 Quay\nHarbour"},
		})
	})
	m.HandleFunc("/token", func(rw http.ResponseWriter, r *http.Request) {
		claims := map[string]any{
			"iss": w.provider.URL, "aud": "demo", "sub": w.who, "nonce": w.asked.Get("nonce"),
			"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(), "auth_time": time.Now().Unix(),
			"amr": []string{"pwd", "otp"}, "acr": "mfa",
		}
		for k, v := range w.claims {
			claims[k] = v
		}
		say(rw, map[string]any{
			"access_token": w.token(t, w.access), "token_type": "Bearer", "id_token": w.sign(t, "JWT", claims),
		})
	})

	var app http.Handler
	w.app = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { app.ServeHTTP(rw, r) }))
	t.Cleanup(w.app.Close)
	address := ""
	if bank != nil {
		var handler http.Handler
		w.bank = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { handler.ServeHTTP(rw, r) }))
		t.Cleanup(w.bank.Close)
		handler, address = bank(w), w.bank.URL
	}
	app = demoapp.New(demoapp.Config{
		URL: w.app.URL, Issuer: w.provider.URL, ClientID: "demo", Secret: "x", Bank: address,
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

// sign makes a JWT of the provider's.
func (w *world) sign(t *testing.T, typ string, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: w.key, KeyID: "k"}},
		(&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// token makes an access token as a sign-in gets it, with changes.
func (w *world) token(t *testing.T, changes map[string]any) string {
	t.Helper()
	now := time.Now().Unix()
	claims := map[string]any{
		"iss": w.provider.URL, "aud": "nobody", "sub": w.who, "client_id": "demo", "jti": rand.Text(),
		"iat": now, "exp": now + 60, "scope": "openid profile", "auth_time": now, "acr": "mfa", "amr": []string{"pwd", "otp"},
	}
	if w.bank != nil {
		claims["aud"] = []string{w.bank.URL, w.provider.URL}
	}
	for k, v := range changes {
		claims[k] = v
	}
	return w.sign(t, "at+jwt", claims)
}

func (w *world) get(t *testing.T, path string) (int, string) {
	t.Helper()
	return w.read(t, func() (*http.Response, error) { return w.browser.Get(w.app.URL + path) })
}

// send fills the form "Send money" in.
func (w *world) send(t *testing.T, amount, payee string) (int, string) {
	t.Helper()
	return w.read(t, func() (*http.Response, error) {
		return w.browser.PostForm(w.app.URL+"/send", url.Values{"amount": {amount}, "payee": {payee}})
	})
}

func (w *world) read(t *testing.T, do func() (*http.Response, error)) (int, string) {
	t.Helper()
	resp, err := do()
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
