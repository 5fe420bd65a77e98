package authflow

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// bank has every kind of floor.
var bank = Policy{
	Floor: Floor{Level: "pwd"},
	Scopes: map[string]Floor{
		"mail":     {Level: "mfa"},
		"transfer": {Level: "mfa", MaxAge: 5 * time.Minute},
		"card":     {Level: "mfa", FactorMaxAge: 5 * time.Minute},
		"lately":   {MaxAge: time.Hour},
		"pay":      {Level: "mfa", Once: true},
	},
	Resources: map[string]Floor{"https://api.example": {Level: "mfa"}},
	Details:   map[string]Floor{"payment": {Level: "mfa"}},
}

// SU-1: each floor holds, of whatever kind, and the strictest of all.
func TestTheDemandIsTheStrongestOfAllFloors(t *testing.T) {
	details := `authorization_details=[{"type":"payment"},{"type":"payment"}]`
	tests := []struct {
		query       string
		level       string
		age, factor time.Duration
		once, anew  bool
		asks        bool
		raised      string
	}{
		{query: "scope=openid", level: "pwd"},
		{query: "scope=openid+mail", level: "mfa", raised: "mail"},
		{query: "scope=transfer", level: "mfa", age: 5 * time.Minute, factor: 5 * time.Minute, raised: "transfer"},
		{query: "scope=card", level: "mfa", factor: 5 * time.Minute, raised: "card"},
		{query: "scope=card+lately", level: "mfa", age: time.Hour, factor: 5 * time.Minute, raised: "card lately"},
		{query: "scope=lately", level: "pwd", age: time.Hour, factor: time.Hour, raised: "lately"},
		{query: "scope=card&max_age=60", level: "mfa", age: time.Minute, factor: time.Minute, raised: "card"},
		{query: "scope=transfer&max_age=6000", level: "mfa", age: 5 * time.Minute, factor: 5 * time.Minute, raised: "transfer"},
		{query: "scope=pay", level: "mfa", once: true, anew: true, raised: "pay"},
		{query: "resource=https://api.example", level: "mfa", raised: "https://api.example"},
		{query: "resource=https://b.example&resource=https://api.example", level: "mfa", raised: "https://api.example"},
		{query: "resource=https://b.example", level: "pwd"},
		{query: details, level: "mfa", anew: true, asks: true, raised: "payment"},
		{query: details + "&acr_values=phr&scope=mail", level: "phr", anew: true, asks: true, raised: "mail payment"},
	}
	for _, tt := range tests {
		d := demand(t, tt.query, bank)
		if got := strings.Join(levels(d), " "); got != tt.level {
			t.Errorf("%s: meets it %q, want %q", tt.query, got, tt.level)
		}
		if d.limit[Password] != tt.age || d.limit[OTP] != tt.factor || d.limit[Passkey] != tt.factor {
			t.Errorf("%s: ages %v, want %v and %v", tt.query, d.limit, tt.age, tt.factor)
		}
		if d.once != tt.once || (d.fresh == factors) != tt.anew || d.fresh.Has(Password) || d.ask != tt.asks {
			t.Errorf("%s: once %v, fresh %v, ask %v", tt.query, d.once, d.fresh.Names(), d.ask)
		}
		w, err := wanted(queryOf(t, tt.query))
		if got := strings.Join(bank.Raised(w), " "); err != nil || got != tt.raised {
			t.Errorf("%s: raised by %q, %v; want %q", tt.query, got, err, tt.raised)
		}
	}
}

