package test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
	"golang.org/x/net/html"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
)

// A watch hands requests on to the provider, and keeps what it answers to
// those that fail.
type watch struct {
	http.Handler
	refused bytes.Buffer
	n       int
}

func (w *watch) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	rec := httptest.NewRecorder()
	w.Handler.ServeHTTP(rec, r)
	// An enrolment page that is shown again still has to show the secret.
	if rec.Code >= 400 && kindOf(rec.Body.String()) != "enrol" {
		w.n++
		fmt.Fprintf(&w.refused, "%s %d\n", r.URL.Path, rec.Code)
		_ = rec.Header().Write(&w.refused) // a buffer takes everything
		w.refused.Write(rec.Body.Bytes())
	}
	maps.Copy(rw.Header(), rec.Header())
	rw.WriteHeader(rec.Code)
	_, _ = rw.Write(rec.Body.Bytes())
}

// A heist is a stage in which everything happens that has to do with a secret,
// well and badly, and every secret is kept in the vault.
type heist struct {
	*stage
	*watch
	vault  vault
	alice  phone
	unused string // a code that has not been redeemed
}

// LG-2, TK-5, PA-11, TO-5, RC-2, OA-9
func TestNoSecretIsInALogAnErrorOrADump(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		h := newHeist(t, dsn)
		h.peopleSignIn()
		h.tokensAreTraded()
		h.requestsArePushed()
		h.factorsChange()
		h.strangersTry(0)

		everything := dumped(t, dsn)
		if err := h.db.Close(); err != nil {
			t.Fatal(err)
		}
		h.strangersTry(1) // and now each answer is a fault of the store

		if len(h.vault) < 40 {
			t.Errorf("only %d secrets were seeded", len(h.vault))
		}
		for name, secret := range h.vault {
			if len(secret) < 6 {
				t.Errorf("%s is too short to be looked for: %q", name, secret)
			}
		}
		if h.log.Len() < 10_000 || h.n < 40 || len(everything["events"]) < 10 || len(everything["grants"]) < 3 {
			t.Errorf("too little to look at: a log of %d, %d errors, %d events", h.log.Len(), h.n, len(everything["events"]))
		}
		for _, f := range h.vault.in(h.log.String()) {
			t.Errorf("the log has %s, %s", f.secret, f.as)
		}
		for _, f := range h.vault.in(h.refused.String()) {
			// The name field keeps what was typed, for who typed it to see.
			if f.secret != "password in the name field" {
				t.Errorf("an error has %s, %s", f.secret, f.as)
			}
		}
		for table, rows := range everything {
			for _, f := range h.vault.in(strings.Join(rows, "\n")) {
				t.Errorf("table %s has %s, %s", table, f.secret, f.as)
			}
		}
	})
}

func newHeist(t *testing.T, dsn string) *heist {
	h := &heist{vault: vault{
		"password of alice": "correct horse battery", "password of bob": "staple staple staple",
		"client secret": appSecret, "sealing key": strings.Repeat("seal", 8), "token secret": strings.Repeat("mac!", 8),
		"signing key": secretOf(t, "ES256"), "signing key, RSA": secretOf(t, "RS256"),
		"verifier": verifier,
	}}
	wide := mfa.Budget{Free: 1000, Waits: []time.Duration{time.Second}, Day: 1000, Month: 1000}
	h.stage = newStage(t, dsn, noLimits, plan{mfa: func(c *mfa.Config) { c.Budget = wide; c.Params.Digits = 8 }})
	h.watch = &watch{Handler: h.house}
	h.net["idp.example"] = h.watch
	h.register(provider.Client{ID: "opaque", Type: provider.Web, Secrets: []provider.Hash{hash("the opaque client's secret")},
		RedirectURIs: []string{appURL}, OpaqueTokens: true, FirstParty: true})
	h.vault["client secret, opaque"] = "the opaque client's secret"
	return h
}

func secretOf(t *testing.T, alg string) string {
	t.Helper()
	switch k := key(t, alg).Signer.(type) {
	case *ecdsa.PrivateKey:
		b, err := k.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	case *rsa.PrivateKey:
		return string(k.D.Bytes())
	}
	t.Fatal("no such key")
	return ""
}

