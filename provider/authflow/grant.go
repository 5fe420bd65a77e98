package authflow

import (
	"slices"
	"time"
)

// A Grant is evidence that a [Flow] was granted. Only [Flow.Grant] makes one;
// the zero Grant has no subject and must be refused.
type Grant struct {
	login     Login
	level     string
	requested time.Time
	once      bool
}

// Grant returns the Grant of a flow that waits for nothing more, and
// ErrNotGranted or the reason for denial otherwise.
func (f Flow) Grant(m Moment) (Grant, error) {
	step, err := f.Next(m)
	if err != nil {
		return Grant{}, err
	}
	if step != Granted {
		return Grant{}, ErrNotGranted
	}
	login := f.Login
	for i, t := range login.Proofs {
		if !m.counts(Method(i), t, f.Created, m.Now, m.SessionEnded) {
			login.Proofs[i] = time.Time{}
		}
	}
	return Grant{login, m.named(login.Proofs.Set()), f.Created, m.once}, nil
}

// named returns the acr value for what was proven: of the values that the
// request named, the one for the strongest level reached, since relying parties
// compare them as strings; if it named none, that level's own.
func (d Demand) named(proven Methods) string {
	ladder := d.policy.Ladder
	reached, best, named := ladder.reached(proven), -1, ""
	for _, name := range d.acr {
		if i, _ := ladder.Index(name); best < i && i <= reached {
			best, named = i, name
		}
	}
	if named == "" && reached >= 0 {
		named = ladder[reached].Name
	}
	return named
}

// Login returns who it is and what was proven, as far as it counted.
func (g Grant) Login() Login { return g.login }

// Once reports whether the grant is for one use: its tokens are short-lived and
// not renewed, and Lasting has less than Login.
func (g Grant) Once() bool { return g.once }

// Lasting returns of Login what may be kept in a session. Of a grant for one
// use that is the password alone: the factor was proven for it and nothing
// else.
func (g Grant) Lasting() Login {
	l := g.login
	for i := range l.Proofs {
		if g.once && Method(i) != Password {
			l.Proofs[i] = time.Time{}
		}
	}
	return l
}

// Requested returns when the authorization request arrived.
func (g Grant) Requested() time.Time { return g.requested }

// ACR returns the authentication context class reached.
func (g Grant) ACR() string { return g.level }

// AMR returns the methods proven, as the amr claim names them.
func (g Grant) AMR() []string { return g.login.Proofs.Set().Names() }

// AuthTime returns when the oldest counted proof was given, so that an age
// limit that holds for it holds for all.
func (g Grant) AuthTime() time.Time { return g.login.Proofs.Oldest() }

// Oldest returns the earliest time in p, zero if nothing was proven.
func (p Proofs) Oldest() time.Time {
	given := slices.DeleteFunc(p[:], time.Time.IsZero)
	if len(given) == 0 {
		return time.Time{}
	}
	return slices.MinFunc(given, time.Time.Compare)
}
