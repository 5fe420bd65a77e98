package main

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/spf13/pflag"

	"github.com/sallyport-id/sallyport/provider"
)

// claimFlags adds the flags for claims that a client is given without asking.
func claimFlags(f *pflag.FlagSet, into *[]provider.ExtraClaim) {
	flag := func(name, usage string, parse func(string) (provider.ExtraClaim, error)) {
		f.Func(name, usage, func(s string) error {
			e, err := parse(s)
			*into = append(*into, e)
			return err
		})
	}
	flag("claim", "a claim that its ID tokens and userinfo have without being asked, as groups or username=preferred_username; can be repeated", parseClaim)
	flag("claim-value", "a claim with the same text for everyone, as tenant=acme; can be repeated", parseClaimValue)
}

// parseClaim reads NAME or NAME=FROM.
func parseClaim(s string) (provider.ExtraClaim, error) {
	name, from, both := strings.Cut(s, "=")
	if name == "" || both && from == "" {
		return provider.ExtraClaim{}, errors.New("write NAME, or NAME=CLAIM with the claim of the user that it is")
	}
	return provider.ExtraClaim{Name: name, From: from}, nil
}

// parseClaimValue reads NAME=TEXT.
func parseClaimValue(s string) (provider.ExtraClaim, error) {
	name, text, ok := strings.Cut(s, "=")
	if name == "" || !ok {
		return provider.ExtraClaim{}, errors.New("write NAME=TEXT")
	}
	value, err := json.Marshal(text)
	return provider.ExtraClaim{Name: name, Value: value}, err
}

// A claimView is such a claim in JSON.
type claimView struct {
	Name  string          `json:"name"`
	From  string          `json:"from,omitempty"`
	Value json.RawMessage `json:"value,omitempty"`
	In    []string        `json:"in,omitempty"`
}

func viewClaims(claims []provider.ExtraClaim) (views []claimView) {
	for _, e := range claims {
		views = append(views, claimView(e))
	}
	return views
}

// String returns v for people: "groups", "login from preferred_username",
// "tenant is "acme" in access_token".
func (v claimView) String() string {
	s := v.Name
	if v.From != "" {
		s += " from " + v.From
	}
	if v.Value != nil {
		s += " is " + string(v.Value)
	}
	if len(v.In) > 0 {
		s += " in " + strings.Join(v.In, " and ")
	}
	return s
}

func claimWords(views []claimView) string {
	var all []string
	for _, v := range views {
		all = append(all, v.String())
	}
	return strings.Join(all, ", ")
}
