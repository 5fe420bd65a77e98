package relying

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
)

func TestThePartyNoticesWhatIsWrongWithUserinfo(t *testing.T) {
	for _, is := range []struct {
		name  string
		value any
		right bool
	}{
		{"sub", "s", true}, {"sub", "other", false}, {"sub", nil, false},
		{"name", "Alice", true}, {"name", "", false}, {"name", nil, true}, {"given_name", 1, false},
		{"email", "a@b", true}, {"email", "ab", false}, {"email_verified", "true", false}, {"email_verified", false, true},
		{"updated_at", 1, true}, {"updated_at", "2020-01-01", false},
		{"address", map[string]any{"locality": "Berlin"}, true}, {"address", "Berlin", false}, {"address", map[string]any{}, false},
		{"address", map[string]any{"locality": ""}, false},
		{"birthdate", "1990-02-28", true}, {"birthdate", "28.2.1990", false},
		{"zoneinfo", "Europe/Berlin", true}, {"zoneinfo", "Berlin", false},
		{"website", "https://a.example", true}, {"picture", "a.png", false},
	} {
		p := party(t, func(r *http.Request) (int, http.Header, string) {
			return 200, http.Header{"Content-Type": {"application/json"}}, string(must(json.Marshal(changed(map[string]any{"sub": "s"}, is.name, is.value))))
		})
		_, err := p.Userinfo(t.Context(), Tokens{Access: access, ID: IDToken{Subject: "s"}}, ByGet)
		noticed(t, fmt.Sprintf("%s: %v", is.name, is.value), err, !is.right)
	}
	for challenge, want := range map[string]string{
		`Bearer realm="x", error="invalid_token"`: "invalid_token", `Bearer realm="x"`: "", "": "",
	} {
		p := party(t, func(*http.Request) (int, http.Header, string) {
			return 401, http.Header{"Www-Authenticate": {challenge}}, ""
		})
		_, err := p.Userinfo(t.Context(), Tokens{}, ByGet)
		if got := Refused(err); got != want || err == nil {
			t.Errorf("%q: %s, want %s (%v)", challenge, got, want, err)
		}
	}
	for way, want := range map[Way]string{ByGet: "GET Bearer t ", ByPost: "POST Bearer t ", ByBody: "POST  access_token=t"} {
		p := party(t, func(r *http.Request) (int, http.Header, string) {
			body := must(io.ReadAll(r.Body))
			if got := fmt.Sprintf("%s %s %s", r.Method, r.Header.Get("Authorization"), body); got != want {
				t.Errorf("asks with %q, want %q", got, want)
			}
			return 500, nil, ""
		})
		if _, err := p.Userinfo(t.Context(), Tokens{Access: "t"}, way); err == nil {
			t.Error("a failure is no error")
		}
	}
}
