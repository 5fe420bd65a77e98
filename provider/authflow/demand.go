package authflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Demand is what must be true before one authorization request is granted.
// Only Parse makes one; the zero Demand can be met by nobody.
type Demand struct {
	Silent  bool   // prompt=none: show no page
	Subject string // whom id_token_hint names; empty accepts anyone

	policy  Policy
	targets []target // acceptable levels, in order of preference, none below the floor
	acr     []string // acr values that the request would have named in the token
	ask     bool     // prompt=consent, or something that is approved each time
	choose  bool     // prompt=select_account: begin as a stranger
	once    bool     // the factors proven for it count for nothing else

	fresh Methods                // whose proofs from before the request do not count
	limit [methods]time.Duration // how old a proof may be that counts; 0: as old as it likes
}

// factors are the methods that are no password.
const factors = Methods(1<<methods-1) &^ (1 << Password)

// A target is a level that satisfies a demand: its place on the ladder.
type target int

// Parse returns what the parameters of a request demand: the strongest of p's
// floors for its scope, resource and authorization_details, and on top of that
// of prompt, max_age, acr_values and the acr of claims, which can raise it and
// never lower it. An id_token_hint is the caller's to verify, and so are
// resources and details. The error is ErrBadRequest, with what is wrong; any
// other is a mistake in p.
func Parse(form url.Values, p Policy) (Demand, error) {
	p = p.withLadder()
	// Two values of one parameter are two readers' chance to differ.
	for _, name := range []string{"prompt", "max_age", "acr_values", "claims", "scope", "authorization_details"} {
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
	wants, err := wanted(form)
	if err != nil {
		return Demand{}, err
	}
	floor, err := p.floor(wants)
	if err != nil {
		return Demand{}, err
	}
	for _, f := range p.floors(wants) {
		d.keep(f)
	}
	if len(wants.Details) > 0 {
		if p.Ladder.ByPassword(floor) {
			return Demand{}, errors.New("authflow: details need a floor that takes more than a password")
		}
		// They are approved by the factor that is proven in their sight, and
		// differ each time from those that were allowed before.
		d.fresh |= factors
		d.ask = d.ask || !p.FirstParty
	}
	claimed, essential, err := claimedACR(form.Get("claims"))
	if err != nil {
		return Demand{}, err
	}
	asked := strings.Fields(form.Get("acr_values"))
	d.targets = []target{target(floor)}
	d.raise(claimed, essential)
	d.raise(asked, false)
	d.targets = slices.DeleteFunc(d.targets, func(t target) bool { return !p.offers(t) })
	// An essential acr must be one of its own values (OpenID Connect Core
	// section 5.5.1.1), so no other is named beside them.
	if d.acr = p.Ladder.known(claimed); !essential {
		d.acr = append(d.acr, p.Ladder.known(asked)...)
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
			d.fresh = 1<<methods - 1
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
	if age == 0 {
		d.fresh = 1<<methods - 1
	}
	d.keep(Floor{MaxAge: time.Duration(age) * time.Second})
	return nil
}

// keep makes d demand the ages of f besides its own.
func (d *Demand) keep(f Floor) {
	for m := range methods {
		d.limit[m] = stricter(d.limit[m], f.limit(m))
	}
	if f.Once {
		d.once = true
		d.fresh |= factors
	}
}

// wanted returns what the request in form asks for.
func wanted(form url.Values) (Wants, error) {
	w := Wants{Scopes: strings.Fields(form.Get("scope")), Resources: form["resource"]}
	text := form.Get("authorization_details")
	if text == "" {
		return w, nil
	}
	// Not into a struct: encoding/json would take Type for type, and the floor
	// would be another type's.
	var details []map[string]json.RawMessage
	err := json.Unmarshal([]byte(text), &details)
	for _, d := range details {
		name := ""
		if raw, ok := d["type"]; ok && err == nil {
			err = json.Unmarshal(raw, &name)
		}
		if !slices.Contains(w.Details, name) {
			w.Details = append(w.Details, name)
		}
	}
	if err != nil {
		return Wants{}, fmt.Errorf("%w: authorization_details is not the JSON that RFC 9396 defines", ErrBadRequest)
	}
	return w, nil
}

// raise makes d demand one of the levels called names besides what it demands
// already. Of names that are no levels nothing is known and nothing asked,
// unless they are essential: then nobody can meet them.
func (d *Demand) raise(names []string, essential bool) {
	names = d.policy.Ladder.known(names)
	if len(names) == 0 && !essential {
		return
	}
	var raised []target
	for _, floor := range d.targets {
		low := false
		for _, name := range names {
			i, _ := d.policy.Ladder.Index(name)
			if target(i) < floor {
				low = true
			} else {
				raised = append(raised, target(i))
			}
		}
		if low { // a level below the floor is had with the floor, and only so
			raised = append(raised, floor)
		}
	}
	d.targets = unique(raised)
}

// unique returns ts without those that stood before.
func unique(ts []target) (once []target) {
	for _, t := range ts {
		if !slices.Contains(once, t) {
			once = append(once, t)
		}
	}
	return once
}

// claimedACR returns the values of which the claims parameter asks for one as
// the acr of the ID token, and whether it insists. To ask without insisting is
// to do what acr_values does (OpenID Connect Core section 5.5.1.1).
func claimedACR(claims string) (values []string, essential bool, err error) {
	if claims == "" {
		return nil, false, nil
	}
	var c struct {
		IDToken struct {
			ACR struct {
				Essential bool     `json:"essential"`
				Value     *string  `json:"value"`
				Values    []string `json:"values"`
			} `json:"acr"`
		} `json:"id_token"`
	}
	if err := json.Unmarshal([]byte(claims), &c); err != nil {
		return nil, false, fmt.Errorf("%w: claims is not the JSON that OpenID Connect defines", ErrBadRequest)
	}
	acr := c.IDToken.ACR
	values = acr.Values
	if acr.Value != nil {
		values = append([]string{*acr.Value}, values...)
	}
	// Essential and of no value in particular: any will do, and one there is.
	return values, acr.Essential && len(values) > 0, nil
}

// counts reports whether a proof of m, given at t, counts now toward d, in a
// flow that was created then. An age limit is for what was proven before the request, at
// the moment of asking: what has been proven on the way was proven because of
// it, and would otherwise, with a limit of seconds, be asked for for ever.
func (d *Demand) counts(m Method, t, created, now time.Time, sessionEnded bool) bool {
	switch {
	case t.IsZero():
		return false
	case !t.Before(created):
		return true
	case d.fresh.Has(m) || sessionEnded:
		return false
	default:
		return d.limit[m] == 0 || now.Sub(t) <= d.limit[m]
	}
}
