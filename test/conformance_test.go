package test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/test/pg"
	"github.com/sallyport-id/sallyport/test/relying"
)

// The modules of the OpenID Foundation's conformance suite as tests of our own:
// the plans of the profiles Config, Basic and Form Post Basic, in their order
// and by their names, each with what it shows.
//
// An exam runs one of them: the provider over TLS, relying parties from package
// relying, whose judgement is at least as strict as the suite's, and a person
// who answers our pages. What the suite ends as a warning fails here, and where
// it leaves a page to someone's review, the page is read.
//
// All of that is in one bubble of its own time, wires included, so that a
// module that waits for thirty seconds takes none. What does not wait is run
// against idp serve as well, over the network: conformance_serve_test.go.

// A suiteModule is one of the suite's.
type suiteModule struct {
	name  string // the suite's
	shows string
	run   func(e *exam)
}

// An exam is a module at work.
type exam struct {
	t      testing.TB
	mode   string // the response_mode of every request; empty: the default
	party  *relying.Party
	second *relying.Party // another one, whose redirect URI has a query
	person *person

	steps []string              // the pages of a sign-in of someone whose consent is remembered
	wait  func(d time.Duration) // lets time pass
}

// The clients of an exam. They send no PKCE, as those of the suite do not.
const (
	examSecret     = "the secret of the suite's clients, 256 bits"
	firstCallback  = "https://suite.example/test/a/callback"
	secondCallback = "https://suite.example/test/a/callback?dummy1=lorem&dummy2=ipsum"
)

// examined registers the clients of the suite and fills in all there is to know
// of alice.
func (h *house) examined() {
	h.t.Helper()
	for _, c := range []provider.Client{
		{ID: "suite-1", RedirectURIs: []string{firstCallback}, InitiateLoginURI: initiateURI},
		{ID: "suite-2", RedirectURIs: []string{secondCallback}},
		{ID: "suite-http", RedirectURIs: []string{firstCallback}, InitiateLoginURI: "http" + strings.TrimPrefix(initiateURI, "https")},
	} {
		c.Name, c.Type, c.Secrets, c.PKCEOptional = "The suite", provider.Web, []provider.Hash{hash(examSecret)}, true
		h.register(c)
	}
	h.people.change("alice", func(u *provider.User) { u.Claims = fullClaims })
	if err := h.factors.Import(context.Background(), "sub-alice", oldPhone(h.t, "alice").key.URL()); err != nil {
		h.t.Fatal(err)
	}
}

// fullClaims has every standard claim (OpenID Connect Core section 5.1).
var fullClaims = provider.Claims{
	Name: "Alice Zoë Example", GivenName: "Alice", FamilyName: "Example", MiddleName: "Zoë", Nickname: "Al",
	PreferredUsername: "alice", Profile: "https://people.example/alice", Picture: "https://people.example/alice.png",
	Website: "https://alice.example", Gender: "female", Birthdate: "1990-02-28", Zoneinfo: "Europe/Berlin",
	Locale: "de-DE", UpdatedAt: time.Unix(900000000, 0),
	Email: "alice@example.org", EmailVerified: true, PhoneNumber: "+49 30 901820", PhoneNumberVerified: true,
	Address: &provider.Address{
		Formatted: "Rathausstraße 15\n10178 Berlin", StreetAddress: "Rathausstraße 15", Locality: "Berlin",
		Region: "Berlin", PostalCode: "10178", Country: "Germany",
	},
}

// newExam sits p down at a browser without cookies. The provider is at the other
// end of road.
func newExam(t testing.TB, road http.RoundTripper, at, mode string, p *person) *exam {
	t.Helper()
	client := &http.Client{Transport: road, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	found, err := relying.Discover(t.Context(), client, at)
	if err != nil {
		t.Fatal(err)
	}
	p.sit(t, road)
	e := &exam{t: t, mode: mode, person: p, steps: []string{"password", "factor"}, wait: time.Sleep}
	party := relying.Party{Provider: found, Client: client, ID: "suite-1", Secret: examSecret, RedirectURI: firstCallback, Algorithm: "RS256"}
	second := party
	second.ID, second.RedirectURI = "suite-2", secondCallback
	e.party, e.second = &party, &second
	return e
}

// check fails the exam if there is an error.
func (e *exam) check(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatalf("%v\n%s", err, e.person.saw())
	}
}

// fail fails the exam.
func (e *exam) fail(format string, args ...any) {
	e.t.Helper()
	e.check(fmt.Errorf(format, args...))
}

// A login is an authorization request that ended in tokens.
type login struct {
	relying.Tokens
	asked    url.Values
	code     string
	pages    []string // that the person was shown on the way
	userinfo map[string]any
}

// request returns a new request of the party, with extra parameters in pairs.
func (e *exam) request(p *relying.Party, extra ...string) url.Values {
	return p.Request(append([]string{"response_mode", e.mode}, extra...)...)
}

// login is the flow that most modules are made of: with a request of extra
// parameters a code is asked for and redeemed, and userinfo is read.
func (e *exam) login(extra ...string) login {
	e.t.Helper()
	return e.tokens(e.party, e.request(e.party, extra...))
}

