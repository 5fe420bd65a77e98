package relying

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"
)

// An IDToken is what a checked ID token says.
type IDToken struct {
	Claims   map[string]any
	Subject  string
	ACR      string
	AuthTime int64 // 0: not said
	IssuedAt int64
}

// skew is how far the clocks of a party and its provider may be apart, and how
// old an ID token may be that has just been handed out.
const skew = 5 * time.Minute

// ownClaims are those that an ID token may have without being asked: they are
// about the token and the sign-in, not about the user.
var ownClaims = []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "sid",
	"at_hash", "c_hash", "s_hash", "jti", "nbf", "txn"}

// CheckIDToken takes an ID token apart that came in answer to asked, together
// with the access token (OpenID Connect Core sections 2, 3.1.3.6, 3.1.3.7 and
// 5.5.1).
func (p *Party) CheckIDToken(raw string, asked url.Values, access string) (IDToken, error) {
	header, claims, err := p.Keys.verify(raw)
	if err != nil {
		return IDToken{}, fmt.Errorf("ID token: %w", err)
	}
	var errs []error
	wrong := func(name string) { errs = append(errs, fmt.Errorf("ID token: %s is %v", name, claims[name])) }
	if header["alg"] != p.Algorithm || !slices.Contains(p.List("id_token_signing_alg_values_supported"), p.Algorithm) {
		errs = append(errs, fmt.Errorf("ID token: alg is %v, registered is %s", header["alg"], p.Algorithm))
	}
	t := IDToken{Claims: claims}
	t.Subject, _ = claims["sub"].(string)
	t.ACR, _ = claims["acr"].(string)
	if claims["iss"] != p.Issuer {
		wrong("iss")
	}
	if !p.addressed(claims) {
		wrong("aud")
	}
	if t.Subject == "" || len(t.Subject) > 255 || strings.ContainsFunc(t.Subject, func(c rune) bool { return c > 0x7e }) {
		wrong("sub")
	}
	if nonce := asked.Get("nonce"); claims["nonce"] != nonce && (nonce != "" || claims["nonce"] != nil) {
		wrong("nonce")
	}
	if acr, ok := claims["acr"]; ok && (t.ACR == "" || !slices.Contains(askedACR(asked, t.ACR), t.ACR)) {
		errs = append(errs, fmt.Errorf("ID token: acr is %v, asked for was %v", acr, askedACR(asked, t.ACR)))
	}
	if hash, ok := claims["at_hash"]; ok && hash != half(access) {
		wrong("at_hash")
	}
	errs = append(errs, t.times(asked), t.foreign(asked))
	return t, errors.Join(errs...)
}

// addressed reports whether claims are for p, and for no one whom it does not
// know.
func (p *Party) addressed(claims map[string]any) bool {
	azp, named := claims["azp"]
	switch aud := claims["aud"].(type) {
	case string:
		return aud == p.ID && (!named || azp == p.ID)
	case []any:
		return len(aud) == 1 && aud[0] == p.ID && (!named || azp == p.ID)
	}
	return false
}

// times checks whatever is a time.
func (t *IDToken) times(asked url.Values) error {
	now := time.Now()
	var errs []error
	at := func(name string, required bool, earliest, latest time.Time) int64 {
		v, there := t.Claims[name]
		if !there && !required {
			return 0
		}
		n, ok := v.(float64)
		if !ok || n != math.Trunc(n) || int64(n) < earliest.Unix() || int64(n) > latest.Unix() {
			errs = append(errs, fmt.Errorf("ID token: %s is %v at %d", name, v, now.Unix()))
		}
		return int64(n)
	}
	t.IssuedAt = at("iat", true, now.Add(-skew), now)
	at("exp", true, now.Add(time.Second), now.Add(24*time.Hour))
	at("nbf", false, now.Add(-skew), now)
	// Nobody signed in later than the token says that it was issued, or before
	// any session of today began.
	t.AuthTime = at("auth_time", asked.Has("max_age"), now.Add(-24*time.Hour), time.Unix(t.IssuedAt, 0))
	if v, ok := t.Claims["updated_at"]; ok {
		if _, number := v.(float64); !number {
			errs = append(errs, fmt.Errorf("ID token: updated_at is %v", v))
		}
	}
	return errors.Join(errs...)
}

// foreign names the claims that nobody asked to find in an ID token.
func (t *IDToken) foreign(asked url.Values) error {
	var claims struct {
		IDToken map[string]any `json:"id_token"`
	}
	if text := asked.Get("claims"); text != "" {
		if err := json.Unmarshal([]byte(text), &claims); err != nil {
			return err
		}
	}
	var errs []error
	for name := range t.Claims {
		if _, wanted := claims.IDToken[name]; !wanted && !slices.Contains(ownClaims, name) {
			errs = append(errs, fmt.Errorf("ID token: it holds %s, which nobody asked for", name))
		}
	}
	return errors.Join(errs...)
}

// askedACR returns the values of which the acr has to be one: those of the
// claims parameter, or else of acr_values, or else whatever it is.
func askedACR(asked url.Values, acr string) []string {
	var claims struct {
		IDToken struct {
			ACR struct {
				Value  string
				Values []string
			}
		} `json:"id_token"`
	}
	if json.Unmarshal([]byte(asked.Get("claims")), &claims) == nil {
		if c := claims.IDToken.ACR; c.Value != "" || len(c.Values) > 0 {
			return append(c.Values, c.Value)
		}
	}
	if values := strings.Fields(asked.Get("acr_values")); len(values) > 0 {
		return values
	}
	return []string{acr}
}

// half is the left half of the SHA-256 of a token, which goes with the
// algorithms of 256 bits (OpenID Connect Core section 3.1.3.6).
func half(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
