package stepup_test

import (
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/sallyport-id/sallyport/mfa/stepup"
)

func seconds(n int) *int { return &n }

// The examples of RFC 9470 section 3, RFC 6750 section 3 and RFC 9110 section
// 11.6.1, and what is not well-formed.
func TestChallengesAreReadAsTheirRFCsHaveThem(t *testing.T) {
	type c = stepup.Challenge
	for _, test := range []struct {
		name   string
		fields []string
		want   []c
		bad    bool
	}{
		{"RFC 9470 figure 2", []string{"Bearer error=\"insufficient_user_authentication\",\n  error_description=\"A different authentication level is required\",\n  acr_values=\"myACR\""},
			nil, true}, // folded as it is printed, which no header is
		{"RFC 9470 figure 2, unfolded", []string{`Bearer error="insufficient_user_authentication", error_description="A different authentication level is required", acr_values="myACR"`},
			[]c{{Scheme: "Bearer", Code: insufficientUser, Text: "A different authentication level is required", ACRValues: []string{"myACR"}}}, false},
		{"RFC 9470 figure 3", []string{`Bearer error="insufficient_user_authentication", error_description="More recent authentication is required", max_age="5"`},
			[]c{{Scheme: "Bearer", Code: insufficientUser, Text: "More recent authentication is required", MaxAge: seconds(5)}}, false},
		{"max_age as a token", []string{`Bearer error="insufficient_user_authentication", max_age=5, scope="a b"`},
			[]c{{Scheme: "Bearer", Code: insufficientUser, MaxAge: seconds(5), Scopes: []string{"a", "b"}}}, false},
		{"max_age 0", []string{`Bearer error=insufficient_user_authentication,max_age=0`},
			[]c{{Scheme: "Bearer", Code: insufficientUser, MaxAge: seconds(0)}}, false},
		{"RFC 6750", []string{`Bearer realm="example", error="invalid_token", error_description="The access token expired"`},
			[]c{{Scheme: "Bearer", Code: "invalid_token", Text: "The access token expired"}}, false},
		{"RFC 9110, two in one", []string{`Basic realm="simple", Newauth realm="apps", type=1, title="Login to \"apps\""`},
			[]c{{Scheme: "Basic"}, {Scheme: "Newauth"}}, false},
		{"in several fields", []string{`Negotiate`, `DPoP algs="ES256", error="insufficient_scope", scope="x"`},
			[]c{{Scheme: "Negotiate"}, {Scheme: "DPoP", Code: insufficientScope, Scopes: []string{"x"}}}, false},
		{"several between schemes without parameters", []string{`Negotiate, Bearer error="e", NTLM, Basic realm=a`},
			[]c{{Scheme: "Negotiate"}, {Scheme: "Bearer", Code: "e"}, {Scheme: "NTLM"}, {Scheme: "Basic"}}, false},
		{"a token68", []string{`Negotiate YWJj+/-._~==, Bearer error="e"`},
			[]c{{Scheme: "Negotiate"}, {Scheme: "Bearer", Code: "e"}}, false},
		{"a token68 at the end", []string{`Negotiate YWJj== `}, []c{{Scheme: "Negotiate"}}, false},
		{"empty elements", []string{` , ,Bearer error="e", ,, acr_values=a, ,Basic realm=x,`},
			[]c{{Scheme: "Bearer", Code: "e", ACRValues: []string{"a"}}, {Scheme: "Basic"}}, false},
		{"spaces and tabs", []string{"bearer   error\t =  \"e\" \t, ACR_Values = \"a\tb\""},
			[]c{{Scheme: "bearer", Code: "e", ACRValues: []string{"a", "b"}}}, false},
		{"commas and schemes in quotes", []string{`Bearer error_description="a, Basic realm=\"x\", b\\", error="e"`},
			[]c{{Scheme: "Bearer", Code: "e", Text: `a, Basic realm="x", b\`}}, false},
		{"escapes of what needs none", []string{`Bearer error="\e\r"`}, []c{{Scheme: "Bearer", Code: "er"}}, false},
		{"letters beyond ASCII", []string{"Bearer error_description=\"caf\u00e9\", error=e"}, []c{{Scheme: "Bearer", Code: "e", Text: "café"}}, false},
		{"an empty value", []string{`Bearer error=""`}, []c{{Scheme: "Bearer"}}, false},
		{"nothing", []string{"", " ,"}, nil, false},
		{"no field", nil, nil, false},

		{"a good one beside a bad one", []string{`Bearer error="`, `Bearer error="e"`}, []c{{Scheme: "Bearer", Code: "e"}}, true},
		{"a good one before a bad one", []string{`Bearer error="e", Basic realm="`}, []c{{Scheme: "Bearer", Code: "e"}}, true},
		{"no end of a string", []string{`Bearer error="e`}, nil, true},
		{"a backslash at the end", []string{`Bearer error="e\`}, nil, true},
		{"a parameter twice", []string{`Bearer error="a", Error="b"`}, nil, true},
		{"no comma", []string{`Bearer error="a" acr_values="b"`}, nil, true},
		{"no scheme", []string{`error="a"`}, nil, true},
		{"no name", []string{`Bearer ="a"`}, nil, true},
		{"no value, so a token68", []string{`Bearer error=, x=y`}, []c{{Scheme: "Bearer"}}, true},
		{"no value", []string{`Bearer x=y, error=, z=a`}, nil, true},
		{"a control character", []string{"Bearer error=\"a\x00\""}, nil, true},
		{"an escaped control character", []string{"Bearer error=\"a\\\n\""}, nil, true},
		{"max_age below zero", []string{`Bearer max_age="-1"`}, nil, true},
		{"max_age with a sign", []string{`Bearer max_age="+1"`}, nil, true},
		{"max_age in parts", []string{`Bearer max_age="1.5"`}, nil, true},
		{"max_age with a space", []string{`Bearer max_age=" 1"`}, nil, true},
		{"max_age empty", []string{`Bearer max_age=""`}, nil, true},
		{"max_age that overflows", []string{`Bearer max_age=99999999999999999999`}, nil, true},
		{"max_age in other digits", []string{`Bearer max_age="٣"`}, nil, true},
	} {
		got, err := stepup.ParseChallenges(test.fields)
		if errors.Is(err, stepup.ErrChallenge) != test.bad {
			t.Errorf("%s: error %v, want one: %v", test.name, err, test.bad)
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", test.name, got, test.want)
		}
	}
}

func TestOnlyAChallengeThatAnAuthorizationMeetsIsAStepUp(t *testing.T) {
	const user, scope = `Bearer error="insufficient_user_authentication", acr_values="mfa"`, `Bearer error="insufficient_scope", scope="a"`
	for name, test := range map[string]struct {
		status int
		fields []string
		code   string // of the challenge that is found
		bad    bool
	}{
		"authentication":               {401, []string{user}, insufficientUser, false},
		"scope":                        {403, []string{scope}, insufficientScope, false},
		"authentication before scope":  {401, []string{scope, user}, insufficientUser, false},
		"the first of two":             {401, []string{user, `Bearer error="insufficient_user_authentication"`}, insufficientUser, false},
		"after another scheme":         {401, []string{`Basic realm="a", ` + user}, insufficientUser, false},
		"by DPoP":                      {401, []string{strings.Replace(user, "Bearer", "dpop", 1)}, insufficientUser, false},
		"by another scheme":            {401, []string{strings.Replace(user, "Bearer", "Other", 1)}, "", false},
		"beside one that is malformed": {401, []string{`Basic realm="`, user}, insufficientUser, false},
		"a dead token":                 {401, []string{`Bearer error="invalid_token", acr_values="mfa"`}, "", false},
		"no token":                     {401, []string{"Bearer"}, "", false},
		"none":                         {401, nil, "", false},
		"with a good answer":           {200, []string{user}, "", false},
		"malformed":                    {401, []string{user + `, max_age="x"`}, "", true},
	} {
		c, ok, err := stepup.Challenged(&http.Response{StatusCode: test.status, Header: http.Header{"Www-Authenticate": test.fields}})
		if c.Code != test.code || ok != (test.code != "") || errors.Is(err, stepup.ErrChallenge) != test.bad {
			t.Errorf("%s: %+v, %v, %v", name, c, ok, err)
		}
	}
}

// What our guard writes, our client reads, whatever is in it.
func FuzzParseChallenges(f *testing.F) {
	for _, seed := range []string{
		`Bearer error="insufficient_user_authentication", acr_values="myACR", max_age="5"`,
		`Basic realm="simple", Newauth realm="apps", type=1, title="Login to \"apps\""`,
		`Negotiate YWJj==, Bearer`, `Bearer error="\`, `,,,`, "Bearer a=\"\xff\"", `a b=c,d e`, `a =`, `a b=,`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, field string) {
		all, err := stepup.ParseChallenges([]string{field})
		if err != nil && !errors.Is(err, stepup.ErrChallenge) {
			t.Errorf("an error of another kind: %v", err)
		}
		if len(all) > len(field) {
			t.Errorf("%d challenges in %d bytes", len(all), len(field))
		}
		for _, c := range all {
			if c.Scheme == "" || strings.ContainsAny(c.Scheme, " ,=\"") || c.MaxAge != nil && *c.MaxAge < 0 {
				t.Errorf("%q gives %+v", field, c)
			}
			if strings.ContainsAny(c.Code+c.Text, "\r\n\x00") {
				t.Errorf("%q has control characters", c.Code+c.Text)
			}
			again, err := stepup.ParseChallenges([]string{stepup.Write(c)})
			if err != nil || len(again) != 1 || !reflect.DeepEqual(again[0], c) {
				t.Errorf("%+v is written as %s and read as %+v, %v", c, stepup.Write(c), again, err)
			}
		}
	})
}
