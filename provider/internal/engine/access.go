package engine

import (
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/go-jose/go-jose/v4"
)

// An Access is a valid access token: what it opens, unless its grant has been
// revoked.
type Access struct {
	Grant    string // ID; empty: nobody's, a client got it for itself
	ClientID string // whose it is
	ID       string // jti
	Audience []string
	Scopes   []string
	Issued   time.Time
	Expires  time.Time
}

// ErrAccess says that an access token is not ours, not one, or over.
var ErrAccess = errors.New("engine: no valid access token")

// algorithms are what tokens of ours are signed with. None else is looked at:
// not "none", no HMAC.
var algorithms = []jose.SignatureAlgorithm{jose.ES256, jose.RS256}

// Access checks an access token: its MAC or, of a JWT, signature, type,
// issuer and time. key returns the published key called kid for alg. Whether
// the grant still stands, and whether the token is for whom it is shown to, is
// for the caller to see, who does not change what it gets. Any error but
// ErrAccess is one of key.
func (e *Engine) Access(ctx context.Context, token string, key Verifier) (Access, error) {
	if strings.HasPrefix(token, accessPrefix+".") {
		return e.opaque(token)
	}
	a, ok, err := e.verified.get(ctx, token, key)
	if err != nil {
		return Access{}, err
	}
	if !ok {
		if a, err = e.jwt(ctx, token, key); err != nil {
			return Access{}, err
		}
	}
	if !time.Now().Before(a.Expires) {
		return Access{}, ErrAccess
	}
	return a, nil
}

// jwt is Access of a token of that form, which may be over.
func (e *Engine) jwt(ctx context.Context, token string, key Verifier) (Access, error) {
	var by signed
	payload, err := Verify(ctx, token, "at+jwt", func(ctx context.Context, kid, alg string) (crypto.PublicKey, error) {
		pub, err := key(ctx, kid, alg)
		by.kid, by.alg, by.key = kid, alg, pub
		return pub, err
	})
	if err != nil {
		return Access{}, err
	}
	var c accessClaims
	if err := json.Unmarshal(payload, &c); err != nil {
		return Access{}, ErrAccess
	}
	grant, _, ok := strings.Cut(c.ID, ".")
	if !ok || c.Issuer != e.config.Issuer || len(c.Audience) == 0 {
		return Access{}, ErrAccess
	}
	by.access = Access{
		Grant: grant, ClientID: c.ClientID, ID: c.ID, Audience: c.Audience,
		Scopes: strings.Fields(c.Scope), Issued: time.Unix(c.IssuedAt, 0), Expires: time.Unix(c.Expires, 0),
	}
	e.verified.add(token, by)
	return by.access, nil
}

func (e *Engine) opaque(token string) (Access, error) {
	text, ok := e.macs.sealed(token, true)
	part := strings.Split(text, ".")
	if !ok || len(part) != 8 || part[0] != accessPrefix {
		return Access{}, ErrAccess
	}
	end, err1 := strconv.ParseInt(part[3], 36, 64)
	scopes, err2 := base64.RawURLEncoding.DecodeString(part[4])
	begin, err3 := strconv.ParseInt(part[5], 36, 64)
	client, err4 := base64.RawURLEncoding.DecodeString(part[6])
	resources, err5 := base64.RawURLEncoding.DecodeString(part[7])
	expires := time.Unix(end, 0)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil || !time.Now().Before(expires) {
		return Access{}, ErrAccess
	}
	granted := strings.Fields(string(scopes))
	return Access{
		Grant: part[1], ClientID: string(client), ID: part[2],
		Audience: e.audience(strings.Fields(string(resources)), granted),
		Scopes:   granted, Issued: time.Unix(begin, 0), Expires: expires,
	}, nil
}

// A Verifier returns the published key with this kid and algorithm, nil if
// there is none.
type Verifier func(ctx context.Context, kid, alg string) (crypto.PublicKey, error)

// Verify returns the payload of a JWS of ours of the given type. Keys come
// from key alone: jku, x5u and embedded keys are not looked at. ID tokens,
// whose type is "JWT", and access tokens do not pass for one another.
func Verify(ctx context.Context, token, typ string, key Verifier) ([]byte, error) {
	// Spaces are skipped there: a token would have many spellings.
	if strings.ContainsFunc(token, unicode.IsSpace) {
		return nil, ErrAccess
	}
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return nil, ErrAccess
	}
	h := jws.Signatures[0].Protected
	if h.ExtraHeaders[jose.HeaderType] != typ || h.KeyID == "" {
		return nil, ErrAccess
	}
	pub, err := key(ctx, h.KeyID, h.Algorithm)
	if err != nil {
		return nil, err
	}
	if pub == nil {
		return nil, ErrAccess
	}
	payload, err := jws.Verify(pub)
	if err != nil {
		return nil, ErrAccess
	}
	return payload, nil
}
