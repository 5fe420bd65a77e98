package main

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/sallyport-id/sallyport/provider"
)

// userFlags adds a flag for each claim of a user, with the texts of an address in
// a, which belongs to the user if it is not empty afterwards.
func userFlags(f *pflag.FlagSet, c *provider.Claims, a *provider.Address) {
	f.StringVar(&c.Name, "name", "", "full name")
	f.StringVar(&c.GivenName, "given-name", "", "given name")
	f.StringVar(&c.MiddleName, "middle-name", "", "middle name")
	f.StringVar(&c.FamilyName, "family-name", "", "family name")
	f.StringVar(&c.Nickname, "nickname", "", "nickname")
	f.StringVar(&c.PreferredUsername, "preferred-username", "", "name that apps are to use; default the username")
	f.StringVar(&c.Profile, "profile", "", "URL of a page about them")
	f.StringVar(&c.Picture, "picture", "", "URL of a picture of them")
	f.StringVar(&c.Website, "website", "", "URL of their own page")
	f.StringVar(&c.Gender, "gender", "", "gender")
	f.StringVar(&c.Birthdate, "birthdate", "", "as 1815-12-10, 1815, or 0000-12-10 without the year")
	f.StringVar(&c.Zoneinfo, "zoneinfo", "", "time zone, as Europe/Berlin")
	f.StringVar(&c.Locale, "locale", "", "language, as de-DE")
	f.StringVar(&c.Email, "email", "", "mail address")
	f.BoolVar(&c.EmailVerified, "email-verified", false, "the mail address is known to be theirs")
	f.StringVar(&c.PhoneNumber, "phone-number", "", "phone number, as +49 30 123456")
	f.BoolVar(&c.PhoneNumberVerified, "phone-number-verified", false, "the phone number is known to be theirs")
	f.StringVar(&a.Formatted, "address", "", "postal address as it stands on a letter")
	f.StringVar(&a.StreetAddress, "street-address", "", "street and number")
	f.StringVar(&a.Locality, "locality", "", "town")
	f.StringVar(&a.Region, "region", "", "state, province or region")
	f.StringVar(&a.PostalCode, "postal-code", "", "postal code")
	f.StringVar(&a.Country, "country", "", "country")
	f.StringArrayVar(&c.Groups, "group", nil, "a group; can be repeated")
	f.Func("attribute", "what else is known, as department=physics, for clients that are registered for it; can be repeated", func(s string) error {
		return addAttribute(c, s)
	})
}

// addAttribute reads NAME=TEXT.
func addAttribute(c *provider.Claims, s string) error {
	name, text, ok := strings.Cut(s, "=")
	if name == "" || !ok {
		return errors.New("write NAME=TEXT; what is no text comes by idp user import")
	}
	if _, ok := c.Attributes[name]; ok {
		return errors.New("stands twice; a list comes by idp user import")
	}
	if c.Attributes == nil {
		c.Attributes = map[string]any{}
	}
	c.Attributes[name] = text
	return nil
}

// letter returns an address on one line.
func letter(a provider.Address) string {
	if a.Formatted != "" {
		return strings.ReplaceAll(a.Formatted, "\n", ", ")
	}
	parts := []string{strings.ReplaceAll(a.StreetAddress, "\n", ", "), strings.TrimSpace(a.PostalCode + " " + a.Locality), a.Region, a.Country}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

// attributeWords returns attributes for people.
func attributeWords(attributes map[string]any) (string, error) {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		text, ok := attributes[name].(string)
		if !ok {
			b, err := json.Marshal(attributes[name])
			if err != nil {
				return "", err
			}
			text = string(b)
		}
		all = append(all, name+"="+text)
	}
	return strings.Join(all, ", "), nil
}
