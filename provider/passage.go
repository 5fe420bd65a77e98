package provider

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/sallyport-id/sallyport/provider/authflow"
	"github.com/sallyport-id/sallyport/provider/internal/engine"
	"github.com/sallyport-id/sallyport/templates"
)

// A passage is a flow with everything about it that is true now. It is made
// anew for each request, and again after each step.
type passage struct {
	flow    Flow // Version 0: not stored
	form    url.Values
	client  Client          // the zero Client: on the way to the account pages
	request *engine.Request // nil until parsed, and on the way to the account pages
	asked   asked
	details details
	spent   bool // a code has been made of the pushed request that it came of
	demand  authflow.Demand
	moment  authflow.Moment
	user    User // of flow.State.Login; the zero User: a stranger

	known    *authflow.Status // of user, read just now by a step; nil: not
	consent  *Consent         // of user; nil: not read
	signedIn string           // the subject of the session that the flow began with; empty: there was none, or it is over

	resources []string // the APIs that it asks tokens for
}

// account reports whether the flow leads to the account pages.
func (t *passage) account() bool { return t.flow.ClientID == "" }

// steppingUp reports whether t is of someone who is signed in.
func (t *passage) steppingUp() bool {
	return t.signedIn != "" && t.signedIn == t.flow.State.Pinned
}

// asksAgain reports whether at this step someone who is signed in has to prove
// something anew.
func (t *passage) asksAgain(at authflow.Step) bool {
	return t.steppingUp() && (at == authflow.AskPassword || at == authflow.AskFactor || at == authflow.AskEnroll)
}

// why returns what t's pages say of being asked again.
func (p *Provider) why(t *passage) *templates.Why {
	wants := authflow.Wants{Scopes: t.covered(), Resources: t.resources} // details speak for themselves
	return &templates.Why{Scopes: p.policy(t.client).Raised(wants)}
}

// scopes returns what the request asks for.
func (t *passage) scopes() []string { return strings.Fields(t.form.Get("scope")) }

// covered returns the scopes that the user has to allow: those asked for, and
// those of claims that the client gets besides.
func (t *passage) covered() []string { return t.client.covered(t.asked.claims, t.scopes()) }

// next derives the step. A pushed request ends with the first of its flows that
// is granted: whoever is on the way in another one need not go on.
func (t *passage) next() (authflow.Step, error) {
	step, err := t.flow.State.Next(t.moment)
	if err == nil && t.spent {
		return authflow.Denied, ErrSpent
	}
	return step, err
}

// policy returns what is required of the requests of client.
func (p *Provider) policy(client Client) authflow.Policy {
	all := p.rules
	all.Floor = authflow.Floor{
		Level:  cmp.Or(client.Floor, p.config.Floor),
		MaxAge: client.MaxAge, FactorMaxAge: client.FactorMaxAge,
	}
	all.FirstParty = client.FirstParty || client.ID == ""
	return all
}

// rules returns what is required of the requests of all clients, and nobody
// changes.
func (c *Config) rules() authflow.Policy {
	details := map[string]authflow.Floor{}
	for name, t := range c.DetailsTypes {
		details[name] = t.Floor
	}
	return authflow.Policy{
		Ladder: c.Ladder, Scopes: c.ScopeFloors, Resources: c.ResourceFloors, Details: details,
		Floor: authflow.Floor{Level: c.Floor}, FirstParty: true, Offered: methods,
	}
}

// load makes the passage of a stored flow.
func (p *Provider) load(ctx context.Context, r *request, f Flow) (*passage, error) {
	form, err := url.ParseQuery(f.Request)
	if err != nil {
		return nil, fmt.Errorf("reading the stored request: %w", err)
	}
	t := &passage{flow: f, form: form}
	if f.ClientID != "" {
		t.client, err = p.store.Client(ctx, f.ClientID)
		if errors.Is(err, ErrNotFound) {
			return nil, errClient // removed in the meantime
		}
		if err != nil {
			return nil, fmt.Errorf("reading the client: %w", err)
		}
		// It may have been taken from the client since, because someone else
		// answers there now.
		if !t.client.redirectsTo(form.Get("redirect_uri")) {
			return nil, errRedirect
		}
	}
	if err := p.weigh(ctx, t); err != nil {
		return nil, err
	}
	t.demand.Subject = cmp.Or(form.Get(hintedSubject), t.asked.subject)
	if t.spent, err = p.spent(ctx, f); err != nil {
		return nil, err
	}
	r.lang = p.pages.Language(form.Get("ui_locales"), r.Header.Get("Accept-Language"))
	return t, p.observe(ctx, r, t)
}

// weigh finds out what t asks for and what it demands, but for whom it is to be
// about.
func (p *Provider) weigh(ctx context.Context, t *passage) (err error) {
	if t.asked, err = t.client.asks(t.form); err != nil {
		return err
	}
	if t.details, err = p.details(t.form, t.client); err != nil {
		return err
	}
	if t.client.Pairwise {
		if _, err := p.sectorOf(t.client); err != nil {
			return err // before anyone has signed in for nothing
		}
	}
	if sub := t.asked.subject; sub != "" {
		var ok bool
		if t.asked.subject, ok, err = p.subjectOf(ctx, t.client, sub); err != nil {
			return err
		}
		if !ok {
			// Not a user's real subject either: by what comes of it a client
			// could find out whose it is.
			return engine.Refuse("invalid_request", "claims names a sub that is none of this client's.")
		}
	}
	if t.resources, err = engine.Resources(t.form, t.client.Resources); err != nil {
		return err
	}
	form := t.form
	if wide := t.covered(); len(wide) > len(t.scopes()) {
		form = maps.Clone(form)
		form["scope"] = []string{strings.Join(wide, " ")}
	}
	t.demand, err = p.demand(form, t.client)
	return err
}

