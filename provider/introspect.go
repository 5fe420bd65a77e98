package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/sallyport-id/sallyport/provider/internal/engine"
)

// An introspection is what a token is worth now (RFC 7662 section 2.2). The
// zero one says that it is worth nothing, and no more.
type introspection struct {
	Active    bool     `json:"active"`
	Scope     string   `json:"scope,omitempty"`
	ClientID  string   `json:"client_id,omitempty"`
	Username  string   `json:"username,omitempty"`
	TokenType string   `json:"token_type,omitempty"`
	Expires   int64    `json:"exp,omitempty"`
	IssuedAt  int64    `json:"iat,omitempty"`
	Subject   string   `json:"sub,omitempty"`
	Audience  []string `json:"aud,omitempty"`
	Issuer    string   `json:"iss,omitempty"`
	ID        string   `json:"jti,omitempty"`
	AuthTime  int64    `json:"auth_time,omitempty"` // this and the next: RFC 9470 section 6.2
	ACR       string   `json:"acr,omitempty"`
	AMR       []string `json:"amr,omitempty"`

	Details json.RawMessage `json:"authorization_details,omitempty"` // RFC 9396 section 9.2
}

// introspect is the introspection endpoint (RFC 7662). It reads, and writes
// nothing but that an assertion was used.
//
// Who may ask is registered. Others are told so, with 403: they are known, so
// that 401 would send them to authenticate again, and the RFC has no code of
// its own. unauthorized_client is what RFC 6749 section 5.2 calls a client that
// may not do what it asks for.
func (p *Provider) introspect(r *request) (answer, error) {
	ctx := r.Context()
	v, err := r.parameters()
	if err != nil {
		return answer{}, err
	}
	c, err := p.authenticateClient(ctx, r, v)
	if err != nil {
		return p.unauthorized(r, err)
	}
	if err := p.limits.introspect.take(ctx, r.byClient(c)); err != nil {
		return answer{}, err
	}
	if c.Public() || !c.Introspects {
		refusal := engine.Refuse("unauthorized_client", "The client is not registered for introspection.")
		refusal.Status = http.StatusForbidden
		return answer{}, refusal
	}
	token, err := presented(v)
	if err != nil {
		return answer{}, err
	}
	i, err := p.worth(ctx, c, token)
	if err != nil {
		return answer{}, err
	}
	return answer{json: i}, nil
}

// worth returns what token is worth to c. Errors are none of the token: what
// is not ours or is over is the zero introspection.
func (p *Provider) worth(ctx context.Context, c Client, token string) (introspection, error) {
	if id, generation, ok := p.engine.Refresh(token); ok {
		return p.worthOfRefresh(ctx, c, id, generation)
	}
	access, err := p.engine.Access(ctx, token, p.published)
	if errors.Is(err, engine.ErrAccess) || err == nil && !p.concerns(access, c) {
		return introspection{}, nil
	}
	if err != nil {
		return introspection{}, fmt.Errorf("verifying an access token: %w", err)
	}
	i := introspection{Subject: access.ClientID}
	var stands bool
	if access.Grant == "" {
		stands, err = p.servantStands(ctx, access)
	} else {
		i, stands, err = p.granted(ctx, access)
	}
	if err != nil || !stands {
		return introspection{}, err
	}
	i.Active, i.Issuer, i.TokenType = true, p.config.Issuer, "Bearer"
	i.ClientID, i.Audience, i.ID = access.ClientID, access.Audience, access.ID
	i.Scope = strings.Join(access.Scopes, " ")
	i.IssuedAt, i.Expires = access.Issued.Unix(), access.Expires.Unix()
	return i, nil
}

