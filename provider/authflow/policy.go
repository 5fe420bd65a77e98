package authflow

import "fmt"

// A Policy is what the server requires of a client's requests, whatever they
// say themselves. The zero Policy is the strictest: the strongest level of the
// default ladder, and consent asked each time it was not given before.
type Policy struct {
	Ladder     Ladder            // none: DefaultLadder
	Floor      string            // the least level; empty: the strongest of Ladder
	Scopes     map[string]string // the least level by scope
	FirstParty bool              // consent is not asked

	// Offered are the methods that this server can check at all; none: every
	// method. A level beyond them is denied before any page is shown, instead
	// of after a password in vain.
	Offered Methods
}

// Allows reports whether what was proven for a grant of scopes would satisfy p
// now. The acr that the grant was given is no measure of it: a request may have
// had a weaker level named than the one that was reached.
func (p Policy) Allows(proven Methods, scopes []string) bool {
	p = p.withLadder()
	floor, err := p.floor(scopes)
	return err == nil && p.Ladder.reached(proven) >= floor
}

// withLadder returns p with the ladder that it means.
func (p Policy) withLadder() Policy {
	if len(p.Ladder) == 0 {
		p.Ladder = DefaultLadder
	}
	return p
}

// floor returns the place of the strongest level that p demands of a request
// for scopes.
func (p Policy) floor(scopes []string) (int, error) {
	floor := len(p.Ladder) - 1
	if p.Floor != "" {
		i, ok := p.Ladder.Index(p.Floor)
		if !ok {
			return 0, fmt.Errorf("authflow: floor %q is no level", p.Floor)
		}
		floor = i
	}
	for _, s := range scopes {
		name, ok := p.Scopes[s]
		if !ok {
			continue
		}
		i, ok := p.Ladder.Index(name)
		if !ok {
			return 0, fmt.Errorf("authflow: floor %q of scope %q is no level", name, s)
		}
		floor = max(floor, i)
	}
	return floor, nil
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
