package provider

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"
	"golang.org/x/text/unicode/norm"

	"github.com/sallyport-id/sallyport/provider/authflow"
	"github.com/sallyport-id/sallyport/templates"
)

// A step verifies what a form sent, and says what happened: events for the
// flow, and what was wrong for the page. It runs in the transaction in which
// the flow is stored.
type step func(p *Provider, ctx context.Context, r *request, t *passage, v url.Values) (events []authflow.Event, problem *templates.Message, err error)

// forms are what the pages of a flow send, by the field step, and the step
// that must wait for it. Anything else is a stale tab, and is shown the page
// that is right now.
var forms = map[string]struct {
	at authflow.Step
	do step
}{
	"password": {authflow.AskPassword, (*Provider).checkPassword},
	"switch":   {authflow.AskPassword, (*Provider).switchAccount},
	"otp":      {authflow.AskFactor, (*Provider).checkOTP},
	"recovery": {authflow.AskFactor, (*Provider).checkRecovery},
	"enroll":   {authflow.AskEnroll, (*Provider).beginEnrolment},
	"confirm":  {authflow.AskEnroll, (*Provider).confirmEnrolment},
	"saved":    {authflow.ShowCodes, (*Provider).putAway},
	"consent":  {authflow.AskConsent, (*Provider).consent},
	"cancel":   {anyStep, (*Provider).cancel},
}

// anyStep stands for all steps. No flow is ever at it: it would be denied.
const anyStep = authflow.Denied

// postFlow takes an answer to a page of a flow.
func (p *Provider) postFlow(r *request) (answer, error) {
	v, err := r.body()
	if err != nil {
		return answer{}, err
	}
	if refusal := single(v); refusal != nil {
		return answer{}, refusal
	}
	r.PostForm = v
	if v.Get("step") == "password" {
		if err := p.prepare(r, v); err != nil {
			return p.unlessElsewhere(r, err)
		}
	}
	var a answer
	err = p.atomically(r, func(ctx context.Context) error {
		var err error
		a, err = p.advance(ctx, r, v)
		return err
	})
	if errors.Is(err, ErrConflict) {
		// A double click, or another tab: it was quicker.
		return answer{location: p.flowURL(mux.Vars(r.Request)["id"])}, nil
	}
	if err != nil {
		return p.unlessElsewhere(r, err)
	}
	if r.right {
		p.limits.passwords.giveBack(r.byAddress())
	}
	return a, nil
}

// prepare has a password looked at before the transaction, which hashing would
// hold up, if the flow waits for one at all. What it came to counts in the
// transaction only.
func (p *Provider) prepare(r *request, v url.Values) error {
	if b, ok := p.config.Directory.(Busier); ok && b.Busy() {
		return fmt.Errorf("checking a password: %w", ErrBusy)
	}
	t, err := p.flowOf(r)
	if err != nil {
		return err
	}
	if at, err := t.next(); err != nil || at != authflow.AskPassword {
		return nil
	}
	if v.Get("username") == "" || v.Get("password") == "" {
		return nil
	}
	// Before anything is known of the name or the password, so that it says
	// nothing of them (PW-3). All are counted, so that as many at once do not
	// all pass; the right one gets its place back when it has counted.
	if err := p.limits.passwords.take(r.Context(), r.byAddress()); err != nil {
		return err
	}
	return p.authenticate(r, v)
}

// advance takes the flow one step on, in the transaction of ctx: load, derive
// the step, verify, apply, derive again; then issue, or store and go to the
// next page.
func (p *Provider) advance(ctx context.Context, r *request, v url.Values) (answer, error) {
	f, err := p.flow(ctx, r)
	if err != nil {
		return answer{}, err
	}
	t, err := p.load(ctx, r, f)
	if err != nil {
		return answer{}, err
	}
	at, err := t.next()
	if err != nil {
		return p.deny(ctx, r, t, false, err)
	}
	form, ok := forms[v.Get("step")]
	if at == authflow.Granted && v.Get("step") == "consent" && v.Get("decision") != "allow" {
		form = forms["cancel"] // another tab has said yes, and this one no
	}
	if !ok || form.at != at && form.at != anyStep {
		return answer{location: p.flowURL(t.flow.ID)}, nil
	}
	events, problem, err := form.do(p, ctx, r, t, v)
	if err != nil {
		return answer{}, err
	}
	for _, e := range events {
		if t.flow.State, err = t.flow.State.Apply(e, t.moment); err != nil {
			return answer{}, fmt.Errorf("applying %v: %w", e.Kind, err)
		}
	}
	if err := p.observe(ctx, r, t); err != nil {
		return answer{}, err
	}
	if _, denial := t.next(); denial != nil && len(events) > 0 && t.asksAgain(at) {
		if err := p.record(ctx, r, r.happened(EventStepUp, Failure, t.signedIn, t.client.ID)); err != nil {
			return answer{}, err
		}
	}
	return p.settle(ctx, r, t, len(events) > 0, problem)
}

