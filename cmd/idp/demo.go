package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/spf13/cobra"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/config"
	"github.com/sallyport-id/sallyport/cmd/idp/internal/demoapp"
	"github.com/sallyport-id/sallyport/cmd/idp/internal/server"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
)

func (c *cli) demoCommand() *cobra.Command {
	var dir string
	var port int
	var verbose bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Try it: a provider and an app on this machine",
		Long: `Demo runs a provider and a small app that signs people in through it, both on
this machine alone. What they need, keys, a user, a database, is made at the
first start and kept in a directory, in which there is also a configuration
file: the other commands work with it, while the demo runs or not.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.demo(cmd.Context(), dir, port, verbose)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", filepath.Join("data", "demo"), "where everything is kept")
	cmd.Flags().IntVar(&port, "port", 8080, "of the provider; the app gets the next free one; only at the first start")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "log every request")
	return cmd
}

func (c *cli) demo(ctx context.Context, dir string, port int, verbose bool) error {
	d, first, err := openDemo(dir, port)
	if err != nil {
		return err
	}
	conf, err := config.Load(d.configFile(), nil)
	if err != nil {
		return err
	}
	if verbose {
		conf.Log.Level = "info"
	}
	log := logger(conf.Log, c.err)
	if err := d.settle(ctx, conf, log); err != nil {
		return err
	}
	app, err := d.app(log)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", d.appAddress())
	if err != nil {
		return d.taken(err, d.App)
	}

	// Whichever of the two ends takes the other with it.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, 2)
	wg.Go(func() {
		defer cancel()
		errs[0] = server.Serve(ctx, l, server.Config{Handler: app, Log: log})
	})
	wg.Go(func() {
		defer cancel()
		errs[1] = serve(ctx, conf, log, func() { d.greet(c.out, first) })
	})
	wg.Wait()
	if opErr := (*net.OpError)(nil); errors.As(errs[1], &opErr) && opErr.Op == "listen" {
		return d.taken(errs[1], conf.Issuer)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Fprintln(c.out, "\nStopped. Everything is kept in "+d.dir+"; start again to go on.")
	return nil
}

// taken says that a port is someone else's. It is not changed silently: the
// issuer names it, and all that relying parties know begins with the issuer.
func (d *demo) taken(err error, url string) error {
	return fmt.Errorf("%s is not free: %w. Does the demo run already? Otherwise stop what is there, or begin another demo with --dir", url, err)
}

// settle makes the user at the first start.
func (d *demo) settle(ctx context.Context, conf config.Config, log *slog.Logger) error {
	h, err := newHouse(ctx, conf, log)
	if err != nil {
		return err
	}
	_, err = h.users.ByName(ctx, d.Username)
	if errors.Is(err, provider.ErrNoUser) {
		_, err = h.users.Add(ctx, storage.NewUser{
			Username: d.Username, Password: d.Password,
			Claims: provider.Claims{
				Name: "Ada Byron", GivenName: "Ada", FamilyName: "Byron", Nickname: "Ada", PreferredUsername: d.Username,
				Birthdate: "1815-12-10", Zoneinfo: "Europe/London", Locale: "en-GB",
				Website: "https://example.com/ada", Profile: "https://example.com/people/ada",
				Email: "ada@example.com", EmailVerified: true, PhoneNumber: "+44 20 7946 0018", PhoneNumberVerified: true,
				Address: &provider.Address{
					Formatted:     "12 St James's Square\nLondon SW1Y 4JH\nUnited Kingdom",
					StreetAddress: "12 St James's Square", Locality: "London", PostalCode: "SW1Y 4JH", Country: "United Kingdom",
				},
				Groups: []string{"engines", "mathematics"},
			},
		})
	}
	return errors.Join(err, h.close(ctx))
}

func (d *demo) app(log *slog.Logger) (*demoapp.App, error) {
	secret, err := os.ReadFile(d.file(appSecretFile))
	if err != nil {
		return nil, fmt.Errorf("the app's secret: %w", err)
	}
	return demoapp.New(demoapp.Config{
		URL: d.App, Issuer: d.Issuer, ClientID: demoClient, Secret: string(secret),
		Scopes: []string{"openid", "profile", "email", "phone", "address", "groups"}, Log: log,
	}), nil
}

// greet says where to go and what to do.
func (d *demo) greet(w io.Writer, first bool) {
	fmt.Fprintf(w, `
  Sallyport runs on this machine.

    The demo app    %s
    The provider    %s

    Username        %s
    Password        %s

`, d.App, d.Issuer, d.Username, d.Password)
	if first {
		fmt.Fprint(w, `  Open the demo app and choose "Sign in". You will scan a QR code with an
  authenticator app, put recovery codes away, and say what the app may know.
  The second time only a password and a code are asked for.
`)
	} else {
		fmt.Fprint(w, `  Everything of the last time is still there. Open the demo app and sign in.
`)
	}
	fmt.Fprintf(w, `
  Kept in %s; remove it to start over. Other commands work with it:
    %s user list --config %s

  Ctrl-C stops.
`, d.dir, os.Args[0], d.configFile())
}
