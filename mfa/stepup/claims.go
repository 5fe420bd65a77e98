package stepup

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	strict "github.com/go-jose/go-jose/v4/json"
)

// claims are those of a JWT access token (RFC 9068 section 2.2) and, with the
// last three, members of an answer to introspection (RFC 7662 section 2.2).
// They are read by a decoder that tells upper from lower case and refuses a
// name that stands twice: to encoding/json a claim "ACR", which a user may be
// allowed to set, would be the acr.
type claims struct {
	Issuer    string          `json:"iss"`
	Subject   string          `json:"sub"`
	Audience  audience        `json:"aud"`
	Expires   *date           `json:"exp"`
	NotBefore *date           `json:"nbf"`
	Issued    *date           `json:"iat"`
	ID        string          `json:"jti"`
	ClientID  string          `json:"client_id"`
	Scope     string          `json:"scope"`
	AuthTime  *date           `json:"auth_time"`
	ACR       string          `json:"acr"`
	AMR       []string        `json:"amr"`
	Bound     json.RawMessage `json:"cnf"`
	Details   json.RawMessage `json:"authorization_details"`

	Active    bool   `json:"active"`
	TokenType string `json:"token_type"`
	TokenUse  string `json:"token_use"` // Ory Hydra's, which calls refresh tokens Bearer too

	raw json.RawMessage
}

func readClaims(raw []byte) (*claims, error) {
	c := &claims{raw: raw}
	if err := strict.Unmarshal(raw, c); err != nil {
		return nil, fmt.Errorf("reading claims: %w", err)
	}
	if string(c.Details) == "null" {
		c.Details = nil
	}
	return c, nil
}

// check returns why c opens nothing here at now, and nil if it does.
func (c *claims) check(audience string, now time.Time, skew time.Duration) error {
	switch {
	case !slices.Contains(c.Audience, audience):
		return fmt.Errorf("the audience is %q", []string(c.Audience))
	case c.Subject == "":
		return errors.New("no sub")
	case c.Expires == nil:
		return errors.New("no exp")
	case !now.Before(c.Expires.Add(skew)):
		return fmt.Errorf("it expired at %v", c.Expires.Time)
	case c.NotBefore.after(now.Add(skew)):
		return fmt.Errorf("it is not good before %v", c.NotBefore.Time)
	case c.Issued.after(now.Add(skew)):
		return fmt.Errorf("it will be issued at %v", c.Issued.Time)
	case c.AuthTime.after(now.Add(skew)):
		return fmt.Errorf("the user will be authenticated at %v", c.AuthTime.Time)
	case c.Bound != nil:
		// Whoever shows it has to prove a key, which nobody here asks for (RFC
		// 7800 section 3.1): it may have been stolen.
		return errors.New("it is bound to a key (cnf)")
	case c.Details != nil && !bytes.HasPrefix(c.Details, []byte("[")):
		return errors.New("authorization_details is no list")
	}
	return nil
}

// token returns what handlers see of c.
func (c *claims) token(issuer string) Token {
	return Token{
		Issuer: issuer, Subject: c.Subject, ClientID: c.ClientID, ID: c.ID,
		Audience: c.Audience, Scopes: list(c.Scope),
		ACR: c.ACR, AMR: c.AMR, AuthTime: c.AuthTime.time(),
		Issued: c.Issued.time(), Expires: c.Expires.time(),
		AuthorizationDetails: c.Details, claims: c.raw,
	}
}

// An audience is one or several, on the wire a string or a list (RFC 7519
// section 4.1.3).
type audience []string

func (a *audience) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var one string
		if err := strict.Unmarshal(b, &one); err != nil {
			return err
		}
		*a = audience{one}
		return nil
	}
	return strict.Unmarshal(b, (*[]string)(a))
}

// A date is a NumericDate (RFC 7519 section 2). A nil one is missing.
type date struct{ time.Time }

func (d *date) UnmarshalJSON(b []byte) error {
	seconds, err := strconv.ParseFloat(string(b), 64)
	// No later than the year 9999, and no earlier than 1970: everything else
	// overflows somewhere.
	if err != nil || !(seconds >= 0 && seconds < 253402300800) {
		return fmt.Errorf("%.40q is no time", b)
	}
	whole, part := math.Modf(seconds)
	d.Time = time.Unix(int64(whole), int64(part*1e9))
	return nil
}

func (d *date) after(t time.Time) bool { return d != nil && d.After(t) }

// time returns d, or the zero time if it is missing.
func (d *date) time() time.Time {
	if d == nil {
		return time.Time{}
	}
	return d.Time
}
