package test

import (
	"crypto/tls"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The plan oidcc-rp-initiated-logout-certification-test-plan. Where the suite
// wants a picture, the page is read: it leads nowhere, and a yes to it signs out.
var leavePlan = []suiteModule{
	{"oidcc-rp-initiated-logout-discovery-endpoint-verification", "it is said where to sign out", offersLogout()},
	{"oidcc-rp-initiated-logout", "a hint leads back to the client, with the state as it was", leavesWith(longState)},
	{"oidcc-rp-initiated-logout-bad-post-logout-redirect-uri", "nothing leads to a URI that is not registered", stays(http.StatusBadRequest,
		func(_ *exam, v url.Values) {
			v.Set("post_logout_redirect_uri", "https://"+clientHost+"/test/a/elsewhere")
		})},
	{"oidcc-rp-initiated-logout-modified-id-token-hint", "an unsigned hint is none", stays(http.StatusBadRequest, unsigns)},
	{"oidcc-rp-initiated-logout-no-id-token-hint", "without a hint nothing leads anywhere", stays(http.StatusBadRequest, drops("id_token_hint"))},
	{"oidcc-rp-initiated-logout-no-params", "without a request someone is asked", stays(http.StatusOK,
		drops("id_token_hint", "post_logout_redirect_uri", "state"))},
	{"oidcc-rp-initiated-logout-no-post-logout-redirect-uri", "a hint alone signs out", leavesForNowhere},
	{"oidcc-rp-initiated-logout-no-state", "no state comes of none", leavesWith(func() string { return "" })},
	{"oidcc-rp-initiated-logout-only-state", "a state alone is no request", stays(http.StatusOK, drops("id_token_hint", "post_logout_redirect_uri"))},
	{"oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri", "a URI with a query more is another", stays(http.StatusBadRequest,
		func(_ *exam, v url.Values) { v.Set("post_logout_redirect_uri", leftURI+"?foo=bar") })},
	{"oidcc-rp-initiated-logout-bad-id-token-hint", "a hint that someone else signed is none", stays(http.StatusBadRequest, forges)},
}

// The plan oidcc-backchannel-rp-initiated-logout-certification-test-plan.
var backPlan = []suiteModule{
	{"oidcc-backchannel-logout-discovery-endpoint-verification", "it is said that clients are told", offersLogout("backchannel_logout_supported", "backchannel_logout_session_supported")},
	{"oidcc-backchannel-rp-initiated-logout", "a client is told of a logout, and of whose", tellsTheClient},
}

// The plan oidcc-frontchannel-rp-initiated-logout-certification-test-plan.
var frontPlan = []suiteModule{
	{"oidcc-frontchannel-logout-discovery-endpoint-verification", "it is said that clients are shown", offersLogout("frontchannel_logout_supported", "frontchannel_logout_session_supported")},
	{"oidcc-frontchannel-rp-initiated-logout", "a client is shown in a frame, and then the browser goes on", showsTheClient},
}

const (
	leftURI  = "https://" + clientHost + "/test/a/post_logout_redirect"
	frameURI = "https://" + clientHost + "/test/a/frontchannel_logout"
)

// offersLogout is for what the metadata say of logouts. Sessions that scripts
// watch are not offered, and the plan for them is left out.
func offersLogout(flags ...string) func(e *exam) {
	return func(e *exam) {
		if !strings.HasPrefix(e.party.Text("end_session_endpoint"), "https://") {
			e.fail("end_session_endpoint is %v", e.party.Metadata["end_session_endpoint"])
		}
		for _, name := range flags {
			if e.party.Metadata[name] != true {
				e.fail("%s is %v", name, e.party.Metadata[name])
			}
		}
		if v, ok := e.party.Metadata["check_session_iframe"]; ok {
			e.fail("check_session_iframe is %v", v)
		}
	}
}

// leaving returns a logout request of whoever signed in as l, in which nothing
// is wrong.
func (l login) leaving(state string) url.Values {
	v := values("id_token_hint", l.Raw, "post_logout_redirect_uri", leftURI)
	if state != "" {
		v.Set("state", state)
	}
	return v
}

// leave sends the person to sign out by the request v.
func (e *exam) leave(v url.Values) {
	e.t.Helper()
	e.person.visit(e.party.Text("end_session_endpoint") + "?" + v.Encode())
}

// left stops the exam unless the browser came back to the client with the state
// and nothing else, and nobody is signed in at it any more.
func (e *exam) left(state string) {
	e.t.Helper()
	want := leftURI
	if state != "" {
		want += "?state=" + state
	}
	if r := e.person.brought; r == nil || r.Method != http.MethodGet || r.URL.String() != want {
		e.fail("the client was brought %+v, want %s", r, want)
	}
	if len(e.person.pages) > 0 {
		e.fail("the pages %v were shown", e.person.pages)
	}
	e.gone()
}

// gone stops the exam if a silent request finds someone.
func (e *exam) gone() {
	e.t.Helper()
	_, err := e.answer(e.party, e.request(e.party, "prompt", "none"))
	e.refused(err, "login_required")
}

// signedOut stops the exam unless the browser stays at our page that says that
// it is signed out, and is.
func (e *exam) signedOut() {
	e.t.Helper()
	page := e.person.at("signedout", http.StatusOK)
	if !page.says("signedout.title") || e.person.brought != nil || page.header.Get("Refresh") != "" {
		e.fail("a logout of this kind leads on")
	}
	e.gone()
}

// leavesWith is for a logout that leads back to the client.
func leavesWith(state func() string) func(e *exam) {
	return func(e *exam) {
		l, s := e.login(), state()
		e.leave(l.leaving(s))
		e.left(s)
	}
}

// leavesForNowhere is for a logout with a hint that names no way on.
func leavesForNowhere(e *exam) {
	l := e.login()
	e.leave(with(l.leaving(longState()), "post_logout_redirect_uri"))
	e.signedOut()
}

// stays is for a logout that change has made one which is not done unasked: a
// page asks, with this status, and until it is answered all is as it was. OA-12
func stays(status int, change func(e *exam, v url.Values)) func(e *exam) {
	return func(e *exam) {
		l := e.login()
		v := l.leaving(longState())
		change(e, v)
		asks := func() {
			e.t.Helper()
			e.leave(v)
			page := e.person.at("signout", status)
			if page.says("problem.logout_stays") != (status == http.StatusBadRequest) || e.person.brought != nil {
				e.fail("the page does not say what becomes of the request")
			}
		}
		asks()
		e.wait(time.Second)
		e.same(l, e.login("prompt", "none"))
		asks()
		e.person.submit("sign-out")
		e.signedOut()
	}
}

// drops leaves out parameters.
func drops(names ...string) func(e *exam, v url.Values) {
	return func(_ *exam, v url.Values) {
		for _, name := range names {
			v.Del(name)
		}
	}
}

// unsigns takes the signature off the hint, and says so in its header.
func unsigns(_ *exam, v url.Values) {
	parts := strings.Split(v.Get("id_token_hint"), ".")
	v.Set("id_token_hint", base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))+"."+parts[1]+".")
}

