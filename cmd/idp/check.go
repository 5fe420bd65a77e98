package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/config"
	"github.com/sallyport-id/sallyport/templates"
)

func (c *cli) checkCommand() *cobra.Command {
	return c.reporting(c.configured(&cobra.Command{
		Use:   "check --config FILE",
		Short: "Say what is wrong with a configuration",
		Long: `Check reads a configuration and every file it names, and says everything that
is wrong with them. It touches no database and no network.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return c.check() },
	}))
}

var errUnusable = errors.New("the configuration cannot be used")

func (c *cli) check() error {
	conf, err := config.Load(c.config, c.environ)
	var problems config.Problems
	if err != nil && !errors.As(err, &problems) {
		return err
	}
	if problems == nil {
		if _, err := pages(conf); err != nil {
			problems = append(problems, config.Problem{File: c.config, Key: "templates", Reason: plainText(err)})
		}
	}
	if len(problems) == 0 {
		return c.report([]config.Problem{}, func(w io.Writer) {
			fmt.Fprintf(w, "%s is in order.\n", c.config)
		})
	}
	err = c.report(problems, func(w io.Writer) { fmt.Fprintln(w, problems) })
	if err != nil {
		return err
	}
	if len(problems) == 1 {
		return fmt.Errorf("%w: one thing is wrong", errUnusable)
	}
	return fmt.Errorf("%w: %d things are wrong", errUnusable, len(problems))
}

// pages returns the pages as c wants them.
func pages(c config.Config) (*templates.Set, error) {
	brand := templates.Brand{Name: c.Brand.Name, Accent: c.Brand.Accent}
	if c.Brand.Logo != "" {
		logo, err := os.ReadFile(c.Brand.Logo)
		if err != nil {
			return nil, fmt.Errorf("brand.logo: %w", err)
		}
		brand.Logo = logo
	}
	words := map[string]map[string]string{}
	for name, s := range c.Scopes {
		for lang, text := range s.Text {
			if words[lang] == nil {
				words[lang] = map[string]string{}
			}
			words[lang][name] = text
		}
	}
	return templates.New(templates.Options{Dir: c.Templates, Brand: brand, Scopes: words, Base: c.Base()})
}
