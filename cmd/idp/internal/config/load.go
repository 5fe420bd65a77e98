package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/caarlos0/env/v11"
	"go.yaml.in/yaml/v3"
)

// environment is what the environment overrides.
type environment struct {
	Postgres     Secret `env:"SALLYPORT_POSTGRES"`
	SealingKeys  string `env:"SALLYPORT_SEALING_KEYS"`  // id:key, separated by spaces or commas
	TokenSecrets string `env:"SALLYPORT_TOKEN_SECRETS"` // separated likewise
	SMTPPassword Secret `env:"SALLYPORT_SMTP_PASSWORD"`
}

// Load reads the file at path, lets environ (as of os.Environ) override its
// secrets, reads the files it names, and judges the whole. If anything is
// wrong, the error is a [Problems] that names all of it; the Config is
// returned all the same, for who only wants to look.
func Load(path string, environ []string) (Config, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return Config{}, fmt.Errorf("there is no configuration file %s; copy config.example.yaml and change what it says", path)
	}
	if err != nil {
		return Config{}, fmt.Errorf("read the configuration: %w", err)
	}
	c, r := parse(path, text)
	r.overlay(&c, environ)
	r.resolve(&c)
	c.check(r)
	return c, r.problems.err()
}

// Parse reads text, which stands in a file called name, and says what is wrong
// with its form. It looks at nothing but the text.
func Parse(name string, text []byte) (Config, error) {
	c, r := parse(name, text)
	return c, r.problems.err()
}

func parse(name string, text []byte) (Config, *report) {
	c, r := Default(), &report{file: name}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		r.malformed(err)
		return c, r
	}
	r.at = places(&doc)
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	switch err := dec.Decode(&c); {
	case errors.Is(err, io.EOF):
		r.add("", "is empty; start from config.example.yaml")
	case err != nil:
		r.malformed(err)
	case !errors.Is(dec.Decode(new(any)), io.EOF):
		r.add("", "holds a second document after ---, which would be ignored")
	}
	return c, r
}

// overlay lets the environment win over the file.
func (r *report) overlay(c *Config, environ []string) {
	e, err := env.ParseAsWithOptions[environment](env.Options{Environment: env.ToMap(environ)})
	if err != nil {
		r.add("", "environment: %v", err)
		return
	}
	if e.Postgres != "" {
		c.Database.Postgres, c.Database.PostgresFile, c.Database.SQLite = e.Postgres, "", ""
	}
	if e.SMTPPassword != "" {
		c.Notify.SMTP.Password, c.Notify.SMTP.PasswordFile = e.SMTPPassword, ""
	}
	if keys := list(e.SealingKeys); keys != nil {
		c.Secrets.Sealing = nil
		for _, k := range keys {
			id, key, _ := strings.Cut(k, ":")
			c.Secrets.Sealing = append(c.Secrets.Sealing, SealingKey{ID: id, Key: Secret(key)})
		}
	}
	if secrets := list(e.TokenSecrets); secrets != nil {
		c.Secrets.Tokens = nil
		for _, s := range secrets {
			c.Secrets.Tokens = append(c.Secrets.Tokens, TokenSecret{Secret: Secret(s)})
		}
	}
}

// list splits a list as it stands in an environment variable.
func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(", \n\t", r) })
}

// resolve makes paths absolute and reads the secrets that stand in files.
func (r *report) resolve(c *Config) {
	dir := filepath.Dir(r.file)
	for _, p := range []*string{
		&c.TLS.Cert, &c.TLS.Key, &c.Database.SQLite, &c.Database.PostgresFile,
		&c.Brand.Logo, &c.Templates, &c.Notify.SMTP.PasswordFile,
	} {
		anchor(dir, p)
	}
	r.read("database.postgres", c.Database.PostgresFile, &c.Database.Postgres)
	r.read("notify.smtp.password", c.Notify.SMTP.PasswordFile, &c.Notify.SMTP.Password)
	for i := range c.Secrets.Sealing {
		k := &c.Secrets.Sealing[i]
		anchor(dir, &k.KeyFile)
		r.read(fmt.Sprintf("secrets.sealing[%d].key", i), k.KeyFile, &k.Key)
	}
	for i := range c.Secrets.Tokens {
		s := &c.Secrets.Tokens[i]
		anchor(dir, &s.SecretFile)
		r.read(fmt.Sprintf("secrets.tokens[%d].secret", i), s.SecretFile, &s.Secret)
	}
	for i := range c.Clients {
		cl := &c.Clients[i]
		cl.secrets = make([]Secret, len(cl.SecretFiles))
		for j := range cl.SecretFiles {
			anchor(dir, &cl.SecretFiles[j])
			r.readAt(fmt.Sprintf("clients[%d].secret_files[%d]", i, j), cl.SecretFiles[j], &cl.secrets[j])
		}
		if anchor(dir, &cl.JWKSFile); cl.JWKSFile != "" {
			r.readAt(fmt.Sprintf("clients[%d].jwks_file", i), cl.JWKSFile, &cl.jwks)
		}
	}
}

func anchor(dir string, path *string) {
	if *path != "" && !filepath.IsAbs(*path) {
		*path = filepath.Join(dir, *path)
	}
}

// read fills the secret at key from the file that key_file names, if it does.
func (r *report) read(key, path string, into *Secret) {
	switch {
	case path == "":
	case *into != "":
		r.add(key, "stands both here and in %s_file; leave one out", last(key))
	default:
		r.readAt(key+"_file", path, into)
	}
}

func (r *report) readAt(key, path string, into *Secret) {
	text, err := os.ReadFile(path)
	if err != nil {
		r.add(key, "cannot be read: %v", err)
		return
	}
	// A trailing newline is the editor's, not the secret's.
	*into = Secret(strings.TrimRight(string(text), "\r\n"))
	if *into == "" {
		r.add(key, "names an empty file, %s", path)
	}
}

func last(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }
