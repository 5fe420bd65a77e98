package authflow_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider/authflow"
)

// What must hold of every row, whatever the oracle foretells.

// holds says what is wrong with a tale of r; nothing if empty.
func (r row) holds(x tale) string {
	if prompts[r.prompt].silent && x.asked != "" {
		return "a silent request has asked for something" // PA-9
	}
	if x.err != nil {
		return ""
	}
	for _, f := range r.floors() { // SU-1
		if !r.meets(f, x) {
			return "a floor is not met at the moment of issue"
		}
	}
	var asked, all set
	for _, m := range everyMethod {
		at := x.counted[m]
		if at.IsZero() {
			continue
		}
		all |= 1 << m
		if at.Before(x.at) {
			return "a proof that counted is older than auth_time" // TK-2
		}
		if !at.Before(began) {
			asked |= 1 << m
			continue
		}
		limit := maxAges[r.maxAge]
		if limit.text != "" && x.issued.Sub(at) > limit.age || prompts[r.prompt].anew {
			return "what was proven before the request counts against its word" // SU-4, SU-5
		}
	}
	if r.details > 0 && asked&^pwd == 0 {
		return "details without a factor of their own"
	}
	return r.named(x, all)
}

// meets reports whether the proofs of x reach f's level with those of them that
// are not too old for f, and given for the request where f wants that.
func (r row) meets(f floor, x tale) bool {
	var young set
	for _, m := range everyMethod {
		at := x.counted[m]
		if at.IsZero() {
			continue
		}
		if here, age := !at.Before(began), x.issued.Sub(at); !here {
			if f.any > 0 && age > f.any || m != authflow.Password && (f.once || f.more > 0 && age > f.more) {
				continue // SU-6
			}
		}
		young |= 1 << m
	}
	return r.reaches(young, max(f.level, 0))
}

// named says what is wrong with the acr that x names, for what was proven.
func (r row) named(x tale, proven set) string {
	claims := claimsValues[r.claims]
	claimed, asked := r.levels(claims.names), r.levels(acrValues[r.acr])
	if !r.reaches(proven, r.level(x.acr)) {
		return "an acr that was not reached"
	}
	switch {
	case claims.essential && !slices.Contains(claimed, x.acr):
		return "an essential acr that is none of its values" // SU-3, OpenID Connect Core 5.5.1.1
	case len(claimed)+len(asked) > 0 && !slices.Contains(append(claimed, asked...), x.acr):
		return "an acr that was not asked for"
	}
	for _, list := range [][]string{claimed, asked} { // SU-2
		if len(list) > 0 && !slices.ContainsFunc(list, func(name string) bool { return r.reaches(proven, r.level(name)) }) {
			return "none of the levels asked for"
		}
	}
	return ""
}

// levels returns those names of list that are known.
func (r row) levels(list string) []string { return r.names(strings.ReplaceAll(list, "?", "")) }

func (r row) level(acr string) int {
	if acr == refeds {
		return 1
	}
	return slices.Index(ladders[r.ladder].names[:], acr)
}

// SU-1, SU-2, SU-3, SU-4, SU-5, SU-6, TK-2, PA-9: a grant meets each floor when
// it is issued, by itself and by its ages, and its acr is one that was asked for
// and reached. A silent request asks for nothing.
func TestEveryRowMeetsItsFloors(t *testing.T) {
	granted := 0
	for _, r := range rows() {
		x := r.walk(t)
		if wrong := r.holds(x); wrong != "" {
			t.Fatalf("%s: %v\n  %v", wrong, r, x)
		}
		if x.err == nil {
			granted++
		}
	}
	if t.Logf("%d grants", granted); granted < 10_000 {
		t.Errorf("%d grants are not enough", granted)
	}
}

