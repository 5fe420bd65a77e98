package stepup_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-id/sallyport/mfa/stepup"
)

const (
	insufficientUser  = "insufficient_user_authentication"
	insufficientScope = "insufficient_scope"
)

// SU-7: what the token says of its user is compared with what is demanded, and
// what it does not say was not done.
func TestATokenMeetsADemandOrIsChallenged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t)
		g := a.guard()
		now := time.Now().Unix()
		exactly := func(acr ...string) stepup.Demand { return stepup.Demand{ACR: acr} }
		level := func(l string) stepup.Demand { return stepup.Demand{Level: l} }
		within := func(d time.Duration) stepup.Demand { return stepup.Demand{MaxAge: d} }
		scopes := func(s ...string) stepup.Demand { return stepup.Demand{Scopes: s} }
		for _, test := range []struct {
			name   string
			demand stepup.Demand
			claims claims
			code   string
		}{
			{"the same acr", exactly("mfa"), claims{"acr": "mfa"}, ""},
			{"the second of two", exactly("phr", "mfa"), claims{"acr": "mfa"}, ""},
			{"one off the ladder", exactly("urn:other"), claims{"acr": "urn:other"}, ""},
			{"a higher one, to the letter", exactly("mfa"), claims{"acr": "phr"}, insufficientUser},
			{"an alias, to the letter", exactly("mfa"), claims{"acr": "https://refeds.org/profile/mfa"}, insufficientUser},
			{"a longer one", exactly("mfa"), claims{"acr": "mfa2"}, insufficientUser},
			{"in another case", exactly("mfa"), claims{"acr": "MFA"}, insufficientUser},
			{"two in one", exactly("mfa"), claims{"acr": "mfa phr"}, insufficientUser},
			{"no acr", exactly("mfa"), claims{"acr": nil}, insufficientUser},
			{"an empty acr", exactly("mfa"), claims{"acr": ""}, insufficientUser},
			{"a null acr", exactly("mfa"), claims{"acr": json.RawMessage("null")}, insufficientUser},

			{"the same level", level("mfa"), claims{"acr": "mfa"}, ""},
			{"its alias", level("mfa"), claims{"acr": "https://refeds.org/profile/mfa"}, ""},
			{"demanded by its alias", level("https://refeds.org/profile/mfa"), claims{"acr": "mfa"}, ""},
			{"a higher level", level("mfa"), claims{"acr": "phr"}, ""},
			{"a lower level, which sorts after it", level("mfa"), claims{"acr": "pwd"}, insufficientUser},
			{"the lowest level", level("pwd"), claims{"acr": "pwd"}, ""},
			{"what is not on the ladder", level("pwd"), claims{"acr": "zzz"}, insufficientUser},
			{"a level and no acr", level("pwd"), claims{"acr": nil}, insufficientUser},
			{"a level and an empty acr", level("pwd"), claims{"acr": ""}, insufficientUser},

			{"fresh enough", within(time.Minute), claims{"auth_time": now - 60}, ""},
			{"within the skew", within(time.Minute), claims{"auth_time": now - 65}, ""},
			{"too old", within(time.Minute), claims{"auth_time": now - 66}, insufficientUser},
			{"a fresh token of an old authentication", within(time.Minute), claims{"auth_time": now - 3600, "iat": now}, insufficientUser},
			{"no auth_time", within(time.Minute), claims{"auth_time": nil}, insufficientUser},
			{"a null auth_time", within(time.Minute), claims{"auth_time": json.RawMessage("null")}, insufficientUser},
			{"auth_time 0", within(time.Minute), claims{"auth_time": 0}, insufficientUser},
			{"no auth_time where none is wanted", level("mfa"), claims{"auth_time": nil}, ""},

			{"its scopes", scopes("read", "purchase"), nil, ""},
			{"one scope less", scopes("read", "refund"), nil, insufficientScope},
			{"part of a scope", scopes("purch"), nil, insufficientScope},
			{"no scope at all", scopes("read"), claims{"scope": nil}, insufficientScope},
			{"any token, with nothing", anyToken, claims{"scope": nil, "acr": nil, "auth_time": nil}, ""},

			{"all of it", stepup.Demand{Scopes: []string{"read"}, Level: "mfa", MaxAge: time.Minute}, nil, ""},
			{"all but the level", stepup.Demand{Scopes: []string{"read"}, Level: "phr", MaxAge: time.Minute}, nil, insufficientUser},
			{"all but the age", stepup.Demand{Scopes: []string{"read"}, Level: "mfa", MaxAge: time.Minute}, claims{"auth_time": now - 99}, insufficientUser},
			{"all but the scope", stepup.Demand{Scopes: []string{"refund"}, Level: "mfa", MaxAge: time.Minute}, nil, insufficientScope},
			{"neither level nor scope", stepup.Demand{Scopes: []string{"refund"}, Level: "phr"}, nil, insufficientUser},
		} {
			status := map[string]int{"": 200, insufficientUser: 401, insufficientScope: 403}[test.code]
			t.Log(test.name)
			wants(t, call(g, test.demand, a.token(test.claims)), status, test.code)
		}
	})
}

