package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

// LeastSecret is the length of the shortest client secret that is taken from
// someone. Ours have 43 characters for 256 bits.
const LeastSecret = 32

var (
	clientID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	// A scope-token of RFC 6749 section 3.3.
	token = regexp.MustCompile(`^[\x21\x23-\x5b\x5d-\x7e]+$`)
	// A private-use scheme of RFC 8252 section 7.1: a domain name in reverse.
	privateUse = regexp.MustCompile(`^[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+$`)
)

func (c Config) checkClients(r *report) {
	seen := map[string]int{}
	for i, cl := range c.Clients {
		at := index("clients", i)
		if first, ok := seen[cl.ID]; ok && cl.ID != "" {
			r.add(at+".id", "%q stands twice, also at clients[%d]", cl.ID, first)
		}
		seen[cl.ID] = i
		oneOf(r, at+".pkce", cl.PKCE, "", "required", "optional")
		oneOf(r, at+".access_tokens", cl.AccessTokens, "", "jwt", "opaque")
		oneOf(r, at+".pushed_requests", cl.Pushed, "", "required", "optional")
		oneOf(r, at+".subject_type", cl.SubjectType, "", "public", "pairwise")
		for j, h := range cl.SecretSHA256 {
			if !isHash(h) {
				r.add(index(at+".secret_sha256", j), "is no SHA-256, 64 hexadecimal digits; make one with: printf %%s SECRET | sha256sum")
			}
		}
		for j, s := range cl.secrets {
			if len(s) < LeastSecret {
				r.add(index(at+".secret_files", j), "holds a secret of %d characters, at least %d are needed", len(s), LeastSecret)
			}
		}
		for j, claim := range cl.Claims {
			if _, err := claim.constant(); err != nil {
				r.add(index(at+".claims", j)+".value", "%v", err)
			}
		}
		for _, p := range c.CheckClient(cl.Record()) {
			r.add(at+"."+p.Key, "%s", p.Reason)
		}
	}
}

// Record returns the client as it is stored.
func (c Client) Record() provider.Client {
	r := provider.Client{
		ID: c.ID, Name: c.Name, Type: provider.ClientType(c.Type),
		RedirectURIs: c.RedirectURIs, Scopes: c.Scopes, GrantTypes: c.GrantTypes,
		FirstParty: c.FirstParty, PKCEOptional: c.PKCE == "optional", OpaqueTokens: c.AccessTokens == "opaque",
		Introspects: c.Introspects,
		Algorithm:   c.Algorithm, Floor: c.Floor,
		MaxAge: time.Duration(c.MaxAge), FactorMaxAge: time.Duration(c.FactorMaxAge),
		InitiateLoginURI: c.InitiateURI, ContinuesTo: c.ContinuesTo,
		KeysURI: c.JWKSURI, Pushed: c.Pushed == "required",
		Pairwise: c.SubjectType == "pairwise", Sector: c.Sector,
		UserinfoAlgorithm: c.UserinfoAlg, Resources: c.Resources, DetailsTypes: c.DetailsTypes,
		PostLogoutRedirectURIs: c.PostLogout,
		BackchannelLogoutURI:   c.Backchannel, FrontchannelLogoutURI: c.Frontchannel,
		Declared: true,
	}
	for _, claim := range c.Claims {
		r.Claims = append(r.Claims, claim.extraClaim())
	}
	if c.jwks != "" {
		r.Keys = []byte(c.jwks)
	}
	for _, h := range c.SecretSHA256 {
		var hash provider.Hash
		b, _ := hex.DecodeString(h) // judged by Check
		copy(hash[:], b)
		r.Secrets = append(r.Secrets, hash)
	}
	for _, s := range c.secrets {
		r.Secrets = append(r.Secrets, sha256.Sum256([]byte(s)))
	}
	return Complete(r)
}

// Complete fills in what a client that says no more means.
func Complete(c provider.Client) provider.Client {
	if c.Name == "" {
		c.Name = c.ID
	}
	if c.Type == "" {
		c.Type = provider.Web
	}
	if c.GrantTypes == nil {
		c.GrantTypes = []string{"authorization_code", "refresh_token"}
		if c.Type == provider.Service {
			c.GrantTypes = []string{"client_credentials"}
		}
	}
	if c.Scopes == nil && c.Type != provider.Service {
		c.Scopes = []string{"openid", "profile", "email"}
	}
	return c
}

// CheckClient says what is wrong with a client, whoever made it: a
// configuration file or a command. The keys are those of the file.
func (conf Config) CheckClient(c provider.Client) []Problem {
	r := &report{}
	if c.ID == "" {
		r.add("id", "is missing")
	} else if len(c.ID) > 128 || !clientID.MatchString(c.ID) {
		r.add("id", "%q must be at most 128 letters, digits, dots, - and _, and begin with a letter or digit", c.ID)
	}
	if !plain(c.Name, 128) {
		r.add("name", "must be at most 128 characters, without control characters: people see it")
	}
	oneOf(r, "type", string(c.Type), "web", "spa", "native", "service")
	oneOf(r, "algorithm", c.Algorithm, "", "RS256", "ES256")
	if c.Floor != "" {
		conf.checkFloor(r, "floor", c.Floor)
	}
	for key, age := range map[string]time.Duration{"max_age": c.MaxAge, "factor_max_age": c.FactorMaxAge} {
		if age < 0 || age%time.Second != 0 {
			r.add(key, "must be whole seconds, and not negative")
		}
	}
	checkSecret(r, c)
	if c.Public() && c.Introspects {
		r.add("introspects", "needs a secret, which a %s client cannot keep: anyone could ask in its name", c.Type)
	}
	checkGrants(r, c)
	checkPushed(r, c)
	checkScopes(r, c)
	for i, u := range c.RedirectURIs {
		if reason := redirectProblem(c.Type, u); reason != "" {
			r.add(index("redirect_uris", i), "%q %s", u, reason)
		} else if slices.Contains(c.RedirectURIs[:i], u) {
			r.add(index("redirect_uris", i), "%q stands twice", u)
		}
	}
	if u := c.InitiateLoginURI; u != "" {
		if reason := webProblem(u); reason != "" {
			r.add("initiate_login_uri", "%q %s", u, reason)
		}
	}
	conf.checkKeys(r, c)
	checkSubjects(r, c)
	checkClaims(r, c)
	checkResources(r, c)
	for i, name := range c.DetailsTypes {
		if _, ok := conf.Details[name]; !ok {
			r.add(index("authorization_details_types", i), "%q is none of those under authorization_details", name)
		}
	}
	conf.checkLogout(r, c)
	for i, o := range c.ContinuesTo {
		u, err := url.Parse(o)
		if err != nil || webProblem(o) != "" || u.Path != "" || u.RawQuery != "" {
			r.add(index("continues_to", i), "%q is no origin; write it as https://app.example.com, without a path", o)
		}
	}
	return r.problems
}

