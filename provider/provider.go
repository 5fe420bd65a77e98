package provider

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/gorilla/mux"

	"github.com/sallyport-id/sallyport/provider/authflow"
	"github.com/sallyport-id/sallyport/provider/internal/engine"
	"github.com/sallyport-id/sallyport/provider/internal/fetch"
	"github.com/sallyport-id/sallyport/templates"
)

// Config is what a Provider is made of.
type Config struct {
	// Issuer is the URL that identifies the provider, without query, fragment
	// or slash at its end. Its path is where the Provider is mounted. It is
	// https, or http on a loopback host. Required.
	Issuer string

	Directory Directory // your users; required
	Store     Store     // required
	Factor    Factor    // required
	Attempts  Attempts  // bounds password guessing; required
	Keys      Keys      // required

	// KeysAhead is how long Keys.Published has a key, whichever replica is asked,
	// before that key signs by schedule. Verifiers are told to keep what is
	// published for that long, at most 5 minutes: one that looks no earlier, not
	// even for a kid that it does not know, then has every key in time. In package
	// storage it is Keys.Ahead. Zero: 5 minutes or more. Whole seconds count.
	KeysAhead time.Duration

	// Secrets make and verify refresh tokens, opaque access tokens and the
	// cookie that binds a browser to its flows: at least one, of at least 32
	// random bytes. The first makes; put a new one in front to rotate.
	Secrets [][]byte

	// SubjectKey makes the subjects and sids of pairwise clients (OpenID Connect
	// Core section 8.1): at least 32 random bytes, which must never change, or
	// these clients would know none of their users any more. DB.SubjectKey of
	// package storage keeps one. Nil: there are no pairwise clients, and no
	// request of one is answered.
	SubjectKey []byte

	// Ladder are the levels of authentication, the weakest first. Nil:
	// authflow.DefaultLadder.
	Ladder authflow.Ladder
	// Floor is the least level of a sign-in, unless Client.Floor has another: that
	// of the client alone, higher or lower. Empty: mfa with the default
	// ladder, the strongest level of any other.
	Floor string
	// ScopeFloors and ResourceFloors raise the floor for requests that ask for a
	// scope, or for a resource (RFC 8707) by its URI.
	ScopeFloors    map[string]authflow.Floor
	ResourceFloors map[string]authflow.Floor

	// DetailsTypes are the types of authorization details that clients may be
	// registered for (RFC 9396), by name. Nil: none.
	DetailsTypes map[string]DetailsType

	Lifetimes Lifetimes
	Limits    Limits

	Pages *templates.Set // nil: the embedded ones

	// Digits is how many a one-time code has, for the page to say. 0: 6.
	Digits int

	// Notify is called after something happened that a user should hear of
	// even if it was not they who did it. It must not block for long. Nil:
	// nobody is told.
	Notify func(ctx context.Context, n Notice)

	// InsecureNetworks may be reached although they are not public, where a
	// client says that it is there: its KeysURI or BackchannelLogoutURI. Whoever
	// registers a client can then have this server send requests to what answers
	// in them. With loopback (127.0.0.0/8, ::1/128) among them, such a URI may be
	// http there. Nil: public addresses alone, and with an issuer on loopback
	// that.
	InsecureNetworks []netip.Prefix

	// ClientAddress says where a request comes from, for Limits among others; it
	// must not follow a header that anyone could have written. Nil: the peer of
	// the connection; behind a proxy that is the proxy.
	ClientAddress func(r *http.Request) string

	Logger *slog.Logger // nil: slog.Default()
}

