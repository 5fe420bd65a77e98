package test

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/oauth2"

	"github.com/sallyport-id/sallyport/test/relying"
)

// The plan oidcc-basic-certification-test-plan, and with response_mode=form_post
// oidcc-formpost-basic-certification-test-plan.
var basicPlan = []suiteModule{
	{"oidcc-server", "a login ends in tokens that say who it was, and no more", logsIn},
	{"oidcc-response-type-missing", "a request for nothing is told so", asksForNothing},
	{"oidcc-idtoken-signature", "no client registers itself, to be given another algorithm", registersNobody},
	{"oidcc-idtoken-unsigned", "there are no unsigned tokens", signsEverything},
	{"oidcc-userinfo-get", "userinfo is for GET", readsUserinfo(relying.ByGet)},
	{"oidcc-userinfo-post-header", "userinfo is for POST", readsUserinfo(relying.ByPost)},
	{"oidcc-userinfo-post-body", "userinfo is for POST with the token in its body", readsUserinfo(relying.ByBody)},
	{"oidcc-ensure-request-without-nonce-succeeds-for-code-flow", "no nonce comes of none", leavesOut("nonce")},
	{"oidcc-scope-profile", "the scope profile is all of its claims", asksFor("profile")},
	{"oidcc-scope-email", "the scope email is both of its claims", asksFor("email")},
	{"oidcc-scope-address", "the scope address is an address", asksFor("address")},
	{"oidcc-scope-phone", "the scope phone is both of its claims", asksFor("phone")},
	{"oidcc-scope-all", "all scopes are all claims", asksFor("address", "email", "phone", "profile")},
	{"oidcc-alternate-happy-flow", "the order of scopes and parameters is nothing", asksTheOtherWayRound},
	{"oidcc-display-page", "display=page is no error", asksWith("display", "page")},
	{"oidcc-display-popup", "display=popup is no error", asksWith("display", "popup")},
	{"oidcc-prompt-login", "prompt=login asks for everything anew", promptsLogin},
	{"oidcc-prompt-none-not-logged-in", "a silent request of nobody is refused, and shows nothing", promptsNobody},
	{"oidcc-prompt-none-logged-in", "a silent request in a session is granted", promptsNone},
	{"oidcc-max-age-1", "a login that is too old is not enough", agesOut},
	{"oidcc-max-age-10000", "a login that is young enough is", staysYoung},
	{"oidcc-ensure-request-with-unknown-parameter-succeeds", "what is unknown is ignored", asksWith("extra", "foobar")},
	{"oidcc-id-token-hint", "a hint of who is signed in is granted silently", hints},
	{"oidcc-login-hint", "a login_hint is no error, whoever it names", asksWith("login_hint", "buffy@idp.example")},
	{"oidcc-ui-locales", "a language that we do not speak is no error", asksWith("ui_locales", "se")},
	{"oidcc-claims-locales", "claims in a language that we do not speak are no error", asksWith("claims_locales", "se")},
	{"oidcc-ensure-request-with-acr-values-succeeds", "of all levels that there are, the token says which was reached", asksForEachLevel},
	{"oidcc-codereuse", "a code is good once", usesACodeTwice},
	{"oidcc-codereuse-30seconds", "a code that comes again ends what it bought", usesACodeLater},
	{"oidcc-ensure-registered-redirect-uri", "nothing leads to a URI that is not registered", redirectsElsewhere},
	{"oidcc-ensure-post-request-succeeds", "a request may be posted", posts},
	{"oidcc-server-client-secret-post", "the secret may be in the body", putsItsSecretIntoTheBody},
	{"oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported", "no request is fetched", fetchesNothing},
	{"oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported", "a request object is refused by its name", packsTheRequest},
	{"oidcc-claims-essential", "a claim that is asked for by name is given there and nowhere else", asksForAName},
	{"oidcc-ensure-request-object-with-redirect-uri", "a redirect URI in a request object is none", packsTheRedirectURI},
	{"oidcc-refresh-token", "a refresh token is good for new tokens, and for its client alone", refreshes},
	{"oidcc-ensure-request-with-valid-pkce-succeeds", "PKCE is for those who could do without it", challenges},
}

func logsIn(e *exam) {
	l := e.login()
	if len(l.userinfo) != 1 {
		e.fail("userinfo of openid alone says %v", l.userinfo)
	}
	if first := append(slices.Clone(e.steps), "consent"); !slices.Equal(l.pages, first) && !slices.Equal(l.pages, e.steps) {
		e.fail("the pages %v were shown", l.pages)
	}
}

