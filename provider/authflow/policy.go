package authflow

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Policy is what the server requires of a client's requests, whatever they
// say themselves. The zero Policy is the strictest: the strongest level of the
// default ladder, and consent asked each time it was not given before.
type Policy struct {
	Ladder Ladder // none: DefaultLadder

	// Floor holds for every request of the client; with no Level, the strongest
	// of Ladder. The others hold for requests that ask for a scope, for a
	// resource (RFC 8707) or for a type of authorization details (RFC 9396), on
	// top of it; with no Level, they have none of their own.
	Floor     Floor
	Scopes    map[string]Floor
	Resources map[string]Floor
	Details   map[string]Floor

	FirstParty bool // consent is not asked

	// Offered are the methods that this server can check at all; none: every
	// method. A level beyond them is denied before any page is shown, instead
	// of after a password in vain.
	Offered Methods
}

// A Floor is the least that is required of something. The zero Floor is a
// mistake wherever it is not said what it means.
type Floor struct {
	Level string // the least level

	// MaxAge is how old a proof may be that counts; 0: as old as the session.
	// FactorMaxAge is the same for every method but the password, if that is
	// less: what matters is often that the phone is still in the same hands, and
	// a password need not be typed again for that.
	MaxAge       time.Duration
	FactorMaxAge time.Duration

	// Once is for what is approved each time: a factor proven before the request
	// counts for nothing, and one proven for it for nothing else. Level then
	// takes more than a password. Of ages only MaxAge means something beside it.
	Once bool
}

// Wants is what a request asks for, or what a grant was given for, as far as
// there are floors for it.
type Wants struct {
	Scopes    []string
	Resources []string // URIs
	Details   []string // types of authorization details
}

// floors returns the Floors of p that w touches, that of p first.
func (p Policy) floors(w Wants) []Floor {
	all := []Floor{p.Floor}
	for _, kind := range []struct {
		names  []string
		floors map[string]Floor
	}{{w.Scopes, p.Scopes}, {w.Resources, p.Resources}, {w.Details, p.Details}} {
		for _, name := range kind.names {
			if f, ok := kind.floors[name]; ok {
				all = append(all, f)
			}
		}
	}
	return all
}

// level returns the place of f's level, of all levels the weakest if it has
// none.
func (p Policy) level(f Floor) (int, error) {
	if f.Level == "" {
		return 0, nil
	}
	i, ok := p.Ladder.Index(f.Level)
	if !ok {
		return 0, fmt.Errorf("authflow: floor %q is no level", f.Level)
	}
	return i, nil
}

// Check says what is wrong with p: a floor that names no level, requires
// nothing, or is to be met once by what is no factor.
func (p Policy) Check() error {
	p = p.withLadder()
	if err := p.Ladder.Check(); err != nil {
		return err
	}
	if _, err := p.level(p.Floor); err != nil {
		return err
	}
	for _, floors := range []map[string]Floor{p.Scopes, p.Resources, p.Details} {
		for name, f := range floors {
			if err := p.checkFloor(f); err != nil {
				return fmt.Errorf("%w (of %q)", err, name)
			}
		}
	}
	for name, f := range p.Details {
		if i, err := p.level(f); err != nil || p.Ladder.ByPassword(i) {
			return fmt.Errorf("authflow: details of type %q are approved by a factor, and level %q takes none", name, f.Level)
		}
	}
	return nil
}

func (p Policy) checkFloor(f Floor) error {
	i, err := p.level(f)
	switch {
	case err != nil:
		return err
	case f == Floor{}:
		return errors.New("authflow: a floor that requires nothing")
	case min(f.MaxAge, f.FactorMaxAge) < 0:
		return errors.New("authflow: a floor with a negative age")
	case f.Once && p.Ladder.ByPassword(i):
		return fmt.Errorf("authflow: a floor for once needs a level that takes more than a password, and %q does not", f.Level)
	}
	return nil
}

// withLadder returns p with the ladder that it means, and the floor.
func (p Policy) withLadder() Policy {
	if len(p.Ladder) == 0 {
		p.Ladder = DefaultLadder
	}
	if p.Floor.Level == "" {
		p.Floor.Level = p.Ladder[len(p.Ladder)-1].Name
	}
	return p
}

// floor returns the place of the strongest level that p demands of w.
func (p Policy) floor(w Wants) (floor int, err error) {
	for _, f := range p.floors(w) {
		if err := p.checkFloor(f); err != nil {
			return 0, err
		}
		i, err := p.level(f)
		if err != nil {
			return 0, err
		}
		floor = max(floor, i)
	}
	return floor, nil
}

// Allows reports whether what was proven for a grant of w reaches the levels
// that p requires now, whenever it was proven. The acr that the grant was given
// is no measure of it: a request may have had a weaker level named than the one
// that was reached.
func (p Policy) Allows(proven Methods, w Wants) bool {
	p = p.withLadder()
	floor, err := p.floor(w)
	return err == nil && p.Ladder.reached(proven) >= floor
}

// Renews returns the scopes of w that a grant with these proofs still has now,
// when its tokens are renewed: those whose floor is met by proofs that are not
// too old for it. What was approved once is renewed never. It returns none
// where the floor of everything, or that of a resource or of details, is met no
// longer.
func (p Policy) Renews(proofs Proofs, w Wants, now time.Time) (scopes []string) {
	p = p.withLadder()
	for _, f := range p.floors(Wants{Resources: w.Resources, Details: w.Details}) {
		if !p.met(f, proofs, now) {
			return nil
		}
	}
	for _, s := range w.Scopes {
		if f, ok := p.Scopes[s]; !ok || p.met(f, proofs, now) {
			scopes = append(scopes, s)
		}
	}
	return scopes
}

// met reports whether proofs satisfy f at now.
func (p Policy) met(f Floor, proofs Proofs, now time.Time) bool {
	i, err := p.level(f)
	if err != nil || f.Once || (f == Floor{}) {
		return false
	}
	var young Methods
	for m, t := range proofs {
		if limit := f.limit(Method(m)); !t.IsZero() && (limit == 0 || now.Sub(t) <= limit) {
			young |= Of(Method(m))
		}
	}
	return p.Ladder.reached(young) >= i
}

// limit returns how old a proof of m may be for f, 0 if as old as it likes.
func (f Floor) limit(m Method) time.Duration {
	if m == Password {
		return f.MaxAge
	}
	return stricter(f.MaxAge, f.FactorMaxAge)
}

// stricter returns the lesser of two limits, of which 0 is none.
func stricter(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return cmp.Or(a, b)
	}
	return min(a, b)
}

// offers reports whether anyone can reach t here.
func (p Policy) offers(t target) bool {
	able := p.Offered
	if able == 0 {
		able = 1<<methods - 1
	}
	_, ok := p.Ladder[t:].shortest(able, 0)
	return ok
}

// Raised returns the names of those of w that have a floor of their own: what a
// request asks for that takes more than signing in.
func (p Policy) Raised(w Wants) (names []string) {
	for _, kind := range []struct {
		names  []string
		floors map[string]Floor
	}{{w.Scopes, p.Scopes}, {w.Resources, p.Resources}, {w.Details, p.Details}} {
		for _, name := range kind.names {
			if _, ok := kind.floors[name]; ok && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}
