package authflow

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"
)

// all is every method.
const all = Methods(1<<methods - 1)

// SU-4
func TestMaxAgeIsAStrictNumberOfSeconds(t *testing.T) {
	tests := []struct {
		value string
		want  time.Duration
		bad   bool
	}{
		{value: "0"},
		{value: "1", want: time.Second},
		{value: "60", want: time.Minute},
		{value: "060", want: time.Minute},
		{value: "2147483647", want: 2147483647 * time.Second},
		{value: "2147483648", bad: true},
		{value: "4294967296", bad: true},
		{value: "9223372036854775807", bad: true},
		{value: "18446744073709551616", bad: true},
		{value: "99999999999999999999999999", bad: true},
		{value: "-0", bad: true},
		{value: "-1", bad: true},
		{value: "+5", bad: true},
		{value: " 5", bad: true},
		{value: "5 ", bad: true},
		{value: "5 6", bad: true},
		{value: "\t5", bad: true},
		{value: "5\x00", bad: true},
		{value: "5s", bad: true},
		{value: "5.0", bad: true},
		{value: "1e3", bad: true},
		{value: "0x10", bad: true},
		{value: "1_000", bad: true},
		{value: "٥", bad: true}, // a digit, and not of ASCII
		{value: "junk", bad: true},
		{value: "null", bad: true},
	}
	for _, tt := range tests {
		d, err := Parse(url.Values{"max_age": {tt.value}}, mfa)
		switch {
		case tt.bad:
			if !errors.Is(err, ErrBadRequest) {
				t.Errorf("max_age %q: %v, want %v", tt.value, err, ErrBadRequest)
			}
			if len(d.targets) != 0 {
				t.Errorf("max_age %q: a demand that can be met beside an error", tt.value)
			}
		case err != nil:
			t.Errorf("max_age %q: %v", tt.value, err)
		case d.limit != [methods]time.Duration{tt.want, tt.want, tt.want, tt.want} || (d.fresh == all) != (tt.want == 0):
			t.Errorf("max_age %q: %v, fresh %v; want %v, %v", tt.value, d.limit, d.fresh.Names(), tt.want, tt.want == 0)
		}
	}
	if d := demand(t, "prompt=login&max_age=60", mfa); d.fresh != all || d.limit[OTP] != time.Minute {
		t.Error("max_age takes the place of prompt=login")
	}
	if d := demand(t, "max_age=", mfa); d.limit != [methods]time.Duration{} || d.fresh != 0 {
		t.Error("an empty max_age is not as if left out")
	}
}

// OA-3
func TestARepeatedParameterIsRefused(t *testing.T) {
	for _, name := range []string{"prompt", "max_age", "acr_values", "claims", "scope"} {
		for _, values := range [][]string{{"", ""}, {"", "login"}, {"60", "60"}, {"60", ""}} {
			if _, err := Parse(url.Values{name: values}, mfa); !errors.Is(err, ErrBadRequest) {
				t.Errorf("%s %q: %v, want %v", name, values, err, ErrBadRequest)
			}
		}
	}
}

// levels returns the names of the levels that meet d, in order of preference.
func levels(d Demand) (names []string) {
	for _, t := range d.targets {
		names = append(names, d.policy.Ladder[t].Name)
	}
	return names
}

