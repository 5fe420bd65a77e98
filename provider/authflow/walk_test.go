package authflow

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// The walk visits every state that a flow can get into. A world is a flow and
// the truth about it: a history that the test keeps by itself, from which it
// judges what the code makes of the flow. Between any two moves an adversary
// sets everything else as they like: factors come and go, consent is revoked,
// the account is blocked, changes, has its password stolen, the session ends,
// codes lie unsaved, time passes. What only shuts doors is tried at each world
// and not walked on from: behind it nothing moves, which is judged as well.
// So are wrong answers, which do nothing but add up.

var update = flag.Bool("update", false, "rewrite testdata/transitions.golden")

// ask is a request to a policy, and what the judge knows of the two.
type ask struct {
	query  string
	hint   string
	policy Policy

	accept  []string      // levels that meet it, in order of preference
	named   []string      // acr values that it names
	limit   time.Duration // of age; 0: none
	fresh   bool          // nothing counts from before
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
	low     = Policy{Floor: "pwd"}
	trusted = Policy{Floor: "mfa", FirstParty: true}
)

// asks holds every kind of request and policy. What is alike in kind stands
// here once.
var asks = []ask{
	{policy: Policy{}, accept: []string{"phr"}},
	{policy: low, accept: []string{"pwd"}},
	{policy: mfa, accept: []string{"mfa"}},
	{policy: strict, accept: []string{"MFA"}},
	{policy: trusted, accept: []string{"mfa"}, consent: never},
	{policy: Policy{Floor: "pwd", Scopes: map[string]string{"mail": "mfa"}}, query: "scope=openid+mail", accept: []string{"mfa"}},
	{policy: mfa, query: "max_age=60", accept: []string{"mfa"}, limit: time.Minute},
	{policy: mfa, query: "max_age=7200", accept: []string{"mfa"}, limit: 2 * time.Hour},
	{policy: mfa, query: "max_age=0", accept: []string{"mfa"}, fresh: true},
	{policy: mfa, query: "prompt=login", accept: []string{"mfa"}, fresh: true},
	{policy: mfa, query: "prompt=login", hint: "alice", accept: []string{"mfa"}, fresh: true},
	{policy: mfa, query: "prompt=select_account", accept: []string{"mfa"}, anyone: true},
	{policy: trusted, query: "prompt=consent", accept: []string{"mfa"}, consent: always},
	{policy: mfa, hint: "alice", accept: []string{"mfa"}},
	{policy: mfa, hint: "mallory", accept: []string{"mfa"}},
	{policy: mfa, query: "prompt=none", accept: []string{"mfa"}, silent: true},
	{policy: low, query: "prompt=none&max_age=60", accept: []string{"pwd"}, limit: time.Minute, silent: true},
	{policy: mfa, query: "prompt=none", hint: "mallory", accept: []string{"mfa"}, silent: true},
	{policy: low, query: "acr_values=mfa", accept: []string{"mfa"}, named: []string{"mfa"}},
	{policy: low, query: "acr_values=phr+mfa", accept: []string{"phr", "mfa"}, named: []string{"phr", "mfa"}},
	{policy: low, query: "acr_values=phr+mfa&max_age=60", accept: []string{"phr", "mfa"}, named: []string{"phr", "mfa"}, limit: time.Minute},
	{policy: low, query: "acr_values=mfa+pwd", accept: []string{"mfa", "pwd"}, named: []string{"mfa", "pwd"}},
	{policy: mfa, query: "acr_values=pwd", accept: []string{"mfa"}, named: []string{"pwd"}},
	{policy: low, query: `claims={"id_token":{"acr":{"essential":true,"value":"gold"}}}`},
}

// sessions are the logins that a browser may come with.
func sessions() []Login {
	old, young, skewed := t0.Add(-time.Hour), t0.Add(-30*time.Second), t0.Add(time.Second)
	mix := login(old, Password)
	mix.Proofs[OTP] = young
	xim := login(young, Password)
	xim.Proofs[OTP] = old
	return []Login{
		{}, mix, xim,
		login(old, Password), login(young, Password),
		login(old, Password, OTP), login(skewed, Password, OTP),
		login(young, Password, Recovery), login(old, Password, Passkey),
	}
}

// ticks are the times at which things happen: at the request, and as each
// limit has just been reached.
var ticks = []time.Time{t0, t0.Add(5 * time.Minute), t0.Add(10 * time.Minute), t0.Add(15 * time.Minute)}

// statuses are the second factors that someone may have.
var statuses = []Status{
	{},
	{MayEnroll: true},
	{Enrolled: Of(OTP)},
	{Enrolled: Of(OTP, Recovery)},
	{Enrolled: Of(Recovery)},
	{Enrolled: Of(Passkey)},
	{Enrolled: Of(OTP, Recovery, Passkey)},
	{Enrolled: Of(Passkey), MayEnroll: true}, // a Factor that does not know better
}

