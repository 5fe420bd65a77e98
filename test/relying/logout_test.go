package relying

import (
	"fmt"
	"testing"
	"time"
)

func TestThePartyNoticesWhatIsWrongWithALogoutToken(t *testing.T) {
	p := party(t, nil)
	now := time.Now().Unix()
	id := IDToken{Subject: "s", Claims: map[string]any{"sub": "s", "sid": "x"}}
	typ := map[string]any{"typ": "logout+jwt"}
	event := func(v any) map[string]any { return map[string]any{logoutEvent: v} }
	good := map[string]any{
		"iss": issuer, "aud": "party", "sub": "s", "sid": "x", "iat": now, "exp": now + 60, "jti": "j", "events": event(map[string]any{}),
	}
	for _, is := range []struct {
		name  string
		value any
		right bool
	}{
		{"iss", issuer, true}, {"iss", issuer + "/", false}, {"iss", nil, false},
		{"aud", []any{"party"}, true}, {"aud", "other", false}, {"aud", nil, false},
		{"sub", nil, true}, {"sub", "other", false}, {"sub", "", false},
		{"sid", nil, true}, {"sid", "other", false}, {"sid", 1, false},
		{"iat", now - 301, false}, {"iat", now + 60, false}, {"iat", nil, false}, {"iat", fmt.Sprint(now), false},
		{"exp", now, false}, {"exp", nil, false}, {"exp", now + 180, false}, {"exp", float64(now) + 60.5, false},
		{"jti", nil, false}, {"jti", "", false}, {"jti", 1, false},
		{"events", nil, false}, {"events", map[string]any{}, false}, {"events", event(nil), false}, {"events", event("x"), false},
		{"events", event(map[string]any{"x": 1}), false}, {"events", map[string]any{logoutEvent: map[string]any{}, "x": map[string]any{}}, false},
		{"nonce", "n", false}, {"nonce", "", false}, {"name", "Alice", false},
	} {
		err := p.CheckLogoutToken(rs.sign(typ, changed(good, is.name, is.value)), id)
		noticed(t, fmt.Sprintf("%s: %v", is.name, is.value), err, !is.right)
	}
	noticed(t, "of nobody", p.CheckLogoutToken(rs.sign(typ, changed(changed(good, "sub", nil), "sid", nil)), id), true)
	noticed(t, "another kind of token", p.CheckLogoutToken(rs.sign(nil, good), id), true)
	noticed(t, "another algorithm", p.CheckLogoutToken(es.sign(typ, good), id), true)
	noticed(t, "an unknown key", p.CheckLogoutToken(rs.sign(map[string]any{"typ": "logout+jwt", "kid": "x"}, good), id), true)
}
