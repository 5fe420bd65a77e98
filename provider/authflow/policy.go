package authflow

// Allows reports whether what was granted at the level called acr, itself or
// by an alias, for these scopes would satisfy p now. An acr that is no level
// any more satisfies nothing.
func (p Policy) Allows(acr string, scopes []string) bool {
	if p.Ladder == nil {
		p.Ladder = DefaultLadder
	}
	reached, ok := p.Ladder.Index(acr)
	if !ok {
		return false
	}
	floor, err := p.floor(scopes)
	return err == nil && reached >= floor
}