// SU-6: a code given lately is enough where the factor must be fresh, and a
// password given lately is not.
func TestFreshnessIsPerMethod(t *testing.T) {
	old, young := t0.Add(-time.Hour), t0.Add(-4*time.Minute)
	code := login(old, Password)
	code.Proofs[OTP] = young
	word := login(young, Password)
	word.Proofs[OTP] = old
	tests := []struct {
		scope   string
		session Login
		want    Step
	}{
		{"card", code, Granted},
		{"card", word, AskFactor},
		{"card", login(young, Password), AskFactor},
		{"transfer", code, AskPassword},
		{"transfer", word, AskFactor},
		{"transfer", login(young, Password, OTP), Granted},
		{"pay", code, AskFactor},
		{"pay", login(young, Password, OTP), AskFactor},
	}
	for _, tt := range tests {
		m := at(demand(t, "scope="+tt.scope, bank), 0)
		m.Approved = true
		m.Enrolled = Of(OTP)
		wantStep(t, Begin(m.Demand, tt.session, t0), m, tt.want)
	}
}

// What is asked for is only what is missing: the code that is fresh is not
// asked for again with the password that is not.
func TestAStepUpAsksOnlyForWhatIsMissing(t *testing.T) {
	session := login(t0.Add(-time.Hour), Password)
	session.Proofs[OTP] = t0.Add(-time.Minute)
	m := at(demand(t, "scope=transfer", bank), 0)
	m.Approved, m.Enrolled = true, Of(OTP)
	f := Begin(m.Demand, session, t0)
	wantStep(t, f, m, AskPassword)
	f = apply(t, f, password("alice"), m)
	wantStep(t, f, m, Granted)
	m.Demand = demand(t, "scope=transfer&prompt=login", bank)
	f = apply(t, Begin(m.Demand, session, t0), password("alice"), m)
	wantStep(t, f, m, AskFactor) // prompt=login forces both
}

// A factor proven for one use is worth nothing for another: it does not come to
// stand in a session.
func TestAFactorProvenForOneUseDoesNotLast(t *testing.T) {
	m := at(demand(t, "scope=pay", bank), 0)
	m.Approved, m.Enrolled = true, Of(OTP)
	f := apply(t, Begin(m.Demand, login(t0.Add(-time.Hour), Password), t0), factor(OTP), m)
	g, err := f.Grant(m)
	if err != nil || !g.Once() {
		t.Fatalf("%v, once %v", err, g.Once())
	}
	if got := g.AMR(); !slices.Equal(got, []string{"pwd", "otp"}) {
		t.Errorf("the grant is of %v", got)
	}
	if got := g.Lasting().Proofs.Set(); got != Of(Password) {
		t.Errorf("what lasts is %v, want the password", got.Names())
	}
	m.Demand = demand(t, "scope=mail", bank)
	g, err = f.Grant(m)
	if err != nil || g.Once() || g.Lasting() != g.Login() {
		t.Errorf("of another grant, what lasts is %v, %v", g.Lasting(), err)
	}
}

