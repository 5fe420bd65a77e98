package provider

import (
	"context"
	"errors"
	"time"
)

// What a [Directory] answers.
var (
	// ErrNoUser says that a name and password do not fit, whatever the reason,
	// or that a subject is gone.
	ErrNoUser = errors.New("provider: no such user")
	// ErrBusy says that the password could not be looked at, because too many
	// others are waiting. Nothing was decided.
	ErrBusy = errors.New("provider: too busy to check a password")
)

// A Directory is where your users are.
type Directory interface {
	// Authenticate returns the user with this name and password. If the name
	// is unknown, the password wrong or the user disabled, it returns
	// ErrNoUser, and must take as long for each: hash something even for a
	// name that you do not know. With ErrNoUser, User.Subject may be set to
	// the account that the name meant, so that attempts are counted for the
	// account and stand in its history; nothing else of it is used. Without it
	// they are counted for the spelling: set it if an account has several
	// names, or each would get a budget of its own.
	//
	// ErrBusy refuses without looking, and is answered with 503. Any other
	// error is a fault, and denies.
	Authenticate(ctx context.Context, name, password string) (User, error)

	// User returns the user with this subject, ErrNoUser if there is none. It
	// is called at each step, so that who was disabled is out at once.
	User(ctx context.Context, subject string) (User, error)
}

// A Busier is a Directory that can say, without looking at anything, that
// Authenticate would return ErrBusy now. It is asked first: so many who have to
// come again cost next to nothing, and nothing is read from the store for them.
type Busier interface {
	Busy() bool
}

// A User is one of your users. The zero User cannot sign in.
type User struct {
	// Subject identifies the user for ever, and is the sub claim: at most 255
	// ASCII characters, never given to someone else. Where clients are Pairwise,
	// at most 159.
	Subject  string
	Username string // what the user types, shown on pages and in authenticator apps
	Disabled bool

	// Epoch is any text that changes when the password changes, or when for
	// another reason everything open is to end: sessions, half-finished
	// sign-ins and refresh tokens of an older epoch are worth nothing.
	Epoch string

	Claims Claims
}

// Claims are what relying parties may learn of a user: the standard claims of
// OpenID Connect Core section 5.1 by their names, groups, and attributes of your
// own. Empty ones are left out.
type Claims struct {
	// Scope profile.
	Name              string    `json:"name,omitempty"`
	GivenName         string    `json:"given_name,omitempty"`
	FamilyName        string    `json:"family_name,omitempty"`
	MiddleName        string    `json:"middle_name,omitempty"`
	Nickname          string    `json:"nickname,omitempty"`
	PreferredUsername string    `json:"preferred_username,omitempty"`
	Profile           string    `json:"profile,omitempty"`
	Picture           string    `json:"picture,omitempty"`
	Website           string    `json:"website,omitempty"`
	Gender            string    `json:"gender,omitempty"`
	Birthdate         string    `json:"birthdate,omitempty"`
	Zoneinfo          string    `json:"zoneinfo,omitempty"`
	Locale            string    `json:"locale,omitempty"`
	UpdatedAt         time.Time `json:"-"` // in tokens: seconds since 1970

	// Scope email.
	Email         string `json:"email,omitempty"`
	EmailVerified bool   `json:"email_verified,omitempty"`

	// Scope phone.
	PhoneNumber         string `json:"phone_number,omitempty"`
	PhoneNumberVerified bool   `json:"phone_number_verified,omitempty"`

	// Scope address.
	Address *Address `json:"address,omitempty"`

	// Scope groups.
	Groups []string `json:"groups,omitempty"`

	// Attributes are what else is known of the user, by names of your own: values
	// that encoding/json can write. No scope stands for them; a client gets one
	// that is registered for it (ExtraClaim). Names of standard claims and
	// ReservedClaims count for nothing here.
	Attributes map[string]any `json:"attributes,omitempty"`
}

// An Address is the address claim of OpenID Connect Core section 5.1.1.
type Address struct {
	Formatted     string `json:"formatted,omitempty"`
	StreetAddress string `json:"street_address,omitempty"`
	Locality      string `json:"locality,omitempty"`
	Region        string `json:"region,omitempty"`
	PostalCode    string `json:"postal_code,omitempty"`
	Country       string `json:"country,omitempty"`
}
