package main

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// OA-10: a client's keys are fetched from this machine by an issuer that is for
// this machine alone, and by no other.
func TestOnlyAnIssuerOnLoopbackFetchesKeysFromLoopback(t *testing.T) {
	var asked atomic.Int64
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		fmt.Fprint(w, `{"keys":[]}`)
	}))
	defer app.Close()
	d := newDesk(t, "")
	d.run("", "client", "add", "jobs", "--type", "service", "--jwks-uri", app.URL+"/jwks")
	for issuer, is := range map[string]struct {
		status int
		asked  int64
	}{
		"http://127.0.0.1:9000":  {http.StatusUnauthorized, 1}, // it has no key of this name
		"https://id.example.com": {http.StatusServiceUnavailable, 0},
	} {
		h := d.house()
		h.config.Issuer = issuer
		p, err := h.provider(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		part := base64.RawURLEncoding.EncodeToString
		v := url.Values{
			"grant_type": {"client_credentials"}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			"client_assertion": {part([]byte(`{"alg":"ES256"}`)) + "." + part(fmt.Appendf(nil, `{"iss":"jobs","sub":"jobs","aud":%q,"exp":%d,"jti":"j"}`,
				issuer, time.Now().Add(time.Minute).Unix())) + "." + part(make([]byte, 64))},
		}
		r := httptest.NewRequest(http.MethodPost, issuer+"/token", strings.NewReader(v.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		asked.Store(0)
		p.ServeHTTP(w, r)
		if w.Code != is.status || asked.Load() != is.asked {
			t.Errorf("%s: %d, having asked %d times; want %d, %d times\n%s", issuer, w.Code, asked.Load(), is.status, is.asked, w.Body)
		}
	}
}
