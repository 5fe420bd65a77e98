// Package userfile reads files of users that come from another provider: one
// JSON object a line.
//
//	{"username": "ada", "name": "Ada Byron", "email": "ada@example.com",
//	 "email_verified": true, "groups": ["staff"],
//	 "password_hash": "$argon2id$…", "otpauth": "otpauth://totp/…"}
//
// The names are those of the standard claims (OpenID Connect Core section 5.1),
// with username, disabled, password_hash, otpauth and attributes beside them, of
// which the last is an object of what else is known. Another name that is not
// known is refused, so that what was meant to move does not stay behind
// in silence. updated_at may stand there and is not kept: the claims of someone
// who is imported were changed by that. sub is refused: subjects are given here,
// and never twice.
package userfile

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/mail"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage/password"
)

// maxLine bounds a line. A user with every claim and a hundred groups takes a
// few kilobytes.
const maxLine = 64 << 10

// A Line is one line of a file, or what is wrong with it.
type Line struct {
	Number int
	Record Record
	Err    error // for people; holds neither hash nor secret
}

// A Record is a user to be made.
type Record struct {
	Username     string
	Disabled     bool
	Claims       provider.Claims
	PasswordHash string // in a form that package password verifies; empty: none
	OTPAuth      string // URI of a TOTP secret that becomes active; empty: none
}

// Read yields the lines of r that are not blank, bad ones among them, in order.
// It ends with an error in Err and Number 0 if r cannot be read.
func Read(r io.Reader) iter.Seq[Line] {
	return func(yield func(Line) bool) {
		in := bufio.NewReaderSize(r, 4096)
		for number := 1; ; number++ {
			text, long, err := readLine(in)
			if err != nil && !errors.Is(err, io.EOF) {
				yield(Line{Err: fmt.Errorf("read the file: %w", err)})
				return
			}
			if number == 1 {
				text = bytes.TrimPrefix(text, []byte("\ufeff"))
			}
			text = bytes.TrimSpace(text)
			line := Line{Number: number}
			switch {
			case long:
				line.Err = fmt.Errorf("is longer than %d bytes", maxLine)
			case len(text) > 0:
				line.Record, line.Err = Parse(text)
			}
			if (long || len(text) > 0) && !yield(line) || err != nil {
				return
			}
		}
	}
}

// readLine returns the next line, and whether it was too long to be kept.
func readLine(in *bufio.Reader) (text []byte, long bool, err error) {
	for {
		part, err := in.ReadSlice('\n')
		if len(text)+len(part) > maxLine {
			text, long = nil, true
		}
		if !long {
			text = append(text, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return text, long, err
		}
	}
}

// entry is a line as it is written.
type entry struct {
	Username  string   `json:"username"`
	Disabled  bool     `json:"disabled"`
	UpdatedAt *float64 `json:"updated_at"`
	provider.Claims
	PasswordHash string `json:"password_hash"`
	OTPAuth      string `json:"otpauth"`
}

// Parse reads one line.
func Parse(text []byte) (Record, error) {
	if !utf8.Valid(text) {
		return Record{}, errors.New("is not UTF-8")
	}
	var e entry
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil {
		return Record{}, inWords(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Record{}, errors.New("has something behind the JSON object")
	}
	if err := e.check(); err != nil {
		return Record{}, err
	}
	return Record{e.Username, e.Disabled, e.Claims, e.PasswordHash, e.OTPAuth}, nil
}

// inWords says what is wrong with JSON. The decoder's own words can quote the
// line, in which there are secrets.
func inWords(err error) error {
	var kind *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &kind):
		if kind.Field == "" {
			return errors.New("is no JSON object")
		}
		return fmt.Errorf("%s has the wrong type, %s", strings.TrimPrefix(kind.Field, "Claims."), kind.Value)
	case errors.As(err, &syntax):
		return fmt.Errorf("is no JSON, from byte %d on", syntax.Offset)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errors.New("is no JSON: it ends too early")
	}
	// json: unknown field "x"; the name was chosen by who wrote the file.
	if _, name, ok := strings.Cut(err.Error(), "unknown field "); ok {
		return fmt.Errorf("has a field that is not known, %.100s; fields are username, disabled, password_hash, otpauth, attributes, and the claims of OpenID Connect Core section 5.1", name)
	}
	return errors.New("is no JSON that can be read")
}

func (e entry) check() error {
	switch {
	case e.Username == "":
		return errors.New("has no username")
	case !text(e.Username, 255) || strings.TrimSpace(e.Username) != e.Username:
		return errors.New("has a username that is too long, or has control characters or spaces around it")
	}
	if err := CheckClaims(e.Claims); err != nil {
		return err
	}
	if e.PasswordHash != "" {
		if err := password.CheckHash(e.PasswordHash); err != nil {
			return fmt.Errorf("password_hash: %w", err)
		}
	}
	if e.OTPAuth != "" {
		if _, _, err := mfa.ParseOTPAuth(e.OTPAuth); err != nil {
			return fmt.Errorf("otpauth: %w", err)
		}
	}
	return nil
}

// CheckClaims says what is wrong with claims, whoever wrote them.
func CheckClaims(c provider.Claims) error {
	address := provider.Address{}
	if c.Address != nil {
		address = *c.Address
	}
	for _, v := range []struct{ name, value string }{
		{"name", c.Name}, {"given_name", c.GivenName}, {"family_name", c.FamilyName}, {"middle_name", c.MiddleName},
		{"nickname", c.Nickname}, {"preferred_username", c.PreferredUsername}, {"profile", c.Profile},
		{"picture", c.Picture}, {"website", c.Website}, {"gender", c.Gender}, {"birthdate", c.Birthdate},
		{"zoneinfo", c.Zoneinfo}, {"locale", c.Locale}, {"email", c.Email}, {"phone_number", c.PhoneNumber},
		{"address.street_address", strings.ReplaceAll(address.StreetAddress, "\n", "")},
		{"address.formatted", strings.ReplaceAll(address.Formatted, "\n", "")},
		{"address.locality", address.Locality}, {"address.region", address.Region},
		{"address.postal_code", address.PostalCode}, {"address.country", address.Country},
	} {
		if !text(v.value, 2048) {
			return fmt.Errorf("%s is too long or has control characters", v.name)
		}
	}
	if a, err := mail.ParseAddress(c.Email); c.Email != "" && (err != nil || a.Address != c.Email) {
		return errors.New("email is no mail address")
	}
	for _, g := range c.Groups {
		if g == "" || !text(g, 255) {
			return errors.New("groups has one that is empty, too long or has control characters")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Attributes)) {
		switch {
		case name == "" || !text(name, 256):
			return errors.New("attributes has a name that is empty, too long or has control characters")
		case provider.StandardClaim(name):
			return fmt.Errorf("attributes has %s, which is a claim of its own and stands beside attributes", name)
		case provider.ReservedClaim(name):
			return fmt.Errorf("attributes has %s, which is how tokens speak of themselves", name)
		}
	}
	return nil
}

func text(s string, n int) bool {
	return len(s) <= n && !strings.ContainsFunc(s, unicode.IsControl)
}