// settle answers for a flow after a step: it is granted, denied, or waits for
// the next answer.
func (p *Provider) settle(ctx context.Context, r *request, t *passage, changed bool, problem *templates.Message) (answer, error) {
	at, denial := t.next()
	if denial == nil && at == authflow.Granted {
		g, err := t.flow.State.Grant(t.moment)
		if err != nil {
			return answer{}, err
		}
		return p.issue(ctx, r, t, g)
	}
	if denial != nil && t.flow.Ending != EndCancelled {
		return p.deny(ctx, r, t, changed, denial)
	}
	if changed {
		if err := p.saveFlow(ctx, t.flow); err != nil {
			return answer{}, err
		}
	}
	switch {
	case t.flow.Ending == EndCancelled && t.account():
		return p.ended(r, t, templates.EndedCancelled), nil
	case t.flow.Ending == EndCancelled:
		return p.refuse(t.client, t.form, "access_denied", "The user said no."), nil
	case problem != nil:
		return p.show(r, t, at, problem)
	}
	return answer{location: p.flowURL(t.flow.ID)}, nil
}

// deny answers for a stored flow that is denied. Where its client hears of it,
// that ends it: whatever changes afterwards, such as a ticket that allows to
// enrol what was missing, one request gets no other answer (SU-3).
func (p *Provider) deny(ctx context.Context, r *request, t *passage, changed bool, denial error) (answer, error) {
	if errors.Is(denial, authflow.ErrUnmet) && !t.account() {
		t.flow.State.Ended, t.flow.Ending = true, EndUnmet
		changed = true
	}
	if changed {
		if err := p.saveFlow(ctx, t.flow); err != nil {
			return answer{}, err
		}
	}
	return p.denied(r, t, denial)
}

func (p *Provider) saveFlow(ctx context.Context, f Flow) error {
	if err := p.store.SaveFlow(ctx, f); err != nil {
		return fmt.Errorf("storing the flow: %w", err)
	}
	return nil
}

// cancel ends a flow on its user's word. Every step takes it.
func (p *Provider) cancel(_ context.Context, _ *request, t *passage, _ url.Values) ([]authflow.Event, *templates.Message, error) {
	t.flow.Ending = EndCancelled
	return []authflow.Event{{Kind: authflow.Cancelled}}, nil, nil
}

// A claimed is what a name and a password came to.
type claimed struct {
	user    User   // if right
	subject string // of the account that was meant, if there is one
	right   bool
	keys    []string // that attempts are counted under
}

type claimedKey struct{}

// authenticate asks the directory, and keeps its answer in r.
func (p *Provider) authenticate(r *request, v url.Values) error {
	name, password := v.Get("username"), v.Get("password")
	if name == "" || password == "" {
		return nil
	}
	u, err := p.config.Directory.Authenticate(r.Context(), name, password)
	if err != nil && !errors.Is(err, ErrNoUser) {
		return fmt.Errorf("checking a password: %w", err)
	}
	c := claimed{subject: u.Subject}
	if err == nil && u.Subject != "" && !u.Disabled {
		c.user, c.right = u, true
	}
	if c.subject != "" {
		c.keys = append(c.keys, AttemptsKey(c.subject))
	}
	if c.subject == "" || c.right {
		// Where the directory does not say whom it meant, a wrong one is counted
		// by the spelling, folded so that it makes no difference. It need never
		// say: a right one has to pass that count, too.
		h := hashOf(strings.ToLower(norm.NFKC.String(strings.TrimSpace(name))))
		c.keys = append(c.keys, "name:"+fmt.Sprintf("%x", h[:16]))
	}
	r.Request = r.WithContext(context.WithValue(r.Context(), claimedKey{}, c))
	return nil
}