// SU-1, SU-2, SU-3
func TestARequestRaisesTheDemandAndNeverLowersIt(t *testing.T) {
	ladder := Ladder{
		{Name: "pwd", Ways: []Methods{Of(Password)}},
		{Name: "mfa", Aliases: []string{"https://refeds.org/profile/mfa", "2"}, Ways: []Methods{Of(Password, OTP)}},
		{Name: "phr", Ways: []Methods{Of(Passkey)}},
	}
	scopes := map[string]Floor{"openid": {Level: "pwd"}, "payments": {Level: "phr"}, "mail": {Level: "mfa"}}
	voluntary := func(values string) string { return `{"id_token":{"acr":{"values":[` + values + `]}}}` }
	essential := func(values string) string {
		return `{"id_token":{"acr":{"essential":true,"values":[` + values + `]}}}`
	}
	tests := []struct {
		name                     string
		floor, scope, acr, claim string
		want                     string // levels, in order of preference
		named                    string // acr values to be named in the token
	}{
		{name: "no floor is the strongest", want: "phr"},
		{name: "a floor", floor: "mfa", want: "mfa"},
		{name: "a floor by its alias", floor: "2", want: "mfa"},
		{name: "a scope raises", floor: "pwd", scope: "openid mail", want: "mfa"},
		{name: "the strongest scope raises", floor: "pwd", scope: "payments openid mail", want: "phr"},
		{name: "a scope does not lower", floor: "mfa", scope: "openid", want: "mfa"},
		{name: "a scope does not lower what no floor demands", scope: "openid", want: "phr"},
		{name: "an unknown scope is nothing", floor: "pwd", scope: "paymentsx", want: "pwd"},

		{name: "acr_values raise", floor: "pwd", acr: "mfa", want: "mfa", named: "mfa"},
		{name: "acr_values do not lower", floor: "mfa", acr: "pwd", want: "mfa", named: "pwd"},
		{name: "acr_values do not lower a scope", floor: "pwd", scope: "payments", acr: "pwd mfa", want: "phr", named: "pwd mfa"},
		{name: "in order of preference", floor: "pwd", acr: "phr mfa", want: "phr mfa", named: "phr mfa"},
		{name: "in order of preference, the weaker first", floor: "pwd", acr: "mfa phr", want: "mfa phr", named: "mfa phr"},
		{name: "what is below the floor comes last, as the floor", floor: "mfa", acr: "pwd phr", want: "phr mfa", named: "pwd phr"},
		{name: "an alias", floor: "pwd", acr: "https://refeds.org/profile/mfa", want: "mfa", named: "https://refeds.org/profile/mfa"},
		{name: "two names of one level", floor: "pwd", acr: "2 mfa 2", want: "mfa", named: "2 mfa"},
		{name: "unknown ones are ignored", floor: "pwd", acr: "gold 0 mfa", want: "mfa", named: "mfa"},
		{name: "unknown ones only", floor: "pwd", acr: "gold 0", want: "pwd"},
		{name: "names are told apart by case", floor: "pwd", acr: "PHR", want: "pwd"},
		{name: "any space", floor: "pwd", acr: "  phr \t ", want: "phr", named: "phr"},

		{name: "an essential acr raises", floor: "pwd", claim: essential(`"mfa"`), want: "mfa", named: "mfa"},
		{name: "an essential acr does not lower", floor: "mfa", claim: essential(`"pwd"`), want: "mfa", named: "pwd"},
		{name: "an essential acr in order", floor: "pwd", claim: essential(`"phr","mfa"`), want: "phr mfa", named: "phr mfa"},
		{name: "an essential value", floor: "pwd", claim: `{"id_token":{"acr":{"essential":true,"value":"phr"}}}`, want: "phr", named: "phr"},
		{name: "an essential value before others", floor: "pwd", claim: `{"id_token":{"acr":{"essential":true,"value":"mfa","values":["phr"]}}}`, want: "mfa phr", named: "mfa phr"},
		{name: "an essential unknown one beside a known", floor: "pwd", claim: essential(`"gold","mfa"`), want: "mfa", named: "mfa"},
		{name: "an essential unknown one", floor: "pwd", claim: essential(`"gold"`), want: ""},
		{name: "an essential empty one", floor: "pwd", claim: `{"id_token":{"acr":{"essential":true,"value":""}}}`, want: ""},
		{name: "an essential unknown one is not saved by acr_values", floor: "pwd", acr: "mfa", claim: essential(`"gold"`), want: ""},
		{name: "an essential acr of any value", floor: "pwd", claim: `{"id_token":{"acr":{"essential":true}}}`, want: "pwd"},
		{name: "an essential acr of no values", floor: "pwd", claim: essential(``), want: "pwd"},
		{name: "a voluntary acr is as acr_values", floor: "pwd", claim: voluntary(`"mfa"`), want: "mfa", named: "mfa"},
		{name: "a voluntary unknown one", floor: "pwd", claim: voluntary(`"gold"`), want: "pwd"},
		{name: "a voluntary acr that is null", floor: "pwd", claim: `{"id_token":{"acr":null,"email":null}}`, want: "pwd"},
		{name: "the strongest of both", floor: "pwd", acr: "phr", claim: essential(`"mfa"`), want: "phr", named: "mfa"},
		{name: "the strongest of both, the other way", floor: "pwd", acr: "mfa", claim: essential(`"phr"`), want: "phr", named: "phr"},
		{name: "the strongest of both, voluntary", floor: "pwd", acr: "mfa", claim: voluntary(`"phr"`), want: "phr", named: "phr mfa"},
		{name: "both in order", floor: "pwd", acr: "mfa", claim: essential(`"pwd","phr"`), want: "mfa phr", named: "pwd phr"},
		{name: "claims of others", floor: "pwd", claim: `{"userinfo":{"email":null},"x":1}`, want: "pwd"},
		{name: "no claims of the ID token", floor: "pwd", claim: `{"id_token":null}`, want: "pwd"},
	}
	for _, tt := range tests {
		form := url.Values{"scope": {tt.scope}, "acr_values": {tt.acr}, "claims": {tt.claim}}
		d, err := Parse(form, Policy{Ladder: ladder, Floor: Floor{Level: tt.floor}, Scopes: scopes})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := strings.Join(levels(d), " "); got != tt.want {
			t.Errorf("%s: meets it %q, want %q", tt.name, got, tt.want)
		}
		if got := strings.Join(d.acr, " "); got != tt.named {
			t.Errorf("%s: names %q, want %q", tt.name, got, tt.named)
		}
	}
}

