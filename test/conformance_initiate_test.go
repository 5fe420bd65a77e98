package test

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The plan oidcc-3rd-party-init-login-certification-test-plan. The suite looks
// no further than at what a client registers for itself; here a client that is
// registered by hand is sent someone, and takes them in.
var initiatePlan = []suiteModule{
	{"oidcc-3rd_party-init-login", "someone is sent to where a sign-in begins, and the client learns by whom", sendsToTheClient},
	{"oidcc-3rd_party-init-login-nohttps", "nobody is sent there over http", sendsNobodyOverHTTP},
}

// initiateURI has a query of its own.
const initiateURI = "https://" + clientHost + "/test/a/initiate?tenant=%2f1"

// expires begins a sign-in of the client with this ID, and answers its page too
// late.
func (e *exam) expires(id string) *page {
	e.t.Helper()
	p := *e.party
	p.ID = id
	e.person.open(p.Text("authorization_endpoint") + "?" + e.request(&p).Encode())
	e.person.at("password", http.StatusOK)
	e.wait(time.Hour)
	e.person.submit("password", "username", e.person.name, "password", e.person.secret)
	return e.person.ended("expired")
}

func sendsToTheClient(e *exam) {
	e.expires(e.party.ID)
	var sent url.Values
	v := e.request(e.party)
	e.person.client["/test/a/initiate"] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent = r.URL.Query()
		http.Redirect(w, r, e.party.Text("authorization_endpoint")+"?"+v.Encode(), http.StatusSeeOther)
	})
	e.person.visit(e.person.page.link(initiateURI))
	if want := (url.Values{"tenant": {"/1"}, "iss": {e.party.Issuer}}); sent.Encode() != want.Encode() {
		e.fail("the client was sent %v, want %v", sent, want)
	}
	code, err := e.answered(e.party, v)
	e.check(err)
	l := login{asked: v, code: code}
	e.redeem(e.party, &l)
}

func sendsNobodyOverHTTP(e *exam) {
	page := e.expires("suite-http")
	if page.link("http:") != "" || page.link("https:") != "" || strings.Contains(page.body, "initiate") {
		e.fail("the page leads on")
	}
}
