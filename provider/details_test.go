package provider

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-id/sallyport/provider/authflow"
	"github.com/sallyport-id/sallyport/provider/internal/engine"
	"github.com/sallyport-id/sallyport/templates"
)

// payment is a type of details as a bank would have it.
var payment = DetailsType{
	Schema: []byte(`{
		"type": "object", "additionalProperties": false, "required": ["type", "amount", "payee"],
		"properties": {
			"type": {"const": "payment"},
			"amount": {"type": "object", "additionalProperties": false, "required": ["value", "currency"],
				"properties": {"value": {"type": "string", "pattern": "^[0-9]{1,7}\\.[0-9]{2}$"}, "currency": {"enum": ["EUR", "USD"]}}},
			"payee": {"type": "string", "minLength": 1},
			"times": {"type": "integer"},
			"notes": {"type": "array", "items": {"type": "string"}}
		}}`),
	Show: map[string]string{
		"en": "Pay {{.amount.value}} {{.amount.currency}}\n\n  to {{.payee}}\n{{with .times}}{{.}} times{{end}}",
		"de": "{{.amount.value}} {{.amount.currency}} an {{.payee}}",
	},
	Floor: authflow.Floor{Level: "mfa"},
}

func newTeller(t testing.TB) (*Provider, Client) {
	t.Helper()
	types, err := newDetailsTypes(map[string]DetailsType{"payment": payment, "other": payment})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := templates.New(templates.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &Provider{detailsTypes: types, pages: pages}, Client{DetailsTypes: []string{"payment", "gone"}}
}

const bread = `{"type":"payment","amount":{"value":"2.50","currency":"EUR"},"payee":"The Bakery","times":1}`

func TestDetailsAreWhatTheSchemaSaysAndShown(t *testing.T) {
	p, c := newTeller(t)
	text := ` [ ` + bread + `, {"type":"payment","amount":{"value":"10.00","currency":"USD"},"payee":"A\u202e\nB","times":12345678901234567890} ] `
	d, err := p.details(url.Values{"authorization_details": {text}}, c)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(d.types, []string{"payment"}) || !strings.HasPrefix(d.text, `[{"type":"payment","amount":{`) || !json.Valid([]byte(d.text)) {
		t.Errorf("%v, %s", d.types, d.text)
	}
	for lang, want := range map[string]string{
		"en": "Pay 2.50 EUR|to The Bakery|1 times|Pay 10.00 USD|to A B|12345678901234567890 times",
		"de": "2.50 EUR an The Bakery|10.00 USD an A B",
		"xx": "Pay 2.50 EUR|to The Bakery|1 times|Pay 10.00 USD|to A B|12345678901234567890 times",
	} {
		// The second has a payee who would write a line of their own.
		lines, err := d.shown(lang)
		if got := strings.Join(lines, "|"); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", lang, got, err, want)
		}
	}
	if d, err := p.details(url.Values{}, c); err != nil || d.text != "" {
		t.Errorf("none: %+v, %v", d, err)
	}
}

