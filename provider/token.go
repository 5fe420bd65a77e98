package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/sallyport-id/sallyport/provider/authflow"
	"github.com/sallyport-id/sallyport/provider/internal/engine"
)

// token is the token endpoint (RFC 6749 section 3.2): read the grant, let the
// engine judge, and store in one statement what that used up.
func (p *Provider) token(r *request) (answer, error) {
	ctx := r.Context()
	v, err := r.parameters("resource") // RFC 8707 section 2
	if err != nil {
		return answer{}, err
	}
	client, err := p.authenticateClient(ctx, r, v)
	if err != nil {
		return p.unauthorized(r, err)
	}
	if err := p.limits.token.take(ctx, r.byClient(client)); err != nil {
		return answer{}, err
	}
	if v.Get("grant_type") == "" {
		return answer{}, engine.Refuse("invalid_request", "grant_type is missing.")
	}
	g, tokens, err := p.trade(ctx, r, v, client)
	if errors.Is(err, ErrConflict) && p.config.Lifetimes.RefreshGrace > 0 {
		// Someone was quicker with the same refresh token. As it is now it may
		// be one that has been replaced, in its grace.
		g, tokens, err = p.trade(ctx, r, v, client)
	}
	var refusal *engine.Refusal
	switch {
	case errors.As(err, &refusal) && refusal.Reuse:
		return answer{}, p.reused(r, client, g.ID, refusal)
	case errors.Is(err, ErrSpent), errors.Is(err, ErrConflict):
		// Someone was quicker with the same code or token: used twice.
		return answer{}, p.reused(r, client, g.ID, engine.Refuse("invalid_grant", "It has been used already."))
	case err != nil:
		return answer{}, err
	}
	subject := "" // the client's own tokens are of nobody
	if g != nil {
		subject = g.Subject
	}
	r.events = append(r.events, r.happened(EventToken, Success, subject, client.ID))
	return answer{json: tokens.Body}, nil
}

// trade makes the tokens that a request of c asks for, and stores what they
// use up of the grant that it names, nil if there is none. If someone was
// quicker it returns ErrSpent or ErrConflict with the grant as it was.
func (p *Provider) trade(ctx context.Context, r *request, v url.Values, c Client) (*engine.Grant, engine.Tokens, error) {
	g, err := p.named(ctx, v, c)
	if err != nil {
		return nil, engine.Tokens{}, err
	}
	tokens, err := p.engine.Token(ctx, v, c.engine(), g)
	if err != nil || g == nil {
		return g, tokens, err
	}
	if err := p.use(ctx, g, tokens, r.now); err != nil {
		return g, engine.Tokens{}, fmt.Errorf("storing what the tokens used up: %w", err)
	}
	return g, tokens, nil
}

// named returns the grant that a code or a refresh token names, nil if there
// is none that still stands.
func (p *Provider) named(ctx context.Context, v url.Values, c Client) (*engine.Grant, error) {
	var id string
	var ok bool
	switch v.Get("grant_type") {
	case "authorization_code":
		id, ok = engine.CodeGrant(v.Get("code"))
	case "refresh_token":
		id, ok = p.engine.RefreshGrant(v.Get("refresh_token"))
	}
	if !ok {
		return nil, nil
	}
	g, err := p.store.Grant(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the grant: %w", err)
	}
	scopes := g.Scopes
	if v.Get("grant_type") == "refresh_token" {
		scopes = p.renewed(g, c)
	}
	u, stands, err := p.stands(ctx, g, c, scopes)
	if err != nil {
		return nil, err
	}
	e, err := p.toldOf(ctx, g, c, u)
	if err != nil {
		return nil, err
	}
	e.Left = scopes
	// What no longer stands answers as if revoked; its use is still noticed.
	e.Revoked = e.Revoked || !stands
	return e, nil
}

// renewed returns the scopes that g still has when its tokens are renewed. A claim
// that c gets besides counts as its scope here, too, and cannot be left out by
// itself: where its proof is too old, nothing is left.
func (p *Provider) renewed(g Grant, c Client) (scopes []string) {
	left := p.policy(c).Renews(g.Login.Proofs, g.wants(c.covered(g.Claims, g.Scopes)), now())
	missing := func(s string) bool { return !slices.Contains(left, s) }
	scopes = slices.DeleteFunc(slices.Clone(g.Scopes), missing)
	if slices.ContainsFunc(c.covered(g.Claims, scopes), missing) {
		return nil
	}
	return scopes
}

// wants returns what g was given for, of its scopes these.
func (g Grant) wants(scopes []string) authflow.Wants {
	return authflow.Wants{Scopes: scopes, Resources: g.Resources, Details: typesOf(g.Details)}
}

