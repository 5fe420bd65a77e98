package authflow_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"time"

	"github.com/sallyport-id/sallyport/provider/authflow"
)

// This file has the rows: requests, floors, sessions and people. oracle_walk_test.go
// takes a person through each, oracle_test.go foretells what comes of it, and
// oracle_rules_test.go has what must hold of all. None of them knows more of the
// package than what it exports.

// A row is one case: a place in each of the tables below.
type row struct {
	ladder, offered             int
	client, scope, api, details int // floors
	acr, claims, maxAge, prompt int
	session                     [4]int // by method, a place in ages
	ended                       bool   // the session is over by the time the flow is looked at
	enrolled, may               int
	firstParty, approved, codes bool // approved before; new recovery codes are shown after enrolment
	habit, pace                 int
}

// A set has a bit for each authflow.Method.
type set uint8

const (
	pwd set = 1 << authflow.Password
	otp set = 1 << authflow.OTP
	rec set = 1 << authflow.Recovery
	key set = 1 << authflow.Passkey
)

var everyMethod = []authflow.Method{authflow.Password, authflow.OTP, authflow.Recovery, authflow.Passkey}

func (s set) methods() (m authflow.Methods) {
	for _, one := range everyMethod {
		if s&(1<<one) != 0 {
			m |= authflow.Of(one)
		}
	}
	return m
}

func (s set) String() string { return strings.Join(s.methods().Names(), "+") }

// refeds is another name of the middle level of every ladder.
const refeds = "https://refeds.org/profile/mfa"

var ladders = []struct {
	names [3]string
	ways  [3][]set
}{
	{[3]string{"pwd", "mfa", "phr"}, [3][]set{{pwd}, {pwd | otp, pwd | key, pwd | rec}, {key}}},
	// A recovery code is no more than a way to a new phone.
	{[3]string{"z", "y", "x"}, [3][]set{{pwd}, {pwd | otp, pwd | key}, {key}}},
	// The strongest level takes two factors.
	{[3]string{"1", "3", "2"}, [3][]set{{pwd}, {pwd | otp, pwd | key, pwd | rec}, {pwd | otp | key}}},
}

// offers are the methods that the server can check; the first: all.
var offers = []set{0, pwd | otp | rec | key, pwd | otp | rec, pwd}

// What a floor may have besides a place in the ladder: no level of its own, and
// none of a client, which then means the strongest.
const none, top = -1, 3

type floor struct {
	level     int
	any, more time.Duration // MaxAge and FactorMaxAge
	once      bool
}

var clientFloors = []floor{
	{level: 0}, {level: 1}, {level: 2}, {level: top},
	{level: 0, any: 5 * time.Minute}, {level: 1, any: time.Hour}, {level: 1, more: 5 * time.Minute},
	{level: 1, any: time.Hour, more: time.Minute}, {level: 0, more: time.Minute}, {level: 1, once: true},
}

// The first of scopes, APIs and details is none: the request does not ask for
// any, and what there is of them has to be of no effect.
var scopeFloors = []floor{
	{}, {level: 0}, {level: 1}, {level: 2},
	{level: none, any: 5 * time.Minute}, {level: none, more: 5 * time.Minute}, {level: 1, any: 5 * time.Minute},
	{level: 1, more: 5 * time.Minute}, {level: 2, more: time.Minute}, {level: 1, any: time.Hour, more: 5 * time.Minute},
	{level: 1, once: true}, {level: 2, once: true}, {level: 1, any: 5 * time.Minute, once: true}, {level: 0, any: time.Minute},
}

var apiFloors = []floor{{}, {level: 1}, {level: 2}, {level: none, any: time.Hour}, {level: 1, more: time.Minute}, {level: 1, once: true}}

var detailsFloors = []floor{{}, {level: 1}, {level: 1, once: true}, {level: 2, any: time.Hour, once: true}, {level: 1, any: 5 * time.Minute}}

// Lists of levels, each by its place; r is the middle one's other name, and ?
// a name that nobody knows.
var acrValues = []string{"", "0", "1", "2", "r", "?", "10", "01", "210", "012", "21", "?1", "0?", "2r", "1r", "r1", "??"}

