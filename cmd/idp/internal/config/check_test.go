package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/certtest"
	"github.com/sallyport-id/sallyport/cmd/idp/internal/config"
)

// good is a configuration that is refused by nobody; each case below spoils
// one thing of it.
const good = `
issuer: https://id.example.com
listen: 127.0.0.1:8080
database: {sqlite: idp.db}
secrets:
  sealing: [{id: k1, key: kKJzVYJtF+lnQq1Hn5NSGgsUYPPBwNbrOnv6bhHRVzE=}]
  tokens: [{secret: o7yMnjVpXv0OrwZTBzNYRdXkfl0q4cmNWbFqQ1uzCcs=}]
scopes: {payments: {floor: phr}}
clients:
  - id: wiki
    type: web
    redirect_uris: [https://wiki.example.com/cb]
    secret_sha256: [9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08]
  - {id: app, type: native, redirect_uris: ["com.example.app:/cb", "http://127.0.0.1/cb"]}
  - id: robot
    type: service
    secret_sha256: [9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a09]
`

// jwks is the public key of RFC 7517 appendix A.1.
const jwks = `{"keys":[{"kty":"EC","crv":"P-256","kid":"2026-a","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`

// spoiled returns good with the value at each path (as a.b.0.c) replaced by
// the YAML beside it, or removed where that is empty.
func spoiled(t *testing.T, changes ...string) string {
	t.Helper()
	var doc any
	if err := yaml.Unmarshal([]byte(good), &doc); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(changes); i += 2 {
		var value any
		if err := yaml.Unmarshal([]byte(changes[i+1]), &value); err != nil {
			t.Fatal(err)
		}
		doc = set(doc, strings.Split(changes[i], "."), value, changes[i+1] == "")
	}
	out, err := yaml.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func set(in any, path []string, value any, remove bool) any {
	if len(path) == 0 {
		return value
	}
	if l, ok := in.([]any); ok {
		i := int(path[0][0] - '0')
		l[i] = set(l[i], path[1:], value, remove)
		return l
	}
	m, ok := in.(map[string]any)
	if !ok {
		m = map[string]any{}
	}
	if remove && len(path) == 1 {
		delete(m, path[0])
		return m
	}
	m[path[0]] = set(m[path[0]], path[1:], value, remove)
	return m
}

func load(t *testing.T, text string, environ ...string) (config.Config, config.Problems) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "idp.yaml")
	write(t, path, text)
	c, err := config.Load(path, environ)
	var ps config.Problems
	if err != nil && !errors.As(err, &ps) {
		t.Fatal(err)
	}
	return c, ps
}

func TestAGoodConfigurationIsAccepted(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "jwks.json")
	write(t, keys, jwks)
	for _, changes := range [][]string{
		nil,
		{"issuer", "https://example.com/login"},
		{"issuer", "http://127.0.0.1:9000"},
		{"issuer", "http://localhost:9000", "passwords.insecure_cheap_cost", "true"},
		{"issuer", "http://[::1]:9000"},
		{"listen", ":8443", "trusted_proxies", "[10.0.0.0/8, 'fd00::/8', 192.0.2.1]"},
		{"passwords.memory_kib", "47104", "passwords.iterations", "1"},
		{"lifetimes.refresh", "365d"},
		{"limits", "{token: off, passwords: 20/1h}"},
		{"lifetimes.pushed_request", "10m"},
		{"clients.0.redirect_uris", "[http://localhost:3000/cb, 'http://[::1]:3000/cb']"},
		{"clients.0.pkce", "optional"},
		{"clients.2.introspects", "true"},
		{"clients.0.subject_type", "pairwise", "clients.1.subject_type", "pairwise", "clients.1.sector", "example.com"},
		{"clients.0.userinfo_algorithm", "ES256"},
		{"clients.0.claims", "[{name: groups}, {name: n, from: name, in: [access_token, userinfo]}, {name: 'https://a.example/b', value: {c: [1, 2.5, null, true]}}]"},
		{"clients.0.claims", "[{name: groups, in: [access_token]}]", "clients.0.scopes", "[reports]"},
		{"clients.0.secret_sha256", "", "clients.0.jwks_file", keys},
		{"clients.2.secret_sha256", "", "clients.2.jwks_uri", "https://robot.example.com:8443/jwks.json"},
		{"issuer", "http://127.0.0.1:9000", "clients.0.secret_sha256", "", "clients.0.jwks_uri", "http://localhost:3000/jwks"},
		{"clients.0.pushed_requests", "required"},
		{"clients.1.pushed_requests", "required"},
		{"lifetimes.refresh_grace", "0s"},
		{"lifetimes.refresh_grace", "60s"},
		{"clients.0.resources", "[https://api.example.com, urn:example:api, 'http://[::1]:9/x?y=z']"},
		{"clients.0.continues_to", "[https://www.example.com, 'https://x.example.com:8443']"},
		{"clients.0.post_logout_redirect_uris", "[https://elsewhere.example.com/bye]", "clients.1.post_logout_redirect_uris", "['com.example.app:/bye']"},
		{"clients.0.backchannel_logout_uri", "https://elsewhere.example.com/out?x=1", "clients.0.frontchannel_logout_uri", "https://wiki.example.com/out?x=1"},
		{"clients.0.backchannel_logout_uri", "https://10.1.2.3/out", "private_networks", "[10.1.0.0/16, 192.0.2.7, 'fd00::/8']"},
		{"clients.0.backchannel_logout_uri", "http://localhost:3000/out", "issuer", "http://127.0.0.1:9000"},
		{"clients.0.backchannel_logout_uri", "http://127.0.0.1:3000/out", "private_networks", "[127.0.0.1]"},
		{"database.sqlite", "", "database.postgres", "postgresql://u:p@db:5432/idp?sslmode=disable"},
		{"database.sqlite", "", "database.postgres", "postgres://db/idp"},
		{"clients", ""},
		{"floor", "pwd", "passwords.min_length", "15"},
		{"levels", "[{name: one, ways: [[pwd]]}, {name: two, aliases: ['urn:2'], ways: [[pwd, otp]]}]", "floor", "urn:2", "scopes", ""},
	} {
		if _, ps := load(t, spoiled(t, changes...)); ps != nil {
			t.Errorf("%v: refused:\n%v", changes, ps)
		}
	}
}

