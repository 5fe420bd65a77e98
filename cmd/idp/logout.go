package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

func (c *cli) logoutCommand() *cobra.Command {
	cmd := c.reporting(c.configured(&cobra.Command{
		Use:   "logout",
		Short: "Logouts that clients have not been told yet: list, try again",
		Long: `When a session ends, the server tells the clients that were given something in
it and have a backchannel_logout_uri. One that does not take it is told again,
eight times in about an hour; then it is given up, and kept for a week to be
seen here.`,
	}))
	cmd.AddCommand(c.logoutList(), c.logoutRetry())
	return cmd
}

func (c *cli) logoutList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List them, the oldest first",
		RunE:  func(cmd *cobra.Command, _ []string) error { return c.open(cmd.Context(), c.listLogouts) },
	}
}

func (c *cli) listLogouts(ctx context.Context, h *house) error {
	all, err := h.db.Logouts(ctx)
	if err != nil {
		return err
	}
	type view struct {
		ID        string     `json:"id"`
		ClientID  string     `json:"client_id"`
		Subject   string     `json:"subject"`
		SessionID string     `json:"session_id"`
		Created   time.Time  `json:"created"`
		Tries     int        `json:"tries"`
		Next      *time.Time `json:"next,omitempty"`
		GivenUp   *time.Time `json:"given_up,omitempty"`
		Problem   string     `json:"problem,omitempty"`
	}
	views := []view{}
	for _, l := range all {
		v := view{l.ID, l.ClientID, l.Subject, l.SessionID, l.Created, l.Tries, instant(l.Due), instant(l.GivenUp), l.Problem}
		if v.GivenUp != nil {
			v.Next = nil
		}
		views = append(views, v)
	}
	return c.report(views, func(w io.Writer) {
		if len(all) == 0 {
			fmt.Fprintln(w, "Every client has been told.")
			return
		}
		row(w, "ID", "CLIENT", "SUBJECT", "SINCE", "TRIES", "NEXT", "PROBLEM")
		for _, l := range all {
			next := moment(l.Due)
			if !l.GivenUp.IsZero() {
				next = "given up"
			}
			row(w, l.ID, l.ClientID, l.Subject, moment(l.Created), strconv.Itoa(l.Tries), next, l.Problem)
		}
	})
}

func (c *cli) logoutRetry() *cobra.Command {
	return &cobra.Command{
		Use:   "retry [ID]",
		Short: "Have one tried again, or all that were given up",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.open(cmd.Context(), func(ctx context.Context, h *house) error {
				id := ""
				if len(args) > 0 {
					if id = args[0]; id == "" {
						return misuse("an empty ID is none")
					}
				}
				n, err := h.db.RetryLogouts(ctx, id, time.Now().UTC())
				switch {
				case err != nil:
					return err
				case n == 0 && id != "":
					return fmt.Errorf("there is no logout %q to be told; see: idp logout list", id)
				case n == 0:
					return c.done("None was given up.")
				case n == 1:
					return c.done("1 will be tried again by the server, in a few seconds.")
				}
				return c.done("%d will be tried again by the server, in a few seconds.", n)
			})
		},
	}
}
