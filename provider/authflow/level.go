package authflow

import (
	"errors"
	"fmt"
	"slices"
)

// A Level is an authentication context class: how strongly someone has shown
// who they are.
type Level struct {
	Name    string   // the acr value
	Aliases []string // other acr values that a request may call it by

	// Ways are the sets of methods of which each reaches the level.
	Ways []Methods
}

// A Ladder is the levels in order, the weakest first. Whoever reaches a level
// satisfies every demand for a weaker one.
type Ladder []Level

// DefaultLadder is the Ladder of a Policy that has none: pwd, a password; mfa,
// a password and one of a one-time password, a passkey and a recovery code;
// phr, a passkey (phishing-resistant, OpenID EAP ACR Values 1.0).
var DefaultLadder = Ladder{
	{Name: "pwd", Ways: []Methods{Of(Password)}},
	{Name: "mfa", Ways: []Methods{Of(Password, OTP), Of(Password, Passkey), Of(Password, Recovery)}},
	{Name: "phr", Ways: []Methods{Of(Passkey)}},
}

// Check says what is wrong with l: no levels, a name twice, or a level that
// nothing reaches.
func (l Ladder) Check() error {
	if len(l) == 0 {
		return errors.New("authflow: a ladder needs a level")
	}
	seen := map[string]bool{}
	for _, level := range l {
		if len(level.Ways) == 0 || slices.Contains(level.Ways, 0) {
			return fmt.Errorf("authflow: level %q has no methods that reach it", level.Name)
		}
		for _, name := range append([]string{level.Name}, level.Aliases...) {
			if name == "" || seen[name] {
				return fmt.Errorf("authflow: level name %q is empty or stands twice", name)
			}
			seen[name] = true
		}
	}
	return nil
}

// Index returns the place of the level that is called name, itself or by an
// alias.
func (l Ladder) Index(name string) (int, bool) {
	i := slices.IndexFunc(l, func(v Level) bool {
		return v.Name == name || slices.Contains(v.Aliases, name)
	})
	return i, i >= 0
}

// ByPassword reports whether a password alone reaches the level at place i, or a
// stronger one.
func (l Ladder) ByPassword(i int) bool {
	_, ok := l[i:].shortest(Of(Password), 0)
	return ok
}

// known returns those of names that are levels, each once.
func (l Ladder) known(names []string) (ns []string) {
	for _, name := range names {
		if _, ok := l.Index(name); ok && !slices.Contains(ns, name) {
			ns = append(ns, name)
		}
	}
	return ns
}

// reached returns the place of the strongest level that proven reaches, -1 if
// none.
func (l Ladder) reached(proven Methods) int {
	for i := len(l) - 1; i >= 0; i-- {
		if _, ok := l[i:i+1].shortest(proven, proven); ok {
			return i
		}
	}
	return -1
}

// shortest returns what someone who is able to prove able, and has proven
// proven, must still prove on the shortest way to any level of l, and whether
// there is a way. Of two as short, that of the weaker level is taken.
func (l Ladder) shortest(able, proven Methods) (best Methods, ok bool) {
	for _, level := range l {
		for _, way := range level.Ways {
			if way == 0 || !able.Covers(way) { // nothing proven reaches nothing
				continue
			}
			left := way &^ proven
			if !ok || left.cost() < best.cost() {
				best, ok = left, true
			}
		}
	}
	return best, ok
}

// useful returns the methods on those ways to any level of l that someone who
// is able to prove able can go.
func (l Ladder) useful(able Methods) (s Methods) {
	for _, level := range l {
		for _, way := range level.Ways {
			if able.Covers(way) {
				s |= way
			}
		}
	}
	return s
}
