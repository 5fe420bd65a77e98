package authflow

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// ask is a request to a policy, and what the judge knows of the two.
type ask struct {
	query  string
	hint   string
	policy Policy

	accept  []string      // levels that meet it, in order of preference
	named   []string      // acr values that it names
	limit   time.Duration // of age; 0: none
	fresh   bool          // nothing counts from before
	factor  time.Duration // limit of age of all but a password; 0: that of all
	anew    bool          // nothing but a password counts from before
	anyone  bool          // whoever sits there begins as a stranger
	silent  bool
	consent int // always, once (the zero value) or never
}

const (
	once = iota
	always
	never
)

var (
	low     = Policy{Floor: Floor{Level: "pwd"}}
	trusted = Policy{Floor: Floor{Level: "mfa"}, FirstParty: true}
	quick   = Policy{Floor: Floor{Level: "mfa", FactorMaxAge: time.Minute}}
	paying  = Policy{
		Floor: Floor{Level: "pwd"}, FirstParty: true,
		Scopes:  map[string]Floor{"pay": {Level: "mfa", Once: true}},
		Details: map[string]Floor{"payment": {Level: "mfa"}},
	}
	buying = Policy{Floor: Floor{Level: "pwd"}, Details: paying.Details}
)

// asks holds every kind of request and policy. What is alike in kind stands
// here once.
var asks = []ask{
	{policy: Policy{}, accept: []string{"phr"}},
	{policy: low, accept: []string{"pwd"}},
	{policy: mfa, accept: []string{"mfa"}},
	{policy: strict, accept: []string{"app"}},
	{policy: trusted, accept: []string{"mfa"}, consent: never},
	{policy: mfa, query: "prompt=login", accept: []string{"mfa"}, fresh: true},
	{policy: mfa, query: "max_age=0", hint: "alice", accept: []string{"mfa"}, fresh: true},
	{policy: mfa, query: "prompt=select_account", accept: []string{"mfa"}, anyone: true},
	{policy: trusted, query: "prompt=consent&acr_values=pwd", accept: []string{"mfa"}, named: []string{"pwd"}, consent: always},
	{policy: mfa, hint: "mallory", accept: []string{"mfa"}},
	{policy: mfa, query: "prompt=none", accept: []string{"mfa"}, silent: true},
	{policy: low, query: "prompt=none&max_age=60", accept: []string{"pwd"}, limit: time.Minute, silent: true},
	{policy: mfa, query: "prompt=none", hint: "mallory", accept: []string{"mfa"}, silent: true},
	{policy: low, query: "acr_values=phr+mfa&max_age=60", accept: []string{"phr", "mfa"}, named: []string{"phr", "mfa"}, limit: time.Minute},
	{policy: low, query: "acr_values=mfa+pwd", accept: []string{"mfa", "pwd"}, named: []string{"mfa", "pwd"}},
	{policy: quick, accept: []string{"mfa"}, factor: time.Minute},
	{policy: paying, query: "scope=pay", accept: []string{"mfa"}, anew: true, consent: never},
	{policy: paying, query: "scope=pay&prompt=none&max_age=60", accept: []string{"mfa"}, anew: true, limit: time.Minute, silent: true, consent: never},
	{policy: paying, query: "scope=openid", accept: []string{"pwd"}, consent: never},
	{policy: paying, query: `authorization_details=[{"type":"payment"}]`, accept: []string{"mfa"}, anew: true, consent: never},
	{policy: buying, query: `authorization_details=[{"type":"payment"}]`, accept: []string{"mfa"}, anew: true, consent: always},
	{policy: low, query: `claims={"id_token":{"acr":{"essential":true,"value":"gold"}}}`},
}

type world struct {
	flow Flow
	truth
}

// truth is what really happened.
type truth struct {
	who       string // whose password was given, here or in the session
	only      string // who alone may sign in
	epoch     string // of who's account, as far as who knows
	given     [methods]time.Time
	here      Methods // given since the request arrived
	over      bool    // the session has ended
	answered  bool    // who said yes
	cancelled bool
	misses    int
	now       time.Time // when the last of it happened
}

