package authflow

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"time"
)

// A Method is one way of showing who you are.
type Method uint8

const (
	Password Method = iota
	OTP             // a time-based one-time password (RFC 6238)
	Recovery        // a single-use recovery code
	Passkey         // a WebAuthn credential with user verification

	methods // how many there are
)

// amr holds the names of the methods in the amr claim, by Method. RFC 8176
// section 2 registers pwd, otp and pop (proof of possession of a key);
// recovery is ours, because no registered value says it.
var amr = [methods]string{"pwd", "otp", "recovery", "pop"}

// String returns the method's name in the amr claim.
func (m Method) String() string {
	if m < methods {
		return amr[m]
	}
	return fmt.Sprintf("Method(%d)", uint8(m))
}

// ParseMethod returns the Method that the amr claim calls name.
func ParseMethod(name string) (Method, error) {
	for m, n := range amr {
		if n == name {
			return Method(m), nil
		}
	}
	return 0, fmt.Errorf("authflow: unknown method %q", name)
}

// Methods is a set of methods. The zero Methods is empty.
type Methods uint8

// Of returns the set of ms.
func Of(ms ...Method) Methods {
	var s Methods
	for _, m := range ms {
		s |= 1 << m
	}
	return s
}

// Has reports whether m is in s.
func (s Methods) Has(m Method) bool { return s&(1<<m) != 0 }

// Covers reports whether all of t is in s.
func (s Methods) Covers(t Methods) bool { return s&t == t }

// Names returns the names of the methods in s, in the order of the constants.
func (s Methods) Names() []string {
	var names []string
	for m := range methods {
		if s.Has(m) {
			names = append(names, m.String())
		}
	}
	return names
}

// cost orders what may be missing: fewer methods first, recovery last.
func (s Methods) cost() int {
	n := bits.OnesCount8(uint8(s))
	if s.Has(Recovery) {
		n += int(methods)
	}
	return n
}

// Proofs says when each method was last proven; the zero time, that it was
// not. Two proofs of one method are one: there is one place for it.
type Proofs [methods]time.Time

// Set returns the methods that were ever proven.
func (p Proofs) Set() Methods {
	var s Methods
	for m, t := range p {
		if !t.IsZero() {
			s |= 1 << m
		}
	}
	return s
}

// MarshalJSON writes p as an object from the method's name to its time.
func (p Proofs) MarshalJSON() ([]byte, error) {
	byName := map[string]time.Time{}
	for m, t := range p {
		if !t.IsZero() {
			byName[amr[m]] = t
		}
	}
	return json.Marshal(byName)
}

// UnmarshalJSON reads what MarshalJSON wrote. An unknown method is an error:
// a proof must not be lost in silence.
func (p *Proofs) UnmarshalJSON(b []byte) error {
	var byName map[string]time.Time
	if err := json.Unmarshal(b, &byName); err != nil {
		return err
	}
	*p = Proofs{}
	for name, t := range byName {
		m, err := ParseMethod(name)
		if err != nil {
			return err
		}
		p[m] = t.UTC()
	}
	return nil
}

// A Login is who a browser has shown itself to be, and when it did so in each
// way. The zero Login is a stranger.
type Login struct {
	Subject string
	Epoch   string // of the account, when it was proven; see Moment.Epoch
	Proofs  Proofs
}

// Merge returns l with the later of the times in l and m, if both are of one
// person in one epoch; otherwise m. Proofs of two people are never mixed.
func (l Login) Merge(m Login) Login {
	if l.Subject != m.Subject || l.Epoch != m.Epoch {
		return m
	}
	for i, t := range m.Proofs {
		if t.After(l.Proofs[i]) {
			l.Proofs[i] = t
		}
	}
	return l
}
