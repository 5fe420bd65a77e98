package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/config"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
)

func (c *cli) backupCommand() *cobra.Command {
	return c.configured(&cobra.Command{
		Use:   "backup FILE --config FILE",
		Short: "Copy the SQLite database to a new file, while servers run",
		Long: `Backup writes a copy of the SQLite database, as it is at one moment, to a new
file that only you can read. Servers may run, and nobody waits for it. Keep it
apart from the keys of secrets.sealing: with them, it is every second factor.

PostgreSQL has its own ways: pg_dump, or a base backup with its log.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			conf, err := c.loadSQLite("pg_dump, or pg_basebackup with an archive of the log")
			if err != nil {
				return err
			}
			// To open it would make it.
			if _, err := os.Stat(conf.Database.SQLite); errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("there is no database at %s; see database.sqlite in the configuration", conf.Database.SQLite)
			}
			db, err := storage.Open(cmd.Context(), storage.Config{DSN: dsn(conf), AnySchema: true})
			if err != nil {
				return err
			}
			defer db.Close()
			err = db.Backup(cmd.Context(), args[0])
			if errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%s is there already; give another name, or remove it first", args[0])
			}
			if err != nil {
				return err
			}
			info, err := os.Stat(args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(c.out, "Backed up to %s, %d KiB.\n", args[0], info.Size()>>10)
			return nil
		},
	})
}

func (c *cli) restoreCommand() *cobra.Command {
	var trust bool
	cmd := c.reporting(c.configured(&cobra.Command{
		Use:   "restore FILE --config FILE",
		Short: "Put a backup in the place of the SQLite database",
		Long: `Restore puts what "idp backup" wrote in the place of the SQLite database, all of it
or nothing. What is there now is lost: back it up first if it can be read.
Servers may run meanwhile. Start them again after it: some things they read only
when they start.

Nothing in the backup that could be used up or taken back is good any more, as
after "idp epoch bump", which says more: what was used or revoked since would
be good again. Passwords, clients, consents and who is disabled are as they
were in the backup.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			conf, err := c.loadSQLite("pg_restore, or a base backup and its log, and then: idp epoch bump")
			if err != nil {
				return err
			}
			return c.restore(cmd.Context(), conf, args[0], trust)
		},
	}))
	clockFlag(cmd, &trust)
	return cmd
}

// clockFlag lets whoever calls cmd say that an epoch in the future is wrong.
func clockFlag(cmd *cobra.Command, trust *bool) {
	cmd.Flags().BoolVar(trust, "clock-is-right", false, "the clock here is right, and that of who bumped the epoch last was ahead")
}

func (c *cli) restore(ctx context.Context, conf config.Config, from string, trust bool) (err error) {
	into := conf.Database.SQLite
	r, err := storage.Copy(ctx, from, into)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Discard()) }()
	// Better to know now than when nobody can sign in.
	sealer, err := newSealer(conf)
	if err != nil {
		return err
	}
	if err := r.Opens(ctx, sealer); err != nil {
		return fmt.Errorf("what is sealed in %s cannot be opened, and nothing was changed: %w", from, err)
	}
	voided, err := r.Replace(ctx, into, trust)
	switch {
	case errors.Is(err, storage.ErrDamaged):
		return fmt.Errorf("%w; nothing was changed. Move it and the files beside it (-wal, -shm) away first", err)
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%w, but no database that can be read; nothing was changed. Stop the servers, see what it is, and move it away", err)
	case errors.Is(err, provider.ErrUnavailable):
		return fmt.Errorf("%w; nothing was changed. If it is locked, stop the servers; if the disk is full, make room; then try again", err)
	case err != nil:
		return fmt.Errorf("nothing was changed: %w", err)
	}
	return c.reportVoided(voided, func(w io.Writer) {
		fmt.Fprintf(w, "%s is in the place of %s. Start the servers again.\n", from, into)
	})
}

// loadSQLite loads the configuration, which must be of a SQLite database; of
// PostgreSQL it says what to do instead.
func (c *cli) loadSQLite(instead string) (config.Config, error) {
	conf, err := c.load()
	if err == nil && conf.Database.SQLite == "" {
		err = fmt.Errorf("the database is PostgreSQL, which is not copied by this; use %s", instead)
	}
	return conf, err
}

func (c *cli) epochCommand() *cobra.Command {
	var trust bool
	cmd := c.reporting(c.configured(&cobra.Command{
		Use:   "epoch",
		Short: "Make void whatever could be used up, after a restore",
	}))
	bump := &cobra.Command{
		Use:   "bump --config FILE",
		Short: "Make void whatever could be used up or taken back",
		Long: `Bump ends every session and sign-in, revokes every grant with its codes and
tokens, and makes void pushed requests, tickets to enrol, recovery codes, the
codes of authenticator apps up to the next one, and client assertions. After an
older copy of the database was put back, all that was used or revoked since
would be good again; after this it is not. Servers may run; what they write
waits for it, and with very many sessions is answered with 503.

People sign in again with the next code of their app, and make new recovery
codes on their account page. Passwords, clients, consents and who is disabled
stay as they are in the database: what logs, mail and a copy of the database that
was replaced say of the time since is to be done again. "idp restore" does this by itself.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.open(cmd.Context(), func(ctx context.Context, h *house) error {
				voided, err := h.db.BumpEpoch(ctx, trust)
				if err != nil {
					return err
				}
				return c.reportVoided(voided, func(io.Writer) {})
			})
		},
	}
	clockFlag(bump, &trust)
	cmd.AddCommand(bump)
	return cmd
}

// reportVoided says what is void, after what say says.
func (c *cli) reportVoided(v storage.Voided, say func(io.Writer)) error {
	out := map[string]int64{
		"flows": v.Flows, "pushed_requests": v.Pushed, "sessions": v.Sessions, "grants": v.Grants,
		"recovery_codes": v.Codes, "people_without_recovery_codes": v.People, "tickets": v.Tickets, "logouts": v.Logouts,
	}
	return c.report(out, func(w io.Writer) {
		say(w)
		fmt.Fprintf(w, "Void are %d sessions, %d half-finished sign-ins, %d grants with their tokens, %d pushed requests, %d tickets\nand the %d recovery codes of %d people, who make new ones on their account page. %d notices go to clients.\n",
			v.Sessions, v.Flows, v.Grants, v.Pushed, v.Tickets, v.Codes, v.People, v.Logouts)
	})
}