// stands reports whether what was true when g was given still is, as far as it
// is about these of its scopes: its user, who is returned, their account's
// epoch, their consent, what is required of the client and what it may ask for.
// It is asked at each use (OA-6).
func (p *Provider) stands(ctx context.Context, g Grant, c Client, scopes []string) (User, bool, error) {
	u, status, err := p.person(ctx, g.Subject, "")
	if err != nil {
		return User{}, false, err
	}
	if u.Subject == "" || u.Disabled || status.Stolen || epoch(u, status) != g.Login.Epoch {
		return User{}, false, nil
	}
	if !c.mayAskFor(g.Resources) {
		return User{}, false, nil
	}
	covered := c.covered(g.Claims, scopes)
	wants := g.wants(covered)
	if !p.policy(c).Allows(g.Login.Proofs.Set(), wants) || !p.permits(c, wants.Details) {
		return User{}, false, nil
	}
	if c.FirstParty {
		return u, true, nil
	}
	return u, g.Consent.covers(covered), nil
}

// use stores what tokens used up. It is one conditional statement, and so a
// transaction of its own.
func (p *Provider) use(ctx context.Context, g *engine.Grant, tokens engine.Tokens, now time.Time) error {
	idle := now.Add(p.config.Lifetimes.RefreshIdle)
	if idle.After(g.Ends) {
		idle = g.Ends
	}
	switch {
	case tokens.Spend && tokens.Refresh:
		return p.store.SpendCode(ctx, g.ID, 1, now, idle)
	case tokens.Spend:
		return p.store.SpendCode(ctx, g.ID, 0, now, g.Ends)
	case tokens.Rotate:
		return p.store.RotateGrant(ctx, g.ID, g.Generation, now, idle)
	case tokens.Again:
		return nil
	}
	return errors.New("provider: tokens of nothing")
}

// reused revokes a grant of which something was presented twice, and returns
// the refusal.
func (p *Provider) reused(r *request, c Client, id string, refusal *engine.Refusal) error {
	err := p.atomically(r, func(ctx context.Context) error {
		g, err := p.store.Grant(ctx, id)
		if err != nil {
			return fmt.Errorf("reading the grant: %w", err)
		}
		e := r.happened(EventReuse, Failure, g.Subject, c.ID)
		if !g.Revoked.IsZero() {
			// Who goes on trying fills the log, not the database.
			r.events = append(r.events, e)
			return nil
		}
		if err := p.store.RevokeGrant(ctx, id, r.now); err != nil {
			return fmt.Errorf("revoking the grant: %w", err)
		}
		return p.record(ctx, r, e)
	})
	if err != nil {
		return err
	}
	return refusal
}

// toldOf returns g as the engine knows it, with what c is told of its user, who
// is the zero User if g no longer stands.
func (p *Provider) toldOf(ctx context.Context, g Grant, c Client, u User) (e *engine.Grant, err error) {
	e = g.engine()
	if e.Subject, err = p.subjectFor(ctx, c, g.Subject); err != nil {
		return nil, err
	}
	if e.SessionID, err = p.sidFor(ctx, c, g.SessionID); err != nil {
		return nil, err
	}
	if u.Subject == "" {
		return e, nil
	}
	if e.Claims, err = u.named(g.Claims.IDToken); err != nil {
		return nil, err
	}
	extras, err := c.extras(u, inIDToken)
	if err != nil {
		return nil, err
	}
	maps.Copy(e.Claims, extras)
	e.AccessClaims, err = c.extras(u, inAccessToken)
	return e, err
}

// engine returns g as the engine knows it: what its tokens say derives from
// the recorded proofs.
func (g Grant) engine() *engine.Grant {
	return &engine.Grant{
		ID: g.ID, Subject: g.Subject, ClientID: g.ClientID, SessionID: g.SessionID, Scopes: g.Scopes,
		Resources: g.Resources, ACR: g.ACR, AMR: g.Login.Proofs.Set().Names(), AuthTime: g.Login.Proofs.Oldest(), Nonce: g.Nonce,
		Code: g.Code, CodeExpires: g.CodeExpires, CodeSpent: !g.CodeSpent.IsZero(),
		RedirectURI: g.RedirectURI, Challenge: g.Challenge, Details: json.RawMessage(g.Details),
		Generation: g.Generation, Rotated: g.Rotated, Expires: g.Expires, Ends: g.Ends, Revoked: !g.Revoked.IsZero(),
	}
}

// unauthorized answers for a client that did not authenticate: with 401 and a
// challenge (RFC 6749 section 5.2).
func (p *Provider) unauthorized(r *request, err error) (answer, error) {
	var refusal *engine.Refusal
	if !errors.As(err, &refusal) || refusal.Status != http.StatusUnauthorized {
		return answer{}, err
	}
	a := p.failure(r, api, err)
	a.header["WWW-Authenticate"] = `Basic realm="` + p.config.Issuer + `"`
	return a, nil
}
