package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/userfile"
	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
	"github.com/sallyport-id/sallyport/storage/password"
)

func (c *cli) userCommand() *cobra.Command {
	cmd := c.reporting(c.configured(&cobra.Command{
		Use:   "user",
		Short: "Users: add, list, show, import; passwords, factors, sessions",
		Long: `Users are known by their username, in any spelling. A password is read from the
terminal without being shown, or from the first line of standard input; it is
never an argument.`,
	}))
	cmd.AddCommand(c.userAdd(), c.userList(), c.userShow(), c.userSetPassword(),
		c.userAct("disable", "Keep a user out, at once, and end everything open", "User %s is disabled and signed out everywhere.", (*house).disable),
		c.userAct("enable", "Let a disabled user in again", "User %s can sign in again.", (*house).enable),
		c.userAct("reset-factors", "Remove a user's second factor and recovery codes", "User %s has no second factor now and is signed out everywhere.", (*house).resetFactors),
		c.userAct("unlock", "Forget a user's wrong passwords and codes", "User %s can try again at once.", (*house).unlock),
		c.userImport(), c.userTicket(), c.userSessions())
	return cmd
}

func (c *cli) userAdd() *cobra.Command {
	n := storage.NewUser{}
	var address provider.Address
	var without bool
	cmd := &cobra.Command{
		Use:   "add USERNAME",
		Short: "Add a user",
		Example: `  idp user add ada --name "Ada Byron" --email ada@example.com --email-verified
  pwgen 20 1 | idp user add ada`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n.Username = args[0]
			if address != (provider.Address{}) {
				n.Claims.Address = &address
			}
			if err := userfile.CheckClaims(n.Claims); err != nil {
				return fmt.Errorf("user %s was not added: %w", n.Username, err)
			}
			if !without {
				var err error
				if n.Password, err = c.readSecret("password"); err != nil {
					return err
				}
			}
			return c.open(cmd.Context(), func(ctx context.Context, h *house) error {
				u, err := h.users.Add(ctx, n)
				if err != nil {
					return h.userError(n.Username, err)
				}
				return c.report(map[string]string{"sub": u.Subject, "username": u.Username}, func(w io.Writer) {
					row(w, "User "+u.Username+" was added.")
				})
			})
		},
	}
	f := cmd.Flags()
	userFlags(f, &n.Claims, &address)
	f.BoolVar(&without, "no-password", false, "add the user without a password; one is set later")
	return cmd
}

// userError puts what the directory refuses into sentences.
func (h *house) userError(name string, err error) error {
	var refusal *password.Refusal
	switch {
	case errors.As(err, &refusal):
		return fmt.Errorf("the password cannot be used. %s", refusal.Sentence())
	case errors.Is(err, storage.ErrTaken):
		return fmt.Errorf("there is a user %q already, perhaps in another spelling; see: idp user show", name)
	case errors.Is(err, storage.ErrUsername):
		return fmt.Errorf("%q cannot be a username: no spaces, no invisible characters, at most 255 bytes", name)
	case errors.Is(err, storage.ErrClaims):
		return errors.New("one of the values holds something that is not text, or an attribute has the name of another claim")
	}
	return err
}

// A userView is a user in JSON.
type userView struct {
	Subject     string          `json:"sub"`
	Username    string          `json:"username"`
	Disabled    bool            `json:"disabled"`
	HasPassword bool            `json:"has_password"`
	Created     *time.Time      `json:"created,omitempty"`
	Claims      provider.Claims `json:"claims"`
	Factor      *factorView     `json:"factor,omitempty"`
	Sessions    *int            `json:"sessions,omitempty"`
}

type factorView struct {
	Enrolled      *time.Time `json:"enrolled,omitempty"`
	Algorithm     string     `json:"algorithm,omitempty"`
	Digits        int        `json:"digits,omitempty"`
	RecoveryLeft  int        `json:"recovery_codes_left"`
	Pending       bool       `json:"enrolment_pending"`
	TicketExpires *time.Time `json:"ticket_expires,omitempty"`
	WrongCodes    int        `json:"wrong_codes_30_days"`
	WaitCodes     int        `json:"wait_for_codes_seconds"`
	WaitPasswords int        `json:"wait_for_passwords_seconds"`
	Stolen        bool       `json:"password_stolen"`
}

