package engine

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/openid"
)

// A unit is one call of fosite: what it may know, and what it wants done.
type unit struct {
	client Client
	grant  *Grant // that the code or token in the request names; nil: none

	resources []string      // that the access token is for; none: this server
	grace     time.Duration // of the refresh token that was replaced last

	code                  [32]byte // of the new code
	spend, rotate, revoke bool
	refresh               bool // a refresh token was made
	again                 bool // the refresh token is the one that was replaced last, in its grace
}

type unitKey struct{}

func with(ctx context.Context, u *unit) context.Context {
	return context.WithValue(ctx, unitKey{}, u)
}

// from returns the unit of ctx. Without one fosite was called past this
// package, which cannot be.
func from(ctx context.Context) *unit { return ctx.Value(unitKey{}).(*unit) }

// authenticated returns the client that the caller has authenticated.
func authenticated(ctx context.Context, _ *http.Request, _ url.Values) (fosite.Client, error) {
	return fositeClient{from(ctx).client}, nil
}

// requester returns the request that u.grant was granted to, as fosite
// would have stored it. It is made anew for each call: fosite writes into it.
func (u *unit) requester() *fosite.Request {
	g := u.grant
	r := fosite.NewRequest()
	r.ID = g.ID
	// The grant's client, not the one that asks: fosite compares the two.
	r.Client = fositeClient{Client{
		ID: g.ClientID, Public: u.client.Public, GrantTypes: u.client.GrantTypes,
		Algorithm: u.client.Algorithm,
	}}
	r.RequestedScope, r.GrantedScope = g.Scopes, g.Scopes
	r.Session = u.session()
	r.Form = url.Values{"redirect_uri": {g.RedirectURI}}
	if g.Nonce != "" {
		r.Form.Set("nonce", g.Nonce)
	}
	if g.Challenge != "" {
		r.Form.Set("code_challenge", g.Challenge)
		r.Form.Set("code_challenge_method", "S256")
	}
	return r
}

// session returns a session of u.grant with the header that decides how
// fosite computes at_hash.
func (u *unit) session() *session {
	s := &session{openid.NewDefaultSession()}
	s.Subject, s.Claims.Subject = u.grant.Subject, u.grant.Subject
	s.Claims.AuthTime = u.grant.AuthTime
	s.Headers.Add("alg", u.client.Algorithm)
	return s
}

// session is fosite's, cloned without reflection.
type session struct{ *openid.DefaultSession }

func (s *session) Clone() fosite.Session {
	c := openid.NewDefaultSession()
	claims := *s.Claims
	c.Claims, c.Subject = &claims, s.Subject
	c.Headers.Add("alg", s.Headers.Get("alg"))
	for k, v := range s.ExpiresAt {
		c.SetExpiresAt(k, v)
	}
	return &session{c}
}

// units is fosite's store: it answers from the unit of the context, and marks
// there what is to be done.
type units struct{}

func (units) GetClient(ctx context.Context, id string) (fosite.Client, error) {
	u := from(ctx)
	if id != u.client.ID {
		return nil, fosite.ErrNotFound
	}
	return fositeClient{u.client}, nil
}

// Client assertions are not fosite's to check.
func (units) ClientAssertionJWTValid(context.Context, string) error          { return errOff }
func (units) SetClientAssertionJWT(context.Context, string, time.Time) error { return errOff }

func (units) CreateAuthorizeCodeSession(ctx context.Context, code string, _ fosite.Requester) error {
	_, secret, ok := split(code)
	if !ok {
		return errOff
	}
	from(ctx).code = sha256.Sum256([]byte(secret))
	return nil
}

// GetAuthorizeCodeSession finds the grant only with the whole code in hand.
// fosite calls it before it looks at the code's other half, and revokes the
// grant when told that the code was used: half a code must not do that.
func (units) GetAuthorizeCodeSession(ctx context.Context, code string, _ fosite.Session) (fosite.Requester, error) {
	u := from(ctx)
	id, secret, ok := split(code)
	if !ok || u.grant == nil || u.grant.ID != id {
		return nil, fosite.ErrNotFound
	}
	hash := sha256.Sum256([]byte(secret))
	if subtle.ConstantTimeCompare(hash[:], u.grant.Code[:]) != 1 {
		return nil, fosite.ErrNotFound
	}
	// Another client must not be able to revoke by presenting it.
	if u.grant.ClientID != u.client.ID {
		return nil, fosite.ErrNotFound
	}
	if u.grant.CodeSpent {
		return u.requester(), fosite.ErrInvalidatedAuthorizeCode
	}
	if u.grant.Revoked {
		return nil, fosite.ErrNotFound
	}
	return u.requester(), nil
}

