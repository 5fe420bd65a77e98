package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/sallyport-id/sallyport/provider/internal/engine"
	"github.com/sallyport-id/sallyport/provider/internal/fetch"
)

// How clients are told of sessions that have ended.
const (
	lookEvery = 5 * time.Second // for what others have ended; what this Provider ends it tells at once
	claimFor  = time.Minute     // a Logout is one replica's for as long
	atOnce    = 100             // Logouts that are claimed together
	inStep    = 8               // clients that are told at the same time
)

// pauses are those between two tries. After the last try, the eighth in about
// an hour, a Logout is given up.
var pauses = []time.Duration{
	10 * time.Second, 30 * time.Second, time.Minute, 3 * time.Minute, 7 * time.Minute, 15 * time.Minute, 30 * time.Minute,
}

// loopbacks is this machine.
var loopbacks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// reachable returns the networks that may be reached although they are not
// public. A provider that is for this machine alone serves clients that are.
func (c Config) reachable(issuer *url.URL) []netip.Prefix {
	if issuer.Scheme == "http" {
		return append(append([]netip.Prefix{}, loopbacks...), c.InsecureNetworks...)
	}
	return c.InsecureNetworks
}

// Deliver tells clients of sessions that have ended in which they were given
// something (OpenID Connect Back-Channel Logout section 2.5), until ctx ends;
// then it finishes what it has begun, which takes a few seconds at most, and
// returns. Run it beside the handler, in each replica if you like: none tells
// what another is telling. Where it does not run, Logouts stay in the Store.
//
// A client that does not answer with 200 or 204 is told again, eight times in
// about an hour. It may be told twice, and sees so by the jti.
func (p *Provider) Deliver(ctx context.Context) {
	if p.handler == nil {
		return // the zero Provider has nobody to tell
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		n, err := p.deliver(ctx)
		if err != nil && ctx.Err() == nil {
			p.log.ErrorContext(ctx, "looking for logouts to deliver failed", "error", err)
		}
		if n == atOnce && ctx.Err() == nil {
			continue // there may be more
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-p.due:
		}
	}
}

// wake lets Deliver look now.
func (p *Provider) wake() {
	select {
	case p.due <- struct{}{}:
	default: // it will
	}
}

// deliver tries once what is due, and returns how much that was. Clients are
// told side by side, so that a slow one does not make the others wait.
func (p *Provider) deliver(ctx context.Context) (int, error) {
	now := now()
	all, err := p.store.ClaimLogouts(ctx, now, now.Add(claimFor), atOnce)
	if err != nil {
		return 0, fmt.Errorf("claiming logouts: %w", err)
	}
	of := map[string][]Logout{}
	for _, l := range all {
		of[l.ClientID] = append(of[l.ClientID], l)
	}
	var wg sync.WaitGroup
	free := make(chan struct{}, inStep)
	for id, logouts := range of {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			if err := p.deliverTo(ctx, id, logouts); err != nil {
				// They are due again when the claim ends.
				p.log.ErrorContext(ctx, "delivering logouts failed", "client_id", id, "error", err)
			}
		})
	}
	wg.Wait()
	return len(all), nil
}

// deliverTo tells one client. If it does not take one Logout it is not asked to
// take the others: a client that is down would hold everything up.
func (p *Provider) deliverTo(ctx context.Context, id string, logouts []Logout) error {
	stopped := ctx.Done()
	ctx = context.WithoutCancel(ctx) // what is begun is finished
	c, err := p.store.Client(ctx, id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("reading the client: %w", err)
	}
	var failed error
	for _, l := range logouts {
		switch {
		case c.BackchannelLogoutURI == "": // it has changed its mind, or is gone
			err = p.store.RemoveLogout(ctx, l.ID)
		case over(stopped) || time.Until(l.Due) < fetch.Timeout+2*time.Second:
			err = p.release(ctx, l)
		default:
			if failed == nil {
				failed = p.send(ctx, c, l)
			}
			err = p.settleLogout(ctx, l, failed)
		}
		if err != nil && !errors.Is(err, ErrConflict) { // of a conflict: someone else has it now
			return err
		}
	}
	return nil
}

func over(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// release gives back what was claimed and not tried.
func (p *Provider) release(ctx context.Context, l Logout) error {
	claimed := l.Due
	l.Due = now()
	return p.store.SaveLogout(ctx, l, claimed)
}

// send sends l to c (OpenID Connect Back-Channel Logout section 2.5). The token
// is made now: one that waited would be too old.
func (p *Provider) send(ctx context.Context, c Client, l Logout) error {
	subject, err := p.subjectFor(ctx, c, l.Subject)
	if err != nil {
		return err
	}
	sid, err := p.sidFor(ctx, c, l.SessionID)
	if err != nil {
		return err
	}
	token, err := p.engine.LogoutToken(ctx, c.algorithm(), engine.Logout{ID: l.ID, ClientID: c.ID, Subject: subject, SessionID: sid})
	if err != nil {
		return err
	}
	body := strings.NewReader(url.Values{"logout_token": {token}}.Encode())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.BackchannelLogoutURI, body)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := p.outside.Do(r)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // without the URL, which is known
		}
		return err
	}
	defer resp.Body.Close() // unread: it says nothing that matters
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("it answered %d", resp.StatusCode)
	}
	return nil
}

// maxProblem is how much is kept of what went wrong.
const maxProblem = 256

// settleLogout stores what came of a try of l.
func (p *Provider) settleLogout(ctx context.Context, l Logout, problem error) error {
	attrs := []any{"logout", l.ID, "client_id", l.ClientID, "subject", l.Subject, "tries", l.Tries + 1}
	if problem == nil {
		p.log.InfoContext(ctx, "logout delivered", attrs...)
		return p.store.RemoveLogout(ctx, l.ID)
	}
	claimed, now := l.Due, now()
	l.Tries++
	l.Problem = problem.Error()
	if len(l.Problem) > maxProblem {
		l.Problem = strings.ToValidUTF8(l.Problem[:maxProblem], "")
	}
	attrs = append(attrs, "problem", l.Problem)
	if l.Tries <= len(pauses) {
		l.Due = now.Add(pauses[l.Tries-1])
		p.log.WarnContext(ctx, "logout not delivered yet", append(attrs, "next", l.Due)...)
		return p.store.SaveLogout(ctx, l, claimed)
	}
	l.Due, l.GivenUp = now, now
	e := Event{Time: now, Kind: EventUntold, Outcome: Failure, Subject: l.Subject, ClientID: l.ClientID}
	err := p.store.Atomically(ctx, func(ctx context.Context) error {
		if err := p.store.SaveLogout(ctx, l, claimed); err != nil {
			return err
		}
		return p.store.Record(ctx, e)
	})
	if err == nil {
		p.log.ErrorContext(ctx, "logout given up", attrs...)
	}
	return err
}