// turns are what else may be the case.
var turns = []struct {
	name  string
	apply func(*Moment)
}{
	{"", func(m *Moment) {}},
	{"approved before", func(m *Moment) { m.Approved = true }},
	{"codes unsaved", func(m *Moment) { m.Unsaved = true }},
	{"blocked", func(m *Moment) { m.Blocked = true }},
	{"password stolen", func(m *Moment) { m.Stolen = true }},
	{"account changed", func(m *Moment) { m.Epoch += "'" }},
}

// events are what a browser may bring about, at any time.
var events = []Event{
	password("alice"), password("mallory"),
	factor(Password), factor(OTP), factor(Recovery), factor(Passkey),
	{Kind: Enrolled, Epoch: "2"},
	{Kind: ConsentOK}, {Kind: Switched}, {Kind: Cancelled},
}

func (e Event) String() string {
	if e.Kind == FactorOK {
		return fmt.Sprintf("%v(%v)", e.Kind, e.Method)
	}
	return e.Kind.String()
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
	case "MFA": // of the strict ladder
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

func (w world) recovered(has Methods, m Moment) bool {
	return has.Has(Recovery) && m.Now.Sub(w.given[Recovery]) <= 5*time.Minute
}

// shut returns every reason there is to deny.
func (a ask) shut(w world, m Moment) (why []error) {
	late := m.Now.Sub(w.given[Password]) >= 10*time.Minute
	for err, holds := range map[error]bool{
		ErrExpired:      m.Now.Sub(t0) >= 15*time.Minute || w.here.Has(Password) && late,
		ErrEnded:        w.cancelled,
		ErrExhausted:    w.misses >= 10,
		ErrOutdated:     w.who != "" && m.Epoch != w.epoch,
		ErrBlocked:      w.who != "" && (m.Blocked || m.Stolen),
		ErrWrongSubject: w.who != "" && w.only != "" && w.who != w.only,
		ErrUnmet:        len(a.accept) == 0 || w.who != "" && a.goal(w, m) == "",
	} {
		if holds {
			why = append(why, err)
		}
	}
	return why
}

// judge says what is wrong with what the code makes of w at m.
func (a ask) judge(w world, m Moment) error {
	step, reason := w.flow.Next(m)
	g, err := w.flow.Grant(m)
	if (step == Granted) != (err == nil) || (step == Denied) != (reason != nil) {
		return fmt.Errorf("%v (%v) beside a grant with %v", step, reason, err)
	}
	why := a.shut(w, m)
	if step == Denied && !a.silent && !slices.Contains(why, reason) {
		// Who is not counted as signed in is asked to, whatever was true of
		// who sat there before.
		return fmt.Errorf("denied because %v, which is not so", reason)
	}
	if step != Denied && len(why) > 0 && w.flow.known() {
		return fmt.Errorf("%v although %v", step, why)
	}
	if step != Denied && step != Granted && a.silent {
		return fmt.Errorf("a silent request shows %v", step)
	}
	has := w.counting(a, m.Now)
	met := w.who != "" && meets(a.goal(w, m), has)
	asks := !w.answered && (a.consent == always || a.consent == once && !m.Approved)
	young := has.Has(Password) && m.Now.Sub(w.given[Password]) < 10*time.Minute
	first := m.MayEnroll && m.Enrolled == 0
	switch step {
	case Denied:
		return nil
	case AskPassword:
		if met || has.Has(Password) && (!first || young) {
			return errors.New("a password is asked for in vain")
		}
		return nil
	case AskEnroll:
		if met || !(first && young) && !w.recovered(has, m) {
			return errors.New("enrolment is offered against the rules")
		}
		return nil
	case AskFactor:
		if met || w.who == "" || m.Enrolled&^has == 0 || !has.Has(Password) && !m.Enrolled.Has(Passkey) {
			return errors.New("a factor is asked for out of turn")
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
	case !meets(strings.ToLower(g.ACR()), has):
		return fmt.Errorf("acr is %s, proven was %v", g.ACR(), amr)
	}
	for _, name := range a.named {
		if meets(name, has) && !slices.Contains(a.named, g.ACR()) {
			return fmt.Errorf("acr is %s, asked for was one of %v", g.ACR(), a.named)
		}
	}
	return nil
}

// after returns the truth after e has happened at m.
func (w world) after(e Event, m Moment) truth {
	t := w.truth
	t.now = m.Now
	prove := func(m Method) {
		t.given[m] = t.now
		t.here |= Of(m)
	}
	switch e.Kind {
	case Miss:
		t.misses++
	case PasswordOK:
		if e.Login.Subject != t.who {
			t.who, t.given, t.here, t.answered = e.Login.Subject, [methods]time.Time{}, 0, false
		}
		prove(Password)
	case FactorOK:
		prove(e.Method)
	case Enrolled:
		prove(OTP)
		t.epoch = e.Epoch
	case ConsentOK:
		t.answered = true
	case Switched:
		t = truth{epoch: t.epoch, over: t.over, misses: t.misses, now: t.now}
	case Cancelled:
		t.cancelled = true
	}
	return t
}

// A map is what a walk draws: the transitions seen, and how many worlds.
type chart struct {
	edges  map[string]bool
	worlds int
}

func (c *chart) draw(from Step, what string, to Step, reason error) {
	end := to.String()
	if reason != nil {
		end += ": " + strings.TrimPrefix(reason.Error(), "authflow: ")
	}
	c.edges[fmt.Sprintf("%-11v  %-18v  -> %s", from, what, end)] = true
}

// walk visits every world that can come of a, up to the first that is wrong.
func (a ask) walk(c *chart) error {
	d, err := a.demand()
	if err != nil {
		return err
	}
	seen := map[world]bool{}
	var queue []world
	visit := func(w world) {
		if !seen[w] {
			seen[w] = true
			queue = append(queue, w)
		}
	}
	for _, session := range sessions() {
		visit(a.begin(d, session))
	}
	for len(queue) > 0 {
		w := queue[0]
		queue = queue[1:]
		if err := a.turn(w, d, c, visit); err != nil {
			return fmt.Errorf("%q %+v: %w\n%+v", a.query, a.policy, err, w)
		}
	}
	c.worlds += len(seen)
	return nil
}

func (a ask) demand() (Demand, error) {
	form, err := url.ParseQuery(a.query)
	if err != nil {
		return Demand{}, err
	}
	d, err := Parse(form, a.policy)
	d.Subject = a.hint
	return d, err
}

// turn judges w at every moment that the adversary can make, and visits all
// worlds that are one move away.
func (a ask) turn(w world, d Demand, c *chart, visit func(world)) error {
	for _, now := range ticks {
		if now.Before(w.now) {
			continue
		}
		for _, status := range statuses {
			base := Moment{Demand: d, Status: status, Now: now, Epoch: w.epoch, SessionEnded: w.over}
			from, _ := w.flow.Next(base)
			for _, turn := range turns {
				m := base
				turn.apply(&m)
				if err := a.judge(w, m); err != nil {
					return fmt.Errorf("%s at %v with %+v: %w", turn.name, now.Sub(t0), status, err)
				}
				if to, reason := w.flow.Next(m); turn.name != "" && !a.silent {
					c.draw(from, "["+turn.name+"]", to, reason)
				}
				if err := a.move(w, m, c, visit); err != nil {
					return fmt.Errorf("%s at %v with %+v: %w", turn.name, now.Sub(t0), status, err)
				}
			}
			if err := a.persist(w, base); err != nil {
				return fmt.Errorf("at %v with %+v: %w", now.Sub(t0), status, err)
			}
		}
	}
	if !w.over {
		w.over = true
		visit(w)
	}
	return nil
}

// move tries every event on w at m, and visits the worlds that it comes to.
func (a ask) move(w world, m Moment, c *chart, visit func(world)) error {
	from, _ := w.flow.Next(m)
	for _, e := range events {
		next, err := w.flow.Apply(e, m)
		if err != nil {
			if next != w.flow {
				return fmt.Errorf("%v is refused and changes the flow", e)
			}
			continue
		}
		if e.Kind == FactorOK && (e.Method == Password || !m.Enrolled.Has(e.Method)) {
			return fmt.Errorf("%v is taken, which is not enrolled", e)
		}
		if from == Denied || from == Granted || e.Kind == Switched && a.hint != "" {
			return fmt.Errorf("%v is taken at %v", e, from)
		}
		v, then := world{next, w.after(e, m)}, m
		if e.Kind == Enrolled {
			then.Epoch = e.Epoch
			then.MayEnroll = false
			then.Enrolled |= Of(OTP)
		}
		to, reason := next.Next(then)
		c.draw(from, e.String(), to, reason)
		switch e.Kind {
		case Cancelled: // it ends here
			if err := a.judge(v, then); err != nil {
				return fmt.Errorf("after %v: %w", e, err)
			}
		default:
			visit(v)
		}
	}
	if to, err := w.flow.Apply(Event{Kind: Miss}, m); err == nil {
		step, reason := to.Next(m)
		c.draw(from, "Miss", step, reason)
	}
	return nil
}
