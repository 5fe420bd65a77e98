package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sallyport-id/sallyport/provider/authflow"
	"github.com/sallyport-id/sallyport/templates"
)

// The account pages show users what is theirs and open: sessions, consents and
// factors. They take a session that reaches the floor; without one, a flow
// with an empty ClientID begins.

// A holder is someone at their account pages.
type holder struct {
	session Session
	user    User
	status  authflow.Status
}

// proven reports whether h has proven a second factor so lately that factors
// may be changed: a password alone never suffices (TO-11).
func (h *holder) proven(r *request) bool {
	for m, t := range h.session.Login.Proofs {
		if m := authflow.Method(m); m != authflow.Password && !t.IsZero() && r.now.Sub(t) <= authflow.FactorLifetime {
			return true
		}
	}
	return false
}

// holder returns who is at the account pages, nil if they have to sign in.
func (p *Provider) holder(ctx context.Context, r *request) (*holder, error) {
	t, err := p.accountPassage(ctx, r, "")
	if err != nil {
		return nil, err
	}
	if at, err := t.next(); err != nil || at != authflow.Granted {
		return nil, nil
	}
	s, err := p.session(ctx, r)
	if err != nil || s == nil || s.Login.Subject != t.user.Subject {
		return nil, err
	}
	u, status, err := p.person(ctx, s.Login.Subject, s.ID)
	if err != nil {
		return nil, err
	}
	return &holder{session: *s, user: u, status: status}, nil
}

// accountPassage is the passage of a sign-in to the account pages that demands
// what query says.
func (p *Provider) accountPassage(ctx context.Context, r *request, query string) (*passage, error) {
	v, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("provider: %w", err)
	}
	demand, err := p.demand(v, Client{})
	if err != nil {
		return nil, err
	}
	t := &passage{form: v, demand: demand, flow: Flow{Request: stored(v, ""), Expires: r.now.Add(kept)}}
	return t, p.enter(ctx, r, t)
}

// signInToAccount sends the browser to a flow that leads to the account pages.
func (p *Provider) signInToAccount(r *request, query string) (answer, error) {
	t, err := p.accountPassage(r.Context(), r, query)
	if err != nil {
		return answer{}, err
	}
	at, err := t.next()
	if err != nil {
		return p.denied(r, t, err)
	}
	if at == authflow.Granted {
		return p.grant(r, t, p.url("/account"))
	}
	return p.begin(r, t, at)
}

// stepUp is the query of a flow in which a second factor is proven anew, before
// factors are changed: whatever the floor, it asks for the first level that a
// password alone does not reach.
func (p *Provider) stepUp() string {
	q := url.Values{"max_age": {"60"}}
	for _, level := range p.config.Ladder {
		if !slices.Contains(level.Ways, authflow.Of(authflow.Password)) {
			q.Set("acr_values", level.Name)
			break
		}
	}
	return q.Encode()
}

func (p *Provider) showAccount(r *request) (answer, error) {
	h, err := p.holder(r.Context(), r)
	if err != nil {
		return answer{}, err
	}
	if h == nil {
		return p.signInToAccount(r, "")
	}
	return p.accountAnswer(r.Context(), r, h)
}

// activities is how much of the audit trail the account page shows.
const activities = 20

