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
	Asked        []asked
	Challenge    string

	// What the bank read in the new token.
	How, AMR      string
	Level, ACR    string
	When, Instant string
	AuthTime      int64
	Details       string
}

// An asked is one thing of those that the bank asked for.
type asked struct{ Name, Words, Param string }

func (s *sending) receipt(made statement, now time.Time) *receipt {
	var p payment
	if err := json.Unmarshal(s.flow.Call, &p); err != nil {
		return nil // never: it was written here
	}
	r := &receipt{Amount: p.Amount, Payee: p.Payee, statement: made, Challenge: s.challenge}
	if c := s.flow.Asked; c.IsStepUp() {
		r.Status = fmt.Sprintf("%d %s", s.status, c.Code)
		r.Said = "The token of your sign-in may not send money"
		if s.status == http.StatusUnauthorized {
			r.Said = "Your sign-in is too old or too weak for this"
		}
		if len(c.ACRValues) > 0 {
			r.Asked = append(r.Asked, asked{"It asked for", level(c.ACRValues[0]), "acr_values " + strings.Join(c.ACRValues, " ")})
		}
		if c.MaxAge != nil {
			r.Asked = append(r.Asked, asked{"Of the last", fmt.Sprintf("%d minutes", *c.MaxAge/60), fmt.Sprintf("max_age %d", *c.MaxAge)})
		}
		if len(c.Scopes) > 0 {
			r.Asked = append(r.Asked, asked{"And leave to", "send money", "scope " + strings.Join(c.Scopes, " ")})
		}
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
