package authflow_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider/authflow"
)

// The oracle says from a row what has to come of it. It was written from the
// requirements (SU-1 to SU-8, TK-2, PA-9, TO-14), from OpenID Connect Core
// sections 3.1.2.1 and 5.5.1.1 and from docs/step-up.md, before its author had
// looked at the code that it judges; where the two differed, the text decided.
type oracle struct {
	row
	now time.Time

	known    bool // who it is
	proofs   [4]proof
	enrolled set
	unsaved  bool // new recovery codes are to be shown
	agreed   bool
}

// A proof is when a method was proven, and whether that was for this request.
type proof struct {
	at   time.Time
	here bool
}

// foretell returns what has to come of r.
func (r row) foretell() tale {
	if claimsValues[r.claims].bad || maxAges[r.maxAge].bad || prompts[r.prompt].bad {
		return tale{err: authflow.ErrBadRequest} // SU-4
	}
	o := &oracle{row: r, now: began, known: r.isKnown(), enrolled: enrolments[r.enrolled]}
	for _, m := range everyMethod {
		if a := r.session[m]; a > 0 {
			o.proofs[m].at = began.Add(-ages[a])
		}
	}
	var pages []string
	for {
		if len(pages) > 12 {
			panic(fmt.Sprintf("the oracle is at a loss: %v\n%v", r, pages))
		}
		page, err := o.missing()
		if err != nil {
			return tale{asked: strings.Join(pages, ", "), err: err}
		}
		if page == "" {
			return o.granted(pages)
		}
		pages = append(pages, page)
		o.answer(page)
		o.now = o.now.Add(paces[r.pace])
	}
}

// missing names the page that has to come next, none if nothing is missing, or
// says why there is none to help.
func (o *oracle) missing() (string, error) {
	goal, ok := o.goal()
	if !ok {
		return "", authflow.ErrUnmet // SU-2, SU-3: before any page
	}
	page, silent := o.page(goal)
	if page != "" && prompts[o.prompt].silent {
		return "", silent // PA-9
	}
	return page, nil
}

func (o *oracle) page(goal int) (string, error) {
	proven := o.counted()
	switch {
	case o.reaches(proven, goal) && o.unsaved:
		return "codes", authflow.ErrCodesUnsaved
	case o.reaches(proven, goal):
		// What is approved exactly is approved each time.
		if !o.agreed && (prompts[o.prompt].consent || !o.firstParty && (!o.approved || o.details > 0)) {
			return "consent", authflow.ErrConsentNeeded // OA-14
		}
		return "", nil
	case proven&pwd == 0, o.enrolsFirst(goal) && o.age(authflow.Password) > authflow.PasswordLifetime:
		return "password", authflow.ErrLoginNeeded
	case o.enrolsFirst(goal), o.renews(goal):
		return "enrol", authflow.ErrEnrollNeeded // TO-14, RC-4
	}
	return fmt.Sprintf("factor %s", o.helpful(goal)), authflow.ErrFactorNeeded
}

// answer does what someone does who is shown page.
func (o *oracle) answer(page string) {
	kind, methods, _ := strings.Cut(page, " ")
	switch kind {
	case "password":
		o.known, o.proofs[authflow.Password] = true, proof{o.now, true}
	case "enrol":
		o.proofs[authflow.OTP] = proof{o.now, true}
		o.enrolled |= otp | rec
		o.unsaved = o.codes
	case "factor":
		for _, m := range habits[o.habit] {
			if strings.Contains("+"+methods+"+", "+"+m.String()+"+") {
				o.proofs[m] = proof{o.now, true}
				return
			}
		}
	case "codes":
		o.unsaved = false
	case "consent":
		o.agreed = true
	}
}

// floors are those that the request touches.
func (r row) floors() []floor {
	client := clientFloors[r.client]
	client.level = min(client.level, 2) // no word on it: the strongest
	fs := []floor{client}
	if r.scope > 0 {
		fs = append(fs, scopeFloors[r.scope])
	}
	if r.api > 0 {
		fs = append(fs, apiFloors[r.api])
	}
	if r.details > 0 {
		fs = append(fs, detailsFloors[r.details])
	}
	return fs
}

