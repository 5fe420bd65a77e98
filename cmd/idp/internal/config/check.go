package config

import (
	"cmp"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-id/sallyport/storage/password"
)

// check judges everything. Each function looks at one matter.
func (c Config) check(r *report) {
	c.checkIssuer(r)
	c.checkListen(r)
	c.checkDatabase(r)
	c.checkSecrets(r)
	c.checkLevels(r)
	c.checkFactors(r)
	c.checkPasswords(r)
	c.checkLifetimes(r)
	c.checkLooks(r)
	c.checkSMTP(r)
	c.checkClients(r)
}

// checkIssuer holds the issuer to OpenID Connect Discovery section 3 and to
// the form in which browsers and relying parties compare it.
func (c Config) checkIssuer(r *report) {
	const key = "issuer"
	if c.Issuer == "" {
		r.add(key, "is missing; it is the URL that people and relying parties reach this server by, such as https://id.example.com")
		return
	}
	u, err := url.Parse(c.Issuer)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		r.add(key, "is no URL with a host; write it as https://id.example.com")
	case u.Scheme != "https" && u.Scheme != "http":
		r.add(key, "must begin with https://")
	case u.Scheme == "http" && !IsLoopback(u.Hostname()):
		r.add(key, "must begin with https://: http is for this machine alone, 127.0.0.1, [::1] or localhost")
	case u.User != nil:
		r.add(key, "must not hold a user name or password")
	case u.RawQuery != "" || u.ForceQuery:
		r.add(key, "must not have a query")
	case u.Fragment != "" || strings.Contains(c.Issuer, "#"):
		r.add(key, "must not have a fragment")
	case strings.HasSuffix(u.Path, "/"):
		r.add(key, "must not end in /: relying parties compare it letter by letter")
	case u.Path != "" && path.Clean(u.Path) != u.Path || u.RawPath != "":
		r.add(key, "has a path that does not stay as it is written")
	case u.Host != strings.ToLower(u.Host):
		r.add(key, "must have its host in lower case, as browsers write it")
	case u.Scheme == "https" && u.Port() == "443", u.Scheme == "http" && u.Port() == "80":
		r.add(key, "must not name the port that is understood, as browsers leave it out")
	}
}

// IsLoopback reports whether host, without a port, is this machine.
func IsLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || host == "localhost"
}

// Base returns the path that the provider is mounted under, without a slash at
// its end.
func (c Config) Base() string {
	u, err := url.Parse(c.Issuer)
	if err != nil {
		return ""
	}
	return u.Path
}

// Loopback reports whether the issuer is a plain http one, for this machine
// alone, where what is unsafe elsewhere is allowed.
func (c Config) Loopback() bool {
	u, err := url.Parse(c.Issuer)
	return err == nil && u.Scheme == "http" && IsLoopback(u.Hostname())
}

func (c Config) checkListen(r *report) {
	host, port, err := net.SplitHostPort(c.Listen)
	switch {
	case err != nil:
		r.add("listen", "must be an address and a port, such as 127.0.0.1:8080 or :8443")
	case port == "":
		r.add("listen", "has no port")
	case host != "" && host != "localhost" && net.ParseIP(host) == nil:
		r.add("listen", "must be an IP address of this machine, not a name")
	}
	for i, p := range c.TrustedProxies {
		if prefix, err := ParseProxy(p); err != nil {
			r.add(index("trusted_proxies", i), "%q is no IP address or network, such as 10.0.0.7 or 10.0.0.0/8", p)
		} else if prefix.Bits() == 0 {
			r.add(index("trusted_proxies", i), "%q is everyone: any client could name any address as its own", p)
		}
	}
	for i, s := range c.PrivateNetworks {
		if prefix, err := ParseProxy(s); err != nil {
			r.add(index("private_networks", i), "%q is no IP address or network, such as 10.0.0.7 or 10.0.0.0/8", s)
		} else if prefix.Bits() == 0 {
			r.add(index("private_networks", i), "%q is everything, this machine and the metadata service of a cloud among it; name what clients are in", s)
		}
	}
	switch {
	case c.TLS.Cert == "" && c.TLS.Key != "":
		r.add("tls.cert", "is missing; tls.key needs it")
	case c.TLS.Cert != "" && c.TLS.Key == "":
		r.add("tls.key", "is missing; tls.cert needs it")
	case c.TLS.Cert != "":
		c.checkCertificate(r)
	case err == nil && !IsLoopback(host) && c.Loopback():
		r.add("listen", "is open to other machines while the issuer is for this one; listen on 127.0.0.1")
	case err == nil && !IsLoopback(host) && len(c.TrustedProxies) == 0:
		// Behind a proxy that is not listed every address logged would be the
		// proxy's; without one, passwords would travel in the clear.
		r.add("listen", "is open to other machines over plain HTTP; set tls, or list the proxy in front in trusted_proxies")
	}
}