func (p *Provider) checkPassword(ctx context.Context, r *request, t *passage, v url.Values) ([]authflow.Event, *templates.Message, error) {
	c, ok := r.Context().Value(claimedKey{}).(claimed)
	switch {
	case v.Get("username") == "":
		return nil, &templates.Message{Text: templates.UsernameMissing, Field: "username"}, nil
	case v.Get("password") == "" || !ok:
		return nil, &templates.Message{Text: templates.PasswordMissing}, nil
	}
	counts := true
	for i := 0; i < len(c.keys) && counts; i++ {
		var err error
		if counts, err = p.config.Attempts.Attempt(ctx, c.keys[i], c.right); err != nil {
			return nil, nil, fmt.Errorf("counting the attempt: %w", err)
		}
	}
	if !counts || !c.right {
		miss, problem := []authflow.Event{{Kind: authflow.Miss}}, &templates.Message{Text: templates.PasswordWrong}
		e := r.happened(EventPassword, Failure, c.subject, t.client.ID)
		if !counts {
			e.Kind = EventThrottle
		}
		if c.subject == "" || !counts {
			// Anyone can make up names, and go on with one when nobody looks any
			// more: that fills the log, not the database, and does not push what
			// happened to an account off its page.
			r.events = append(r.events, e)
			return miss, problem, nil
		}
		return miss, problem, p.record(ctx, r, e)
	}
	u, status, err := p.person(ctx, c.user.Subject, t.flow.ID)
	if err != nil {
		return nil, nil, err
	}
	e := r.happened(EventPassword, Success, c.user.Subject, t.client.ID)
	login := authflow.Login{Subject: c.user.Subject, Epoch: epoch(u, status)}
	// What was proven is the password of the epoch that was asked.
	if u.Epoch != c.user.Epoch {
		return []authflow.Event{{Kind: authflow.Miss}}, &templates.Message{Text: templates.PasswordWrong}, nil
	}
	t.user, t.known = u, &status
	r.right = true
	return []authflow.Event{{Kind: authflow.PasswordOK, Login: login}}, nil, p.record(ctx, r, e)
}

func (p *Provider) switchAccount(_ context.Context, _ *request, t *passage, _ url.Values) ([]authflow.Event, *templates.Message, error) {
	if !t.flow.State.CanSwitch(t.moment) {
		return nil, nil, nil
	}
	return []authflow.Event{{Kind: authflow.Switched}}, nil, nil
}

func (p *Provider) checkOTP(ctx context.Context, r *request, t *passage, v url.Values) ([]authflow.Event, *templates.Message, error) {
	return p.checkFactor(ctx, r, t, authflow.OTP, v.Get("code"))
}

func (p *Provider) checkRecovery(ctx context.Context, r *request, t *passage, v url.Values) ([]authflow.Event, *templates.Message, error) {
	return p.checkFactor(ctx, r, t, authflow.Recovery, v.Get("code"))
}

func (p *Provider) checkFactor(ctx context.Context, r *request, t *passage, m authflow.Method, code string) ([]authflow.Event, *templates.Message, error) {
	if strings.TrimSpace(code) == "" {
		return nil, &templates.Message{Text: templates.CodeMissing}, nil
	}
	if !t.flow.State.Asked(t.moment).Has(m) {
		return nil, &templates.Message{Text: wrong(m)}, nil
	}
	verdict, err := p.config.Factor.Verify(ctx, t.user.Subject, m, code)
	if err != nil {
		return nil, nil, fmt.Errorf("checking a code: %w", err)
	}
	kind := EventFactor
	if m == authflow.Recovery {
		kind = EventRecovery
	}
	if !verdict.OK {
		return p.refused(ctx, r, t, kind, verdict, wrong(m))
	}
	e := r.happened(kind, Success, t.user.Subject, t.client.ID)
	if m == authflow.Recovery {
		e.Detail = map[string]string{"left": strconv.Itoa(verdict.RecoveryLeft)}
		n := r.notice(NoticeRecovery, t.user)
		n.RecoveryLeft = verdict.RecoveryLeft
		r.notices = append(r.notices, n)
	}
	return []authflow.Event{{Kind: authflow.FactorOK, Method: m}}, nil, p.record(ctx, r, e)
}

func wrong(m authflow.Method) templates.Text {
	if m == authflow.Recovery {
		return templates.RecoveryWrong
	}
	return templates.CodeWrong
}

// refused says what a refused code means for the flow, the page, the audit
// trail and the user.
func (p *Provider) refused(ctx context.Context, r *request, t *passage, kind EventKind, verdict authflow.Verdict, text templates.Text) ([]authflow.Event, *templates.Message, error) {
	subject := t.user.Subject
	problem := &templates.Message{Text: text}
	miss := []authflow.Event{{Kind: authflow.Miss}}
	switch {
	case verdict.Wait > 0:
		kind, miss = EventThrottle, nil // it was not looked at
		problem = &templates.Message{Text: templates.CodeWait, Wait: verdict.Wait}
	case verdict.Replayed:
		if kind == EventRecovery {
			problem.Text = templates.RecoveryReplayed
		} else {
			problem.Text = templates.CodeReplayed
		}
		kind = EventReplay
		r.notices = append(r.notices, r.notice(NoticeReplay, t.user))
	case verdict.Drift > 0:
		problem = &templates.Message{Text: templates.ClockAhead, Wait: verdict.Drift}
	case verdict.Drift < 0:
		problem = &templates.Message{Text: templates.ClockBehind, Wait: -verdict.Drift}
	}
	if err := p.record(ctx, r, r.happened(kind, Failure, subject, t.client.ID)); err != nil {
		return nil, nil, err
	}
	if verdict.Stolen {
		// So many wrong codes behind right passwords: the password is known.
		// With the sessions this flow has ended, too.
		if err := p.endSessions(ctx, r, subject); err != nil {
			return nil, nil, err
		}
		miss = nil
		if err := p.record(ctx, r, r.happened(EventStolen, Success, subject, t.client.ID)); err != nil {
			return nil, nil, err
		}
		r.notices = append(r.notices, r.notice(NoticeStolen, t.user))
	}
	return miss, problem, nil
}

