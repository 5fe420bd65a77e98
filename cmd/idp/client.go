package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/config"
	"github.com/sallyport-id/sallyport/provider"
)

func (c *cli) clientCommand() *cobra.Command {
	cmd := c.reporting(c.configured(&cobra.Command{
		Use:   "client",
		Short: "Relying parties: add, list, show, remove, rotate their secrets",
		Long: `Relying parties are the apps that people sign in to. Those under clients: in
the configuration belong to it; these commands show them and change the others.`,
	}))
	cmd.AddCommand(c.clientAdd(), c.clientList(), c.clientShow(), c.clientRemove(), c.clientRotate())
	return cmd
}

func (c *cli) clientAdd() *cobra.Command {
	var r provider.Client
	var kind, pkce, tokens, pushed, subjects string
	var given bool
	cmd := &cobra.Command{
		Use:   "add ID --redirect-uri URI",
		Short: "Register a relying party",
		Long: `Add registers a relying party. Its secret, if its type has one, is made here
and printed once; only its SHA-256 is stored.

The types are web, which runs on a server and keeps a secret; spa, which runs in
a browser, and native, which runs on a device, both without a secret; and
service, which acts for itself, without a person.`,
		Example: `  idp client add wiki --name "The wiki" --redirect-uri https://wiki.example.com/callback
  idp client add app --type native --redirect-uri com.example.app:/callback
  idp client add robot --type service --scope reports`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if pkce != "required" && pkce != "optional" {
				return misuse("--pkce is required or optional, not %q", pkce)
			}
			if tokens != "jwt" && tokens != "opaque" {
				return misuse("--access-token is jwt or opaque, not %q", tokens)
			}
			if pushed != "required" && pushed != "optional" {
				return misuse("--pushed-requests is required or optional, not %q", pushed)
			}
			if subjects != "public" && subjects != "pairwise" {
				return misuse("--subject-type is public or pairwise, not %q", subjects)
			}
			r.ID, r.Type = args[0], provider.ClientType(kind)
			r.PKCEOptional, r.OpaqueTokens = pkce == "optional", tokens == "opaque"
			r.Pushed, r.Pairwise = pushed == "required", subjects == "pairwise"
			return c.addClient(cmd.Context(), r, given)
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Name, "name", "", "what people see; default the ID")
	f.StringVar(&kind, "type", "web", "web, spa, native or service")
	f.StringArrayVar(&r.RedirectURIs, "redirect-uri", nil, "where the browser goes back to, letter by letter; can be repeated")
	words(f, &r.Scopes, "scope", "what it may ask for; default openid, profile and email; can be repeated")
	words(f, &r.GrantTypes, "grant-type", "default authorization_code and refresh_token, for a service client_credentials; can be repeated")
	f.BoolVar(&r.FirstParty, "first-party", false, "it is ours: people are not asked to consent")
	f.StringVar(&pkce, "pkce", "required", "required, or optional for a client with a secret that cannot do PKCE")
	f.StringVar(&tokens, "access-token", "jwt", "jwt or opaque")
	f.BoolVar(&r.Introspects, "introspects", false, "it may ask what tokens of others say, as an API does; only with a secret")
	f.StringVar(&r.Algorithm, "algorithm", "", "that signs its tokens: RS256 (the default) or ES256")
	f.StringVar(&r.Floor, "floor", "", "the least level of its sign-ins; default the floor of all")
	f.DurationVar(&r.MaxAge, "max-age", 0, "how old a proof may be that counts, such as 12h; default as old as the session")
	f.DurationVar(&r.FactorMaxAge, "factor-max-age", 0, "how old the second factor may be that counts; default as old as the session")
	f.StringVar(&r.InitiateLoginURI, "initiate-login-uri", "", "where a sign-in to it can begin")
	f.StringArrayVar(&r.ContinuesTo, "continues-to", nil, "a further origin that its redirect URIs send the browser on to; can be repeated")
	file(f, &r.Keys, "jwks-file", "a file with its public keys (a JWK Set); it then authenticates by private_key_jwt and has no secret")
	f.StringVar(&r.KeysURI, "jwks-uri", "", "where it publishes its public keys, instead of --jwks-file")
	f.StringVar(&pushed, "pushed-requests", "optional", "required: its authorization requests must be pushed; or optional")
	f.StringVar(&subjects, "subject-type", "public", "public, or pairwise: it gets subjects of its own")
	f.StringVar(&r.Sector, "sector", "", "with --subject-type pairwise: shares its subjects with the clients of this host name; default the host of its redirect URI")
	claimFlags(f, &r.Claims)
	f.StringVar(&r.UserinfoAlgorithm, "userinfo-algorithm", "", "that signs userinfo, RS256 or ES256; default it is plain JSON")
	f.StringArrayVar(&r.Resources, "resource", nil, "the URI of an API that it may ask tokens for, or is if it introspects; can be repeated")
	f.StringArrayVar(&r.DetailsTypes, "authorization-details-type", nil, "a type of authorization details that it may ask for; can be repeated")
	f.StringArrayVar(&r.PostLogoutRedirectURIs, "post-logout-redirect-uri", nil, "where the browser may go after a logout; can be repeated")
	f.StringVar(&r.BackchannelLogoutURI, "backchannel-logout-uri", "", "where it is told, server to server, that a session has ended")
	f.StringVar(&r.FrontchannelLogoutURI, "frontchannel-logout-uri", "", "shown in a frame when a session has ended")
	f.BoolVar(&given, "secret-stdin", false, "take the secret from the terminal or the first line of standard input; at least 32 random characters")
	return cmd
}