func viewUser(r storage.UserRecord) userView {
	return userView{
		Subject: r.Subject, Username: r.Username, Disabled: r.Disabled, HasPassword: r.HasPassword,
		Created: instant(r.Created), Claims: r.Claims,
	}
}

func state(r storage.UserRecord) string {
	switch {
	case r.Disabled:
		return "disabled"
	case !r.HasPassword:
		return "no password"
	}
	return "active"
}

func (c *cli) userList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the users",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.open(cmd.Context(), func(ctx context.Context, h *house) error {
				views, rows := []userView{}, [][]string{}
				for r, err := range h.users.List(ctx) {
					if err != nil {
						return err
					}
					views = append(views, viewUser(r))
					rows = append(rows, []string{r.Username, state(r), r.Claims.Name, r.Claims.Email})
				}
				return c.report(views, func(w io.Writer) {
					if len(rows) == 0 {
						fmt.Fprintln(w, "There are no users. Add one with: idp user add")
						return
					}
					row(w, "USERNAME", "STATE", "NAME", "EMAIL")
					for _, cells := range rows {
						row(w, cells...)
					}
				})
			})
		},
	}
}

func (c *cli) userShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show USERNAME",
		Short: "Show a user, their second factor and what keeps them waiting",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.open(cmd.Context(), func(ctx context.Context, h *house) error {
				r, err := h.user(ctx, args[0])
				if err != nil {
					return err
				}
				d, err := h.factors.Describe(ctx, r.Subject)
				if err != nil {
					return err
				}
				wait, err := h.attempts.Wait(ctx, provider.AttemptsKey(r.Subject))
				if err != nil {
					return err
				}
				sessions, err := h.sessions(ctx, r)
				if err != nil {
					return err
				}
				v, n := viewUser(r), len(sessions)
				v.Factor, v.Sessions = viewFactor(d, wait), &n
				attributes, err := attributeWords(r.Claims.Attributes)
				if err != nil {
					return err
				}
				return c.report(v, func(w io.Writer) { printUser(w, r, attributes, d, wait, n) })
			})
		},
	}
}

func viewFactor(d mfa.Description, wait time.Duration) *factorView {
	return &factorView{
		Enrolled: instant(d.Enrolled), Algorithm: d.Params.Algorithm, Digits: d.Params.Digits,
		RecoveryLeft: d.RecoveryLeft, Pending: d.Pending, TicketExpires: instant(d.TicketExpires),
		WrongCodes: d.Misses, WaitCodes: seconds(d.Wait), WaitPasswords: seconds(wait), Stolen: d.Stolen,
	}
}

// seconds rounds up: after so many the wait is over.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

func printUser(w io.Writer, r storage.UserRecord, attributes string, d mfa.Description, wait time.Duration, sessions int) {
	factor := "none"
	if !d.Enrolled.IsZero() {
		factor = fmt.Sprintf("authenticator app, since %s", moment(d.Enrolled))
	} else if d.Pending {
		factor = "none; an enrolment was begun"
	}
	address := ""
	if r.Claims.Address != nil {
		address = letter(*r.Claims.Address)
	}
	verified := ""
	if r.Claims.EmailVerified {
		verified = " (verified)"
	}
	lines := [][2]string{
		{"username", r.Username}, {"sub", r.Subject}, {"state", state(r)}, {"name", r.Claims.Name},
		{"email", r.Claims.Email + verified}, {"phone", r.Claims.PhoneNumber}, {"address", address},
		{"locale", r.Claims.Locale}, {"groups", strings.Join(r.Claims.Groups, " ")}, {"attributes", attributes}, {"created", moment(r.Created)},
		{"second factor", factor}, {"sessions", strconv.Itoa(sessions)},
	}
	if !d.Enrolled.IsZero() {
		lines = append(lines, [2]string{"recovery codes", strconv.Itoa(d.RecoveryLeft) + " left"})
	}
	if !d.TicketExpires.IsZero() {
		lines = append(lines, [2]string{"enrolment ticket", "until " + moment(d.TicketExpires)})
	}
	if d.Stolen {
		lines = append(lines, [2]string{"closed", "after many wrong codes behind right passwords; set a new password"})
	}
	if d.Wait > 0 {
		lines = append(lines, [2]string{"codes", "none is looked at for " + d.Wait.Round(time.Second).String() + "; idp user unlock"})
	}
	if wait > 0 {
		lines = append(lines, [2]string{"passwords", "none is accepted for " + wait.Round(time.Second).String() + "; idp user unlock"})
	}
	for _, line := range lines {
		if line[1] != "" {
			row(w, line[0], line[1])
		}
	}
}

