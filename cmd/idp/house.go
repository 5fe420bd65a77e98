package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/config"
	"github.com/sallyport-id/sallyport/cmd/idp/internal/notify"
	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
	"github.com/sallyport-id/sallyport/storage"
	"github.com/sallyport-id/sallyport/storage/password"
)

// A house is everything that a configuration makes, put together. Whoever
// serves adds a provider; whoever administers does without.
type house struct {
	config   config.Config
	log      *slog.Logger
	db       *storage.DB
	users    *storage.Users
	keys     *storage.Keys
	factors  *mfa.Factors
	attempts *mfa.Attempts
	notifier *notify.Notifier
}

// load reads the configuration that --config names.
func (c *cli) load() (config.Config, error) { return config.Load(c.config, c.environ) }

// logger returns the log that conf wants.
func logger(conf config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(conf.Level)); err != nil {
		level = slog.LevelInfo
	}
	o := &slog.HandlerOptions{Level: level}
	if conf.Format == "text" {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

// dsn returns the database as storage names it.
func dsn(c config.Config) string {
	if c.Database.SQLite != "" {
		return "sqlite:" + c.Database.SQLite
	}
	return string(c.Database.Postgres)
}

// migrates reports whether a database of an older version is brought up to
// date without being asked. A SQLite file is this server's alone; on PostgreSQL
// a replica of the older version may still be at work.
func migrates(c config.Config) bool {
	return c.Database.Migrate == "auto" || c.Database.Migrate == "" && c.Database.SQLite != ""
}

// newHouse opens the database and puts everything together. The caller closes
// the house.
func newHouse(ctx context.Context, c config.Config, log *slog.Logger) (_ *house, err error) {
	h := &house{config: c, log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close(ctx))
		}
	}()
	h.db, err = storage.Open(ctx, storage.Config{DSN: dsn(c), Logger: log, Migrate: migrates(c)})
	if err != nil {
		return nil, err
	}
	hasher, err := password.New(password.Config{Cost: c.Passwords.Cost(), Slots: cores})
	if err != nil {
		return nil, err
	}
	h.users = h.db.Users(hasher)
	h.users.Rules = password.Rules{Min: c.Passwords.MinLength}
	h.users.About = []string{c.Brand.Name}
	sealer, err := newSealer(c)
	if err != nil {
		return nil, err
	}
	h.factors, err = mfa.New(mfa.Config{
		Store: h.db, Sealer: sealer, Issuer: c.Brand.Name,
		Params:    mfa.Params{Algorithm: c.TOTP.Algorithm, Digits: c.TOTP.Digits},
		Enrolment: mfa.Enrolment(c.Enrolment),
	})
	if err != nil {
		return nil, err
	}
	if h.attempts, err = mfa.NewAttempts(h.db, mfa.Budget{}); err != nil {
		return nil, err
	}
	h.keys = h.db.Keys(sealer, storage.KeysConfig{
		Period: time.Duration(c.Keys.Rotate),
		// As an id_token_hint an ID token is of use for as long as the session.
		Lifetime: max(24*time.Hour, time.Duration(c.Lifetimes.Session)),
	})
	return h, h.hireNotifier()
}

func newSealer(c config.Config) (*mfa.Sealer, error) {
	var keys []mfa.Key
	for _, k := range c.Secrets.Sealing {
		b, err := k.Key.Bytes()
		if err != nil {
			return nil, fmt.Errorf("secrets.sealing: key %q %w", k.ID, err)
		}
		keys = append(keys, mfa.Key{ID: k.ID, Secret: b})
	}
	return mfa.NewSealer(keys...)
}

// hireNotifier finds someone who tells people what happened.
func (h *house) hireNotifier() error {
	c := notify.Config{Brand: h.config.Brand.Name, Issuer: h.config.Issuer, Log: h.log}
	if h.config.Notify.SMTP.Host != "" {
		var err error
		if c.Deliver, err = notify.SMTP(h.config.Notify.SMTP); err != nil {
			return err
		}
	}
	h.notifier = notify.New(c)
	return nil
}

// patience is how long the last notices may take.
const patience = 15 * time.Second

