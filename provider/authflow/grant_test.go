package authflow

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// granted returns the Grant of f at m, with consent given before.
func granted(t *testing.T, f Flow, m Moment) Grant {
	t.Helper()
	m.Approved = true
	g, err := f.Grant(m)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TK-2, SE-3, SU-8
func TestAGrantSaysWhatCountedAndNothingElse(t *testing.T) {
	old, young := t0.Add(-time.Hour), t0.Add(-30*time.Second)
	session := Login{Subject: "alice", Epoch: "1", Proofs: Proofs{Password: young, OTP: old}}
	tests := []struct {
		query  string
		policy Policy
		login  Login
		amr    []string
		acr    string
		time   time.Time
	}{
		{"", Policy{Floor: Floor{Level: "pwd"}}, login(old, Password), []string{"pwd"}, "pwd", old},
		{"", Policy{Floor: Floor{Level: "pwd"}}, session, []string{"pwd", "otp"}, "mfa", old},
		{"max_age=60", Policy{Floor: Floor{Level: "pwd"}}, session, []string{"pwd"}, "pwd", young},
		{"", mfa, session, []string{"pwd", "otp"}, "mfa", old},
		{"", mfa, login(young, Password, Recovery), []string{"pwd", "recovery"}, "mfa", young}, // RC-4
		{"", mfa, login(young, Password, OTP, Recovery), []string{"pwd", "otp", "recovery"}, "mfa", young},
		{"", mfa, login(young, Password, Passkey), []string{"pwd", "pop"}, "phr", young},
		{"", Policy{}, login(old, Passkey), []string{"pop"}, "phr", old},

		// The names a request knows, of those the strongest reached. // SU-2
		{"acr_values=pwd", mfa, session, []string{"pwd", "otp"}, "pwd", old},
		{"acr_values=pwd+mfa", Policy{Floor: Floor{Level: "pwd"}}, session, []string{"pwd", "otp"}, "mfa", old},
		{"acr_values=mfa+pwd", Policy{Floor: Floor{Level: "pwd"}}, session, []string{"pwd", "otp"}, "mfa", old},
		{"acr_values=mfa+pwd&max_age=7200", Policy{Floor: Floor{Level: "pwd"}}, session, []string{"pwd", "otp"}, "mfa", old},
		{"acr_values=mfa", Policy{Floor: Floor{Level: "pwd"}}, login(old, Password, Passkey), []string{"pwd", "pop"}, "mfa", old},
		{"acr_values=gold", mfa, session, []string{"pwd", "otp"}, "mfa", old},
		{`claims={"id_token":{"acr":{"essential":true,"value":"pwd"}}}&acr_values=mfa`, mfa, session, []string{"pwd", "otp"}, "pwd", old},
	}
	for _, tt := range tests {
		d := demand(t, tt.query, tt.policy)
		m := at(d, 0)
		m.Enrolled = 0 // nothing better is to be had
		g := granted(t, Begin(d, tt.login, t0), m)
		if got := g.AMR(); !slices.Equal(got, tt.amr) {
			t.Errorf("%q: amr %v, want %v", tt.query, got, tt.amr)
		}
		if g.ACR() != tt.acr {
			t.Errorf("%q with %v: acr %q, want %q", tt.query, tt.amr, g.ACR(), tt.acr)
		}
		if !g.AuthTime().Equal(tt.time) {
			t.Errorf("%q: auth_time %v, want %v", tt.query, g.AuthTime(), tt.time)
		}
		if g.Login().Subject != "alice" || g.Login().Epoch != "1" || !g.Requested().Equal(t0) {
			t.Errorf("%q: %+v", tt.query, g)
		}
	}
}

func TestAnAliasIsNamedAsItWasAskedFor(t *testing.T) {
	ladder := slices.Clone(DefaultLadder)
	ladder[1].Aliases = []string{"https://refeds.org/profile/mfa"}
	p := Policy{Ladder: ladder, Floor: Floor{Level: "https://refeds.org/profile/mfa"}}
	session := login(t0.Add(-time.Hour), Password, OTP)
	for query, want := range map[string]string{
		"": "mfa",
		"acr_values=https://refeds.org/profile/mfa":     "https://refeds.org/profile/mfa",
		"acr_values=mfa+https://refeds.org/profile/mfa": "mfa",
	} {
		d := demand(t, query, p)
		if got := granted(t, Begin(d, session, t0), at(d, 0)).ACR(); got != want {
			t.Errorf("%q: acr %q, want %q", query, got, want)
		}
	}
}

// PA-8
func TestThereIsNoGrantBeforeItsTime(t *testing.T) {
	d := demand(t, "", mfa)
	m := at(d, 0)
	f := Begin(d, Login{}, t0)
	for _, e := range []Event{password("alice"), factor(OTP), {Kind: ConsentOK}} {
		if g, err := f.Grant(m); !errors.Is(err, ErrNotGranted) || g != (Grant{}) {
			t.Errorf("before %v: granted %+v, %v", e, g, err)
		}
		f = apply(t, f, e, m)
	}
	if _, err := f.Grant(m); err != nil {
		t.Error(err)
	}
	f.Ended = true
	if g, err := f.Grant(m); !errors.Is(err, ErrEnded) || g != (Grant{}) {
		t.Errorf("twice: granted %+v, %v", g, err)
	}
	for _, e := range append(events, Event{}) {
		refuse(t, f, e, m, ErrEnded)
	}
}

func TestTheOldestProof(t *testing.T) {
	a, b := t0, t0.Add(time.Second)
	for _, tt := range []struct {
		proofs Proofs
		want   time.Time
	}{
		{Proofs{}, time.Time{}},
		{Proofs{OTP: b}, b},
		{Proofs{Password: b, OTP: a}, a},
		{Proofs{Password: a, Passkey: b}, a},
	} {
		before := tt.proofs
		if got := tt.proofs.Oldest(); !got.Equal(tt.want) {
			t.Errorf("oldest of %v is %v, want %v", tt.proofs, got, tt.want)
		}
		if tt.proofs != before {
			t.Error("asking for the oldest proof changed the proofs")
		}
	}
}