func (p *Provider) accountAnswer(ctx context.Context, r *request, h *holder) (answer, error) {
	sessions, err := p.store.Sessions(ctx, h.user.Subject)
	if err != nil {
		return answer{}, fmt.Errorf("reading the sessions: %w", err)
	}
	consents, err := p.store.Consents(ctx, h.user.Subject)
	if err != nil {
		return answer{}, fmt.Errorf("reading the consents: %w", err)
	}
	events, err := p.store.Activity(ctx, h.user.Subject, activities)
	if err != nil {
		return answer{}, fmt.Errorf("reading the activity: %w", err)
	}
	a := templates.Account{
		Action: p.issuer.Path + "/account", Username: h.user.Username, Name: h.user.Claims.Name, Now: r.now,
		Enrolled: h.status.Enrolled.Has(authflow.OTP), RecoveryLeft: h.status.RecoveryLeft,
	}
	for _, s := range sessions {
		if !r.now.Before(s.Expires) {
			continue
		}
		a.Sessions = append(a.Sessions, templates.Session{
			ID: s.ID, This: s.ID == h.session.ID, UserAgent: s.UserAgent, Address: s.Address,
			Created: s.Created, Used: s.Used,
		})
	}
	names := map[string]templates.App{}
	app := func(id string) (templates.App, error) {
		if known, ok := names[id]; ok || id == "" {
			return known, nil
		}
		c, err := p.store.Client(ctx, id)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return templates.App{}, fmt.Errorf("reading a client: %w", err)
		}
		names[id] = templates.App{Name: c.Name, Host: c.host()}
		return names[id], nil
	}
	for _, c := range consents {
		of, err := app(c.ClientID)
		if err != nil {
			return answer{}, err
		}
		a.Consents = append(a.Consents, templates.Allowed{ClientID: c.ClientID, App: of, Scopes: c.Scopes, Given: c.Given})
	}
	for _, e := range events {
		of, err := app(e.ClientID)
		if err != nil {
			return answer{}, err
		}
		a.Activity = append(a.Activity, templates.Activity{
			Time: e.Time, Kind: string(e.Kind), Failed: e.Outcome == Failure, App: of.Name, Address: e.Address,
		})
	}
	return answer{page: a}, nil
}

// host returns the host of the first of c's redirect URIs.
func (c Client) host() string {
	for _, uri := range c.RedirectURIs {
		if u, err := url.Parse(uri); err == nil && u.Host != "" {
			return u.Host
		}
	}
	return ""
}

// postAccount takes a form of the account page.
func (p *Provider) postAccount(r *request) (answer, error) {
	v, err := r.form()
	if err != nil {
		return answer{}, err
	}
	var a answer
	err = p.atomically(r, func(ctx context.Context) error {
		h, err := p.holder(ctx, r)
		if err != nil {
			return err
		}
		if h == nil {
			a = answer{location: p.url("/account")}
			return nil
		}
		a, err = p.accountStep(ctx, r, h, v)
		return err
	})
	if errors.Is(err, errStepUp) {
		return p.signInToAccount(r, p.stepUp())
	}
	return a, err
}

// errStepUp says that a second factor must be proven first.
var errStepUp = errors.New("provider: a fresh second factor is needed")

// form returns the fields of a form of ours.
func (r *request) form() (url.Values, error) {
	v, err := r.body()
	if err != nil {
		return nil, err
	}
	if refusal := single(v); refusal != nil {
		return nil, refusal
	}
	return v, nil
}

func (p *Provider) accountStep(ctx context.Context, r *request, h *holder, v url.Values) (answer, error) {
	subject := h.user.Subject
	back := answer{location: p.url("/account")}
	switch v.Get("step") {
	case "end-session":
		err := p.endSession(ctx, r, subject, v.Get("id"))
		if errors.Is(err, ErrNotFound) {
			return back, nil
		}
		if err != nil {
			return answer{}, err
		}
		return back, p.record(ctx, r, r.happened(EventSessionEnd, Success, subject, ""))
	case "end-all":
		return p.leaveEverywhere(ctx, r, h.session)
	case "sign-out":
		return p.leave(ctx, r, farewell{}, h.session)
	case "revoke":
		return back, p.revokeConsent(ctx, r, subject, v.Get("client"))
	case "replace-factor":
		return p.replaceFactor(ctx, r, h)
	case "new-codes":
		return p.newCodes(ctx, r, h)
	}
	return back, nil
}

// revokeConsent takes back what subject allowed the client, if anything. A form can
// name whatever it likes, and that is not to stand in the audit trail.
func (p *Provider) revokeConsent(ctx context.Context, r *request, subject, clientID string) error {
	all, err := p.store.Consents(ctx, subject)
	if err != nil {
		return fmt.Errorf("reading the consents: %w", err)
	}
	if !slices.ContainsFunc(all, func(c Consent) bool { return c.ClientID == clientID }) {
		return nil
	}
	if err := p.store.RevokeConsent(ctx, subject, clientID, r.now); err != nil {
		return fmt.Errorf("revoking a consent: %w", err)
	}
	return p.record(ctx, r, r.happened(EventRevoke, Success, subject, clientID))
}