// worthOfRefresh is worth of a refresh token. Only its own client is told: at
// a resource it is worth nothing, and who shows it there has stolen it or
// makes a mistake. So it is of no token_type, which is how to use an access
// token.
func (p *Provider) worthOfRefresh(ctx context.Context, c Client, id string, generation int64) (introspection, error) {
	if !slices.Contains(c.GrantTypes, "refresh_token") {
		return introspection{}, nil
	}
	g, err := p.store.Grant(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return introspection{}, nil
	}
	if err != nil {
		return introspection{}, fmt.Errorf("reading the grant: %w", err)
	}
	if g.ClientID != c.ID || generation != g.Generation || !now().Before(g.Expires) {
		return introspection{}, nil
	}
	left := p.renewed(g, c)
	i, stands, err := p.describe(ctx, g, c, left)
	if err != nil || !stands || !engine.Worthwhile(left) {
		return introspection{}, err
	}
	i.Active, i.Issuer, i.ClientID = true, p.config.Issuer, c.ID
	i.Audience = []string{p.config.Issuer} // which alone takes it
	i.Scope = strings.Join(left, " ")
	i.Expires = g.Expires.Unix()
	return i, nil
}

// granted returns what the grant of an access token says of its user, and
// whether it stands.
func (p *Provider) granted(ctx context.Context, a engine.Access) (introspection, bool, error) {
	g, err := p.store.Grant(ctx, a.Grant)
	if errors.Is(err, ErrNotFound) {
		return introspection{}, false, nil
	}
	if err != nil {
		return introspection{}, false, fmt.Errorf("reading the grant: %w", err)
	}
	c, err := p.store.Client(ctx, g.ClientID)
	if errors.Is(err, ErrNotFound) || err == nil && c.ID != a.ClientID {
		return introspection{}, false, nil
	}
	if err != nil {
		return introspection{}, false, fmt.Errorf("reading the token's client: %w", err)
	}
	return p.describe(ctx, g, c, a.Scopes)
}

// describe returns what g says of its user, and whether it stands for these of
// its scopes. What was
// proven is that of the record, whatever the token says (TK-2). Who is told hears
// of the user by the name that g's client c knows, as in c's own tokens.
func (p *Provider) describe(ctx context.Context, g Grant, c Client, scopes []string) (introspection, bool, error) {
	if !g.Revoked.IsZero() || !now().Before(g.Ends) {
		return introspection{}, false, nil
	}
	u, stands, err := p.stands(ctx, g, c, scopes)
	if err != nil || !stands {
		return introspection{}, false, err
	}
	i := introspection{
		Username: u.Username, ACR: g.ACR,
		AMR: g.Login.Proofs.Set().Names(), AuthTime: g.Login.Proofs.Oldest().Unix(),
		Details: json.RawMessage(g.Details),
	}
	if i.Subject, err = p.subjectFor(ctx, c, g.Subject); err != nil {
		return introspection{}, false, err
	}
	if c.Pairwise {
		i.Username = "" // which would say of every sub whose it is
	}
	return i, true, nil
}

// servantStands reports whether the client that got a token for itself still
// may have it.
func (p *Provider) servantStands(ctx context.Context, a engine.Access) (bool, error) {
	c, err := p.store.Client(ctx, a.ClientID)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the token's client: %w", err)
	}
	for _, s := range a.Scopes {
		if !slices.Contains(c.Scopes, s) {
			return false, nil
		}
	}
	return slices.Contains(c.GrantTypes, "client_credentials") && c.mayAskFor(p.apis(a)), nil
}

// concerns reports whether c is to learn of a token that is shown to it (RFC
// 7662 section 4): its own, or one for an API that it is. Who is registered as
// no API in particular learns of tokens that are for none in particular.
func (p *Provider) concerns(a engine.Access, c Client) bool {
	apis := p.apis(a)
	switch {
	case a.ClientID == c.ID:
		return true
	case len(apis) == 0:
		return len(c.Resources) == 0
	}
	return slices.ContainsFunc(apis, func(s string) bool { return slices.Contains(c.Resources, s) })
}

// apis returns the APIs that a token is for.
func (p *Provider) apis(a engine.Access) []string {
	return slices.DeleteFunc(slices.Clone(a.Audience), func(s string) bool { return s == p.config.Issuer })
}
