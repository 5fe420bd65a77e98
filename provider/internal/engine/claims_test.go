package engine

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func said(t testing.TB, token string) map[string]any {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TK-2: whatever claims of a user arrive here, what a token says of itself is
// what happened, and what it leaves out stays out.
func TestATokenSpeaksForItself(t *testing.T) {
	e := newEngine(t, secrets...)
	user := map[string]any{"groups": []string{"staff"}}
	for _, name := range reserved {
		user[name] = "evil"
	}
	g, code := granted()
	g.Nonce, g.SessionID, g.ACR, g.AMR, g.AuthTime = "", "", "", nil, time.Now()
	g.Claims, g.AccessClaims = user, user
	got, err := e.Token(ctx, exchange(code), app, g)
	if err != nil {
		t.Fatal(err)
	}
	info, err := e.Userinfo(ctx, "app", "ES256", "sub", user)
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{got.Body["id_token"].(string), got.Body["access_token"].(string), info} {
		c := said(t, token)
		for name, v := range c {
			if v == "evil" {
				t.Errorf("%s is not what happened in %v", name, c)
			}
		}
		if c["groups"] == nil || c["iss"] != issuer || c["sub"] != "sub" {
			t.Errorf("got %v", c)
		}
	}
	// What cannot be written is a fault, and no token without it.
	g, code = granted()
	g.AccessClaims = map[string]any{"x": json.RawMessage("{")}
	if got, err := e.Token(ctx, exchange(code), app, g); err == nil {
		t.Errorf("got %v", got.Body)
	}
}