// keep puts what b holds into the vault.
func (h *heist) keep(what string, b *browser) {
	for i, pair := range strings.Split(b.cookies(), "; ") {
		_, value, _ := strings.Cut(pair, "=")
		h.vault[fmt.Sprintf("cookie %d of %s", i, what)] = value
	}
}

// keepTokens puts the tokens of an answer into the vault, whole and the part
// without which they are worth nothing.
func (h *heist) keepTokens(what string, a reply) {
	h.t.Helper()
	for _, name := range []string{"access_token", "refresh_token", "id_token"} {
		if token := a.text(h.t, name); token != "" {
			h.vault[name+" "+what] = token
			h.vault["end of "+name+" "+what] = token[strings.LastIndexByte(token, '.')+1:]
		}
	}
}

// peopleSignIn: with wrong passwords and codes on the way, with an enrolment.
func (h *heist) peopleSignIn() {
	h.t.Helper()
	h.alice = phoneOf(h.t, "otpauth://totp/Test:alice?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Test&digits=8")
	if err := h.factors.Import(context.Background(), "sub-alice", h.alice.key.URL()); err != nil {
		h.t.Fatal(err)
	}
	h.vault["TOTP secret of alice"] = h.alice.key.Secret()
	b := h.browser
	b.open(issuer + "/authorize?" + offline().Encode())
	h.keep("alice, before", b)
	for name, v := range map[string][2]string{
		"wrong password": {"alice", "a wrong guess"}, "password in the name field": {"my secret password", "x"},
		"password of nobody": {"nobody", "the password of nobody"},
	} {
		h.vault[name] = v[1]
		if name == "password in the name field" {
			h.vault[name] = v[0]
		}
		b.submit("password", "username", v[0], "password", v[1])
	}
	b.submit("password", "username", "alice", "password", h.vault["password of alice"])
	h.vault["wrong code"] = "71 82 93 wrong"
	b.submit("otp", "code", h.vault["wrong code"])
	b.submit("otp", "code", h.eight(h.alice))
	h.keep("alice, signed in", b)
	b.submit("consent", "decision", "allow")
	if !b.page.url.Query().Has("code") {
		h.t.Fatalf("alice is at %s", b.page.text())
	}
	h.unused = b.page.url.Query().Get("code")
	h.vault["unused code"] = h.unused
	_, h.vault["end of the unused code"], _ = strings.Cut(h.unused, ".")

	bob := newBrowser(h.t, h.net)
	bob.open(issuer + "/authorize?" + authorization().Encode())
	bob.submit("password", "username", "bob", "password", h.vault["password of bob"])
	bob.submit("enroll")
	phone := scan(h.t, bob.page)
	h.vault["TOTP secret of bob"] = phone.key.Secret()
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(phone.key.Secret())
	if err != nil {
		h.t.Fatal(err)
	}
	h.vault["TOTP secret of bob, raw"] = string(raw)
	bob.submit("confirm", "code", "12345678")
	bob.submit("confirm", "code", h.eight(phone))
	h.keepCodes("bob", bob.page)
	bob.open(issuer + bob.page.url.Path + "/codes.txt")
	bob.open(issuer + strings.TrimSuffix(bob.page.url.Path, "/codes.txt"))
	bob.submit("saved")
	bob.submit("consent", "decision", "allow")
	h.keep("bob, signed in", bob)
	if !bob.page.url.Query().Has("code") {
		h.t.Fatalf("bob is at %s", bob.page.text())
	}
	// Once more with a recovery code: a wrong one, a right one, and it again.
	for range 2 {
		bob.open(issuer + "/authorize?" + with(authorization(), "prompt", "login").Encode())
		bob.submit("password", "username", "bob", "password", h.vault["password of bob"])
		bob.open(bob.page.url.String() + "/recovery")
		h.vault["wrong recovery code"] = "7Q2M-V9KD-X3TB-04HN-WYRE"
		bob.submit("recovery", "code", h.vault["wrong recovery code"])
		bob.submit("recovery", "code", h.vault["recovery code 0 of bob"])
	}
	h.keep("bob, recovered", bob)
}

