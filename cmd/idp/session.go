package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
)

// sessions returns the sessions of a user that are alive.
func (h *house) sessions(ctx context.Context, r storage.UserRecord) ([]provider.Session, error) {
	all, err := h.db.Sessions(ctx, r.Subject)
	if err != nil {
		return nil, err
	}
	var alive []provider.Session
	for _, s := range all {
		if time.Now().Before(s.Expires) {
			alive = append(alive, s)
		}
	}
	return alive, nil
}

func (c *cli) userSessions() *cobra.Command {
	var end string
	var all bool
	cmd := &cobra.Command{
		Use:   "sessions USERNAME",
		Short: "List or end a user's sessions",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if end != "" && all {
				return misuse("--end and --end-all are one too many")
			}
			return c.open(cmd.Context(), func(ctx context.Context, h *house) error {
				r, err := h.user(ctx, args[0])
				switch {
				case err != nil:
					return err
				case end != "":
					return c.endSession(ctx, h, r, end)
				case all:
					// With the refresh tokens and half-finished sign-ins, which
					// would only begin the next session.
					if err := h.users.EndEverything(ctx, r.Subject); err != nil {
						return err
					}
					return c.done("User %s is signed out everywhere.", r.Username)
				}
				return c.listSessions(ctx, h, r)
			})
		},
	}
	cmd.Flags().StringVar(&end, "end", "", "end the session of this ID")
	cmd.Flags().BoolVar(&all, "end-all", false, "end all of them, and every refresh token")
	return cmd
}

func (c *cli) endSession(ctx context.Context, h *house, r storage.UserRecord, id string) error {
	err := h.db.Atomically(ctx, func(ctx context.Context) error {
		if err := h.db.EndSession(ctx, r.Subject, id); err != nil {
			return err
		}
		return h.record(ctx, provider.Event{Kind: provider.EventSessionEnd, Subject: r.Subject})
	})
	if errors.Is(err, provider.ErrNotFound) {
		return fmt.Errorf("user %s has no session %s; see: idp user sessions %s", r.Username, id, r.Username)
	}
	if err != nil {
		return err
	}
	return c.done("The session has ended.")
}

func (c *cli) listSessions(ctx context.Context, h *house, r storage.UserRecord) error {
	all, err := h.sessions(ctx, r)
	if err != nil {
		return err
	}
	type view struct {
		ID        string    `json:"id"`
		Methods   []string  `json:"amr"`
		Created   time.Time `json:"created"`
		Used      time.Time `json:"used"`
		Expires   time.Time `json:"expires"`
		Address   string    `json:"address"`
		UserAgent string    `json:"user_agent"`
	}
	views := []view{}
	for _, s := range all {
		views = append(views, view{s.ID, s.Login.Proofs.Set().Names(), s.Created, s.Used, s.Expires, s.Address, s.UserAgent})
	}
	return c.report(views, func(w io.Writer) {
		if len(views) == 0 {
			row(w, "User "+r.Username+" is signed in nowhere.")
			return
		}
		row(w, "ID", "SHOWN", "LAST USED", "EXPIRES", "ADDRESS", "BROWSER")
		for _, v := range views {
			row(w, v.ID, strings.Join(v.Methods, "+"), moment(v.Used), moment(v.Expires), v.Address, v.UserAgent)
		}
	})
}
