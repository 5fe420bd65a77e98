package provider

import "time"

// An Event is something that happened and matters: one line of the log and,
// where it changes an account's security, one row of the audit trail. It holds
// no secret, ever.
type Event struct {
	Time      time.Time
	Kind      EventKind
	Outcome   Outcome
	Subject   string // whom it is about; empty if unknown
	ClientID  string
	Actor     string // who did it, if not the subject: "admin" for a command
	RequestID string
	Address   string            // of the browser or client
	Detail    map[string]string // a few words more, by names from a fixed set
}

// An EventKind says what happened.
type EventKind string

const (
	EventPassword    EventKind = "password"
	EventFactor      EventKind = "factor"
	EventReplay      EventKind = "replay"
	EventThrottle    EventKind = "throttle"
	EventRecovery    EventKind = "recovery"
	EventEnroll      EventKind = "enroll"
	EventCodes       EventKind = "recovery-codes"
	EventReset       EventKind = "factors-reset"
	EventStolen      EventKind = "password-stolen"
	EventConsent     EventKind = "consent"
	EventRevoke      EventKind = "consent-revoked"
	EventSignIn      EventKind = "sign-in"
	EventStepUp      EventKind = "step-up" // met, or with Failure refused
	EventStepUpAsked EventKind = "step-up-asked"
	EventToken       EventKind = "token"
	EventReuse       EventKind = "token-reuse"
	EventTokenEnd    EventKind = "token-revoked"
	EventLogout      EventKind = "logout"
	EventUntold      EventKind = "logout-undelivered"
	EventUser        EventKind = "user"
	EventClient      EventKind = "client"
	EventKeys        EventKind = "keys"
	EventSessionEnd  EventKind = "session-ended"
	EventEpoch       EventKind = "epoch" // all that was good before is void
)

// An Outcome is how it went.
type Outcome string

const (
	Success Outcome = "success"
	Failure Outcome = "failure"
)
