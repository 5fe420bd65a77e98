package provider

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sallyport-id/sallyport/provider/authflow"
	"github.com/sallyport-id/sallyport/provider/internal/engine"
	"github.com/sallyport-id/sallyport/templates"
)

// kept is how long a flow is remembered after it began, so that a back button
// finds a kind word instead of nothing.
const kept = 2 * time.Hour

// authorizePosted carries a posted authorization request on as a GET: cookies
// of SameSite=Lax do not ride on a POST from another site.
func (p *Provider) authorizePosted(r *request) (answer, error) {
	v, err := r.body()
	if err != nil {
		return answer{}, err
	}
	q := v.Encode()
	if len(q) > maxURL {
		return answer{}, errTooLarge
	}
	return answer{location: p.url("/authorize") + "?" + q}, nil
}

// authorize is the authorization endpoint (RFC 6749 section 3.1).
func (p *Provider) authorize(r *request) (answer, error) {
	ctx := r.Context()
	v, err := r.query()
	if err != nil {
		return answer{}, err
	}
	client, err := p.caller(ctx, v)
	if err != nil {
		return answer{}, err
	}
	pushed, form, err := p.pushed(ctx, r, client, v)
	switch {
	case errors.Is(err, errStale):
		return p.stale(r, client, err), nil
	case err != nil:
		return answer{}, err
	case pushed != nil:
		v = form // nothing else that the browser brought counts
	}
	if !client.answeredAt(v) {
		return answer{}, errRedirect
	}
	t, err := p.arrive(ctx, r, client, v, pushed)
	var refusal *engine.Refusal
	if errors.As(err, &refusal) {
		return p.refuse(client, v, refusal.Code, refusal.Description), nil
	}
	if err != nil {
		return answer{}, err
	}
	step, err := t.next()
	switch {
	case step == authflow.Granted:
		return p.grant(r, t, p.url("/authorize")+"?"+r.URL.RawQuery)
	case err != nil:
		return p.denied(r, t, err)
	}
	return p.begin(r, t, step)
}

// caller returns the client that asks. Where it is not certain, or its redirect
// URI is not, nothing may be answered by a redirect (RFC 6749 section 4.1.2.1).
func (p *Provider) caller(ctx context.Context, v url.Values) (Client, error) {
	id, ok := only(v, "client_id")
	if !ok {
		return Client{}, errClient
	}
	c, err := p.store.Client(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return Client{}, errClient
	}
	if err != nil {
		return Client{}, fmt.Errorf("reading the client: %w", err)
	}
	return c, nil
}

// answeredAt reports whether the answer to v may go where it says.
func (c Client) answeredAt(v url.Values) bool {
	uri, ok := only(v, "redirect_uri")
	return ok && c.redirectsTo(uri)
}

// redirectsTo reports whether uri is registered: by exact comparison, but for
// the port of a loopback address of a native client (RFC 8252 section 7.3).
func (c Client) redirectsTo(uri string) bool {
	if slices.Contains(c.RedirectURIs, uri) {
		return true
	}
	if c.Type != Native {
		return false
	}
	// Go's parser forgets an empty fragment, in which the code would end up.
	u, err := url.Parse(uri)
	if err != nil || !loopbackIP(u) || strings.Contains(uri, "#") {
		return false
	}
	return slices.ContainsFunc(c.RedirectURIs, func(registered string) bool {
		v, err := url.Parse(registered)
		if err != nil || v.Hostname() != u.Hostname() {
			return false
		}
		// What is left must be the same text, its scheme too.
		a, b := *u, *v
		a.Host, b.Host = "", ""
		return a.String() == b.String()
	})
}

// loopbackIP reports whether u is plain http on a loopback IP literal, and
// nothing else that Go's parser would let pass.
func loopbackIP(u *url.URL) bool {
	return u.Scheme == "http" && u.User == nil &&
		(u.Hostname() == "127.0.0.1" || u.Hostname() == "::1")
}

