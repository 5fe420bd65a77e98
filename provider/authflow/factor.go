package authflow

import "time"

// A Status is what is true of a person's second factors. The zero Status is of
// someone who has none and may not enrol one.
type Status struct {
	Enrolled  Methods // confirmed and usable; Recovery while a code is left
	MayEnroll bool    // may enrol a first factor on the way, on the strength of the password
	Ticket    bool    // with MayEnroll: only with an enrolment ticket

	// FactorEpoch changes whenever factors are enrolled, replaced or removed.
	// The caller makes it part of Moment.Epoch.
	FactorEpoch string

	// Stolen says that the password is to be taken as known to a stranger,
	// after too many wrong codes behind right passwords. The account stays
	// closed until the password is set anew.
	Stolen bool

	RecoveryLeft int  // recovery codes not yet used
	Unsaved      bool // new recovery codes wait to be put away by who asked for this Status
	Pending      bool // a new secret, made by who asked for this Status, waits for its first code
}

// unbound reports whether a password is enough to enrol: there is no factor of
// any kind that could be asked for instead. Otherwise whoever learns the
// password of someone with a passkey adds an app of their own (CVE-2023-3597).
func (s Status) unbound() bool { return s.MayEnroll && s.Enrolled == 0 }

// A Verdict is what checking a code came to. The zero Verdict refuses.
type Verdict struct {
	OK bool // the code was right, and is now used up

	// Wait is how long no code will be looked at. The code was not checked.
	Wait time.Duration

	// Replayed says that the code was right once and has been used.
	Replayed bool

	// Drift is how far the clock of the device that made a refused code seems
	// to be off; negative: behind. Zero: no idea.
	Drift time.Duration

	// Stolen says that with this attempt the password came to be taken as
	// stolen (see Status.Stolen).
	Stolen bool

	RecoveryLeft int // after a right recovery code: how many are left
}
