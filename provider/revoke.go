package provider

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/sallyport-id/sallyport/provider/internal/engine"
)

// revoke is the revocation endpoint (RFC 7009). Whichever token is presented,
// its grant ends, and with it every token that names it: an access token is not
// stored and cannot end alone, and who gives one back keeps nothing of it
// (section 2.1 allows that).
//
// A token that is none, is over or is another client's is answered as if it had
// been revoked: whose it is, is not told. The one exception are the tokens that
// a client gets for itself. Nothing is stored by which they could end, and 200
// would say that they had.
func (p *Provider) revoke(r *request) (answer, error) {
	ctx := r.Context()
	v, err := r.parameters()
	if err != nil {
		return answer{}, err
	}
	c, err := p.authenticateClient(ctx, r, v)
	if err != nil {
		return p.unauthorized(r, err)
	}
	if err := p.limits.token.take(ctx, r.byClient(c)); err != nil {
		return answer{}, err
	}
	token, err := presented(v)
	if err != nil {
		return answer{}, err
	}
	g, err := p.givenBack(ctx, c, token)
	if errors.Is(err, ErrNotFound) || err == nil && (!g.Revoked.IsZero() || !now().Before(g.Ends)) {
		return answer{}, nil
	}
	if err != nil {
		return answer{}, unavailable(err)
	}
	err = p.atomically(r, func(ctx context.Context) error {
		if err := p.store.RevokeGrant(ctx, g.ID, r.now); err != nil {
			return fmt.Errorf("revoking the grant: %w", err)
		}
		return p.record(ctx, r, r.happened(EventTokenEnd, Success, g.Subject, c.ID))
	})
	if err != nil {
		return answer{}, unavailable(err)
	}
	return answer{}, nil
}

// givenBack returns the grant of c that a token names, ErrNotFound if there is
// none. The token's MAC or signature is verified before anything is done about
// it: fosite looks at its last part alone, and anyone could end what they have
// never held.
//
// A refresh token that has been replaced still names its grant: a client that
// lost the answer with the next one can give back what it has.
func (p *Provider) givenBack(ctx context.Context, c Client, token string) (Grant, error) {
	id, _, ok := p.engine.Refresh(token)
	if !ok {
		access, err := p.engine.Access(ctx, token, p.published)
		switch {
		case errors.Is(err, engine.ErrAccess), err == nil && access.ClientID != c.ID:
			return Grant{}, ErrNotFound
		case err != nil:
			return Grant{}, fmt.Errorf("verifying an access token: %w", err)
		case access.Grant == "":
			return Grant{}, engine.Refuse("unsupported_token_type",
				"Tokens that a client gets for itself cannot be revoked. They end by themselves.")
		}
		id = access.Grant
	}
	g, err := p.store.Grant(ctx, id)
	if err != nil {
		return Grant{}, fmt.Errorf("reading the grant: %w", err)
	}
	if g.ClientID != c.ID {
		return Grant{}, ErrNotFound
	}
	return g, nil
}

// presented returns the token that a request is about. What kind it is, it says
// itself: token_type_hint is not looked at (RFC 7009 section 2.1, RFC 7662
// section 2.1).
func presented(v url.Values) (string, error) {
	token, ok := only(v, "token")
	if !ok {
		return "", engine.Refuse("invalid_request", "token is missing.")
	}
	return token, nil
}

// unavailable returns an error that is not the client's as one that says to try
// again: it must not take a failure for a revocation (RFC 7009 section 2.2.1).
func unavailable(err error) error {
	var refusal *engine.Refusal
	if errors.As(err, &refusal) {
		return err
	}
	return fmt.Errorf("%w: %w", errUnavailable, err)
}
