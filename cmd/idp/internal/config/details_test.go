package config_test

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestATypeOfDetailsIsJudged(t *testing.T) {
	const closed = `{"type":"object","additionalProperties":false,"properties":{"type":{},"amount":{"type":"string"}}}`
	for _, tt := range []struct{ schema, rest, key, reason string }{
		{closed, "floor: mfa, show: {en: 'Pay {{.amount}}', de: '{{.amount}} zahlen'}, once: true, max_age: 1h", "", ""},
		{`{"type":"object"}`, "floor: mfa, show: {en: x}", "authorization_details.pay", "additionalProperties: false"},
		{`{"additionalProperties":{}}`, "floor: mfa, show: {en: x}", "authorization_details.pay", "additionalProperties"},
		{`{"additionalProperties":false,"type":"thing"}`, "floor: mfa, show: {en: x}", "authorization_details.pay", "schema cannot be used"},
		{`{"additionalProperties":false,"$ref":"https://example.com/x"}`, "floor: mfa, show: {en: x}", "authorization_details.pay", "schema cannot be used"},
		{`nonsense`, "floor: mfa, show: {en: x}", "authorization_details.pay", "no JSON"},
		{closed, "floor: mfa", "authorization_details.pay", "nothing to show in English"},
		{closed, "floor: mfa, show: {de: x}", "authorization_details.pay", "nothing to show in English"},
		{closed, "floor: mfa, show: {en: '{{.amount'}", "authorization_details.pay", "cannot be used"},
		{closed, "floor: pwd, show: {en: x}", "authorization_details.pay.floor", "takes more than a password"},
		{closed, "show: {en: x}", "authorization_details.pay.floor", "takes more than a password"},
		{closed, "floor: gold, show: {en: x}", "authorization_details.pay.floor", "takes more than a password"},
		{closed, "floor: mfa, max_age: -1s, show: {en: x}", "authorization_details.pay.max_age", "negative"},
	} {
		file := filepath.Join(t.TempDir(), "pay.json")
		write(t, file, tt.schema)
		text := spoiled(t, "authorization_details", "{pay: {schema_file: "+file+", "+tt.rest+"}}", "clients.0.authorization_details_types", "[pay]")
		c, ps := load(t, text)
		switch {
		case tt.key == "" && (len(ps) > 0 || string(c.Details["pay"].Record().Schema) != tt.schema || !c.Details["pay"].Record().Floor.Once):
			t.Errorf("%s: %v, %+v", tt.rest, ps, c.Details)
		case tt.key != "" && (len(ps) != 1 || ps[0].Key != tt.key || !strings.Contains(ps[0].Reason, tt.reason)):
			t.Errorf("%s, %s: got %v, want one with %s that says %q", tt.schema, tt.rest, ps, tt.key, tt.reason)
		}
	}
}
