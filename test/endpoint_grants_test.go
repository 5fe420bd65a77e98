package test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/sallyport-id/sallyport/provider"
)

// crossings is what /token answers to each grant, by each way in which a client
// can try to authenticate (RFC 6749 sections 2.3 and 5.2).
const crossings = `
                        | authorization_code     | refresh_token          | client_credentials      | unknown                    | none
basic                   | 200                    | 200                    | 200                     | 400 unsupported_grant_type | 400 invalid_request
post                    | 200                    | 200                    | 200                     | 400 unsupported_grant_type | 400 invalid_request
key by value            | 200                    | 200                    | 200                     | 400 unsupported_grant_type | 400 invalid_request
key by URI              | 200                    | 200                    | 200                     | 400 unsupported_grant_type | 400 invalid_request
public                  | 200                    | 200                    | 400 unauthorized_client | 400 unsupported_grant_type | 400 invalid_request
wrong client            | 400 invalid_grant      | 400 invalid_grant      | 200                     | 400 unsupported_grant_type | 400 invalid_request
wrong client, by key    | 400 invalid_grant      | 400 invalid_grant      | 200                     | 400 unsupported_grant_type | 400 invalid_request
nothing                 | 401 invalid_client     | 401 invalid_client     | 401 invalid_client      | 401 invalid_client         | 401 invalid_client
its name alone          | 401 invalid_client     | 401 invalid_client     | 401 invalid_client      | 401 invalid_client         | 401 invalid_client
wrong secret            | 401 invalid_client     | 401 invalid_client     | 401 invalid_client      | 401 invalid_client         | 401 invalid_client
wrong secret, posted    | 401 invalid_client     | 401 invalid_client     | 401 invalid_client      | 401 invalid_client         | 401 invalid_client
wrong key               | 401 invalid_client     | 401 invalid_client     | 401 invalid_client      | 401 invalid_client         | 401 invalid_client
wrong key, by URI       | 401 invalid_client     | 401 invalid_client     | 401 invalid_client      | 401 invalid_client         | 401 invalid_client
basic and post          | 401 invalid_client     | 401 invalid_client     | 401 invalid_client      | 401 invalid_client         | 401 invalid_client
basic and a key         | 401 invalid_client     | 401 invalid_client     | 401 invalid_client      | 401 invalid_client         | 401 invalid_client
post and a key          | 401 invalid_client     | 401 invalid_client     | 401 invalid_client      | 401 invalid_client         | 401 invalid_client
keys, by its name alone | 401 invalid_client     | 401 invalid_client     | 401 invalid_client      | 401 invalid_client         | 401 invalid_client
keys, by a secret       | 401 invalid_client     | 401 invalid_client     | 401 invalid_client      | 401 invalid_client         | 401 invalid_client
secret, by a key        | 401 invalid_client     | 401 invalid_client     | 401 invalid_client      | 401 invalid_client         | 401 invalid_client
public, by a secret     | 401 invalid_client     | 401 invalid_client     | 401 invalid_client      | 401 invalid_client         | 401 invalid_client
public, by a key        | 401 invalid_client     | 401 invalid_client     | 401 invalid_client      | 401 invalid_client         | 401 invalid_client
used assertion          | 401 invalid_client     | 401 invalid_client     | 401 invalid_client      | 401 invalid_client         | 401 invalid_client
`

// A credential is one way in which a client tries to authenticate.
type credential struct {
	owner   string // the client whose code or refresh token it is
	params  func(t *testing.T) url.Values
	headers []string
}

func none(*testing.T) url.Values { return nil }

// given returns parameters that are always the same.
func given(pairs ...string) func(*testing.T) url.Values {
	return func(*testing.T) url.Values { return values(pairs...) }
}

// own returns a new assertion of the client called id under the key called key.
func own(id, key string) func(*testing.T) url.Values {
	return func(t *testing.T) url.Values {
		return asserted(variation{key: key, header: members("kid", nil)}.sign(t, aboutItself(id)))
	}
}

func alsoGiven(a func(*testing.T) url.Values, pairs ...string) func(*testing.T) url.Values {
	return func(t *testing.T) url.Values { return both(a(t), values(pairs...)) }
}

var credentials = map[string]credential{
	"basic":                   {"secretive", none, []string{"Authorization", basic("secretive", appSecret)}},
	"post":                    {"secretive", given("client_id", "secretive", "client_secret", appSecret), nil},
	"key by value":            {"keyed", own("keyed", "ES256"), nil},
	"key by URI":              {"published", own("published", "ES256"), nil},
	"public":                  {"public", given("client_id", "public"), nil},
	"wrong client":            {"keyed", none, []string{"Authorization", basic("secretive", appSecret)}},
	"wrong client, by key":    {"secretive", own("keyed", "ES256"), nil},
	"nothing":                 {"secretive", none, nil},
	"its name alone":          {"secretive", given("client_id", "secretive"), nil},
	"wrong secret":            {"secretive", none, []string{"Authorization", basic("secretive", "wrong")}},
	"wrong secret, posted":    {"secretive", given("client_id", "secretive", "client_secret", "wrong"), nil},
	"wrong key":               {"keyed", own("keyed", "other"), nil},
	"wrong key, by URI":       {"published", own("published", "other"), nil},
	"basic and post":          {"secretive", given("client_id", "secretive", "client_secret", appSecret), []string{"Authorization", basic("secretive", appSecret)}},
	"basic and a key":         {"keyed", own("keyed", "ES256"), []string{"Authorization", basic("secretive", appSecret)}},
	"post and a key":          {"keyed", alsoGiven(own("keyed", "ES256"), "client_secret", appSecret), nil},
	"keys, by its name alone": {"keyed", given("client_id", "keyed"), nil},
	"keys, by a secret":       {"keyed", none, []string{"Authorization", basic("keyed", appSecret)}},
	"secret, by a key":        {"secretive", own("secretive", "ES256"), nil},
	"public, by a secret":     {"public", given("client_id", "public", "client_secret", appSecret), nil},
	"public, by a key":        {"public", alsoGiven(own("public", "ES256"), "client_id", "public"), nil},
	"used assertion":          {"keyed", nil, nil}, // made once, by the test
}