// challenge is the form of an S256 code_challenge (RFC 7636 section 4.2).
var challenge = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// arrive makes the passage of a request that has come with a browser, pushed
// before or not. Errors for the client are Refusals.
func (p *Provider) arrive(ctx context.Context, r *request, c Client, v url.Values, pushed *PushedRequest) (*passage, error) {
	hinted := ""
	switch {
	case pushed != nil:
		hinted = v.Get(hintedSubject)
	case c.Pushed: // RFC 9126 section 4
		return nil, engine.Refuse("invalid_request", "The client has to push its authorization requests.")
	}
	t, err := p.check(ctx, c, v, hinted)
	if err != nil {
		return nil, err
	}
	if pushed != nil {
		t.flow.Pushed, t.spent = pushed.ID, !pushed.Spent.IsZero()
	}
	t.flow.Expires = r.now.Add(kept)
	r.lang = p.pages.Language(v.Get("ui_locales"), r.Header.Get("Accept-Language"))
	return t, p.enter(ctx, r, t)
}

// check finds out whether v is a request that c may make, whoever is signed in,
// and makes its passage. It is asked when a request is pushed, and whenever a
// browser comes with one: so the two cannot differ, and what has changed in the
// meantime is seen (RFC 9126 section 7.4). hinted is whom the id_token_hint
// named that v had when it was pushed. Errors for the client are Refusals.
func (p *Provider) check(ctx context.Context, c Client, v url.Values, hinted string) (*passage, error) {
	if refusal := single(v, "resource"); refusal != nil { // RFC 8707 section 2
		return nil, refusal
	}
	if refusal := c.admits(v); refusal != nil {
		return nil, refusal
	}
	request, err := p.engine.Parse(ctx, v, c.engine())
	if err != nil {
		return nil, err
	}
	t := &passage{form: v, client: c, request: request}
	if err := p.weigh(ctx, t); err != nil {
		return nil, err
	}
	if hint := v.Get("id_token_hint"); hint != "" {
		if hinted, err = p.hinted(ctx, hint, c); err != nil {
			return nil, err
		}
	}
	if hinted != "" && t.asked.subject != "" && t.asked.subject != hinted {
		return nil, engine.Refuse("invalid_request", "id_token_hint and claims name two users.")
	}
	t.demand.Subject = cmp.Or(hinted, t.asked.subject)
	t.flow = Flow{Request: stored(v, hinted), ClientID: c.ID}
	return t, nil
}

// enter begins t with what the browser's session has proven, if that still
// stands.
func (p *Provider) enter(ctx context.Context, r *request, t *passage) error {
	s, err := p.session(ctx, r)
	if err != nil {
		return err
	}
	if s != nil {
		t.flow.Session = s.ID
		t.flow.State = authflow.Begin(t.demand, s.Login, r.now)
		u, status, err := p.person(ctx, s.Login.Subject, "")
		if err != nil {
			return err
		}
		if u.Subject != "" && !u.Disabled && !status.Stolen && s.Login.Epoch == epoch(u, status) {
			t.user, t.known = u, &status
			return p.observe(ctx, r, t)
		}
	}
	t.flow.Session = ""
	t.flow.State = authflow.Begin(t.demand, authflow.Login{}, r.now)
	return p.observe(ctx, r, t)
}

