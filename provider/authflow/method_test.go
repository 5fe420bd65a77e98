package authflow

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
)

func TestMethodsHaveTheirNamesInAMR(t *testing.T) {
	want := []string{"pwd", "otp", "recovery", "pop"}
	if got := Of(Password, OTP, Recovery, Passkey).Names(); !slices.Equal(got, want) {
		t.Errorf("names are %v, want %v", got, want)
	}
	for i, name := range want {
		m, err := ParseMethod(name)
		if err != nil || m != Method(i) || m.String() != name {
			t.Errorf("%s parses as %v, %v", name, m, err)
		}
	}
	for _, name := range []string{"", "PWD", "mfa", "Method(4)", "pwd "} {
		if m, err := ParseMethod(name); err == nil {
			t.Errorf("%q parses as %v", name, m)
		}
	}
	if got := Method(9).String(); got != "Method(9)" {
		t.Errorf("a method that is none is called %s", got)
	}
}

func TestProofsSurviveJSON(t *testing.T) {
	z := time.FixedZone("", 3600)
	for _, want := range []Proofs{
		{},
		{Password: t0},
		{Password: t0, OTP: t0.Add(time.Microsecond)},
		{Password: t0, OTP: t0.Add(time.Second), Recovery: t0.Add(-time.Hour), Passkey: t0.Add(time.Nanosecond)},
		{Password: t0.In(z)},
	} {
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got := Proofs{Recovery: t0} // what was there before goes
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		for m := range methods {
			if !got[m].Equal(want[m]) {
				t.Errorf("%s: %v is %v, want %v", b, m, got[m], want[m])
			}
			if got[m].Location() != time.UTC {
				t.Errorf("%s: %v is not in UTC", b, m)
			}
		}
	}
	b, err := json.Marshal(Proofs{Password: t0, OTP: t0})
	if want := `{"otp":"2026-11-22T03:04:05Z","pwd":"2026-11-22T03:04:05Z"}`; err != nil || string(b) != want {
		t.Errorf("written as %s, %v; want %s", b, err, want)
	}
}

func TestProofsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, text := range []string{
		`{"sms":"2026-11-22T03:04:05Z"}`,
		`{"pwd":"2026-11-22T03:04:05Z","":"2026-11-22T03:04:05Z"}`,
		`{"PWD":"2026-11-22T03:04:05Z"}`,
		`{"pwd":"yesterday"}`, `{"pwd":1}`, `["pwd"]`, `"pwd"`, `{`,
	} {
		var p Proofs
		if err := json.Unmarshal([]byte(text), &p); err == nil {
			t.Errorf("%s is read as %v", text, p)
		}
	}
	p := Proofs{Password: t0}
	if err := json.Unmarshal([]byte(`{"pwd":"0001-01-01T00:00:00Z"}`), &p); err != nil || p.Set() != 0 {
		t.Errorf("the zero time is read as a proof: %v, %v", p, err)
	}
}

// SE-5
func TestProofsOfTwoPeopleAreNeverMixed(t *testing.T) {
	early, late := t0, t0.Add(time.Minute)
	a := Login{"alice", "1", Proofs{Password: late, OTP: early}}
	tests := []struct {
		name    string
		m, want Login
	}{
		{"of the same", Login{"alice", "1", Proofs{Password: early, OTP: late}}, Login{"alice", "1", Proofs{Password: late, OTP: late}}},
		{"of another", Login{"bob", "1", Proofs{Password: early}}, Login{"bob", "1", Proofs{Password: early}}},
		{"of another epoch", Login{"alice", "2", Proofs{Password: early}}, Login{"alice", "2", Proofs{Password: early}}},
		{"of nobody", Login{}, Login{}},
	}
	for _, tt := range tests {
		if got := a.Merge(tt.m); got != tt.want {
			t.Errorf("merged with a login %s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
	if got := (Login{}).Merge(a); got != a {
		t.Errorf("a stranger merged with a login: %+v, want %+v", got, a)
	}
}