// Lifetimes say how long things are good for. Zero takes the default.
type Lifetimes struct {
	Session     time.Duration // of a session at most; 12 h
	Idle        time.Duration // of a session that nothing is asked of; 1 h
	Code        time.Duration // of an authorization code; 60 s, which is also the most
	Pushed      time.Duration // of a request_uri, until a browser has come with it; 90 s, from 1 s to 10 min
	AccessToken time.Duration // 10 min
	IDToken     time.Duration // 10 min
	RefreshIdle time.Duration // of a refresh token that is not used; 14 days
	Refresh     time.Duration // of a grant at most; 90 days
	Once        time.Duration // of a grant for one use (authflow.Floor.Once), from its code to the end of its access token; 2 min

	// RefreshGrace is for how long a refresh token that has been replaced, the
	// last one alone, still gets its successor from its own client, the same
	// each time: the answer may have been lost, or two tabs have asked at once.
	// At most a minute. 0: there is none, and it is reuse at once.
	RefreshGrace time.Duration
}

func (l Lifetimes) withDefaults() Lifetimes {
	for _, v := range []struct {
		d    *time.Duration
		zero time.Duration
	}{
		{&l.Session, 12 * time.Hour}, {&l.Idle, time.Hour}, {&l.Code, time.Minute}, {&l.Pushed, 90 * time.Second},
		{&l.AccessToken, 10 * time.Minute}, {&l.IDToken, 10 * time.Minute},
		{&l.RefreshIdle, 14 * 24 * time.Hour}, {&l.Refresh, 90 * 24 * time.Hour},
		{&l.Once, 2 * time.Minute},
	} {
		if *v.d == 0 {
			*v.d = v.zero
		}
	}
	return l
}

// ErrConfig says that a Config cannot be used. The text says which field and
// why.
var ErrConfig = errors.New("provider: unusable configuration")

// A Provider is an OpenID provider. It is safe for concurrent use.
type Provider struct {
	config  Config
	issuer  *url.URL
	store   Store
	engine  *engine.Engine
	keys    *fetch.Cache[[]jose.JSONWebKey] // of clients, by Client.KeysURI
	pages   *templates.Set
	log     *slog.Logger
	cookies cookies
	limits  limiters
	origin  *http.CrossOriginProtection
	router  *mux.Router
	handler http.Handler
	rules   authflow.Policy // of all clients; see policy
	meta    metadata
	keySet  atomic.Pointer[keySetText]

	detailsTypes   detailsTypes
	subjects, sids veil          // of pairwise clients; zero: there are none
	outside        *http.Client  // for what clients name
	due            chan struct{} // wakes Deliver
}

