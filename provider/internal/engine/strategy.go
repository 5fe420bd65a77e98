package engine

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/openid"
)

// Forms of what we hand out. grant is the grant's ID; none of them has a dot
// in its parts, and a MAC covers all that stands before it.
//
//	code           grant.secret                              SHA-256 of secret is stored
//	refresh token  slp_rt.grant.generation.MAC
//	access token   slp_at.grant.jti.expires.scopes.issued.client.resources.MAC, or a JWT (RFC 9068)
const (
	refreshPrefix = "slp_rt"
	accessPrefix  = "slp_at"
)

// ErrSecret says that a secret is too short to make tokens with.
var ErrSecret = errors.New("engine: a token secret needs at least 32 bytes")

// A macs makes and verifies message authentication codes under each secret.
type macs []struct{ refresh, access []byte }

// newMACs derives one key for each purpose, so that no token can pass for one
// of another kind.
func newMACs(secrets [][]byte) (macs, error) {
	if len(secrets) == 0 {
		return nil, ErrSecret
	}
	all := make(macs, len(secrets))
	for i, s := range secrets {
		if len(s) < 32 {
			return nil, ErrSecret
		}
		var err1, err2 error
		all[i].refresh, err1 = hkdf.Key(sha256.New, s, nil, "sallyport refresh token", 32)
		all[i].access, err2 = hkdf.Key(sha256.New, s, nil, "sallyport access token", 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("engine: deriving a token key: %w", err)
		}
	}
	return all, nil
}

// seal returns text with its MAC under key.
func seal(text string, key []byte) string { return text + "." + sum(text, key) }

