package authflow

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
