package authflow

import (
	"errors"
	"slices"
	"time"
)

const (
	Lifetime         = 15 * time.Minute // of a flow
	PasswordLifetime = 10 * time.Minute // of a password proven inside a flow, or one that allows a first factor
	FactorLifetime   = 5 * time.Minute  // of a second factor that allows changing factors
	MaxMisses        = 10               // wrong answers that end a flow
)

// Why a flow is denied.
var (
	ErrExpired      = errors.New("authflow: flow expired")
	ErrEnded        = errors.New("authflow: flow ended before")
	ErrExhausted    = errors.New("authflow: too many wrong answers")
	ErrOutdated     = errors.New("authflow: the account has changed since the flow began")
	ErrBlocked      = errors.New("authflow: account blocked")
	ErrWrongSubject = errors.New("authflow: signed in as someone else")
	ErrUnmet        = errors.New("authflow: the level asked for cannot be reached")

	// Why a silent flow is denied that a page could help.
	ErrLoginNeeded   = errors.New("authflow: login required")
	ErrEnrollNeeded  = errors.New("authflow: enrolment required")
	ErrFactorNeeded  = errors.New("authflow: second factor required")
	ErrCodesUnsaved  = errors.New("authflow: recovery codes not yet put away")
	ErrConsentNeeded = errors.New("authflow: consent required")
)

var (
	ErrBadRequest = errors.New("authflow: malformed request")
	ErrOutOfStep  = errors.New("authflow: not what this step waits for")
	ErrNotGranted = errors.New("authflow: not granted yet")
)

// A Flow is what has happened to one authorization request so far.
type Flow struct {
	Login    Login     // what was proven, here or in the session that the flow began with
	Pinned   string    // the only subject that may sign in: id_token_hint's or the session's; empty: anyone
	Approved bool      // the consent page was answered with yes
	Misses   int       // wrong answers
	Ended    bool      // granted, cancelled or given up; nothing more happens
	Created  time.Time // when the request arrived
}

// A Moment is everything a decision needs that a Flow does not store: what the
// request demands, and what is true now of Flow.Login.Subject.
type Moment struct {
	Demand
	Status
	Now time.Time

	// Epoch is the account's now: it changes with the password, the factors
	// and whenever everything open is to end.
	Epoch string

	Approved     bool // what is asked for was approved before
	Blocked      bool // the account may not sign in
	SessionEnded bool // the session that the flow began with is over
}

// Begin returns the Flow of a request that arrived now, a whole number of
// microseconds, from a browser with a session of login. The caller has seen
// that the session still stands: not ended, not expired, of the account's
// epoch. Without one, login is zero. What of login is too old for d still says
// who it is, and so what they can reach, before anything is asked.
func Begin(d Demand, login Login, now time.Time) Flow {
	f := Flow{Created: now, Pinned: d.Subject}
	if d.choose || d.Subject != "" && d.Subject != login.Subject {
		return f
	}
	f.Pinned, f.Login = login.Subject, login
	for i, t := range login.Proofs {
		// A session's proof is older than the request, whatever the clock says
		// of the replica that took it. Otherwise it would pass for one given on
		// the way, which no age limit and no end of the session can undo.
		if !t.Before(now) {
			f.Login.Proofs[i] = now.Add(-time.Microsecond)
		}
	}
	return f
}

// A Step is what a Flow waits for. The zero Step is the safe one.
type Step int

const (
	Denied Step = iota
	AskPassword
	AskEnroll // show a new second factor, take its first code
	AskFactor
	ShowCodes // show new recovery codes until they are put away
	AskConsent
	Granted
)

// rules are the whole policy, in order. The first that holds names the step;
// if none holds, the flow is granted.
var rules = []rule{
	{"expired", Flow.expired, Denied, ErrExpired},
	{"ended", Flow.ended, Denied, ErrEnded},
	{"exhausted", Flow.exhausted, Denied, ErrExhausted},
	{"outdated", Flow.outdated, Denied, ErrOutdated},
	{"blocked", Flow.blocked, Denied, ErrBlocked},
	{"mistaken", Flow.mistaken, Denied, ErrWrongSubject},
	{"impossible", Flow.impossible, Denied, ErrUnmet},
	{"stranger", Flow.stranger, AskPassword, ErrLoginNeeded},
	{"unenrolled", Flow.unenrolled, AskEnroll, ErrEnrollNeeded},
	{"unproven", Flow.unproven, AskFactor, ErrFactorNeeded},
	{"unsaved", Flow.unsaved, ShowCodes, ErrCodesUnsaved},
	{"unapproved", Flow.unapproved, AskConsent, ErrConsentNeeded},
}

