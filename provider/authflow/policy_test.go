package authflow

import "testing"

// OA-6
func TestAGrantStandsWhileItsProofsSatisfyThePolicy(t *testing.T) {
	scopes := map[string]Floor{"mail": {Level: "mfa"}, "payments": {Level: "phr"}, "odd": {Level: "gold"}}
	pwd, two := Of(Password), Of(Password, OTP)
	tests := []struct {
		policy Policy
		proven Methods
		scopes []string
		want   bool
	}{
		{Policy{Floor: Floor{Level: "pwd"}}, pwd, nil, true},
		{Policy{Floor: Floor{Level: "pwd"}}, 0, nil, false},
		{Policy{Floor: Floor{Level: "pwd"}}, Of(OTP), nil, false},
		{Policy{Floor: Floor{Level: "mfa"}}, pwd, nil, false},
		{Policy{Floor: Floor{Level: "mfa"}}, two, nil, true},
		{Policy{Floor: Floor{Level: "mfa"}}, Of(Passkey), nil, true},
		{Policy{}, two, nil, false},
		{Policy{Ladder: Ladder{}}, two, nil, false},
		{Policy{}, Of(Passkey), nil, true},
		{Policy{Floor: Floor{Level: "gold"}}, Of(Passkey), nil, false},
		{Policy{Floor: Floor{Level: "pwd"}, Scopes: scopes}, pwd, []string{"openid"}, true},
		{Policy{Floor: Floor{Level: "pwd"}, Scopes: scopes}, pwd, []string{"openid", "mail"}, false},
		{Policy{Floor: Floor{Level: "pwd"}, Scopes: scopes}, two, []string{"openid", "mail"}, true},
		{Policy{Floor: Floor{Level: "pwd"}, Scopes: scopes}, two, []string{"payments", "mail"}, false},
		{Policy{Floor: Floor{Level: "pwd"}, Scopes: scopes}, Of(Passkey), []string{"odd"}, false},
	}
	for _, tt := range tests {
		if got := tt.policy.Allows(tt.proven, Wants{Scopes: tt.scopes}); got != tt.want {
			t.Errorf("%+v allows %v for %v: %v, want %v", tt.policy, tt.proven.Names(), tt.scopes, got, tt.want)
		}
	}
}

// A client asks for pwd where mfa is the least: it gets mfa, called pwd, and
// its refresh tokens must go on working.
func TestAGrantThatNamesAWeakerLevelStands(t *testing.T) {
	d := demand(t, "acr_values=pwd", mfa)
	m := at(d, 0)
	m.Approved = true
	g, err := Flow{Created: t0, Login: login(t0, Password, OTP)}.Grant(m)
	if err != nil || g.ACR() != "pwd" {
		t.Fatalf("granted %q, %v; want pwd", g.ACR(), err)
	}
	if !mfa.Allows(g.Login().Proofs.Set(), Wants{}) {
		t.Error("the policy that granted it does not allow it")
	}
}