func (r row) isOnce() bool {
	for _, f := range r.floors() {
		if f.once {
			return true
		}
	}
	return false
}

// counts reports whether what was proven by m counts now.
func (o *oracle) counts(m authflow.Method) bool {
	p := o.proofs[m]
	if p.at.IsZero() || p.here {
		return p.here
	}
	if o.ended || prompts[o.prompt].anew || maxAges[o.maxAge].text == "0" { // SU-5, SU-4
		return false
	}
	age := o.now.Sub(p.at)
	if limit := maxAges[o.maxAge].age; limit > 0 && age > limit {
		return false
	}
	if m != authflow.Password && o.details > 0 {
		return false // the code is for the details alone, however fresh the session is
	}
	for _, f := range o.floors() { // SU-1
		switch factor := m != authflow.Password; { // SU-6
		case f.any > 0 && age > f.any,
			factor && f.more > 0 && age > f.more,
			factor && f.once:
			return false
		}
	}
	return true
}

func (o *oracle) counted() (s set) {
	for _, m := range everyMethod {
		if o.counts(m) {
			s |= 1 << m
		}
	}
	return s
}

func (o *oracle) age(m authflow.Method) time.Duration { return o.now.Sub(o.proofs[m].at) }

// reaches reports whether s is enough for a level: for its own ways or those of
// a stronger one. A method twice is still one of s (SU-8).
func (r row) reaches(s set, level int) bool {
	return r.way(level, func(way set) bool { return way&^s == 0 })
}

func (r row) way(level int, fits func(set) bool) bool {
	for _, ways := range ladders[r.ladder].ways[level:] {
		for _, way := range ways {
			if fits(way) {
				return true
			}
		}
	}
	return false
}

// within is what could be proven by the end, of what was and of what this
// person can still show.
func (o *oracle) within() set {
	offered := offers[o.offered]
	if offered == 0 {
		offered = pwd | otp | rec | key
	}
	if !o.known {
		return offered // it may be anyone
	}
	s := o.counted() | (pwd|o.enrolled)&offered
	if o.unbound() || o.enrolled&rec&offered != 0 || o.recovered() {
		s |= otp & offered
	}
	return s
}

// unbound reports whether the password is all there is, and may get a factor.
func (o *oracle) unbound() bool { return o.enrolled == 0 && o.may > 0 }

// goal returns the level that has to be reached: the strongest of the floors
// and of what acr_values and claims ask for (SU-1). It reports false if this
// person cannot get there.
func (o *oracle) goal() (int, bool) {
	goal, within := 0, o.within()
	for _, f := range o.floors() {
		goal = max(goal, f.level)
	}
	least, ok := goal, true
	claims := claimsValues[o.claims]
	for _, list := range []string{acrValues[o.acr], claims.names} {
		level, met := o.preferred(list, least, within)
		goal, ok = max(goal, level), ok && met
	}
	if claims.essential && strings.Trim(claims.names, "?") == "" {
		return 0, false // SU-3
	}
	return goal, ok && o.reaches(within, goal)
}

// preferred returns the level that a list of names asks for: the first that can
// be reached of those that are no less than least, and least if it names
// something less. What is unknown is left out; a list of nothing asks for
// nothing (SU-2).
func (r row) preferred(list string, least int, within set) (level int, met bool) {
	known, less := false, false
	for _, c := range list {
		at, ok := place(c)
		if !ok {
			continue
		}
		known, less = true, less || at < least
		if at >= least && r.reaches(within, at) {
			return at, true
		}
	}
	return least, !known || less
}

// place returns the level that stands for c.
func place(c rune) (int, bool) {
	switch c {
	case 'r':
		return 1, true
	case '?':
		return 0, false
	}
	return int(c - '0'), true
}

// enrolsFirst reports whether a first factor has to be enrolled on the way to goal.
func (o *oracle) enrolsFirst(goal int) bool { return o.unbound() && !o.reaches(o.counted(), goal) }

// renews reports whether a recovery code, of late, has to lead to a new phone.
func (o *oracle) renews(goal int) bool {
	return !o.reaches(o.counted(), goal) && o.leads(goal) && o.recovered()
}

