package stepup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	strict "github.com/go-jose/go-jose/v4/json"
)

// A Token is a valid access token that has met a Demand. The zero Token is
// nobody's.
type Token struct {
	Issuer   string
	Subject  string // whose it is; of a client that got it for itself, usually the client's ID
	ClientID string // who got it
	ID       string // jti; from introspection it can be missing
	Audience []string
	Scopes   []string

	ACR      string    // empty: the issuer does not say
	AMR      []string  // methods (RFC 8176); nil: the issuer does not say
	AuthTime time.Time // when the user was authenticated; zero: the issuer does not say

	Issued  time.Time // zero: the issuer does not say, as it may in introspection
	Expires time.Time

	// AuthorizationDetails is what was authorized in detail, a JSON array (RFC
	// 9396), nil if there is none. Read it with Approved.
	AuthorizationDetails json.RawMessage

	claims json.RawMessage
}

// Claims decodes all claims of the token, or all members of the answer to its
// introspection, into v, for those that Token does not have. Names count to the
// letter.
func (t Token) Claims(v any) error {
	if err := strict.Unmarshal(t.claims, v); err != nil {
		return fmt.Errorf("stepup: reading claims: %w", err)
	}
	return nil
}

// tokenKey is under what a Token is kept in a context.
type tokenKey struct{}

// From returns the token that a guard let pass, false if none did.
func From(ctx context.Context) (Token, bool) {
	t, ok := ctx.Value(tokenKey{}).(Token)
	return t, ok
}

// With returns a context from which From returns t. The guard's middleware uses
// it; so do callers of Check, and tests of handlers.
func With(ctx context.Context, t Token) context.Context {
	return context.WithValue(ctx, tokenKey{}, t)
}

// ErrDetails says that a token does not hold exactly one approval of the type
// that was asked for, or one that says something else than the handler knows.
var ErrDetails = errors.New("stepup: the token has no such authorization details")

// Approved returns what the user approved, the token's only authorization
// details of the given type (RFC 9396 section 2), decoded into a T as
// encoding/json does it; the type itself is left out. None or several of that
// type, or a member that T does not know, is ErrDetails: an approval that the
// handler understands by half is no approval. Whether what is about to be done
// is what was approved is for the handler to compare.
func Approved[T any](t Token, typ string) (T, error) {
	var v T
	if typ == "" {
		return v, fmt.Errorf("%w: no type was asked for", ErrDetails)
	}
	d, err := detail(t.AuthorizationDetails, typ)
	if err != nil {
		return v, err
	}
	dec := json.NewDecoder(bytes.NewReader(d))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		var none T
		return none, fmt.Errorf("%w: %q: %w", ErrDetails, typ, err)
	}
	return v, nil
}

// detail returns the only object of the given type in all, without its type.
func detail(all json.RawMessage, typ string) (json.RawMessage, error) {
	var values any
	var objects []map[string]json.RawMessage
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: it has none", ErrDetails)
	}
	// The strict decoder refuses a name that stands twice in an object. The
	// other one would take the last, and the page that the user saw the first.
	if err := errors.Join(strict.Unmarshal(all, &values), strict.Unmarshal(all, &objects)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDetails, err)
	}
	var found []map[string]json.RawMessage
	for i, o := range objects {
		var is string
		if err := strict.Unmarshal(o["type"], &is); err != nil {
			return nil, fmt.Errorf("%w: some have no type", ErrDetails)
		}
		if is != typ {
			continue
		}
		if name, twice := foldedTwice(values.([]any)[i]); twice {
			return nil, fmt.Errorf("%w: %q stands twice in %q, by upper and lower case", ErrDetails, name, typ)
		}
		found = append(found, o)
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%w: %d of type %q", ErrDetails, len(found), typ)
	}
	delete(found[0], "type")
	return json.Marshal(found[0])
}

// foldedTwice returns a name that stands twice in one object of v if case does
// not count, as it does not to encoding/json.
func foldedTwice(v any) (string, bool) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if name, twice := foldedTwice(e); twice {
				return name, true
			}
		}
	case map[string]any:
		seen := map[string]bool{}
		for name, e := range v {
			f := strings.Map(folded, name)
			if seen[f] {
				return name, true
			}
			seen[f] = true
			if name, twice := foldedTwice(e); twice {
				return name, true
			}
		}
	}
	return "", false
}

// folded returns the smallest of the runes that differ from r by case alone.
func folded(r rune) rune {
	for {
		next := unicode.SimpleFold(r)
		if next <= r {
			return next
		}
		r = next
	}
}
