package provider

import (
	"context"
	"errors"
	"time"

	"github.com/sallyport-id/sallyport/provider/authflow"
)

// What a [Store] answers.
var (
	ErrNotFound = errors.New("provider: not found")
	ErrConflict = errors.New("provider: changed by someone else in the meantime")
	ErrSpent    = errors.New("provider: used before")
	ErrVoid     = errors.New("provider: older than the epoch")

	// ErrUnavailable says that the Store cannot be reached, or cannot do anything
	// now, and that it can be asked again later. It is answered with 503. Whether
	// a commit that failed with it happened is not known.
	ErrUnavailable = errors.New("provider: the store is not available")
)

// A Prefetcher is a Store that can read at once what a request would ask it for one
// after another.
type Prefetcher interface {
	// Prefetch returns a context for one request, and what is called when that is
	// over. Asked with it for a flow or a grant, a Store may read along who and what
	// belongs to it, and answer from that the next question of the request about each,
	// once, as long as the request has changed nothing and ended no transaction since,
	// and never in a transaction. So no answer is of before the request. After done
	// nothing more is answered from it, whoever still has the context.
	Prefetch(ctx context.Context) (_ context.Context, done func())
}

// A Store keeps what outlives a request. Package storage has one for SQLite
// and PostgreSQL, and storage/storagetest says of any other whether it keeps
// what is promised here.
//
// Times are in UTC with at least microseconds. A method that finds nothing
// returns ErrNotFound, one that cannot reach
// the database an error that is ErrUnavailable. Methods called with a context that Atomically made take
// part in its transaction.
type Store interface {
	// Atomically calls fn in one transaction and commits it if fn returns nil;
	// otherwise nothing that fn did through the context it was given remains.
	// After a serialization failure or a deadlock fn may be called again, so
	// it must not leave traces elsewhere. Within fn, a second Atomically joins
	// the first.
	Atomically(ctx context.Context, fn func(ctx context.Context) error) error

	// Client returns the client registered as id, as it is or was a moment ago:
	// a Store may remember it for as long as it says. The caller does not change
	// it.
	Client(ctx context.Context, id string) (Client, error)

	// AppOrigin reports whether any client has this origin: Client.HasOrigin.
	AppOrigin(ctx context.Context, origin string) (bool, error)

	// CreateFlow stores f, whose ID is new, as version 1.
	CreateFlow(ctx context.Context, f Flow) error
	// Flow returns the flow, ended or not, until it is swept. In a transaction
	// it is locked: two answers to one page are taken one after the other, so
	// that each is charged.
	Flow(ctx context.Context, id string) (Flow, error)
	// SaveFlow stores f as version f.Version+1 if the stored version is still
	// f.Version and has not ended, and returns ErrConflict otherwise. Of two
	// concurrent calls with one version, one fails.
	SaveFlow(ctx context.Context, f Flow) error

	// CreatePushed stores p, whose ID is new.
	CreatePushed(ctx context.Context, p PushedRequest) error
	// Pushed returns the pushed request, expired or spent or not, until it is
	// swept.
	Pushed(ctx context.Context, id Hash) (PushedRequest, error)
	// SpendPushed marks a pushed request as used. Of any number of calls one
	// succeeds; the others get ErrSpent, and so does who spends what is not
	// there. Whether it has expired is for the caller to see.
	SpendPushed(ctx context.Context, id Hash, now time.Time) error

	// Session returns the session whose cookie has this hash. An ended one is
	// not found; whether it has expired is for the caller to see. In a
	// transaction it is locked: who stores it again undoes nobody else's
	// change of it, and brings back no cookie that it had before.
	Session(ctx context.Context, cookie Hash) (Session, error)
	// SaveSession stores s in place of what has its ID, if anything. The cookie
	// hash it had before opens nothing from then on. A session that was ended
	// is not brought back: ErrConflict.
	SaveSession(ctx context.Context, s Session) error
	// Sessions returns the sessions of subject, the last used first.
	Sessions(ctx context.Context, subject string) ([]Session, error)
	// SessionClients returns the IDs of the clients that were given something
	// in the session, ended or not, in order.
	SessionClients(ctx context.Context, id string) ([]string, error)
	// EndSession ends the session, if it is subject's; ErrNotFound if not. With
	// it end the flows that began in it, as Ending EndDenied, and the grants
	// that were given in it, but for those with the scope offline_access; and
	// for each of its clients that has a BackchannelLogoutURI a Logout is
	// stored, due at once. All of it is one transaction: a session that has
	// ended and a client that will not hear of it cannot be.
	EndSession(ctx context.Context, subject, id string) error
	// EndSessions does what EndSession does to every session of subject, and
	// ends every flow in which subject has proven something.
	EndSessions(ctx context.Context, subject string) error
	// EndFlows ends the flows of one browser in which subject has proven
	// something, as Ending EndDenied and a new version: who read one before
	// cannot save it any more.
	EndFlows(ctx context.Context, browser Hash, subject string) error

	// ClaimLogouts returns at most limit Logouts that are due at now and not
	// given up, those longest due, and makes them due again at until: that is
	// how long the caller has. Of two concurrent calls, one gets a Logout.
	ClaimLogouts(ctx context.Context, now, until time.Time, limit int) ([]Logout, error)
	// SaveLogout stores the Tries, Due, GivenUp and Problem of l, if it is
	// still due at claimed; ErrConflict if not: someone else has it by now.
	SaveLogout(ctx context.Context, l Logout, claimed time.Time) error
	// RemoveLogout removes a Logout, whoever has claimed it: the client knows.
	// If it is not there, that is no error.
	RemoveLogout(ctx context.Context, id string) error

	// Consent returns the scopes that subject allowed the client, none if it
	// was never asked; that is no error.
	Consent(ctx context.Context, subject, clientID string) (Consent, error)
	// Consents returns what subject allowed, by client ID.
	Consents(ctx context.Context, subject string) ([]Consent, error)
	// SaveConsent adds c.Scopes to what subject allowed the client.
	SaveConsent(ctx context.Context, c Consent) error
	// RevokeConsent forgets what subject allowed the client, and revokes every
	// grant that it made.
	RevokeConsent(ctx context.Context, subject, clientID string, now time.Time) error

	// CreateGrant stores g, whose ID is new. Its client is from then on one of
	// those of its session.
	CreateGrant(ctx context.Context, g Grant) error
	// Grant returns the grant, revoked or not, until it is swept, with the
	// consent that it rests on as that is now. In a
	// transaction it is locked: of many who notice one reuse, one records it.
	Grant(ctx context.Context, id string) (Grant, error)
	// SpendCode marks the code of a grant as used and sets its Generation and
	// Expires. Of any number of calls one succeeds; the others, and all calls
	// on a revoked grant, get ErrSpent.
	SpendCode(ctx context.Context, id string, generation int64, now, expires time.Time) error
	// RotateGrant sets the Generation to from+1, Rotated to now, and Expires,
	// if the Generation is still from and the grant is not revoked; ErrConflict
	// otherwise. Of two concurrent calls with one from, one fails.
	RotateGrant(ctx context.Context, id string, from int64, now, expires time.Time) error
	// RevokeGrant ends a grant and every token that names it. Revoking a
	// second time, or what was never there, is no error.
	RevokeGrant(ctx context.Context, id string, now time.Time) error

	// SpendAssertion notes that the client assertion with this key was used,
	// which was made at issued or later. A store that can be put back to what it
	// was remembers when that was done, and answers ErrVoid for all before.
	// Of any number of calls with one key one succeeds, the others get
	// ErrSpent, in a transaction too, which can go on. It may be forgotten
	// once expires has passed.
	SpendAssertion(ctx context.Context, key Hash, issued, expires time.Time) error

	// Charge adds cost to what is counted under key, and returns until when all
	// of it takes up room: the later of since and what it returned last, plus
	// cost, but no later than latest. Of concurrent calls none is lost.
	// It may be forgotten once that time has passed. It is never called in a
	// transaction.
	Charge(ctx context.Context, key Hash, since time.Time, cost time.Duration, latest time.Time) (time.Time, error)

	// Record writes e to the audit trail. In a transaction it is written if
	// and only if the rest is.
	Record(ctx context.Context, e Event) error
	// Activity returns the last events about subject, the newest first.
	Activity(ctx context.Context, subject string, limit int) ([]Event, error)
}