// admits checks what fosite leaves out, checks late or checks wrongly.
func (c Client) admits(v url.Values) *engine.Refusal {
	method := v.Get("code_challenge_method")
	switch {
	// What is empty is as if left out (RFC 6749 section 3.1).
	case v.Get("request") != "":
		return engine.Refuse("request_not_supported", "Request objects are not supported.")
	case v.Get("request_uri") != "":
		return engine.Refuse("request_uri_not_supported", "request_uri is not supported.")
	case v.Get("registration") != "":
		return engine.Refuse("registration_not_supported", "The registration parameter is not supported.")
	case v.Get("response_type") == "":
		return engine.Refuse("invalid_request", "response_type is missing.")
	case v.Get("response_type") != "code":
		return engine.Refuse("unsupported_response_type", "Only response_type=code is supported.")
	case v.Get("response_mode") != "" && !slices.Contains(responseModes, v.Get("response_mode")):
		return engine.Refuse("invalid_request", "Only response_mode=query and form_post are supported.")
	case v.Get("response_mode") == "form_post" && !posted(v):
		return engine.Refuse("invalid_request", "response_mode=form_post needs a redirect URI of http or https, and a state without line breaks.")
	case !slices.Contains(c.GrantTypes, "authorization_code"):
		return engine.Refuse("unauthorized_client", "The client is not registered for the authorization_code grant.")
	case v.Get("code_challenge") == "" && method != "":
		return engine.Refuse("invalid_request", "code_challenge_method is there, but no code_challenge.")
	case v.Get("code_challenge") == "" && (c.Public() || !c.PKCEOptional):
		return engine.Refuse("invalid_request", "PKCE is required: send a code_challenge with code_challenge_method=S256.")
	case v.Get("code_challenge") != "" && method != "S256":
		return engine.Refuse("invalid_request", "code_challenge_method must be S256.")
	case v.Get("code_challenge") != "" && !challenge.MatchString(v.Get("code_challenge")):
		return engine.Refuse("invalid_request", "code_challenge is not the base64url of a SHA-256.")
	case !utf8.ValidString(v.Get("nonce")):
		// The ID token is JSON: it would come back as something else.
		return engine.Refuse("invalid_request", "nonce is not UTF-8.")
	}
	return nil
}

// engine returns c as the engine knows it.
func (c Client) engine() engine.Client {
	return engine.Client{
		ID: c.ID, Public: c.Public(), RedirectURIs: c.RedirectURIs, Scopes: c.Scopes,
		GrantTypes: c.GrantTypes, Resources: c.Resources, Opaque: c.OpaqueTokens, Algorithm: c.algorithm(),
	}
}

// algorithm is what signs c's tokens. OpenID Connect Registration section 2
// has RS256 where nothing is said.
func (c Client) algorithm() string {
	if c.Algorithm == "" {
		return "RS256"
	}
	return c.Algorithm
}

// begin stores the flow, bound to the browser, and sends it to the page of its
// first step.
func (p *Provider) begin(r *request, t *passage, step authflow.Step) (answer, error) {
	var a answer
	hash, ok := p.cookies.browserOf(r.Request)
	if !ok {
		value := p.cookies.newBrowser()
		hash = hashOf(value)
		a.cookies = append(a.cookies, p.cookies.make(p.cookies.browser, value))
	}
	t.flow.ID, t.flow.Browser, t.flow.Version = engine.NewID(), hash, 1
	a.location = p.flowURL(t.flow.ID)
	if !t.asksAgain(step) {
		return a, p.createFlow(r.Context(), t.flow)
	}
	return a, p.atomically(r, func(ctx context.Context) error {
		if err := p.createFlow(ctx, t.flow); err != nil {
			return err
		}
		return p.record(ctx, r, r.happened(EventStepUpAsked, Success, t.flow.State.Pinned, t.client.ID))
	})
}

func (p *Provider) createFlow(ctx context.Context, f Flow) error {
	if err := p.store.CreateFlow(ctx, f); err != nil {
		return fmt.Errorf("storing the flow: %w", err)
	}
	return nil
}

func (p *Provider) flowURL(id string) string { return p.url("/flow/" + id) }

