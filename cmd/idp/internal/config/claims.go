package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport-id/sallyport/provider"
)

// extraClaim returns c as it is stored, without a value that is not one.
func (c Claim) extraClaim() provider.ExtraClaim {
	value, _ := c.constant() // judged by Check
	return provider.ExtraClaim{Name: c.Name, From: c.From, Value: value, In: c.In}
}

// constant returns the value as JSON, nil if there is none.
func (c Claim) constant() (json.RawMessage, error) {
	if c.Value == nil {
		return nil, nil
	}
	if err := writable(c.Value); err != nil {
		return nil, err
	}
	b, err := json.Marshal(c.Value)
	if err != nil {
		return nil, errors.New("is nothing that JSON can say")
	}
	return b, nil
}

// writable reports what of a value in YAML would not be the same in JSON.
func writable(v any) error {
	switch v := v.(type) {
	case nil, string, bool, int, int64, uint64, float64:
		return nil
	case []any:
		for _, e := range v {
			if err := writable(e); err != nil {
				return err
			}
		}
		return nil
	case map[string]any:
		for e := range maps.Values(v) {
			if err := writable(e); err != nil {
				return err
			}
		}
		return nil
	case map[any]any:
		return errors.New("has a key that is no text; put it in quotes")
	}
	// A time, which YAML sees in what looks like one.
	return fmt.Errorf("has a %T in it; put dates in quotes", v)
}

// checkClaims judges the claims that a client is given without asking.
func checkClaims(r *report, c provider.Client) {
	if len(c.Claims) > 0 && c.Type == provider.Service {
		r.add("claims", "are about people, and a service client acts for itself")
		return
	}
	for i, e := range c.Claims {
		at := index("claims", i)
		switch {
		case e.Name == "" || !plain(e.Name, 256) || strings.Contains(e.Name, " "):
			r.add(at+".name", "must be 1 to 256 characters, without spaces and control characters")
		case provider.ReservedClaim(e.Name):
			r.add(at+".name", "%q is how a token speaks of itself; give the claim another name", e.Name)
		case slices.ContainsFunc(c.Claims[:i], func(other provider.ExtraClaim) bool { return other.Name == e.Name }):
			r.add(at+".name", "%q stands twice", e.Name)
		}
		switch {
		case e.From != "" && e.Value != nil:
			r.add(at+".value", "stands beside from; leave one out")
		case provider.ReservedClaim(e.From):
			r.add(at+".from", "%q is no claim of a user", e.From)
		}
		checkPlaces(r, at+".in", e, c)
	}
}

// checkPlaces judges where a claim is to go.
func checkPlaces(r *report, key string, e provider.ExtraClaim, c provider.Client) {
	openid := slices.Contains(c.Scopes, "openid")
	if len(e.In) == 0 && !openid {
		r.add(key, "is needed: without the scope openid there are neither ID tokens nor userinfo")
	}
	for _, place := range e.In {
		switch {
		case !slices.Contains(provider.Places, place):
			r.add(key, "%q is not one of %s", place, strings.Join(provider.Places, ", "))
		case place == "access_token" && c.OpaqueTokens:
			r.add(key, "names access_token, and opaque ones say nothing")
		case place != "access_token" && !openid:
			r.add(key, "names %s, which a client without the scope openid does not get", place)
		}
	}
}