// recovered reports whether a recovery code was given of late.
func (o *oracle) recovered() bool {
	return o.counted()&rec != 0 && o.age(authflow.Recovery) <= authflow.FactorLifetime
}

// leads reports whether a new phone is of use for goal.
func (o *oracle) leads(goal int) bool {
	return o.counted()&otp == 0 && o.way(goal, func(way set) bool { return way&otp != 0 && way&^o.within() == 0 })
}

// helpful are the factors that bring someone nearer to goal: nothing else may
// be asked for.
func (o *oracle) helpful(goal int) (s set) {
	offered := offers[o.offered]
	if offered == 0 {
		offered = pwd | otp | rec | key
	}
	for _, m := range everyMethod[1:] {
		one := set(1 << m)
		if one&o.enrolled&offered == 0 {
			continue
		}
		near := one&o.counted() == 0 && o.way(goal, func(way set) bool { return way&one != 0 && way&^o.within() == 0 })
		if near || one == rec && !o.recovered() && o.leads(goal) {
			s |= one
		}
	}
	return s
}

// granted returns what a grant has to say.
func (o *oracle) granted(pages []string) tale {
	t := tale{asked: strings.Join(pages, ", "), acr: o.reached(), once: o.isOnce(), requested: began, issued: o.now}
	var names []string
	for _, m := range everyMethod {
		if !o.counts(m) {
			continue
		}
		names = append(names, m.String())
		t.counted[m] = o.proofs[m].at
		if t.at.IsZero() || t.counted[m].Before(t.at) {
			t.at = t.counted[m] // TK-2
		}
	}
	t.amr, t.kept = strings.Join(names, " "), t.counted
	if t.once {
		t.kept = authflow.Proofs{authflow.Password: t.counted[authflow.Password]}
	}
	return t
}

// reached returns the acr: of the names that the request has, the first of the
// strongest that was reached (OpenID Connect Core 5.5.1.1 wants one of them),
// and without any, the strongest level that was.
func (o *oracle) reached() string {
	names := claimsValues[o.claims].names + acrValues[o.acr]
	if claimsValues[o.claims].essential {
		names = claimsValues[o.claims].names
	}
	best, acr := -1, ""
	for _, c := range names {
		if level, ok := place(c); ok && level > best && o.reaches(o.counted(), level) {
			best, acr = level, o.name(c)
		}
	}
	for level := 0; best < 0 && level < 3; level++ {
		if o.reaches(o.counted(), level) {
			acr = ladders[o.ladder].names[level]
		}
	}
	return acr
}

// SU-1, SU-2, SU-3, SU-4, SU-5, SU-6, SU-8, TK-2, PA-9, TO-14: in every row the
// right pages are shown and no other, the right methods are taken and no other,
// and the right thing comes of it.
func TestAnOracleForetellsEveryRow(t *testing.T) {
	all := rows()
	if t.Logf("%d rows", len(all)); len(all) < 20_000 {
		t.Fatalf("%d rows are not enough", len(all))
	}
	ends, wrong := map[string]int{}, 0
	for _, r := range all {
		want, got := r.foretell(), r.walk(t)
		ends[fmt.Sprint(want.err)]++
		if errors.Is(got.err, want.err) {
			got.err = want.err // its text is not foretold
		}
		if got == want {
			continue
		}
		if wrong++; wrong <= 5 {
			t.Errorf("%v\n  got  %v\n  want %v", r, got, want)
		}
	}
	if wrong > 0 {
		t.Errorf("%d rows differ", wrong)
	}
	// Each end is come to often enough to say something.
	for _, end := range []error{
		nil, authflow.ErrBadRequest, authflow.ErrUnmet, authflow.ErrLoginNeeded,
		authflow.ErrFactorNeeded, authflow.ErrEnrollNeeded, authflow.ErrConsentNeeded,
	} {
		n := ends[fmt.Sprint(end)]
		if t.Logf("%6d %v", n, end); n < 20 {
			t.Errorf("%d rows end with %v", n, end)
		}
	}
}
