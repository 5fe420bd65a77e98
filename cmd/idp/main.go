package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	// The first signal ends what runs in order, a second one at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, &cli{in: os.Stdin, out: os.Stdout, err: os.Stderr, environ: os.Environ()}, os.Args[1:]))
}

// A cli is what a command is called with.
type cli struct {
	in       io.Reader
	out, err io.Writer
	environ  []string

	config string // --config
	json   bool   // --json
}

// Exit codes.
const (
	succeeded = 0
	failed    = 1
	misused   = 2
)

// errUsage marks errors in how a command was called.
var errUsage = errors.New("wrong usage")

// run carries out one command and returns the exit code.
func run(ctx context.Context, c *cli, args []string) int {
	root := c.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return succeeded
	case errors.Is(err, errUsage):
		fmt.Fprintf(c.err, "idp: %v\nSee: %s --help\n", err, cmd.CommandPath())
		return misused
	}
	fmt.Fprintf(c.err, "idp: %s\n", explain(err))
	return failed
}

// A usageError prints as its cause.
type usageError struct{ cause error }

func (e usageError) Error() string        { return e.cause.Error() }
func (e usageError) Unwrap() error        { return e.cause }
func (e usageError) Is(target error) bool { return target == errUsage }

func misuse(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "idp",
		Short: "Sallyport, an OpenID provider with a second factor",
		Long: `Sallyport is an OpenID provider that asks for a second factor between the
password and the consent.

To try it:           idp demo
To run it:           copy config.example.yaml, then idp check and idp serve
To administer it:    idp user, idp client, idp keys, idp logout, idp migrate,
                     idp backup, idp restore, idp epoch`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.AddCommand(c.serveCommand(), c.demoCommand(), c.checkCommand(), c.versionCommand(),
		c.userCommand(), c.clientCommand(), c.keysCommand(), c.logoutCommand(), c.migrateCommand(),
		c.backupCommand(), c.restoreCommand(), c.epochCommand())
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	mindArguments(root)
	return root
}

// mindArguments marks what cobra says of arguments as misuse, and refuses words
// after a command that has only subcommands: they are misspelled ones.
func mindArguments(cmd *cobra.Command) {
	check := cmd.Args
	if check == nil {
		check = cobra.NoArgs
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
	if cmd.HasSubCommands() && cmd.RunE == nil {
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return misuse("%s what?", cmd.CommandPath()) }
	}
	for _, sub := range cmd.Commands() {
		mindArguments(sub)
	}
}

// configured gives cmd the flag --config, without which it cannot run.
func (c *cli) configured(cmd *cobra.Command) *cobra.Command {
	cmd.PersistentFlags().StringVarP(&c.config, "config", "c", "", "the configuration file (required)")
	cmd.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if c.config == "" && !cmd.HasSubCommands() {
			return misuse("say which configuration: --config FILE")
		}
		return nil
	}
	return cmd
}

// reporting gives cmd the flag --json.
func (c *cli) reporting(cmd *cobra.Command) *cobra.Command {
	cmd.PersistentFlags().BoolVar(&c.json, "json", false, "print JSON")
	return cmd
}

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(c.out, "idp", version())
			return err
		},
	}
}

// version returns what was built, as the toolchain knows it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "of unknown version"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && v == "(devel)" {
			v = "(devel) " + s.Value
		}
	}
	return v + " " + info.GoVersion
}
