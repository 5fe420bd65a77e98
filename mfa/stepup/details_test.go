package stepup_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/sallyport-id/sallyport/mfa/stepup"
)

type payment struct {
	Amount   string `json:"amount"`
	Creditor struct {
		Name string `json:"name"`
		IBAN string `json:"iban"`
	} `json:"creditor"`
}

// RFC 9396: what the user approved is read whole or not at all.
func TestWhatWasApprovedIsOneOfItsTypeAndNothingElse(t *testing.T) {
	const good = `{"type":"payment","amount":"12.50","creditor":{"name":"Ada","iban":"DE02"}}`
	const other = `{"type":"account","actions":["read"]}`
	for name, test := range map[string]struct {
		details string
		good    bool
	}{
		"one":                    {"[" + good + "]", true},
		"beside another type":    {"[" + other + "," + good + "]", true},
		"two":                    {"[" + good + "," + good + "]", false},
		"none":                   {"[" + other + "]", false},
		"none at all":            {"", false},
		"an empty list":          {"[]", false},
		"null":                   {"null", false},
		"no list":                {good, false},
		"a list of text":         {`["payment"]`, false},
		"a list of lists":        {"[[" + good + "]]", false},
		"one without type":       {"[{}," + good + "]", false},
		"a type that is no text": {`[{"type":["payment"]},` + good + "]", false},
		"null in the list":       {"[null," + good + "]", false},
		"a type in another case": {strings.Replace("["+good+"]", "payment", "Payment", 1), false},
		"a longer type":          {strings.Replace("["+good+"]", "payment", "payments", 1), false},
		"a member unknown here":  {strings.Replace("["+good+"]", `"amount"`, `"currency":"USD","amount"`, 1), false},
		"one further down":       {strings.Replace("["+good+"]", `"name"`, `"bic":"X","name"`, 1), false},
		"a member twice":         {strings.Replace("["+good+"]", `"amount"`, `"amount":"1.00","amount"`, 1), false},
		"twice by its case":      {strings.Replace("["+good+"]", `"amount"`, `"Amount":"1.00","amount"`, 1), false},
		"twice by another s":     {strings.Replace("["+good+"]", `"iban"`, `"ıban":"A","ſ":"1","S":"1","iban"`, 1), false},
		"twice further down":     {strings.Replace("["+good+"]", `"iban"`, `"IBAN":"FR","iban"`, 1), false},
		"two types":              {strings.Replace("["+good+"]", `"amount"`, `"type":"account","amount"`, 1), false},
		"two types by case":      {strings.Replace("["+good+"]", `"amount"`, `"Type":"account","amount"`, 1), false},
		"of another shape":       {strings.Replace("["+good+"]", `"12.50"`, `12.50`, 1), false},
		"broken off":             {"[" + good, false},
		"followed by more":       {"[" + good + "] []", false},
	} {
		token := stepup.Token{AuthorizationDetails: json.RawMessage(test.details)}
		got, err := stepup.Approved[payment](token, "payment")
		switch {
		case test.good && (err != nil || got.Amount != "12.50" || got.Creditor.Name != "Ada" || got.Creditor.IBAN != "DE02"):
			t.Errorf("%s: %+v, %v", name, got, err)
		case !test.good && (!errors.Is(err, stepup.ErrDetails) || got != payment{}):
			t.Errorf("%s: %+v, %v, want nothing and ErrDetails", name, got, err)
		}
	}
	if _, err := stepup.Approved[payment](stepup.Token{AuthorizationDetails: json.RawMessage(`[{"type":""}]`)}, ""); !errors.Is(err, stepup.ErrDetails) {
		t.Errorf("no type: %v, want ErrDetails", err)
	}
}

func TestDetailsComeWithTheTokenOfEitherKind(t *testing.T) {
	a := newAuthority(t)
	g := a.guard(introspected)
	c := claims{"authorization_details": []any{map[string]any{"type": "payment", "amount": "12.50", "creditor": map[string]string{"name": "Ada"}}}}
	for _, token := range []string{a.token(c), a.answer("opaque", c)} {
		got, err := g.Check(t.Context(), []string{"Bearer " + token}, anyToken)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := stepup.Approved[payment](got, "payment"); err != nil || p.Amount != "12.50" || p.Creditor.Name != "Ada" {
			t.Errorf("got %+v, %v", p, err)
		}
	}
}
