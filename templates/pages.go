package templates

import "time"

// A Page is one of the page types of this package. Its zero value renders, if
// not usefully; what stands in it is inert text, whoever wrote it.
type Page interface {
	file() string              // of the template, without .html
	title() Message            // the heading
	messages() (p, n *Message) // what is wrong, and what else is to be said
}

// An App is the relying party that someone is on the way to. The zero App says
// that they are on the way to their own account pages.
type App struct {
	Name        string // as registered; its Host if empty
	Host        string // of its registered redirect URI
	InitiateURL string // where signing in to it can be begun anew (https, or http on loopback); empty or anything else: not offered
}

// A Flow is what the pages of a sign-in on its way have in common. Each form
// posts to Action; its hidden field step says which it is. Every page has a
// form with step=cancel; with CanSwitch, one with step=switch.
type Flow struct {
	Action    string
	App       App
	Username  string   // who is signing in: as typed, or known
	CanSwitch bool     // another account may be used
	Why       *Why     // why someone who is signed in is asked again; nil: they are not
	Details   []string // what exactly is approved, in words, each a line or more
	Problem   *Message // what was wrong with the last answer
	Notice    *Message // something else to know, such as RecoveryLeft
}

// A Why says that App wants to be sure who it is, before it does what Scopes
// name. Without any, it just wants to be sure.
type Why struct{ Scopes []string }

// Password asks for a username and a password: fields username and password,
// step=password.
type Password struct {
	Flow
	Pinned bool // Username is given and not to be changed
}

// Factor asks for the code of an authenticator app: field code, step=otp.
type Factor struct {
	Flow
	Digits      int    // of a code; 0: 6
	RecoveryURL string // of the Recovery page; empty: not offered
}

// Recovery asks for a recovery code: field code, step=recovery.
type Recovery struct {
	Flow
	CodeURL string // back to the Factor page; empty: not offered
}

// EnrollStart explains the second factor and offers to set it up:
// step=enroll, with Ticket a field ticket.
type EnrollStart struct {
	Flow
	Ticket  bool // an enrolment ticket is to be given
	Replace bool // in place of a factor that there is
}

// Enroll shows a new secret and asks for its first code: field code,
// step=confirm.
type Enroll struct {
	Flow
	QR     []byte // PNG of URI
	Key    string // the secret in base32; shown in groups of four
	URI    string // otpauth:; anything else is not linked
	Digits int    // of a code; 0: 6
}

// Codes shows new recovery codes once: step=saved.
type Codes struct {
	Flow
	Codes       []string
	DownloadURL string    // of Set.CodesFile as an attachment; empty: not offered
	Made        time.Time // stands in the file and in print; zero: left out
}

// Consent asks whether App may have what Scopes name: step=consent, decision
// allow or deny.
type Consent struct {
	Flow
	Scopes []string
}

// FormPost takes an answer on to App: its form posts Fields to Action, by
// itself where FormPostScript may run and by a button where not (OAuth 2.0
// Form Post Response Mode section 2).
type FormPost struct {
	App    App
	Action string // https or http; anything else is inert
	Fields []Field
}

// A Field is a hidden field of a form. Its Value comes out as it went in, but
// for zero bytes, line breaks and what is no UTF-8, which no form can carry.
type Field struct{ Name, Value string }

// FormPostScript is what stands between the script tags of FormPost. No other
// page has a script; its policy may allow this one by its SHA-256.
const FormPostScript = "document.forms[0].submit()"

// An Ending is why a flow is over.
type Ending string

const (
	EndedExpired   Ending = "expired"   // took too long
	EndedUsed      Ending = "used"      // was finished before
	EndedCancelled Ending = "cancelled" // by the user
	EndedSpent     Ending = "spent"     // too many wrong answers
	EndedChanged   Ending = "changed"   // the account has changed in the meantime
	EndedReset     Ending = "reset"     // the password must be set anew
	EndedDenied    Ending = "denied"    // may not sign in, or not to this app
	EndedUnmet     Ending = "unmet"     // the app asks for more than this account can prove
	EndedElsewhere Ending = "elsewhere" // began in another browser
	EndedSignedOut Ending = "signedout" // the user has signed out, or was signed out, in the meantime
)

// Ended says that a flow is over and where to go: to App.InitiateURL, or back
// to App.Host.
type Ended struct {
	App       App
	Kind      Ending // empty: EndedDenied
	RequestID string // shown, if set
}

// A Fault is why a request got no answer but an error.
type Fault string

const (
	FaultBadRequest  Fault = "bad_request"
	FaultClient      Fault = "client"   // unknown client_id
	FaultRedirect    Fault = "redirect" // redirect_uri not registered
	FaultStale       Fault = "stale"    // request_uri that opens nothing, any more or at all
	FaultNotFound    Fault = "not_found"
	FaultMethod      Fault = "method" // method not allowed
	FaultTooLarge    Fault = "too_large"
	FaultCrossOrigin Fault = "cross_origin" // a form of another site
	FaultCookies     Fault = "cookies"      // the browser keeps none
	FaultBusy        Fault = "busy"         // 503, try again soon
	FaultThrottled   Fault = "throttled"    // 429, try again after Wait
	FaultInternal    Fault = "internal"
)