// begin returns the world of a request from a browser with session.
func (a ask) begin(d Demand, session Login) world {
	w := world{Begin(d, session, t0), truth{epoch: "1", only: a.hint, now: t0}}
	if a.anyone || a.hint != "" && a.hint != session.Subject {
		return w
	}
	w.who, w.only = session.Subject, session.Subject
	for m, t := range session.Proofs {
		if w.given[m] = t; t.After(t0) {
			w.given[m] = t0 // a clock that is ahead; the request came after it
		}
	}
	return w
}

// counting returns the methods of which a proof counts at now.
func (w world) counting(a ask, now time.Time) (s Methods) {
	for m, t := range w.given {
		age := now.Sub(t)
		before := !a.fresh && !w.over && (a.limit == 0 || age <= a.limit)
		if Method(m) != Password {
			before = before && !a.anew && (a.factor == 0 || age <= a.factor)
		}
		if !t.IsZero() && (w.here.Has(Method(m)) || before) {
			s |= Of(Method(m))
		}
	}
	return s
}

// meets says what the levels mean, in words of the judge's own.
func meets(level string, has Methods) bool {
	switch second := has.Has(OTP) || has.Has(Passkey); level {
	case "phr":
		return has.Has(Passkey)
	case "mfa":
		return has.Has(Passkey) || has.Has(Password) && (second || has.Has(Recovery))
	case "app": // of the strict ladder
		return has.Has(Password) && has.Has(OTP)
	case "pwd":
		return has.Has(Passkey) || has.Has(Password)
	}
	return false
}

// goal returns the first level that who can reach with what they have proven
// and what they could, empty if none.
func (a ask) goal(w world, m Moment) string {
	has := w.counting(a, m.Now)
	can := has | m.Enrolled | Of(Password)
	if m.MayEnroll && m.Enrolled == 0 || m.Enrolled.Has(Recovery) || w.recovered(has, m) {
		can |= Of(OTP)
	}
	for _, level := range a.accept {
		if meets(level, can) {
			return level
		}
	}
	return ""
}

// helpful returns the factors without which a way to the goal would be none,
// and that are still to be given.
func (a ask) helpful(w world, m Moment, has Methods) (s Methods) {
	can := has | m.Enrolled | Of(Password)
	if m.Enrolled.Has(Recovery) || w.recovered(has, m) {
		can |= Of(OTP)
	}
	goal := a.goal(w, m)
	for way := range Methods(1 << methods) {
		for one := OTP; one < methods && can.Covers(way); one++ {
			if !has.Has(one) && meets(goal, way) && !meets(goal, way&^Of(one)) {
				s |= Of(one)
			}
		}
	}
	if s.Has(OTP) && !w.recovered(has, m) {
		s |= Of(Recovery)
	}
	return s & m.Enrolled
}

func (w world) recovered(has Methods, m Moment) bool {
	return has.Has(Recovery) && m.Now.Sub(w.given[Recovery]) <= 5*time.Minute
}

// shut returns why the flow is over, and barred why who may not go on in it;
// every reason there is.
func (a ask) shut(w world, m Moment) (why []error) {
	if m.Now.Sub(t0) >= 15*time.Minute || w.here.Has(Password) && m.Now.Sub(w.given[Password]) >= 10*time.Minute {
		why = append(why, ErrExpired)
	}
	if w.cancelled {
		why = append(why, ErrEnded)
	}
	if w.misses >= 10 {
		why = append(why, ErrExhausted)
	}
	if len(a.accept) == 0 {
		why = append(why, ErrUnmet)
	}
	return why
}

func (a ask) barred(w world, m Moment) (why []error) {
	if w.who == "" {
		return nil
	}
	if m.Epoch != w.epoch {
		why = append(why, ErrOutdated)
	}
	if m.Blocked || m.Stolen {
		why = append(why, ErrBlocked)
	}
	if w.only != "" && w.who != w.only {
		why = append(why, ErrWrongSubject)
	}
	if a.goal(w, m) == "" {
		why = append(why, ErrUnmet)
	}
	return why
}

