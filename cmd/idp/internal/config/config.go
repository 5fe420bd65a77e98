package config

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

// A Config is the whole configuration. config.example.yaml says of each key
// what it means and what it is if left out.
type Config struct {
	Issuer          string             `yaml:"issuer"`
	Listen          string             `yaml:"listen"`
	TLS             TLS                `yaml:"tls"`
	TrustedProxies  []string           `yaml:"trusted_proxies"`
	PrivateNetworks []string           `yaml:"private_networks"`
	Database        Database           `yaml:"database"`
	Secrets         Secrets            `yaml:"secrets"`
	Levels          []Level            `yaml:"levels"`
	Floor           string             `yaml:"floor"`
	Scopes          map[string]Scope   `yaml:"scopes"`
	Resources       map[string]Floor   `yaml:"resources"`
	Details         map[string]Details `yaml:"authorization_details"`
	Enrolment       string             `yaml:"enrolment"`
	TOTP            TOTP               `yaml:"totp"`
	Passwords       Passwords          `yaml:"passwords"`
	Lifetimes       Lifetimes          `yaml:"lifetimes"`
	Limits          Limits             `yaml:"limits"`
	Keys            Keys               `yaml:"keys"`
	Brand           Brand              `yaml:"brand"`
	Templates       string             `yaml:"templates"`
	Log             Log                `yaml:"log"`
	Notify          Notify             `yaml:"notify"`
	Clients         []Client           `yaml:"clients"`
}

// TLS names a certificate of the server's own.
type TLS struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// Database says where everything is kept.
type Database struct {
	SQLite       string `yaml:"sqlite"`
	Postgres     Secret `yaml:"postgres"` // a DSN may hold a password
	PostgresFile string `yaml:"postgres_file"`
	Migrate      string `yaml:"migrate"`
}

// Secrets are the server's own.
type Secrets struct {
	Sealing []SealingKey  `yaml:"sealing"`
	Tokens  []TokenSecret `yaml:"tokens"`
}

// A SealingKey seals private keys and TOTP secrets in the database.
type SealingKey struct {
	ID      string `yaml:"id"`
	Key     Secret `yaml:"key"`
	KeyFile string `yaml:"key_file"`
}

// A TokenSecret authenticates codes and opaque tokens.
type TokenSecret struct {
	Secret     Secret `yaml:"secret"`
	SecretFile string `yaml:"secret_file"`
}

// A Level is an authentication context class.
type Level struct {
	Name    string     `yaml:"name"`
	Aliases []string   `yaml:"aliases"`
	Ways    [][]string `yaml:"ways"`
}

// A Floor is what something needs beyond the floor of all.
type Floor struct {
	Level        string   `yaml:"floor"`
	MaxAge       Duration `yaml:"max_age"`
	FactorMaxAge Duration `yaml:"factor_max_age"`
	Once         bool     `yaml:"once"`
}

// A Scope is one that needs more than the floor, or words of its own.
type Scope struct {
	Floor `yaml:",inline"`
	Text  map[string]string `yaml:"text"` // by language
}

// Details is a type of authorization details (RFC 9396).
type Details struct {
	Level      string            `yaml:"floor"`
	MaxAge     Duration          `yaml:"max_age"`
	Once       bool              `yaml:"once"`
	SchemaFile string            `yaml:"schema_file"`
	Show       map[string]string `yaml:"show"` // by language

	schema Secret // read from SchemaFile
}

// TOTP says what new secrets are like.
type TOTP struct {
	Algorithm string `yaml:"algorithm"`
	Digits    int    `yaml:"digits"`
}

// Passwords says what passwords must be and what hashing one costs.
type Passwords struct {
	MinLength         int  `yaml:"min_length"`
	MemoryKiB         int  `yaml:"memory_kib"`
	Iterations        int  `yaml:"iterations"`
	Parallelism       int  `yaml:"parallelism"`
	InsecureCheapCost bool `yaml:"insecure_cheap_cost"`
}

// Lifetimes says how long things last.
type Lifetimes struct {
	SessionIdle Duration `yaml:"session_idle"`
	Session     Duration `yaml:"session"`
	Code        Duration `yaml:"code"`
	Pushed      Duration `yaml:"pushed_request"`
	IDToken     Duration `yaml:"id_token"`
	AccessToken Duration `yaml:"access_token"`
	RefreshIdle Duration `yaml:"refresh_idle"`
	Refresh     Duration `yaml:"refresh"`
	Once        Duration `yaml:"once"`

	RefreshGrace Duration `yaml:"refresh_grace"` // 0: none
}

// Keys says how signing keys rotate.
type Keys struct {
	Rotate Duration `yaml:"rotate"`
}

// Brand is how the pages look.
type Brand struct {
	Name   string `yaml:"name"`
	Logo   string `yaml:"logo"`
	Accent string `yaml:"accent"`
}

// Log says what is logged, and how.
type Log struct {
	Format string `yaml:"format"`
	Level  string `yaml:"level"`
}

// Notify says how people are told of what happens to their accounts.
type Notify struct {
	SMTP SMTP `yaml:"smtp"`
}

