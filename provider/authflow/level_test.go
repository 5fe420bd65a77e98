package authflow

import "testing"

func TestALadderIsChecked(t *testing.T) {
	pwd := []Methods{Of(Password)}
	tests := []struct {
		name   string
		ladder Ladder
		good   bool
	}{
		{"the default", DefaultLadder, true},
		{"one level", Ladder{{Name: "pwd", Ways: pwd}}, true},
		{"none", Ladder{}, false},
		{"no way", Ladder{{Name: "pwd"}}, false},
		{"a way of no method", Ladder{{Name: "pwd", Ways: []Methods{Of(Password), Of()}}}, false},
		{"no name", Ladder{{Ways: pwd}}, false},
		{"an empty alias", Ladder{{Name: "pwd", Aliases: []string{""}, Ways: pwd}}, false},
		{"a name twice", Ladder{{Name: "pwd", Ways: pwd}, {Name: "pwd", Ways: pwd}}, false},
		{"an alias that is a name", Ladder{{Name: "pwd", Ways: pwd}, {Name: "mfa", Aliases: []string{"pwd"}, Ways: pwd}}, false},
	}
	for _, tt := range tests {
		if err := tt.ladder.Check(); (err == nil) != tt.good {
			t.Errorf("%s: %v, want good: %v", tt.name, err, tt.good)
		}
	}
}

// AD-2
func TestNothingProvenReachesNothing(t *testing.T) {
	d := demand(t, "", Policy{Ladder: Ladder{{Name: "open", Ways: []Methods{0}}}})
	f := Flow{Created: t0, Login: Login{Subject: "alice", Epoch: "1"}}
	wantDenied(t, f, at(d, 0), ErrUnmet)
	if got := d.policy.Ladder.reached(Of(Password, OTP)); got != -1 {
		t.Errorf("a level without methods is reached: %d", got)
	}
}

// SU-8
func TestTheLevelReachedIsTheStrongestProven(t *testing.T) {
	tests := []struct {
		proven Methods
		want   int
	}{
		{0, -1},
		{Of(OTP), -1},
		{Of(Recovery), -1},
		{Of(OTP, Recovery), -1},
		{Of(Password), 0},
		{Of(Password, Password), 0},
		{Of(Password, OTP), 1},
		{Of(Password, Recovery), 1},
		{Of(Passkey), 2},
		{Of(Password, Passkey), 2},
	}
	for _, tt := range tests {
		if got := DefaultLadder.reached(tt.proven); got != tt.want {
			t.Errorf("%v reaches %d, want %d", tt.proven.Names(), got, tt.want)
		}
	}
}

func TestOfTwoWaysAsShortTheWeakerIsTaken(t *testing.T) {
	able := Of(Password, OTP, Passkey, Recovery)
	if got, ok := DefaultLadder[1:].shortest(able, Of(Password)); !ok || got != Of(OTP) {
		t.Errorf("missing is %v, %v; want otp", got.Names(), ok)
	}
	if got, ok := DefaultLadder[1:].shortest(able, 0); !ok || got != Of(Passkey) {
		t.Errorf("missing is %v, %v; want pop, which alone is enough", got.Names(), ok)
	}
}
