package relying

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestThePartyNoticesWhatIsWrongWithAnIDToken(t *testing.T) {
	p := party(t, nil)
	now := time.Now().Unix()
	asked := p.Request("max_age", "10", "acr_values", "pwd mfa")
	good := map[string]any{
		"iss": issuer, "aud": "party", "sub": "s", "iat": now, "exp": now + 60, "auth_time": now - 5,
		"nonce": asked.Get("nonce"), "acr": "mfa", "amr": []any{"pwd"}, "at_hash": half(access), "sid": "x",
	}
	for _, is := range []struct {
		name  string
		value any
		right bool
	}{
		{"iss", issuer, true}, {"iss", issuer + "/", false}, {"iss", nil, false},
		{"aud", []any{"party"}, true}, {"aud", "other", false}, {"aud", []any{"party", "other"}, false}, {"aud", nil, false}, {"azp", "other", false},
		{"sub", "", false}, {"sub", nil, false}, {"sub", strings.Repeat("s", 256), false}, {"sub", "ü", false}, {"sub", 1, false},
		{"iat", now - 301, false}, {"iat", now + 60, false}, {"iat", nil, false}, {"iat", fmt.Sprint(now), false}, {"iat", float64(now) - 0.5, false},
		{"exp", now, false}, {"exp", nil, false}, {"exp", now + 90000, false}, {"nbf", now + 60, false},
		{"auth_time", nil, false}, {"auth_time", now + 60, false}, {"auth_time", 0, false}, {"auth_time", "5", false},
		{"nonce", "other", false}, {"nonce", nil, false},
		{"acr", nil, true}, {"acr", "", false}, {"acr", 1, false}, {"acr", "phr", false},
		{"at_hash", nil, true}, {"at_hash", half("other"), false},
		{"name", "Alice", false}, {"email", nil, true}, {"updated_at", "now", false},
	} {
		_, err := p.CheckIDToken(rs.sign(nil, changed(good, is.name, is.value)), asked, access)
		noticed(t, fmt.Sprintf("%s: %v", is.name, is.value), err, !is.right)
	}
	id, err := p.CheckIDToken(rs.sign(nil, good), asked, access)
	if err != nil || id.Subject != "s" || id.ACR != "mfa" || id.AuthTime != now-5 || id.IssuedAt != now {
		t.Errorf("got %+v, %v", id, err)
	}
	// Asked for by name, it may be there; not asked for, a nonce may not.
	_, err = p.CheckIDToken(rs.sign(nil, changed(good, "name", "Alice")), with(asked, "claims", `{"id_token":{"name":null}}`), access)
	noticed(t, "a name that was asked for", err, false)
	_, err = p.CheckIDToken(rs.sign(nil, good), with(asked, "nonce", ""), access)
	noticed(t, "a nonce that was not", err, true)
	for acr, wrong := range map[string]bool{"gold": true, "mfa": false} {
		_, err = p.CheckIDToken(rs.sign(nil, good), with(asked, "claims", `{"id_token":{"acr":{"values":["`+acr+`"]}}}`), access)
		noticed(t, "an acr of "+acr, err, wrong)
		_, err = p.CheckIDToken(rs.sign(nil, good), with(asked, "claims", `{"id_token":{"acr":{"value":"`+acr+`"}}}`), access)
		noticed(t, "the acr "+acr, err, wrong)
	}
}

func TestThePartyNoticesWhatIsWrongWithASignature(t *testing.T) {
	p := party(t, nil)
	asked := p.Request("nonce", "")
	now := time.Now().Unix()
	claims := map[string]any{"iss": issuer, "aud": "party", "sub": "s", "iat": now, "exp": now + 60}
	good := rs.sign(nil, claims)
	parts := strings.Split(good, ".")
	other := rs.sign(nil, changed(claims, "sub", "other"))
	for what, is := range map[string]struct {
		token string
		right bool
	}{
		"nothing":             {good, true},
		"another's":           {parts[0] + "." + strings.Split(other, ".")[1] + "." + parts[2], false},
		"none":                {rs.sign(map[string]any{"alg": "none"}, claims), false},
		"none at all":         {b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".", false},
		"no ID":               {rs.sign(map[string]any{"kid": nil}, claims), false},
		"an unknown key":      {rs.sign(map[string]any{"kid": "x"}, claims), false},
		"another key":         {rs.sign(map[string]any{"kid": "ps", "alg": "PS256"}, claims), false},
		"of another use":      {es.sign(nil, claims), false}, // registered is RS256
		"two parts":           {parts[0] + "." + parts[1], false},
		"no base64":           {parts[0] + "." + parts[1] + ".=", false},
		"nothing of the kind": {"", false},
	} {
		_, err := p.CheckIDToken(is.token, asked, access)
		noticed(t, what, err, !is.right)
	}
	for _, s := range []signer{rs, es, ps, ed} {
		if _, _, err := p.Keys.verify(s.sign(nil, claims)); err != nil {
			t.Errorf("%s: %v", s.alg, err)
		}
		forged := s.sign(nil, changed(claims, "sub", "other"))
		_, rest, _ := strings.Cut(s.sign(nil, claims), ".")
		_, signature, _ := strings.Cut(rest, ".")
		text := forged[:strings.LastIndexByte(forged, '.')]
		if _, _, err := p.Keys.verify(text + "." + signature); err == nil {
			t.Errorf("%s: a signature of something else passes", s.alg)
		}
	}
}
