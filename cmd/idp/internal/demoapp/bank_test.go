package demoapp_test

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/demoapp"
)

func newBank(t *testing.T) *world {
	t.Helper()
	return newWorldWith(t, func(w *world) http.Handler {
		b, err := demoapp.NewBank(demoapp.BankConfig{URL: w.bank.URL, Issuer: w.provider.URL, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return b
	})
}

const (
	call     = `{"amount":"20.00","payee":"Grace"}`
	approval = `[{"type":"payment","amount":"20.00","payee":"Grace"}]`
)

// strong returns the claims of a token with which details were approved.
func strong(details string) map[string]any {
	return map[string]any{"scope": "openid transfer", "authorization_details": raw(details)}
}

// A raw is JSON as it stands.
type raw string

func (r raw) MarshalJSON() ([]byte, error) { return []byte(r), nil }

// transfers calls the bank and returns its answer; an empty token is none.
func (w *world) transfers(t *testing.T, token, body string) (int, string, string) {
	t.Helper()
	return w.calls(t, http.MethodPost, "/transfer", token, body)
}

func (w *world) calls(t *testing.T, method, path, token, body string) (status int, challenge, text string) {
	t.Helper()
	r, err := http.NewRequest(method, w.bank.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("WWW-Authenticate"), string(b)
}

// balance is what the bank says there is in the account of s1.
func (w *world) balance(t *testing.T) string {
	t.Helper()
	status, _, text := w.calls(t, http.MethodGet, "/account", w.token(t, nil), "")
	_, rest, found := strings.Cut(text, `"balance":"`)
	balance, _, _ := strings.Cut(rest, `"`)
	if status != 200 || !found {
		t.Fatalf("the account: %d %s", status, text)
	}
	return balance
}

// SU-7: the bank sends nothing but with a token that was made for this.
func TestTheBankSendsNothingWithoutProof(t *testing.T) {
	w := newBank(t)
	with := func(changes map[string]any) map[string]any {
		all := strong(approval)
		for k, v := range changes {
			all[k] = v
		}
		return all
	}
	old := time.Now().Add(-6 * time.Minute).Unix()
	for name, c := range map[string]struct {
		token     map[string]any
		status    int
		challenge string
	}{
		"a sign-in's token":         {nil, 403, "insufficient_scope"},
		"one factor":                {with(map[string]any{"acr": "pwd"}), 401, `acr_values="mfa phr"`},
		"long ago":                  {with(map[string]any{"auth_time": old}), 401, `max_age="300"`},
		"a weak sign-in's token":    {map[string]any{"acr": "pwd"}, 401, `scope="transfer"`},
		"no acr":                    {with(map[string]any{"acr": nil}), 401, "insufficient_user_authentication"},
		"for another API":           {with(map[string]any{"aud": "https://other.example"}), 401, "invalid_token"},
		"expired":                   {with(map[string]any{"exp": old}), 401, "invalid_token"},
		"nothing approved":          {with(map[string]any{"authorization_details": nil}), 403, ""},
		"another type":              {strong(`[{"type":"gift","amount":"20.00","payee":"Grace"}]`), 403, ""},
		"approved twice":            {strong(`[` + approval[1:len(approval)-1] + `,` + approval[1:]), 403, ""},
		"an amount in another form": {strong(`[{"type":"payment","amount":"020.00","payee":"Grace"}]`), 403, ""},
	} {
		status, challenge, text := w.transfers(t, w.token(t, c.token), call)
		if status != c.status || !strings.Contains(challenge, c.challenge) {
			t.Errorf("%s: %d %q %s, want %d with %q", name, status, challenge, text, c.status, c.challenge)
		}
	}
	if status, challenge, _ := w.transfers(t, "", call); status != 401 || challenge != "Bearer" {
		t.Errorf("without a token: %d %q", status, challenge)
	}
	if status, _, _ := w.calls(t, http.MethodGet, "/account", "", ""); status != 401 {
		t.Errorf("the account without a token: %d", status)
	}
	if got := w.balance(t); got != "1000.00" {
		t.Errorf("the balance is %s", got)
	}
}

// RFC 9396: what was approved is done, and nothing else.
func TestTheBankRefusesWhatWasNotApproved(t *testing.T) {
	w := newBank(t)
	for _, body := range []string{
		`{"amount":"900.00","payee":"Grace"}`, `{"amount":"20.00","payee":"Mallory"}`, `{"amount":"20.00"}`,
		`{"amount":"20.00","payee":"Grace","twice":true}`, `{}`, ``, `[]`,
	} {
		if status, _, text := w.transfers(t, w.token(t, strong(approval)), body); status != 403 || !strings.Contains(text, "not_approved") {
			t.Errorf("%s: %d %s", body, status, text)
		}
	}
	for amount, want := range map[string]int{"0.00": 400, "1000.01": 409, "1000.00": 200} {
		details := strings.Replace(approval, "20.00", amount, 1)
		if status, _, text := w.transfers(t, w.token(t, strong(details)), strings.Replace(call, "20.00", amount, 1)); status != want {
			t.Errorf("%s: %d %s, want %d", amount, status, text, want)
		}
	}
	if got := w.balance(t); got != "0.00" {
		t.Errorf("the balance is %s", got)
	}
}

// A token that is good once is spent by the call that it let pass, whatever
// became of that.
func TestATokenSendsOnce(t *testing.T) {
	w := newBank(t)
	token := w.token(t, strong(approval))
	if status, _, text := w.transfers(t, token, call); status != 200 || !strings.Contains(text, `"balance":"980.00"`) {
		t.Fatalf("%d %s", status, text)
	}
	if status, challenge, _ := w.transfers(t, token, call); status != 401 || !strings.Contains(challenge, "invalid_token") {
		t.Errorf("the second time: %d %s", status, challenge)
	}
	// Nor has a refusal a second try.
	token = w.token(t, strong(approval))
	w.transfers(t, token, `{}`)
	if status, _, _ := w.transfers(t, token, call); status != 401 {
		t.Errorf("after a refusal: %d", status)
	}
	if got := w.balance(t); got != "980.00" {
		t.Errorf("the balance is %s", got)
	}
}
