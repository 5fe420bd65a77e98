package provider

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/sallyport-id/sallyport/provider/internal/engine"
)

// maxClaims bounds the claims parameter: every standard claim fits twice.
const maxClaims = 4 << 10

// asked is what the claims parameter of a request asks for (OpenID Connect
// Core section 5.5), but for the acr, which package authflow judges.
type asked struct {
	claims  AskedClaims
	subject string // that the answer must be about; empty: anyone
}

// asks reads the claims parameter. What it does not know it ignores, and so
// what c is not registered to ask for by the scope that has it: a claim is
// given if it can be, essential or not (section 5.5.1).
func (c Client) asks(v url.Values) (asked, error) {
	text := v.Get("claims")
	if text == "" {
		return asked{}, nil
	}
	malformed := engine.Refuse("invalid_request", "claims is not the JSON that OpenID Connect defines.")
	if len(text) > maxClaims {
		return asked{}, engine.Refuse("invalid_request", fmt.Sprintf("claims is longer than %d bytes.", maxClaims))
	}
	var whole map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &whole); err != nil {
		return asked{}, malformed
	}
	var a asked
	for _, part := range []struct {
		member string
		names  *[]string
	}{{"userinfo", &a.claims.UserInfo}, {"id_token", &a.claims.IDToken}} {
		if whole[part.member] == nil {
			continue
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(whole[part.member], &members); err != nil {
			return asked{}, malformed
		}
		subject, err := namedSubject(members["sub"])
		if err != nil || subject != "" && a.subject != "" && subject != a.subject {
			return asked{}, malformed
		}
		if subject != "" {
			a.subject = subject
		}
		if *part.names, err = c.among(members); err != nil {
			return asked{}, malformed
		}
	}
	if !slices.Contains(strings.Fields(v.Get("scope")), "openid") {
		a.claims = AskedClaims{} // there is neither userinfo nor ID token
	}
	return a, nil
}

// among returns the names in members that are claims which c may ask for.
func (c Client) among(members map[string]json.RawMessage) (names []string, err error) {
	for _, s := range scopes {
		for _, name := range s.claims {
			raw, ok := members[name]
			if !ok {
				continue
			}
			var object map[string]json.RawMessage // or null
			if err := json.Unmarshal(raw, &object); err != nil {
				return nil, err
			}
			if slices.Contains(c.Scopes, s.name) {
				names = append(names, name)
			}
		}
	}
	return names, nil
}

// namedSubject returns the value that the sub claim must have, empty if any
// will do (OpenID Connect Core section 5.5.1).
func namedSubject(raw json.RawMessage) (string, error) {
	if raw == nil {
		return "", nil
	}
	var sub struct {
		Value *string `json:"value"`
	}
	if err := json.Unmarshal(raw, &sub); err != nil {
		return "", err
	}
	if sub.Value == nil {
		return "", nil
	}
	if *sub.Value == "" {
		return "", errMalformed // nobody's, and not anybody's
	}
	return *sub.Value, nil
}

// covered returns the scopes given and those that stand for the claims that a
// has besides: what is to be consented to, and what a floor is for. A claim
// that is asked for by name is not to be had for less than by its scope.
func (a AskedClaims) covered(given []string) []string {
	all := slices.Clone(given)
	for _, s := range scopes {
		here := slices.ContainsFunc(s.claims, func(name string) bool {
			return slices.Contains(a.UserInfo, name) || slices.Contains(a.IDToken, name)
		})
		if here && !slices.Contains(all, s.name) {
			all = append(all, s.name)
		}
	}
	return all
}