var claimsValues = []struct {
	raw       string // with %s for the names
	names     string
	essential bool
	bad       bool
}{
	{},
	{raw: `{"id_token":{"acr":null}}`},
	{raw: `{"id_token":{"email":{"essential":true}},"userinfo":{"name":null}}`},
	{raw: `{"id_token":{"acr":{"essential":true}}}`},
	{raw: `{"id_token":{"acr":{"value":%s}}}`, names: "1"},
	{raw: `{"id_token":{"acr":{"values":[%s]}}}`, names: "21"},
	{raw: `{"id_token":{"acr":{"essential":false,"value":%s}}}`, names: "2"},
	{raw: `{"id_token":{"acr":{"value":%s}}}`, names: "?"},
	{raw: `{"id_token":{"acr":{"essential":true,"value":%s}}}`, names: "0", essential: true},
	{raw: `{"id_token":{"acr":{"essential":true,"value":%s}}}`, names: "1", essential: true},
	{raw: `{"id_token":{"acr":{"essential":true,"value":%s}}}`, names: "r", essential: true},
	{raw: `{"id_token":{"acr":{"essential":true,"value":%s}}}`, names: "?", essential: true},
	{raw: `{"id_token":{"acr":{"essential":true,"values":[%s]}}}`, names: "21", essential: true},
	{raw: `{"id_token":{"acr":{"essential":true,"values":[%s]}}}`, names: "12", essential: true},
	{raw: `{"id_token":{"acr":{"essential":true,"values":[%s]}}}`, names: "?r0", essential: true},
	{raw: `{"id_token":{"acr":{"essential":true,"values":[%s]}}}`, names: "??", essential: true},
	{raw: `{"id_token":{"acr":`, bad: true},
	{raw: `{"id_token":{"acr":{"essential":"yes"}}}`, bad: true},
	{raw: `{"id_token":{"acr":{"essential":true,"value":2}}}`, bad: true},
}

var maxAges = []struct {
	text string
	age  time.Duration
	bad  bool
}{
	{}, {text: "0"}, {text: "60", age: time.Minute}, {text: "300", age: 5 * time.Minute}, {text: "3600", age: time.Hour},
	{text: "99999999", age: 99999999 * time.Second},
	{text: "-1", bad: true}, {text: "junk", bad: true}, {text: "1.5", bad: true}, {text: "+60", bad: true}, {text: " 60", bad: true},
	{text: "99999999999999999999", bad: true}, {text: "9223372036854775808", bad: true},
}

var prompts = []struct {
	text                  string
	silent, anew, consent bool
	choose                bool // who it is to be
	bad                   bool
}{
	{}, {text: "none", silent: true}, {text: "login", anew: true}, {text: "consent", consent: true},
	{text: "login consent", anew: true, consent: true}, {text: "select_account", anew: true, choose: true},
	{text: "none login", bad: true}, {text: "consent none", bad: true},
}

// How many of claimsValues, maxAges and prompts are well formed: they come first.
const wellClaimed, wellAged, wellPrompted = 16, 6, 6

// How long ago a session's proofs were given; the first: never.
var ages = []time.Duration{
	0, 20 * time.Second, 2 * time.Minute, 5 * time.Minute, 5*time.Minute + 500*time.Millisecond, 8 * time.Minute, 20 * time.Minute, 2 * time.Hour,
}

var enrolments = []set{otp, 0, otp | rec, rec, key, otp | key, otp | key | rec}

// Which factor someone gives who has the choice.
var habits = [][]authflow.Method{
	{authflow.OTP, authflow.Passkey, authflow.Recovery},
	{authflow.Recovery, authflow.OTP, authflow.Passkey},
	{authflow.Passkey, authflow.OTP, authflow.Recovery},
}

// How long an answer takes.
var paces = []time.Duration{0, 25 * time.Second, 90 * time.Second}

const api = "https://api.example.com"