// ownWay is how each owner does authenticate.
var ownWay = map[string]credential{
	"secretive": credentials["basic"], "keyed": credentials["key by value"],
	"published": credentials["key by URI"], "public": credentials["public"],
}

// OA-8: every grant crossed with every client authentication. What was refused
// has used nothing up: the owner, who authenticates, gets theirs.
func TestEveryGrantByEveryAuthentication(t *testing.T) {
	rows, columns := crossed(t, crossings)
	onEach(t, func(t *testing.T, dsn string) {
		p := newPublisher(t)
		p.publish("/jwks", string(jwks(t, theKeys()["ES256"].jwk(t))))
		synctest.Test(t, func(t *testing.T) {
			s := newDesk(t, dsn, reachable)
			s.registerOwners(t, p.URL+"/jwks")
			spent := proof(t, "keyed")
			if a := ask(t, s, send(t, "/token", both(spent, values("grant_type", "client_credentials")))); a.says() != "200" {
				t.Fatalf("using an assertion: %s", a.says())
			}
			for _, name := range slices.Sorted(maps.Keys(credentials)) {
				is := credentials[name]
				if is.params == nil {
					is.params = func(*testing.T) url.Values { return spent }
				}
				if len(rows[name]) != len(columns) {
					t.Fatalf("%s has no row of %d answers", name, len(columns))
				}
				for i, grant := range columns {
					v := s.redeemable(t, is.owner, grant)
					a := ask(t, s, send(t, "/token", both(v, is.params(t)), is.headers...))
					what := name + ", " + grant
					if a.says() != rows[name][i] {
						t.Errorf("%s: %s, want %s", what, a.says(), rows[name][i])
					}
					properly(t, what, a)
					if a.status == http.StatusOK || grant != "authorization_code" && grant != "refresh_token" {
						continue
					}
					c := ownWay[is.owner]
					if a := ask(t, s, send(t, "/token", both(v, c.params(t)), c.headers...)); a.status != http.StatusOK {
						t.Errorf("%s: and afterwards its owner: %s", what, a.says())
					}
				}
			}
		})
	})
}

// registerOwners registers a client for each way to authenticate, which may do
// everything.
func (s *stage) registerOwners(t *testing.T, keysURI string) {
	t.Helper()
	base := provider.Client{Type: provider.Web, FirstParty: true, RedirectURIs: []string{appURL},
		GrantTypes: []string{"authorization_code", "refresh_token", "client_credentials"}}
	for id, is := range map[string]func(*provider.Client){
		"secretive": func(c *provider.Client) { c.Secrets = []provider.Hash{hash(appSecret)} },
		"keyed": func(c *provider.Client) { // though there be a secret, which is not to be registered beside them
			c.Keys, c.Secrets = jwks(t, theKeys()["ES256"].jwk(t)), []provider.Hash{hash(appSecret)}
		},
		"published": func(c *provider.Client) { c.KeysURI = keysURI },
		"public": func(c *provider.Client) {
			c.Type, c.GrantTypes = provider.SPA, []string{"authorization_code", "refresh_token"}
		},
	} {
		c := base
		c.ID = id
		is(&c)
		s.register(c)
	}
}

// redeemable returns a token request of this grant type, with what the client
// called owner was given.
func (s *stage) redeemable(t *testing.T, owner, grant string) url.Values {
	t.Helper()
	code := func() url.Values { return exchange(s.code(with(offline(), "client_id", owner))) }
	switch grant {
	case "authorization_code":
		return code()
	case "refresh_token":
		c := ownWay[owner]
		return refresh(ask(t, s, send(t, "/token", both(code(), c.params(t)), c.headers...)).text(t, "refresh_token"))
	case "unknown":
		return values("grant_type", "magic")
	case "none":
		return url.Values{}
	}
	return values("grant_type", grant)
}

// properly checks what holds for every answer of the token endpoint (RFC 6749
// sections 5.1 and 5.2).
func properly(t *testing.T, what string, a reply) {
	t.Helper()
	h := a.header
	if h.Get("Cache-Control") != "no-store" || h.Get("Pragma") != "no-cache" || !strings.HasPrefix(h.Get("Content-Type"), "application/json") {
		t.Errorf("%s: got %v", what, h)
	}
	if got := h.Get("WWW-Authenticate"); (a.status == http.StatusUnauthorized) != (got == fmt.Sprintf("Basic realm=%q", issuer)) {
		t.Errorf("%s: %d with WWW-Authenticate %q", what, a.status, got)
	}
	if _, ok := a.json(t)["access_token"]; ok != (a.status == http.StatusOK) || a.status != http.StatusOK && len(a.json(t)) != 2 {
		t.Errorf("%s: got %s", what, a.body)
	}
}

// crossed reads a table with names in its first row and column.
func crossed(t *testing.T, table string) (rows map[string][]string, columns []string) {
	t.Helper()
	rows = map[string][]string{}
	for line := range strings.Lines(strings.TrimPrefix(table, "\n")) {
		var cells []string
		for cell := range strings.SplitSeq(line, "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		if columns == nil {
			columns = cells[1:]
			continue
		}
		rows[cells[0]] = cells[1:]
	}
	return rows, columns
}