// words adds a flag of words: repeated, or several with spaces or commas.
func words(f *pflag.FlagSet, into *[]string, name, usage string) {
	f.Func(name, usage, func(s string) error {
		*into = append(*into, strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' })...)
		return nil
	})
}

// file adds a flag whose value is what stands in a file.
func file(f *pflag.FlagSet, into *[]byte, name, usage string) {
	f.Func(name, usage, func(path string) (err error) {
		if *into, err = os.ReadFile(path); err == nil && len(*into) == 0 {
			return errors.New("it is empty")
		}
		return err
	})
}

func (c *cli) addClient(ctx context.Context, r provider.Client, given bool) error {
	r = config.Complete(r)
	r.Created = time.Now().UTC().Truncate(time.Microsecond)
	secret := ""
	if !r.Public() && !r.HasKeys() || given {
		var err error
		if secret, err = c.clientSecret(given); err != nil {
			return err
		}
		r.Secrets = []provider.Hash{sha256.Sum256([]byte(secret))}
	}
	return c.open(ctx, func(ctx context.Context, h *house) error {
		if problems := h.config.CheckClient(r); problems != nil {
			return clientProblems(r.ID, problems)
		}
		err := h.db.Atomically(ctx, func(ctx context.Context) error {
			if err := h.db.AddClient(ctx, r); err != nil {
				return err
			}
			return h.record(ctx, provider.Event{Kind: provider.EventClient, ClientID: r.ID, Detail: map[string]string{"act": "added"}})
		})
		if errors.Is(err, provider.ErrConflict) {
			return fmt.Errorf("there is a client %s already; remove it first, or choose another ID", r.ID)
		}
		if err != nil {
			return err
		}
		return c.showSecret(r, secret, given, "Client "+r.ID+" was added.")
	})
}

// clientProblems names the flags instead of the keys of the file.
func clientProblems(id string, problems []config.Problem) error {
	var lines []string
	for _, p := range problems {
		key, _, _ := strings.Cut(p.Key, "[")
		flag := "--" + strings.ReplaceAll(strings.TrimSuffix(key, "s"), "_", "-")
		switch key {
		case "id":
			flag = "the ID"
		case "secret_sha256":
			flag = "the secret"
		case "introspects":
			flag = "--introspects"
		case "continues_to":
			flag = "--continues-to"
		}
		lines = append(lines, flag+": "+p.Reason)
	}
	return fmt.Errorf("client %s was not added:\n  %s", id, strings.Join(lines, "\n  "))
}

// clientSecret returns a secret, made here or taken from standard input.
func (c *cli) clientSecret(given bool) (string, error) {
	if !given {
		var b [32]byte
		rand.Read(b[:]) // never fails
		return base64.RawURLEncoding.EncodeToString(b[:]), nil
	}
	secret, err := c.readSecret("client secret")
	if err != nil {
		return "", err
	}
	// It is stored under a fast hash, which is no protection for one that could
	// be guessed.
	if len(secret) < config.LeastSecret {
		return "", fmt.Errorf("the secret has %d characters, at least %d random ones are needed; leave --secret-stdin out and one is made", len(secret), config.LeastSecret)
	}
	return secret, nil
}

// showSecret prints a new secret, once.
func (c *cli) showSecret(r provider.Client, secret string, given bool, done string) error {
	out := struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret,omitempty"`
	}{ID: r.ID}
	if !given {
		out.Secret = secret
	}
	return c.report(out, func(w io.Writer) {
		fmt.Fprintf(w, "%s\n\n", done)
		row(w, "  client_id", r.ID)
		if out.Secret != "" {
			row(w, "  client_secret", secret)
			fmt.Fprintf(w, "\nThe secret is shown this once; only its SHA-256 is stored.\n")
		}
	})
}

