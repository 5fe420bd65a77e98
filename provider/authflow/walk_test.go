package authflow

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
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
	{policy: strict, accept: []string{"app"}},
	{policy: trusted, accept: []string{"mfa"}, consent: never},
	{policy: mfa, query: "max_age=60", accept: []string{"mfa"}, limit: time.Minute},
	{policy: mfa, query: "prompt=login", accept: []string{"mfa"}, fresh: true},
	{policy: mfa, query: "max_age=0", hint: "alice", accept: []string{"mfa"}, fresh: true},
	{policy: mfa, query: "prompt=select_account", accept: []string{"mfa"}, anyone: true},
	{policy: trusted, query: "prompt=consent", accept: []string{"mfa"}, consent: always},
	{policy: mfa, hint: "alice", accept: []string{"mfa"}},
	{policy: mfa, hint: "mallory", accept: []string{"mfa"}},
	{policy: mfa, query: "prompt=none", accept: []string{"mfa"}, silent: true},
	{policy: low, query: "prompt=none&max_age=60", accept: []string{"pwd"}, limit: time.Minute, silent: true},
	{policy: mfa, query: "prompt=none", hint: "mallory", accept: []string{"mfa"}, silent: true},
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
		login(skewed, Password, OTP),
		login(young, Password, Recovery), login(old, Password, Passkey),
	}
}

// ticks are the times at which the world is looked at: at the request, when a
// recovery code of then opens nothing more, when a password of then has run
// out, and when the flow has. Things happen at the first two. What holds just
// before and just after each limit stands in tests of its own.
var ticks = []time.Time{t0, t0.Add(6 * time.Minute), t0.Add(10 * time.Minute), t0.Add(15 * time.Minute)}