// judge says what is wrong with where the code makes w stand at m.
func (a ask) judge(w world, m Moment, at place) error {
	step, reason := at.step, at.reason
	g, err := w.flow.Grant(m)
	if (step == Granted) != (err == nil) || (step == Denied) != (reason != nil) {
		return fmt.Errorf("%v (%v) beside a grant with %v", step, reason, err)
	}
	if asked := w.flow.Asked(m); step != AskFactor && asked != 0 {
		return fmt.Errorf("at %v %v are asked for", step, asked.Names())
	}
	shut, barred := a.shut(w, m), a.barred(w, m)
	if step == Denied {
		if a.silent || slices.Contains(shut, reason) || slices.Contains(barred, reason) {
			return nil
		}
		return fmt.Errorf("denied because %v, which is not so", reason)
	}
	if len(shut) > 0 || len(barred) > 0 {
		return fmt.Errorf("%v although %v", step, append(shut, barred...))
	}
	if a.silent && step != Granted {
		return fmt.Errorf("a silent request shows %v", step)
	}
	has := w.counting(a, m.Now)
	met := w.who != "" && meets(a.goal(w, m), has)
	asks := !w.answered && (a.consent == always || a.consent == once && !m.Approved)
	young := has.Has(Password) && m.Now.Sub(w.given[Password]) < 10*time.Minute
	first := m.MayEnroll && m.Enrolled == 0
	switch step {
	case AskPassword:
		if met || has.Has(Password) && (!first || young) {
			return errors.New("a password is asked for in vain")
		}
		return nil
	case AskEnroll:
		if met || !has.Has(Password) || !(first && young) && !w.recovered(has, m) {
			return errors.New("enrolment is offered against the rules")
		}
		return nil
	case AskFactor:
		if met || w.who == "" || m.Enrolled&^has == 0 && !m.Enrolled.Has(Recovery) || !has.Has(Password) {
			return errors.New("a factor is asked for out of turn")
		}
		if want := a.helpful(w, m, has); w.flow.Asked(m) != want {
			return fmt.Errorf("asked for are %v, of use are %v", w.flow.Asked(m).Names(), want.Names())
		}
		return nil
	case ShowCodes:
		if !met || !m.Unsaved {
			return errors.New("codes are shown out of turn")
		}
		return nil
	case AskConsent:
		if !met || m.Unsaved || !asks {
			return errors.New("consent is asked for out of turn")
		}
		return nil
	}
	if !met || m.Unsaved || asks {
		return fmt.Errorf("granted with level met: %v, codes unsaved: %v, consent wanting: %v", met, m.Unsaved, asks)
	}
	return a.judgeGrant(w, has, g)
}

// judgeGrant says what is wrong with what g claims.
func (a ask) judgeGrant(w world, has Methods, g Grant) error {
	var amr []string
	var first time.Time
	for m, name := range []string{"pwd", "otp", "recovery", "pop"} {
		if has.Has(Method(m)) {
			amr = append(amr, name)
			if t := w.given[m]; first.IsZero() || t.Before(first) {
				first = t
			}
		}
	}
	// A clock that was ahead is set back by a microsecond.
	drift := first.Sub(g.AuthTime())
	switch {
	case g.Login().Subject != w.who || g.Login().Epoch != w.epoch:
		return fmt.Errorf("granted to %+v on the proofs of %s in epoch %s", g.Login(), w.who, w.epoch)
	case !slices.Equal(g.AMR(), amr):
		return fmt.Errorf("amr is %v, proven was %v", g.AMR(), amr)
	case drift < 0 || drift > time.Microsecond:
		return fmt.Errorf("auth_time is %v, the first proof was of %v", g.AuthTime(), first)
	case !g.Requested().Equal(t0):
		return fmt.Errorf("requested at %v", g.Requested())
	case !meets(g.ACR(), has):
		return fmt.Errorf("acr is %s, proven was %v", g.ACR(), amr)
	}
	for _, name := range a.named {
		if meets(name, has) && !slices.Contains(a.named, g.ACR()) {
			return fmt.Errorf("acr is %s, asked for was one of %v", g.ACR(), a.named)
		}
	}
	return nil
}
