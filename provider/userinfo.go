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
// reads and writes nothing.
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
	if errors.Is(err, engine.ErrAccess) {
		return invalid, nil
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
	u, err := p.config.Directory.User(ctx, g.Subject)
	if errors.Is(err, ErrNoUser) || err == nil && u.Disabled {
		return invalid, nil
	}
	if err != nil {
		return answer{}, fmt.Errorf("reading the user: %w", err)
	}
	claims, err := u.claims(access.Scopes)
	if err != nil {
		return answer{}, err
	}
	named, err := u.named(g.Claims.UserInfo)
	if err != nil {
		return answer{}, err
	}
	maps.Copy(claims, named)
	return answer{json: claims}, nil
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
// ours for this client, and may have expired; it authenticates nobody (OpenID
// Connect Core section 3.1.2.1).
func (p *Provider) hinted(ctx context.Context, hint, clientID string) (string, error) {
	token, err := p.idToken(ctx, hint)
	if errors.Is(err, engine.ErrAccess) || err == nil && (token.Audience != clientID || token.Subject == "") {
		return "", engine.Refuse("invalid_request", "id_token_hint is no ID token of ours for this client.")
	}
	if err != nil {
		return "", fmt.Errorf("verifying id_token_hint: %w", err)
	}
	return token.Subject, nil
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
