package authflow

import "testing"

// OA-6
func TestAGrantStandsWhileItsProofsSatisfyThePolicy(t *testing.T) {
	scopes := map[string]string{"mail": "mfa", "payments": "phr", "odd": "gold"}
	pwd, two := Of(Password), Of(Password, OTP)
	tests := []struct {
		policy Policy
		proven Methods
		scopes []string
		want   bool
	}{
		{Policy{Floor: "pwd"}, pwd, nil, true},
		{Policy{Floor: "pwd"}, 0, nil, false},
		{Policy{Floor: "pwd"}, Of(OTP), nil, false},
		{Policy{Floor: "mfa"}, pwd, nil, false},
		{Policy{Floor: "mfa"}, two, nil, true},
		{Policy{Floor: "mfa"}, Of(Passkey), nil, true},
		{Policy{}, two, nil, false},
		{Policy{Ladder: Ladder{}}, two, nil, false},
		{Policy{}, Of(Passkey), nil, true},
		{Policy{Floor: "gold"}, Of(Passkey), nil, false},
		{Policy{Floor: "pwd", Scopes: scopes}, pwd, []string{"openid"}, true},
		{Policy{Floor: "pwd", Scopes: scopes}, pwd, []string{"openid", "mail"}, false},
		{Policy{Floor: "pwd", Scopes: scopes}, two, []string{"openid", "mail"}, true},
		{Policy{Floor: "pwd", Scopes: scopes}, two, []string{"payments", "mail"}, false},
		{Policy{Floor: "pwd", Scopes: scopes}, Of(Passkey), []string{"odd"}, false},
	}
	for _, tt := range tests {
		if got := tt.policy.Allows(tt.proven, tt.scopes); got != tt.want {
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
	if !mfa.Allows(g.Login().Proofs.Set(), nil) {
		t.Error("the policy that granted it does not allow it")
	}
}
