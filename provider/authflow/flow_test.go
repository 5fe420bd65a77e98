package authflow

import (
	"errors"
	"net/url"
	"testing"
	"time"
)

var t0 = time.Date(2026, 11, 22, 3, 4, 5, 0, time.UTC)

// mfa is a policy that asks for a second factor.
var mfa = Policy{Floor: Floor{Level: "mfa"}}

// demand parses query under p.
func demand(t testing.TB, query string, p Policy) Demand {
	t.Helper()
	d, err := Parse(queryOf(t, query), p)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func queryOf(t testing.TB, s string) url.Values {
	t.Helper()
	form, err := url.ParseQuery(s)
	if err != nil {
		t.Fatal(err)
	}
	return form
}

// at returns the moment age after t0, of someone with an authenticator app and
// recovery codes whose account is in epoch 1.
func at(d Demand, age time.Duration) Moment {
	return Moment{Demand: d, Status: Status{Enrolled: Of(OTP, Recovery)}, Now: t0.Add(age), Epoch: "1"}
}

// login returns the login of alice, with each of ms proven at t.
func login(t time.Time, ms ...Method) Login {
	l := Login{Subject: "alice", Epoch: "1"}
	for _, m := range ms {
		l.Proofs[m] = t
	}
	return l
}

// wantStep fails the test unless f waits for step at m.
func wantStep(t *testing.T, f Flow, m Moment, want Step) {
	t.Helper()
	if got, err := f.Next(m); got != want {
		t.Errorf("step is %v (%v), want %v", got, err, want)
	}
}

// wantDenied fails the test unless f is denied at m for the reason want.
func wantDenied(t *testing.T, f Flow, m Moment, want error) {
	t.Helper()
	if got, err := f.Next(m); got != Denied || !errors.Is(err, want) {
		t.Errorf("step is %v (%v), want a denial: %v", got, err, want)
	}
}

// apply applies e to f at m, which must be what f waits for.
func apply(t *testing.T, f Flow, e Event, m Moment) Flow {
	t.Helper()
	next, err := f.Apply(e, m)
	if err != nil {
		t.Fatalf("%v: %v", e, err)
	}
	return next
}

// refuse applies e to f at m, which must change nothing and be answered with
// the error want.
func refuse(t *testing.T, f Flow, e Event, m Moment, want error) {
	t.Helper()
	next, err := f.Apply(e, m)
	if !errors.Is(err, want) {
		t.Errorf("%v is answered with %v, want %v", e, err, want)
	}
	if next != f {
		t.Errorf("%v was refused and changed the flow to %+v", e, next)
	}
}

func password(subject string) Event {
	return Event{Kind: PasswordOK, Login: Login{Subject: subject, Epoch: "1"}}
}

func factor(m Method) Event { return Event{Kind: FactorOK, Method: m} }

// Alice approves, her session ends before the code is issued, and Bob takes
// the browser over: nobody has asked Bob.
func TestWhatOnePersonApprovedAnotherHasNot(t *testing.T) {
	d := demand(t, "", mfa)
	m := at(d, 0)
	f := apply(t, Begin(d, login(t0.Add(-time.Hour), Password, OTP), t0), Event{Kind: ConsentOK}, m)
	m.SessionEnded = true
	f = apply(t, f, Event{Kind: Switched}, m)
	f = apply(t, f, password("bob"), m)
	f = apply(t, f, factor(OTP), m)
	wantStep(t, f, m, AskConsent)

	// Nor where nobody has said that another account is to be used.
	f = Flow{Login: login(t0.Add(-time.Hour), Password), Approved: true, Created: t0}
	f = apply(t, f, password("bob"), m)
	f = apply(t, f, factor(OTP), m)
	wantStep(t, f, m, AskConsent)
}

func (s Step) String() string {
	return [...]string{"Denied", "AskPassword", "AskEnroll", "AskFactor", "ShowCodes", "AskConsent", "Granted"}[s]
}

func (k Kind) String() string {
	return [...]string{"Miss", "PasswordOK", "FactorOK", "Enrolled", "ConsentOK", "Switched", "Cancelled"}[k]
}

// Two replicas, one clock ahead of the other: what was proven in a session
// must not look proven in the flow. // SU-5, SE-3
func TestAProofOfASessionIsNeverOneOfTheFlow(t *testing.T) {
	for _, ahead := range []time.Duration{0, time.Microsecond, time.Second, time.Hour} {
		session := login(t0.Add(ahead), Password, OTP)
		for _, query := range []string{"prompt=login", "max_age=0"} {
			d := demand(t, query, mfa)
			wantStep(t, Begin(d, session, t0), at(d, 0), AskPassword)
		}
		d := demand(t, "", mfa)
		f := Begin(d, session, t0)
		wantStep(t, f, at(d, 0), AskConsent)
		m := at(d, 0)
		m.SessionEnded = true
		wantStep(t, f, m, AskPassword)
		d = demand(t, "max_age=60", mfa)
		f = Begin(d, session, t0)
		wantStep(t, f, at(d, time.Minute-time.Microsecond), AskConsent)
		wantStep(t, f, at(d, time.Minute), AskPassword)
	}
}

// The hint of the request holds to the end, even where a later step would
// forget to verify it again. // OA-11, SE-5
func TestAFlowIsPinnedToItsHintOrSession(t *testing.T) {
	old := t0.Add(-time.Hour)
	tests := []struct {
		query, hint string
		session     Login
		want        string
	}{
		{"", "", Login{}, ""},
		{"", "", login(old, Password), "alice"},
		{"prompt=login", "", login(old, Password), "alice"},
		{"max_age=60", "", login(old, Password), "alice"},
		{"prompt=select_account", "", login(old, Password), ""},
		{"", "alice", Login{}, "alice"},
		{"", "alice", login(old, Password), "alice"},
		{"", "bob", login(old, Password), "bob"},
		{"prompt=select_account", "bob", login(old, Password), "bob"},
		{"prompt=none", "bob", login(old, Password, OTP), "bob"},
	}
	for _, tt := range tests {
		d := demand(t, tt.query, mfa)
		d.Subject = tt.hint
		f := Begin(d, tt.session, t0)
		if f.Pinned != tt.want {
			t.Errorf("%q with hint %q and session of %q: pinned to %q, want %q", tt.query, tt.hint, tt.session.Subject, f.Pinned, tt.want)
		}
		if f.Login.Subject != "" && f.Login.Subject != tt.want {
			t.Errorf("%q with hint %q: kept the login of %q", tt.query, tt.hint, f.Login.Subject)
		}
		if tt.want == "" || d.Silent {
			continue
		}
		m := at(d, 0)
		m.SessionEnded = true
		wantDenied(t, apply(t, f, password("mallory"), m), m, ErrWrongSubject)
		wantStep(t, apply(t, f, password(tt.want), m), m, AskFactor)
		if tt.hint != "" {
			refuse(t, f, Event{Kind: Switched}, m, ErrOutOfStep)
			m.Subject = ""
			wantDenied(t, apply(t, f, password("mallory"), m), m, ErrWrongSubject)
		}
	}
}

func TestSwitchingLeavesEverythingBehindButTheMisses(t *testing.T) {
	d := demand(t, "prompt=login", mfa)
	m := at(d, 0)
	f := Begin(d, login(t0.Add(-time.Hour), Password, OTP), t0)
	if !f.CanSwitch(m) {
		t.Error("a flow pinned by a session cannot switch")
	}
	f = apply(t, f, Event{Kind: Miss}, m)
	f.Approved = true
	f = apply(t, f, Event{Kind: Switched}, m)
	if want := (Flow{Misses: 1, Created: t0}); f != want {
		t.Errorf("after switching: %+v, want %+v", f, want)
	}
	if f.CanSwitch(m) {
		t.Error("a flow pinned to nobody offers to switch")
	}
	refuse(t, f, Event{Kind: Switched}, m, ErrOutOfStep)
	f = apply(t, f, password("bob"), m)
	if f.CanSwitch(m) {
		t.Error("a flow offers to switch behind a password")
	}
	refuse(t, f, Event{Kind: Switched}, m, ErrOutOfStep)
}

// TO-11, TO-14, PA-2
func TestAPasswordEnrolsOnlyWhereThereIsNoFactorAtAll(t *testing.T) {
	d := demand(t, "", mfa)
	for _, enrolled := range []Methods{Of(OTP), Of(Recovery), Of(Passkey), Of(Passkey, Recovery)} {
		for _, proven := range []time.Time{t0.Add(-time.Hour), t0.Add(-time.Minute)} {
			f := Begin(d, login(proven, Password), t0)
			m := at(d, 0)
			m.Status = Status{Enrolled: enrolled, MayEnroll: true} // a careless Factor
			wantStep(t, f, m, AskFactor)
			refuse(t, f, Event{Kind: Enrolled, Epoch: "2"}, m, ErrOutOfStep)
		}
	}
	f := Begin(d, login(t0.Add(-time.Minute), Password), t0)
	m := at(d, 0)
	m.Status = Status{MayEnroll: true}
	wantStep(t, f, m, AskEnroll)
	m.Status = Status{}
	wantDenied(t, f, m, ErrUnmet)
}

// TO-14
func TestAnOldSessionEnrolsNothing(t *testing.T) {
	d := demand(t, "", mfa)
	m := at(d, 0)
	m.Status = Status{MayEnroll: true}
	for age, want := range map[time.Duration]Step{
		time.Minute:                      AskEnroll,
		10*time.Minute - time.Nanosecond: AskEnroll,
		10 * time.Minute:                 AskPassword,
		time.Hour:                        AskPassword,
	} {
		f := Begin(d, login(t0.Add(-age), Password), t0)
		wantStep(t, f, m, want)
		if want == AskPassword {
			wantStep(t, apply(t, f, password("alice"), m), m, AskEnroll)
		}
	}
	// A page left open.
	f := Begin(d, login(t0.Add(-time.Minute), Password), t0)
	m.Now = t0.Add(9 * time.Minute)
	refuse(t, f, Event{Kind: Enrolled, Epoch: "2"}, m, ErrOutOfStep)
	wantStep(t, f, m, AskPassword)
}

// strict is a ladder on which a recovery code reaches nothing.
var strict = Policy{Ladder: Ladder{
	{Name: "pwd", Ways: []Methods{Of(Password)}},
	{Name: "app", Ways: []Methods{Of(Password, OTP)}},
}}

// RC-4, TO-11
func TestARecoveryCodeThatIsNotEnoughLeadsToEnrolment(t *testing.T) {
	d := demand(t, "", strict)
	for _, enrolled := range []Methods{Of(OTP, Recovery), Of(Recovery)} {
		m := at(d, 0)
		m.Enrolled = enrolled
		f := Begin(d, login(t0.Add(-time.Hour), Password), t0)
		wantStep(t, f, m, AskFactor)
		f = apply(t, f, factor(Recovery), m)
		m.Enrolled &^= Of(Recovery) // it was the last one

		wantStep(t, f, m, AskEnroll)
		m.Now = t0.Add(5 * time.Minute)
		wantStep(t, f, m, AskEnroll)
		done := apply(t, f, Event{Kind: Enrolled, Epoch: "2"}, m)
		wantDenied(t, done, m, ErrOutdated)
		m.Epoch = "2"
		wantStep(t, done, m, AskConsent)

		m.Epoch = "1"
		m.Now = t0.Add(5*time.Minute + time.Nanosecond)
		if m.Enrolled.Has(OTP) {
			wantStep(t, f, m, AskFactor)
		} else {
			wantDenied(t, f, m, ErrUnmet)
		}
	}
}

// Nobody is sent to their recovery codes while another way is open, however
// long it is.
func TestRecoveryIsTheLastResort(t *testing.T) {
	p := Policy{Ladder: Ladder{
		{Name: "two", Ways: []Methods{Of(Password, Recovery), Of(Password, OTP, Passkey)}},
	}}
	d := demand(t, "", p)
	m := at(d, 0)
	f := Begin(d, login(t0.Add(-time.Hour), Password), t0)
	m.Enrolled = Of(OTP, Passkey, Recovery)
	if got, _ := f.missing(m); got != Of(OTP, Passkey) {
		t.Errorf("missing is %v, want otp and pop", got.Names())
	}
	m.Enrolled = Of(Passkey, Recovery)
	wantStep(t, f, m, AskFactor)
	wantStep(t, apply(t, f, factor(Recovery), m), m, AskConsent)
}

// A code that brings nobody nearer to what is demanded is not asked for, nor
// taken: it would be used up for nothing.
func TestOnlyTheFactorsThatAreMissingAreAskedFor(t *testing.T) {
	both := Policy{Ladder: Ladder{
		{Name: "pwd", Ways: []Methods{Of(Password)}},
		{Name: "two", Ways: []Methods{Of(Password, OTP, Passkey)}},
	}}
	all := Of(OTP, Recovery, Passkey)
	tests := []struct {
		name             string
		policy           Policy
		proven, enrolled Methods
		want             Methods
	}{
		{"any", mfa, 0, all, all},
		{"the passkey alone", Policy{}, 0, all, Of(Passkey)},
		{"what there is", mfa, 0, Of(Recovery), Of(Recovery)},
		{"both", both, 0, Of(OTP, Passkey), Of(OTP, Passkey)},
		{"the other", both, Of(OTP), Of(OTP, Passkey), Of(Passkey)},
		{"the other, and not a new phone", both, Of(OTP), all, Of(Passkey)},
		{"a new phone, too", both, Of(Passkey), all, Of(OTP, Recovery)},
		{"a new phone alone", both, Of(Passkey), Of(Passkey, Recovery), Of(Recovery)},
		{"a new phone instead", strict, 0, Of(OTP, Recovery), Of(OTP, Recovery)},
	}
	for _, tt := range tests {
		d := demand(t, "", tt.policy)
		m := at(d, 0)
		m.Enrolled = tt.enrolled
		f := Begin(d, Login{}, t0)
		if got := f.Asked(m); got != 0 {
			t.Errorf("%s: %v before the password", tt.name, got.Names())
		}
		f = apply(t, f, password("alice"), m)
		for one := OTP; one < methods; one++ {
			if tt.proven.Has(one) {
				f = apply(t, f, factor(one), m)
			}
		}
		wantStep(t, f, m, AskFactor)
		if got := f.Asked(m); got != tt.want {
			t.Errorf("%s: asked for are %v, want %v", tt.name, got.Names(), tt.want.Names())
		}
		for one := range methods {
			if !tt.want.Has(one) {
				refuse(t, f, factor(one), m, ErrOutOfStep)
			}
		}
	}
}

// PW-3, TO-8
func TestAPasswordIsAskedForBeforeAnyCode(t *testing.T) {
	m := at(demand(t, "max_age=60", mfa), 0)
	m.Enrolled = Of(OTP, Recovery, Passkey)
	for _, floor := range []string{"mfa", "phr"} {
		m.Demand = demand(t, "max_age=60", Policy{Floor: Floor{Level: floor}})
		session := login(t0.Add(-time.Hour), Password)
		session.Proofs[OTP] = t0.Add(-time.Second)
		f := Begin(m.Demand, session, t0)
		wantStep(t, f, m, AskPassword)
		ended := m
		ended.SessionEnded = true
		wantStep(t, f, ended, AskPassword)
		for _, method := range []Method{OTP, Recovery, Passkey} {
			refuse(t, f, factor(method), m, ErrOutOfStep)
			refuse(t, f, factor(method), ended, ErrOutOfStep)
		}
	}
}

// OA-11
func TestAHintThatComesLateHoldsAsWell(t *testing.T) {
	d := demand(t, "", mfa)
	f := apply(t, Begin(d, Login{}, t0), password("mallory"), at(d, 0))
	d.Subject = "alice"
	wantDenied(t, f, at(d, 0), ErrWrongSubject)
}

func TestAPasswordIsNoSecondFactor(t *testing.T) {
	d := demand(t, "", mfa)
	m := at(d, 0)
	m.Enrolled = Of(Password, OTP) // a Factor that counts it in
	f := apply(t, Begin(d, Login{}, t0), password("alice"), m)
	refuse(t, f, factor(Password), m, ErrOutOfStep)
	for _, e := range []Event{factor(Recovery), factor(Passkey), factor(methods)} {
		refuse(t, f, e, m, ErrOutOfStep)
	}
}