var began = time.Date(2026, 11, 2, 23, 59, 30, 250_000_000, time.UTC)

// name returns the acr value that c stands for in r's ladder.
func (r row) name(c rune) string {
	switch c {
	case 'r':
		return refeds
	case '?':
		return "gold"
	}
	return ladders[r.ladder].names[c-'0']
}

func (r row) names(list string) (names []string) {
	for _, c := range list {
		names = append(names, r.name(c))
	}
	return names
}

func (r row) form() url.Values {
	v := url.Values{"scope": {"openid"}, "state": {"s"}}
	if r.scope > 0 {
		v.Set("scope", "openid transfer")
	}
	if r.api > 0 {
		v.Set("resource", api)
	}
	if r.details > 0 {
		v.Set("authorization_details", `[{"type":"payment","amount":"20.00"}]`)
	}
	if list := acrValues[r.acr]; list != "" {
		v.Set("acr_values", strings.Join(r.names(list), " "))
	}
	if c := claimsValues[r.claims]; c.raw != "" {
		text := c.raw
		if c.names != "" {
			text = fmt.Sprintf(text, `"`+strings.Join(r.names(c.names), `","`)+`"`)
		}
		v.Set("claims", text)
	}
	if text := maxAges[r.maxAge].text; text != "" {
		v.Set("max_age", text)
	}
	if text := prompts[r.prompt].text; text != "" {
		v.Set("prompt", text)
	}
	return v
}

func (r row) floor(f floor) authflow.Floor {
	level := ""
	if f.level != none && f.level != top {
		level = ladders[r.ladder].names[f.level]
	}
	return authflow.Floor{Level: level, MaxAge: f.any, FactorMaxAge: f.more, Once: f.once}
}

func (r row) policy() authflow.Policy {
	var ladder authflow.Ladder
	for i, name := range ladders[r.ladder].names {
		level := authflow.Level{Name: name}
		if i == 1 {
			level.Aliases = []string{refeds}
		}
		for _, way := range ladders[r.ladder].ways[i] {
			level.Ways = append(level.Ways, way.methods())
		}
		ladder = append(ladder, level)
	}
	// What nobody asks for takes the most, and has no effect.
	dear := r.floor(floor{level: 2, any: time.Second, once: true})
	p := authflow.Policy{
		Ladder: ladder, Floor: r.floor(clientFloors[r.client]),
		Scopes:     map[string]authflow.Floor{"delete": dear, "transfer": dear},
		Resources:  map[string]authflow.Floor{"https://other.example.com": dear, api: dear},
		Details:    map[string]authflow.Floor{"deletion": dear, "payment": dear},
		FirstParty: r.firstParty, Offered: offers[r.offered].methods(),
	}
	if r.scope > 0 {
		p.Scopes["transfer"] = r.floor(scopeFloors[r.scope])
	}
	if r.api > 0 {
		p.Resources[api] = r.floor(apiFloors[r.api])
	}
	if r.details > 0 {
		p.Details["payment"] = r.floor(detailsFloors[r.details])
	}
	return p
}

// hasSession reports whether the browser of r is known.
func (r row) hasSession() bool { return r.session[authflow.Password] > 0 }

func (r row) login() authflow.Login {
	if !r.hasSession() {
		return authflow.Login{}
	}
	l := authflow.Login{Subject: "alice", Epoch: "e1"}
	for _, m := range everyMethod {
		if a := r.session[m]; a > 0 {
			l.Proofs[m] = began.Add(-ages[a])
		}
	}
	return l
}

// isKnown reports whether it is known from the start who r is about.
func (r row) isKnown() bool { return r.hasSession() && !prompts[r.prompt].choose }

// possible reports whether r can come about: a session has a password, and no
// factor that the account does not have, but for a recovery code, which may
// have been the last, or that the server cannot check.
func (r row) possible() bool {
	factors := enrolments[r.enrolled]
	if o := offers[r.offered]; o != 0 && factors&^o != 0 {
		return false
	}
	for _, m := range everyMethod[1:] {
		if r.session[m] == 0 {
			continue
		}
		if !r.hasSession() || factors&(1<<m) == 0 && m != authflow.Recovery {
			return false
		}
		if o := offers[r.offered]; o != 0 && o&(1<<m) == 0 {
			return false
		}
	}
	if r.session[authflow.Recovery] > 0 && factors == 0 {
		return false
	}
	return !r.ended || r.hasSession()
}