func (c Config) checkCertificate(r *report) {
	for _, f := range []struct{ key, path string }{{"tls.cert", c.TLS.Cert}, {"tls.key", c.TLS.Key}} {
		if _, err := os.Stat(f.path); err != nil {
			r.add(f.key, "cannot be read: %v", err)
			return
		}
	}
	if _, err := tls.LoadX509KeyPair(c.TLS.Cert, c.TLS.Key); err != nil {
		r.add("tls.cert", "and tls.key are no certificate with its key: %v", err)
	}
}

// ParseProxy reads one entry of trusted_proxies.
func ParseProxy(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

// Private returns the networks that this server may send requests to where
// clients are in them.
func (c Config) Private() (all []netip.Prefix, err error) {
	for _, s := range c.PrivateNetworks {
		p, err := ParseProxy(s)
		if err != nil {
			return nil, fmt.Errorf("private_networks: %w", err)
		}
		all = append(all, p)
	}
	return all, nil
}

func (c Config) checkDatabase(r *report) {
	d := c.Database
	switch {
	case d.SQLite == "" && d.Postgres == "" && d.PostgresFile != "":
		// That the file cannot be read was said.
	case d.SQLite == "" && d.Postgres == "":
		r.add("database", "is missing; name a file in database.sqlite or a DSN in database.postgres")
	case d.SQLite != "" && d.Postgres != "":
		r.add("database.postgres", "stands beside database.sqlite; leave one out")
	case d.SQLite != "" && strings.ContainsAny(d.SQLite, "?#%"):
		// They would be read as options of the connection.
		r.add("database.sqlite", "must be the path of a file, without ?, # or %%")
	case d.Postgres != "":
		if u, err := url.Parse(string(d.Postgres)); err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
			r.add("database.postgres", "is no URL of a PostgreSQL database; write postgres://user@host/name")
		}
	}
	oneOf(r, "database.migrate", d.Migrate, "", "auto", "refuse")
}

var keyID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// sealing is what an AEAD of 256 bits needs.
const sealing = 32