// What a challenge says, to the letter (RFC 6750 section 3, RFC 9470 section 3).
func TestAChallengeSaysAllThatIsDemanded(t *testing.T) {
	a := newAuthority(t)
	plain := a.guard()
	realm := a.guard(func(c *stepup.Config) { c.Realm = `the "bank"` })
	const (
		user  = `error="insufficient_user_authentication", error_description="The user has to be authenticated more strongly or more recently."`
		scope = `error="insufficient_scope", error_description="The access token lacks a scope."`
		bad   = `error="invalid_token", error_description="The access token is invalid here, or has expired."`
	)
	all := stepup.Demand{Scopes: []string{"read", "refund"}, Level: "mfa", MaxAge: 5 * time.Minute}
	weak := a.token(claims{"acr": "pwd", "scope": "read refund"})
	for _, test := range []struct {
		guard  *stepup.Guard
		demand stepup.Demand
		token  string
		want   string
	}{
		{plain, stepup.Demand{ACR: []string{"myACR"}}, a.token(nil), `Bearer ` + user + `, acr_values="myACR"`},
		{plain, stepup.Demand{ACR: []string{"a", "b"}}, a.token(nil), `Bearer ` + user + `, acr_values="a b"`},
		{plain, stepup.Demand{MaxAge: 5 * time.Second}, a.token(claims{"auth_time": nil}), `Bearer ` + user + `, max_age="5"`},
		{plain, all, weak, `Bearer ` + user + `, acr_values="mfa phr", max_age="300"`},
		{plain, all, a.token(claims{"acr": "pwd"}), `Bearer ` + user + `, acr_values="mfa phr", max_age="300", scope="read refund"`},
		{plain, all, a.token(nil), `Bearer ` + scope + `, scope="read refund", acr_values="mfa phr", max_age="300"`},
		{plain, stepup.Demand{Level: "https://refeds.org/profile/mfa"}, a.token(claims{"acr": "pwd"}), `Bearer ` + user + `, acr_values="https://refeds.org/profile/mfa phr"`},
		{plain, all, "a", `Bearer ` + bad},
		{plain, all, "", `Bearer ` + bad},
		{realm, anyToken, "a", `Bearer realm="the \"bank\"", ` + bad},
	} {
		resp := call(test.guard, test.demand, test.token)
		if got := resp.Header.Get("WWW-Authenticate"); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
		var body struct {
			Code string `json:"error"`
			Text string `json:"error_description"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || !strings.Contains(test.want, `"`+body.Code+`"`) || body.Text == "" {
			t.Errorf("the body says %+v, %v", body, err)
		}
		if resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("the headers are %v", resp.Header)
		}
	}
	if got := callWith(plain, all).Header.Get("WWW-Authenticate"); got != "Bearer" {
		t.Errorf("without a token: %s", got)
	}
}

func TestADemandThatNothingMeetsIsFoundWhereItIsWritten(t *testing.T) {
	a := newAuthority(t)
	g := a.guard()
	bare := a.guard(func(c *stepup.Config) { c.Ladder, c.Store = nil, nil })
	token := "Bearer " + a.token(nil)
	for name, test := range map[string]struct {
		guard  *stepup.Guard
		demand stepup.Demand
	}{
		"nothing":                 {g, stepup.Demand{}},
		"ACR and Level":           {g, stepup.Demand{ACR: []string{"mfa"}, Level: "mfa"}},
		"a level off the ladder":  {g, stepup.Demand{Level: "mfaa"}},
		"a level without ladder":  {bare, stepup.Demand{Level: "mfa"}},
		"once without store":      {bare, stepup.Demand{Once: true}},
		"a negative age":          {g, stepup.Demand{MaxAge: -time.Second}},
		"an age in parts":         {g, stepup.Demand{MaxAge: 1500 * time.Millisecond}},
		"an empty acr":            {g, stepup.Demand{ACR: []string{""}}},
		"an acr with a space":     {g, stepup.Demand{ACR: []string{"a b"}}},
		"a scope that ends it":    {g, stepup.Demand{Scopes: []string{`a", b="`}}},
		"a scope with a new line": {g, stepup.Demand{Scopes: []string{"a\r\nb"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := test.guard.Check(t.Context(), []string{token}, test.demand); !errors.Is(err, stepup.ErrDemand) {
				t.Errorf("Check: %v, want ErrDemand", err)
			} else if r := new(stepup.Refusal); !errors.As(err, &r) || r.Status != 503 {
				t.Errorf("Check refuses with %+v, want 503", r)
			}
			defer func() {
				if recover() == nil {
					t.Error("Require takes it")
				}
			}()
			test.guard.Require(test.demand)
		})
	}
}

// A handler that demands more for larger amounts, without the middleware.
func TestADemandCanDependOnTheRequest(t *testing.T) {
	a := newAuthority(t)
	g := a.guard()
	token := []string{"Bearer " + a.token(nil)}
	if got, err := g.Check(t.Context(), token, stepup.Demand{Level: "mfa"}); err != nil || got.Subject != "someone@example.net" {
		t.Errorf("got %+v, %v", got, err)
	}
	_, err := g.Check(t.Context(), token, stepup.Demand{Level: "phr"})
	var r *stepup.Refusal
	if !errors.Is(err, stepup.ErrInsufficient) || !errors.As(err, &r) || r.Status != 401 || r.Code != insufficientUser || r.Text == "" {
		t.Errorf("got %v, %+v", err, r)
	}
	if _, err := g.Check(t.Context(), nil, anyToken); !errors.Is(err, stepup.ErrToken) {
		t.Errorf("no token: %v, want ErrToken", err)
	}
}

// LG-2: neither a token nor part of one is in a log.
func TestTheLogSaysWhyAndNeverTheToken(t *testing.T) {
	a := newAuthority(t)
	var log bytes.Buffer
	g := a.guard(func(c *stepup.Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		introspected(c)
	})
	a.opaque["opaque-token-in-the-log"] = `{"active":true}`
	tokens := []string{a.token(nil), a.token(claims{"aud": "https://other.example.com"}), "opaque-token-in-the-log", "unknown-token-in-the-log"}
	for _, token := range tokens {
		io.Copy(io.Discard, call(g, stepup.Demand{Level: "phr"}, token).Body)
	}
	a.set(func(a *authority) { a.down = true })
	call(g, anyToken, "another-token-in-the-log")
	for _, token := range append(tokens, "another-token-in-the-log") {
		for _, part := range strings.Split(token, ".") {
			if len(part) > 0 && strings.Contains(log.String(), part) {
				t.Errorf("%q is in the log", part)
			}
		}
	}
	for _, want := range []string{`acr \"mfa\"`, "other.example.com", "not active", "502 Bad Gateway", "status=503", "status=401"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %s:\n%s", want, &log)
		}
	}
}
