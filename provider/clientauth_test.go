package provider

import (
	"encoding/base64"
	"testing"
)

// OA-9: a client's secret is compared by its SHA-256, with all that the client
// has, and nothing stands in for one.
func TestAClientIsKnownByTheHashOfItsSecretAlone(t *testing.T) {
	secret := base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	c := Client{ID: "c", Type: Web, Secrets: []Hash{hashOf("the new one"), hashOf(secret)}}
	digest := hashOf(secret)
	for _, v := range []struct {
		given string
		want  bool
	}{
		{secret, true}, {"the new one", true}, {"", false}, {" ", false}, {secret + " ", false},
		{secret[:42], false}, {string(digest[:]), false}, {base64.RawURLEncoding.EncodeToString(digest[:]), false},
	} {
		if got := c.hasSecret(v.given); got != v.want {
			t.Errorf("hasSecret(%q) = %v, want %v", v.given, got, v.want)
		}
	}
	for name, c := range map[string]Client{"without secrets": {}, "with an empty hash": {Secrets: []Hash{{}}},
		"with the hash of nothing": {Secrets: []Hash{hashOf(""), hashOf(" ")}}} {
		if c.hasSecret("") || c.hasSecret(" ") || c.hasSecret("x") {
			t.Errorf("a client %s is known by something", name)
		}
	}
}
