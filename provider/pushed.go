package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/sallyport-id/sallyport/provider/authflow"
	"github.com/sallyport-id/sallyport/provider/internal/engine"
	"github.com/sallyport-id/sallyport/templates"
)

// requestURI begins the name of every pushed request (RFC 9126 section 2.2).
const requestURI = "urn:ietf:params:oauth:request_uri:"

// A receipt is the answer to a pushed request (RFC 9126 section 2.2).
type receipt struct {
	RequestURI string `json:"request_uri"`
	ExpiresIn  int    `json:"expires_in"` // seconds
}

// push is the pushed authorization request endpoint (RFC 9126 section 2). What
// the browser would have brought to /authorize the client sends here, and gets
// a name for the browser to bring instead.
func (p *Provider) push(r *request) (answer, error) {
	ctx := r.Context()
	v, err := r.parameters("resource") // RFC 8707 section 2
	if err != nil {
		return answer{}, err
	}
	c, err := p.authenticateClient(ctx, r, v)
	if err != nil {
		return p.unauthorized(r, err)
	}
	if err := p.limits.pushed.take(ctx, r.byClient(c)); err != nil {
		return answer{}, err
	}
	request, err := p.pushable(ctx, c, v)
	if err != nil {
		return answer{}, err
	}
	uri, life := requestURI+secret(), p.config.Lifetimes.Pushed
	expires := now().Add(life)
	err = p.store.CreatePushed(ctx, PushedRequest{
		ID: hashOf(uri), ClientID: c.ID, Request: request,
		Expires: expires, Kept: expires.Add(authflow.Lifetime),
	})
	if err != nil {
		return answer{}, fmt.Errorf("storing the pushed request: %w", err)
	}
	return answer{status: http.StatusCreated, json: receipt{uri, int(life.Seconds())}}, nil
}

// pushable returns the text of v that is kept, if it is a request that c may
// make: if /authorize would go on with it for somebody. Errors for the client
// are Refusals, and none is answered by a redirect (RFC 9126 section 2.3).
func (p *Provider) pushable(ctx context.Context, c Client, v url.Values) (string, error) {
	if v.Get("request_uri") != "" { // section 2.1
		return "", engine.Refuse("invalid_request", "A pushed request has no request_uri.")
	}
	if !c.answeredAt(v) {
		return "", engine.Refuse("invalid_request", "redirect_uri is missing, or not registered.")
	}
	// Who authenticated by a header need not say it again. Whatever is said is
	// the same: authenticateClient has seen to that.
	v.Set("client_id", c.ID)
	t, err := p.check(ctx, c, v, "")
	if err != nil {
		return "", err
	}
	if len(t.flow.Request) > maxURL {
		// No more than a browser could bring. Each time the name is opened it is
		// stored again, and the state comes back in a URL.
		return "", errTooLarge
	}
	// Who will come is not known; what is out of reach of everyone is.
	t.moment = authflow.Moment{Demand: t.demand, Now: now()}
	t.flow.State = authflow.Begin(t.demand, authflow.Login{}, t.moment.Now)
	_, denial := t.next()
	for _, d := range denials {
		if errors.Is(denial, d.err) && !d.silent {
			return "", engine.Refuse(d.code, d.text)
		}
	}
	return t.flow.Request, nil
}

// pushed returns the pushed request that v names, and its parameters; nil if v
// names none. One that is not there, is over, or was pushed by another client
// than c is errStale: those that tried are not told which.
func (p *Provider) pushed(ctx context.Context, r *request, c Client, v url.Values) (*PushedRequest, url.Values, error) {
	uri, ok := only(v, "request_uri")
	if !ok || !strings.HasPrefix(uri, requestURI) {
		return nil, nil, nil
	}
	found, err := p.store.Pushed(ctx, hashOf(uri))
	if errors.Is(err, ErrNotFound) {
		return nil, nil, errStale
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading the pushed request: %w", err)
	}
	if found.ClientID != c.ID || !r.now.Before(found.Expires) {
		return nil, nil, errStale
	}
	form, err := url.ParseQuery(found.Request)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the pushed request: %w", err)
	}
	return &found, form, nil
}

// stale is the page for errStale. There is no redirect: where to is not certain.
// What it offers is what the client c has registered.
func (p *Provider) stale(r *request, c Client, err error) answer {
	a := p.failure(r, page, err)
	a.page = templates.Error{Fault: templates.FaultStale, App: p.startable(c, ""), RequestID: r.id}
	return a
}

// spent reports whether the pushed request that f came of, if it did, has been
// used. One that has been swept is of a time before any flow that still goes on.
func (p *Provider) spent(ctx context.Context, f Flow) (bool, error) {
	if f.Pushed == (Hash{}) {
		return false, nil
	}
	pushed, err := p.store.Pushed(ctx, f.Pushed)
	if errors.Is(err, ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the pushed request: %w", err)
	}
	return !pushed.Spent.IsZero(), nil
}

// spend uses up the pushed request that t came of, if it did, in the transaction
// in which its code is made. Of two flows one succeeds; the other's browser has
// to look again, and finds that it is spent.
func (p *Provider) spend(ctx context.Context, r *request, t *passage) error {
	if t.flow.Pushed == (Hash{}) {
		return nil
	}
	err := p.store.SpendPushed(ctx, t.flow.Pushed, r.now)
	if errors.Is(err, ErrSpent) {
		return fmt.Errorf("the pushed request was used: %w", ErrConflict)
	}
	if err != nil {
		return fmt.Errorf("spending the pushed request: %w", err)
	}
	return nil
}
