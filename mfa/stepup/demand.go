package stepup

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Demand is what a handler wants of a token before it runs. The zero Demand
// is met by none: one that wants no more than a valid token says so.
type Demand struct {
	// Scopes must all be among the token's.
	Scopes []string

	// ACR are authentication context class references, the preferred first. The
	// token's acr must be one of them, to the letter. Nil: any, or none.
	ACR []string

	// Level is a name on the guard's Ladder. The token's acr must stand on its
	// rung or on a higher one; an acr that is not on the ladder is below all of
	// it. Empty: none. A Demand has ACR or Level, not both.
	Level string

	// MaxAge is how long ago, at most, the user may have been authenticated, in
	// whole seconds. The guard's Skew is added, since auth_time is from another
	// clock. 0: however long ago.
	MaxAge time.Duration

	// Once spends the token: it passes one handler that demands this, a single
	// time, and needs the guard's Store.
	Once bool

	// AnyToken says that a valid token will do, where nothing else is demanded.
	AnyToken bool
}

// ErrDemand says that a Demand cannot be met by any token, because it is
// written wrong: its guard denies.
var ErrDemand = errors.New("stepup: this cannot be demanded")

// A Ladder puts levels of authentication in order, the lowest first. Each rung
// has one name or several that mean the same:
//
//	stepup.Ladder{{"pwd"}, {"mfa", "https://refeds.org/profile/mfa"}, {"phr"}}
//
// Nothing else orders them: the names say nothing about which is higher. On the
// zero Ladder there is no level, so no token reaches one.
type Ladder [][]string

// rung returns where name stands, -1 if it does not.
func (l Ladder) rung(name string) int {
	return slices.IndexFunc(l, func(names []string) bool { return slices.Contains(names, name) })
}

// check returns what is wrong with l.
func (l Ladder) check() error {
	seen := map[string]bool{}
	for i, names := range l {
		if len(names) == 0 {
			return fmt.Errorf("rung %d has no name", i)
		}
		for _, n := range names {
			if !isValue(n) || seen[n] {
				return fmt.Errorf("%q is no name for a rung, or stands on the ladder twice", n)
			}
			seen[n] = true
		}
	}
	return nil
}

// A demand is a Demand that can be met, made ready to be compared with tokens.
type demand struct {
	Demand
	ladder Ladder
	rung   int // the lowest that will do, where a level is demanded
}

// ready checks d, so that what is written wrong is found where it is written.
func (g *Guard) ready(d Demand) (demand, error) {
	r := demand{Demand: d, ladder: g.config.Ladder, rung: g.config.Ladder.rung(d.Level)}
	switch {
	case len(d.Scopes) == 0 && len(d.ACR) == 0 && d.Level == "" && d.MaxAge == 0 && !d.Once && !d.AnyToken:
		return demand{}, fmt.Errorf("%w: nothing is, and AnyToken is not set", ErrDemand)
	case len(d.ACR) > 0 && d.Level != "":
		return demand{}, fmt.Errorf("%w: both ACR and Level", ErrDemand)
	case d.Level != "" && r.rung < 0:
		return demand{}, fmt.Errorf("%w: level %q is not on the ladder", ErrDemand, d.Level)
	case d.MaxAge < 0 || d.MaxAge%time.Second != 0:
		return demand{}, fmt.Errorf("%w: MaxAge %v is not in whole seconds", ErrDemand, d.MaxAge)
	case d.Once && g.config.Store == nil:
		return demand{}, fmt.Errorf("%w: Once, but the guard has no Store", ErrDemand)
	}
	// They are part of a header: nothing may end it.
	for _, s := range slices.Concat(d.Scopes, d.ACR) {
		if !isValue(s) {
			return demand{}, fmt.Errorf("%w: %q is no scope and no acr", ErrDemand, s)
		}
	}
	return r, nil
}

// scopes reports whether t has all that d wants.
func (d demand) scopes(t Token) bool {
	return !slices.ContainsFunc(d.Scopes, func(s string) bool { return !slices.Contains(t.Scopes, s) })
}

// authenticated reports whether the user was authenticated as d wants. What a
// token does not say was not done (SU-7).
func (d demand) authenticated(t Token, now time.Time, skew time.Duration) bool {
	if len(d.ACR) > 0 && !slices.Contains(d.ACR, t.ACR) {
		return false
	}
	if d.Level != "" && d.ladder.rung(t.ACR) < d.rung {
		return false
	}
	return d.MaxAge == 0 || !t.AuthTime.IsZero() && now.Sub(t.AuthTime) <= d.MaxAge+skew
}

// params returns what of d goes into a challenge: everything, whatever was
// lacking, because the next token comes from a new authentication and has to
// meet all of it.
func (d demand) params() []param {
	var p []param
	if acr := d.acrValues(); len(acr) > 0 {
		p = append(p, param{"acr_values", strings.Join(acr, " ")})
	}
	if d.MaxAge > 0 {
		p = append(p, param{"max_age", strconv.FormatInt(int64(d.MaxAge/time.Second), 10)})
	}
	return p
}

// acrValues returns what to ask the issuer for. A rung is asked for by its
// first name, and the rungs above it come after, for users who can reach
// those only.
func (d demand) acrValues() []string {
	if d.Level == "" {
		return d.ACR
	}
	values := []string{d.Level}
	for _, names := range d.ladder[d.rung+1:] {
		values = append(values, names[0])
	}
	return values
}

// isValue reports whether s can be one of a list separated by spaces, in a
// quoted string: a scope-token (RFC 6749 section 3.3).
func isValue(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '"' || r == '\\'
	})
}