// statuses are the second factors that someone may have.
var statuses = []Status{
	{},
	{MayEnroll: true},
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

// A place is where a flow stands at a moment.
type place struct {
	step   Step
	reason error
}

func stand(f Flow, m Moment) place {
	step, reason := f.Next(m)
	return place{step, reason}
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
	shut, barred := a.shut(w, m), a.barred(w, m)
	if step == Denied {
		if a.silent || slices.Contains(shut, reason) || slices.Contains(barred, reason) {
			return nil
		}
		return fmt.Errorf("denied because %v, which is not so", reason)
	}
	if len(shut) > 0 || len(barred) > 0 && step != AskPassword {
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
		if met || has.Has(Password) && (!first || young || len(barred) > 0) {
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
		t.epoch = e.Login.Epoch
		prove(Password)
	case FactorOK:
		prove(e.Method)
	case Enrolled:
		prove(OTP)
		t.epoch = e.Epoch
	case ConsentOK:
		t.answered = true
	case Switched:
		t = truth{epoch: "1", over: t.over, misses: t.misses, now: t.now}
	case Cancelled:
		t.cancelled = true
	}
	return t
}

// A chart is what a walk draws: the transitions seen, and how many worlds.
type chart struct {
	edges  map[edge]bool
	worlds int
}

// An edge goes from a step to a step, by an event or a turn of the world.
type edge struct {
	from   Step
	turn   string
	kind   Kind
	method Method // of FactorOK
	to     Step
	reason error
}

func (e edge) String() string {
	what, end := e.turn, e.to.String()
	if what == "" {
		what = Event{Kind: e.kind, Method: e.method}.String()
	}
	if e.reason != nil {
		end += ": " + short(e.reason)
	}
	return fmt.Sprintf("%-11v  %-18v  -> %s", e.from, what, end)
}

func short(err error) string { return strings.TrimPrefix(err.Error(), "authflow: ") }

// draw enters that who stood at from stands at to, by e or a turn. That a turn
// changes nothing is not entered.
func (c *chart) draw(from Step, turn string, e Event, to place) {
	if turn != "" && (from == Denied || from == to.step) {
		return
	}
	c.edges[edge{from, turn, e.Kind, e.Method, to.step, to.reason}] = true
}

func (c *chart) String() string {
	var text strings.Builder
	for i, r := range rules {
		why := short(r.err)
		if r.step != Denied {
			why = "silent: " + why
		}
		fmt.Fprintf(&text, "%2d  %-10v  -> %v: %s\n", i+1, r.name, r.step, why)
	}
	var lines []string
	for e := range c.edges {
		lines = append(lines, e.String())
	}
	slices.Sort(lines)
	return text.String() + "\n" + strings.Join(lines, "\n") + "\n"
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
	first := make([]place, len(statuses)) // where w stands before anything turns, by status
	for _, now := range ticks {
		if now.Before(w.now) {
			continue
		}
		for i, status := range statuses {
			m := Moment{Demand: d, Status: status, Now: now, Epoch: w.epoch, SessionEnded: w.over}
			at, err := a.tryAll(w, m, c, visit)
			if err != nil {
				return fmt.Errorf("%v later with %+v: %w", now.Sub(t0), status, err)
			}
			if now.Equal(w.now) {
				first[i] = at
			}
			c.draw(first[i].step, "time passed", Event{}, at)
		}
	}
	for _, from := range first {
		for _, to := range first {
			c.draw(from.step, "factors changed", Event{}, to)
		}
	}
	if !w.over && w.given != [methods]time.Time{} {
		w.over = true
		visit(w)
	}
	return nil
}

// tryAll judges w at m and at whatever m may turn into, moves on from it, and
// returns where w stands at m.
func (a ask) tryAll(w world, m Moment, c *chart, visit func(world)) (at place, err error) {
	for _, turn := range turns {
		if turn.name != "" && at.step == Denied && !a.silent {
			return at, nil // it was over before it turned
		}
		turned := m
		turn.apply(&turned)
		to := stand(w.flow, turned)
		if turn.name == "" {
			at = to
		} else {
			c.draw(at.step, turn.name, Event{}, to)
		}
		if err := a.judge(w, turned, to); err != nil {
			return at, fmt.Errorf("%s: %w", turn.name, err)
		}
		if turn.name != "" && to.step == at.step || m.Now.After(ticks[1]) && to.step != Denied {
			continue // nothing comes of it that does not come of m, or of m earlier
		}
		if err := a.move(w, turned, to, c, visit); err != nil {
			return at, fmt.Errorf("%s: %w", turn.name, err)
		}
	}
	if !m.Now.Equal(w.now) {
		return at, nil
	}
	ended := m
	ended.SessionEnded = true
	c.draw(at.step, "session ended", Event{}, stand(w.flow, ended))
	return at, a.persist(w, m, at, c)
}

// move tries every event on w at m, and visits the worlds that it comes to.
func (a ask) move(w world, m Moment, at place, c *chart, visit func(world)) error {
	for _, e := range events {
		if e.Login.Subject == w.who {
			e.Login.Epoch = w.epoch
		}
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
		if at.step == Denied || at.step == Granted || e.Kind == Switched && a.hint != "" {
			return fmt.Errorf("%v is taken at %v", e, at.step)
		}
		v, then := world{next, w.after(e, m)}, m
		if e.Kind == Enrolled {
			then.Epoch = e.Epoch
			then.Status = Status{Enrolled: m.Enrolled | Of(OTP, Recovery), Unsaved: true}
		}
		to := stand(next, then)
		c.draw(at.step, "", e, to)
		if e.Kind != Cancelled {
			visit(v)
		} else if err := a.judge(v, then, to); err != nil { // it ends here
			return fmt.Errorf("after %v: %w", e, err)
		}
	}
	return nil
}

// persist tries at m whether wrong answers come to an end, and whether someone
// who does as they are told comes to theirs.
func (a ask) persist(w world, m Moment, at place, c *chart) error {
	if at.step == Denied || at.step == Granted {
		return nil
	}
	for v := w; ; {
		next, err := v.flow.Apply(Event{Kind: Miss}, m)
		if err != nil {
			break
		}
		v = world{next, v.after(Event{Kind: Miss}, m)}
		to := stand(next, m)
		c.draw(at.step, "", Event{}, to)
		if err := a.judge(v, m, to); err != nil {
			return fmt.Errorf("after %d wrong answers: %w", v.misses, err)
		}
	}
	for range 8 {
		step, reason := w.flow.Next(m)
		var e Event
		switch step {
		case Granted:
			return nil
		case Denied:
			if reason == ErrUnmet && at.step == AskPassword {
				return nil // who it is was not known before
			}
			return fmt.Errorf("%v, and in the end denied because %v", at.step, reason)
		case AskPassword:
			e = Event{Kind: PasswordOK, Login: Login{Subject: w.willing(), Epoch: m.Epoch}}
		case AskEnroll:
			e = Event{Kind: Enrolled, Epoch: "2"}
		case AskFactor:
			e = factor(willing(m.Enrolled &^ w.counting(a, m.Now)))
		case AskConsent:
			e = Event{Kind: ConsentOK}
		}
		if step == ShowCodes {
			m.Unsaved = false
			continue
		}
		next, err := w.flow.Apply(e, m)
		if err != nil {
			return fmt.Errorf("%v refuses %v: %w", step, e, err)
		}
		w = world{next, w.after(e, m)}
		if e.Kind == Enrolled {
			m.Epoch, m.Status = "2", Status{Enrolled: m.Enrolled | Of(OTP, Recovery), Unsaved: true}
		}
	}
	return fmt.Errorf("%v, and no end", at.step)
}

// willing returns who would sign in.
func (w world) willing() string {
	return cmp.Or(w.only, w.who, "alice")
}

// willing returns one of s to give.
func willing(s Methods) Method {
	for _, m := range []Method{OTP, Passkey} {
		if s.Has(m) {
			return m
		}
	}
	return Recovery
}

func TestEveryReachableState(t *testing.T) {
	got := chart{edges: map[edge]bool{}}
	for _, a := range asks {
		n := got.worlds
		if err := a.walk(&got); err != nil {
			t.Fatal(err)
		}
		t.Log(a.query, got.worlds-n)
	}
	t.Logf("%d worlds", got.worlds)
	const golden = "testdata/transitions.golden"
	text := got.String()
	if *update {
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("transitions changed: run with -update, and review the diff\n%s", text)
	}
}

// Without any one rule something goes wrong. So each rule is needed, and the
// test above can fail.
func TestEveryRuleIsNeeded(t *testing.T) {
	all := rules
	defer func() { rules = all }()
	for i, r := range all {
		rules = slices.Delete(slices.Clone(all), i, i+1)
		var wrong error
		for _, a := range asks {
			if wrong = a.walk(&chart{edges: map[edge]bool{}}); wrong != nil {
				break
			}
		}
		if wrong == nil {
			t.Errorf("without rule %q nothing goes wrong", r.name)
			continue
		}
		what, _, _ := strings.Cut(wrong.Error(), "\n")
		t.Logf("without %q: %s", r.name, what)
	}
}
