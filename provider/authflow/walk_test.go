package authflow

import (
	"cmp"
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
	later := m.Now.After(w.now)
	for _, turn := range turns {
		if turn.name != "" && (later || at.step == Denied && !a.silent) {
			return at, nil // time is a turn of its own; and what is over stays so
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
		if e.Kind == FactorOK && !w.flow.Asked(m).Has(e.Method) {
			return fmt.Errorf("%v is taken, which nothing asks for", e)
		}
		if at.step == Denied || at.step == Granted && e.Kind != Cancelled || e.Kind == Switched && a.hint != "" {
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
	stranger := w.who == ""
	for range 8 {
		step, reason := w.flow.Next(m)
		var e Event
		switch step {
		case Granted:
			return nil
		case Denied:
			if reason == ErrUnmet && stranger {
				return nil // who it is was not known before
			}
			return fmt.Errorf("%v, and in the end denied because %v", at.step, reason)
		case AskPassword:
			e = Event{Kind: PasswordOK, Login: Login{Subject: w.willing(), Epoch: m.Epoch}}
		case AskEnroll:
			e = Event{Kind: Enrolled, Epoch: "2"}
		case AskFactor:
			e = factor(willing(w.flow.Asked(m)))
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

// PA-4, PA-5, PA-7, PA-8, PA-9, SE-3, SE-5, SU-1, SU-4, SU-5, TK-2, TO-11, TO-14
func TestEveryReachableState(t *testing.T) {
	got := chart{edges: map[edge]bool{}}
	for _, a := range asks {
		if err := a.walk(&got); err != nil {
			t.Fatal(err)
		}
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
