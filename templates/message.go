package templates

import "time"

// A Text names a sentence in the locale files.
type Text string

// What can be wrong with an answer.
const (
	UsernameMissing  Text = "problem.username_missing" // Field: username
	PasswordMissing  Text = "problem.password_missing"
	PasswordWrong    Text = "problem.password_wrong" // wrong, unknown, disabled or throttled: one sentence
	CodeMissing      Text = "problem.code_missing"
	CodeWrong        Text = "problem.code_wrong"
	CodeReplayed     Text = "problem.code_replayed" // right once, used before
	CodeWait         Text = "problem.code_wait"     // Wait: how long none is looked at
	ClockAhead       Text = "problem.clock_ahead"   // Wait: by how much the phone's clock is
	ClockBehind      Text = "problem.clock_behind"  // Wait: likewise
	RecoveryWrong    Text = "problem.recovery_wrong"
	RecoveryReplayed Text = "problem.recovery_replayed"
	TicketMissing    Text = "problem.ticket_missing"
	TicketWrong      Text = "problem.ticket_wrong"
	SetupExpired     Text = "problem.setup_expired" // a pending secret is gone: begin again
	OutOfStep        Text = "problem.out_of_step"   // that was another tab's or an older page's answer
	ProveAgain       Text = "problem.prove_again"   // what was asked needs a fresh second factor
	LogoutStays      Text = "problem.logout_stays"  // where an app wants its user sent after a logout is not registered
)

// What else there is to say.
const (
	RecoveryLeft    Text = "notice.recovery_left" // Count: how many are left
	SessionEnded    Text = "notice.session_ended"
	SessionsEnded   Text = "notice.sessions_ended"
	ConsentRevoked  Text = "notice.consent_revoked" // Name: of the app
	FactorReplaced  Text = "notice.factor_replaced"
	CodesReplaced   Text = "notice.codes_replaced"
	SwitchedAccount Text = "notice.switched_account"
)

// A Message is a Text and what stands in its placeholders. Who sends one never
// writes a sentence.
type Message struct {
	Text  Text
	Field string        // name of the form field that it is about; empty: the page's last, the secret one
	Count int           // {count}, and which plural it is
	Wait  time.Duration // {wait}, told in seconds, minutes or hours, rounded up
	Name  string        // {name}
}
