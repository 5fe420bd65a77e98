package test

import (
	"testing"
	"time"
)

// hintOf returns an ID token of ours as a hint: expired, which is no matter.
func hintOf(t testing.TB, client, subject, sid string) string {
	t.Helper()
	then := time.Now().Add(-time.Hour).Unix()
	return mint(t, map[string]any{"alg": "RS256", "typ": "JWT", "kid": key(t, "RS256").ID}, map[string]any{
		"iss": issuer, "aud": client, "sub": subject, "sid": sid, "iat": then, "exp": then + 600,
		"auth_time": then, "acr": "mfa", "amr": []string{"pwd", "otp"},
	})
}