func (c *cli) userSetPassword() *cobra.Command {
	return &cobra.Command{
		Use:   "set-password USERNAME",
		Short: "Set a user's password and end everything open",
		Long: `Set-password sets a new password and ends the user's sessions, half-finished
sign-ins and refresh tokens. The second factor stays as it is.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.open(cmd.Context(), func(ctx context.Context, h *house) error {
				r, err := h.user(ctx, args[0])
				if err != nil {
					return err
				}
				pw, err := c.readSecret("password")
				if err != nil {
					return err
				}
				err = h.db.Atomically(ctx, func(ctx context.Context) error {
					return errors.Join(h.users.SetPassword(ctx, r.Subject, pw), h.factors.PasswordChanged(ctx, r.Subject))
				})
				if err != nil {
					return h.userError(r.Username, err)
				}
				return c.done("User %s has a new password and is signed out everywhere.", r.Username)
			})
		},
	}
}

// userAct returns a command that does one thing to one user.
func (c *cli) userAct(name, short, done string, act func(*house, context.Context, storage.UserRecord) error) *cobra.Command {
	return &cobra.Command{
		Use:   name + " USERNAME",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.open(cmd.Context(), func(ctx context.Context, h *house) error {
				r, err := h.user(ctx, args[0])
				if err != nil {
					return err
				}
				if err := act(h, ctx, r); err != nil {
					return err
				}
				return c.done(done, r.Username)
			})
		},
	}
}

func (h *house) disable(ctx context.Context, r storage.UserRecord) error {
	return h.users.Disable(ctx, r.Subject)
}

func (h *house) enable(ctx context.Context, r storage.UserRecord) error {
	return h.users.Enable(ctx, r.Subject)
}

// resetFactors is one act: the factors are gone, the sessions over and the
// trail written, or nothing of it. The user is told afterwards.
func (h *house) resetFactors(ctx context.Context, r storage.UserRecord) error {
	err := h.db.Atomically(ctx, func(ctx context.Context) error {
		return errors.Join(
			h.factors.Reset(ctx, r.Subject),
			h.db.EndSessions(ctx, r.Subject),
			h.record(ctx, provider.Event{Kind: provider.EventReset, Subject: r.Subject}),
		)
	})
	if err != nil {
		return err
	}
	h.notifier.Notify(ctx, provider.Notice{Kind: provider.NoticeReset, Time: time.Now().UTC(), User: r.User})
	return nil
}

func (h *house) unlock(ctx context.Context, r storage.UserRecord) error {
	return h.db.Atomically(ctx, func(ctx context.Context) error {
		return errors.Join(
			h.factors.Unlock(ctx, r.Subject),
			h.attempts.Unlock(ctx, provider.AttemptsKey(r.Subject)),
			h.record(ctx, provider.Event{Kind: provider.EventUser, Subject: r.Subject, Detail: map[string]string{"act": "unlock"}}),
		)
	})
}

func (c *cli) userTicket() *cobra.Command {
	return &cobra.Command{
		Use:   "enroll-ticket USERNAME",
		Short: "Make a one-time ticket for enrolling a first factor",
		Long: `Enroll-ticket makes a ticket with which the user can enrol a first second factor,
once. It is needed where the configuration says enrolment: ticket. Hand it over
in a way that nobody else can read; it is printed this once.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.open(cmd.Context(), func(ctx context.Context, h *house) error {
				r, err := h.user(ctx, args[0])
				if err != nil {
					return err
				}
				var ticket string
				var expires time.Time
				err = h.db.Atomically(ctx, func(ctx context.Context) (err error) {
					if ticket, expires, err = h.factors.NewTicket(ctx, r.Subject); err != nil {
						return err
					}
					return h.record(ctx, provider.Event{Kind: provider.EventUser, Subject: r.Subject, Detail: map[string]string{"act": "enroll-ticket"}})
				})
				if err != nil {
					return err
				}
				out := struct {
					Username string    `json:"username"`
					Ticket   string    `json:"ticket"`
					Expires  time.Time `json:"expires"`
				}{r.Username, ticket, expires}
				return c.report(out, func(w io.Writer) {
					row(w, "ticket for", r.Username)
					row(w, "ticket", ticket)
					row(w, "good until", moment(expires))
				})
			})
		},
	}
}
