package test

import (
	"time"

	"github.com/sallyport-id/sallyport/test/relying"
)

// The modules of the Basic plan that are about codes and refresh tokens, and
// what becomes of those that come a second time or from someone else.

// OA-5
func usesACodeTwice(e *exam) {
	l := e.login()
	_, err := e.party.Redeem(e.t.Context(), l.asked, l.code)
	e.refused(err, "invalid_grant")
}

// OA-5: what the first use bought is worth nothing after the second.
func usesACodeLater(e *exam) {
	l := e.login()
	e.wait(30 * time.Second)
	_, err := e.party.Redeem(e.t.Context(), l.asked, l.code)
	e.refused(err, "invalid_grant")
	_, err = e.party.Userinfo(e.t.Context(), l.Tokens, relying.ByGet)
	e.refused(err, "invalid_token")
}

// OA-6
func refreshes(e *exam) {
	e.offers("scopes_supported", "offline_access")
	e.offers("grant_types_supported", "refresh_token")
	first := e.refresh(e.party)
	second := e.refresh(e.second)

	// Each is its client's. The other learns nothing by trying, and spoils
	// nothing.
	_, err := e.party.Refreshed(e.t.Context(), second.Tokens)
	e.refused(err, "invalid_grant")
	_, err = e.second.Refreshed(e.t.Context(), first.Tokens)
	e.refused(err, "invalid_grant")
	e.wait(time.Second)
	_, err = e.second.Refreshed(e.t.Context(), second.Tokens)
	e.check(err)
}

// refresh signs in at p and refreshes what came of it. offline_access takes a
// consent that is given there and then (OpenID Connect Core section 11).
func (e *exam) refresh(p *relying.Party) login {
	e.t.Helper()
	l := e.tokens(p, e.request(p, "scope", "openid offline_access", "prompt", "consent"))
	if n := len(l.pages); n == 0 || l.pages[n-1] != "consent" {
		e.fail("the pages %v were shown", l.pages)
	}
	if l.Refresh == "" {
		e.fail("there is no refresh token")
	}
	e.wait(time.Second)
	var err error
	l.Tokens, err = p.Refreshed(e.t.Context(), l.Tokens)
	e.check(err)
	l.userinfo, err = p.Userinfo(e.t.Context(), l.Tokens, relying.ByGet)
	e.check(err)
	return l
}
