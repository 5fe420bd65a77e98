package demoapp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// A receipt is what the page after a payment shows: the payment, and what
// happened on its way.
type receipt struct {
	Amount, Payee string
	statement

	// What the bank answered first, in words and as it came. Empty: it sent at
	// once.
	Said, Status string
	Asked, Wants string
	Challenge    string

	// What the bank read in the new token.
	How, AMR      string
	Level, ACR    string
	When, Instant string
	AuthTime      int64
	Details       string
}

func (s *sending) receipt(made statement, now time.Time) *receipt {
	var p payment
	if err := json.Unmarshal(s.flow.Call, &p); err != nil {
		return nil // never: it was written here
	}
	r := &receipt{Amount: p.Amount, Payee: p.Payee, statement: made, Challenge: s.challenge}
	if asked := s.flow.Asked; asked.IsStepUp() {
		r.Status = fmt.Sprintf("%d %s", s.status, asked.Code)
		r.Said = "The token of your sign-in may not send money"
		if s.status == http.StatusUnauthorized {
			r.Said = "It has been too long since you proved who you are, or it was too weak"
		}
		var words, wants []string
		if len(asked.ACRValues) > 0 {
			words = append(words, level(asked.ACRValues[0]))
			wants = append(wants, "acr_values "+strings.Join(asked.ACRValues, " "))
		}
		if asked.MaxAge != nil {
			words = append(words, fmt.Sprintf("not older than %d minutes", *asked.MaxAge/60))
			wants = append(wants, fmt.Sprintf("max_age %d", *asked.MaxAge))
		}
		if len(asked.Scopes) > 0 {
			words = append(words, "for sending money")
			wants = append(wants, "scope "+strings.Join(asked.Scopes, " "))
		}
		r.Asked, r.Wants = strings.Join(words, ", "), strings.Join(wants, ", ")
	}
	if t := made.Proof; t != nil {
		at := time.Unix(t.AuthTime, 0).UTC()
		r.How, r.AMR = methods(t.AMR), strings.Join(t.AMR, " ")
		r.Level, r.ACR = level(t.ACR), t.ACR
		r.When, r.Instant, r.AuthTime = ago(at, now), at.Format(time.RFC3339), t.AuthTime
		r.Details = indent(t.Details)
	}
	return r
}