// forges signs the hint with a key of its own, under the provider's name for
// its.
func forges(e *exam, v url.Values) {
	header, payload := part(e.t, v.Get("id_token_hint"), 0), part(e.t, v.Get("id_token_hint"), 1)
	v.Set("id_token_hint", theKeys()["RS256"].sign(e.t, "RS256", header, payload))
}

// as has the party be the client with this ID.
func (e *exam) as(id string) {
	p := *e.party
	p.ID = id
	e.party = &p
}

func tellsTheClient(e *exam) {
	e.as("suite-back")
	l, state := e.login(), longState()
	e.leave(l.leaving(state))
	e.left(state)
	got := e.ear.hear(e.t)
	if got.method != http.MethodPost || got.kind != "application/x-www-form-urlencoded" || got.query != "" {
		e.fail("the client was told by %+v", got)
	}
	if len(got.form) != 1 || len(got.form["logout_token"]) != 1 {
		e.fail("the client was told %v", got.form)
	}
	if got.tls != 0 && got.tls < tls.VersionTLS13 {
		e.fail("the client was told by TLS %x", got.tls)
	}
	e.check(e.party.CheckLogoutToken(got.form.Get("logout_token"), l.ID))
	e.wait(time.Hour)
	if n := len(e.ear.heard); n > 0 {
		e.fail("the client was told %d times more", n)
	}
}

func showsTheClient(e *exam) {
	e.as("suite-front")
	var shown []url.Values
	e.person.client["/test/a/frontchannel_logout"] = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		shown = append(shown, r.URL.Query())
	})
	l, state := e.login(), longState()
	e.leave(l.leaving(state))
	page := e.person.at("signedout", http.StatusOK)
	if csp := page.header.Get("Content-Security-Policy"); !strings.HasSuffix(csp, "; frame-src https://"+clientHost) {
		e.fail("the policy lets no browser show the client: %s", csp)
	}
	for _, src := range page.frames() {
		e.person.tab().open(src)
	}
	sid, _ := l.ID.Claims["sid"].(string)
	want := url.Values{"iss": {e.party.Issuer}, "sid": {sid}}
	if len(shown) != 1 || shown[0].Encode() != want.Encode() || sid == "" {
		e.fail("the client was shown with %v, want %v", shown, want)
	}
	_, to, _ := strings.Cut(page.header.Get("Refresh"), "; url=")
	if to == "" || page.link(to) != to {
		e.fail("there is no way on: Refresh %q", page.header.Get("Refresh"))
	}
	e.person.visit(to)
	e.left(state)
}