type rule struct {
	name  string
	holds func(Flow, Moment) bool
	step  Step
	err   error // why the flow is denied here, or would be if silent
}

// expired is absolute: a proven password has a shorter life than the flow, so
// that a code handed in late finds the door shut even if its page was in time.
func (f Flow) expired(m Moment) bool {
	pwd := f.Login.Proofs[Password]
	here := !pwd.IsZero() && !pwd.Before(f.Created)
	return !m.Now.Before(f.Created.Add(Lifetime)) ||
		here && !m.Now.Before(pwd.Add(PasswordLifetime))
}

func (f Flow) ended(m Moment) bool     { return f.Ended }
func (f Flow) exhausted(m Moment) bool { return f.Misses >= MaxMisses }
func (f Flow) known() bool             { return f.Login.Subject != "" }
func (f Flow) outdated(m Moment) bool  { return f.known() && f.Login.Epoch != m.Epoch }
func (f Flow) blocked(m Moment) bool   { return f.known() && (m.Blocked || m.Stolen) }

func (f Flow) mistaken(m Moment) bool {
	return f.known() && (m.Subject != "" && m.Subject != f.Login.Subject ||
		f.Pinned != "" && f.Pinned != f.Login.Subject)
}

// impossible holds if no acceptable level can be reached: by anyone, or, once
// it is known who it is, by this person.
func (f Flow) impossible(m Moment) bool {
	if !f.known() {
		return len(m.targets) == 0
	}
	_, ok := f.missing(m)
	return !ok
}

// stranger holds until a password counts. It is the first door: a code is asked
// of nobody who has not come through it, not even where the code alone would
// reach the level, or whoever finds an old browser could try codes and spend
// the attempts of an account.
func (f Flow) stranger(m Moment) bool {
	if !f.known() {
		return true
	}
	missing, _ := f.missing(m)
	return missing != 0 && !f.proven(m).Has(Password) ||
		f.unenrolled(m) && !f.recovered(m) && !f.recent(m)
}

// recent reports whether the password was given recently enough to enrol a
// factor on its strength. A session may be half a day old: whoever sits down
// at an open browser must not bind an app of their own to the account (OWASP
// ASVS 5.0 section 7.5.1).
func (f Flow) recent(m Moment) bool {
	return m.Now.Sub(f.Login.Proofs[Password]) < PasswordLifetime
}

// unenrolled holds if a factor is missing that must be enrolled first: someone
// who has none, or who has just used a recovery code where that is not enough
// and so has shown that the factor is lost.
func (f Flow) unenrolled(m Moment) bool {
	missing, _ := f.missing(m)
	return missing.Has(OTP) && (m.unbound() || f.recovered(m))
}

func (f Flow) unproven(m Moment) bool {
	missing, _ := f.missing(m)
	return missing != 0
}

func (f Flow) unsaved(m Moment) bool { return m.Unsaved }

func (f Flow) unapproved(m Moment) bool {
	return !f.Approved && (m.ask || !m.policy.FirstParty && !m.Approved)
}

// proven returns the methods whose proofs count now.
func (f Flow) proven(m Moment) Methods {
	var s Methods
	for i, t := range f.Login.Proofs {
		if m.counts(Method(i), t, f.Created, m.Now, m.SessionEnded) {
			s |= Of(Method(i))
		}
	}
	return s
}

// recovered reports whether a recovery code was given just now.
func (f Flow) recovered(m Moment) bool {
	t := f.Login.Proofs[Recovery]
	return m.counts(Recovery, t, f.Created, m.Now, m.SessionEnded) && m.Now.Sub(t) <= FactorLifetime
}

// missing returns what must still be proven on the shortest way to the first
// acceptable level that this person can reach, and whether there is one. With
// a recovery code in hand everyone can reach what an authenticator app does.
// A recovery code is never what is missing while another way is open: it is
// what people fall back on, not what they are sent to.
func (f Flow) missing(m Moment) (best Methods, ok bool) {
	best, _, ok = f.goal(m)
	return best, ok
}