// eight is p's code of now, of the length that a heist has: six digits would
// be found by chance.
func (h *heist) eight(p phone) string {
	h.t.Helper()
	code, err := totp.GenerateCodeCustom(p.key.Secret(), time.Now(),
		totp.ValidateOpts{Period: 30, Digits: otp.DigitsEight, Algorithm: otp.AlgorithmSHA1})
	if err != nil {
		h.t.Fatal(err)
	}
	h.vault["code of "+p.key.Secret()] = code
	return code
}

func (h *heist) keepCodes(of string, p *page) {
	h.t.Helper()
	n := 0
	walk(p.doc, func(e *html.Node) {
		if e.Data == "code" && e.FirstChild != nil && strings.Count(e.FirstChild.Data, "-") == 4 {
			code := e.FirstChild.Data
			h.vault[fmt.Sprintf("recovery code %d of %s", n, of)] = code
			h.vault[fmt.Sprintf("recovery code %d of %s, ungrouped", n, of)] = strings.ReplaceAll(code, "-", "")
			h.vault[fmt.Sprintf("recovery code %d of %s, its secret", n, of)] = strings.ReplaceAll(code[5:], "-", "")
			n++
		}
	})
	if n != 10 {
		h.t.Fatalf("%d recovery codes: %s", n, p.text())
	}
}

// tokensAreTraded: codes, refresh tokens and access tokens of both forms, used
// and used again.
func (h *heist) tokensAreTraded() {
	h.t.Helper()
	ask := func(r *http.Request) reply { return ask(h.t, h.watch, r) }
	code := h.code(offline())
	h.vault["code"] = code
	_, h.vault["end of the code"], _ = strings.Cut(code, ".")
	app := []string{"Authorization", basic("app", appSecret)}
	h.vault["Authorization header"] = app[1]
	h.vault["wrong verifier"] = strings.Repeat("wrong-verifier.", 4)
	ask(send(h.t, "/token", with(exchange(code), "code_verifier", h.vault["wrong verifier"]), app...))
	h.vault["wrong client secret"] = "this was never the secret of it"
	ask(send(h.t, "/token", exchange(code), "Authorization", basic("app", h.vault["wrong client secret"])))
	bad := with(exchange(code), "client_secret", h.vault["wrong client secret"])
	ask(send(h.t, "/token", with(bad, "client_id", "app")))
	first := ask(send(h.t, "/token", exchange(code), app...))
	h.keepTokens("first", first)
	second := ask(send(h.t, "/token", refresh(first.text(h.t, "refresh_token")), app...))
	h.keepTokens("second", second)
	ask(get(h.t, "/userinfo", "Authorization", "Bearer "+second.text(h.t, "access_token")))
	ask(get(h.t, "/userinfo?access_token="+second.text(h.t, "access_token")))
	ask(send(h.t, "/userinfo", url.Values{"access_token": {second.text(h.t, "id_token")}}))

	// With a hint: the ID token is a token too.
	ask(get(h.t, "/authorize?"+with(with(authorization(), "id_token_hint", first.text(h.t, "id_token")), "prompt", "login").Encode(),
		"Cookie", h.browser.cookies()))
	ask(get(h.t, "/authorize?"+with(authorization(), "id_token_hint", first.text(h.t, "access_token")).Encode()))

	ask(send(h.t, "/token", refresh(first.text(h.t, "refresh_token")), app...)) // reuse
	ask(send(h.t, "/token", exchange(code), app...))                            // and of the code
	ask(send(h.t, "/userinfo", url.Values{"access_token": {second.text(h.t, "access_token")}}))

	v := exchange(h.code(with(authorization(), "client_id", "opaque")))
	v.Set("client_id", "opaque")
	v.Set("client_secret", h.vault["client secret, opaque"])
	opaque := ask(send(h.t, "/token", v))
	h.keepTokens("opaque", opaque)
	ask(get(h.t, "/userinfo", "Authorization", "Bearer "+opaque.text(h.t, "access_token")))
	ask(get(h.t, "/userinfo", "Authorization", "Bearer "+opaque.text(h.t, "access_token")+"x"))
}

