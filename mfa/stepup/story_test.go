package stepup_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// A town is an issuer, a bank and a site on loopback, with a browser whose user
// wants to send money.
type town struct {
	t *testing.T
	*authority
	desk    *desk
	site    *site
	home    string
	browser *http.Client
	sent    []string // what the bank answered 200 to
}

func newTown(t *testing.T) *town {
	t.Helper()
	w := &town{t: t}
	var stop, end func()
	w.authority, w.desk, stop = serveCodes()
	t.Cleanup(stop)
	w.authority.t = t
	inner := bank(w.guard())
	outer := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		inner.ServeHTTP(rec, r)
		if rec.Code == 200 {
			w.sent = append(w.sent, rec.Body.String())
		}
		for name, v := range rec.Header() {
			rw.Header()[name] = v
		}
		rw.WriteHeader(rec.Code)
		rw.Write(rec.Body.Bytes())
	}))
	t.Cleanup(outer.Close)
	w.site = &site{user: "ada", token: w.token(claims{"sub": "ada", "acr": "pwd", "scope": "account"})}
	var err error
	w.home, w.browser, end, err = w.site.open(t.Context(), w.name, outer.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(end)
	return w
}

// send sends the form, and returns where the browser ends.
func (w *town) send() (status int, text, at string) {
	w.t.Helper()
	resp, err := w.browser.PostForm(w.home+"/send", url.Values{"amount": {"12.50"}, "payee": {`Grace "G" <x>`}})
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err = readAll(resp)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, text, resp.Request.URL.String()
}

func TestMoneyIsSentOnceForEachStepUp(t *testing.T) {
	w := newTown(t)
	status, text, at := w.send()
	if status != 200 || text != `sent 12.50 to Grace "G" <x>` || !strings.HasPrefix(at, w.home+"/callback?") {
		t.Errorf("got %d %s at %s", status, text, at)
	}
	// The browser goes back and forward again: the answer was for one flow.
	resp, err := w.browser.Get(at)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 400 || len(w.sent) != 1 {
		t.Errorf("the same answer again: %d, and %q was sent", resp.StatusCode, w.sent)
	}
	// A second transfer needs a second step-up.
	if status, _, _ := w.send(); status != 200 || w.count("/authorize") != 2 || len(w.sent) != 2 {
		t.Errorf("the second transfer: %d after %d step-ups", status, w.count("/authorize"))
	}
}

// The challenge loop: the issuer signs people in, but not as it is asked.
func TestAnIssuerThatDoesNotStepUpMakesNoLoop(t *testing.T) {
	w := newTown(t)
	w.desk.deaf = true
	status, text, _ := w.send()
	if status != 502 || !strings.Contains(text, "a second step-up") || !strings.Contains(text, `acr_values ["mfa" "phr"]`) {
		t.Errorf("got %d %s", status, text)
	}
	if w.count("/authorize") != 1 || len(w.sent) != 0 {
		t.Errorf("%d step-ups, and %q was sent", w.count("/authorize"), w.sent)
	}
}

// SE-5: another user's proof serves nobody else.
func TestTheStepUpOfAnotherUserSendsNothing(t *testing.T) {
	w := newTown(t)
	w.desk.user = "mallory"
	if status, text, _ := w.send(); status != 403 || !strings.Contains(text, "somebody else") || len(w.sent) != 0 {
		t.Errorf("got %d %s, and %q was sent", status, text, w.sent)
	}
}

// Details that were altered between the page and the call are not approved.
func TestOnlyWhatWasApprovedIsSent(t *testing.T) {
	w := newTown(t)
	w.pages["/authorize"] = func(rw http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		q.Set("authorization_details", strings.Replace(q.Get("authorization_details"), "12.50", "1.00", 1))
		r.URL.RawQuery = q.Encode()
		w.desk.authorize(rw, r)
	}
	if status, text, _ := w.send(); status != 403 || !strings.Contains(text, "not what was approved") || len(w.sent) != 0 {
		t.Errorf("got %d %s, and %q was sent", status, text, w.sent)
	}
}

// An answer to a flow that another browser began is not taken.
func TestAnAnswerWithoutAFlowSendsNothing(t *testing.T) {
	w := newTown(t)
	resp, err := w.browser.Get(w.home + "/callback?" + url.Values{"state": {"made-up"}, "code": {"c"}, "iss": {w.name}}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 400 || w.count("/token") != 0 {
		t.Errorf("got %d, and the code was tried %d times", resp.StatusCode, w.count("/token"))
	}
}

// What waits in the session says what is needed and holds together as JSON.
func TestAPendingFlowIsPlainJSON(t *testing.T) {
	w := newTown(t)
	w.browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	w.send()
	if len(w.site.pending) != 1 {
		t.Fatalf("%d flows are pending", len(w.site.pending))
	}
	for state, stored := range w.site.pending {
		var f map[string]json.RawMessage
		if err := json.Unmarshal(stored, &f); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"call", "extra", "asked", "state", "nonce", "verifier"} {
			if len(f[name]) == 0 {
				t.Errorf("there is no %s in %s", name, stored)
			}
		}
		if string(f["state"]) != `"`+state+`"` {
			t.Errorf("it is kept under %s", state)
		}
	}
}