// SMTP is a mail server. Without a host there is none.
type SMTP struct {
	Host         string `yaml:"host"`
	Port         int    `yaml:"port"`
	Security     string `yaml:"security"`
	Username     string `yaml:"username"`
	Password     Secret `yaml:"password"`
	PasswordFile string `yaml:"password_file"`
	From         string `yaml:"from"`
}

// A Client is a relying party that the configuration owns.
type Client struct {
	ID           string   `yaml:"id"`
	Name         string   `yaml:"name"`
	Type         string   `yaml:"type"`
	RedirectURIs []string `yaml:"redirect_uris"`
	Scopes       []string `yaml:"scopes"`
	GrantTypes   []string `yaml:"grant_types"`
	FirstParty   bool     `yaml:"first_party"`
	PKCE         string   `yaml:"pkce"`
	AccessTokens string   `yaml:"access_tokens"`
	Introspects  bool     `yaml:"introspects"`
	Algorithm    string   `yaml:"algorithm"`
	Floor        string   `yaml:"floor"`
	MaxAge       Duration `yaml:"max_age"`
	FactorMaxAge Duration `yaml:"factor_max_age"`
	InitiateURI  string   `yaml:"initiate_login_uri"`
	ContinuesTo  []string `yaml:"continues_to"`
	JWKSFile     string   `yaml:"jwks_file"`
	JWKSURI      string   `yaml:"jwks_uri"`
	Pushed       string   `yaml:"pushed_requests"`
	SubjectType  string   `yaml:"subject_type"`
	Sector       string   `yaml:"sector"`
	Claims       []Claim  `yaml:"claims"`
	UserinfoAlg  string   `yaml:"userinfo_algorithm"`
	Resources    []string `yaml:"resources"`
	DetailsTypes []string `yaml:"authorization_details_types"`
	PostLogout   []string `yaml:"post_logout_redirect_uris"`
	Backchannel  string   `yaml:"backchannel_logout_uri"`
	Frontchannel string   `yaml:"frontchannel_logout_uri"`
	SecretSHA256 []string `yaml:"secret_sha256"`
	SecretFiles  []string `yaml:"secret_files"`

	secrets []Secret // read from SecretFiles
	jwks    Secret   // read from JWKSFile
}

// A Claim is one that a client is given without asking.
type Claim struct {
	Name  string   `yaml:"name"`
	From  string   `yaml:"from"`
	Value any      `yaml:"value"`
	In    []string `yaml:"in"`
}

// Default returns what a file that says nothing means. It lacks what only the
// operator knows: issuer, database and secrets.
func Default() Config {
	return Config{
		Listen:    "127.0.0.1:8080",
		Floor:     "mfa",
		Enrolment: "inline",
		TOTP:      TOTP{Algorithm: "SHA1", Digits: 6},
		// OWASP Password Storage Cheat Sheet, argon2id.
		Passwords: Passwords{MinLength: 8, MemoryKiB: 19456, Iterations: 2, Parallelism: 1},
		Lifetimes: Lifetimes{
			SessionIdle: Duration(time.Hour),
			Session:     Duration(12 * time.Hour),
			Code:        Duration(time.Minute),
			Pushed:      Duration(90 * time.Second),
			IDToken:     Duration(10 * time.Minute),
			AccessToken: Duration(10 * time.Minute),
			RefreshIdle: Duration(14 * day),
			Refresh:     Duration(90 * day),
			Once:        Duration(2 * time.Minute),
		},
		Limits: Limits{
			Authorize: Rate{1200, time.Minute}, Pages: Rate{6000, time.Minute}, Passwords: Rate{100, 10 * time.Minute},
			Pushed: Rate{1200, time.Minute}, Token: Rate{6000, time.Minute}, Introspect: Rate{60000, time.Minute},
			Userinfo: Rate{30000, time.Minute}, ClientFailures: Rate{60, time.Minute}, AddressFailures: Rate{600, time.Minute},
		},
		Keys:   Keys{Rotate: Duration(90 * day)},
		Brand:  Brand{Name: "Sallyport"},
		Log:    Log{Format: "json", Level: "info"},
		Notify: Notify{SMTP: SMTP{Port: 587, Security: "starttls"}},
	}
}

const day = 24 * time.Hour

// A Duration is written as Go writes one, "90s" or "12h", or in days, "14d".
type Duration time.Duration

var days = regexp.MustCompile(`^[0-9]{1,5}d$`)

// ParseDuration reads a Duration.
func ParseDuration(s string) (Duration, error) {
	if days.MatchString(s) {
		n, err := strconv.Atoi(s[:len(s)-1])
		return Duration(time.Duration(n) * day), err
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is no duration; write 90s, 10m, 12h or 14d", s)
	}
	return Duration(d), nil
}

// String returns d as ParseDuration reads it.
func (d Duration) String() string {
	if t := time.Duration(d); t >= day && t%day == 0 {
		return fmt.Sprintf("%dd", t/day)
	}
	return time.Duration(d).String()
}

// UnmarshalYAML reads a Duration. A number alone is refused: nobody knows
// whether it was meant in seconds.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %q is no duration; write 90s, 10m, 12h or 14d", n.Line, n.Value)}}
	}
	*d = v
	return nil
}

// MarshalYAML writes what UnmarshalYAML reads.
func (d Duration) MarshalYAML() (any, error) { return d.String(), nil }
