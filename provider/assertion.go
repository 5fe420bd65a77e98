package provider

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// assertionType is the client_assertion_type of private_key_jwt (RFC 7523
// section 2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

const (
	maxAssertion = 8 << 10         // bytes
	maxAhead     = 5 * time.Minute // that an assertion may be good for, so that used ones are not kept for long
	maxID        = 256             // bytes of jti
	maxTries     = 8               // keys, for an assertion that does not name one
	skew         = 10 * time.Second
)

// An assertion is what a client says of itself by private_key_jwt (RFC 7523
// section 3, OpenID Connect Core section 9). Nothing of it is so before
// signedBy has said so.
type assertion struct {
	jws *jose.JSONWebSignature
	alg jose.SignatureAlgorithm
	kid string // of the key that signed it; empty: it does not say

	client   string // iss and sub, which are the same
	audience string
	id       string // jti
	expires  time.Time
	begins   time.Time // nbf; zero: none
	issued   time.Time // iat; zero: none
}

// assertionTypes are the types that an assertion may be of. Tokens of other
// kinds say so in theirs (at+jwt, logout+jwt, dpop+jwt, secevent+jwt,
// oauth-authz-req+jwt), and none of them is taken for one (TK-3).
var assertionTypes = []string{"", "jwt", "client-authentication+jwt"}

// readAssertion returns the assertion that s is, or what is wrong with it.
func readAssertion(s string) (assertion, error) {
	if len(s) > maxAssertion {
		return assertion{}, errors.New("it is too long")
	}
	jws, err := jose.ParseSignedCompact(s, assertionAlgorithms)
	if err != nil {
		// What go-jose says may repeat what a stranger sent.
		return assertion{}, errors.New("it is no JWS of a known algorithm")
	}
	h := jws.Signatures[0].Protected
	if h.JSONWebKey != nil {
		return assertion{}, errors.New("it brings its own key")
	}
	// crit would have us leave the payload unencoded (RFC 7797); the others
	// would have us ask a stranger for the key.
	for _, name := range []jose.HeaderKey{"jku", "x5u", "crit", "b64"} {
		if _, ok := h.ExtraHeaders[name]; ok {
			return assertion{}, errors.New("it has the header " + string(name))
		}
	}
	typ, ok := h.ExtraHeaders[jose.HeaderType].(string)
	if h.ExtraHeaders[jose.HeaderType] != nil && !ok ||
		!slices.Contains(assertionTypes, strings.TrimPrefix(strings.ToLower(typ), "application/")) {
		return assertion{}, errors.New("it is of another type")
	}
	a := assertion{jws: jws, alg: jose.SignatureAlgorithm(h.Algorithm), kid: h.KeyID}
	return a, a.read(jws.UnsafePayloadWithoutVerification())
}

// read takes over the claims in payload.
func (a *assertion) read(payload []byte) error {
	// Not into a struct: encoding/json would take ISS for iss.
	var c map[string]json.RawMessage
	if err := json.Unmarshal(payload, &c); err != nil {
		return errors.New("its claims are no JSON object")
	}
	var issuer string
	for name, into := range map[string]*string{"iss": &issuer, "sub": &a.client, "jti": &a.id} {
		if err := json.Unmarshal(c[name], into); err != nil || *into == "" {
			return errors.New("it has no " + name)
		}
	}
	if issuer != a.client {
		return errors.New("it is by one about another")
	}
	if len(a.id) > maxID {
		return errors.New("its jti is too long")
	}
	var ok bool
	if a.audience, ok = oneAudience(c["aud"]); !ok {
		return errors.New("it is not for one audience")
	}
	for name, into := range map[string]*time.Time{"exp": &a.expires, "nbf": &a.begins, "iat": &a.issued} {
		if *into, ok = numericDate(c[name]); !ok {
			return errors.New("its " + name + " is no time")
		}
	}
	return nil
}

// oneAudience returns the only audience of an aud claim.
func oneAudience(raw json.RawMessage) (string, bool) {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return one, true
	}
	var all []string
	if json.Unmarshal(raw, &all) != nil || len(all) != 1 {
		return "", false
	}
	return all[0], true
}

// numericDate returns the time that a claim says, zero if it is not there (RFC
// 7519 section 2).
func numericDate(raw json.RawMessage) (time.Time, bool) {
	if raw == nil {
		return time.Time{}, true
	}
	var seconds *float64
	if json.Unmarshal(raw, &seconds) != nil || seconds == nil || !(*seconds > 0 && *seconds < 1e11) {
		return time.Time{}, false
	}
	whole, part := math.Modf(*seconds)
	return time.Unix(int64(whole), int64(part*1e9)), true
}

// judge says what is wrong with a at now, at a server that goes by audiences.
func (a assertion) judge(audiences []string, now time.Time) error {
	switch {
	case !slices.Contains(audiences, a.audience):
		return errors.New("it is for another audience")
	case a.expires.IsZero():
		return errors.New("it has no exp")
	case !now.Before(a.expires.Add(skew)):
		return errors.New("it has expired")
	case a.expires.After(now.Add(maxAhead + skew)):
		return fmt.Errorf("it is good for more than %v", maxAhead)
	case a.begins.After(now.Add(skew)):
		return errors.New("it is not good yet")
	case a.issued.After(now.Add(skew)):
		return errors.New("it is issued in the future")
	}
	return nil
}

// made returns when a was made at the earliest, by the client's clock.
func (a assertion) made() time.Time {
	if a.issued.IsZero() {
		return a.expires.Add(-maxAhead)
	}
	return a.issued
}

// signedBy reports whether one of keys signed a, and whether the key that a
// names is among them.
func (a assertion) signedBy(keys []jose.JSONWebKey) (signed, known bool) {
	fitting := keysFor(keys, a.alg, a.kid)
	for _, k := range fitting[:min(len(fitting), maxTries)] {
		if _, err := a.jws.Verify(k.Key); err == nil {
			return true, true
		}
	}
	return false, a.kid != "" && len(fitting) > 0
}

// key is what a is known by once it was used. It is the client's own: nobody
// uses up a jti of somebody else.
func (a assertion) key() Hash {
	return hashOf(strconv.Itoa(len(a.client)) + " " + a.client + a.id)
}
