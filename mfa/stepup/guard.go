package stepup

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Config says whose tokens an API takes, and how it sees what they are worth.
type Config struct {
	// Issuer makes the tokens. It is the iss of its tokens and metadata, to the
	// letter: an https URL, or an http one on loopback. Required.
	Issuer string

	// Audience is what the issuer calls this API: it must be in a token's aud.
	// Required, or a token for another API would open this one.
	Audience string

	// JWKSURL is where the issuer publishes its keys. Empty: where its metadata
	// say (OpenID Connect Discovery, or RFC 8414), which are read at the first
	// token.
	JWKSURL string

	// JWKS is the issuer's JWK set itself (RFC 7517 section 5), as JSON. Then
	// no key is ever fetched, and the program has to be restarted when the
	// issuer has new ones. Nil: they are fetched.
	JWKS []byte

	// Introspection asks the issuer about tokens that are no JWTs, or about all.
	// Nil: only JWTs pass.
	Introspection *Introspection

	// Algorithms are those with which a token may be signed. Nil: ES256, ES384,
	// ES512, EdDSA, PS256, PS384, PS512, RS256, RS384 and RS512, which are also
	// all that can be named.
	Algorithms []string

	// Skew is by how much the issuer's clock may differ from ours. 0: 5 seconds;
	// at most a minute.
	Skew time.Duration

	// Stale is for how long after they were last fetched keys count while the
	// issuer cannot be reached; then tokens are refused with 503. 0: an hour;
	// at most a day. At 5 minutes, or less, there is no grace at all.
	Stale time.Duration

	// Ladder orders the values of acr. Nil: they are only compared to the
	// letter, and no Demand has a Level.
	Ladder Ladder

	// Store spends tokens. Nil: no Demand has Once.
	Store Store

	// Realm is named in challenges (RFC 9110 section 11.5). Empty: none is.
	Realm string

	// Transport carries requests to the issuer. Nil: one of the guard's own,
	// which heeds the proxy of the environment. Redirects are never followed,
	// and no request takes longer than 5 seconds.
	Transport http.RoundTripper

	// Log hears of each refusal, and of trouble with the issuer; never a token.
	// Nil: nobody does.
	Log *slog.Logger
}

// A Guard lets requests pass that have a token of its issuer for its API, and
// one that meets what is demanded. It may be used by many goroutines at once.
// The zero Guard lets nothing pass. New makes others.
type Guard struct {
	config     Config
	algorithms []string
	issuer     *issuer
	keys       keys // nil: everything is introspected
	ask        *introspector
	log        *slog.Logger
}

const (
	usualSkew = 5 * time.Second
	mostSkew  = time.Minute

	usualStale = time.Hour
	mostStale  = 24 * time.Hour

	// maxToken is the length of the longest token that is looked at, in bytes.
	maxToken = 16 << 10
)

var (
	// ErrToken says that a token is missing, or is not worth anything here.
	ErrToken = errors.New("stepup: no valid access token")

	// ErrUnavailable says that nobody could tell what a token is worth: the
	// issuer or the store did not answer.
	ErrUnavailable = errors.New("stepup: the token cannot be checked now")

	// ErrInsufficient says that a valid token does not meet what was demanded.
	ErrInsufficient = errors.New("stepup: the token does not meet what is demanded")

	errZero = errors.New("stepup: a guard that was not made by New")
)

// New returns a Guard, or what is wrong with the configuration. It does not
// talk to the issuer yet: both may be started at once.
func New(c Config) (*Guard, error) {
	g := &Guard{config: c, log: c.Log, algorithms: c.Algorithms}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	if c.Algorithms == nil {
		g.algorithms = algorithms()
	}
	if c.Skew == 0 {
		g.config.Skew = usualSkew
	}
	if c.Stale == 0 {
		g.config.Stale = usualStale
	}
	if err := g.config.check(); err != nil {
		return nil, fmt.Errorf("stepup: %w", err)
	}
	g.issuer = newIssuer(g.config, g.log)
	if err := g.connect(); err != nil {
		return nil, fmt.Errorf("stepup: %w", err)
	}
	return g, nil
}

// connect gives g its ways of seeing what a token is worth.
func (g *Guard) connect() error {
	c := g.config
	if c.Introspection != nil {
		ask, err := newIntrospector(g.issuer, *c.Introspection)
		if err != nil {
			return err
		}
		g.ask = ask
		if c.Introspection.All {
			return nil
		}
	}
	if c.JWKS == nil {
		g.keys = newFetchedKeys(g.issuer, c.JWKSURL, c.Stale)
		return nil
	}
	given, err := readKeys(c.JWKS)
	if err != nil {
		return fmt.Errorf("the JWKS: %w", err)
	}
	if len(given) == 0 {
		return errors.New("the JWKS has no key that can verify a token")
	}
	g.keys = given
	return nil
}