// leaveEverywhere ends every session of s's user, of whose browser s is.
func (p *Provider) leaveEverywhere(ctx context.Context, r *request, s Session) (answer, error) {
	frames, err := p.frames(ctx, s)
	if err != nil {
		return answer{}, err
	}
	if err := p.endSessions(ctx, r, s.Login.Subject); err != nil {
		return answer{}, err
	}
	a := p.parted(farewell{}, frames)
	a.cookies = append(a.cookies, p.cookies.gone(p.cookies.session))
	return a, p.record(ctx, r, r.happened(EventSessionEnd, Success, s.Login.Subject, ""))
}

// replaceFactor begins to put a new factor in the place of the old one. A first
// one is not set up here: the step-up asks for the password again, and for a
// ticket if it takes one.
func (p *Provider) replaceFactor(ctx context.Context, r *request, h *holder) (answer, error) {
	if !h.status.Enrolled.Has(authflow.OTP) && !h.status.MayEnroll {
		return answer{location: p.url("/account")}, nil
	}
	if !h.proven(r) {
		return answer{}, errStepUp
	}
	verdict, err := p.config.Factor.Begin(ctx, h.user.Subject, h.session.ID, h.user.Username, "")
	if err != nil {
		return answer{}, fmt.Errorf("beginning to enrol: %w", err)
	}
	if !verdict.OK {
		return answer{location: p.url("/account")}, nil
	}
	return answer{location: p.url("/account/factor")}, nil
}

// newCodes puts new recovery codes in the place of the old ones.
func (p *Provider) newCodes(ctx context.Context, r *request, h *holder) (answer, error) {
	if !h.status.Enrolled.Has(authflow.OTP) {
		return answer{location: p.url("/account")}, nil
	}
	if !h.proven(r) {
		return answer{}, errStepUp
	}
	if err := p.config.Factor.NewCodes(ctx, h.user.Subject, h.session.ID); err != nil {
		return answer{}, fmt.Errorf("making recovery codes: %w", err)
	}
	r.notices = append(r.notices, r.notice(NoticeCodes, h.user))
	if err := p.record(ctx, r, r.happened(EventCodes, Success, h.user.Subject, "")); err != nil {
		return answer{}, err
	}
	a, err := p.renew(ctx, r, h)
	a.location = p.url("/account/codes")
	return a, err
}

// renew gives h's session the account's new epoch, and a new cookie, after
// factors were changed in it. All other sessions are worth nothing from then
// on, and are ended.
func (p *Provider) renew(ctx context.Context, r *request, h *holder) (answer, error) {
	u, status, err := p.person(ctx, h.user.Subject, h.session.ID)
	if err != nil {
		return answer{}, err
	}
	all, err := p.store.Sessions(ctx, h.user.Subject)
	if err != nil {
		return answer{}, fmt.Errorf("reading the sessions: %w", err)
	}
	for _, s := range all {
		if s.ID == h.session.ID {
			continue
		}
		if err := p.endSession(ctx, r, h.user.Subject, s.ID); err != nil && !errors.Is(err, ErrNotFound) {
			return answer{}, err
		}
	}
	value := secret()
	s := h.session
	s.Cookie, s.Login.Epoch = hashOf(value), epoch(u, status)
	p.touch(r, &s)
	if err := p.store.SaveSession(ctx, s); err != nil {
		return answer{}, fmt.Errorf("storing the session: %w", err)
	}
	return answer{cookies: []*http.Cookie{p.cookies.make(p.cookies.session, value)}}, nil
}

// accountFlow is what the account's enrolment pages have in common.
func (p *Provider) accountFlow(h *holder, path string) templates.Flow {
	return templates.Flow{Action: p.issuer.Path + path, Username: h.user.Username}
}

