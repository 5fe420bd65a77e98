// Package demoapp is the app of idp demo: a small website that people sign in
// to through the provider beside it. It is a relying party like any other,
// knows no secret but its own, and is built on libraries that are not ours,
// coreos/go-oidc and x/oauth2, so that it also judges what the provider says. Of
// ours it uses mfa/stepup alone, on both sides of "Send money": that library is
// for apps and APIs of others, so the app of others that is here uses it.
package demoapp

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Config says who the app is and whom it trusts.
type Config struct {
	URL      string // of the app itself, without a slash at its end
	Issuer   string
	ClientID string
	Secret   string
	Scopes   []string
	Bank     string // URL of the API through which money is sent; empty: there is none
	Log      *slog.Logger
}

// An App is the demo app, an http.Handler. It keeps its sessions in memory.
type App struct {
	config  Config
	handler http.Handler
	forms   string // where the answers to forms may send the browser, for the policy

	finding  sync.Mutex
	provider *oidc.Provider // nil until it was first found

	mu       sync.Mutex
	sessions map[string]*session // by the value of the cookie
}

// A session is a browser that uses the app.
type session struct {
	created time.Time
	pending map[string]attempt // sign-ins under way, by state; a tab has its own
	login   *login
	receipt *receipt // of the last payment; nil: there was none
}

// An attempt is a sign-in that has been sent to the provider, or a step-up.
type attempt struct {
	nonce, verifier string
	send            *sending // nil: a sign-in; otherwise the other two are in it
}

// A login is what came back.
type login struct {
	claims   claims
	idToken  json.RawMessage
	userinfo json.RawMessage
	token    string // the access token
	at       time.Time
}

// claims are those of the ID token that the app looks at itself.
type claims struct {
	Subject  string   `json:"sub"`
	ACR      string   `json:"acr"`
	AMR      []string `json:"amr"`
	AuthTime int64    `json:"auth_time"`
}

const (
	// Cookies are shared by all ports of a host (RFC 6265 section 8.5), so the
	// name must not be one of the provider's, which runs beside the app.
	cookie = "sallyport_demo_app"

	maxSessions = 1000 // the oldest goes when there are more
	maxPending  = 10
	lifetime    = 12 * time.Hour
	exchange    = 10 * time.Second
)

// New returns an App. It does not talk to the provider before someone signs
// in: both may have been started at once.
func New(c Config) *App {
	a := &App{config: c, sessions: map[string]*session{}, forms: "'self'"}
	if u, err := url.Parse(c.Issuer); err == nil {
		// Chromium stops a redirect after a form to an origin that is not named.
		a.forms += " " + u.Scheme + "://" + u.Host
	}
	m := http.NewServeMux()
	m.HandleFunc("GET /{$}", a.home)
	m.HandleFunc("GET /login", a.login)
	m.HandleFunc("GET /callback", a.callback)
	m.HandleFunc("POST /logout", a.logout)
	m.HandleFunc("POST /send", a.send)
	m.HandleFunc("GET /sent", a.sent)
	m.HandleFunc("GET /style.css", file)
	m.HandleFunc("GET /icon.svg", file)
	a.handler = http.NewCrossOriginProtection().Handler(m)
	return a
}

// ServeHTTP answers a browser.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action "+a.forms+"; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	a.handler.ServeHTTP(w, r)
}

func (a *App) home(w http.ResponseWriter, r *http.Request) {
	declined := r.URL.Query().Has("declined")
	l := a.current(r)
	if l == nil {
		notice := ""
		if declined {
			notice = "You did not sign in, and nothing was shared."
		}
		a.render(w, http.StatusOK, "welcome", notice)
		return
	}
	notice := ""
	switch {
	case declined:
		notice = "You did not sign in again. Everything is as it was before."
	case r.URL.Query().Has("unsent"):
		notice = "You did not approve it, and nothing was sent."
	}
	a.show(w, r, http.StatusOK, l, notice, form{})
}

// show is the page of someone who is signed in.
func (a *App) show(w http.ResponseWriter, r *http.Request, status int, l *login, notice string, f form) {
	p := a.describe(l, time.Now())
	p.Notice, p.Form, p.HasBank = notice, f, a.config.Bank != ""
	if p.HasBank {
		p.Money, p.Trouble = a.money(r.Context(), l)
	}
	a.render(w, status, "signedin", p)
}

// login sends the browser to the provider. With prompt=login the provider asks
// for everything anew. Another site may send someone here (OpenID Connect Core
// section 4), which is harmless: it only begins a sign-in.
func (a *App) login(w http.ResponseWriter, r *http.Request) {
	if iss := r.URL.Query().Get("iss"); iss != "" && iss != a.config.Issuer {
		a.fail(w, r, http.StatusBadRequest, "Someone asked this app to sign you in at a provider that it does not know.", nil)
		return
	}
	p, err := a.discover(r.Context())
	if err != nil {
		a.fail(w, r, http.StatusBadGateway, "The provider cannot be reached. Is it running?", err)
		return
	}
	state, try := rand.Text(), attempt{nonce: rand.Text(), verifier: oauth2.GenerateVerifier()}
	a.remember(w, r, state, try)
	options := []oauth2.AuthCodeOption{oidc.Nonce(try.nonce), oauth2.S256ChallengeOption(try.verifier)}
	if a.config.Bank != "" {
		// RFC 8707: a token that the bank takes too.
		options = append(options, oauth2.SetAuthURLParam("resource", a.config.Bank))
	}
	if r.URL.Query().Get("again") != "" {
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"))
	}
	http.Redirect(w, r, a.oauth(p).AuthCodeURL(state, options...), http.StatusSeeOther)
}

