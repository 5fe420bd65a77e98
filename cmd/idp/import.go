package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/userfile"
	"github.com/sallyport-id/sallyport/storage"
)

const (
	batchSize     = 100  // users a transaction
	progressLines = 1000 // between two signs of life
)

func (c *cli) userImport() *cobra.Command {
	var update bool
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Import users of another provider",
		Long: `Import reads JSON lines from FILE, or from standard input if it is -. Each has a
username, and whatever there is of: the standard claims of OpenID Connect by
their names, groups, attributes (an object of what else is known, for relying parties
that are registered for it), disabled, password_hash (argon2, bcrypt, scrypt or
PBKDF2, in PHC or modular form) and otpauth (the URI of a TOTP secret, which is then
active, so that nobody has to enrol anew).

A bad line is reported with its number and the others are imported. Users whose
name is taken are bad lines too, unless --update gives them the new claims and
password; a second factor that they have stays.`,
		Example: `  idp user import users.jsonl
  {"username": "ada", "email": "ada@example.com", "password_hash": "$2y$10$…", "otpauth": "otpauth://totp/…"}`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := c.in
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return fmt.Errorf("the file of users cannot be read: %w", err)
				}
				defer f.Close()
				file = f
			}
			return c.open(cmd.Context(), func(ctx context.Context, h *house) error {
				return c.importUsers(ctx, h, file, update)
			})
		},
	}
	cmd.Flags().BoolVar(&update, "update", false, "give users that are there the new claims and password")
	return cmd
}

// An importing is an import on its way.
type importing struct {
	cli    *cli
	house  *house
	update bool

	Added   int `json:"added"`
	Updated int `json:"updated"`
	Bad     int `json:"bad"`

	batch []userfile.Line
}

func (c *cli) importUsers(ctx context.Context, h *house, file io.Reader, update bool) error {
	i := &importing{cli: c, house: h, update: update}
	lines := 0
	for line := range userfile.Read(file) {
		if line.Number == 0 {
			return errors.Join(line.Err, i.flush(ctx))
		}
		if line.Err != nil {
			i.bad(line.Number, line.Err)
		} else {
			i.batch = append(i.batch, line)
		}
		if len(i.batch) == batchSize {
			if err := i.flush(ctx); err != nil {
				return i.broken(err)
			}
		}
		if lines++; lines%progressLines == 0 {
			fmt.Fprintf(c.err, "%d lines read, %d users added, %d updated, %d lines bad\n", lines, i.Added, i.Updated, i.Bad)
		}
	}
	if err := i.flush(ctx); err != nil {
		return i.broken(err)
	}
	err := c.report(i, func(w io.Writer) {
		fmt.Fprintf(w, "%d users added, %d updated.\n", i.Added, i.Updated)
	})
	if err != nil {
		return err
	}
	switch i.Bad {
	case 0:
		return nil
	case 1:
		return errors.New("one line was bad and not imported; mend it and import that line")
	}
	return fmt.Errorf("%d lines were bad and not imported; mend them and import those lines", i.Bad)
}

// broken says how far the import came when the database failed.
func (i *importing) broken(err error) error {
	return fmt.Errorf("the import broke off at line %d, after %d users added and %d updated: %w",
		i.batch[0].Number, i.Added, i.Updated, err)
}

func (i *importing) bad(line int, err error) {
	i.Bad++
	fmt.Fprintf(i.cli.err, "line %d: %s\n", line, plainText(err))
}

// importFactor makes the secret in uri, if there is one, the second factor of
// who was imported. Whoever has enrolled here keeps that.
func (i *importing) importFactor(ctx context.Context, r storage.Imported, uri string) error {
	if uri == "" {
		return nil
	}
	if r.Updated {
		d, err := i.house.factors.Describe(ctx, r.Subject)
		if err != nil || !d.Enrolled.IsZero() {
			return err
		}
	}
	return i.house.factors.Import(ctx, r.Subject, uri)
}

// flush imports the batch in one transaction.
func (i *importing) flush(ctx context.Context) error {
	if len(i.batch) == 0 {
		return nil
	}
	var users []storage.NewUser
	for _, l := range i.batch {
		users = append(users, storage.NewUser{
			Username: l.Record.Username, Claims: l.Record.Claims, Disabled: l.Record.Disabled, PasswordHash: l.Record.PasswordHash,
		})
	}
	var results []storage.Imported
	err := i.house.db.Atomically(ctx, func(ctx context.Context) (err error) {
		if results, err = i.house.users.Import(ctx, users, i.update); err != nil {
			return err
		}
		for n, r := range results {
			if r.Err != nil {
				continue
			}
			if err := i.importFactor(ctx, r, i.batch[n].Record.OTPAuth); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for n, r := range results {
		switch {
		case r.Err != nil:
			i.bad(i.batch[n].Number, i.house.userError(i.batch[n].Record.Username, r.Err))
		case r.Updated:
			i.Updated++
		default:
			i.Added++
		}
	}
	i.batch = i.batch[:0]
	return nil
}
