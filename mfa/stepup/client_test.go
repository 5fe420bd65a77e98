package stepup_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-id/sallyport/mfa/stepup"
)

// query returns the parameters of a URL, none of which stands twice.
func query(t *testing.T, raw string) (string, map[string]string) {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	q := map[string]string{}
	for name, values := range u.Query() {
		if len(values) != 1 {
			t.Errorf("%s stands in %s %d times", name, raw, len(values))
		}
		q[name] = values[0]
	}
	u.RawQuery = ""
	return u.String(), q
}

// The examples of RFC 9470 section 4, and what a request says beside.
func TestARequestMeetsItsChallengeAndKeepsTheRest(t *testing.T) {
	const base = "https://as.example.net/authorize?client_id=s6BhdRkqt3&response_type=code&scope=purchase"
	const whole = base + "&state=s%2B1&nonce=n%3D&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256&redirect_uri=https%3A%2F%2Fapp.example%2Fcb%3Fa%3Db&tenant=1"
	for name, test := range map[string]struct {
		challenge stepup.Challenge
		from      string
		extra     url.Values
		want      string // the query that is added or changed
	}{
		"figure 4":           {stepup.Challenge{ACRValues: []string{"myACR"}}, base, nil, "acr_values=myACR"},
		"figure 5":           {stepup.Challenge{MaxAge: seconds(5)}, base, nil, "max_age=5"},
		"nothing":            {stepup.Challenge{}, whole, nil, ""},
		"everything":         {stepup.Challenge{ACRValues: []string{"a", "b"}, MaxAge: seconds(0), Scopes: []string{"purchase", "pay"}}, whole, nil, "acr_values=a b&max_age=0&scope=purchase pay"},
		"other acr_values":   {stepup.Challenge{ACRValues: []string{"a"}}, whole + "&acr_values=pwd", nil, "acr_values=a"},
		"a higher max_age":   {stepup.Challenge{MaxAge: seconds(5)}, whole + "&max_age=60", nil, "max_age=5"},
		"a lower max_age":    {stepup.Challenge{MaxAge: seconds(5)}, whole + "&max_age=1", nil, "max_age=1"},
		"a max_age of junk":  {stepup.Challenge{MaxAge: seconds(5)}, whole + "&max_age=-1", nil, "max_age=5"},
		"a silent request":   {stepup.Challenge{MaxAge: seconds(5)}, whole + "&prompt=none", nil, "max_age=5"},
		"a request to login": {stepup.Challenge{MaxAge: seconds(5)}, whole + "&prompt=login", nil, "max_age=5&prompt=login"},
		"with details": {stepup.Challenge{ACRValues: []string{"a"}}, whole, url.Values{"authorization_details": {`[{"type":"payment"}]`}},
			`acr_values=a&authorization_details=[{"type":"payment"}]`},
	} {
		got, err := test.challenge.Request(test.from, test.extra)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wantEndpoint, want := query(t, strings.SplitN(test.from, "&acr_values", 2)[0])
		delete(want, "max_age")
		delete(want, "prompt")
		for pair := range strings.SplitSeq(test.want, "&") {
			if k, v, ok := strings.Cut(pair, "="); ok {
				want[k] = v
			}
		}
		if endpoint, q := query(t, got); endpoint != wantEndpoint || !reflect.DeepEqual(q, want) {
			t.Errorf("%s:\ngot  %s %v\nwant %s %v", name, endpoint, q, wantEndpoint, want)
		}
	}
}

func TestARequestThatCannotBeChangedIsRefused(t *testing.T) {
	c := stepup.Challenge{ACRValues: []string{"a"}}
	for _, from := range []string{
		"https://as.example.net/authorize?client_id=a&request_uri=urn:x", "https://as.example.net/authorize?request=eyJ", "https://as.example.net/?%zz", "://",
	} {
		if got, err := c.Request(from, nil); err == nil {
			t.Errorf("%s becomes %s", from, got)
		}
	}
	for _, name := range []string{"state", "nonce", "code_challenge", "code_challenge_method", "client_id", "redirect_uri", "response_type", "response_mode", "scope", "acr_values", "max_age", "request_uri"} {
		if got, err := c.Request("https://as.example.net/authorize", url.Values{name: {"x"}}); err == nil {
			t.Errorf("with %s: %s", name, got)
		}
	}
}

var app = stepup.Client{
	Issuer: issuer, Endpoint: issuer + "/authorize?tenant=1", ClientID: "app", RedirectURI: "https://app.example/callback",
	Scopes: []string{"openid", "read"}, MayAsk: []string{"purchase"},
}

// challenged is an answer with a challenge.
func challenged(params string) *http.Response {
	return &http.Response{StatusCode: 401, Header: http.Header{"Www-Authenticate": {"Bearer " + params}}}
}

const stronger = `error="insufficient_user_authentication", acr_values="mfa phr", max_age="300", scope="read purchase"`

