package stepup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Introspection says how to ask the issuer what a token is worth (RFC 7662).
type Introspection struct {
	// URL is the issuer's introspection endpoint. Empty: where its metadata say.
	URL string

	// ClientID and Secret are by what the API authenticates
	// (client_secret_basic). Required.
	ClientID, Secret string

	// All asks about JWTs too. Then no keys are needed, and a token that was
	// revoked is refused as soon as Cache is over.
	All bool

	// Cache is for how long an answer counts, but no longer than the token: that
	// long a token that was revoked still opens the API. Only tokens that are
	// good are kept, 10,000 at most. 0: 10 seconds; less: nothing is kept; at
	// most 5 minutes.
	Cache time.Duration

	// InsecureUntyped takes answers without token_type, which RFC 7662 lets
	// issuers leave out. Then it is up to the issuer that no refresh token is
	// called active here. Otherwise the type must be Bearer.
	InsecureUntyped bool
}

const (
	usualCache = 10 * time.Second
	mostCache  = 5 * time.Minute
	maxCached  = 10_000
)

// An introspector asks the issuer about tokens, and remembers what it said.
type introspector struct {
	Introspection
	issuer *issuer

	mu    sync.Mutex
	known map[[sha256.Size]byte]answer // by the hash of the token: a dump of the memory has none
}

// An answer is what the issuer said of a token.
type answer struct {
	claims *claims
	until  time.Time // it counts
}

func newIntrospector(i *issuer, c Introspection) (*introspector, error) {
	if c.ClientID == "" || c.Secret == "" {
		return nil, errors.New("no ClientID or no Secret for Introspection")
	}
	if c.URL != "" {
		if err := checkURL(c.URL, i.name); err != nil {
			return nil, fmt.Errorf("the Introspection.URL: %w", err)
		}
	}
	if c.Cache == 0 {
		c.Cache = usualCache
	}
	if c.Cache > mostCache {
		return nil, fmt.Errorf("an Introspection.Cache of %v is longer than %v", c.Cache, mostCache)
	}
	return &introspector{Introspection: c, issuer: i, known: map[[sha256.Size]byte]answer{}}, nil
}

// about returns what the issuer says of a token: its claims, ErrToken if it is
// worth nothing, ErrUnavailable if nobody can tell. Audience and times are for
// the caller to check.
func (i *introspector) about(ctx context.Context, token string, now time.Time) (*claims, error) {
	id := sha256.Sum256([]byte(token))
	if c := i.remembered(id, now); c != nil {
		return c, nil
	}
	c, err := i.ask(ctx, token)
	if err != nil {
		return nil, fmt.Errorf("%w: introspection: %w", ErrUnavailable, err)
	}
	if err := i.check(c); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	i.remember(id, c, now)
	return c, nil
}

func (i *introspector) check(c *claims) error {
	switch {
	case !c.Active:
		return errors.New("the issuer says that it is not active")
	case c.Issuer != "" && c.Issuer != i.issuer.name:
		return fmt.Errorf("its issuer is %.100q", c.Issuer)
	case c.TokenType == "" && !i.InsecureUntyped:
		return errors.New("the issuer does not say that it is an access token")
	case c.TokenType != "" && !strings.EqualFold(c.TokenType, "Bearer"):
		return fmt.Errorf("its type is %.40q", c.TokenType)
	case c.TokenUse != "" && c.TokenUse != "access_token":
		return fmt.Errorf("its use is %.40q", c.TokenUse)
	}
	return nil
}

// ask sends the token to the issuer (RFC 7662 section 2.1).
func (i *introspector) ask(ctx context.Context, token string) (*claims, error) {
	address := i.URL
	if address == "" {
		var err error
		address, err = i.issuer.endpoint(ctx, func(m metadata) string { return m.Introspection })
		if err != nil {
			return nil, err
		}
	}
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	// RFC 6749 section 2.3.1: both are encoded before they are put together.
	r.SetBasicAuth(url.QueryEscape(i.ClientID), url.QueryEscape(i.Secret))
	b, err := i.issuer.do(r)
	if err != nil {
		return nil, err
	}
	return readClaims(b)
}

func (i *introspector) remembered(id [sha256.Size]byte, now time.Time) *claims {
	i.mu.Lock()
	defer i.mu.Unlock()
	a, ok := i.known[id]
	if !ok || !now.Before(a.until) {
		return nil
	}
	return a.claims
}

// remember keeps what was said of a token. What was said of tokens that are
// worth nothing is not kept: they can be made up, and would push out the rest.
func (i *introspector) remember(id [sha256.Size]byte, c *claims, now time.Time) {
	if i.Cache < 0 || c.Expires == nil {
		return
	}
	until := now.Add(i.Cache)
	if c.Expires.Before(until) {
		until = c.Expires.Time
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for old, a := range i.known {
		if len(i.known) < maxCached && now.Before(a.until) {
			break
		}
		delete(i.known, old)
	}
	i.known[id] = answer{c, until}
}