func (units) InvalidateAuthorizeCodeSession(ctx context.Context, _ string) error {
	from(ctx).spend = true
	return nil
}

// GetPKCERequestSession answers from the grant's row, which a wrong verifier
// does not change: deleting it first would let the next try do without.
func (units) GetPKCERequestSession(ctx context.Context, _ string, _ fosite.Session) (fosite.Requester, error) {
	u := from(ctx)
	if u.grant == nil || u.grant.Challenge == "" {
		return nil, fosite.ErrNotFound
	}
	return u.requester(), nil
}

func (units) CreatePKCERequestSession(context.Context, string, fosite.Requester) error { return nil }
func (units) DeletePKCERequestSession(context.Context, string) error                   { return nil }

func (units) CreateOpenIDConnectSession(context.Context, string, fosite.Requester) error { return nil }
func (units) DeleteOpenIDConnectSession(context.Context, string) error                   { return nil }
func (units) GetOpenIDConnectSession(ctx context.Context, _ string, r fosite.Requester) (fosite.Requester, error) {
	u := from(ctx)
	if u.grant == nil || !r.GetGrantedScopes().Has("openid") {
		return nil, openid.ErrNoSessionFound
	}
	stored := u.requester()
	stored.Session = r.GetSession() // where the at_hash has been put
	return stored, nil
}

// Access tokens are not stored: they name their grant.
func (units) CreateAccessTokenSession(context.Context, string, fosite.Requester) error { return nil }
func (units) DeleteAccessTokenSession(context.Context, string) error                   { return nil }
func (units) GetAccessTokenSession(context.Context, string, fosite.Session) (fosite.Requester, error) {
	return nil, errOff
}

func (units) CreateRefreshTokenSession(ctx context.Context, _, _ string, _ fosite.Requester) error {
	from(ctx).refresh = true
	return nil
}
func (units) DeleteRefreshTokenSession(context.Context, string) error { return nil }

// GetRefreshTokenSession answers for the token whose MAC refreshTokens has
// verified: it returns no signature for any other.
func (units) GetRefreshTokenSession(ctx context.Context, signature string, _ fosite.Session) (fosite.Requester, error) {
	u := from(ctx)
	id, generation, ok := parseRefresh(signature)
	switch {
	case !ok || u.grant == nil || u.grant.ID != id || u.grant.ClientID != u.client.ID:
		return nil, fosite.ErrNotFound
	case u.graces(generation):
		if u.grant.Revoked {
			return nil, fosite.ErrNotFound
		}
		u.again = true
	case generation < u.grant.Generation:
		// Before anything else: a thief who comes while the grant stands still
		// is noticed, too.
		return u.requester(), fosite.ErrInactiveToken
	case u.grant.Revoked || generation > u.grant.Generation:
		return nil, fosite.ErrNotFound
	}
	return u.requester(), nil
}

func (units) RotateRefreshToken(ctx context.Context, _ string, _ string) error {
	u := from(ctx)
	u.rotate = !u.again
	return nil
}

// graces reports whether a refresh token of generation is presented within the
// grace after it was replaced. The answer with its successor may have been lost
// on the way, and whoever has it gets no other.
func (u *unit) graces(generation int64) bool {
	return u.grace > 0 && generation == u.grant.Generation-1 && time.Now().Before(u.grant.Rotated.Add(u.grace))
}

func (units) RevokeRefreshToken(ctx context.Context, _ string) error { return units{}.revoke(ctx) }
func (units) RevokeAccessToken(ctx context.Context, _ string) error  { return units{}.revoke(ctx) }
func (units) revoke(ctx context.Context) error {
	from(ctx).revoke = true
	return nil
}