func TestMalformedClaimsAreRefused(t *testing.T) {
	for _, claims := range []string{
		"{", "x", "[]", `"acr"`, "1", "{}{}", `{"id_token":[]}`, `{"id_token":{"acr":"mfa"}}`, `{"id_token":{"acr":["mfa"]}}`,
		`{"id_token":{"acr":{"essential":"true"}}}`, `{"id_token":{"acr":{"essential":true,"value":2}}}`,
		`{"id_token":{"acr":{"essential":true,"values":"mfa"}}}`, `{"id_token":{"acr":{"values":[1]}}}`,
	} {
		if _, err := Parse(url.Values{"claims": {claims}}, mfa); !errors.Is(err, ErrBadRequest) {
			t.Errorf("claims %s: %v, want %v", claims, err, ErrBadRequest)
		}
	}
}

// A request as long as a server takes must not make a demand that is long to
// decide. // OA-13
func TestTheDemandIsNeverLongerThanTheLadder(t *testing.T) {
	many := strings.Repeat("pwd mfa phr ", 1000)
	quoted := strings.Repeat(`"phr","mfa","pwd",`, 1000) + `"pwd"`
	d, err := Parse(url.Values{"acr_values": {many}, "claims": {`{"id_token":{"acr":{"values":[` + quoted + `]}}}`}}, mfa)
	if err != nil {
		t.Fatal(err)
	}
	if got, limit := max(len(d.targets), len(d.acr)), 2*len(DefaultLadder); got > limit {
		t.Errorf("%d levels to try, want at most %d", got, limit)
	}
}

func TestPrompts(t *testing.T) {
	type flags struct{ silent, fresh, ask, choose bool }
	tests := []struct {
		prompt string
		want   flags
		bad    bool
	}{
		{prompt: ""},
		{prompt: " "},
		{prompt: "none", want: flags{silent: true}},
		{prompt: "login", want: flags{fresh: true}},
		{prompt: "consent", want: flags{ask: true}},
		{prompt: "select_account", want: flags{choose: true}},
		{prompt: "login consent", want: flags{fresh: true, ask: true}},
		{prompt: "consent login select_account", want: flags{fresh: true, ask: true, choose: true}},
		{prompt: "login login", want: flags{fresh: true}},
		{prompt: "none login", bad: true},
		{prompt: "consent none", bad: true},
		{prompt: "none none", bad: true},
		{prompt: "Login", bad: true},
		{prompt: "create", bad: true},
		{prompt: "login,consent", bad: true},
	}
	for _, tt := range tests {
		d, err := Parse(url.Values{"prompt": {tt.prompt}}, mfa)
		if tt.bad {
			if !errors.Is(err, ErrBadRequest) {
				t.Errorf("prompt %q: %v, want %v", tt.prompt, err, ErrBadRequest)
			}
			continue
		}
		if err != nil {
			t.Errorf("prompt %q: %v", tt.prompt, err)
		}
		if got := (flags{d.Silent, d.fresh == all, d.ask, d.choose}); got != tt.want {
			t.Errorf("prompt %q: %+v, want %+v", tt.prompt, got, tt.want)
		}
	}
}

