package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/sallyport-id/sallyport/provider/internal/engine"
	"github.com/sallyport-id/sallyport/templates"
)

// A farewell is a logout that someone asks for (OpenID Connect RP-Initiated
// Logout section 2). The zero farewell is one that no client is part of.
type farewell struct {
	client Client  // that asks for it, as far as can be told; the zero Client: nobody knows
	hint   idToken // that proves so; the zero idToken: nothing does
	to     string  // where the browser goes on to: registered; empty: it stays
	state  string  // that goes with it
	stays  bool    // it was to go on to somewhere, and will not

	locales string // that the client has asked for, of the pages
}

// logout is the end session endpoint (OpenID Connect RP-Initiated Logout
// section 2). With a hint that fits it does as it is asked; otherwise a page
// asks.
func (p *Provider) logout(r *request) (answer, error) {
	v, err := r.query()
	if err != nil {
		return answer{}, err
	}
	f, s, err := p.parting(r, v)
	switch {
	case err != nil:
		return answer{}, err
	case s == nil && f.hint.Audience == "":
		// Anyone can put a client_id into a URL: it leads nobody anywhere.
		return p.parted(farewell{client: f.client}, nil), nil
	case s == nil:
		return p.parted(f, nil), nil
	}
	fits, err := p.hintFits(r.Context(), f, *s)
	if err != nil {
		return answer{}, err
	}
	// Nobody has gone there yet whose browser only looks ahead.
	if fits && r.Header.Get("Sec-Purpose") == "" {
		return p.signOut(r, f, *s)
	}
	return p.askToSignOut(r.Context(), f, *s)
}

// logoutPosted carries a posted logout request on as a GET, for the same
// reason as authorizePosted.
func (p *Provider) logoutPosted(r *request) (answer, error) {
	v, err := r.body()
	if err != nil {
		return answer{}, err
	}
	q := v.Encode()
	if len(q) > maxURL {
		return answer{}, errTooLarge
	}
	return answer{location: p.url("/logout") + "?" + q}, nil
}

// confirmLogout takes the yes of the page that asked. What was asked for stands
// in the URL, where the state is what it was, byte for byte; it is judged anew.
func (p *Provider) confirmLogout(r *request) (answer, error) {
	form, err := r.form()
	if err != nil {
		return answer{}, err
	}
	v, err := r.query()
	if err != nil {
		return answer{}, err
	}
	f, s, err := p.parting(r, v)
	switch {
	case err != nil:
		return answer{}, err
	case s == nil: // in another tab they were quicker
		return p.parted(f, nil), nil
	case form.Get("step") != "sign-out" || form.Get("session") != s.ID:
		// That was the answer to a page about another session.
		return answer{location: extended(p.url("/logout"), f.query())}, nil
	}
	return p.signOut(r, f, *s)
}

// parting reads a logout request, and finds the browser's session; nil if it
// has none.
func (p *Provider) parting(r *request, v url.Values) (farewell, *Session, error) {
	if refusal := single(v); refusal != nil {
		return farewell{}, nil, refusal
	}
	r.lang = p.pages.Language(v.Get("ui_locales"), r.Header.Get("Accept-Language"))
	f, err := p.farewell(r.Context(), v)
	if err != nil {
		return farewell{}, nil, err
	}
	if f.stays {
		p.log.InfoContext(r.Context(), "no way on from a logout: the post_logout_redirect_uri is not registered, or the id_token_hint is not ours",
			"request_id", r.id, "client_id", f.client.ID, "address", r.address)
	}
	s, err := p.session(r.Context(), r)
	return f, s, err
}

// farewell reads a logout request. Only a client_id that contradicts the
// id_token_hint is refused; whatever else is wrong with it is a reason to ask
// its user, and to send them nowhere.
func (p *Provider) farewell(ctx context.Context, v url.Values) (farewell, error) {
	f := farewell{locales: v.Get("ui_locales")}
	id, bad := v.Get("client_id"), false
	if hint := v.Get("id_token_hint"); hint != "" {
		token, err := p.idToken(ctx, hint)
		switch {
		case errors.Is(err, engine.ErrAccess):
			bad = true
		case err != nil:
			return f, fmt.Errorf("verifying id_token_hint: %w", err)
		case id != "" && id != token.Audience:
			return f, engine.Refuse("invalid_request", "client_id is not the client that the id_token_hint was for.")
		default:
			f.hint, id = token, token.Audience
		}
	}
	if id != "" {
		c, err := p.store.Client(ctx, id)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return f, fmt.Errorf("reading the client: %w", err)
		}
		f.client = c // the zero Client if it is gone
	}
	if to := v.Get("post_logout_redirect_uri"); to != "" {
		if f.stays = bad || !slices.Contains(f.client.PostLogoutRedirectURIs, to); !f.stays {
			f.to, f.state = to, v.Get("state")
		}
	}
	return f, nil
}

// hintFits reports whether f's hint is of the session s: then the client to which
// it was given asks, and it asks about what this browser is signed in to. What
// else it asks for has to be in order, too.
func (p *Provider) hintFits(ctx context.Context, f farewell, s Session) (bool, error) {
	if f.hint.Audience == "" || f.client.ID == "" || f.stays {
		return false, nil
	}
	subject, err1 := p.subjectFor(ctx, f.client, s.Login.Subject)
	sid, err2 := p.sidFor(ctx, f.client, s.ID)
	if err := errors.Join(err1, err2); errors.Is(err, errPairwise) {
		return false, nil // it knows nobody here any more, and its user is asked
	} else if err != nil {
		return false, err
	}
	return f.hint.Subject == subject && f.hint.SessionID == sid, nil
}