// OA-6: floors hold after the authorization, too.
func TestAScopeIsRenewedWhileItsProofsAreFresh(t *testing.T) {
	all := []string{"openid", "mail", "transfer", "card", "lately", "pay"}
	both := login(t0, Password, OTP).Proofs
	later := both
	later[OTP] = t0.Add(50 * time.Minute)
	strict := bank
	strict.Floor = Floor{Level: "pwd", MaxAge: 30 * time.Minute}
	raised := bank
	raised.Floor = Floor{Level: "phr"}
	odd := bank
	odd.Scopes = map[string]Floor{"mail": {Level: "gold"}, "card": {}}
	api := Wants{Scopes: all, Resources: []string{"https://api.example"}}
	tests := []struct {
		name   string
		policy Policy
		proofs Proofs
		wants  Wants
		after  time.Duration
		want   string
	}{
		{"at once", bank, both, Wants{Scopes: all}, 0, "openid mail transfer card lately"},
		{"in time", bank, both, Wants{Scopes: all}, 5 * time.Minute, "openid mail transfer card lately"},
		{"too late", bank, both, Wants{Scopes: all}, 5*time.Minute + 1, "openid mail lately"},
		{"far too late", bank, both, Wants{Scopes: all}, 2 * time.Hour, "openid mail"},
		{"with a young code", bank, later, Wants{Scopes: all}, 52 * time.Minute, "openid mail card lately"},
		{"with a password alone", bank, login(t0, Password).Proofs, Wants{Scopes: all}, 0, "openid lately"},
		{"with a code alone", bank, login(t0, OTP).Proofs, Wants{Scopes: all}, 0, ""},
		{"a floor of all, in time", strict, both, Wants{Scopes: all}, 30 * time.Minute, "openid mail lately"},
		{"a floor of all, too late", strict, both, Wants{Scopes: all}, 31 * time.Minute, ""},
		{"a floor that was raised", raised, both, Wants{Scopes: all}, 0, ""},
		{"of a resource", bank, both, api, 0, "openid mail transfer card lately"},
		{"of a resource that takes more", bank, login(t0, Password).Proofs, api, 0, ""},
		{"of details", bank, login(t0, Password).Proofs, Wants{Scopes: all, Details: []string{"payment"}}, 0, ""},
		{"floors that are none", odd, both, Wants{Scopes: []string{"openid", "mail", "card"}}, 0, "openid"},
		{"the zero policy", Policy{}, both, Wants{Scopes: all}, 0, ""},
	}
	for _, tt := range tests {
		got := tt.policy.Renews(tt.proofs, tt.wants, t0.Add(tt.after))
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestAPolicyWithAFloorThatIsNoneIsRefused(t *testing.T) {
	if err := bank.Check(); err != nil {
		t.Errorf("bank: %v", err)
	}
	if err := (Policy{}).Check(); err != nil {
		t.Errorf("the zero policy: %v", err)
	}
	with := func(f Floor) map[string]Floor { return map[string]Floor{"x": f} }
	for name, p := range map[string]Policy{
		"no such level":          {Floor: Floor{Level: "gold"}},
		"no ladder":              {Ladder: Ladder{{Name: "pwd"}}},
		"no such scope's level":  {Scopes: with(Floor{Level: "gold"})},
		"a scope of nothing":     {Scopes: with(Floor{})},
		"a resource of nothing":  {Resources: with(Floor{})},
		"a negative age":         {Resources: with(Floor{MaxAge: -1})},
		"a negative factor age":  {Scopes: with(Floor{FactorMaxAge: -1})},
		"once by a password":     {Scopes: with(Floor{Level: "pwd", Once: true})},
		"once by anything":       {Scopes: with(Floor{Once: true})},
		"details by a password":  {Details: with(Floor{Level: "pwd"})},
		"details by anything":    {Details: with(Floor{MaxAge: time.Hour})},
		"details by no level":    {Details: with(Floor{Level: "gold"})},
		"details with no demand": {Details: with(Floor{})},
	} {
		if err := p.Check(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Details without a floor that takes a factor would be approved by nobody.
func TestDetailsThatNoFactorApprovesAreRefused(t *testing.T) {
	form := queryOf(t, `authorization_details=[{"type":"other"}]`)
	if d, err := Parse(form, Policy{Floor: Floor{Level: "pwd"}}); err == nil || len(d.targets) > 0 {
		t.Errorf("%v, %d levels", err, len(d.targets))
	}
	for _, bad := range []string{"x", "{}", `"a"`, "[1]", `[{"type":1}]`} {
		if _, err := Parse(map[string][]string{"authorization_details": {bad}}, mfa); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

// The floor is that of the type that is shown and granted, however it is spelled
// beside it.
func TestTheTypeOfDetailsIsReadToTheLetter(t *testing.T) {
	p := Policy{Floor: Floor{Level: "pwd"}, Details: map[string]Floor{"payment": {Level: "mfa", Once: true}, "note": {Level: "mfa"}}}
	for _, text := range []string{`[{"type":"payment","Type":"note"}]`, `[{"TYPE":"note","type":"payment"}]`} {
		d, err := Parse(map[string][]string{"authorization_details": {text}}, p)
		if err != nil || !d.once {
			t.Errorf("%s: once %v, %v", text, d.once, err)
		}
	}
}