// A mistake in the configuration is not taken for one of the request, and
// denies.
func TestAFloorThatIsNoLevelIsAnErrorOfThePolicy(t *testing.T) {
	for _, p := range []Policy{
		{Floor: Floor{Level: "gold"}},
		{Floor: Floor{Level: "mfa"}, Scopes: map[string]Floor{"openid": {Level: "gold"}}},
		{Scopes: map[string]Floor{"openid": {}}},
		{Scopes: map[string]Floor{"openid": {Level: "pwd", Once: true}}},
		{Scopes: map[string]Floor{"openid": {MaxAge: -1}}},
	} {
		d, err := Parse(url.Values{"scope": {"openid"}}, p)
		if err == nil || errors.Is(err, ErrBadRequest) {
			t.Errorf("%+v: %v, want an error of the policy", p, err)
		}
		if len(d.targets) != 0 {
			t.Errorf("%+v: a demand that can be met beside an error", p)
		}
	}
}

// SU-2
func TestALevelThatNobodyCanReachHereIsDeniedBeforeAnyPage(t *testing.T) {
	p := Policy{Floor: Floor{Level: "pwd"}, Offered: Of(Password, OTP, Recovery)}
	d := demand(t, "acr_values=phr", p)
	wantDenied(t, Begin(d, Login{}, t0), at(d, 0), ErrUnmet)
	d = demand(t, "acr_values=phr&prompt=none", p)
	wantDenied(t, Begin(d, Login{}, t0), at(d, 0), ErrUnmet)
	d = demand(t, "acr_values=phr+mfa", p)
	wantStep(t, Begin(d, Login{}, t0), at(d, 0), AskPassword)
	if got := levels(d); len(got) != 1 || got[0] != "mfa" {
		t.Errorf("meets it %v, want mfa", got)
	}
	// A stronger level meets a demand that its own ways cannot.
	d = demand(t, "acr_values=mfa", Policy{Floor: Floor{Level: "pwd"}, Offered: Of(Passkey)})
	wantStep(t, Begin(d, Login{}, t0), at(d, 0), AskPassword)
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "prompt=none", "prompt=login+consent", "max_age=0", "max_age=-1", "max_age=60&max_age=0",
		"acr_values=phr+mfa", "acr_values=pwd&scope=openid+mail", "scope=mail&acr_values=gold",
		`claims={"id_token":{"acr":{"essential":true,"values":["pwd","phr"]}}}`,
		`claims={"id_token":{"acr":{"value":"mfa"}}}&acr_values=pwd`, "claims=[]", "prompt=none+login",
	} {
		f.Add(seed, uint8(1))
	}
	f.Fuzz(func(t *testing.T, query string, floor uint8) {
		form, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		names := []string{"", "pwd", "mfa", "phr"}
		p := Policy{Floor: Floor{Level: names[int(floor)%len(names)]}, Scopes: map[string]Floor{"mail": {Level: "mfa"}}}
		least, err := p.withLadder().floor(Wants{Scopes: strings.Fields(form.Get("scope"))})
		if err != nil {
			t.Fatal(err)
		}
		d, err := Parse(form, p)
		if err != nil {
			if !errors.Is(err, ErrBadRequest) || len(d.targets) != 0 {
				t.Errorf("%v, with %d levels", err, len(d.targets))
			}
			return
		}
		for _, level := range d.targets {
			if int(level) < least {
				t.Errorf("level %d meets it, the floor is %d", level, least)
			}
		}
		if len(d.targets) > len(DefaultLadder) || len(d.acr) > 2*len(DefaultLadder) {
			t.Errorf("%d levels, %d names", len(d.targets), len(d.acr))
		}
		if d.Subject != "" || d.limit[Password] < 0 || d.Silent && (d.ask || d.choose) {
			t.Errorf("%+v", d)
		}
		// Whatever is asked for, it is not granted on less than the floor.
		m := at(d, 0)
		m.Approved = true
		m.Enrolled = 0
		for _, ms := range [][]Method{{}, {Password}, {Password, OTP}, {OTP}, {Recovery}, {Passkey}} {
			l := login(t0.Add(-time.Minute), ms...)
			if g, err := Begin(d, l, t0).Grant(m); err == nil && DefaultLadder.reached(g.login.Proofs.Set()) < least {
				t.Errorf("granted on %v, the floor is %d", g.AMR(), least)
			}
		}
	})
}