// goal returns what missing does, and all methods that lie on some way there.
func (f Flow) goal(m Moment) (best, useful Methods, ok bool) {
	proven := f.proven(m)
	able := Of(Password) | m.Enrolled | proven
	if m.unbound() || m.Enrolled.Has(Recovery) || f.recovered(m) {
		able |= Of(OTP)
	}
	for _, t := range m.targets {
		above := m.policy.Ladder[t:]
		if best, ok = above.shortest(able, proven); ok {
			return best, above.useful(able), true
		}
	}
	return 0, 0, false
}

// Asked returns the factors that f waits for, none but at AskFactor: those of
// this person that bring them nearer to what is demanded and do not count yet,
// and a recovery code where it allows to enrol one that does. The caller checks
// no code of another: it would be used up for nothing.
func (f Flow) Asked(m Moment) Methods {
	if step, _ := f.Next(m); step != AskFactor {
		return 0
	}
	_, useful, _ := f.goal(m)
	asked := useful &^ f.proven(m)
	if asked.Has(OTP) && !f.recovered(m) {
		asked |= Of(Recovery)
	}
	return asked & m.Enrolled & factors
}

// Next reports what f waits for. The error is non-nil exactly when the Step is
// Denied, and says why.
func (f Flow) Next(m Moment) (Step, error) {
	for _, r := range rules {
		if !r.holds(f, m) {
			continue
		}
		if r.step == Denied || m.Silent {
			return Denied, r.err
		}
		return r.step, nil
	}
	return Granted, nil
}

// An Event is something that happened to a Flow. The caller has verified it.
type Event struct {
	Kind   Kind
	Login  Login  // of PasswordOK: the subject and the epoch
	Method Method // of FactorOK
	Epoch  string // of Enrolled: the account's epoch after it
}

// A Kind is a kind of Event. The zero Kind is a wrong answer.
type Kind int

const (
	Miss       Kind = iota // a wrong password or code
	PasswordOK             // a right password
	FactorOK               // a right code
	Enrolled               // the first right code of a new factor
	ConsentOK              // a yes
	Switched               // another account is to be used
	Cancelled              // a no, at any step
)

// accepts lists the events each step waits for. Anything else is a stale tab,
// a double click or an attack.
var accepts = map[Step][]Kind{
	AskPassword: {PasswordOK, Miss, Switched, Cancelled},
	AskEnroll:   {Enrolled, Miss, Cancelled},
	AskFactor:   {FactorOK, Miss, Cancelled},
	ShowCodes:   {Cancelled},
	AskConsent:  {ConsentOK, Cancelled},
	Granted:     {Cancelled}, // a no to a page that another tab has answered with yes
}

// Apply returns f after e. If e is not what f waits for, it returns f as it
// was and ErrOutOfStep, or the reason f is denied.
func (f Flow) Apply(e Event, m Moment) (Flow, error) {
	step, err := f.Next(m)
	if err != nil {
		return f, err
	}
	if !slices.Contains(accepts[step], e.Kind) {
		return f, ErrOutOfStep
	}
	switch e.Kind {
	case Miss:
		f.Misses++
	case PasswordOK:
		// What one person approved, another has not.
		f.Approved = f.Approved && f.Login.Subject == e.Login.Subject
		f.Login = f.Login.Merge(Login{e.Login.Subject, e.Login.Epoch, Proofs{Password: m.Now}})
	case FactorOK:
		if !f.Asked(m).Has(e.Method) {
			return f, ErrOutOfStep
		}
		f.Login.Proofs[e.Method] = m.Now
	case Enrolled:
		f.Login.Proofs[OTP] = m.Now
		f.Login.Epoch = e.Epoch
	case ConsentOK:
		f.Approved = true
	case Switched:
		if !f.CanSwitch(m) {
			return f, ErrOutOfStep
		}
		f = Flow{Misses: f.Misses, Created: f.Created}
	case Cancelled:
		f.Ended = true
	}
	return f, nil
}

// CanSwitch reports whether f waits for a password that may be another
// account's.
func (f Flow) CanSwitch(m Moment) bool {
	step, err := f.Next(m)
	return err == nil && step == AskPassword && f.Pinned != "" && m.Subject == ""
}