// A Hash is the SHA-256 of a secret that a browser or client holds.
type Hash [32]byte

// A Flow is one authorization request on its way, with everything that is
// remembered of it between two requests of the browser.
type Flow struct {
	ID      string // public: it stands in the URL; 128 random bits
	Version int64  // for compare-and-swap; see Store.SaveFlow
	Browser Hash   // of the secret in the cookie of the browser that began it

	// Request is the authorization request as a query string. What it demands
	// is parsed from it each time and never taken from anywhere else.
	Request  string
	ClientID string // empty for a sign-in to the account pages
	Session  string // ID of the session whose proofs it began with; empty: none
	Pushed   Hash   // ID of the pushed request that it came of; zero: the browser brought it

	State  authflow.Flow
	Ending Ending // how it ended, if State.Ended

	Expires time.Time // when it may be swept
}

// A PushedRequest is an authorization request that a client has sent itself,
// before the browser comes with its name, the request_uri (RFC 9126).
type PushedRequest struct {
	ID       Hash // of the request_uri
	ClientID string
	Request  string    // as in Flow
	Expires  time.Time // from then on no flow begins with it
	Kept     time.Time // when it may be swept: no flow that began with it is left
	Spent    time.Time // when a code was made of it; zero: not yet
}

// An Ending is how a flow ended.
type Ending string

