package authflow

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Policy is what the server requires of a client's requests, whatever they
// say themselves. The zero Policy is the strictest: the strongest level of the
// default ladder, and consent asked each time it was not given before.
type Policy struct {
	Ladder     Ladder            // none: DefaultLadder
	Floor      string            // the least level; empty: the strongest of Ladder
	Scopes     map[string]string // the least level by scope
	FirstParty bool              // consent is not asked
}

// A Demand is what must be true before one authorization request is granted.
// Only Parse makes one; the zero Demand can be met by nobody.
type Demand struct {
	Silent  bool   // prompt=none: show no page
	Subject string // whom id_token_hint names; empty accepts anyone

	policy  Policy
	targets []target      // acceptable levels, in order of preference, none below the floor
	acr     []string      // acr values the request will have named in the token, if it can
	ask     bool          // prompt=consent
	fresh   bool          // prompt=login, max_age=0: nothing from before the request counts
	choose  bool          // prompt=select_account: begin as a stranger
	aged    bool          // max_age was given
	maxAge  time.Duration // no proof older than this counts
}

// A target is a level that satisfies a demand: its place on the ladder.
type target int

// Parse returns what the OpenID Connect parameters of a request demand on top
// of p: prompt, max_age, acr_values and the acr of claims. They can raise what
// p demands and never lower it. An id_token_hint is the caller's to verify.
// The error is ErrBadRequest, with what is wrong; any other is a mistake in p.
func Parse(form url.Values, p Policy) (Demand, error) {
	if len(p.Ladder) == 0 {
		p.Ladder = DefaultLadder
	}
	// Two values of one parameter are two readers' chance to differ.
	for _, name := range []string{"prompt", "max_age", "acr_values", "claims", "scope"} {
		if len(form[name]) > 1 {
			return Demand{}, fmt.Errorf("%w: %s stands more than once", ErrBadRequest, name)
		}
	}
	d := Demand{policy: p}
	if err := d.parsePrompt(form.Get("prompt")); err != nil {
		return Demand{}, err
	}
	if err := d.parseMaxAge(form.Get("max_age")); err != nil {
		return Demand{}, err
	}
	floor, err := p.floor(strings.Fields(form.Get("scope")))
	if err != nil {
		return Demand{}, err
	}
	essential, err := essentialACR(form.Get("claims"))
	if err != nil {
		return Demand{}, err
	}
	d.targets = []target{target(floor)}
	if asked := d.names(strings.Fields(form.Get("acr_values"))); len(asked) > 0 {
		d.acr, d.targets = asked, p.Ladder.raise(asked, floor)
	}
	if essential != nil {
		// Unlike acr_values, which are a wish, an essential acr that names
		// nothing we know cannot be ignored: it cannot be met.
		// OpenID Connect Core section 5.5.1.1.
		d.acr = d.names(essential)
		d.targets = p.Ladder.raise(d.acr, floor)
	}
	return d, nil
}

func (d *Demand) parsePrompt(v string) error {
	prompt := strings.Fields(v)
	for _, p := range prompt {
		switch p {
		case "none":
			d.Silent = true
		case "login":
			d.fresh = true
		case "consent":
			d.ask = true
		case "select_account":
			d.choose = true
		default:
			return fmt.Errorf("%w: unknown prompt %q", ErrBadRequest, p)
		}
	}
	if d.Silent && len(prompt) > 1 {
		return fmt.Errorf("%w: prompt=none with other values", ErrBadRequest)
	}
	return nil
}

// parseMaxAge takes max_age as a non-negative integer, strictly: what is
// neither is refused, because a limit that is silently dropped is none.
func (d *Demand) parseMaxAge(v string) error {
	if v == "" {
		return nil // as if left out: RFC 6749 section 3.1
	}
	age, err := strconv.ParseUint(v, 10, 31)
	if err != nil {
		return fmt.Errorf("%w: max_age must be a number of seconds", ErrBadRequest)
	}
	d.aged, d.maxAge = true, time.Duration(age)*time.Second
	d.fresh = d.fresh || age == 0
	return nil
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

// names returns those of asked that are levels; the others are ignored.
func (d Demand) names(asked []string) []string {
	return slices.DeleteFunc(slices.Clone(asked), func(name string) bool {
		_, ok := d.policy.Ladder.Index(name)
		return !ok
	})
}

// raise returns the levels called names in their order, none below floor.
func (l Ladder) raise(names []string, floor int) (ts []target) {
	for _, name := range names {
		if i, ok := l.Index(name); ok {
			ts = append(ts, target(max(i, floor)))
		}
	}
	return ts
}

// essentialACR returns the values of which the claims parameter demands one as
// the acr of the ID token, nil if it demands none (OpenID Connect Core 5.5.1.1).
func essentialACR(claims string) ([]string, error) {
	if claims == "" {
		return nil, nil
	}
	var c struct {
		IDToken struct {
			ACR *struct {
				Essential bool     `json:"essential"`
				Value     string   `json:"value"`
				Values    []string `json:"values"`
			} `json:"acr"`
		} `json:"id_token"`
	}
	if err := json.Unmarshal([]byte(claims), &c); err != nil {
		return nil, fmt.Errorf("%w: claims is not the JSON that OpenID Connect defines", ErrBadRequest)
	}
	acr := c.IDToken.ACR
	if acr == nil || !acr.Essential || acr.Value == "" && len(acr.Values) == 0 {
		return nil, nil
	}
	if acr.Value != "" {
		return append([]string{acr.Value}, acr.Values...), nil
	}
	return acr.Values, nil
}

// counts reports whether a proof of time t counts toward d in flow f at m.
func (d Demand) counts(t time.Time, f Flow, m Moment) bool {
	switch {
	case t.IsZero():
		return false
	case !t.Before(f.Created):
		return true // proven on the way
	case d.fresh || m.SessionEnded:
		return false
	default:
		return !d.aged || m.Now.Sub(t) <= d.maxAge
	}
}