// RFC 9396 section 5
func TestDetailsThatDoNotFitAreRefused(t *testing.T) {
	p, c := newTeller(t)
	for name, text := range map[string]string{
		"no JSON":                `x`,
		"more than JSON":         `[` + bread + `] []`,
		"cut off":                `[` + bread,
		"an object":              bread,
		"a text":                 `"payment"`,
		"null":                   `null`,
		"nobody":                 `[]`,
		"of nulls":               `[null]`,
		"of texts":               `["payment"]`,
		"of lists":               `[[` + bread + `]]`,
		"without a type":         `[{"amount":{"value":"1.00","currency":"EUR"},"payee":"B"}]`,
		"a type of a number":     `[{"type":1}]`,
		"of an unknown type":     `[{"type":"gift"}]`,
		"of another client's":    strings.ReplaceAll(`[`+bread+`]`, "payment", "other"),
		"of a type that is gone": strings.ReplaceAll(`[`+bread+`]`, "payment", "gone"),
		"a member too many":      `[{"type":"payment","amount":{"value":"1.00","currency":"EUR"},"payee":"B","fee":"9.00"}]`,
		"a member too few":       `[{"type":"payment","payee":"B"}]`,
		"a number for a text":    `[{"type":"payment","amount":{"value":1.00,"currency":"EUR"},"payee":"B"}]`,
		"a line in a number":     `[{"type":"payment","amount":{"value":"1.00\n","currency":"EUR"},"payee":"B"}]`,
		"one amount twice":       `[{"type":"payment","amount":{"value":"1.00","value":"9.00","currency":"EUR"},"payee":"B"}]`,
		"a type twice":           `[{"type":"payment","type":"payment","amount":{"value":"1.00","currency":"EUR"},"payee":"B"}]`,
		"one good and one bad":   `[` + bread + `,{"type":"gift"}]`,
		"too many":               `[` + strings.Repeat(bread+",", maxDetailsMany) + bread + `]`,
		"too long":               `[` + bread + strings.Repeat(" ", maxDetails) + `]`,
		"too long to be shown":   `[{"type":"payment","amount":{"value":"1.00","currency":"EUR"},"payee":"` + strings.Repeat("B", maxShown) + `"}]`,
		"a payee of nothing":     `[{"type":"payment","amount":{"value":"1.00","currency":"EUR"},"payee":""}]`,
		"no UTF-8":               `[{"type":"payment","amount":{"value":"1.00","currency":"EUR"},"payee":"` + "\xff" + `"}]`,
	} {
		d, err := p.details(url.Values{"authorization_details": {text}}, c)
		var refusal *engine.Refusal
		if !errors.As(err, &refusal) || refusal.Code != "invalid_authorization_details" || d.text != "" || d.items != nil {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}

// What a template asks for and details may lack is found out before anyone is
// asked to approve it.
func TestDetailsThatCannotBeShownAreRefused(t *testing.T) {
	p, c := newTeller(t)
	needy := payment
	needy.Show = map[string]string{"en": "{{.payee}}", "de": "{{.times}}"}
	silent := payment
	silent.Show = map[string]string{"en": " \n "}
	for name, d := range map[string]DetailsType{"in one language": needy, "in no word": silent} {
		var err error
		if p.detailsTypes, err = newDetailsTypes(map[string]DetailsType{"payment": d}); err != nil {
			t.Fatal(err)
		}
		text := `[{"type":"payment","amount":{"value":"1.00","currency":"EUR"},"payee":"B"}]`
		if d, err := p.details(url.Values{"authorization_details": {text}}, c); err == nil {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func TestATokenRequestCanOnlyRepeatWhatWasGranted(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, `[{"a":1}]`: true, ` [ {"a" : 1} ] `: true,
		`[{"a":2}]`: false, `[{"a":1},{"b":1}]`: false, `[]`: false, `x`: false,
	} {
		if got := sameDetails(text, &engine.Grant{Details: []byte(`[{"a":1}]`)}); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	if sameDetails(`[{"a":1}]`, &engine.Grant{}) || sameDetails(`[{"a":1}]`, nil) || !sameDetails("", nil) {
		t.Error("what was not granted")
	}
}

func FuzzDetails(f *testing.F) {
	p, c := newTeller(f)
	f.Add(`[` + bread + `]`)
	f.Add(`[{"type":"payment","amount":{"value":"1.00","value":"2.00"}}]`)
	f.Add(`[{"type":"payment"},{"type":"gift"}] {`)
	f.Add(strings.Repeat("[", 100))
	f.Fuzz(func(t *testing.T, text string) {
		d, err := p.details(url.Values{"authorization_details": {text}}, c)
		var refusal *engine.Refusal
		if err != nil && !errors.As(err, &refusal) {
			t.Fatalf("%v", err)
		}
		if err != nil || text == "" {
			return
		}
		again, err := p.details(url.Values{"authorization_details": {d.text}}, c)
		if err != nil || again.text != d.text || !slices.Equal(typesOf(d.text), d.types) {
			t.Errorf("%q is not read as it was: %v", d.text, err)
		}
		lines, err := d.shown("en")
		for _, line := range lines {
			if line != templates.Inert(line) {
				t.Errorf("%q is not inert", line)
			}
		}
		if err != nil || len(lines) == 0 {
			t.Errorf("%q cannot be shown: %v", d.text, err)
		}
	})
}
