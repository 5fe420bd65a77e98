package provider

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/sallyport-id/sallyport/provider/internal/engine"
)

// userinfo is the userinfo endpoint (OpenID Connect Core section 5.3). It
// reads and writes nothing. To a client that is registered for it the answer is
// a JWT; refusals are as RFC 6750 has them all the same.
func (p *Provider) userinfo(r *request) (answer, error) {
	ctx := r.Context()
	token, err := r.bearer()
	if err != nil {
		return p.challenged(r, http.StatusBadRequest, "invalid_request", "The access token is sent in no way, or in two."), nil
	}
	if token == "" {
		return p.challenged(r, http.StatusUnauthorized, "", ""), nil
	}
	invalid := p.challenged(r, http.StatusUnauthorized, "invalid_token", "The access token is expired, revoked or not one.")
	access, err := p.engine.Access(ctx, token, p.published)
	if errors.Is(err, engine.ErrAccess) || err == nil && !slices.Contains(access.Audience, p.config.Issuer) {
		return invalid, nil // an API that was given it could come here with it
	}
	if err != nil {
		return answer{}, fmt.Errorf("verifying an access token: %w", err)
	}
	g, err := p.store.Grant(ctx, access.Grant)
	if errors.Is(err, ErrNotFound) {
		return invalid, nil
	}
	if err != nil {
		return answer{}, fmt.Errorf("reading the grant: %w", err)
	}
	if !g.Revoked.IsZero() || !r.now.Before(g.Ends) {
		return invalid, nil
	}
	if !slices.Contains(access.Scopes, "openid") {
		a := p.challenged(r, http.StatusForbidden, "insufficient_scope", "The access token is without the scope openid.")
		a.header["WWW-Authenticate"] += `, scope="openid"`
		return a, nil
	}
	c, err := p.store.Client(ctx, g.ClientID)
	if errors.Is(err, ErrNotFound) {
		return invalid, nil
	}
	if err != nil {
		return answer{}, fmt.Errorf("reading the client: %w", err)
	}
	u, ok, err := p.subjectNow(ctx, g, c, access.Scopes)
	if err != nil {
		return answer{}, err
	}
	if !ok {
		return invalid, nil
	}
	claims, err1 := u.claims(access.Scopes)
	named, err2 := u.named(g.Claims.UserInfo)
	extras, err3 := c.extras(u, inUserinfo)
	if err := errors.Join(err1, err2, err3); err != nil {
		return answer{}, err
	}
	maps.Copy(claims, named)
	maps.Copy(claims, extras)
	return p.told(ctx, g, c, claims)
}

// subjectNow returns the user of g, and whether c may hear of them still. Of a
// client that is given more than it asked for, everything is looked at anew:
// what it was registered for since may need a consent or a level that it has not.
func (p *Provider) subjectNow(ctx context.Context, g Grant, c Client, scopes []string) (User, bool, error) {
	if len(c.Claims) > 0 {
		return p.stands(ctx, g, c, scopes)
	}
	u, err := p.config.Directory.User(ctx, g.Subject)
	if errors.Is(err, ErrNoUser) {
		return User{}, false, nil
	}
	if err != nil {
		return User{}, false, fmt.Errorf("reading the user: %w", err)
	}
	return u, !u.Disabled, nil
}

// told answers with claims about the user of g in the form that c is registered
// for.
func (p *Provider) told(ctx context.Context, g Grant, c Client, claims map[string]any) (answer, error) {
	sub, err := p.subjectFor(ctx, c, g.Subject)
	if err != nil {
		return answer{}, err
	}
	if c.UserinfoAlgorithm == "" {
		claims["sub"] = sub
		return answer{json: claims}, nil
	}
	jwt, err := p.engine.Userinfo(ctx, c.ID, c.UserinfoAlgorithm, sub, claims)
	if err != nil {
		return answer{}, fmt.Errorf("signing userinfo: %w", err)
	}
	return answer{data: []byte(jwt), kind: "application/jwt"}, nil
}

// bearer returns the access token of r: from the header or, of a POST, from
// the body, and never from the URL, which ends up in logs (RFC 6750 section 2).
func (r *request) bearer() (string, error) {
	var found []string
	for _, h := range r.Header.Values("Authorization") {
		if scheme, token, _ := strings.Cut(h, " "); strings.EqualFold(scheme, "Bearer") {
			found = append(found, strings.TrimSpace(token))
		}
	}
	if r.Method == http.MethodPost && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		v, err := r.body()
		if err != nil {
			return "", err
		}
		found = append(found, v["access_token"]...)
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	}
	return "", errMalformed
}

// challenged answers with an error of RFC 6750 section 3.
func (p *Provider) challenged(_ *request, status int, code, text string) answer {
	h := `Bearer realm="` + p.config.Issuer + `"`
	if code == "" {
		// Without a token, no error is named (RFC 6750 section 3.1).
		return answer{status: status, header: map[string]string{"WWW-Authenticate": h}, json: map[string]string{}}
	}
	h += `, error="` + code + `", error_description="` + text + `"`
	return answer{
		status: status, header: map[string]string{"WWW-Authenticate": h},
		json: map[string]string{"error": code, "error_description": text},
	}
}

// published returns the published key called kid, for alg.
func (p *Provider) published(ctx context.Context, kid, alg string) (crypto.PublicKey, error) {
	keys, err := p.config.Keys.Published(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if k.ID == kid && k.Algorithm == alg {
			return k.Key, nil
		}
	}
	return nil, nil
}

// hinted returns the subject of an id_token_hint. It has to be an ID token of
// ours for c, and may have expired; it authenticates nobody (OpenID Connect Core
// section 3.1.2.1). The subject is ours, whatever c knows the user by.
func (p *Provider) hinted(ctx context.Context, hint string, c Client) (string, error) {
	bad := engine.Refuse("invalid_request", "id_token_hint is no ID token of ours for this client.")
	token, err := p.idToken(ctx, hint)
	if errors.Is(err, engine.ErrAccess) || err == nil && token.Audience != c.ID {
		return "", bad
	}
	if err != nil {
		return "", fmt.Errorf("verifying id_token_hint: %w", err)
	}
	subject, ok, err := p.subjectOf(ctx, c, token.Subject)
	if err != nil {
		return "", err
	}
	if !ok {
		return "", bad // of a time when it knew its users by other names
	}
	return subject, nil
}

// An idToken is what an ID token of ours says.
type idToken struct {
	Issuer    string `json:"iss"`
	Subject   string `json:"sub"`
	Audience  string `json:"aud"`
	SessionID string `json:"sid"`
}

// idToken reads an ID token of ours, expired or not, that a published key has
// signed; engine.ErrAccess if it is none.
func (p *Provider) idToken(ctx context.Context, token string) (idToken, error) {
	payload, err := engine.Verify(ctx, token, "JWT", p.published)
	if err != nil {
		return idToken{}, err
	}
	var t idToken
	if err := json.Unmarshal(payload, &t); err != nil || t.Issuer != p.config.Issuer || t.Audience == "" {
		return idToken{}, engine.ErrAccess
	}
	return t, nil
}