// AD-1: each is refused with its key and the reason, and nothing else is said.
func TestUnsafeConfigurationIsRefused(t *testing.T) {
	dir := t.TempDir()
	certtest.Write(t, dir+"/a")
	certtest.Write(t, dir+"/b")
	write(t, filepath.Join(dir, "file"), "text")
	write(t, filepath.Join(dir, "empty"), "\n")
	write(t, filepath.Join(dir, "short"), "hunter2")
	write(t, filepath.Join(dir, "huge.png"), strings.Repeat("x", 300<<10))
	write(t, filepath.Join(dir, "public"), jwks)
	write(t, filepath.Join(dir, "private"), strings.Replace(jwks, `"kid"`, `"d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE","kid"`, 1))
	write(t, filepath.Join(dir, "nokeys"), `{"keys":[]}`)

	const k32 = "kKJzVYJtF+lnQq1Hn5NSGgsUYPPBwNbrOnv6bhHRVzE="
	cases := 0
	for _, c := range []struct {
		key, reason string
		changes     []string
	}{
		// The issuer, and where it listens.
		{"issuer", "is missing", []string{"issuer", ""}},
		{"issuer", "http is for this machine alone", []string{"issuer", "http://id.example.com"}},
		{"issuer", "http is for this machine alone", []string{"issuer", "http://127.0.0.1.example.com"}},
		{"issuer", "http is for this machine alone", []string{"issuer", "http://0.0.0.0:8080"}},
		{"issuer", "must begin with https://", []string{"issuer", "ftp://id.example.com"}},
		{"issuer", "no URL with a host", []string{"issuer", "id.example.com"}},
		{"issuer", "no URL with a host", []string{"issuer", "https:///login"}},
		{"issuer", "must not have a query", []string{"issuer", "https://id.example.com?a=b"}},
		{"issuer", "must not have a query", []string{"issuer", "https://id.example.com?"}},
		{"issuer", "must not have a fragment", []string{"issuer", "'https://id.example.com#x'"}},
		{"issuer", "must not hold a user name", []string{"issuer", "https://me:pw@id.example.com"}},
		{"issuer", "must not end in /", []string{"issuer", "https://id.example.com/"}},
		{"issuer", "does not stay as it is written", []string{"issuer", "https://id.example.com/a/../b"}},
		{"issuer", "lower case", []string{"issuer", "https://ID.example.com"}},
		{"issuer", "must not name the port", []string{"issuer", "https://id.example.com:443"}},
		{"listen", "an address and a port", []string{"listen", "localhost"}},
		{"listen", "has no port", []string{"listen", "'127.0.0.1:'"}},
		{"listen", "not a name", []string{"listen", "id.example.com:8080"}},
		{"listen", "over plain HTTP", []string{"listen", "0.0.0.0:8080"}},
		{"listen", "while the issuer is for this one", []string{"listen", ":8080", "issuer", "http://127.0.0.1:8080", "trusted_proxies", "[10.0.0.1]"}},
		{"trusted_proxies[0]", "no IP address or network", []string{"trusted_proxies", "[proxy.internal]"}},
		{"trusted_proxies[1]", "no IP address or network", []string{"trusted_proxies", "[10.0.0.1, 10.0.0.0/40]"}},
		{"trusted_proxies[0]", "is everyone", []string{"trusted_proxies", "[0.0.0.0/0]"}},
		{"tls.cert", "cannot be read", []string{"tls.cert", dir + "/none.crt", "tls.key", dir + "/a.key"}},
		{"tls.key", "cannot be read", []string{"tls.cert", dir + "/a.crt", "tls.key", dir + "/none.key"}},
		{"tls.key", "is missing", []string{"tls.cert", dir + "/a.crt"}},
		{"tls.cert", "is missing", []string{"tls.key", dir + "/a.key"}},
		{"tls.cert", "no certificate with its key", []string{"tls.cert", dir + "/a.crt", "tls.key", dir + "/b.key"}},

		// The database and secrets.
		{"database", "is missing", []string{"database", ""}},
		{"database.postgres", "leave one out", []string{"database.postgres", "postgres://db/idp"}},
		{"database.postgres", "is no URL", []string{"database.sqlite", "", "database.postgres", "mysql://db/idp"}},
		{"database.postgres", "is no URL", []string{"database.sqlite", "", "database.postgres", "host=db dbname=idp"}},
		{"database.postgres_file", "cannot be read", []string{"database.sqlite", "", "database.postgres_file", "none", "database.postgres", ""}},
		{"database.sqlite", "without ?", []string{"database.sqlite", "idp.db?_journal=off"}},
		{"database.migrate", "not one of auto, refuse", []string{"database.migrate", "always"}},
		{"secrets.sealing", "is empty", []string{"secrets.sealing", "[]"}},
		{"secrets.sealing[0].key", "is empty", []string{"secrets.sealing.0.key", "''"}},
		{"secrets.sealing[0].key", "too short", []string{"secrets.sealing.0.key", "aHVudGVyMg=="}},
		{"secrets.sealing[0].key", "not base64", []string{"secrets.sealing.0.key", "'my cat is called Tom, she is 12'"}},
		{"secrets.sealing[0].key", "not random", []string{"secrets.sealing.0.key", strings.Repeat("A", 43) + "="}},
		{"secrets.sealing[0].key", "exactly 32 bytes", []string{"secrets.sealing.0.key", "kKJzVYJtF+lnQq1Hn5NSGgsUYPPBwNbrOnv6bhHRVzEAAAAA"}},
		{"secrets.sealing[0].key", "leave one out", []string{"secrets.sealing.0.key_file", dir + "/file"}},
		{"secrets.sealing[0].key_file", "cannot be read", []string{"secrets.sealing.0", "{id: k1, key_file: none}"}},
		{"secrets.sealing[0].key_file", "an empty file", []string{"secrets.sealing.0", "{id: k1, key_file: " + dir + "/empty}"}},
		{"secrets.sealing[0].id", "letters, digits", []string{"secrets.sealing.0.id", "''"}},
		{"secrets.sealing[1].id", "stands twice", []string{"secrets.sealing", "[{id: a, key: " + k32 + "}, {id: a, key: BXmDqWu5Ij0b6TQnSiF0DmzG2SMFIfAf60Mf7M3xd9k=}]"}},
		{"secrets.sealing[1].key", "same as secrets.sealing[0].key", []string{"secrets.sealing", "[{id: a, key: " + k32 + "}, {id: b, key: " + k32 + "}]"}},
		{"secrets.tokens", "is empty", []string{"secrets.tokens", ""}},
		{"secrets.tokens[0].secret", "too short", []string{"secrets.tokens.0.secret", "c2hvcnQ"}},
		{"secrets.tokens[0].secret", "is empty", []string{"secrets.tokens", "[{}]"}},
		{"secrets.tokens[0].secret", "same as secrets.sealing[0].key", []string{"secrets.tokens.0.secret", k32}},

		// Policy.
		{"floor", "is no level; there are pwd, mfa, phr", []string{"floor", "gold"}},
		{"floor", "is no level", []string{"floor", "''"}},
		{"floor", "nobody could reach", []string{"floor", "phr"}},
		{"floor", "a password alone", []string{"floor", "pwd"}}, // PW-1
		{"clients[1].floor", "a password alone", []string{"clients.1.floor", "pwd", "passwords.min_length", "14"}},
		{"scopes.payments.floor", "is no level", []string{"scopes.payments.floor", "gold"}},
		{"scopes.payments", "asks for nothing", []string{"scopes.payments.floor", ""}},
		{"scopes.payments.once", "takes more than a password", []string{"scopes.payments", "{floor: pwd, once: true}"}},
		{"scopes.payments.once", "takes more than a password", []string{"scopes.payments", "{max_age: 1h, once: true}"}},
		{"scopes.payments.max_age", "negative", []string{"scopes.payments", "{max_age: -1s}"}},
		{"scopes.payments.factor_max_age", "negative", []string{"scopes.payments", "{factor_max_age: -1s}"}},
		{"scopes.payments.text.en", "people see it", []string{"scopes.payments", `{text: {en: "a\nb"}}`}},
		{"resources", "is no absolute URI", []string{"resources", "{api: {floor: mfa}}"}},
		{"resources.https://api.example", "asks for nothing", []string{"resources", "{'https://api.example': {}}"}},
		{"resources.https://api.example.floor", "is no level", []string{"resources", "{'https://api.example': {floor: gold}}"}},
		{"clients[0].max_age", "whole seconds", []string{"clients.0.max_age", "1ms"}},
		{"clients[0].factor_max_age", "whole seconds", []string{"clients.0.factor_max_age", "-1s"}},
		{"scopes.payments.factor_max_age", "means nothing beside once", []string{"scopes.payments", "{floor: mfa, once: true, factor_max_age: 1m}"}},
		{"authorization_details.pay.schema_file", "is missing", []string{"authorization_details", "{pay: {floor: mfa, show: {en: x}}}"}},
		{"authorization_details.pay.schema_file", "cannot be read", []string{"authorization_details", "{pay: {schema_file: none.json, floor: mfa, show: {en: x}}}"}},
		{"clients[0].authorization_details_types[0]", "is none of those", []string{"clients.0.authorization_details_types", "[pay]"}},
		{"levels[0].ways[0]", "is no method", []string{"levels", "[{name: mfa, ways: [[pwd, sms]]}]", "scopes", ""}},
		{"levels[0].ways", "nobody could reach", []string{"levels", "[{name: pwd}, {name: mfa, ways: [[pwd, otp]]}]", "scopes", ""}},
		{"levels[0].ways[1]", "everybody would reach", []string{"levels", "[{name: mfa, ways: [[pwd], []]}]", "scopes", ""}},
		{"levels[1].name", "stands twice", []string{"levels", "[{name: mfa, ways: [[pwd]]}, {name: phr, aliases: [mfa], ways: [[pop]]}]"}},
		{"levels[0].name", "no spaces", []string{"levels", "[{name: 'two factors', ways: [[pwd]]}, {name: phr, ways: [[pwd, otp]]}]", "floor", "phr"}},
		{"enrolment", "not one of inline, ticket, forbidden", []string{"enrolment", "anyone"}},
		{"totp.algorithm", "not one of SHA1, SHA256, SHA512", []string{"totp.algorithm", "MD5"}},
		{"totp.digits", "6 or 8", []string{"totp.digits", "4"}},
		{"passwords.min_length", "from 8", []string{"passwords.min_length", "6"}},
		{"passwords.memory_kib", "is refused", []string{"passwords.memory_kib", "1024"}},
		{"passwords.memory_kib", "from 1 to", []string{"passwords.memory_kib", "99999999"}},
		{"passwords.memory_kib", "is refused", []string{"passwords.iterations", "1"}},
		{"passwords.memory_kib", "protects nothing", []string{"passwords", "{memory_kib: 64, iterations: 1, parallelism: 1}"}},
		{"passwords.iterations", "from 1", []string{"passwords.iterations", "0", "issuer", "http://127.0.0.1:1", "passwords.insecure_cheap_cost", "true"}},
		{"passwords.parallelism", "from 1", []string{"passwords.parallelism", "0"}},
		{"passwords.insecure_cheap_cost", "is for trials", []string{"passwords.insecure_cheap_cost", "true"}},
		{"lifetimes.code", "from 10s to 1m", []string{"lifetimes.code", "24h"}},
		{"lifetimes.pushed_request", "from 5s to 10m", []string{"lifetimes.pushed_request", "1h"}},
		{"lifetimes.pushed_request", "is 0s", []string{"lifetimes.pushed_request", "0s"}},
		{"lifetimes.session", "is no duration", []string{"lifetimes.session", "soon"}},
		{"limits.token", "is no rate; write 1200/1m", []string{"limits.token", "many"}},
		{"limits.token", "is no rate", []string{"limits.token", "10/48h"}},
		{"lifetimes.session", "is no duration", []string{"lifetimes.session", "3600"}},
		{"lifetimes.access_token", "is -5m0s", []string{"lifetimes.access_token", "-5m"}},
		{"lifetimes.id_token", "is 0s", []string{"lifetimes.id_token", "0s"}},
		{"lifetimes.session_idle", "longer than lifetimes.session", []string{"lifetimes.session_idle", "24h"}},
		{"lifetimes.refresh_grace", "from 0s to 1m", []string{"lifetimes.refresh_grace", "61s"}},
		{"lifetimes.refresh_grace", "is -1s", []string{"lifetimes.refresh_grace", "-1s"}},
		{"lifetimes.refresh_idle", "longer than lifetimes.refresh", []string{"lifetimes.refresh_idle", "100d"}},
		{"keys.rotate", "from 10s", []string{"keys.rotate", "1s"}},
		{"brand.accent", "is no colour", []string{"brand.accent", "'red; background: url(//evil)'"}},
		{"brand.name", "1 to 64", []string{"brand.name", "' '"}},
		{"brand.name", "without colons", []string{"brand.name", "'a: b'"}},
		{"brand.logo", "cannot be read", []string{"brand.logo", "none.svg"}},
		{"brand.logo", "must be an .svg or .png", []string{"brand.logo", dir + "/file"}},
		{"brand.logo", "larger than", []string{"brand.logo", dir + "/huge.png"}},
		{"templates", "no directory", []string{"templates", dir + "/file"}},
		{"templates", "cannot be read", []string{"templates", dir + "/none"}},
		{"log.format", "not one of json, text", []string{"log.format", "xml"}},
		{"log.level", "not one of debug", []string{"log.level", "loud"}},
		{"notify.smtp.from", "no mail address", []string{"notify.smtp", "{host: mail.example.com, from: me}"}},
		{"notify.smtp.security", "on this machine", []string{"notify.smtp", "{host: mail.example.com, from: a@b.example, security: none}"}},
		{"notify.smtp.password", "need each other", []string{"notify.smtp", "{host: mail.example.com, from: a@b.example, username: me}"}},
		{"notify.smtp.host", "is missing", []string{"notify.smtp", "{from: a@b.example}"}},

		// Clients.
		{"clients[1].id", "stands twice, also at clients[0]", []string{"clients.1.id", "wiki"}},
		{"clients[0].id", "is missing", []string{"clients.0.id", ""}},
		{"clients[0].id", "letters, digits", []string{"clients.0.id", "'a b'"}},
		{"clients[0].name", "control characters", []string{"clients.0.name", `"a\u202eb"`}},
		{"clients[0].type", "not one of web, spa, native, service", []string{"clients.0.type", "mobile"}},
		{"clients[0].redirect_uris[0]", "has a wildcard", []string{"clients.0.redirect_uris", "['https://*.example.com/cb']"}},
		{"clients[0].redirect_uris[0]", "has a wildcard", []string{"clients.0.redirect_uris", "['https://wiki.example.com/*']"}},
		{"clients[0].redirect_uris[0]", "over http anyone", []string{"clients.0.redirect_uris", "[http://wiki.example.com/cb]"}},
		{"clients[0].redirect_uris[0]", "for native clients", []string{"clients.0.redirect_uris", "['com.example.wiki:/cb']"}},
		{"clients[0].redirect_uris[0]", "for native clients", []string{"clients.0.redirect_uris", "['javascript:alert(1)']"}},
		{"clients[1].redirect_uris[0]", "in reverse", []string{"clients.1.redirect_uris", "['myapp:/cb']"}},
		{"clients[1].redirect_uris[0]", "in reverse", []string{"clients.1.redirect_uris", "['data:text/html,x']"}},
		{"clients[0].redirect_uris[0]", "fragment", []string{"clients.0.redirect_uris", "['https://wiki.example.com/#cb']"}},
		{"clients[0].redirect_uris[0]", "no absolute URI", []string{"clients.0.redirect_uris", "[/cb]"}},
		{"clients[0].redirect_uris[0]", "user name or password", []string{"clients.0.redirect_uris", "['https://wiki.example.com@evil.example/']"}},
		{"clients[0].redirect_uris[1]", "stands twice", []string{"clients.0.redirect_uris", "[https://a.example/, https://a.example/]"}},
		{"clients[0].redirect_uris", "is empty", []string{"clients.0.redirect_uris", "[]"}},
		{"clients[2].redirect_uris", "has no redirect URIs", []string{"clients.2.redirect_uris", "[https://a.example/]"}},
		{"clients[0].pkce", "not one of required, optional", []string{"clients.0.pkce", "plain"}},
		{"clients[1].pkce", "cannot be optional for a native client", []string{"clients.1.pkce", "optional"}},
		{"clients[1].secret_sha256", "keeps no secret", []string{"clients.1.secret_sha256", "[9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08]"}},
		{"clients[0].secret_sha256", "needs a secret", []string{"clients.0.secret_sha256", ""}},
		{"clients[0].secret_sha256[0]", "is no SHA-256", []string{"clients.0.secret_sha256", "[hunter2]"}},
		{"clients[0].secret_files[0]", "at least 32", []string{"clients.0.secret_files", "[" + dir + "/short]"}},
		{"clients[0].grant_types[0]", "is not offered", []string{"clients.0.grant_types", "[implicit, authorization_code]"}},
		{"clients[0].grant_types[0]", "is not offered", []string{"clients.0.grant_types", "[password, authorization_code]"}},
		{"clients[0].grant_types", "needs authorization_code", []string{"clients.0.grant_types", "[refresh_token]"}},
		{"clients[1].grant_types[0]", "needs a secret", []string{"clients.1.grant_types", "[client_credentials]"}},
		{"clients[2].grant_types[0]", "for clients that people use", []string{"clients.2.grant_types", "[authorization_code]"}},
		{"clients[0].scopes[0]", "no scope", []string{"clients.0.scopes", "['openid profile']"}},
		{"clients[0].scopes[1]", "needs the grant type refresh_token", []string{"clients.0.scopes", "[openid, offline_access]", "clients.0.grant_types", "[authorization_code]"}},
		{"clients[2].scopes[0]", "about a person", []string{"clients.2.scopes", "[openid]"}},
		{"clients[0].algorithm", "not one of RS256, ES256", []string{"clients.0.algorithm", "none"}},
		{"clients[0].algorithm", "not one of RS256, ES256", []string{"clients.0.algorithm", "HS256"}},
		{"clients[0].access_tokens", "not one of jwt, opaque", []string{"clients.0.access_tokens", "paseto"}},
		{"clients[0].jwks_file", "no JWK Set", []string{"clients.0.secret_sha256", "", "clients.0.jwks_file", dir + "/short"}},
		{"clients[0].jwks_file", "key 1 is private: it has the member d", []string{"clients.0.secret_sha256", "", "clients.0.jwks_file", dir + "/private"}},
		{"clients[0].jwks_file", "there is no key", []string{"clients.0.secret_sha256", "", "clients.0.jwks_file", dir + "/nokeys"}},
		{"clients[0].jwks_uri", "no secret beside them", []string{"clients.0.jwks_uri", "https://wiki.example.com/jwks"}},
		{"clients[0].jwks_uri", "leave one out", []string{"clients.0.secret_sha256", "", "clients.0.jwks_uri", "https://a.example/", "clients.0.jwks_file", dir + "/public"}},
		{"clients[1].jwks_uri", "keeps no private key", []string{"clients.1.jwks_uri", "https://app.example.com/jwks"}},
		{"clients[0].jwks_uri", "over http anyone", []string{"clients.0.secret_sha256", "", "clients.0.jwks_uri", "http://wiki.example.com/jwks"}},
		{"clients[0].jwks_uri", "over http anyone", []string{"clients.0.secret_sha256", "", "clients.0.jwks_uri", "http://127.0.0.1/jwks"}},
		{"clients[0].jwks_uri", "in a private network", []string{"clients.0.secret_sha256", "", "clients.0.jwks_uri", "https://10.20.0.7/jwks"}},
		{"clients[0].jwks_uri", "no URL with a host", []string{"clients.0.secret_sha256", "", "clients.0.jwks_uri", "file:///etc/passwd"}},
		{"clients[1].introspects", "needs a secret", []string{"clients.1.introspects", "true"}},
		{"clients[0].introspects", "is text where", []string{"clients.0.introspects", "'maybe'"}},
		{"clients[0].pushed_requests", "not one of required, optional", []string{"clients.0.pushed_requests", "true"}},
		{"clients[0].pushed_requests", "cannot be required of a spa client", []string{"clients.0.pushed_requests", "required", "clients.0.type", "spa", "clients.0.secret_sha256", ""}},
		{"clients[2].pushed_requests", "authorization_code only", []string{"clients.2.pushed_requests", "required"}},
		{"clients[0].resources[0]", "no absolute URI", []string{"clients.0.resources", "[api.example.com]"}},
		{"clients[0].resources[1]", "no absolute URI", []string{"clients.0.resources", "[https://api.example.com, 'https://api.example.com/#x']"}},
		{"clients[0].resources[0]", "no absolute URI", []string{"clients.0.resources", "['https://api.example.com/a b']"}},
		{"clients[0].resources[0]", "no absolute URI", []string{"clients.0.resources", "[https://api.example.com/é]"}},
		{"clients[2].resources[1]", "stands twice", []string{"clients.2.resources", "[urn:example:api, urn:example:api]"}},
		{"clients[1].floor", "nobody could reach", []string{"clients.1.floor", "phr"}},
		{"clients[0].floor", "is no level", []string{"clients.0.floor", "gold"}},
		{"clients[0].initiate_login_uri", "over http anyone", []string{"clients.0.initiate_login_uri", "http://wiki.example.com/login"}},
		{"private_networks[1]", "no IP address or network", []string{"private_networks", "[10.0.0.0/8, intranet]"}},
		{"private_networks[0]", "everything", []string{"private_networks", "['0.0.0.0/0']"}},
		{"clients[0].post_logout_redirect_uris[0]", "over http anyone", []string{"clients.0.post_logout_redirect_uris", "[http://wiki.example.com/bye]"}},
		{"clients[0].post_logout_redirect_uris[1]", "stands twice", []string{"clients.0.post_logout_redirect_uris", "[https://a.example/, https://a.example/]"}},
		{"clients[0].backchannel_logout_uri", "over http anyone", []string{"clients.0.backchannel_logout_uri", "http://wiki.example.com/out"}},
		{"clients[0].backchannel_logout_uri", "in a private network", []string{"clients.0.backchannel_logout_uri", "https://10.1.2.3/out"}},
		{"clients[0].backchannel_logout_uri", "in a private network", []string{"clients.0.backchannel_logout_uri", "https://10.1.2.3/out", "private_networks", "[10.2.0.0/16]"}},
		{"clients[0].backchannel_logout_uri", "in a private network", []string{"clients.0.backchannel_logout_uri", "http://localhost:3000/out"}},
		{"clients[0].backchannel_logout_uri", "in a private network", []string{"clients.0.backchannel_logout_uri", "'https://[fd00::1]/out'"}},
		{"clients[0].frontchannel_logout_uri", "fragment", []string{"clients.0.frontchannel_logout_uri", "'https://wiki.example.com/#out'"}},
		{"clients[0].frontchannel_logout_uri", "not at the origin", []string{"clients.0.frontchannel_logout_uri", "https://other.example.com/out"}},
		{"clients[0].frontchannel_logout_uri", "not at the origin", []string{"clients.0.frontchannel_logout_uri", "https://wiki.example.com:8443/out"}},
		{"clients[0].continues_to[0]", "no origin", []string{"clients.0.continues_to", "['https://*.example.com']"}},
		{"clients[0].continues_to[0]", "no origin", []string{"clients.0.continues_to", "['https://a.example.com/path']"}},
		{"clients[0].subject_type", "not one of public, pairwise", []string{"clients.0.subject_type", "private"}},
		{"clients[0].sector", "subject_type: pairwise only", []string{"clients.0.sector", "example.com"}},
		{"clients[0].sector", "is no host name", []string{"clients.0.subject_type", "pairwise", "clients.0.sector", "https://example.com/"}},
		{"clients[0].sector", "is needed", []string{"clients.0.subject_type", "pairwise", "clients.0.redirect_uris", "[https://a.example/, https://b.example/]"}},
		{"clients[0].sector", "is needed", []string{"clients.0.subject_type", "pairwise", "clients.0.redirect_uris", "[http://localhost/]"}},
		{"clients[1].sector", "is needed", []string{"clients.1.subject_type", "pairwise"}},
		{"clients[1].sector", "is needed", []string{"clients.1.subject_type", "pairwise", "clients.1.redirect_uris", "['com.example.app:/cb']"}},
		{"clients[2].subject_type", "about people", []string{"clients.2.subject_type", "pairwise", "clients.2.sector", "example.com"}},
		{"clients[0].claims[0].name", "1 to 256 characters", []string{"clients.0.claims", "[{from: groups}]"}},
		{"clients[0].claims[0].name", "1 to 256 characters", []string{"clients.0.claims", "[{name: a b}]"}},
		{"clients[0].claims[0].name", "how a token speaks of itself", []string{"clients.0.claims", "[{name: sub, from: email}]"}},
		{"clients[0].claims[0].name", "how a token speaks of itself", []string{"clients.0.claims", "[{name: acr, value: phr}]"}},
		{"clients[0].claims[0].name", "how a token speaks of itself", []string{"clients.0.claims", "[{name: cnf, value: {jkt: x}}]"}},
		{"clients[0].claims[1].name", "stands twice", []string{"clients.0.claims", "[{name: a}, {name: a, in: [access_token]}]"}},
		{"clients[0].claims[0].from", "no claim of a user", []string{"clients.0.claims", "[{name: a, from: sub}]"}},
		{"clients[0].claims[0].value", "leave one out", []string{"clients.0.claims", "[{name: a, from: email, value: b}]"}},
		{"clients[0].claims[0].value", "dates in quotes", []string{"clients.0.claims", "[{name: a, value: {b: [2026-11-22]}}]"}},
		{"clients[0].claims[0].value", "no text", []string{"clients.0.claims", "[{name: a, value: [{1: b}]}]"}},
		{"clients[0].claims[0].value", "nothing that JSON can say", []string{"clients.0.claims", "[{name: a, value: .nan}]"}},
		{"clients[0].claims[0].in", "not one of id_token, userinfo, access_token", []string{"clients.0.claims", "[{name: a, in: [refresh_token]}]"}},
		{"clients[0].claims[0].in", "opaque ones say nothing", []string{"clients.0.claims", "[{name: a, in: [access_token]}]", "clients.0.access_tokens", "opaque"}},
		{"clients[0].claims[0].in", "is needed", []string{"clients.0.claims", "[{name: a}]", "clients.0.scopes", "[profile]"}},
		{"clients[0].claims[0].in", "without the scope openid", []string{"clients.0.claims", "[{name: a, in: [userinfo]}]", "clients.0.scopes", "[profile]"}},
		{"clients[2].claims", "about people", []string{"clients.2.claims", "[{name: a}]"}},
		{"clients[0].claims[0].form", "unknown key", []string{"clients.0.claims", "[{name: a, form: email}]"}},
		{"clients[0].userinfo_algorithm", "not one of RS256, ES256", []string{"clients.0.userinfo_algorithm", "none"}},

		// Form.
		{"isuer", "unknown key", []string{"isuer", "https://id.example.com"}},
		{"clients[0].redirect_uri", "unknown key", []string{"clients.0.redirect_uri", "https://a.example/"}},
		{"clients", "is text where a list belongs", []string{"clients", "wiki"}},
		{"totp.digits", "is text where a number belongs", []string{"totp.digits", "six"}},
		{"secrets.sealing", "is text where a list belongs", []string{"secrets.sealing", k32}},
	} {
		cases++
		t.Run(fmt.Sprintf("%d %s %s", cases, c.key, c.reason), func(t *testing.T) {
			text := spoiled(t, c.changes...)
			_, ps := load(t, text)
			if len(ps) != 1 || ps[0].Key != c.key || !strings.Contains(ps[0].Reason, c.reason) {
				t.Fatalf("got %d problems, want one with %s that says %q:\n%v", len(ps), c.key, c.reason, ps)
			}
			if strings.Contains(ps.Error(), k32[:6]) {
				t.Errorf("the problem quotes a secret: %v", ps)
			}
		})
	}
}