// notice returns a notice for u of something that happened in r's browser.
func (r *request) notice(k NoticeKind, u User) Notice {
	return Notice{Kind: k, Time: r.now, User: u, Address: r.address, UserAgent: r.UserAgent()}
}

func (p *Provider) beginEnrolment(ctx context.Context, r *request, t *passage, v url.Values) ([]authflow.Event, *templates.Message, error) {
	ticket := strings.TrimSpace(v.Get("ticket"))
	needed := t.moment.Ticket && !t.moment.Enrolled.Has(authflow.OTP)
	if needed && ticket == "" {
		return nil, &templates.Message{Text: templates.TicketMissing}, nil
	}
	verdict, err := p.config.Factor.Begin(ctx, t.user.Subject, t.flow.ID, t.user.Username, ticket)
	if err != nil {
		return nil, nil, fmt.Errorf("beginning to enrol: %w", err)
	}
	if !verdict.OK {
		return p.refused(ctx, r, t, EventEnroll, verdict, templates.TicketWrong)
	}
	return nil, nil, nil
}

func (p *Provider) confirmEnrolment(ctx context.Context, r *request, t *passage, v url.Values) ([]authflow.Event, *templates.Message, error) {
	if !t.moment.Pending {
		return nil, &templates.Message{Text: templates.SetupExpired}, nil
	}
	if strings.TrimSpace(v.Get("code")) == "" {
		return nil, &templates.Message{Text: templates.CodeMissing}, nil
	}
	verdict, err := p.config.Factor.Confirm(ctx, t.user.Subject, t.flow.ID, v.Get("code"))
	if err != nil {
		return nil, nil, fmt.Errorf("confirming a factor: %w", err)
	}
	if !verdict.OK {
		return p.refused(ctx, r, t, EventEnroll, verdict, templates.CodeWrong)
	}
	_, status, err := p.person(ctx, t.user.Subject, t.flow.ID)
	if err != nil {
		return nil, nil, err
	}
	kind := NoticeEnrolled
	if t.moment.Enrolled.Has(authflow.OTP) {
		kind = NoticeReplaced
	}
	r.notices = append(r.notices, r.notice(kind, t.user))
	event := authflow.Event{Kind: authflow.Enrolled, Epoch: epoch(t.user, status)}
	return []authflow.Event{event}, nil, p.record(ctx, r, r.happened(EventEnroll, Success, t.user.Subject, t.client.ID))
}

func (p *Provider) putAway(ctx context.Context, _ *request, t *passage, _ url.Values) ([]authflow.Event, *templates.Message, error) {
	if err := p.config.Factor.PutAway(ctx, t.user.Subject, t.flow.ID); err != nil {
		return nil, nil, fmt.Errorf("putting the recovery codes away: %w", err)
	}
	return nil, nil, nil
}

func (p *Provider) consent(ctx context.Context, r *request, t *passage, v url.Values) ([]authflow.Event, *templates.Message, error) {
	subject := t.user.Subject
	outcome := Success
	if v.Get("decision") != "allow" {
		outcome = Failure
	}
	e := r.happened(EventConsent, outcome, subject, t.client.ID)
	e.Detail = map[string]string{"scopes": strings.Join(t.covered(), " ")}
	if err := p.record(ctx, r, e); err != nil {
		return nil, nil, err
	}
	if outcome == Failure {
		return p.cancel(ctx, r, t, v)
	}
	c := Consent{Subject: subject, ClientID: t.client.ID, Scopes: t.covered(), Given: r.now.Truncate(time.Microsecond)}
	if err := p.store.SaveConsent(ctx, c); err != nil {
		return nil, nil, fmt.Errorf("storing the consent: %w", err)
	}
	t.consent = nil
	return []authflow.Event{{Kind: authflow.ConsentOK}}, nil, nil
}
