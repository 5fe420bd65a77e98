package authflow

import (
	"testing"
	"time"
)

// PA-4
func TestAFlowLivesFifteenMinutes(t *testing.T) {
	d := demand(t, "", mfa)
	for _, session := range []Login{{}, login(t0.Add(-time.Hour), Password), login(t0.Add(-time.Hour), Password, OTP)} {
		f := Begin(d, session, t0)
		m := at(d, 15*time.Minute-time.Nanosecond)
		if step, err := f.Next(m); step == Denied {
			t.Errorf("denied in time: %v", err)
		}
		m.Now = t0.Add(15 * time.Minute)
		wantDenied(t, f, m, ErrExpired)
		for _, e := range append(events, Event{}) {
			refuse(t, f, e, m, ErrExpired)
		}
	}
}

// PA-4: absolute, and before the flow's own end; a code a moment too late is
// refused, even if its page was in time.
func TestAPasswordLivesTenMinutes(t *testing.T) {
	d := demand(t, "", mfa)
	for _, given := range []time.Duration{0, time.Minute, 5*time.Minute - time.Nanosecond} {
		m := at(d, given)
		f := apply(t, Begin(d, Login{}, t0), password("alice"), m)
		m.Now = t0.Add(given + 10*time.Minute - time.Nanosecond)
		done := apply(t, f, factor(OTP), m)
		wantStep(t, done, m, AskConsent)
		m.Now = t0.Add(given + 10*time.Minute)
		refuse(t, f, factor(OTP), m, ErrExpired)
		refuse(t, done, Event{Kind: ConsentOK}, m, ErrExpired)
	}
	// That of a session is as old as the session; the flow's own limit holds.
	f := Begin(d, login(t0.Add(-time.Hour), Password), t0)
	apply(t, f, factor(OTP), at(d, 14*time.Minute))
}

// SU-4: measured when it is asked, inclusive; and what is proven on the way
// is not asked for twice, however short the limit.
func TestMaxAgeIsMeasuredAtTheMoment(t *testing.T) {
	d := demand(t, "max_age=60", mfa)
	f := Begin(d, login(t0.Add(-30*time.Second), Password, OTP), t0)
	wantStep(t, f, at(d, 0), AskConsent)
	wantStep(t, f, at(d, 30*time.Second), AskConsent)
	wantStep(t, f, at(d, 30*time.Second+time.Nanosecond), AskPassword)
	for _, query := range []string{"max_age=0", "max_age=1", "prompt=login"} {
		d := demand(t, query, mfa)
		f := Begin(d, login(t0.Add(-30*time.Second), Password, OTP), t0)
		m := at(d, time.Minute)
		wantStep(t, f, m, AskPassword)
		f = apply(t, f, password("alice"), m)
		m.Now = t0.Add(5 * time.Minute)
		wantStep(t, f, m, AskFactor)
		f = apply(t, f, factor(OTP), m)
		m.Now = t0.Add(9 * time.Minute)
		wantStep(t, f, m, AskConsent)
		f = apply(t, f, Event{Kind: ConsentOK}, m)
		wantStep(t, f, m, Granted)
	}
}

// SU-6
func TestAFreshPasswordDoesNotFreshenACode(t *testing.T) {
	d := demand(t, "max_age=60", mfa)
	session := login(t0.Add(-time.Hour), Password, OTP)
	session.Proofs[Password] = t0.Add(-time.Second)
	wantStep(t, Begin(d, session, t0), at(d, 0), AskFactor)

	session.Proofs[Password], session.Proofs[OTP] = session.Proofs[OTP], session.Proofs[Password]
	f := Begin(d, session, t0)
	m := at(d, 0)
	wantStep(t, f, m, AskPassword)
	f = apply(t, f, password("alice"), m)
	wantStep(t, f, m, AskConsent)
	// The code of the session ages on, behind the fresh password.
	wantStep(t, f, at(d, time.Minute), AskFactor)
}

