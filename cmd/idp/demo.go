package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
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
		Short: "Try it: a provider, an app and an API on this machine",
		Long: `Demo runs a provider, a small app that signs people in through it, and an API
through which the app sends play money, all on this machine alone. What they
need, keys, a user, a database, is made at the first start and kept in a
directory, in which there is also a configuration file: the other commands work
with it, while the demo runs or not.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.demo(cmd.Context(), dir, port, verbose)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", filepath.Join("data", "demo"), "where everything is kept")
	cmd.Flags().IntVar(&port, "port", 8080, "of the provider; the app and the API get the next free ones; only at the first start")
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
	sites, err := d.sites(log)
	if err != nil {
		return err
	}
	for i := range sites {
		if err := sites[i].listen(); err != nil {
			return d.taken(err, sites[i].url)
		}
		defer sites[i].l.Close() // for when a later one finds its port taken
	}

	// Whichever of them ends takes the others with it.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, 1+len(sites))
	for i, s := range sites {
		wg.Go(func() {
			defer cancel()
			errs[1+i] = server.Serve(ctx, s.l, server.Config{Handler: s.handler, Log: log})
		})
	}
	wg.Go(func() {
		defer cancel()
		errs[0] = serve(ctx, conf, log, func() { d.greet(c.out, first) })
	})
	wg.Wait()
	if opErr := (*net.OpError)(nil); errors.As(errs[0], &opErr) && opErr.Op == "listen" {
		return d.taken(errs[0], conf.Issuer)
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

// A site is one of those that run beside the provider.
type site struct {
	url     string
	handler http.Handler
	l       net.Listener
}

func (s *site) listen() (err error) {
	s.l, err = net.Listen("tcp", strings.TrimPrefix(s.url, "http://"))
	return err
}

// sites returns the app and, if there is one, the bank.
func (d *demo) sites(log *slog.Logger) ([]site, error) {
	secret, err := os.ReadFile(d.file(appSecretFile))
	if err != nil {
		return nil, fmt.Errorf("the app's secret: %w", err)
	}
	sites := []site{{url: d.App, handler: demoapp.New(demoapp.Config{
		URL: d.App, Issuer: d.Issuer, ClientID: demoClient, Secret: string(secret), Bank: d.Bank,
		Scopes: []string{"openid", "profile", "email", "phone", "address", "groups"}, Log: log,
	})}}
	if d.Bank == "" {
		return sites, nil
	}
	bank, err := demoapp.NewBank(demoapp.BankConfig{URL: d.Bank, Issuer: d.Issuer, Log: log})
	return append(sites, site{url: d.Bank, handler: bank}), err
}

// greet says where to go and what to do.
func (d *demo) greet(w io.Writer, first bool) {
	bank := ""
	if d.Bank != "" {
		bank = "    The bank (API)  " + d.Bank + "\n"
	}
	fmt.Fprintf(w, `
  Sallyport runs on this machine.

    The demo app    %s
    The provider    %s
%s
    Username        %s
    Password        %s

`, d.App, d.Issuer, bank, d.Username, d.Password)
	if first {
		fmt.Fprint(w, `  Open the demo app and choose "Sign in". You will scan a QR code with an
  authenticator app, put recovery codes away, and say what the app may know.
  The second time only a password and a code are asked for.
`)
		d.suggest(w)
	} else {
		fmt.Fprint(w, `  Everything of the last time is still there. Open the demo app and sign in.
`)
		d.suggest(w)
	}
	fmt.Fprintf(w, `
  Kept in %s; remove it to start over. Other commands work with it:
    %s user list --config %s

  Ctrl-C stops.
`, d.dir, os.Args[0], d.configFile())
}

// suggest says what to try when one is signed in.
func (d *demo) suggest(w io.Writer) {
	if d.Bank == "" {
		fmt.Fprintf(w, `  "Send money" is new. It is not in this demo, whose %s was changed by
  hand; another one, made with --dir, has it.
`, filepath.Base(d.configFile()))
		return
	}
	fmt.Fprint(w, `  Then press "Send money": you see what you approve, and give a code for that
  alone (the next one, if your app still shows one that you have used).
`)
}