func TestProblemsNameFileAndLine(t *testing.T) {
	text := "issuer: https://id.example.com\ndatabase:\n  sqlite: idp.db\n  postgress: x\n"
	_, err := config.Parse("idp.yaml", []byte(text))
	if got, want := err.Error(), "idp.yaml:4: database.postgress: unknown key"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// What stands in a list has its own line; what is missing, that of what is
	// around it.
	_, ps := load(t, strings.Replace(good, "com.example.app:/cb", "app:/cb", 1))
	if len(ps) != 1 || ps[0].Line != 14 {
		t.Errorf("got %v, want line 14", ps)
	}
	_, ps = load(t, strings.Replace(good, "    redirect_uris: [https://wiki.example.com/cb]\n", "", 1))
	if len(ps) != 1 || ps[0].Line != 10 {
		t.Errorf("got %v, want line 10", ps)
	}
	for _, c := range []struct{ text, want string }{
		{"issuer: [", "idp.yaml"},
		{"", "is empty"},
		{"# nothing\n", "is empty"},
		{"issuer: a\nissuer: b\n", "idp.yaml:2: issuer: stands twice"},
		{"issuer: a\n---\nissuer: b\n", "second document"},
	} {
		_, err := config.Parse("idp.yaml", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.text, err, c.want)
		}
	}
}