func (p *Provider) showAccountFactor(r *request) (answer, error) {
	h, err := p.holder(r.Context(), r)
	if err != nil {
		return answer{}, err
	}
	if h == nil || !h.status.Pending {
		return answer{location: p.url("/account")}, nil
	}
	return p.accountFactorAnswer(r.Context(), h, nil)
}

func (p *Provider) accountFactorAnswer(ctx context.Context, h *holder, problem *templates.Message) (answer, error) {
	f := p.accountFlow(h, "/account/factor")
	f.Problem = problem
	page, err := p.enrollPage(ctx, h.user, h.session.ID, h.status, f)
	a := answer{page: page}
	if problem != nil {
		a.status = http.StatusUnprocessableEntity
	}
	return a, err
}

// postAccountFactor takes the first code of a new factor.
func (p *Provider) postAccountFactor(r *request) (answer, error) {
	v, err := r.form()
	if err != nil {
		return answer{}, err
	}
	var a answer
	err = p.atomically(r, func(ctx context.Context) error {
		a, err = p.confirmFactor(ctx, r, v)
		return err
	})
	if errors.Is(err, errStepUp) {
		return p.signInToAccount(r, p.stepUp())
	}
	return a, err
}

func (p *Provider) confirmFactor(ctx context.Context, r *request, v url.Values) (answer, error) {
	back := answer{location: p.url("/account")}
	h, err := p.holder(ctx, r)
	if err != nil || h == nil || !h.status.Pending || v.Get("step") != "confirm" {
		return back, err
	}
	if !h.proven(r) {
		return answer{}, errStepUp
	}
	if strings.TrimSpace(v.Get("code")) == "" {
		return p.accountFactorAnswer(ctx, h, &templates.Message{Text: templates.CodeMissing})
	}
	verdict, err := p.config.Factor.Confirm(ctx, h.user.Subject, h.session.ID, v.Get("code"))
	if err != nil {
		return answer{}, fmt.Errorf("confirming a factor: %w", err)
	}
	if !verdict.OK {
		_, problem, err := p.refused(ctx, r, &passage{user: h.user}, EventEnroll, verdict, templates.CodeWrong)
		if err != nil {
			return answer{}, err
		}
		return p.accountFactorAnswer(ctx, h, problem)
	}
	r.notices = append(r.notices, r.notice(NoticeReplaced, h.user))
	if err := p.record(ctx, r, r.happened(EventEnroll, Success, h.user.Subject, "")); err != nil {
		return answer{}, err
	}
	a, err := p.renew(ctx, r, h)
	a.location = p.url("/account/codes")
	return a, err
}

func (p *Provider) showAccountCodes(r *request) (answer, error) {
	h, err := p.holder(r.Context(), r)
	if err != nil {
		return answer{}, err
	}
	if h == nil || !h.status.Unsaved {
		return answer{location: p.url("/account")}, nil
	}
	f := p.accountFlow(h, "/account/codes")
	page, err := p.codesPage(r.Context(), r, h.user.Subject, h.session.ID, f, p.issuer.Path+"/account/codes.txt")
	return answer{page: page}, err
}

func (p *Provider) downloadAccountCodes(r *request) (answer, error) {
	h, err := p.holder(r.Context(), r)
	if err != nil {
		return answer{}, err
	}
	if h == nil || !h.status.Unsaved {
		return answer{location: p.url("/account")}, nil
	}
	codes, err := p.codesPage(r.Context(), r, h.user.Subject, h.session.ID, p.accountFlow(h, ""), "")
	if err != nil {
		return answer{}, err
	}
	return p.codesFile(r, codes), nil
}

// postAccountCodes puts the new recovery codes away.
func (p *Provider) postAccountCodes(r *request) (answer, error) {
	v, err := r.form()
	if err != nil {
		return answer{}, err
	}
	err = p.atomically(r, func(ctx context.Context) error {
		h, err := p.holder(ctx, r)
		if err != nil || h == nil || v.Get("step") != "saved" {
			return err
		}
		return p.config.Factor.PutAway(ctx, h.user.Subject, h.session.ID)
	})
	return answer{location: p.url("/account")}, err
}
