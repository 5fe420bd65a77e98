package relying

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"
)

func TestThePartyNoticesWhatIsWrongWithTokens(t *testing.T) {
	now := time.Now().Unix()
	claims := map[string]any{"iss": issuer, "aud": "party", "sub": "s", "iat": now, "exp": now + 60, "at_hash": half(access)}
	good := map[string]any{"access_token": access, "token_type": "bearer", "expires_in": 60, "id_token": rs.sign(nil, claims), "scope": "openid"}
	plain := http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}}
	for what, is := range map[string]struct {
		body   map[string]any
		header http.Header
		status int
		right  bool
	}{
		"nothing":                {body: good, right: true},
		"no expiry":              {body: changed(good, "expires_in", nil)},
		"an expiry of text":      {body: changed(good, "expires_in", "60")},
		"another type":           {body: changed(good, "token_type", "DPoP")},
		"no ID token":            {body: changed(good, "id_token", nil)},
		"an access token of two": {body: changed(good, "access_token", "ab")},
		"a refresh token of two": {body: changed(good, "refresh_token", "ab")},
		"a token with a space":   {body: changed(good, "refresh_token", access+" ")},
		"more than asked for":    {body: changed(good, "scope", "openid admin")},
		"kept by caches":         {body: good, header: http.Header{"Content-Type": {"application/json"}}},
		"no JSON":                {body: good, header: http.Header{"Content-Type": {"text/html"}, "Cache-Control": {"no-store"}}},
		"a failure":              {body: map[string]any{"error": "server_error"}, status: 500},
		"an error that is fine":  {body: map[string]any{"error": "invalid_grant"}},
	} {
		p := party(t, func(r *http.Request) (int, http.Header, string) {
			if is.header == nil {
				is.header = plain
			}
			return max(is.status, 200), is.header, string(must(json.Marshal(is.body)))
		})
		_, err := p.Redeem(t.Context(), p.Request("nonce", ""), "code")
		noticed(t, what, err, !is.right)
		if code := Refused(err); code != "" {
			t.Errorf("%s is a refusal: %s", what, code)
		}
	}
	p := party(t, func(r *http.Request) (int, http.Header, string) { return 400, plain, `{"error":"invalid_grant"}` })
	if _, err := p.Redeem(t.Context(), p.Request(), "code"); Refused(err) != "invalid_grant" {
		t.Errorf("a refusal: %v", err)
	}
}

// The secret is sent in one way, and what goes with it is the request's own.
func TestThePartyAsksAsItIsRegistered(t *testing.T) {
	for _, post := range []bool{false, true} {
		p := party(t, func(r *http.Request) (int, http.Header, string) {
			id, secret, basic := r.BasicAuth()
			v := must(url.ParseQuery(string(must(io.ReadAll(r.Body)))))
			if basic == post || basic && (id != "party" || secret != "secret") || post != (v.Get("client_secret") == "secret" && v.Get("client_id") == "party") ||
				v.Get("code") != "the code" || v.Get("redirect_uri") != "https://party.example/cb?a=b" || v.Get("code_verifier") != "x" {
				t.Errorf("asks with %v and %v", r.Header, v)
			}
			return 400, http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}}, `{"error":"invalid_grant"}`
		})
		p.Post = post
		if _, err := p.Redeem(t.Context(), p.Request(), "the code", "code_verifier", "x"); Refused(err) != "invalid_grant" {
			t.Error(err)
		}
	}
}

func TestThePartyNoticesWhatIsWrongWithARefresh(t *testing.T) {
	now := time.Now().Unix()
	before := map[string]any{"iss": issuer, "aud": "party", "sub": "s", "iat": now - 5, "exp": now + 60, "auth_time": now - 9, "acr": "mfa", "sid": "1"}
	old := Tokens{Access: "old", Refresh: "r", ID: IDToken{Claims: map[string]any{}, Subject: "s", IssuedAt: now - 5}, asked: url.Values{}}
	if err := json.Unmarshal(must(json.Marshal(before)), &old.ID.Claims); err != nil {
		t.Fatal(err)
	}
	for _, is := range []struct {
		name  string
		value any
		right bool
	}{
		{"iat", now, true}, {"iat", now - 5, false}, {"sub", "other", false}, {"auth_time", now, false}, {"acr", "pwd", false}, {"sid", "2", false},
		{"nonce", "new", false}, {"azp", "party", false},
	} {
		p := party(t, func(r *http.Request) (int, http.Header, string) {
			body := map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": 60,
				"id_token": rs.sign(nil, changed(changed(before, "iat", now), is.name, is.value))}
			return 200, http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}}, string(must(json.Marshal(body)))
		})
		_, err := p.Refreshed(t.Context(), old)
		noticed(t, fmt.Sprintf("%s: %v", is.name, is.value), err, !is.right)
		same := old
		same.Access = access
		_, err = p.Refreshed(t.Context(), same)
		noticed(t, "the old access token", err, true)
	}
}