// SU-1: a demand more, in the URL or as a floor, never has fewer things proven
// for it, nor a lower level reached.
func TestADemandMoreNeverProvesLess(t *testing.T) {
	draw := rand.New(rand.NewPCG(9470, 1))
	kinds := map[string]int{}
	for _, r := range rows() {
		// Time stands still: or else what is asked for first is answered while
		// the rest grows too old, and to ask less is no less.
		r.pace = 0
		was := r.walk(t)
		for range 2 {
			more, kind := r.raised(draw)
			if more == r {
				continue
			}
			kinds[kind]++
			is := more.walk(t)
			if wrong := more.holds(is); wrong != "" {
				t.Fatalf("%s: %v\n  %v", wrong, more, is)
			}
			if wrong := r.less(more, was, is); wrong != "" {
				t.Fatalf("%s more, and %s: %v\n  %v\nbecomes %v\n  %v", kind, wrong, r, was, more, is)
			}
		}
	}
	for _, kind := range []string{"acr_values", "claims", "max_age", "prompt", "client", "scope", "api", "details"} {
		if t.Logf("%6d of %s", kinds[kind], kind); kinds[kind] < 500 {
			t.Errorf("%d of %s are not enough", kinds[kind], kind)
		}
	}
}

// less says in what is, of more, comes to less than was, of r.
func (r row) less(more row, was, is tale) string {
	if is.err != nil {
		return "" // as strict as can be
	}
	if was.err != nil {
		return "what was denied is granted"
	}
	for _, page := range []string{"password", "factor", "consent"} {
		if asks(was, page) && !asks(is, page) {
			return "does not ask for the " + page
		}
	}
	// Of an age limit the level may be a weaker one, because nothing that is
	// not demanded is asked for again: the floors are met, as holds has seen.
	if r.hasSession() && r.ages() != more.ages() {
		return ""
	}
	if r.best(is) < r.best(was) {
		return "reaches a lower level"
	}
	return ""
}

// asks reports whether x has a page. An enrolment is a factor proven, too.
func asks(x tale, page string) bool {
	return strings.Contains(x.asked, page) || page == "factor" && strings.Contains(x.asked, "enrol")
}

// best returns the strongest level that was reached.
func (r row) best(x tale) (best int) {
	var s set
	for _, m := range everyMethod {
		if !x.counted[m].IsZero() {
			s |= 1 << m
		}
	}
	for level := range 3 {
		if r.reaches(s, level) {
			best = level
		}
	}
	return best
}

// ages returns all of r that says how old a proof may be.
func (r row) ages() (f floor) {
	for _, one := range r.floors() {
		f.any, f.more, f.once = tighter(f.any, one.any), tighter(f.more, one.more), f.once || one.once
	}
	if limit := maxAges[r.maxAge]; limit.text == "0" || prompts[r.prompt].anew {
		f.any = -1
	} else {
		f.any = tighter(f.any, limit.age)
	}
	f.once = f.once || r.details > 0
	return f
}

// tighter returns the shorter of two ages, of which 0 is none.
func tighter(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// raised returns r with a demand more, and which; r itself if that one cannot
// be raised.
func (r row) raised(draw *rand.Rand) (row, string) {
	more := r
	switch draw.IntN(8) {
	case 0:
		if r.acr == 0 {
			more.acr = 1 + draw.IntN(len(acrValues)-1)
		}
		return more, "acr_values"
	case 1:
		if c := claimsValues[r.claims]; !c.bad && c.names == "" {
			more.claims = 4 + draw.IntN(wellClaimed-4)
		}
		return more, "claims"
	case 2:
		if i := draw.IntN(wellAged); i > 0 && (r.maxAge == 0 || r.maxAge < wellAged && maxAges[i].age < maxAges[r.maxAge].age) {
			more.maxAge = i
		}
		return more, "max_age"
	case 3:
		if was, is := prompts[r.prompt].text, 2+draw.IntN(3); was == "" || strings.HasPrefix(prompts[is].text, was) {
			more.prompt = is
		}
		return more, "prompt"
	case 4:
		more.client = r.stronger(draw, clientFloors, r.client)
		return more, "client"
	case 5:
		more.scope = r.stronger(draw, scopeFloors, r.scope)
		return more, "scope"
	case 6:
		more.api = r.stronger(draw, apiFloors, r.api)
		return more, "api"
	}
	more.details = r.stronger(draw, detailsFloors, r.details)
	return more, "details"
}

// stronger returns the place of a floor that demands all that the one at i does;
// i if the one drawn does not. The zero floor is none at all.
func (r row) stronger(draw *rand.Rand, floors []floor, i int) int {
	j := draw.IntN(len(floors))
	was, is := floors[i], floors[j]
	switch {
	case was == floor{}:
		return j
	case is == floor{}, is.level < was.level, was.once && !is.once,
		tighter(was.any, is.any) != is.any, tighter(was.more, is.more) != is.more:
		return i
	}
	return j
}