func TestAFlowCarriesACallThroughOneStepUp(t *testing.T) {
	flow := stepup.Flow{
		Call:  json.RawMessage(`{"amount":"12.50"}`),
		Extra: url.Values{"authorization_details": {`[{"type":"payment","amount":"12.50"}]`}},
	}
	to, err := app.StepUp(&flow, challenged(stronger))
	if err != nil {
		t.Fatal(err)
	}
	endpoint, q := query(t, to)
	sum := sha256.Sum256([]byte(flow.Verifier))
	want := map[string]string{
		"tenant": "1", "response_type": "code", "client_id": "app", "redirect_uri": "https://app.example/callback",
		"scope": "openid read purchase", "acr_values": "mfa phr", "max_age": "300",
		"authorization_details": `[{"type":"payment","amount":"12.50"}]`,
		"state":                 flow.State, "nonce": flow.Nonce, "code_challenge_method": "S256",
		"code_challenge": base64.RawURLEncoding.EncodeToString(sum[:]),
	}
	if endpoint != issuer+"/authorize" || !reflect.DeepEqual(q, want) {
		t.Errorf("the browser is sent to %s with\n%v, want\n%v", endpoint, q, want)
	}
	// RFC 7636 section 4.1; the others are as hard to guess.
	if len(flow.Verifier) < 43 || len(flow.State) < 26 || len(flow.Nonce) < 26 || flow.State == flow.Nonce || strings.Contains(flow.Verifier, flow.Nonce) {
		t.Errorf("the secrets are %+v", flow)
	}

	stored := must(json.Marshal(flow)) // and the browser is away
	var back stepup.Flow
	if err := json.Unmarshal(stored, &back); err != nil || !reflect.DeepEqual(back, flow) {
		t.Fatalf("%s is read as %+v, %v", stored, back, err)
	}
	code, err := app.Answer(&back, url.Values{"state": {flow.State}, "code": {"c0de"}, "iss": {issuer}})
	if err != nil || code != "c0de" || string(back.Call) != `{"amount":"12.50"}` {
		t.Errorf("got %q, %v, and the call is %s", code, err, back.Call)
	}
	to, err = app.StepUp(&back, &http.Response{StatusCode: 200, Header: http.Header{}})
	if to != "" || err != nil {
		t.Errorf("a good answer sends to %q, %v", to, err)
	}
}

func TestEachFlowHasSecretsOfItsOwn(t *testing.T) {
	seen := map[string]bool{}
	for range 20 {
		var f stepup.Flow
		if _, err := app.StepUp(&f, challenged(stronger)); err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{f.State, f.Nonce, f.Verifier} {
			if seen[s] {
				t.Errorf("%s was there before", s)
			}
			seen[s] = true
		}
	}
}

// A provider that does not do as it is asked, or an API that asks for ever more.
func TestASecondChallengeAfterAStepUpIsAnErrorWithAReason(t *testing.T) {
	for _, test := range []struct{ first, second, reason string }{
		{stronger, stronger, `acr_values ["mfa" "phr"], max_age 300`},
		{`error="insufficient_user_authentication"`, `error="insufficient_user_authentication", acr_values=x`, `acr_values ["x"], max_age any`},
		{`error="insufficient_scope", scope="purchase"`, `error="insufficient_scope", scope="purchase"`, `did not grant`},
		{`error="insufficient_scope", scope="purchase"`, `error="insufficient_user_authentication"`, `insufficient_scope first and now says insufficient_user_authentication`},
	} {
		var flow stepup.Flow
		if _, err := app.StepUp(&flow, challenged(test.first)); err != nil {
			t.Fatal(err)
		}
		before := flow
		// Also if the call was repeated before the answer came.
		for _, answered := range []bool{false, true} {
			if answered {
				if _, err := app.Answer(&flow, url.Values{"state": {flow.State}, "code": {"c"}, "iss": {issuer}}); err != nil {
					t.Fatal(err)
				}
				before.Answered = true
			}
			// And however often, also when the flow was stored in between.
			for range 3 {
				to, err := app.StepUp(&flow, challenged(test.second))
				if to != "" || !errors.Is(err, stepup.ErrAgain) || !strings.Contains(err.Error(), test.reason) {
					t.Errorf("sent to %q, %v, want ErrAgain with %q", to, err, test.reason)
				}
				flow = must(copied(flow))
			}
			if !reflect.DeepEqual(flow, before) {
				t.Errorf("the flow is now %+v", flow)
			}
		}
	}
}

func copied(f stepup.Flow) (to stepup.Flow, err error) {
	b, err := json.Marshal(f)
	if err != nil {
		return to, err
	}
	return to, json.Unmarshal(b, &to)
}