// requestsArePushed: one that is used, one that is not, some that are refused.
func (h *heist) requestsArePushed() {
	h.t.Helper()
	ask := func(r *http.Request) reply { return ask(h.t, h.watch, r) }
	v := with(with(authorization(), "client_id", "opaque"), "client_secret", h.vault["client secret, opaque"])
	v = with(v, "id_token_hint", h.vault["id_token opaque"])
	for _, what := range []string{"unused", "used"} {
		uri := ask(send(h.t, "/par", v)).text(h.t, "request_uri")
		h.vault["request_uri, "+what] = uri
		h.vault["end of the request_uri, "+what] = strings.TrimPrefix(uri, "urn:ietf:params:oauth:request_uri:")
	}
	used := "/authorize?" + url.Values{"client_id": {"opaque"}, "request_uri": {h.vault["request_uri, used"]}}.Encode()
	ask(get(h.t, used))
	if a := ask(get(h.t, used, "Cookie", h.browser.cookies())); a.says() != "→app code" {
		h.t.Fatalf("a pushed request: %s", a.says())
	}
	ask(get(h.t, used, "Cookie", h.browser.cookies()))
	ask(get(h.t, strings.Replace(used, "opaque", "app", 1)))
	ask(send(h.t, "/par", with(v, "client_secret", h.vault["wrong client secret"])))
	ask(send(h.t, "/par", with(v, "request_uri", h.vault["request_uri, unused"])))
	ask(send(h.t, "/par", with(v, "id_token_hint", h.vault["access_token opaque"])))
}

// factorsChange: alice makes new recovery codes and a new factor.
func (h *heist) factorsChange() {
	h.t.Helper()
	b := h.browser
	b.open(issuer + "/account")
	b.submit("new-codes")
	h.keepCodes("alice", b.page)
	h.keep("alice, with new codes", b)
	b.submit("saved")
	b.submit("replace-factor")
	phone := scan(h.t, b.page)
	h.vault["new TOTP secret of alice"] = phone.key.Secret()
	b.submit("confirm", "code", "00000000")
	b.submit("confirm", "code", h.eight(phone))
	h.keepCodes("alice, again", b.page)
	h.keep("alice, with a new factor", b)
	b.submit("saved")
	// A factor that is begun and never finished.
	b.submit("replace-factor")
	h.vault["pending TOTP secret"] = scan(h.t, b.page).key.Secret()
}

// strangersTry: secrets where they do not belong, in requests that are broken
// or refused. Each secret is in a third of them, another third in each round.
func (h *heist) strangersTry(round int) {
	h.t.Helper()
	for i, name := range slices.Sorted(maps.Keys(h.vault)) {
		secret := h.vault[name]
		if name == "password in the name field" {
			continue
		}
		v := url.Values{"client_id": {"app"}, "client_secret": {secret}, "code": {secret}, "refresh_token": {secret},
			"username": {"alice"}, "password": {secret}, "access_token": {secret}, "code_verifier": {secret}}
		for j, r := range []*http.Request{
			send(h.t, "/token", with(v, "grant_type", "authorization_code")),
			send(h.t, "/token", with(v, "grant_type", secret)),
			send(h.t, "/token", with(v, "grant_type", "refresh_token"), "Authorization", basic(secret, secret)),
			send(h.t, "/token", v, "Authorization", "Basic "+secret),
			get(h.t, "/userinfo", "Authorization", "Bearer "+url.QueryEscape(secret)),
			send(h.t, "/userinfo", v),
			get(h.t, "/authorize?"+with(authorization(), "password", secret).Encode()+"&"+v.Encode()),
			get(h.t, "/authorize?"+with(with(authorization(), "prompt", "none"), "id_token_hint", secret).Encode()),
			get(h.t, "/authorize?"+with(authorization(), "client_secret", secret).Encode()),
			get(h.t, "/account", "Cookie", sessionCookie+"="+url.QueryEscape(secret)+"; "+browserCookie+"="+url.QueryEscape(secret)),
			send(h.t, "/account", v, "Cookie", h.browser.cookies(), "Sec-Fetch-Site", "cross-site"),
			send(h.t, "/flow/x", with(v, "step", secret), "Cookie", h.browser.cookies()),
			broken(h.t, "/token", "%zz="+url.QueryEscape(secret)),
			broken(h.t, "/flow/x", url.QueryEscape(secret)+"=1&%zz"),
			send(h.t, "/token", v, "Content-Type", "text/plain"),
			send(h.t, "/par", with(v, "request_uri", secret)),
			send(h.t, "/par", with(authorization(), "id_token_hint", secret), "Authorization", basic("app", appSecret)),
			get(h.t, opening("urn:ietf:params:oauth:request_uri:"+secret)),
		} {
			if (i+j+round)%3 != 0 {
				continue
			}
			if i%7 == 0 {
				ctx, cancel := context.WithCancel(r.Context())
				cancel()
				r = r.WithContext(ctx)
			}
			ask(h.t, h.watch, r)
		}
	}
}

