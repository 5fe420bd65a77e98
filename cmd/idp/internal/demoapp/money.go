package demoapp

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A payment is what the app asks for, what the provider shows, what the user
// approves and what the bank does: one and the same, letter by letter.
type payment struct {
	Amount string `json:"amount"` // euros and cents, as 20.00
	Payee  string `json:"payee"`
}

// paymentType is the type of authorization details that a payment has.
const paymentType = "payment"

// sendScope is what the bank wants of a token that sends money.
const sendScope = "transfer"

// PaymentSchema is the JSON Schema of the authorization details of a payment,
// for the provider. An amount can be written in one way only.
const PaymentSchema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "required": ["type", "amount", "payee"],
  "properties": {
    "type": {"const": "payment"},
    "amount": {"type": "string", "pattern": "^(0|[1-9][0-9]{0,4})\\.[0-9]{2}$"},
    "payee": {"type": "string", "minLength": 1, "maxLength": 70}
  }
}
`

const maxPayee = 70 // characters; the schema says so too

var amountForm = regexp.MustCompile(`^(0|[1-9][0-9]{0,4})\.[0-9]{2}$`)

// cents reads an amount as the schema has it; false if it is none, or nothing.
func cents(amount string) (int64, bool) {
	if !amountForm.MatchString(amount) {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.Replace(amount, ".", "", 1), 10, 64)
	return n, err == nil && n > 0
}

// euros writes an amount as the schema has it.
func euros(cents int64) string {
	s := strconv.FormatInt(cents, 10)
	for len(s) < 3 {
		s = "0" + s
	}
	return s[:len(s)-2] + "." + s[len(s)-2:]
}

// A form is "Send money" as it was filled in, and what is wrong with it.
type form struct {
	Amount, Payee           string
	AmountError, PayeeError string
}

// payment reads f, or says in f what to do about it. People write 20, 20.00
// and 20,00.
func (f *form) payment() (payment, bool) {
	amount := strings.Replace(strings.TrimSpace(f.Amount), ",", ".", 1)
	if !strings.Contains(amount, ".") {
		amount += ".00"
	}
	if _, ok := cents(amount); !ok {
		f.AmountError = "Enter an amount such as 20 or 20.50."
	}
	payee := strings.TrimSpace(f.Payee)
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	switch {
	case payee == "":
		f.PayeeError = "Enter who is to get the money."
	case !utf8.ValidString(payee), utf8.RuneCountInString(payee) > maxPayee, strings.ContainsFunc(payee, unprintable):
		f.PayeeError = "Enter a name of at most 70 letters, digits and signs."
	}
	return payment{amount, payee}, f.AmountError == "" && f.PayeeError == ""
}