// query is f as a logout request without its hint, which is a token and stands
// on no page.
func (f farewell) query() url.Values {
	v := url.Values{}
	for name, value := range map[string]string{
		"client_id": f.client.ID, "post_logout_redirect_uri": f.to, "state": f.state, "ui_locales": f.locales,
	} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return v
}

// asker is how a page names who asks for f.
func (p *Provider) asker(f farewell) templates.App {
	a := p.startable(f.client, f.to)
	if f.to == "" {
		a.Host = f.client.host()
	}
	return a
}

// askToSignOut is the page that asks.
func (p *Provider) askToSignOut(ctx context.Context, f farewell, s Session) (answer, error) {
	u, err := p.config.Directory.User(ctx, s.Login.Subject)
	if err != nil && !errors.Is(err, ErrNoUser) {
		return answer{}, fmt.Errorf("reading the user: %w", err)
	}
	page := templates.SignOut{
		Action: extended(p.issuer.Path+"/logout/confirm", f.query()), App: p.asker(f),
		Username: u.Username, Session: s.ID, StayURL: p.url("/account"),
	}
	a := answer{}
	if f.stays {
		a.status, page.Problem = http.StatusBadRequest, &templates.Message{Text: templates.LogoutStays}
	}
	if f.to != "" {
		a.targets = f.client.targets(f.to)
	}
	a.page = page
	return a, nil
}

// signOut ends s in a transaction of its own, and sends the browser on.
func (p *Provider) signOut(r *request, f farewell, s Session) (a answer, err error) {
	err = p.atomically(r, func(ctx context.Context) error {
		a, err = p.leave(ctx, r, f, s)
		return err
	})
	return a, err
}

// leave ends s, which is of r's browser, and what the browser has half finished
// for its user.
func (p *Provider) leave(ctx context.Context, r *request, f farewell, s Session) (answer, error) {
	subject := s.Login.Subject
	frames, err := p.frames(ctx, s)
	if err != nil {
		return answer{}, err
	}
	if browser, ok := p.cookies.browserOf(r.Request); ok {
		if err := p.store.EndFlows(ctx, browser, subject); err != nil {
			return answer{}, fmt.Errorf("ending the flows: %w", err)
		}
	}
	err = p.endSession(ctx, r, subject, s.ID)
	if err == nil {
		err = p.record(ctx, r, r.happened(EventLogout, Success, subject, f.client.ID))
	}
	if err != nil && !errors.Is(err, ErrNotFound) { // somebody was quicker
		return answer{}, err
	}
	a := p.parted(f, frames)
	a.cookies = append(a.cookies, p.cookies.gone(p.cookies.session))
	return a, nil
}

// endSession ends a session; ErrNotFound if subject has none of this ID.
func (p *Provider) endSession(ctx context.Context, r *request, subject, id string) error {
	if err := p.store.EndSession(ctx, subject, id); err != nil {
		return fmt.Errorf("ending a session: %w", err)
	}
	r.logouts = true
	return nil
}

// endSessions ends every session of subject.
func (p *Provider) endSessions(ctx context.Context, r *request, subject string) error {
	if err := p.store.EndSessions(ctx, subject); err != nil {
		return fmt.Errorf("ending the sessions: %w", err)
	}
	r.logouts = true
	return nil
}

// frames returns the addresses at which the clients of s sign out in a frame
// (OpenID Connect Front-Channel Logout section 3).
func (p *Provider) frames(ctx context.Context, s Session) (all []string, err error) {
	ids, err := p.store.SessionClients(ctx, s.ID)
	if err != nil {
		return nil, fmt.Errorf("reading the clients of the session: %w", err)
	}
	for _, id := range ids {
		c, err := p.store.Client(ctx, id)
		if errors.Is(err, ErrNotFound) || err == nil && sourceOf(c.FrontchannelLogoutURI) == "" {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the client: %w", err)
		}
		sid, err := p.sidFor(ctx, c, s.ID)
		if errors.Is(err, errPairwise) {
			// Who wants to sign out is to be able to, whatever a client lacks.
			p.log.ErrorContext(ctx, "no frame for a client at a logout", "client_id", id, "error", err)
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, extended(c.FrontchannelLogoutURI, url.Values{"iss": {p.config.Issuer}, "sid": {sid}}))
	}
	return all, nil
}

// onward is how many seconds a page with frames is shown before the browser
// goes on. Apps that take longer to sign out may be cut off.
const onward = "3"

// parted answers to a browser without a session: it goes on, or is told. Frames
// are shown on the way.
func (p *Provider) parted(f farewell, frames []string) answer {
	to := f.to
	if to != "" && f.state != "" {
		to = extended(to, url.Values{"state": {f.state}})
	}
	if to != "" && len(frames) == 0 {
		return answer{location: to}
	}
	a := answer{
		status: http.StatusOK,
		page:   templates.SignedOut{App: p.asker(f), SignInURL: p.url("/account"), Frames: frames, ContinueURL: to},
	}
	if to != "" {
		a.header = map[string]string{"Refresh": onward + "; url=" + to}
	}
	return a
}