func (r row) String() string {
	person := fmt.Sprintf("has %s, may enrol %d", enrolments[r.enrolled], r.may)
	session := ""
	for _, m := range everyMethod {
		if r.session[m] > 0 {
			session += fmt.Sprintf(" %s %v ago", m, ages[r.session[m]])
		}
	}
	p := r.policy()
	return fmt.Sprintf("ladder %d, offered %s, client %+v, scope %+v, api %+v, details %+v\n"+
		"  first-party %v, approved before %v, %v\n  session:%s, ended %v; person %s, gives %v first, %v an answer",
		r.ladder, offers[r.offered], p.Floor, p.Scopes["transfer"], p.Resources[api], p.Details["payment"],
		r.firstParty, r.approved, r.form(), session, r.ended, person, habits[r.habit][0], paces[r.pace])
}

// rows returns different rows, always the same ones: each combination of
// acr_values, claims, max_age and prompt that is well formed, four times, with
// the rest drawn, and one in sixteen of them spoilt. Much of what is drawn is the
// first of its table, because where all is unusual, one thing hides the others.
func rows() []row {
	draw := rand.New(rand.NewPCG(9470, 4))
	pick := func(n int) int {
		if draw.IntN(2) == 0 {
			return 0
		}
		return draw.IntN(n)
	}
	var request []row
	for acr := range acrValues {
		for claims := range claimsValues[:wellClaimed] {
			for maxAge := range maxAges[:wellAged] {
				for prompt := range prompts[:wellPrompted] {
					request = append(request, row{acr: acr, claims: claims, maxAge: maxAge, prompt: prompt})
				}
			}
		}
	}
	seen, all := map[row]bool{}, make([]row, 0, 4*len(request))
	for i := range 4 * len(request) {
		r := request[i%len(request)]
		if draw.IntN(16) == 0 {
			r = r.malformed(draw)
		}
		for r = r.drawn(draw, pick); seen[r] || !r.possible(); {
			r = r.drawn(draw, pick)
		}
		seen[r] = true
		all = append(all, r)
	}
	return all
}

// malformed returns r with one parameter that is no good.
func (r row) malformed(draw *rand.Rand) row {
	switch draw.IntN(3) {
	case 0:
		r.claims = wellClaimed + draw.IntN(len(claimsValues)-wellClaimed)
	case 1:
		r.maxAge = wellAged + draw.IntN(len(maxAges)-wellAged)
	default:
		r.prompt = wellPrompted + draw.IntN(len(prompts)-wellPrompted)
	}
	return r
}

// drawn returns r with all but the request drawn.
func (r row) drawn(draw *rand.Rand, pick func(int) int) row {
	r.ladder, r.offered = draw.IntN(len(ladders)), pick(len(offers))
	r.client, r.scope = draw.IntN(len(clientFloors)), pick(len(scopeFloors))
	r.api, r.details = pick(len(apiFloors)), pick(len(detailsFloors))
	r.enrolled, r.may = draw.IntN(len(enrolments)), draw.IntN(3)
	r.session = [4]int{}
	if draw.IntN(4) > 0 {
		r.session[authflow.Password] = 1 + draw.IntN(len(ages)-1)
		for _, m := range everyMethod[1:] {
			if enrolments[r.enrolled]&(1<<m) != 0 || draw.IntN(8) == 0 {
				r.session[m] = pick(len(ages))
			}
		}
	}
	r.ended = draw.IntN(16) == 0
	r.firstParty, r.approved, r.codes = draw.IntN(2) == 0, draw.IntN(2) == 0, draw.IntN(2) == 0
	r.habit, r.pace = draw.IntN(len(habits)), pick(len(paces))
	return r
}