func checkSecret(r *report, c provider.Client) {
	switch {
	case c.Public() && len(c.Secrets) > 0:
		r.add("secret_sha256", "a %s client keeps no secret: everyone can read its code; leave the secret out or make it a web client", c.Type)
	case c.Public() && c.PKCEOptional:
		r.add("pkce", "cannot be optional for a %s client: nothing else binds the code to it", c.Type)
	case !c.Public() && len(c.Secrets) == 0 && !c.HasKeys():
		r.add("secret_sha256", "a %s client needs a secret; give secret_sha256 or secret_files, or keys of its own in jwks_file or jwks_uri", c.Type)
	}
}

func checkGrants(r *report, c provider.Client) {
	for i, g := range c.GrantTypes {
		switch {
		case g == "implicit" || g == "password":
			r.add(index("grant_types", i), "%q is not offered: it hands tokens or passwords to the wrong hands (RFC 9700 section 2)", g)
		case !slices.Contains([]string{"authorization_code", "refresh_token", "client_credentials"}, g):
			r.add(index("grant_types", i), "%q is not one of authorization_code, refresh_token, client_credentials", g)
		case g == "client_credentials" && c.Public():
			r.add(index("grant_types", i), "client_credentials needs a secret, which a %s client cannot keep", c.Type)
		case c.Type == provider.Service && g != "client_credentials":
			r.add(index("grant_types", i), "%q is for clients that people use; a service client has client_credentials alone", g)
		}
	}
	has := func(g string) bool { return slices.Contains(c.GrantTypes, g) }
	switch {
	case c.Type == provider.Service && len(c.RedirectURIs) > 0:
		r.add("redirect_uris", "a service client acts for itself and has no redirect URIs; leave them out or make it a web client")
	case has("authorization_code") && len(c.RedirectURIs) == 0 && c.Type != provider.Service:
		r.add("redirect_uris", "is empty; the browser could not be sent back to the client")
	case has("refresh_token") && !has("authorization_code"):
		r.add("grant_types", "refresh_token needs authorization_code beside it")
	case len(c.GrantTypes) == 0:
		r.add("grant_types", "is empty; the client could do nothing")
	}
}

func checkScopes(r *report, c provider.Client) {
	for i, s := range c.Scopes {
		switch {
		case len(s) > 256 || !token.MatchString(s):
			r.add(index("scopes", i), "%q is no scope: no spaces, quotes or backslashes", s)
		case slices.Contains(c.Scopes[:i], s):
			r.add(index("scopes", i), "%q stands twice", s)
		case s == "openid" && c.Type == provider.Service:
			r.add(index("scopes", i), "openid is about a person, and a service client acts for itself")
		case s == "offline_access" && !slices.Contains(c.GrantTypes, "refresh_token"):
			r.add(index("scopes", i), "offline_access needs the grant type refresh_token")
		}
	}
}

// redirectProblem says what is wrong with a redirect URI of a client of type
// t, "" if nothing. RFC 9700 section 4.1.3, RFC 8252 sections 7 and 8.4.
func redirectProblem(t provider.ClientType, s string) string {
	u, err := url.Parse(s)
	switch {
	case err != nil || !u.IsAbs():
		return "is no absolute URI"
	case strings.Contains(s, "*"):
		return "has a wildcard: whoever owns one matching place would get the codes; list each URI"
	case strings.Contains(s, "#"):
		return "must not have a fragment"
	case !plain(s, 2048) || strings.ContainsAny(s, " \\"):
		return "has characters that do not belong in a URI"
	case u.Scheme == "https" || u.Scheme == "http":
		return webProblem(s)
	case t != provider.Native:
		return "must begin with https://; schemes of an app's own are for native clients"
	case !privateUse.MatchString(u.Scheme):
		return "needs a scheme that is a domain name of yours in reverse, such as com.example.app: any app can take another"
	}
	return ""
}

// webProblem says what is wrong with the URL of a page of a client.
func webProblem(s string) string {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "":
		return "is no URL with a host"
	case strings.Contains(s, "*"):
		return "has a wildcard"
	case u.User != nil:
		return "must not hold a user name or password"
	case strings.Contains(s, "#"):
		return "must not have a fragment"
	case u.Scheme != "https" && u.Scheme != "http":
		return "must begin with https://"
	case u.Scheme == "http" && !IsLoopback(u.Hostname()):
		return "must begin with https://: over http anyone on the way reads the code"
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.IsUnspecified() {
		return "names no host"
	}
	return ""
}

func index(key string, i int) string { return fmt.Sprintf("%s[%d]", key, i) }