// SU-5
func TestPromptLoginProvesEverythingAnewForTheSameUser(t *testing.T) {
	d := demand(t, "prompt=login", mfa)
	f := Begin(d, login(t0.Add(-time.Second), Password, OTP), t0)
	m := at(d, 0)
	wantStep(t, f, m, AskPassword)
	wantDenied(t, apply(t, f, password("bob"), m), m, ErrWrongSubject)
	f = apply(t, f, password("alice"), m)
	wantStep(t, f, m, AskFactor)
	f = apply(t, f, factor(OTP), m)
	wantStep(t, f, m, AskConsent)
}

// SU-2: a session says who it is, however old, and so what they can reach: a
// password that is asked for in vain is one typed for nothing.
func TestWhatCannotBeReachedIsDeniedBeforeAnyPage(t *testing.T) {
	for _, query := range []string{"acr_values=phr", "acr_values=phr&max_age=60", "acr_values=phr&max_age=0", "acr_values=phr&prompt=login", "acr_values=phr&max_age=60&prompt=none"} {
		d := demand(t, query, mfa)
		f := Begin(d, login(t0.Add(-time.Hour), Password, OTP), t0)
		m := at(d, 0)
		wantDenied(t, f, m, ErrUnmet)
		m.SessionEnded = true
		wantDenied(t, f, m, ErrUnmet)
		m.Enrolled |= Of(Passkey)
		if !d.Silent {
			wantStep(t, f, m, AskPassword)
		}
	}
	// Whose browser it is to be, nobody knows yet.
	d := demand(t, "acr_values=phr&prompt=select_account", mfa)
	wantStep(t, Begin(d, login(t0.Add(-time.Hour), Password, OTP), t0), at(d, 0), AskPassword)
}

func TestTheTenthWrongAnswerEndsAFlow(t *testing.T) {
	d := demand(t, "", mfa)
	m := at(d, 0)
	f := Begin(d, Login{}, t0)
	for range 5 {
		f = apply(t, f, Event{Kind: Miss}, m)
	}
	f = apply(t, f, password("alice"), m) // which does not start the count anew
	for range 4 {
		f = apply(t, f, Event{Kind: Miss}, m)
	}
	wantStep(t, f, m, AskFactor)
	f = apply(t, f, Event{Kind: Miss}, m)
	for _, e := range append(events, Event{}) {
		refuse(t, f, e, m, ErrExhausted)
	}
}

// PA-7
func TestWhatHappensToTheAccountEndsTheFlow(t *testing.T) {
	d := demand(t, "", mfa)
	tests := []struct {
		what string
		to   func(*Moment)
		want error
	}{
		{"disabled", func(m *Moment) { m.Blocked = true }, ErrBlocked},
		{"password stolen", func(m *Moment) { m.Stolen = true }, ErrBlocked},
		{"password or factors changed", func(m *Moment) { m.Epoch = "2" }, ErrOutdated},
		{"epoch gone", func(m *Moment) { m.Epoch = "" }, ErrOutdated},
	}
	for _, tt := range tests {
		for _, ms := range [][]Method{{Password}, {Password, OTP}} {
			m := at(d, 0)
			tt.to(&m)
			f := Begin(d, login(t0.Add(-time.Hour), ms...), t0)
			wantDenied(t, f, m, tt.want)
			for _, e := range append(events, Event{}) {
				refuse(t, f, e, m, tt.want)
			}
		}
	}
}

