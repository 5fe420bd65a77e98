package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-id/sallyport/storage"
)

func (c *cli) migrateCommand() *cobra.Command {
	cmd := c.reporting(c.configured(&cobra.Command{
		Use:   "migrate",
		Short: "Bring the database to this version of idp",
	}))
	cmd.AddCommand(&cobra.Command{
		Use:   "up --config FILE",
		Short: "Apply what the database lacks",
		Long: `Up brings the schema of the database to the one that this idp was made for. It
changes nothing if it is. Of several that run at once, one does the work. Back
up the database first: there is no way down.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withSchema(cmd.Context(), func(ctx context.Context, db *storage.DB) error {
				if err := db.Migrate(ctx); err != nil {
					return err
				}
				return c.migrationStatus(ctx, db)
			})
		},
	}, &cobra.Command{
		Use:   "status --config FILE",
		Short: "Say what the database has and lacks",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withSchema(cmd.Context(), c.migrationStatus)
		},
	})
	return cmd
}

// withSchema calls fn with a database of whatever schema.
func (c *cli) withSchema(ctx context.Context, fn func(context.Context, *storage.DB) error) error {
	conf, err := c.load()
	if err != nil {
		return err
	}
	db, err := storage.Open(ctx, storage.Config{DSN: dsn(conf), AnySchema: true})
	if err != nil {
		return err
	}
	defer db.Close()
	return fn(ctx, db)
}

func (c *cli) migrationStatus(ctx context.Context, db *storage.DB) error {
	steps, err := db.MigrationStatus(ctx)
	if err != nil {
		return err
	}
	type step struct {
		Version int64      `json:"version"`
		Name    string     `json:"name"`
		Applied *time.Time `json:"applied,omitempty"`
	}
	all, missing := []step{}, 0
	for _, s := range steps {
		all = append(all, step{s.Version, s.Name, instant(s.Applied)})
		if s.Applied.IsZero() {
			missing++
		}
	}
	return c.report(all, func(w io.Writer) {
		row(w, "VERSION", "NAME", "APPLIED")
		for _, s := range steps {
			row(w, strconv.FormatInt(s.Version, 10), s.Name, moment(s.Applied))
		}
		fmt.Fprintln(w)
		switch missing {
		case 0:
			fmt.Fprintln(w, "The database is of this version.")
		default:
			fmt.Fprintf(w, "The database lacks %d of %d steps. Back it up, then: idp migrate up\n", missing, len(steps))
		}
	})
}
