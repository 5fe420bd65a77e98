package test

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The modules of the Basic plan that are about who is signed in, and since when.

// SU-5
func promptsLogin(e *exam) {
	first := e.login()
	e.wait(time.Second)
	v := e.request(e.party, "prompt", "login")
	e.reviewsLogin(v)
	e.later(first, e.tokens(e.party, v))
}

// reviewsLogin looks at what the suite wants a picture of: a page on which
// someone signs in, though they are signed in, and which says to what.
func (e *exam) reviewsLogin(v url.Values) {
	e.t.Helper()
	e.person.open(e.party.Text("authorization_endpoint") + "?" + v.Encode())
	page := e.person.at("password", http.StatusOK)
	if !page.says("password.confirm") || !strings.Contains(page.text(), "The suite") {
		e.fail("the page does not say what it is for")
	}
}

// PA-9
func promptsNobody(e *exam) {
	state := (rand.Text() + rand.Text() + rand.Text() + rand.Text() + rand.Text())[:128]
	_, err := e.answer(e.party, e.request(e.party, "prompt", "none", "state", state))
	e.refused(err, "login_required")
	if len(e.person.pages) > 0 {
		e.fail("the pages %v were shown", e.person.pages)
	}
}

func promptsNone(e *exam) {
	first := e.login()
	e.wait(time.Second) // outside of a bubble no request comes at the moment of the login
	e.same(first, e.login("prompt", "none"))
}

// SU-4
func agesOut(e *exam) {
	first := e.login()
	e.wait(2 * time.Second)
	v := e.request(e.party, "max_age", "1")
	e.reviewsLogin(v)
	e.later(first, e.tokens(e.party, v))
}

func staysYoung(e *exam) {
	first := e.login("max_age", "15000")
	e.wait(time.Second)
	e.same(first, e.login("max_age", "10000"))
}

// OA-11
func hints(e *exam) {
	first := e.login()
	e.wait(time.Second)
	e.same(first, e.login("prompt", "none", "id_token_hint", first.Raw))
}