func asksWith(name, value string) func(e *exam) {
	return func(e *exam) { e.login(name, value) }
}

func leavesOut(name string) func(e *exam) {
	return func(e *exam) { e.login(name, "") }
}

func readsUserinfo(way relying.Way) func(e *exam) {
	return func(e *exam) {
		l := e.login("scope", "openid email")
		got, err := e.party.Userinfo(e.t.Context(), l.Tokens, way)
		e.check(err)
		if !maps.Equal(got, l.userinfo) {
			e.fail("userinfo %v, by GET %v", got, l.userinfo)
		}
	}
}

// asksFor is for scopes, each of which has to be offered and to give every
// claim that it stands for, and no other.
func asksFor(scopes ...string) func(e *exam) {
	return func(e *exam) {
		want := []string{"sub"}
		for _, s := range scopes {
			if !slices.Contains(e.party.List("scopes_supported"), s) {
				e.fail("the scope %s is not offered", s)
			}
			want = append(want, relying.Scopes[s]...)
		}
		l := e.login("scope", "openid "+strings.Join(scopes, " "))
		slices.Sort(want)
		if got := slices.Sorted(maps.Keys(l.userinfo)); !slices.Equal(got, want) {
			e.fail("userinfo has %v, want %v", got, want)
		}
		for _, name := range want {
			if !slices.Contains(e.party.List("claims_supported"), name) {
				e.fail("the claim %s is not offered", name)
			}
		}
	}
}

func asksTheOtherWayRound(e *exam) {
	v := e.request(e.party, "scope", "email openid")
	var query []string
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(v))) {
		query = append(query, name+"="+url.QueryEscape(v.Get(name)))
	}
	e.person.visit(e.party.Text("authorization_endpoint") + "?" + strings.Join(query, "&"))
	code, err := e.answered(e.party, v)
	e.check(err)
	l := login{asked: v, code: code}
	e.redeem(e.party, &l)
	if l.userinfo["email"] == nil {
		e.fail("userinfo %v", l.userinfo)
	}
}

// SU-2
func asksForEachLevel(e *exam) {
	levels := e.party.List("acr_values_supported")
	if len(levels) == 0 {
		e.fail("no levels are offered")
	}
	l := e.login("acr_values", strings.Join(levels, " "))
	if l.ID.ACR == "" { // that it is one of them, the party has seen
		e.fail("the token says nothing of the level: %v", l.ID.Claims)
	}
}

// OpenID Connect Core section 5.5
func asksForAName(e *exam) {
	l := e.login("claims", `{"userinfo":{"name":{"essential":true}}}`)
	if l.userinfo["name"] != fullClaims.Name || len(l.userinfo) != 2 {
		e.fail("userinfo %v", l.userinfo)
	}
}

func putsItsSecretIntoTheBody(e *exam) {
	e.party.Post = true
	e.offers("token_endpoint_auth_methods_supported", "client_secret_post")
	e.login()
}

func challenges(e *exam) {
	e.offers("code_challenge_methods_supported", "S256")
	verifier := oauth2.GenerateVerifier()
	v := e.request(e.party, "code_challenge", challengeOf(verifier), "code_challenge_method", "S256")
	l := e.code(e.party, v)
	e.redeem(e.party, &l, "code_verifier", verifier)
}

// offers stops the exam unless a list of the metadata has value.
func (e *exam) offers(list, value string) {
	e.t.Helper()
	if !slices.Contains(e.party.List(list), value) {
		e.fail("%s is without %s", list, value)
	}
}

// What follows is for modules that the suite leaves out where something is not
// offered: that it is not.

// registersNobody is for modules that register a client of their own.
func registersNobody(e *exam) {
	if v, ok := e.party.Metadata["registration_endpoint"]; ok {
		e.fail("clients can register themselves at %v", v)
	}
}

func signsEverything(e *exam) {
	for name := range e.party.Metadata {
		if strings.HasSuffix(name, "signing_alg_values_supported") && slices.Contains(e.party.List(name), "none") {
			e.fail("%s has none", name)
		}
	}
}

// fetchesNothing asks for it all the same.
func fetchesNothing(e *exam) {
	if e.party.Metadata["request_uri_parameter_supported"] != false {
		e.fail("request_uri is offered") // left out, it would be true (Discovery section 3)
	}
	_, err := e.answer(e.party, e.request(e.party, "request_uri", "https://"+clientHost+"/request.jwt"))
	e.refused(err, "request_uri_not_supported")
	if len(e.person.pages) > 0 {
		e.fail("the pages %v were shown", e.person.pages)
	}
}