// An API that was taken over must not have its user allow anything it likes.
func TestAChallengeCannotAskForScopesOfItsOwn(t *testing.T) {
	for _, scope := range []string{"admin", "read admin", "purchase offline_access"} {
		var flow stepup.Flow
		to, err := app.StepUp(&flow, challenged(`error="insufficient_scope", scope="`+scope+`"`))
		if to != "" || !errors.Is(err, stepup.ErrChallenge) || flow.State != "" {
			t.Errorf("scope %q: sent to %q, %v", scope, to, err)
		}
	}
}

func TestWhatIsNoStepUpLeavesTheFlowAlone(t *testing.T) {
	for name, test := range map[string]struct {
		client stepup.Client
		extra  url.Values
		resp   *http.Response
		bad    bool
	}{
		"a good answer":     {app, nil, &http.Response{StatusCode: 200}, false},
		"an error":          {app, nil, &http.Response{StatusCode: 500}, false},
		"a dead token":      {app, nil, challenged(`error="invalid_token"`), false},
		"malformed":         {app, nil, challenged(`error="`), true},
		"max_age of junk":   {app, nil, challenged(stronger + `, max_age=x`), true},
		"a bad extra":       {app, url.Values{"state": {"mine"}}, challenged(stronger), true},
		"no client":         {stepup.Client{}, nil, challenged(stronger), true},
		"a client over":     {stepup.Client{Issuer: issuer, Endpoint: "http://as.example.net", ClientID: "a", RedirectURI: "b", Scopes: []string{"read", "purchase"}}, nil, challenged(stronger), true},
		"a silent endpoint": {stepup.Client{Issuer: issuer, Endpoint: issuer + "?request_uri=a", ClientID: "a", RedirectURI: "b", Scopes: []string{"read", "purchase"}}, nil, challenged(stronger), true},
	} {
		flow := stepup.Flow{Extra: test.extra}
		to, err := test.client.StepUp(&flow, test.resp)
		if to != "" || (err != nil) != test.bad || flow.State != "" {
			t.Errorf("%s: sent to %q, %v, and the flow is %+v", name, to, err, flow)
		}
	}
}

func TestOnlyTheIssuersAnswerToThisFlowIsTaken(t *testing.T) {
	var began stepup.Flow
	if _, err := app.StepUp(&began, challenged(stronger)); err != nil {
		t.Fatal(err)
	}
	good := url.Values{"state": {began.State}, "code": {"c"}, "iss": {issuer}}
	lax := app
	lax.InsecureNoIssuer = true
	with := func(name string, values ...string) url.Values {
		q := url.Values{}
		for k, v := range good {
			q[k] = slices.Clone(v)
		}
		q[name] = values
		if values == nil {
			q.Del(name)
		}
		return q
	}
	for name, test := range map[string]struct {
		client stepup.Client
		q      url.Values
		taken  bool
	}{
		"the answer":            {app, good, true},
		"another state":         {app, with("state", "x"), false},
		"no state":              {app, with("state"), false},
		"an empty state":        {app, with("state", ""), false},
		"two states":            {app, with("state", began.State, began.State), false},
		"another issuer":        {app, with("iss", "https://evil.example"), false},
		"no issuer":             {app, with("iss"), false},
		"no issuer, waived":     {lax, with("iss"), true},
		"another one, waived":   {lax, with("iss", "https://evil.example"), false},
		"an empty one, waived":  {lax, with("iss", ""), false},
		"no code":               {app, with("code"), false},
		"two codes":             {app, with("code", "a", "b"), false},
		"an error of no issuer": {app, url.Values{"state": {began.State}, "error": {"access_denied"}}, false},
		"nothing":               {app, nil, false},
	} {
		flow := began
		code, err := test.client.Answer(&flow, test.q)
		if (err == nil) != test.taken || (code != "") != test.taken || flow.Answered != test.taken || !test.taken && !errors.Is(err, stepup.ErrAnswer) {
			t.Errorf("%s: %q, %v, %v", name, code, err, flow.Answered)
		}
		if test.taken {
			if _, err := test.client.Answer(&flow, test.q); !errors.Is(err, stepup.ErrAnswer) {
				t.Errorf("%s: taken twice: %v", name, err)
			}
		}
	}
	zero, flow0 := stepup.Client{}, began
	if code, err := zero.Answer(&flow0, with("iss", "")); err == nil {
		t.Errorf("the zero client takes the code %q", code)
	}
	var fresh stepup.Flow
	if _, err := app.Answer(&fresh, url.Values{"state": {""}, "code": {"c"}, "iss": {issuer}}); !errors.Is(err, stepup.ErrAnswer) {
		t.Errorf("an answer that nobody asked for: %v", err)
	}

	flow := began
	_, err := app.Answer(&flow, url.Values{"state": {began.State}, "iss": {issuer}, "error": {"unmet_authentication_requirements"}, "error_description": {"No app is set up."}})
	var declined *stepup.Declined
	if !errors.As(err, &declined) || declined.Code != "unmet_authentication_requirements" || declined.Text != "No app is set up." || !flow.Answered {
		t.Errorf("an error: %v, %+v", err, flow)
	}
}
