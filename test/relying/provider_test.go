package relying

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestThePartyNoticesWhatIsWrongWithTheMetadata(t *testing.T) {
	for _, is := range []struct {
		name  string
		value any
		right bool
	}{
		{name: "issuer", value: issuer, right: true},
		{name: "grant_types_supported", value: []any{"authorization_code"}, right: true},
		{name: "request_object_signing_alg_values_supported", value: []any{"RS256"}, right: true},
		{name: "userinfo_endpoint"},
		{name: "claims_supported"},
		{name: "scopes_supported", value: []any{"profile"}},
		{name: "scopes_supported", value: []any{}},
		{name: "scopes_supported", value: []any{"openid", "openid"}},
		{name: "scopes_supported", value: []any{"openid", 1}},
		{name: "response_types_supported", value: []any{"token"}},
		{name: "grant_types_supported", value: []any{"implicit"}},
		{name: "subject_types_supported", value: []any{"public", "private"}},
		{name: "claim_types_supported", value: []any{"odd"}},
		{name: "id_token_signing_alg_values_supported", value: []any{"ES256"}},
		{name: "id_token_signing_alg_values_supported", value: []any{"RS256", "none"}},
		{name: "request_object_signing_alg_values_supported", value: []any{"ES256"}},
		{name: "token_endpoint_auth_signing_alg_values_supported"},
		{name: "token_endpoint_auth_methods_supported"},
		{name: "ui_locales_supported", value: []any{"DE"}},
		{name: "ui_locales_supported", value: []any{"pt_BR"}},
		{name: "claims_locales_supported", value: []any{"nonsense-!"}},
		{name: "token_endpoint", value: "http://idp.example/token"},
		{name: "end_session_endpoint", value: issuer + "/logout#x"},
		{name: "jwks_uri", value: 1},
		{name: "claims_parameter_supported", value: "true"},
		{name: "shoe_size", value: 43},
	} {
		p := &Provider{Issuer: issuer, Metadata: changed(metadata(), is.name, is.value)}
		noticed(t, fmt.Sprintf("%s: %v", is.name, is.value), p.Verify(), !is.right)
	}
	for _, odd := range []string{issuer + "/", issuer + "?x=y", issuer + "#x"} {
		noticed(t, odd, (&Provider{Issuer: odd, Metadata: metadata()}).Verify(), true)
	}
}

func TestThePartyNoticesWhatIsWrongWithDiscovery(t *testing.T) {
	set := string(must(json.Marshal(map[string]any{"keys": []any{rs.jwk()}})))
	for what, is := range map[string]struct {
		metadata       map[string]any
		status         int
		kind, keysKind string
		keys           string
		right          bool
	}{
		"nothing":              {right: true},
		"the status":           {status: 404},
		"its type":             {kind: "text/html"},
		"another's":            {metadata: changed(metadata(), "issuer", "https://other.example")},
		"a slash at its end":   {metadata: changed(metadata(), "issuer", issuer+"/")},
		"no token endpoint":    {metadata: changed(metadata(), "token_endpoint", nil)},
		"the type of the keys": {keysKind: "application/json"},
		"no keys":              {keys: `{"keys":[]}`},
		"keys of no JSON":      {keys: `{`},
	} {
		p := party(t, func(r *http.Request) (int, http.Header, string) {
			or := func(a, b string) string { return map[bool]string{true: a, false: b}[a != ""] }
			if strings.HasSuffix(r.URL.Path, "/jwks.json") {
				return 200, http.Header{"Content-Type": {or(is.keysKind, "application/jwk-set+json")}}, or(is.keys, set)
			}
			m := is.metadata
			if m == nil {
				m = metadata()
			}
			return max(is.status, 200), http.Header{"Content-Type": {or(is.kind, "application/json; charset=utf-8")}}, string(must(json.Marshal(m)))
		})
		_, err := Discover(t.Context(), p.Client, issuer)
		noticed(t, what, err, !is.right)
	}
}

func TestThePartyNoticesWhatIsWrongWithAKey(t *testing.T) {
	weak := signer{"weak", "RS256", nil}
	for what, is := range map[string]struct {
		set   []map[string]any
		right bool
	}{
		"nothing":       {[]map[string]any{rs.jwk(), es.jwk(), ps.jwk(), ed.jwk()}, true},
		"no ID":         {[]map[string]any{changed(rs.jwk(), "kid", nil)}, false},
		"one ID of two": {[]map[string]any{rs.jwk(), changed(es.jwk(), "kid", "rs")}, false},
		"no use":        {[]map[string]any{changed(rs.jwk(), "use", nil)}, false},
		"no algorithm":  {[]map[string]any{changed(rs.jwk(), "alg", nil)}, false},
		"a private one": {[]map[string]any{changed(rs.jwk(), "d", "AAAA")}, false},
		"a shared one":  {[]map[string]any{{"kid": weak.id, "alg": "HS256", "use": "sig", "kty": "oct", "k": "AAAA"}}, false},
		"a short one":   {[]map[string]any{changed(rs.jwk(), "n", b64(make([]byte, 128)))}, false},
		"no modulus":    {[]map[string]any{changed(rs.jwk(), "n", nil)}, false},
		"off the curve": {[]map[string]any{changed(es.jwk(), "x", b64(make([]byte, 32)))}, false},
		"padding":       {[]map[string]any{changed(ed.jwk(), "x", ed.jwk()["x"].(string)+"=")}, false},
		"half a key":    {[]map[string]any{changed(ed.jwk(), "x", "AAAA")}, false},
	} {
		_, err := parseKeys(is.set)
		noticed(t, what, err, !is.right)
	}
}
