package config_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/config"
	"github.com/sallyport-id/sallyport/provider"
)

func TestClaimsOfAClientAreStoredAsTheyAreWritten(t *testing.T) {
	c, ps := load(t, spoiled(t, "clients.0.claims", `[{name: groups}, {name: login, from: email, in: [access_token]},
		{name: a, value: text}, {name: b, value: 7}, {name: c, value: "2026-11-22"}, {name: d, value: {z: [1, 2.5, null, false], "9": "<&>"}}, {name: e, value: ""}]`))
	if ps != nil {
		t.Fatal(ps)
	}
	want := []provider.ExtraClaim{
		{Name: "groups"}, {Name: "login", From: "email", In: []string{"access_token"}},
		{Name: "a", Value: json.RawMessage(`"text"`)}, {Name: "b", Value: json.RawMessage(`7`)}, {Name: "c", Value: json.RawMessage(`"2026-11-22"`)},
		{Name: "d", Value: json.RawMessage(`{"9":"\u003c\u0026\u003e","z":[1,2.5,null,false]}`)}, {Name: "e", Value: json.RawMessage(`""`)},
	}
	if got := c.Clients[0].Record().Claims; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// FuzzClaims reads constants, as YAML has them. What passes is JSON, or there is
// a problem of that claim.
func FuzzClaims(f *testing.F) {
	for _, s := range []string{"text", "7", "1e400", ".nan", "-.inf", "2026-11-22", "{a: {1: b}}", "[&a b, *a]", "!!binary aGk=", "!!str 7", "~", "{? [a] : b}", "0x10", "18446744073709551615"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		c, err := config.Parse("idp.yaml", []byte("clients: [{id: a, claims: [{name: x, value: "+value+"}]}]"))
		if err != nil {
			return
		}
		for _, cl := range c.Clients {
			for _, e := range cl.Record().Claims {
				if e.Value != nil && !json.Valid(e.Value) {
					t.Errorf("%q becomes %s", value, e.Value)
				}
			}
		}
	})
}