// broken returns a form that is none.
func broken(t testing.TB, path, body string) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, issuer+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// TK-5, RC-2: whoever has the database can do nothing with what stands in it.
func TestADumpOpensNothing(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		h := newHeist(t, dsn)
		h.peopleSignIn()
		h.tokensAreTraded()
		h.requestsArePushed()
		unused, _, _ := strings.Cut(h.unused, ".")
		everything := dumped(t, dsn)
		tried := map[string]bool{}
		for _, table := range []string{"flows", "pushed_requests", "sessions", "grants", "consents", "clients", "mfa_accounts", "mfa_recovery_codes", "mfa_misses"} {
			for _, row := range everything[table] {
				for _, cell := range strings.Split(row, "\x1f") {
					_, value, _ := strings.Cut(cell, "=")
					texts := []string{value}
					if len(value) == 32 { // a hash
						texts = append(texts, hex.EncodeToString([]byte(value)), base64.RawURLEncoding.EncodeToString([]byte(value)))
					}
					for _, text := range texts {
						if len(text) >= 16 && len(text) < 200 && !tried[text] {
							tried[text] = true
							h.opensNothing(text, unused)
						}
					}
				}
			}
		}
		if len(tried) < 50 {
			t.Errorf("only %d values were tried", len(tried))
		}
		for _, row := range everything["mfa_recovery_codes"] {
			cells := map[string]string{}
			for _, cell := range strings.Split(row, "\x1f") {
				name, value, _ := strings.Cut(cell, "=")
				cells[name] = value
			}
			digest := strings.ToUpper(cells["hash"][strings.LastIndexByte(cells["hash"], '$')+1:])
			for _, code := range []string{cells["selector"] + digest[:16], cells["hash"], cells["selector"] + cells["hash"]} {
				v, err := h.factors.Verify(t.Context(), cells["subject"], 2, code)
				if err != nil || v.OK {
					t.Errorf("a stored recovery code let %s in: %v, %v", cells["subject"], v, err)
				}
			}
		}
		// What was tried did no harm either: the owner's code is still good.
		if a := h.trade(exchange(h.unused)); a.status != http.StatusOK {
			t.Errorf("the unused code: %s", a.says())
		}
	})
}

// opensNothing tries text as whatever there is.
func (h *heist) opensNothing(text, grant string) {
	h.t.Helper()
	cookie := url.QueryEscape(text)
	if a := ask(h.t, h.house, get(h.t, "/userinfo", "Authorization", "Bearer "+text)); a.status == http.StatusOK {
		h.t.Errorf("%q is an access token", text)
	}
	if a := ask(h.t, h.house, get(h.t, "/account", "Cookie", sessionCookie+"="+cookie+"; "+browserCookie+"="+cookie)); a.says() != "→flow" {
		h.t.Errorf("%q is a session: %s", text, a.says())
	}
	for _, id := range []string{"app", "opaque"} {
		q := url.Values{"client_id": {id}, "request_uri": {"urn:ietf:params:oauth:request_uri:" + text}}
		if a := ask(h.t, h.house, get(h.t, "/authorize?"+q.Encode())); a.says() != noRequest {
			h.t.Errorf("%q is a request_uri: %s", text, a.says())
		}
	}
	if a := h.trade(refresh(text)); a.says() != "400 invalid_grant" {
		h.t.Errorf("%q as a refresh token: %s", text, a.says())
	}
	if a := h.trade(exchange(grant + "." + text)); a.says() != "400 invalid_grant" {
		h.t.Errorf("%q as a code: %s", text, a.says())
	}
	if a := ask(h.t, h.house, send(h.t, "/token", exchange("x"), "Authorization", basic("app", text))); a.says() != "401 invalid_client" {
		h.t.Errorf("%q as a client secret: %s", text, a.says())
	}
}
