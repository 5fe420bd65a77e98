package provider

import "time"

// A Notice is something that a user should be told.
type Notice struct {
	Kind         NoticeKind
	Time         time.Time
	User         User
	Address      string // of the browser in which it happened; empty for an administrator's act
	UserAgent    string
	RecoveryLeft int // with NoticeRecovery
}

// A NoticeKind says what a notice is about.
type NoticeKind string

const (
	NoticeEnrolled NoticeKind = "enrolled"        // a second factor was set up
	NoticeReplaced NoticeKind = "replaced"        // the second factor was replaced
	NoticeRecovery NoticeKind = "recovery-used"   // a recovery code was used
	NoticeCodes    NoticeKind = "recovery-codes"  // new recovery codes were made
	NoticeReset    NoticeKind = "factors-reset"   // an administrator removed the factors
	NoticeReplay   NoticeKind = "replay"          // a code was given that had been used
	NoticeStolen   NoticeKind = "password-stolen" // too many wrong codes behind right passwords
)