// PA-9
func TestASilentFlowIsDeniedForWhatItsPageWouldAsk(t *testing.T) {
	d := demand(t, "prompt=none", mfa)
	old := t0.Add(-time.Hour)
	tests := []struct {
		session Login
		to      func(*Moment)
		want    error
	}{
		{Login{}, func(m *Moment) {}, ErrLoginNeeded},
		{login(old, Password), func(m *Moment) {}, ErrFactorNeeded},
		{login(t0.Add(-time.Minute), Password), func(m *Moment) { m.Status = Status{MayEnroll: true} }, ErrEnrollNeeded},
		{login(old, Password), func(m *Moment) { m.Status = Status{MayEnroll: true} }, ErrLoginNeeded},
		{login(old, Password), func(m *Moment) { m.Status = Status{} }, ErrUnmet},
		{login(old, Password, OTP), func(m *Moment) { m.Unsaved = true }, ErrCodesUnsaved},
		{login(old, Password, OTP), func(m *Moment) {}, ErrConsentNeeded},
		{login(old, Password, OTP), func(m *Moment) { m.SessionEnded = true }, ErrLoginNeeded},
	}
	for _, tt := range tests {
		m := at(d, 0)
		tt.to(&m)
		f := Begin(d, tt.session, t0)
		wantDenied(t, f, m, tt.want)
		for _, e := range append(events, Event{}) {
			refuse(t, f, e, m, tt.want)
		}
	}
	m := at(d, 0)
	m.Approved = true
	wantStep(t, Begin(d, login(old, Password, OTP), t0), m, Granted)
}

func TestConsent(t *testing.T) {
	first := Policy{Floor: Floor{Level: "mfa"}, FirstParty: true}
	tests := []struct {
		query    string
		policy   Policy
		approved bool
		want     Step
	}{
		{"", mfa, false, AskConsent},
		{"", mfa, true, Granted},
		{"", first, false, Granted},
		{"prompt=consent", mfa, true, AskConsent},
		{"prompt=consent", first, true, AskConsent},
	}
	for _, tt := range tests {
		m := at(demand(t, tt.query, tt.policy), 0)
		m.Approved = tt.approved
		f := Begin(m.Demand, login(t0.Add(-time.Hour), Password, OTP), t0)
		wantStep(t, f, m, tt.want)
		if tt.want == AskConsent {
			wantStep(t, apply(t, f, Event{Kind: ConsentOK}, m), m, Granted)
		}
	}
}

// AD-2
func TestZeroValuesDeny(t *testing.T) {
	if Step(0) != Denied || Kind(0) != Miss {
		t.Error("the zero Step is not Denied or the zero Event no wrong answer")
	}
	wantDenied(t, Flow{}, Moment{}, ErrUnmet)
	wantDenied(t, Flow{}, at(demand(t, "", mfa), 0), ErrExpired)
	if g, err := (Flow{}).Grant(Moment{}); err == nil || g != (Grant{}) {
		t.Errorf("the zero Flow is granted: %+v", g)
	}

	full := login(t0, Password, OTP, Recovery, Passkey)
	f := Flow{Login: full, Approved: true, Created: t0}
	m := at(Demand{}, 0)
	m.Approved = true
	wantDenied(t, f, m, ErrUnmet)
	wantDenied(t, Begin(Demand{}, full, t0), m, ErrUnmet)

	m.Demand = demand(t, "", Policy{}) // the strongest level of the default ladder
	wantStep(t, f, m, Granted)
	for _, ms := range [][]Method{{Password}, {Password, OTP}, {Password, OTP, Recovery}} {
		wantDenied(t, Flow{Login: login(t0, ms...), Approved: true, Created: t0}, m, ErrUnmet)
	}
	m.Approved = false
	f.Approved = false
	wantStep(t, f, m, AskConsent)

	var g Grant
	if g.Login().Subject != "" || g.ACR() != "" || g.AMR() != nil || !g.AuthTime().IsZero() {
		t.Errorf("the zero Grant says %+v", g)
	}
	if (Verdict{}).OK || (Status{}).MayEnroll || (Status{}).Enrolled != 0 || Methods(0).Has(Password) {
		t.Error("a zero Verdict, Status or Methods allows something")
	}
	if (Policy{}).Allows(Of(Password, OTP, Recovery), Wants{}) {
		t.Error("the zero Policy allows less than the strongest level")
	}

	// Someone without a name signs in as nobody.
	m = at(demand(t, "", mfa), 0)
	f = apply(t, Begin(m.Demand, Login{}, t0), Event{Kind: PasswordOK}, m)
	wantStep(t, f, m, AskPassword)
	f = apply(t, f, password("alice"), m)
	if got, want := f.Login, login(t0, Password); got != want {
		t.Errorf("after nobody, alice: %+v, want %+v", got, want)
	}
}