// A clientView is a client in JSON. Of its secrets it says only how many.
type clientView struct {
	ID           string      `json:"client_id"`
	Name         string      `json:"name"`
	Type         string      `json:"type"`
	Declared     bool        `json:"declared"`
	Secrets      int         `json:"secrets"`
	RedirectURIs []string    `json:"redirect_uris"`
	Scopes       []string    `json:"scopes"`
	GrantTypes   []string    `json:"grant_types"`
	FirstParty   bool        `json:"first_party"`
	PKCE         string      `json:"pkce"`
	AccessTokens string      `json:"access_tokens"`
	Introspects  bool        `json:"introspects"`
	Algorithm    string      `json:"algorithm"`
	Floor        string      `json:"floor,omitempty"`
	MaxAge       string      `json:"max_age,omitempty"`
	FactorMaxAge string      `json:"factor_max_age,omitempty"`
	InitiateURI  string      `json:"initiate_login_uri,omitempty"`
	ContinuesTo  []string    `json:"continues_to,omitempty"`
	Keys         string      `json:"keys,omitempty"` // by value, or where they are
	KeyIDs       []string    `json:"key_ids,omitempty"`
	Pushed       string      `json:"pushed_requests"`
	SubjectType  string      `json:"subject_type"`
	Sector       string      `json:"sector,omitempty"`
	Claims       []claimView `json:"claims,omitempty"`
	UserinfoAlg  string      `json:"userinfo_algorithm,omitempty"`
	Resources    []string    `json:"resources,omitempty"`
	DetailsTypes []string    `json:"authorization_details_types,omitempty"`
	PostLogout   []string    `json:"post_logout_redirect_uris,omitempty"`
	Backchannel  string      `json:"backchannel_logout_uri,omitempty"`
	Frontchannel string      `json:"frontchannel_logout_uri,omitempty"`
	Created      *time.Time  `json:"created,omitempty"`
}

func viewClient(r provider.Client) clientView {
	v := clientView{
		ID: r.ID, Name: r.Name, Type: string(r.Type), Declared: r.Declared, Secrets: len(r.Secrets),
		RedirectURIs: append([]string{}, r.RedirectURIs...), Scopes: append([]string{}, r.Scopes...),
		GrantTypes: append([]string{}, r.GrantTypes...), FirstParty: r.FirstParty,
		PKCE: "required", AccessTokens: "jwt", Introspects: r.Introspects, Algorithm: "RS256",
		Floor: r.Floor, InitiateURI: r.InitiateLoginURI, ContinuesTo: r.ContinuesTo, Created: instant(r.Created),
		Keys: r.KeysURI, Pushed: "optional", SubjectType: "public", Sector: r.Sector,
		Claims: viewClaims(r.Claims), UserinfoAlg: r.UserinfoAlgorithm, Resources: r.Resources, DetailsTypes: r.DetailsTypes, PostLogout: r.PostLogoutRedirectURIs,
		Backchannel: r.BackchannelLogoutURI, Frontchannel: r.FrontchannelLogoutURI,
	}
	if r.MaxAge > 0 {
		v.MaxAge = config.Duration(r.MaxAge).String()
	}
	if r.FactorMaxAge > 0 {
		v.FactorMaxAge = config.Duration(r.FactorMaxAge).String()
	}
	if len(r.Keys) > 0 {
		v.Keys = "by value"
		v.KeyIDs, _ = provider.CheckKeys(r.Keys) // was in order when it was registered
	}
	if r.Pushed {
		v.Pushed = "required"
	}
	if r.Pairwise {
		v.SubjectType = "pairwise"
	}
	if r.PKCEOptional {
		v.PKCE = "optional"
	}
	if r.OpaqueTokens {
		v.AccessTokens = "opaque"
	}
	if r.Algorithm != "" {
		v.Algorithm = r.Algorithm
	}
	return v
}

func (c *cli) clientList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the relying parties",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.open(cmd.Context(), func(ctx context.Context, h *house) error {
				all, err := h.db.Clients(ctx)
				if err != nil {
					return err
				}
				views := []clientView{}
				for _, r := range all {
					views = append(views, viewClient(r))
				}
				return c.report(views, func(w io.Writer) {
					if len(views) == 0 {
						fmt.Fprintln(w, "There are no clients. Add one with: idp client add")
						return
					}
					row(w, "ID", "TYPE", "OWNER", "NAME")
					for _, v := range views {
						row(w, v.ID, v.Type, owner(v), v.Name)
					}
				})
			})
		},
	}
}

func owner(v clientView) string {
	if v.Declared {
		return "configuration"
	}
	return "command"
}