// New returns a Provider, or ErrConfig with the reason.
func New(c Config) (*Provider, error) {
	issuer, err := checkIssuer(c.Issuer)
	if err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	c.Lifetimes, c.Limits = c.Lifetimes.withDefaults(), c.Limits.WithDefaults()
	if c.Floor == "" && c.Ladder == nil {
		c.Floor = "mfa"
	}
	if c.Ladder == nil {
		c.Ladder = authflow.DefaultLadder
	}
	if c.Floor == "" {
		c.Floor = c.Ladder[len(c.Ladder)-1].Name
	}
	if c.Digits == 0 {
		c.Digits = 6
	}
	if c.Pages == nil {
		if c.Pages, err = templates.New(templates.Options{Base: issuer.Path}); err != nil {
			return nil, fmt.Errorf("provider: reading the embedded pages: %w", err)
		}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.ClientAddress == nil {
		c.ClientAddress = peer
	}
	p := &Provider{config: c, issuer: issuer, store: c.Store, pages: c.Pages, log: c.Logger, rules: c.rules()}
	p.limits = newLimiters(c.Limits, c.Store)
	if p.detailsTypes, err = newDetailsTypes(c.DetailsTypes); err != nil {
		return nil, err
	}
	if p.cookies, err = newCookies(issuer, c.Secrets); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if err := p.drawVeils(c.SubjectKey); err != nil {
		return nil, err
	}
	p.engine, err = engine.New(engine.Config{
		Issuer: c.Issuer, Secrets: c.Secrets,
		Signing: func(ctx context.Context, alg string) (crypto.Signer, string, error) {
			k, err := c.Keys.Signing(ctx, alg)
			return k.Signer, k.ID, err
		},
		CodeLifetime: c.Lifetimes.Code, AccessLifetime: c.Lifetimes.AccessToken,
		IDTokenLifetime: c.Lifetimes.IDToken, RefreshLifetime: c.Lifetimes.RefreshIdle,
		RefreshGrace: c.Lifetimes.RefreshGrace,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	p.outside, p.due = fetch.NewClient(c.reachable(issuer)...), make(chan struct{}, 1)
	p.keys = fetch.NewCache(p.outside, "application/jwk-set+json, application/json",
		func(set []byte) ([]jose.JSONWebKey, error) {
			keys, _, err := readKeys(set)
			return keys, err
		})
	if p.origin, err = sameOrigin(issuer); err != nil {
		return nil, err
	}
	p.meta = p.newMetadata()
	p.routes()
	return p, nil
}

// check says what is wrong with c, apart from the issuer.
func (c Config) check() error {
	missing := func(name string) error { return fmt.Errorf("%w: %s is required", ErrConfig, name) }
	switch {
	case c.Directory == nil:
		return missing("Directory")
	case c.Store == nil:
		return missing("Store")
	case c.Factor == nil:
		return missing("Factor")
	case c.Attempts == nil:
		return missing("Attempts")
	case c.Keys == nil:
		return missing("Keys")
	case c.KeysAhead < 0:
		return fmt.Errorf("%w: KeysAhead must not be negative", ErrConfig)
	case c.Lifetimes.Code > time.Minute:
		return fmt.Errorf("%w: Lifetimes.Code must be at most a minute", ErrConfig)
	case c.Lifetimes.Pushed != 0 && (c.Lifetimes.Pushed < time.Second || c.Lifetimes.Pushed > 10*time.Minute):
		return fmt.Errorf("%w: Lifetimes.Pushed must be from a second to 10 minutes", ErrConfig)
	case c.Lifetimes.RefreshGrace > time.Minute:
		return fmt.Errorf("%w: Lifetimes.RefreshGrace must be at most a minute", ErrConfig)
	case min(c.Lifetimes.Session, c.Lifetimes.Idle, c.Lifetimes.Code, c.Lifetimes.AccessToken,
		c.Lifetimes.IDToken, c.Lifetimes.RefreshIdle, c.Lifetimes.Refresh, c.Lifetimes.Once, c.Lifetimes.RefreshGrace) < 0:
		return fmt.Errorf("%w: Lifetimes must not be negative", ErrConfig)
	}
	for _, n := range c.InsecureNetworks {
		if !n.IsValid() {
			return fmt.Errorf("%w: InsecureNetworks has one that is none", ErrConfig)
		}
	}
	if err := c.Limits.check(); err != nil {
		return err
	}
	if err := c.rules().Check(); err != nil {
		return fmt.Errorf("%w: Ladder and floors: %w", ErrConfig, err)
	}
	return nil
}

// checkIssuer parses an issuer (OpenID Connect Discovery section 3).
func checkIssuer(issuer string) (*url.URL, error) {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Host == "":
		return nil, fmt.Errorf("%w: Issuer %q is not a URL", ErrConfig, issuer)
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil || strings.HasSuffix(issuer, "?") || strings.HasSuffix(issuer, "#"):
		return nil, fmt.Errorf("%w: Issuer %q has a query, a fragment or a user", ErrConfig, issuer)
	case strings.HasSuffix(u.Path, "/"):
		return nil, fmt.Errorf("%w: Issuer %q ends in a slash", ErrConfig, issuer)
	case u.Scheme == "https":
		return u, nil
	case u.Scheme == "http" && loopback(u.Hostname()):
		return u, nil
	}
	return nil, fmt.Errorf("%w: Issuer %q must be https, or http on a loopback host", ErrConfig, issuer)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// peer returns the address at the other end of the connection.
func peer(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// ServeHTTP answers every path under the issuer. The zero Provider answers
// nobody.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.handler == nil {
		http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		return
	}
	p.handler.ServeHTTP(w, r)
}

// A Route is one door of the provider.
type Route struct {
	Method string
	Path   string // with the issuer's path; {names} in braces
}

// Routes returns every route there is, as the router knows them.
func (p *Provider) Routes() ([]Route, error) {
	if p.router == nil {
		return nil, nil
	}
	var all []Route
	err := p.router.Walk(func(route *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := route.GetPathTemplate()
		if err != nil {
			return err
		}
		methods, err := route.GetMethods()
		if err != nil {
			return err
		}
		for _, m := range methods {
			all = append(all, Route{m, path})
		}
		return nil
	})
	return all, err
}

// routes draws the map of the provider.
func (p *Provider) routes() {
	// The router is not to answer by itself: it would send //authorize to
	// /authorize with a 301 that can be kept, and none of our headers.
	m := mux.NewRouter().UseEncodedPath().SkipClean(true)
	m.NotFoundHandler = p.serve(page, func(*request) (answer, error) { return answer{}, errNotFound })
	m.MethodNotAllowedHandler = p.serve(page, p.methodNotAllowed)
	base := p.issuer.Path
	on := func(method, path string, k kind, h handler) {
		switch {
		case path == "/authorize":
			h = limit(p.limits.authorize, h)
		case k != api && path != "/assets/{name}":
			h = limit(p.limits.pages, h)
		}
		m.Handle(base+path, p.serve(k, h)).Methods(method)
	}
	open := func(whose readers, path string, h handler, methods ...string) {
		for _, method := range methods {
			m.Handle(path, p.shared(whose, p.serve(api, h))).Methods(method)
		}
		m.Handle(path, p.preflight(whose, methods...)).Methods("OPTIONS")
	}
	open(anyone, base+"/.well-known/openid-configuration", p.discovery, "GET")
	open(anyone, "/.well-known/oauth-authorization-server"+base, p.discovery, "GET")
	open(anyone, base+"/jwks.json", p.jwks, "GET")

	on("GET", "/authorize", page, p.authorize)
	on("POST", "/authorize", page, p.authorizePosted)
	on("POST", "/par", api, p.push)
	open(apps, base+"/token", p.token, "POST")
	open(apps, base+"/userinfo", limit(p.limits.userinfo, p.userinfo), "GET", "POST")
	on("POST", "/revoke", api, p.revoke)
	on("POST", "/introspect", api, p.introspect)

	on("GET", "/flow/{id}", page, p.showFlow)
	on("GET", "/flow/{id}/recovery", page, p.showFlow)
	on("GET", "/flow/{id}/codes.txt", page, p.downloadCodes)
	on("POST", "/flow/{id}", form, p.postFlow)
	on("POST", "/flow/{id}/recovery", form, p.postFlow)

	on("GET", "/account", page, p.showAccount)
	on("POST", "/account", form, p.postAccount)
	on("GET", "/account/factor", page, p.showAccountFactor)
	on("POST", "/account/factor", form, p.postAccountFactor)
	on("GET", "/account/codes", page, p.showAccountCodes)
	on("GET", "/account/codes.txt", page, p.downloadAccountCodes)
	on("POST", "/account/codes", form, p.postAccountCodes)

	on("GET", "/logout", page, p.logout)
	on("POST", "/logout", page, p.logoutPosted)
	on("POST", "/logout/confirm", form, p.confirmLogout)

	on("GET", "/assets/{name}", page, p.asset)
	p.router = m
	p.handler = m
}

// methodNotAllowed says which methods the path has (RFC 9110 section 15.5.6).
func (p *Provider) methodNotAllowed(r *request) (answer, error) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions} {
		other := *r.Request
		other.Method = method
		var match mux.RouteMatch
		if p.router.Match(&other, &match) && match.MatchErr == nil {
			allowed = append(allowed, method)
		}
	}
	a := p.failure(r, page, errMethod)
	a.header["Allow"] = strings.Join(allowed, ", ")
	return a, nil
}

// url returns the URL of a path under the issuer.
func (p *Provider) url(path string) string { return p.config.Issuer + path }