// callback takes what the provider answered.
func (a *App) callback(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	try, ok := a.take(r, q.Get("state"))
	if !ok {
		// Without a sign-in of this browser's own, the code could be someone
		// else's, and this browser would be signed in as them.
		a.fail(w, r, http.StatusBadRequest, "This answer belongs to no sign-in that this browser began, or to one that has ended. Please sign in again.", nil)
		return
	}
	if try.send != nil {
		a.approved(w, r, try.send)
		return
	}
	// RFC 9207 section 2.4: an answer of another issuer is not ours.
	if q.Get("iss") != a.config.Issuer {
		a.fail(w, r, http.StatusBadRequest, "This answer comes from another provider than the one that was asked.", nil)
		return
	}
	if code := q.Get("error"); code != "" {
		a.refused(w, r, code, q.Get("error_description"))
		return
	}
	l, err := a.redeem(r.Context(), q.Get("code"), try)
	if err != nil {
		a.fail(w, r, http.StatusBadGateway, "What the provider answered does not hold.", err)
		return
	}
	a.signIn(w, r, l)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// refused says why the provider gave no code. Whoever was signed in before still
// is.
func (a *App) refused(w http.ResponseWriter, r *http.Request, code, description string) {
	if code == "access_denied" {
		http.Redirect(w, r, "/?declined", http.StatusSeeOther)
		return
	}
	a.fail(w, r, http.StatusBadRequest, fmt.Sprintf("The provider says: %s (%s)", description, code), nil)
}

// redeem turns a code into a login and checks all that can be checked.
func (a *App) redeem(ctx context.Context, code string, try attempt) (*login, error) {
	ctx, cancel := context.WithTimeout(ctx, exchange)
	defer cancel()
	p, err := a.discover(ctx)
	if err != nil {
		return nil, err
	}
	tokens, id, err := a.buy(ctx, p, code, try)
	if err != nil {
		return nil, err
	}
	l := &login{token: tokens.AccessToken, at: time.Now()}
	if err := errors.Join(id.Claims(&l.claims), id.Claims(&l.idToken)); err != nil {
		return nil, fmt.Errorf("read the ID token: %w", err)
	}
	info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
	if err != nil {
		return nil, fmt.Errorf("ask for userinfo: %w", err)
	}
	// OpenID Connect Core section 5.3.2: otherwise it is about someone else.
	if info.Subject != l.claims.Subject {
		return nil, errors.New("userinfo is about someone else")
	}
	return l, info.Claims(&l.userinfo)
}

// buy exchanges a code for tokens and verifies the ID token.
func (a *App) buy(ctx context.Context, p *oidc.Provider, code string, try attempt) (*oauth2.Token, *oidc.IDToken, error) {
	tokens, err := a.oauth(p).Exchange(ctx, code, oauth2.VerifierOption(try.verifier))
	if err != nil {
		return nil, nil, fmt.Errorf("exchange the code: %w", err)
	}
	raw, ok := tokens.Extra("id_token").(string)
	if !ok {
		return nil, nil, errors.New("no ID token")
	}
	id, err := p.Verifier(&oidc.Config{ClientID: a.config.ClientID}).Verify(ctx, raw)
	if err != nil {
		return nil, nil, fmt.Errorf("verify the ID token: %w", err)
	}
	if id.Nonce != try.nonce {
		return nil, nil, errors.New("the ID token is the answer to another request")
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(tokens.AccessToken); err != nil {
			return nil, nil, fmt.Errorf("the access token is not the ID token's: %w", err)
		}
	}
	return tokens, id, nil
}

// discover returns the provider's metadata, asked for once.
func (a *App) discover(ctx context.Context) (*oidc.Provider, error) {
	a.finding.Lock()
	defer a.finding.Unlock()
	if a.provider != nil {
		return a.provider, nil
	}
	// Keys are fetched later with the context given here, which must not end
	// with the first sign-in.
	ctx = context.WithoutCancel(ctx)
	ctx = oidc.ClientContext(ctx, &http.Client{Timeout: exchange})
	p, err := oidc.NewProvider(ctx, a.config.Issuer)
	if err != nil {
		return nil, fmt.Errorf("read the provider's metadata: %w", err)
	}
	a.provider = p
	return p, nil
}

func (a *App) oauth(p *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID: a.config.ClientID, ClientSecret: a.config.Secret,
		Endpoint: p.Endpoint(), RedirectURL: a.config.URL + "/callback", Scopes: a.config.Scopes,
	}
}

func (a *App) logout(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	if c, err := r.Cookie(cookie); err == nil {
		delete(a.sessions, c.Value)
	}
	a.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: cookie, Path: "/", MaxAge: -1})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (a *App) fail(w http.ResponseWriter, r *http.Request, status int, sentence string, err error) {
	a.config.Log.WarnContext(r.Context(), "demo app: sign-in failed", "reason", sentence, "error", err)
	a.render(w, status, "failed", sentence)
}
