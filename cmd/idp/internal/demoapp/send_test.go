package demoapp_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// signedIn is a world with a bank, in whose app s1 is signed in.
func signedIn(t *testing.T) *world {
	t.Helper()
	w := newBank(t)
	w.get(t, "/login")
	if got := w.asked.Get("resource"); got != w.bank.URL {
		t.Errorf("the sign-in asked for resource %q", got)
	}
	if _, body := w.answer(t); !strings.Contains(body, "1000.00 EUR of play money") || !strings.Contains(body, "Nothing has been sent yet.") {
		t.Fatalf("the page shows no account:\n%s", body)
	}
	return w
}

func TestSendingMoneyStepsUpAndHappensOnce(t *testing.T) {
	for name, c := range map[string]struct {
		access map[string]any
		says   []string
	}{
		"soon after signing in": {nil, []string{"403 insufficient_scope", "may not send money"}},
		"later": {map[string]any{"auth_time": time.Now().Add(-time.Hour).Unix()},
			[]string{"401 insufficient_user_authentication", "too old or too weak"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newBank(t)
			w.access = c.access
			w.get(t, "/login")
			w.answer(t)
			if status, body := w.send(t, " 20 ", "Grace"); status != 303 {
				t.Fatalf("%d %s", status, body)
			}
			for name, want := range map[string]string{
				"scope": "openid transfer", "acr_values": "mfa phr", "max_age": "300", "code_challenge_method": "S256",
				"authorization_details": approval, "resource": w.bank.URL, "prompt": "",
			} {
				if got := w.asked.Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			w.access = strong(approval)
			status, body := w.answer(t)
			for _, want := range append(c.says,
				"20.00 EUR sent to <bdi>Grace</bdi>", "980.00 EUR left", "<dd>5 minutes</dd>", "<dd>send money</dd>",
				"<code>acr_values mfa phr</code>", "<code>max_age 300</code>", "<code>scope transfer</code>", "a password and a one-time code", "amr pwd otp", "acr mfa", "just now",
				"&#34;amount&#34;: &#34;20.00&#34;", "WWW-Authenticate: Bearer",
			) {
				if status != 200 || !strings.Contains(body, want) {
					t.Errorf("%d, and the page does not say %q:\n%s", status, want, body)
				}
			}
			// The same answer again, or its page, sends nothing.
			if status, _ := w.answer(t); status != 400 {
				t.Errorf("the answer again: %d, want 400", status)
			}
			w.get(t, "/sent")
			if got := w.balance(t); got != "980.00" {
				t.Errorf("the balance is %s", got)
			}
			if _, body := w.get(t, "/"); c.access == nil && (!strings.Contains(body, "980.00 EUR of play money") || !strings.Contains(body, "<bdi>Grace</bdi>")) {
				t.Errorf("the page does not list it:\n%s", body)
			}
		})
	}
}

func TestASendingThatGoesWrongSendsNothingAndSaysWhatToDo(t *testing.T) {
	other := strings.Replace(approval, "20.00", "900.00", 1)
	for name, c := range map[string]struct {
		claims, access map[string]any
		answer         []string
		status         int
		says           string
	}{
		"a no":                      {nil, strong(approval), []string{"error", "access_denied"}, 200, "You did not approve it, and nothing was sent."},
		"no factor":                 {nil, nil, []string{"error", "unmet_authentication_requirements"}, 403, "Sign in again to set one up."},
		"another error":             {nil, nil, []string{"error", "server_error", "error_description", "Oh dear"}, 502, "Oh dear (server_error)"},
		"another issuer":            {nil, strong(approval), []string{"iss", "https://evil.example"}, 400, "nothing was sent"},
		"another nonce":             {map[string]any{"nonce": "x"}, strong(approval), nil, 502, "nothing was sent"},
		"somebody else":             {map[string]any{"sub": "s2"}, strong(approval), nil, 403, "Somebody else"},
		"a token that is too weak":  {nil, map[string]any{"acr": "pwd"}, nil, 502, "more than the provider can give"},
		"something else approved":   {nil, strong(other), nil, 502, "not what you approved"},
		"a token for somebody else": {nil, map[string]any{"aud": "x"}, nil, 502, "does not take the app’s token"},
	} {
		t.Run(name, func(t *testing.T) {
			w := signedIn(t)
			w.send(t, "20", "Grace")
			w.claims, w.access = c.claims, c.access
			if status, body := w.answer(t, c.answer...); status != c.status || !strings.Contains(body, c.says) {
				t.Errorf("%d, want %d and %q:\n%s", status, c.status, c.says, body)
			}
			if got := w.balance(t); got != "1000.00" {
				t.Errorf("the balance is %s", got)
			}
		})
	}
}

// A sending that was begun by one is not finished by the next who signs in, in
// the same browser, and not after signing out.
func TestASendingIsItsUsersOwn(t *testing.T) {
	for _, approver := range []string{"s1", "s2"} {
		w := signedIn(t)
		w.send(t, "20", "Grace")
		sending := w.asked
		w.get(t, "/login")
		w.who = "s2"
		if status, _ := w.answer(t); status != 200 {
			t.Fatalf("the other one cannot sign in: %d", status)
		}
		w.asked, w.who, w.access = sending, approver, strong(approval)
		if status, body := w.answer(t); status != 403 || !strings.Contains(body, "Somebody else") {
			t.Errorf("approved by %s: %d %s", approver, status, body)
		}
		if got := w.balance(t); got != "1000.00" {
			t.Errorf("the balance is %s", got)
		}
	}
	w := signedIn(t)
	w.send(t, "20", "Grace")
	resp, err := w.browser.Post(w.app.URL+"/logout", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	w.access = strong(approval)
	if status, _ := w.answer(t); status != 400 {
		t.Errorf("after signing out: %d, want 400", status)
	}
}

func TestTheFormSaysWhatIsWrongWithIt(t *testing.T) {
	w := signedIn(t)
	for _, amount := range []string{"", "0", "-1", "1e3", "20.5", "1.000,00", "100000", "twenty"} {
		status, body := w.send(t, amount, "Grace")
		if status != 422 || !strings.Contains(body, "Enter an amount such as") || !strings.Contains(body, `value="Grace"`) {
			t.Errorf("%q: %d %s", amount, status, body)
		}
	}
	for _, payee := range []string{"", "  ", "Grace\nApproved", strings.Repeat("x", 71), "\u202eevil"} {
		if status, body := w.send(t, "20,00", payee); status != 422 || !strings.Contains(body, `id="payee-error"`) {
			t.Errorf("%q: %d %s", payee, status, body)
		}
	}
}

func TestNobodySendsWithoutASignIn(t *testing.T) {
	w := newBank(t)
	if status, body := w.send(t, "20", "Grace"); status != 200 || !strings.Contains(body, "Welcome") {
		t.Errorf("%d %s", status, body)
	}
	if status, body := w.get(t, "/sent"); status != 200 || !strings.Contains(body, "Welcome") {
		t.Errorf("%d %s", status, body)
	}
	r, err := http.NewRequest(http.MethodPost, w.app.URL+"/send", strings.NewReader("amount=20&payee=Grace"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if status, _ := w.read(t, func() (*http.Response, error) { return w.browser.Do(r) }); status != 403 {
		t.Errorf("another site's form: %d, want 403", status)
	}
}

func TestATokenThatIsOverAndABankThatIsAwayAreSaid(t *testing.T) {
	w := newBank(t)
	w.access = map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}
	w.get(t, "/login")
	if _, body := w.answer(t); !strings.Contains(body, "any more") || !strings.Contains(body, `<a class="button" href="/login">Sign in</a>`) {
		t.Errorf("the page says %s", body)
	}
	if status, body := w.send(t, "20", "Grace"); status != 502 || !strings.Contains(body, "any more") {
		t.Errorf("%d %s", status, body)
	}
	w.bank.Close()
	if _, body := w.get(t, "/"); !strings.Contains(body, "The bank does not answer.") {
		t.Errorf("the page says %s", body)
	}
	if status, body := w.send(t, "20", "Grace"); status != 502 || !strings.Contains(body, "Look at your transfers") {
		t.Errorf("%d %s", status, body)
	}
}

// Without it Chromium stops the browser on its way to the provider.
func TestThePolicyLetsTheFormLeadToTheProvider(t *testing.T) {
	w := newBank(t)
	resp, err := w.browser.Get(w.app.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := resp.Header.Get("Content-Security-Policy"); !strings.Contains(got, "form-action 'self' "+w.provider.URL+";") {
		t.Errorf("the policy is %q", got)
	}
}
