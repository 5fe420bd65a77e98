package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-id/sallyport/provider/authflow"
	"github.com/sallyport-id/sallyport/provider/internal/engine"
	"github.com/sallyport-id/sallyport/templates"
)

// grant issues what t was for, in a transaction of its own. t waits for
// nothing more. If the session or the flow changed at this moment, the browser
// is sent to again, where it is looked at anew.
func (p *Provider) grant(r *request, t *passage, again string) (a answer, err error) {
	g, err := t.flow.State.Grant(t.moment)
	if err != nil {
		return answer{}, err
	}
	err = p.atomically(r, func(ctx context.Context) error {
		a, err = p.issue(ctx, r, t, g)
		return err
	})
	if errors.Is(err, ErrConflict) {
		return answer{location: again}, nil
	}
	return a, err
}

// issue ends the flow, writes the session and makes what the flow was for: a
// code, or for the account pages nothing more. All of it is in the transaction
// of ctx; the answer may leave when that is committed.
//
// It is the one way to a code, and g is the evidence that the way was walked.
func (p *Provider) issue(ctx context.Context, r *request, t *passage, g authflow.Grant) (answer, error) {
	login := g.Login()
	if login.Subject == "" {
		return answer{}, authflow.ErrNotGranted
	}
	var a answer
	if t.flow.Version > 0 {
		t.flow.State.Ended, t.flow.Ending = true, EndGranted
		if err := p.store.SaveFlow(ctx, t.flow); err != nil {
			return answer{}, fmt.Errorf("ending the flow: %w", err)
		}
	}
	s, value, err := p.signIn(ctx, r, t, g.Lasting())
	if err != nil {
		return answer{}, err
	}
	if value != "" {
		a.cookies = append(a.cookies, p.cookies.make(p.cookies.session, value))
	}
	kind := EventSignIn
	if s.Created.Before(r.now) && (value != "" || g.Once()) {
		kind = EventStepUp // to a session that was there, something was added, or for once
	}
	e := r.happened(kind, Success, login.Subject, t.client.ID)
	e.Detail = map[string]string{"acr": g.ACR()}
	if len(t.details.types) > 0 {
		e.Detail["details"] = strings.Join(t.details.types, " ")
	}
	if err := p.record(ctx, r, e); err != nil {
		return answer{}, err
	}
	if t.account() {
		a.location = p.url("/account")
		return a, nil
	}
	if t.request == nil {
		if t.request, err = p.engine.Parse(ctx, t.form, t.client.engine()); err != nil {
			return answer{}, err
		}
	}
	if err := p.spend(ctx, r, t); err != nil {
		return answer{}, err
	}
	grant := p.newGrant(r.now, t, s, g)
	code, err := p.engine.Issue(ctx, t.request, grant.ID, g)
	if err != nil {
		return answer{}, fmt.Errorf("making a code: %w", err)
	}
	grant.Code = code.Hash
	if err := p.store.CreateGrant(ctx, grant); err != nil {
		return answer{}, fmt.Errorf("storing the grant: %w", err)
	}
	back := p.back(t.client, t.form, []templates.Field{{Name: "code", Value: code.Text}})
	back.cookies = a.cookies
	return back, nil
}

// newGrant returns what the user of t gives its client.
func (p *Provider) newGrant(now time.Time, t *passage, s Session, g authflow.Grant) Grant {
	l := p.config.Lifetimes
	scopes, ends := t.scopes(), now.Add(l.Code+l.AccessToken)
	switch {
	case g.Once():
		// Nothing of it is renewed, so that nothing is promised of it.
		scopes = slices.DeleteFunc(scopes, func(s string) bool { return s == "offline_access" })
		ends = now.Add(l.Once)
	case slices.Contains(scopes, "offline_access") && slices.Contains(t.client.GrantTypes, "refresh_token"):
		ends = now.Add(l.Refresh)
	}
	return Grant{
		ID: engine.NewID(), Subject: g.Login().Subject, ClientID: t.client.ID, SessionID: s.ID,
		Scopes: scopes, Claims: t.asked.claims, Details: t.details.text, Resources: t.resources, Login: g.Login(), ACR: g.ACR(),
		Requested: g.Requested(), Created: now, CodeExpires: now.Add(l.Code),
		RedirectURI: t.form.Get("redirect_uri"), Challenge: t.form.Get("code_challenge"),
		Nonce: t.form.Get("nonce"), Ends: ends,
		Expires: now.Add(l.Code), // until the code is spent
	}
}

// signIn puts what was proven into the browser's session. The value is that of
// the new cookie; empty if the old one stays good, because nothing was proven
// that it did not hold.
func (p *Provider) signIn(ctx context.Context, r *request, t *passage, login authflow.Login) (s Session, value string, err error) {
	old, err := p.session(ctx, r)
	if err != nil {
		return Session{}, "", err
	}
	if t.flow.Session != "" && !t.moment.SessionEnded && (old == nil || old.ID != t.flow.Session) {
		// It was ended, or rose elsewhere, after it was looked at: its proofs
		// must not come back as a session of their own.
		return Session{}, "", fmt.Errorf("the session it began with: %w", ErrConflict)
	}
	if old != nil && old.Login.Subject != login.Subject {
		// Someone else signs in: the session is theirs alone from now on.
		if err := p.endSession(ctx, r, old.Login.Subject, old.ID); err != nil && !errors.Is(err, ErrNotFound) {
			return Session{}, "", err
		}
		old = nil
	}
	if old == nil {
		old = &Session{ID: engine.NewID(), Created: r.now}
	}
	s = *old
	s.Login = old.Login.Merge(login)
	if s.Login != old.Login {
		// The value that was good for less must not become good for more.
		value = secret()
		s.Cookie = hashOf(value)
	}
	p.touch(r, &s)
	if err := p.store.SaveSession(ctx, s); err != nil {
		return Session{}, "", fmt.Errorf("storing the session: %w", err)
	}
	return s, value, nil
}

// touch notes that s is used by r, which prolongs it within its limits.
func (p *Provider) touch(r *request, s *Session) {
	s.Used, s.Address, s.UserAgent = r.now, r.address, r.UserAgent()
	if len(s.UserAgent) > 256 {
		s.UserAgent = s.UserAgent[:256]
	}
	s.Expires = r.now.Add(p.config.Lifetimes.Idle)
	if end := s.Created.Add(p.config.Lifetimes.Session); s.Expires.After(end) {
		s.Expires = end
	}
}