func (c Config) checkSecrets(r *report) {
	seen := map[string]string{}
	again := func(key string, b []byte) {
		if other, ok := seen[string(b)]; ok {
			r.add(key, "is the same as %s; each secret is for one purpose", other)
		}
		seen[string(b)] = key
	}
	if len(c.Secrets.Sealing) == 0 {
		r.add("secrets.sealing", "is empty; without a sealing key TOTP secrets would lie open in the database")
	}
	ids := map[string]bool{}
	for i, k := range c.Secrets.Sealing {
		at := index("secrets.sealing", i)
		if !keyID.MatchString(k.ID) {
			r.add(at+".id", "must be 1 to 32 letters, digits, - or _: it stands beside all that the key sealed")
		} else if ids[k.ID] {
			r.add(at+".id", "%q stands twice", k.ID)
		}
		ids[k.ID] = true
		switch b, err := k.Key.random(sealing); {
		case k.Key == "" && k.KeyFile != "": // said before
		case k.Key == "":
			r.add(at+".key", "is empty; make one with: openssl rand -base64 32")
		case err != nil:
			r.add(at+".key", "%v", err)
		case len(b) != sealing:
			r.add(at+".key", "must be exactly 32 bytes, not %d", len(b))
		default:
			again(at+".key", b)
		}
	}
	if len(c.Secrets.Tokens) == 0 {
		r.add("secrets.tokens", "is empty; without a secret anyone could make tokens")
	}
	for i, s := range c.Secrets.Tokens {
		at := index("secrets.tokens", i) + ".secret"
		switch b, err := s.Secret.random(32); {
		case s.Secret == "" && s.SecretFile != "": // said before
		case s.Secret == "":
			r.add(at, "is empty; make one with: openssl rand -base64 32")
		case err != nil:
			r.add(at, "%v", err)
		default:
			again(at, b)
		}
	}
}

func (c Config) checkFactors(r *report) {
	oneOf(r, "enrolment", c.Enrolment, "inline", "ticket", "forbidden")
	oneOf(r, "totp.algorithm", c.TOTP.Algorithm, "SHA1", "SHA256", "SHA512")
	if c.TOTP.Digits != 6 && c.TOTP.Digits != 8 {
		r.add("totp.digits", "must be 6 or 8, which authenticator apps know")
	}
}

// Cost returns what hashing a password costs.
func (p Passwords) Cost() password.Cost {
	if p.InsecureCheapCost {
		return password.Cheap()
	}
	return password.Cost{Memory: uint32(p.MemoryKiB), Time: uint32(p.Iterations), Threads: uint8(p.Parallelism)}
}

func (c Config) checkPasswords(r *report) {
	p := c.Passwords
	if p.MinLength < 8 || p.MinLength > 64 {
		// NIST SP 800-63B-4 section 3.1.1.2.
		r.add("passwords.min_length", "must be from 8 to 64")
	}
	switch {
	case p.InsecureCheapCost && !c.Loopback():
		r.add("passwords.insecure_cheap_cost", "is for trials: only an issuer http://127.0.0.1, http://[::1] or http://localhost may have it")
	case p.MemoryKiB < 1 || p.MemoryKiB > 1<<20:
		r.add("passwords.memory_kib", "must be from 1 to %d, and is taken for each password that is checked", 1<<20)
	case p.Iterations < 1 || p.Iterations > 100:
		r.add("passwords.iterations", "must be from 1 to 100")
	case p.Parallelism < 1 || p.Parallelism > 64:
		r.add("passwords.parallelism", "must be from 1 to 64")
	case !p.InsecureCheapCost && p.Cost().IsCheap():
		r.add("passwords.memory_kib", "protects nothing; for a trial, say so: insecure_cheap_cost: true")
	default:
		if err := p.Cost().Check(); err != nil {
			r.add("passwords.memory_kib", "is refused: %v", err)
		}
	}
}