const (
	EndGranted   Ending = "granted"
	EndCancelled Ending = "cancelled"
	EndDenied    Ending = "denied" // for its user, who was signed out
	EndUnmet     Ending = ""       // with State.Ended: its demand turned out to be out of reach, which its client was told
)

// A Session is a browser in which someone is signed in.
type Session struct {
	ID        string // public, the sid claim; 128 random bits; kept for as long as the session lives
	Cookie    Hash   // of the cookie's value, which changes whenever the proofs grow
	Login     authflow.Login
	Created   time.Time
	Used      time.Time // when it last granted something
	Expires   time.Time // the end of its absolute or idle lifetime, whichever is first, as of Used
	Address   string    // of the browser, when it was last used
	UserAgent string    // at most 256 bytes
}

// A Logout is what a client is still to be told: that a session has ended in
// which it was given something (OpenID Connect Back-Channel Logout section
// 2.5).
type Logout struct {
	ID        string // the jti claim, the same at each try; 128 random bits
	ClientID  string
	Subject   string
	SessionID string // the sid claim
	Created   time.Time
	Tries     int
	Due       time.Time // when it is tried next
	GivenUp   time.Time // zero: not
	Problem   string    // what came of the last try, for the operator; at most 256 bytes
}

// A Consent is what a user allowed a client.
type Consent struct {
	Subject  string
	ClientID string
	Scopes   []string // sorted
	Given    time.Time
}

// AskedClaims are the names of claims that an authorization request asked for
// one by one, beyond its scopes (OpenID Connect Core section 5.5).
type AskedClaims struct {
	UserInfo []string `json:"userinfo,omitempty"`
	IDToken  []string `json:"id_token,omitempty"`
}

// A Grant is what a user gave a client at one moment, and the family of tokens
// that came of it: one row for the code, its refresh tokens and, by name, its
// access tokens.
type Grant struct {
	ID        string // public: it stands in codes and tokens; 128 random bits
	Subject   string
	ClientID  string
	SessionID string
	Scopes    []string
	Claims    AskedClaims    // asked for besides
	Details   string         // authorization details (RFC 9396), as compact JSON; empty: none
	Resources []string       // URIs of the APIs it is for (RFC 8707); none: none was named
	Login     authflow.Login // who, with the proofs that counted, and the account's epoch
	ACR       string         // the level they reached
	Requested time.Time      // when the authorization request arrived
	Created   time.Time

	// The code. It is checked by Code and is good until CodeExpires, once.
	Code        Hash
	CodeExpires time.Time
	CodeSpent   time.Time // zero: not yet
	RedirectURI string
	Challenge   string // PKCE S256; empty: none was sent
	Nonce       string

	// The refresh tokens. The one of Generation is good until Expires; zero:
	// none was issued.
	Generation int64
	Rotated    time.Time // when that of Generation replaced the one before; zero: it is the first
	Expires    time.Time // idle limit; when the grant may be swept, whatever became of it
	Ends       time.Time // absolute limit of all tokens

	Revoked time.Time // zero: not

	// Consent is what the user allows the client now; the zero Consent if
	// nothing. It is read with the rest, and not stored with it.
	Consent Consent
}