func TestEverythingWrongIsSaidAtOnce(t *testing.T) {
	_, ps := load(t, spoiled(t, "issuer", "http://id.example.com", "floor", "gold", "clients.0.type", "mobile", "foo", "bar"))
	var got []string
	for _, p := range ps {
		got = append(got, p.Key)
	}
	for _, want := range []string{"issuer", "floor", "clients[0].type", "foo"} {
		if !strings.Contains(strings.Join(got, " "), want) {
			t.Errorf("nothing is said of %s, only of %v", want, got)
		}
	}
}

func TestTheEnvironmentOverridesSecrets(t *testing.T) {
	a, b, tok := secret(), secret(), secret()
	c, ps := load(t, spoiled(t, "notify.smtp", "{host: mail.example.com, from: a@b.example, username: me, password: old}"),
		"SALLYPORT_POSTGRES=postgres://db/idp",
		"SALLYPORT_SEALING_KEYS=new:"+a+" old:"+b,
		"SALLYPORT_TOKEN_SECRETS="+tok,
		"SALLYPORT_SMTP_PASSWORD=new")
	if ps != nil {
		t.Fatal(ps)
	}
	if c.Database.SQLite != "" || string(c.Database.Postgres) != "postgres://db/idp" {
		t.Errorf("the database is %+v", c.Database)
	}
	if len(c.Secrets.Sealing) != 2 || c.Secrets.Sealing[0].ID != "new" || string(c.Secrets.Sealing[1].Key) != b {
		t.Error("SALLYPORT_SEALING_KEYS did not replace the sealing keys")
	}
	if len(c.Secrets.Tokens) != 1 || string(c.Secrets.Tokens[0].Secret) != tok {
		t.Error("SALLYPORT_TOKEN_SECRETS did not replace the token secrets")
	}
	if string(c.Notify.SMTP.Password) != "new" {
		t.Error("SALLYPORT_SMTP_PASSWORD did not replace the password")
	}
}

func TestSecretsComeFromFiles(t *testing.T) {
	dir, key := t.TempDir(), secret()
	write(t, filepath.Join(dir, "k"), key+"\r\n")
	c, ps := load(t, spoiled(t, "secrets.sealing.0", "{id: k1, key_file: "+dir+"/k}"))
	if ps != nil || string(c.Secrets.Sealing[0].Key) != key {
		t.Errorf("the sealing key in a file was not read: %v", ps)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	text, err := os.ReadFile("../../../../config.example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("lifetimes: {code: {a: b}}\nclients: [&a {id: *a}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := config.Parse("idp.yaml", text)
		if ps := (config.Problems)(nil); err != nil && (!errors.As(err, &ps) || len(ps) == 0) {
			t.Errorf("got %v, want problems", err)
		}
	})
}
