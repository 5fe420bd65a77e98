package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-id/sallyport/provider"
)

func (c *cli) keysCommand() *cobra.Command {
	cmd := c.reporting(c.configured(&cobra.Command{
		Use:   "keys",
		Short: "Signing keys: list and rotate; seal everything with a new key",
		Long: `Of each algorithm there are a current key, which signs, the next, which is
published already, and the last, which still verifies. The server rotates them
by itself, every keys.rotate of the configuration.`,
	}))
	cmd.AddCommand(c.keysList(), c.keysRotate(), c.keysReseal())
	return cmd
}

func (c *cli) keysList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the signing keys",
		RunE:  func(cmd *cobra.Command, _ []string) error { return c.open(cmd.Context(), c.listKeys) },
	}
}

func (c *cli) listKeys(ctx context.Context, h *house) error {
	all, err := h.keys.List(ctx)
	if err != nil {
		return err
	}
	type view struct {
		ID        string     `json:"kid"`
		Algorithm string     `json:"alg"`
		State     string     `json:"state"`
		Published *time.Time `json:"published,omitempty"`
		Active    *time.Time `json:"active,omitempty"`
		Retired   *time.Time `json:"retired,omitempty"`
		Removes   *time.Time `json:"removes,omitempty"`
	}
	views := []view{}
	for _, k := range all {
		views = append(views, view{k.ID, k.Algorithm, string(k.State), instant(k.Published), instant(k.Active), instant(k.Retired), instant(k.Removes)})
	}
	return c.report(views, func(w io.Writer) {
		if len(all) == 0 {
			fmt.Fprintln(w, "There are no keys yet. The server makes them when it starts, or: idp keys rotate")
			return
		}
		row(w, "KEY", "ALGORITHM", "STATE", "PUBLISHED", "SIGNS SINCE", "PUBLISHED UNTIL")
		for _, k := range all {
			row(w, k.ID, k.Algorithm, string(k.State), moment(k.Published), moment(k.Active), orDash(k.Removes))
		}
	})
}

func orDash(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return moment(t)
}

func (c *cli) keysRotate() *cobra.Command {
	var algs []string
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Let the next key sign from now on",
		Long: `Rotate makes the next key of each algorithm the current one and a new next one.
The one that has signed so far is published until no token that it signed is
good any more. If a private key may be known to someone, rotate twice: the
second time when the first has been published for a few seconds.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.open(cmd.Context(), func(ctx context.Context, h *house) error {
				had, err := h.keys.List(ctx)
				if err != nil {
					return err
				}
				if len(had) == 0 {
					// There is nothing to rotate; make the first ones.
					if err := h.keys.RotateIfDue(ctx); err != nil {
						return err
					}
					return c.listKeys(ctx, h)
				}
				for _, alg := range algs {
					err := h.keys.Rotate(ctx, alg)
					if errors.Is(err, provider.ErrConflict) {
						return fmt.Errorf("someone else has rotated %s at this moment; see: idp keys list", alg)
					}
					if err != nil {
						return err
					}
				}
				return c.listKeys(ctx, h)
			})
		},
	}
	cmd.Flags().StringSliceVar(&algs, "algorithm", []string{"ES256", "RS256"}, "of which algorithm")
	return cmd
}

func (c *cli) keysReseal() *cobra.Command {
	return &cobra.Command{
		Use:   "reseal",
		Short: "Seal everything with the first sealing key",
		Long: `Reseal opens the private keys and TOTP secrets that an older key of
secrets.sealing has sealed, and seals them with the first. When it has ended
without an error, the older ones can be taken out of the configuration. Every
server must have the first key before.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.open(cmd.Context(), func(ctx context.Context, h *house) error {
				keys, err := h.keys.Reseal(ctx)
				if err != nil {
					return err
				}
				secrets := 0
				for u, err := range h.users.List(ctx) {
					if err != nil {
						return err
					}
					did, err := h.factors.Reseal(ctx, u.Subject)
					if err != nil {
						return fmt.Errorf("user %s: %w", u.Username, err)
					}
					if did {
						secrets++
					}
				}
				out := map[string]int{"signing_keys": keys, "users": secrets}
				return c.report(out, func(w io.Writer) {
					fmt.Fprintf(w, "Sealed anew: %d signing keys, and the second factors of %d users.\n", keys, secrets)
				})
			})
		},
	}
}