// Error says that something went wrong.
type Error struct {
	Fault     Fault // empty: FaultInternal
	App       App
	RequestID string
	Wait      time.Duration // with FaultThrottled: how long
}

// Account shows someone what is theirs and open, and lets them end it. All
// forms post to Action: end-session (field id), end-all, revoke (field
// client), replace-factor, new-codes, sign-out.
type Account struct {
	Action       string
	Username     string
	Name         string    // full name, if known
	Now          time.Time // times are told relative to it; zero: as dates
	Sessions     []Session
	Consents     []Allowed
	Enrolled     bool // has an authenticator
	EnrolledAt   time.Time
	RecoveryLeft int
	Activity     []Activity
	Problem      *Message
	Notice       *Message
}

// A Session is one browser in which the account is signed in.
type Session struct {
	ID        string
	This      bool   // the browser that asks
	UserAgent string // told in words: Firefox on Linux
	Address   string
	Created   time.Time
	Used      time.Time
}

// An Allowed is what an app was allowed.
type Allowed struct {
	ClientID string
	App      App
	Scopes   []string
	Given    time.Time
}

// An Activity is something that happened to the account.
type Activity struct {
	Time    time.Time
	Kind    string // an event kind of package provider, such as "password"; unknown ones are told in general words
	Failed  bool
	App     string // name of the app, if there was one
	Address string
}

// SignOut asks whether someone wants to sign out: step=sign-out, with a field
// session.
type SignOut struct {
	Action   string
	App      App // that asks for it; the zero App: nobody knows
	Username string
	Session  string   // that is to end
	StayURL  string   // where a no leads; empty: not offered
	Problem  *Message // such as LogoutStays
}

// SignedOut says that the browser is signed out, and takes it on.
type SignedOut struct {
	App         App      // that asked for it: signing in there anew is offered; the zero App: none
	SignInURL   string   // without an App.InitiateURL; empty: not offered
	Frames      []string // addresses of apps that sign out when they are shown, unseen
	ContinueURL string   // where the browser goes on to by itself; empty: nowhere
}

func (Password) file() string    { return "password" }
func (Factor) file() string      { return "factor" }
func (Recovery) file() string    { return "recovery" }
func (EnrollStart) file() string { return "enrollstart" }
func (Enroll) file() string      { return "enroll" }
func (Codes) file() string       { return "codes" }
func (Consent) file() string     { return "consent" }
func (FormPost) file() string    { return "formpost" }
func (Ended) file() string       { return "ended" }
func (Error) file() string       { return "error" }
func (Account) file() string     { return "account" }
func (SignOut) file() string     { return "signout" }
func (SignedOut) file() string   { return "signedout" }

func (p Password) title() Message {
	if p.Pinned {
		return Message{Text: "password.confirm"}
	}
	return Message{Text: "password.title"}
}
func (Factor) title() Message    { return Message{Text: "factor.title"} }
func (Recovery) title() Message  { return Message{Text: "recovery.title"} }
func (Enroll) title() Message    { return Message{Text: "enroll.title"} }
func (Codes) title() Message     { return Message{Text: "codes.title"} }
func (c Consent) title() Message { return Message{Text: "consent.title", Name: c.App.label()} }
func (p FormPost) title() Message {
	return Message{Text: "formpost.title", Name: p.App.label()}
}
func (Account) title() Message   { return Message{Text: "account.title"} }
func (SignOut) title() Message   { return Message{Text: "signout.title"} }
func (SignedOut) title() Message { return Message{Text: "signedout.title"} }
func (p EnrollStart) title() Message {
	if p.Replace {
		return Message{Text: "enrollstart.replace"}
	}
	return Message{Text: "enrollstart.title"}
}
func (p Ended) title() Message { return Message{Text: "ended." + Text(p.kind()) + ".title"} }
func (p Error) title() Message { return Message{Text: "error." + Text(p.fault()) + ".title"} }

func (f Flow) messages() (p, n *Message)    { return f.Problem, f.Notice }
func (a Account) messages() (p, n *Message) { return a.Problem, a.Notice }
func (FormPost) messages() (p, n *Message)  { return nil, nil }
func (Ended) messages() (p, n *Message)     { return nil, nil }
func (Error) messages() (p, n *Message)     { return nil, nil }
func (s SignOut) messages() (p, n *Message) { return s.Problem, nil }
func (SignedOut) messages() (p, n *Message) { return nil, nil }

func (p Ended) kind() Ending {
	switch p.Kind {
	case EndedExpired, EndedUsed, EndedCancelled, EndedSpent, EndedChanged, EndedReset, EndedUnmet, EndedElsewhere, EndedSignedOut:
		return p.Kind
	}
	return EndedDenied
}

func (p Error) reason() Message {
	return Message{Text: "error." + Text(p.fault()), Wait: p.Wait}
}

func (p Error) fault() Fault {
	switch p.Fault {
	case FaultBadRequest, FaultClient, FaultRedirect, FaultStale, FaultNotFound, FaultMethod, FaultTooLarge,
		FaultCrossOrigin, FaultCookies, FaultBusy, FaultThrottled:
		return p.Fault
	}
	return FaultInternal
}

// label is what a is called.
func (a App) label() string {
	if name := clean(a.Name); name != "" {
		return name
	}
	return clean(a.Host)
}