func (c Config) checkLifetimes(r *report) {
	l := c.Lifetimes
	for _, v := range []struct {
		key         string
		value       Duration
		least, most time.Duration
	}{
		{"lifetimes.session_idle", l.SessionIdle, time.Minute, 30 * day},
		{"lifetimes.session", l.Session, time.Minute, 365 * day},
		{"lifetimes.code", l.Code, 10 * time.Second, time.Minute}, // OA-5
		// RFC 9126 section 2.2 has 5 to 600 seconds for an example.
		{"lifetimes.pushed_request", l.Pushed, 5 * time.Second, 10 * time.Minute},
		{"lifetimes.id_token", l.IDToken, time.Minute, day},
		{"lifetimes.access_token", l.AccessToken, time.Minute, day},
		{"lifetimes.refresh_idle", l.RefreshIdle, time.Minute, 365 * day},
		{"lifetimes.refresh", l.Refresh, time.Minute, 5 * 365 * day},
		{"lifetimes.once", l.Once, time.Minute, time.Hour},
		{"lifetimes.refresh_grace", l.RefreshGrace, 0, time.Minute},
		{"keys.rotate", c.Keys.Rotate, 10 * time.Second, 2 * 365 * day},
	} {
		if d := time.Duration(v.value); d < v.least || d > v.most {
			r.add(v.key, "is %v; it must be from %v to %v", v.value, Duration(v.least), Duration(v.most))
		}
	}
	if l.SessionIdle > l.Session {
		r.add("lifetimes.session_idle", "must not be longer than lifetimes.session")
	}
	if l.RefreshIdle > l.Refresh {
		r.add("lifetimes.refresh_idle", "must not be longer than lifetimes.refresh")
	}
}

var accent = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

func (c Config) checkLooks(r *report) {
	if strings.TrimSpace(c.Brand.Name) == "" || len(c.Brand.Name) > 64 || !plain(c.Brand.Name, 64) || strings.Contains(c.Brand.Name, ":") {
		// Authenticator apps take what stands before a colon for the issuer.
		r.add("brand.name", "must be 1 to 64 bytes, without colons and control characters")
	}
	if c.Brand.Accent != "" && !accent.MatchString(c.Brand.Accent) {
		r.add("brand.accent", "%q is no colour; write it as #1d5c4b", c.Brand.Accent)
	}
	if f, err := os.Stat(c.Brand.Logo); c.Brand.Logo != "" {
		switch ext := strings.ToLower(path.Ext(c.Brand.Logo)); {
		case err != nil:
			r.add("brand.logo", "cannot be read: %v", err)
		case ext != ".svg" && ext != ".png":
			r.add("brand.logo", "must be an .svg or .png file")
		case f.Size() > 256<<10:
			r.add("brand.logo", "is larger than 256 KiB, and every page carries it")
		}
	}
	if c.Templates != "" {
		if f, err := os.Stat(c.Templates); err != nil {
			r.add("templates", "cannot be read: %v", err)
		} else if !f.IsDir() {
			r.add("templates", "%s is no directory", c.Templates)
		}
	}
	oneOf(r, "log.format", c.Log.Format, "json", "text")
	oneOf(r, "log.level", c.Log.Level, "debug", "info", "warn", "error")
}

func (c Config) checkSMTP(r *report) {
	s := c.Notify.SMTP
	if s.Host == "" {
		if s.Username != "" || s.From != "" || s.Password != "" {
			r.add("notify.smtp.host", "is missing; the rest of notify.smtp means nothing without it")
		}
		return
	}
	if s.Port < 1 || s.Port > 65535 {
		r.add("notify.smtp.port", "must be from 1 to 65535")
	}
	if _, err := mail.ParseAddress(s.From); err != nil {
		r.add("notify.smtp.from", "%q is no mail address", s.From)
	}
	oneOf(r, "notify.smtp.security", s.Security, "starttls", "tls", "none")
	if s.Security == "none" && !IsLoopback(s.Host) {
		r.add("notify.smtp.security", "none is for a mail server on this machine; use starttls or tls")
	}
	if (s.Username == "") != (s.Password == "") {
		r.add("notify.smtp.password", "and username need each other")
	}
}

func oneOf(r *report, key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		named := slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return s == "" })
		r.add(key, "%q is not one of %s", value, strings.Join(named, ", "))
	}
}

// plain reports whether s is text to show: at most n characters, none of
// which controls a terminal or the direction of writing.
func plain(s string, n int) bool {
	return len([]rune(s)) <= n && !strings.ContainsFunc(s, func(c rune) bool {
		return c < ' ' || c >= 0x7f && c < 0xa0 ||
			c >= 0x200e && c <= 0x200f || c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069
	})
}

func isHash(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