// demand parses what a request demands, but for whom it is to be about.
func (p *Provider) demand(form url.Values, c Client) (authflow.Demand, error) {
	d, err := authflow.Parse(form, p.policy(c))
	if errors.Is(err, authflow.ErrBadRequest) {
		_, text, _ := strings.Cut(err.Error(), ": ")
		_, text, _ = strings.Cut(text, ": ")
		return d, engine.Refuse("invalid_request", "The request is malformed: "+text+".")
	}
	return d, err
}

// remembered are the parameters of an authorization request that are stored
// with its flow. What else came with it has no meaning here and may be a
// secret that strayed into a URL.
var remembered = []string{
	"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce",
	"code_challenge", "code_challenge_method", "prompt", "max_age", "acr_values",
	"claims", "authorization_details", "resource", "login_hint", "ui_locales",
}

// hintedSubject is whom the id_token_hint of a stored request named. The hint
// itself is a token, and is not stored.
const hintedSubject = "id_token_hint.sub"

// stored returns the text of a request that is kept.
func stored(form url.Values, subject string) string {
	v := url.Values{}
	for _, name := range remembered {
		if values, ok := form[name]; ok {
			v[name] = values
		}
	}
	if subject != "" {
		v.Set(hintedSubject, subject)
	}
	return v.Encode()
}

// observe finds out what is true now of t. The user and their consent, which a
// step leaves as they are unless it says otherwise, are read once.
func (p *Provider) observe(ctx context.Context, r *request, t *passage) error {
	t.moment = authflow.Moment{Demand: t.demand, Now: r.now}
	known, status := t.user, t.known
	t.user, t.known, t.signedIn = User{}, nil, ""
	m, state := &t.moment, t.flow.State
	if t.flow.Session != "" {
		// What a session has proven is for who holds its cookie now. Otherwise
		// a flow that began in it would end in a second session, with the same
		// proofs and a life of its own, long after the first has gone.
		s, err := p.session(ctx, r)
		if err != nil {
			return err
		}
		m.SessionEnded = s == nil || s.ID != t.flow.Session
		if !m.SessionEnded {
			t.signedIn = s.Login.Subject
		}
	}
	subject := state.Login.Subject
	if subject == "" {
		return nil
	}
	var err error
	switch {
	case known.Subject != subject:
		t.consent = nil
		t.user, m.Status, err = p.person(ctx, subject, t.flow.ID)
	case status != nil:
		t.user, m.Status = known, *status
	default:
		t.user = known
		m.Status, err = p.factors(ctx, subject, t.flow.ID)
	}
	if err != nil {
		return err
	}
	m.Epoch = epoch(t.user, m.Status)
	m.Blocked = t.user.Subject != subject || t.user.Disabled
	if t.account() {
		return nil
	}
	if t.consent == nil {
		c, err := p.store.Consent(ctx, subject, t.client.ID)
		if err != nil {
			return fmt.Errorf("reading the consent: %w", err)
		}
		t.consent = &c
	}
	m.Approved = t.consent.covers(t.covered())
	return nil
}

// person returns the user and the state of their factors; the zero User if
// there is none any more.
func (p *Provider) person(ctx context.Context, subject, binding string) (User, authflow.Status, error) {
	u, err := p.config.Directory.User(ctx, subject)
	if errors.Is(err, ErrNoUser) {
		return User{}, authflow.Status{}, nil
	}
	if err != nil {
		return User{}, authflow.Status{}, fmt.Errorf("reading the user: %w", err)
	}
	s, err := p.factors(ctx, subject, binding)
	return u, s, err
}

func (p *Provider) factors(ctx context.Context, subject, binding string) (authflow.Status, error) {
	s, err := p.config.Factor.Status(ctx, subject, binding)
	if err != nil {
		return authflow.Status{}, fmt.Errorf("reading the factors: %w", err)
	}
	return s, nil
}

// epoch returns the account's epoch: it changes with the password and with
// the factors.
func epoch(u User, s authflow.Status) string { return u.Epoch + "/" + s.FactorEpoch }

// covers reports whether c allows all of scopes. Without an earlier consent
// not even an empty request is covered.
func (c Consent) covers(scopes []string) bool {
	return !c.Given.IsZero() && !slices.ContainsFunc(scopes, func(s string) bool {
		return !slices.Contains(c.Scopes, s)
	})
}

// session returns the live session of r's browser, nil if there is none.
func (p *Provider) session(ctx context.Context, r *request) (*Session, error) {
	hash, ok := p.cookies.sessionOf(r.Request)
	if !ok {
		return nil, nil
	}
	s, err := p.store.Session(ctx, hash)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the session: %w", err)
	}
	if !r.now.Before(s.Expires) {
		return nil, nil
	}
	return &s, nil
}