// close waits for the last notices and closes the database.
func (h *house) close(ctx context.Context) error {
	var errs []error
	if h.notifier != nil {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		errs = append(errs, h.notifier.Close(bounded))
	}
	if h.db != nil {
		errs = append(errs, h.db.Close())
	}
	return errors.Join(errs...)
}

// open calls fn with a house for a command that administers. What such a
// command logs is for the terminal.
func (c *cli) open(ctx context.Context, fn func(context.Context, *house) error) error {
	conf, err := c.load()
	if err != nil {
		return err
	}
	h, err := newHouse(ctx, conf, logger(config.Log{Format: "text", Level: "warn"}, c.err))
	if err != nil {
		return err
	}
	return errors.Join(fn(ctx, h), h.close(ctx))
}

// provider returns the provider of the house.
func (h *house) provider(ctx context.Context, address func(*http.Request) string) (*provider.Provider, error) {
	set, err := pages(h.config)
	if err != nil {
		return nil, err
	}
	subjectKey, err := h.db.SubjectKey(ctx)
	if err != nil {
		return nil, err
	}
	var secrets [][]byte
	for _, s := range h.config.Secrets.Tokens {
		b, err := s.Secret.Bytes()
		if err != nil {
			return nil, fmt.Errorf("secrets.tokens %w", err)
		}
		secrets = append(secrets, b)
	}
	scopes, resources := map[string]authflow.Floor{}, map[string]authflow.Floor{}
	for name, s := range h.config.Scopes {
		if s.Floor != (config.Floor{}) {
			scopes[name] = s.Floor.Record()
		}
	}
	details := map[string]provider.DetailsType{}
	for name, d := range h.config.Details {
		details[name] = d.Record()
	}
	for uri, f := range h.config.Resources {
		resources[uri] = f.Record()
	}
	private, err := h.config.Private()
	if err != nil {
		return nil, err
	}
	l := h.config.Lifetimes
	return provider.New(provider.Config{
		Issuer: h.config.Issuer, Directory: h.users, Store: h.db, Factor: h.factors, Attempts: h.attempts, Keys: h.keys, KeysAhead: h.keys.Ahead(),
		Secrets: secrets, SubjectKey: subjectKey, Ladder: h.config.Ladder(), Floor: h.config.Floor, ScopeFloors: scopes,
		ResourceFloors: resources, DetailsTypes: details,
		Lifetimes: provider.Lifetimes{
			Session: time.Duration(l.Session), Idle: time.Duration(l.SessionIdle), Code: time.Duration(l.Code),
			Pushed:      time.Duration(l.Pushed),
			AccessToken: time.Duration(l.AccessToken), IDToken: time.Duration(l.IDToken),
			RefreshIdle: time.Duration(l.RefreshIdle), Refresh: time.Duration(l.Refresh),
			Once:         time.Duration(l.Once),
			RefreshGrace: time.Duration(l.RefreshGrace),
		},
		Limits: h.config.Limits.Record(),
		Pages:  set, Digits: h.config.TOTP.Digits, Notify: h.notifier.Notify, ClientAddress: address, Logger: h.log,
		InsecureNetworks: private,
	})
}

// declare puts the clients of the configuration into the database.
func (h *house) declare(ctx context.Context) error {
	var all []provider.Client
	for _, c := range h.config.Clients {
		all = append(all, c.Record())
	}
	return h.db.SyncClients(ctx, all)
}

// record writes what an administrator did to the audit trail.
func (h *house) record(ctx context.Context, e provider.Event) error {
	e.Time, e.Outcome, e.Actor = time.Now().UTC().Truncate(time.Microsecond), provider.Success, "admin"
	return h.db.Record(ctx, e)
}

// client returns a client, and an error for people if there is none.
func (h *house) client(ctx context.Context, id string) (provider.Client, error) {
	r, err := h.db.Client(ctx, id)
	if errors.Is(err, provider.ErrNotFound) {
		return r, fmt.Errorf("there is no client %q; see: idp client list", id)
	}
	return r, err
}

// user returns a user by name, and an error for people if there is none.
func (h *house) user(ctx context.Context, name string) (storage.UserRecord, error) {
	u, err := h.users.ByName(ctx, name)
	if errors.Is(err, provider.ErrNoUser) {
		return u, fmt.Errorf("there is no user %q; see: idp user list", name)
	}
	return u, err
}
