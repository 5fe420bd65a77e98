package provider

import (
	"encoding/json"
	"fmt"
	"slices"
)

// scopes are the scopes that mean something here, with the claims that each
// stands for (OpenID Connect Core section 5.4; groups is ours).
var scopes = []struct {
	name   string
	claims []string
}{
	{"openid", nil},
	{"profile", []string{"name", "given_name", "family_name", "middle_name", "nickname",
		"preferred_username", "profile", "picture", "website", "gender", "birthdate",
		"zoneinfo", "locale", "updated_at"}},
	{"email", []string{"email", "email_verified"}},
	{"address", []string{"address"}},
	{"phone", []string{"phone_number", "phone_number_verified"}},
	{"groups", []string{"groups"}},
	{"offline_access", nil},
}

// claims returns what a token with these scopes may know of u.
func (u User) claims(granted []string) (map[string]any, error) {
	var names []string
	for _, s := range scopes {
		if slices.Contains(granted, s.name) {
			names = append(names, s.claims...)
		}
	}
	return u.named(names)
}

// scopeOf returns the scope that stands for a claim, empty if none does.
func scopeOf(claim string) string {
	for _, s := range scopes {
		if slices.Contains(s.claims, claim) {
			return s.name
		}
	}
	return ""
}

// named returns those of u's claims that are called names.
func (u User) named(names []string) (map[string]any, error) {
	all, err := u.all()
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	for _, name := range names {
		if v, ok := all[name]; ok {
			out[name] = v
		}
	}
	return out, nil
}

// all returns what is known of u by the claims' names, attributes among them.
func (u User) all() (map[string]any, error) {
	all, err := u.Claims.all()
	if err != nil {
		return nil, err
	}
	if all["preferred_username"] == nil {
		all["preferred_username"] = u.Username
	}
	return all, nil
}

// all returns c by the claims' names. What stands among the attributes under the
// name of a standard claim is none: whoever asks for email gets what is known to
// be one.
func (c Claims) all() (map[string]any, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("writing claims: %w", err)
	}
	all := map[string]any{}
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("reading claims: %w", err)
	}
	delete(all, "attributes")
	for name, v := range c.Attributes {
		if !StandardClaim(name) && !ReservedClaim(name) {
			all[name] = v
		}
	}
	// Not verified is worth saying, of what is there.
	if c.Email != "" {
		all["email_verified"] = c.EmailVerified
	}
	if c.PhoneNumber != "" {
		all["phone_number_verified"] = c.PhoneNumberVerified
	}
	if !c.UpdatedAt.IsZero() {
		all["updated_at"] = c.UpdatedAt.Unix()
	}
	return all, nil
}