func (c Config) check() error {
	if err := checkURL(c.Issuer, c.Issuer); err != nil {
		return fmt.Errorf("the Issuer: %w", err)
	}
	switch {
	case strings.ContainsAny(c.Issuer, "?#"):
		return errors.New("the Issuer has a query or a fragment (RFC 8414 section 2)")
	case c.Audience == "":
		return errors.New("no Audience: without it a token for any API would do")
	case c.Skew < 0 || c.Skew > mostSkew:
		return fmt.Errorf("a Skew of %v is not between 0 and %v", c.Skew, mostSkew)
	case c.Stale < 0 || c.Stale > mostStale:
		return fmt.Errorf("a Stale of %v is not between 0 and %v", c.Stale, mostStale)
	case c.JWKS != nil && c.JWKSURL != "":
		return errors.New("both JWKS and JWKSURL are given")
	case c.Introspection != nil && c.Introspection.All && (c.JWKS != nil || c.JWKSURL != ""):
		return errors.New("keys are given, but Introspection.All asks about every token")
	case c.Algorithms != nil && len(c.Algorithms) == 0:
		return errors.New("the list Algorithms is empty: no token could be verified")
	case strings.ContainsFunc(c.Realm, func(r rune) bool { return r < ' ' || r > '~' }):
		return errors.New("the Realm has characters that no header can carry")
	}
	for _, a := range c.Algorithms {
		if !slices.Contains(algorithms(), a) {
			return fmt.Errorf("the list Algorithms: %q is not one that an API can check a token by", a)
		}
	}
	if c.JWKSURL != "" {
		if err := checkURL(c.JWKSURL, c.Issuer); err != nil {
			return fmt.Errorf("the JWKSURL: %w", err)
		}
	}
	if err := c.Ladder.check(); err != nil {
		return fmt.Errorf("the Ladder: %w", err)
	}
	return nil
}

// Require returns middleware: handlers behind it run for requests whose token
// meets d, and find it with From. All others are answered by Refuse. It panics
// if d cannot be met, as a ServeMux does at a bad pattern; that is when the
// program starts.
func (g *Guard) Require(d Demand) func(http.Handler) http.Handler {
	var ready demand
	if !g.isZero() {
		var err error
		if ready, err = g.ready(d); err != nil {
			panic(err)
		}
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			t, err := g.meets(r.Context(), r.Header.Values("Authorization"), ready)
			if err != nil {
				Refuse(w, err)
				return
			}
			next.ServeHTTP(w, r.WithContext(With(r.Context(), t)))
		})
	}
}

// Check returns the token of a request if it meets d. It is for handlers that
// know what to demand only when they have read the request, and for what is
// not net/http. authorization holds the request's Authorization fields. Any
// error is a *Refusal, which says how to answer, for Refuse; and is
// ErrToken, ErrInsufficient, ErrSpent, ErrUnavailable or ErrDemand.
func (g *Guard) Check(ctx context.Context, authorization []string, d Demand) (Token, error) {
	var ready demand
	if !g.isZero() {
		var err error
		if ready, err = g.ready(d); err != nil {
			return Token{}, g.refuse(ctx, demand{}, err)
		}
	}
	return g.meets(ctx, authorization, ready)
}

func (g *Guard) isZero() bool { return g == nil || g.config.Issuer == "" }

// meets is Check of a demand that can be met. The token is spent when nothing
// else is left that could refuse it.
func (g *Guard) meets(ctx context.Context, authorization []string, d demand) (Token, error) {
	if g.isZero() {
		return Token{}, &Refusal{Status: http.StatusServiceUnavailable, Err: errZero}
	}
	text, err := bearer(authorization)
	if err != nil {
		return Token{}, g.refuse(ctx, d, err)
	}
	now := time.Now()
	t, err := g.token(ctx, text, now)
	if err != nil {
		return Token{}, g.refuse(ctx, d, err)
	}
	skew := g.config.Skew
	if !d.authenticated(t, now, skew) {
		return Token{}, g.refuse(ctx, d, &lack{authentication: true, scope: !d.scopes(t), token: t})
	}
	if !d.scopes(t) {
		return Token{}, g.refuse(ctx, d, &lack{scope: true, token: t})
	}
	if d.Once {
		if err := g.spend(ctx, t, t.Expires.Add(skew)); err != nil {
			return Token{}, g.refuse(ctx, d, err)
		}
	}
	return t, nil
}

// token returns what text is worth at now, whatever is demanded.
func (g *Guard) token(ctx context.Context, text string, now time.Time) (Token, error) {
	var c *claims
	var err error
	switch {
	case g.keys != nil && isJWT(text):
		c, err = g.verify(ctx, text)
	case g.ask != nil:
		c, err = g.ask.about(ctx, text, now)
	default:
		err = fmt.Errorf("%w: it is no JWT", ErrToken)
	}
	if err != nil {
		return Token{}, err
	}
	if err := c.check(g.config.Audience, now, g.config.Skew); err != nil {
		return Token{}, fmt.Errorf("%w: %w", ErrToken, err)
	}
	return c.token(g.config.Issuer), nil
}

// spend spends t, which a clock that is behind ours may take until expires.
//
// What is spent is the jti and not the text of the token: of one ES256
// signature (r, s) anybody makes another, (r, n−s), which verifies as well.
func (g *Guard) spend(ctx context.Context, t Token, expires time.Time) error {
	if t.ID == "" {
		return fmt.Errorf("%w: no jti, so it cannot be spent", ErrToken)
	}
	id := sha256.Sum256([]byte(t.Issuer + "\x00" + t.ID))
	err := g.config.Store.Spend(ctx, base64.RawURLEncoding.EncodeToString(id[:]), expires)
	if err != nil && !errors.Is(err, ErrSpent) {
		return fmt.Errorf("%w: spending it: %w", ErrUnavailable, err)
	}
	return err
}

// bearer returns the token of a request. There is one place for it, and one of
// that: a second one could be read by whoever stands in front of this API, as
// somebody else's.
func bearer(authorization []string) (string, error) {
	if len(authorization) == 0 {
		return "", errNoToken
	}
	if len(authorization) > 1 {
		return "", errRepeated
	}
	scheme, token, _ := strings.Cut(authorization[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", errNoToken
	}
	token = strings.Trim(token, " ")
	if len(token) > maxToken {
		return "", fmt.Errorf("%w: it is %d bytes long", ErrToken, len(token))
	}
	if !isToken68(token) {
		return "", fmt.Errorf("%w: it is no b64token (RFC 6750 section 2.1)", ErrToken)
	}
	return token, nil
}