func sum(text string, key []byte) string {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// sealed returns the text before the MAC of token, if one of keys made it.
func (m macs) sealed(token string, access bool) (string, bool) {
	i := strings.LastIndexByte(token, '.')
	if i < 0 {
		return "", false
	}
	text, mac := token[:i], []byte(token[i+1:])
	for _, k := range m {
		key := k.refresh
		if access {
			key = k.access
		}
		if hmac.Equal(mac, []byte(sum(text, key))) {
			return text, true
		}
	}
	return "", false
}

// split returns the two halves of a code.
func split(code string) (grant, secret string, ok bool) {
	grant, secret, ok = strings.Cut(code, ".")
	return grant, secret, ok && grant != "" && secret != ""
}

// CodeGrant returns the ID of the grant that code names.
func CodeGrant(code string) (string, bool) {
	id, _, ok := split(code)
	return id, ok
}

// RefreshGrant returns the ID of the grant that a refresh token of ours names.
func (e *Engine) RefreshGrant(token string) (string, bool) {
	id, _, ok := e.Refresh(token)
	return id, ok
}

// Refresh checks the MAC of a refresh token, and returns the ID of the grant
// that it names and which generation it is of. Whether that is still good is
// for the caller to see.
func (e *Engine) Refresh(token string) (grant string, generation int64, ok bool) {
	text, ok := e.macs.sealed(token, false)
	if !ok {
		return "", 0, false
	}
	return parseRefresh(text)
}

func parseRefresh(text string) (grant string, generation int64, ok bool) {
	part := strings.Split(text, ".")
	if len(part) != 3 || part[0] != refreshPrefix || part[1] == "" {
		return "", 0, false
	}
	generation, err := strconv.ParseInt(part[2], 36, 64)
	return part[1], generation, err == nil && generation > 0
}

// NewID returns 128 random bits, as text that can stand in URLs and tokens.
func NewID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand since Go 1.24
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// codes makes and checks authorization codes.
type codes struct{ *Engine }

func (codes) GenerateAuthorizeCode(ctx context.Context, _ fosite.Requester) (string, string, error) {
	var b [32]byte
	rand.Read(b[:])
	code := from(ctx).grant.ID + "." + base64.RawURLEncoding.EncodeToString(b[:])
	return code, code, nil
}

func (codes) AuthorizeCodeSignature(_ context.Context, code string) string { return code }

// ValidateAuthorizeCode looks at the time only: units has compared the hash.
func (codes) ValidateAuthorizeCode(ctx context.Context, _ fosite.Requester, _ string) error {
	if !time.Now().Before(from(ctx).grant.CodeExpires) {
		return fosite.ErrInvalidGrant.WithHint("The authorization code has expired.")
	}
	return nil
}

// refreshTokens makes and checks refresh tokens. The successor of a token is
// the same each time it is made, so that there is only ever one.
type refreshTokens struct{ *Engine }

func (r refreshTokens) GenerateRefreshToken(ctx context.Context, _ fosite.Requester) (string, string, error) {
	u := from(ctx)
	next := u.grant.Generation + 1
	if u.again {
		next = u.grant.Generation
	}
	text := refreshPrefix + "." + u.grant.ID + "." + strconv.FormatInt(next, 36)
	return seal(text, r.macs[0].refresh), text, nil
}

func (r refreshTokens) RefreshTokenSignature(_ context.Context, token string) string {
	text, _ := r.macs.sealed(token, false)
	return text
}

func (refreshTokens) ValidateRefreshToken(ctx context.Context, _ fosite.Requester, _ string) error {
	g, now := from(ctx).grant, time.Now()
	if !now.Before(g.Expires) || !now.Before(g.Ends) {
		return fosite.ErrTokenExpired
	}
	return nil
}

// accessTokens makes access tokens. They are checked by Engine.Access.
type accessTokens struct{ *Engine }

func (a accessTokens) GenerateAccessToken(ctx context.Context, r fosite.Requester) (string, string, error) {
	u := from(ctx)
	now := time.Now()
	expires := now.Add(a.config.AccessLifetime)
	if expires.After(u.grant.Ends) {
		expires = u.grant.Ends
	}
	r.GetSession().SetExpiresAt(fosite.AccessToken, expires)
	scopes := strings.Join(r.GetGrantedScopes(), " ")
	if u.client.Opaque {
		text := strings.Join([]string{
			accessPrefix, u.grant.ID, NewID(), strconv.FormatInt(expires.Unix(), 36),
			base64.RawURLEncoding.EncodeToString([]byte(scopes)), strconv.FormatInt(now.Unix(), 36),
			base64.RawURLEncoding.EncodeToString([]byte(u.client.ID)),
			base64.RawURLEncoding.EncodeToString([]byte(strings.Join(u.resources, " "))),
		}, ".")
		return seal(text, a.macs[0].access), "", nil
	}
	c := accessClaims{ // RFC 9068 section 2.2
		Issuer: a.config.Issuer, Subject: u.grant.Subject, Audience: a.audience(u.resources, r.GetGrantedScopes()),
		Expires: expires.Unix(), IssuedAt: now.Unix(), ID: u.grant.ID + "." + NewID(),
		ClientID: u.client.ID, Scope: scopes, ACR: u.grant.ACR, AMR: u.grant.AMR,
		Details: u.grant.Details,
	}
	if !u.grant.AuthTime.IsZero() {
		c.AuthTime = u.grant.AuthTime.Unix()
	}
	claims, err := together(c, u.grant.AccessClaims)
	if err != nil {
		return "", "", err
	}
	token, err := a.sign(ctx, u.client.Algorithm, "at+jwt", claims)
	return token, "", err
}

func (accessTokens) AccessTokenSignature(context.Context, string) string { return "" }
func (accessTokens) ValidateAccessToken(context.Context, fosite.Requester, string) error {
	return errOff
}

// idTokens makes ID tokens, of nothing but the grant: no parameter of a token
// request finds its way in.
type idTokens struct{ *Engine }

func (i idTokens) GenerateIDToken(ctx context.Context, _ time.Duration, r fosite.Requester) (string, error) {
	u := from(ctx)
	s, ok := r.GetSession().(openid.Session)
	if !ok {
		return "", fosite.ErrServerError.WithDebug("no OpenID session")
	}
	now := time.Now()
	claims, err := together(idClaims{
		Issuer: i.config.Issuer, Subject: u.grant.Subject, Audience: u.client.ID,
		Expires: now.Add(i.config.IDTokenLifetime).Unix(), IssuedAt: now.Unix(),
		AuthTime: u.grant.AuthTime.Unix(), Nonce: u.grant.Nonce, ACR: u.grant.ACR, AMR: u.grant.AMR,
		SessionID: u.grant.SessionID, AccessTokenHash: s.IDTokenClaims().AccessTokenHash,
	}, u.grant.Claims)
	if err != nil {
		return "", err
	}
	return i.sign(ctx, u.client.Algorithm, "JWT", claims)
}
