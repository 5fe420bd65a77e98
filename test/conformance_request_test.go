package test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sallyport-id/sallyport/test/relying"
)

// The modules of the Basic plan that are about the form of a request.

func asksForNothing(e *exam) {
	_, err := e.answer(e.party, e.request(e.party, "response_type", ""))
	e.refused(err, "invalid_request", "unsupported_response_type")
}

// redirectsElsewhere reads the page that the suite wants a picture of. OA-1
func redirectsElsewhere(e *exam) {
	e.person.visit(e.party.Text("authorization_endpoint") + "?" + e.request(e.party, "redirect_uri", firstCallback+"/other").Encode())
	e.reviewsFault()
}

// reviewsFault looks at a page that says that the redirect URI is wrong, and
// leads nowhere.
func (e *exam) reviewsFault() {
	e.t.Helper()
	page := e.person.at("error", http.StatusBadRequest)
	if !page.says("error.redirect") || e.person.brought != nil || strings.Contains(page.body, clientHost) {
		e.fail("the page does not say what is wrong, or leads on")
	}
}

// posts asks by POST (OA-13). The answer is to be there within 30 seconds, so the
// person waits for a fresh code before.
func posts(e *exam) {
	e.person.rest()
	began := time.Now()
	v := e.request(e.party)
	e.person.send(e.party.Text("authorization_endpoint"), v)
	code, err := e.answered(e.party, v)
	e.check(err)
	if took := time.Since(began); took >= 30*time.Second {
		e.fail("the answer took %v", took)
	}
	l := login{asked: v, code: code}
	e.redeem(e.party, &l)
}

// packed returns a request object of v that is not signed (OpenID Connect Core
// section 6.1).
func packed(p *relying.Party, v url.Values) string {
	claims := map[string]string{"iss": p.ID, "aud": p.Issuer}
	for name := range v {
		claims[name] = v.Get(name)
	}
	b, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(b) + "."
}

// packsTheRequest is not left out by the suite where the metadata do not say
// which algorithms there are.
func packsTheRequest(e *exam) {
	if e.party.Metadata["request_parameter_supported"] != false {
		e.fail("request objects are offered")
	}
	v := e.request(e.party)
	_, err := e.answer(e.party, with(v, "request", packed(e.party, v)))
	e.refused(err, "request_not_supported")
}

// packsTheRedirectURI has a good redirect URI in the object and a bad one
// beside it.
func packsTheRedirectURI(e *exam) {
	v := e.request(e.party)
	object := packed(e.party, v)
	v.Set("redirect_uri", firstCallback+"/other")
	v.Set("request", object)
	e.person.visit(e.party.Text("authorization_endpoint") + "?" + v.Encode())
	e.reviewsFault()
}