// tokens takes the request v of p to its end.
func (e *exam) tokens(p *relying.Party, v url.Values) login {
	e.t.Helper()
	l := e.code(p, v)
	e.redeem(p, &l)
	return l
}

// redeem spends the code of l.
func (e *exam) redeem(p *relying.Party, l *login, extra ...string) {
	e.t.Helper()
	var err error
	l.Tokens, err = p.Redeem(e.t.Context(), l.asked, l.code, extra...)
	e.check(err)
	l.userinfo, err = p.Userinfo(e.t.Context(), l.Tokens, relying.ByGet)
	e.check(err)
}

// code takes the request v of p to a code.
func (e *exam) code(p *relying.Party, v url.Values) login {
	e.t.Helper()
	code, err := e.answer(p, v)
	e.check(err)
	return login{asked: v, code: code, pages: e.person.pages}
}

// answer takes the request v of p to its answer, by way of the person.
func (e *exam) answer(p *relying.Party, v url.Values) (code string, err error) {
	e.t.Helper()
	e.person.visit(p.Text("authorization_endpoint") + "?" + v.Encode())
	return e.answered(p, v)
}

// answered takes what the browser brought to the client in answer to v.
func (e *exam) answered(p *relying.Party, v url.Values) (code string, err error) {
	e.t.Helper()
	if e.person.brought == nil {
		e.fail("nothing came to the client")
	}
	return p.Answer(v, e.person.brought)
}

// refused stops the exam unless err is the refusal with one of these codes.
func (e *exam) refused(err error, codes ...string) {
	e.t.Helper()
	if !slices.Contains(codes, relying.Refused(err)) {
		e.fail("got %w, want a refusal with one of %v", err, codes)
	}
}

// same stops the exam unless two logins are of one sign-in: nobody was asked
// anything in between.
func (e *exam) same(a, b login) {
	e.t.Helper()
	if a.ID.Subject != b.ID.Subject || a.ID.AuthTime != b.ID.AuthTime || a.ID.AuthTime == 0 || a.ID.Claims["sid"] != b.ID.Claims["sid"] {
		e.fail("%v and %v are not of one sign-in", a.ID.Claims, b.ID.Claims)
	}
	if len(b.pages) > 0 {
		e.fail("the pages %v were shown", b.pages)
	}
}

// later stops the exam unless b is of a sign-in of its own, by the same user,
// with everything proven anew.
func (e *exam) later(a, b login) {
	e.t.Helper()
	if a.ID.Subject != b.ID.Subject || b.ID.AuthTime <= a.ID.AuthTime {
		e.fail("%v, and later %v", a.ID.Claims, b.ID.Claims)
	}
	if time.Since(time.Unix(b.ID.AuthTime, 0)) > 5*time.Minute {
		e.fail("auth_time %d is long ago", b.ID.AuthTime)
	}
	if !slices.Equal(b.pages, e.steps) {
		e.fail("the pages %v were shown", b.pages)
	}
}

// plans are what is run, by the profile and its response_mode.
var plans = []struct {
	profile, mode string
	modules       []suiteModule
}{
	{"Config", "", configPlan},
	{"Basic", "", basicPlan},
	{"Form Post Basic", "form_post", basicPlan},
	{"3rd Party-Init", "", initiatePlan},
}

// Each module with a provider of its own.
func TestTheProviderPassesEachModuleOfTheConformanceSuite(t *testing.T) {
	for _, p := range plans {
		t.Run(p.profile, func(t *testing.T) {
			for _, m := range p.modules {
				t.Run(m.name+": "+m.shows, func(t *testing.T) {
					dsn := "sqlite:" + filepath.Join(t.TempDir(), "idp.db")
					synctest.Test(t, func(t *testing.T) {
						h := newHouse(t, dsn)
						h.examined()
						m.run(newExam(t, newRoad(t, h), issuer, p.mode, newPerson(t)))
					})
				})
			}
		})
	}
}

// And all of them in a row on the other database, as the suite runs them: on
// one provider, with one user, whose consents are remembered and whose codes
// are good once.
func TestTheProviderPassesThePlansInOneGo(t *testing.T) {
	dsn := pg.DSN(t)
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dsn)
		h.examined()
		road, p := newRoad(t, h), newPerson(t)
		for _, plan := range plans {
			for _, m := range plan.modules {
				t.Logf("%s: %s", plan.profile, m.name) // to be seen if it fails
				m.run(newExam(t, road, issuer, plan.mode, p))
			}
		}
	})
}

// Nothing is forgotten: the modules of a plan for clients that are registered
// by hand, of which there are these many.
func TestThePlansAreWhole(t *testing.T) {
	for _, is := range []struct {
		plan []suiteModule
		want int
	}{{configPlan, 1}, {basicPlan, 38}, {initiatePlan, 2}} {
		names := map[string]bool{}
		for _, m := range is.plan {
			if names[m.name] || !strings.HasPrefix(m.name, "oidcc-") || m.shows == "" {
				t.Errorf("module %q: %q", m.name, m.shows)
			}
			names[m.name] = true
		}
		if len(names) != is.want {
			t.Errorf("%d modules, want %d", len(names), is.want)
		}
	}
}