// denials say what becomes of a flow that is denied: the OAuth error that its
// client gets, or the page that its user sees.
var denials = []struct {
	err    error
	code   string // OpenID Connect Core section 3.1.2.6
	text   string
	silent bool // the code is for prompt=none only; otherwise there is a page
	page   templates.Ending
}{
	{authflow.ErrUnmet, "unmet_authentication_requirements", "The account cannot reach the level of authentication that is asked for.", false, templates.EndedUnmet},
	{authflow.ErrLoginNeeded, "login_required", "The user has to sign in.", true, templates.EndedDenied},
	{authflow.ErrFactorNeeded, "login_required", "The user has to prove a second factor.", true, templates.EndedDenied},
	{authflow.ErrEnrollNeeded, "interaction_required", "The user has to set up a second factor.", true, templates.EndedDenied},
	{authflow.ErrCodesUnsaved, "interaction_required", "The user has to put recovery codes away.", true, templates.EndedDenied},
	{authflow.ErrConsentNeeded, "consent_required", "The user has to consent.", true, templates.EndedDenied},
	{authflow.ErrWrongSubject, "login_required", "Another user is signed in.", true, templates.EndedDenied},
	{authflow.ErrBlocked, "login_required", "The user has to sign in.", true, templates.EndedDenied},
	{authflow.ErrOutdated, "login_required", "The user has to sign in.", true, templates.EndedChanged},
	{authflow.ErrExhausted, "access_denied", "Too many wrong answers.", true, templates.EndedSpent},
	{authflow.ErrExpired, "access_denied", "The sign-in took too long.", true, templates.EndedExpired},
	{authflow.ErrEnded, "access_denied", "The sign-in has ended.", true, templates.EndedUsed},
	{ErrSpent, "invalid_request_uri", "The request_uri has been used.", true, templates.EndedUsed},
}

// denied answers for a flow that err denies.
func (p *Provider) denied(r *request, t *passage, err error) (answer, error) {
	if t.steppingUp() && t.flow.Version == 0 {
		// Anyone can have a browser ask again and again: that fills the log, not
		// the database.
		r.events = append(r.events, r.happened(EventStepUp, Failure, t.flow.State.Pinned, t.client.ID))
	}
	if errors.Is(err, authflow.ErrEnded) && t.flow.Ending == EndUnmet {
		err = authflow.ErrUnmet // a double click, or the back button: the same again
	}
	for _, d := range denials {
		if !errors.Is(err, d.err) {
			continue
		}
		if !t.account() && (!d.silent || t.moment.Silent) {
			return p.refuse(t.client, t.form, d.code, d.text), nil
		}
		kind := d.page
		switch {
		case errors.Is(err, authflow.ErrBlocked) && t.moment.Stolen:
			kind = templates.EndedReset
		case t.flow.Ending == EndCancelled:
			kind = templates.EndedCancelled
		case t.flow.Ending == EndDenied:
			kind = t.signedOut()
		}
		return p.ended(r, t, kind), nil
	}
	return answer{}, err
}

// signedOut says why t's flow was ended for its user.
func (t *passage) signedOut() templates.Ending {
	switch {
	case t.moment.Stolen:
		return templates.EndedReset
	case t.moment.Blocked:
		return templates.EndedDenied
	case t.flow.State.Login.Epoch != t.moment.Epoch:
		return templates.EndedChanged
	}
	return templates.EndedSignedOut
}

// ended is the page of a flow that is over.
func (p *Provider) ended(r *request, t *passage, kind templates.Ending) answer {
	return answer{
		status: http.StatusForbidden,
		page:   templates.Ended{App: p.app(t), Kind: kind, RequestID: r.id},
	}
}

// app is how a page names where the flow leads.
func (p *Provider) app(t *passage) templates.App {
	if t.account() {
		return templates.App{InitiateURL: p.url("/account")}
	}
	return p.startable(t.client, t.form.Get("redirect_uri"))
}

// startable is how a page names c, which answers at uri, with where a sign-in to
// it can begin.
func (p *Provider) startable(c Client, uri string) templates.App {
	a := c.app(uri)
	if c.InitiateLoginURI != "" {
		// A client of several providers has to know which one sent someone.
		a.InitiateURL = extended(c.InitiateLoginURI, url.Values{"iss": {p.config.Issuer}})
	}
	return a
}

// app is how a page names c, which answers at uri.
func (c Client) app(uri string) templates.App {
	a := templates.App{Name: c.Name}
	if u, err := url.Parse(uri); err == nil {
		a.Host = u.Host
		if u.Host == "" { // a private-use scheme (RFC 8252 section 7.1)
			a.Host = u.Scheme
		}
	}
	return a
}