func (c *cli) clientShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show a relying party",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.open(cmd.Context(), func(ctx context.Context, h *house) error {
				r, err := h.client(ctx, args[0])
				if err != nil {
					return err
				}
				v := viewClient(r)
				return c.report(v, func(w io.Writer) {
					for _, line := range [][2]string{
						{"client_id", v.ID}, {"name", v.Name}, {"type", v.Type}, {"owner", owner(v)},
						{"secrets", fmt.Sprint(v.Secrets)}, {"redirect URIs", strings.Join(v.RedirectURIs, " ")},
						{"scopes", strings.Join(v.Scopes, " ")}, {"grant types", strings.Join(v.GrantTypes, " ")},
						{"first party", yesNo(v.FirstParty)}, {"PKCE", v.PKCE}, {"access tokens", v.AccessTokens},
						{"introspects", yesNo(v.Introspects)},
						{"algorithm", v.Algorithm}, {"floor", v.Floor}, {"max age", v.MaxAge}, {"max age of the factor", v.FactorMaxAge},
						{"initiate login", v.InitiateURI},
						{"continues to", strings.Join(v.ContinuesTo, " ")},
						{"keys", keysOf(v)}, {"pushed requests", v.Pushed}, {"subjects", v.SubjectType}, {"sector", v.Sector},
						{"claims", claimWords(v.Claims)},
						{"userinfo signed by", v.UserinfoAlg}, {"resources", strings.Join(v.Resources, " ")},
						{"authorization details", strings.Join(v.DetailsTypes, " ")},
						{"after logout", strings.Join(v.PostLogout, " ")},
						{"back-channel logout", v.Backchannel}, {"front-channel logout", v.Frontchannel}, {"created", moment(r.Created)},
					} {
						if line[1] != "" {
							row(w, line[0], line[1])
						}
					}
				})
			})
		},
	}
}

// keysOf says where a client has its keys, and what they are called.
func keysOf(v clientView) string {
	if len(v.KeyIDs) == 0 {
		return v.Keys
	}
	var names []string
	for _, id := range v.KeyIDs {
		names = append(names, cmp.Or(id, "(one without a kid)"))
	}
	return v.Keys + ": " + strings.Join(names, ", ")
}

func (c *cli) clientRemove() *cobra.Command {
	return &cobra.Command{
		Use:   "remove ID",
		Short: "Remove a relying party and revoke what it was given",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.open(cmd.Context(), func(ctx context.Context, h *house) error {
				if _, err := h.client(ctx, args[0]); err != nil {
					return err
				}
				err := h.db.Atomically(ctx, func(ctx context.Context) error {
					if err := h.db.RemoveClient(ctx, args[0]); err != nil {
						return err
					}
					return h.record(ctx, provider.Event{Kind: provider.EventClient, ClientID: args[0], Detail: map[string]string{"act": "removed"}})
				})
				if err != nil {
					return err
				}
				return c.done("Client %s was removed, and what people allowed it.", args[0])
			})
		},
	}
}

func (c *cli) clientRotate() *cobra.Command {
	var given, keep bool
	cmd := &cobra.Command{
		Use:   "rotate-secret ID",
		Short: "Give a relying party a new secret",
		Long: `Rotate-secret makes a new secret and prints it once. The old ones end at once,
unless --keep leaves the last one good until the next rotation, so that the
client can be changed meanwhile.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.rotateSecret(cmd.Context(), args[0], given, keep)
		},
	}
	cmd.Flags().BoolVar(&given, "secret-stdin", false, "take the secret from the terminal or the first line of standard input")
	cmd.Flags().BoolVar(&keep, "keep", false, "leave the last secret good until the next rotation")
	return cmd
}

func (c *cli) rotateSecret(ctx context.Context, id string, given, keep bool) error {
	secret, err := c.clientSecret(given)
	if err != nil {
		return err
	}
	return c.open(ctx, func(ctx context.Context, h *house) error {
		var r provider.Client
		err := h.db.Atomically(ctx, func(ctx context.Context) (err error) {
			if r, err = h.client(ctx, id); err != nil {
				return err
			}
			if r.Public() {
				return fmt.Errorf("client %s is of type %s and has no secret", id, r.Type)
			}
			if r.HasKeys() {
				return fmt.Errorf("client %s authenticates by keys of its own and has no secret", id)
			}
			old := r.Secrets
			r.Secrets = []provider.Hash{sha256.Sum256([]byte(secret))}
			if keep && len(old) > 0 {
				r.Secrets = append(r.Secrets, old[0])
			}
			if err := h.db.SaveClient(ctx, r); err != nil {
				return err
			}
			return h.record(ctx, provider.Event{Kind: provider.EventClient, ClientID: id, Detail: map[string]string{"act": "secret rotated"}})
		})
		if err != nil {
			return err
		}
		done := "Client " + id + " has a new secret. The old ones have ended."
		if keep {
			done = "Client " + id + " has a new secret. The last one is good until the next rotation."
		}
		return c.showSecret(r, secret, given, done)
	})
}

// done says that something was done.
func (c *cli) done(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	return c.report(map[string]string{"done": text}, func(w io.Writer) { row(w, text) })
}
