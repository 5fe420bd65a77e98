package config

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/sallyport-id/sallyport/provider"
)

// checkKeys judges the keys of a client (OpenID Connect Registration section
// 2).
func (conf Config) checkKeys(r *report, c provider.Client) {
	if !c.HasKeys() {
		return
	}
	switch {
	case c.Public():
		r.add("jwks_uri", "a %s client keeps no private key; leave its keys out or make it a web client", c.Type)
	case len(c.Secrets) > 0:
		r.add("jwks_uri", "a client with keys has no secret beside them, which would be an easier way in; leave one out")
	case len(c.Keys) > 0 && c.KeysURI != "":
		r.add("jwks_uri", "stands beside jwks_file; leave one out")
	}
	if len(c.Keys) > 0 {
		if _, err := provider.CheckKeys(c.Keys); err != nil {
			r.add("jwks_file", "%s", strings.TrimPrefix(err.Error(), provider.ErrKeys.Error()+": "))
		}
	}
	if c.KeysURI == "" {
		return
	}
	u, err := url.Parse(c.KeysURI)
	reason := webProblem(c.KeysURI)
	if err == nil && u.Scheme == "http" && !(conf.Loopback() && IsLoopback(u.Hostname())) {
		reason = "must begin with https://: over http anyone on the way could put in keys of their own"
	}
	if reason == "" && !conf.reaches(c.KeysURI) {
		reason = "is in a private network, which this server sends nothing to unless private_networks has it"
	}
	if reason != "" {
		r.add("jwks_uri", "%q %s", c.KeysURI, reason)
	}
}

// checkPushed judges whether a client that must push its authorization requests
// could.
func checkPushed(r *report, c provider.Client) {
	switch {
	case !c.Pushed:
	case c.Type == provider.SPA:
		r.add("pushed_requests", "cannot be required of a spa client: pages of other origins cannot push; leave it out or make it a web client")
	case !slices.Contains(c.GrantTypes, "authorization_code"):
		r.add("pushed_requests", "has a meaning with the grant type authorization_code only")
	}
}

// checkSubjects judges what a client calls its users (OpenID Connect Core
// section 8).
func checkSubjects(r *report, c provider.Client) {
	oneOf(r, "userinfo_algorithm", c.UserinfoAlgorithm, "", "RS256", "ES256")
	switch {
	case !c.Pairwise && c.Sector != "":
		r.add("sector", "has a meaning with subject_type: pairwise only")
	case c.Pairwise && c.Type == provider.Service:
		r.add("subject_type", "pairwise is about people, and a service client acts for itself")
	case c.Pairwise && c.SectorHost() == "":
		r.add("sector", "is needed: the redirect URIs have not one host of the client's own, after which the sector could be named")
	case c.Sector != "" && !sectorName(c.Sector):
		r.add("sector", "%q is no host name", c.Sector)
	}
}

func sectorName(s string) bool {
	u, err := url.Parse("https://" + s)
	return err == nil && u.Hostname() == s && s == strings.ToLower(s)
}

// checkResources judges the APIs that a client may ask tokens for (RFC 8707
// section 2).
func checkResources(r *report, c provider.Client) {
	for i, s := range c.Resources {
		if reason := resourceProblem(s); reason != "" {
			r.add(index("resources", i), "%q %s", s, reason)
		} else if slices.Contains(c.Resources[:i], s) {
			r.add(index("resources", i), "%q stands twice", s)
		}
	}
}

// resourceProblem says what is wrong with the URI of an API.
func resourceProblem(s string) string {
	if err := provider.CheckResource(s); err != nil {
		return err.Error()
	}
	if len(s) > 2048 {
		return "has more than 2048 characters"
	}
	return ""
}

// checkLogout judges where a client hears of logouts, and where people go
// after them.
func (conf Config) checkLogout(r *report, c provider.Client) {
	for i, u := range c.PostLogoutRedirectURIs {
		if reason := redirectProblem(c.Type, u); reason != "" {
			r.add(index("post_logout_redirect_uris", i), "%q %s", u, reason)
		} else if slices.Contains(c.PostLogoutRedirectURIs[:i], u) {
			r.add(index("post_logout_redirect_uris", i), "%q stands twice", u)
		}
	}
	for _, u := range []struct{ key, is string }{
		{"backchannel_logout_uri", c.BackchannelLogoutURI}, {"frontchannel_logout_uri", c.FrontchannelLogoutURI},
	} {
		if u.is == "" {
			continue
		}
		if reason := webProblem(u.is); reason != "" {
			r.add(u.key, "%q %s", u.is, reason)
		}
	}
	if u := c.BackchannelLogoutURI; webProblem(u) == "" && !conf.reaches(u) {
		r.add("backchannel_logout_uri", "%q is in a private network, which this server sends nothing to unless private_networks has it", u)
	}
	// OpenID Connect Front-Channel Logout section 2.
	if u := c.FrontchannelLogoutURI; u != "" && webProblem(u) == "" &&
		!slices.ContainsFunc(c.RedirectURIs, func(s string) bool { return sameOrigin(u, s) }) {
		r.add("frontchannel_logout_uri", "%q is not at the origin of any of the redirect URIs", u)
	}
}

// reaches reports whether this server would send a request to u. What a name
// resolves to is seen when it does.
func (conf Config) reaches(s string) bool {
	u, err := url.Parse(s)
	if err != nil {
		return true
	}
	host := u.Hostname()
	if host == "localhost" {
		host = "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	if ip = ip.Unmap(); err != nil || !ip.IsPrivate() && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() || ip.IsLoopback() && conf.Loopback() {
		return true
	}
	allowed, err := conf.Private()
	return err != nil || slices.ContainsFunc(allowed, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// sameOrigin reports whether two URLs have one scheme, host and port.
func sameOrigin(a, b string) bool {
	u, err1 := url.Parse(a)
	v, err2 := url.Parse(b)
	return err1 == nil && err2 == nil && u.Scheme == v.Scheme && u.Host == v.Host
}
