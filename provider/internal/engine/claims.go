package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// reserved are the claims by which tokens speak of themselves, of the sign-in
// and of other claims, whether they are in ours or only readers know them: RFC
// 7519 section 4.1, OpenID Connect Core sections 2, 3.3.2.11 and 5.6.2, RFC 7800,
// RFC 8417, RFC 8693, RFC 9068, RFC 9396, RFC 9493. Whoever could put one into a
// token would be believed for it.
var reserved = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "typ", "sid", "client_id", "azp", "scope", "scp",
	"auth_time", "acr", "amr", "nonce", "at_hash", "c_hash", "s_hash", "_claim_names", "_claim_sources",
	"cnf", "events", "toe", "txn", "act", "may_act", "authorization_details", "sub_id", "sub_jwk",
}

// Reserved reports whether a claim is for tokens to speak of themselves, and
// never of a user.
func Reserved(name string) bool { return slices.Contains(reserved, name) }

// together returns a token's own claims with those of its user, of which none
// takes the place of an own one, whether that is there or not.
func together(own any, user map[string]any) (any, error) {
	if len(user) == 0 {
		return own, nil
	}
	b, err := json.Marshal(own)
	if err != nil {
		return nil, fmt.Errorf("engine: writing claims: %w", err)
	}
	var mine map[string]json.RawMessage
	if err := json.Unmarshal(b, &mine); err != nil {
		return nil, fmt.Errorf("engine: reading claims: %w", err)
	}
	all := maps.Clone(user)
	maps.DeleteFunc(all, func(name string, _ any) bool { return Reserved(name) })
	for name, v := range mine {
		all[name] = v
	}
	return all, nil
}

// UserinfoType is the typ of userinfo that is signed. No specification gives it
// one; with one of its own it passes for no other token (RFC 8725 section 3.11).
const UserinfoType = "userinfo+jwt"

// userinfoClaims are what signed userinfo says of itself (OpenID Connect Core
// section 5.3.2). It has no exp: that, too, keeps it from passing for an ID
// token.
type userinfoClaims struct {
	Issuer   string `json:"iss"`
	Audience string `json:"aud"`
	Subject  string `json:"sub"`
}

// Userinfo returns what a user called subject is said to be to a client, signed
// with the current key for alg.
func (e *Engine) Userinfo(ctx context.Context, clientID, alg, subject string, user map[string]any) (string, error) {
	claims, err := together(userinfoClaims{e.config.Issuer, clientID, subject}, user)
	if err != nil {
		return "", err
	}
	return e.sign(ctx, alg, UserinfoType, claims)
}
