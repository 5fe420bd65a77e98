package test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"golang.org/x/net/html"

	"github.com/sallyport-id/sallyport/provider"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The document says exactly what is there: a change of it shows in review.
// OpenID Connect Discovery section 3, RFC 8414 section 2, RFC 9207 section 3.
func TestTheMetadataSayWhatIsThere(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		var found []string
		for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
			a := ask(t, s, get(t, path))
			if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "public, max-age=300" {
				t.Errorf("%s: %d %v", path, a.status, a.header)
			}
			var b bytes.Buffer
			if err := json.Indent(&b, []byte(a.body), "", "\t"); err != nil {
				t.Fatal(err)
			}
			found = append(found, b.String()+"\n")
		}
		if found[0] != found[1] {
			t.Error("the two documents differ")
		}
		golden(t, "testdata/metadata.golden", found[0])
	})
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("not as in %s; if it is meant, run with -update. Got:\n%s", file, got)
	}
}

// What the document says is supported is; TestEachParameter… shows what is not.
func TestWhatTheMetadataNameAnswers(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		m := ask(t, s, get(t, "/.well-known/openid-configuration")).json(t)
		for name, want := range map[string]string{
			"authorization_endpoint": "400 client", "token_endpoint": "405 method",
			"revocation_endpoint": "405 method", "pushed_authorization_request_endpoint": "405 method", "introspection_endpoint": "405 method", "userinfo_endpoint": "401", "jwks_uri": "200",
		} {
			path, ours := strings.CutPrefix(m[name].(string), issuer)
			if a := ask(t, s, get(t, path)); !ours || a.says() != want {
				t.Errorf("%s at %s: %s, want %s", name, m[name], a.says(), want)
			}
		}
		for name, of := range map[string]func(v string) (param, value string){
			"prompt_values_supported": func(v string) (string, string) { return "prompt", v },
			"acr_values_supported":    func(v string) (string, string) { return "acr_values", v },
			"scopes_supported":        func(v string) (string, string) { return "scope", v },
			"ui_locales_supported":    func(v string) (string, string) { return "ui_locales", v },
			"response_modes_supported": func(v string) (string, string) {
				return "response_mode", v
			},
		} {
			for _, v := range m[name].([]any) {
				param, value := of(v.(string))
				want := accepted
				if value == "none" {
					want = "→app login_required"
				}
				if a := ask(t, s, get(t, "/authorize?"+with(authorization(), param, value).Encode())); a.says() != want {
					t.Errorf("%s=%s: %s, want %s", param, value, a.says(), want)
				}
			}
		}
	})
}

// TK-4: verifiers keep the keys for no longer than the next is published ahead.
func TestTheKeySetIsKeptForNoLongerThanKeysAreAhead(t *testing.T) {
	for ahead, want := range map[time.Duration]string{
		0: "public, max-age=300", time.Hour: "public, max-age=300", 2500 * time.Millisecond: "public, max-age=2",
	} {
		story(t, func(t *testing.T, dsn string) {
			s := newStage(t, dsn, plan{provider: func(c *provider.Config) { c.KeysAhead = ahead }})
			if got := ask(t, s, get(t, "/jwks.json")).header.Get("Cache-Control"); got != want {
				t.Errorf("ahead by %v: %q, want %q", ahead, got, want)
			}
		})
	}
}

// TK-4: every published key, its public half, and nothing more.
func TestTheKeySetIsPublicKeysOnly(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		a := ask(t, s, get(t, "/jwks.json"))
		if a.header.Get("Content-Type") != "application/jwk-set+json" || a.header.Get("Cache-Control") != "public, max-age=300" {
			t.Errorf("got %v", a.header)
		}
		var set jose.JSONWebKeySet
		if err := json.Unmarshal([]byte(a.body), &set); err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, k := range set.Keys {
			ids = append(ids, k.KeyID)
			if !k.IsPublic() || !k.Valid() || k.Use != "sig" || k.KeyID != kid(k.Key) {
				t.Errorf("got %+v", k)
			}
		}
		var want []string
		for _, k := range testKeys {
			want = append(want, k.ID)
		}
		if !slices.Equal(ids, want) {
			t.Errorf("kids %v, want %v", ids, want)
		}
		for _, private := range []string{`"d"`, `"p"`, `"q"`, `"dp"`, `"dq"`, `"qi"`, `"k"`} { // RFC 7518 section 6
			if strings.Contains(a.body, private) {
				t.Errorf("%s is in the key set", private)
			}
		}
	})
}

// AD-2: behind a path, and two in one process, each a house of its own.
func TestTwoProvidersUnderPathsDoNotCollide(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		other := newHouse(t, dsn, plan{provider: func(c *provider.Config) { c.Issuer = issuer + "/two" }})
		root := http.NewServeMux()
		root.Handle("/", s.house)
		root.Handle("/two/", other)
		root.Handle("/.well-known/oauth-authorization-server/two", other) // RFC 8414 section 3.1
		s.net["idp.example"] = root
		phone := s.keyring("sub-alice")

		for _, path := range []string{"/two/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/two"} {
			m := ask(t, root, get(t, path)).json(t)
			for name, v := range m {
				url, ok := v.(string)
				if ok && !strings.HasPrefix(url, issuer+"/two") {
					t.Errorf("%s: %s is %s", path, name, url)
				}
			}
		}
		b := s.browser
		for _, base := range []string{"", "/two"} {
			b.open(issuer + base + "/authorize?" + authorization().Encode())
			if !strings.HasPrefix(b.page.url.Path, base+"/flow/") {
				t.Fatalf("at %s", b.page.text())
			}
			b.submit("password", "username", "alice", "password", "correct horse battery")
			if base == "" {
				b.submit("otp", "code", phone.code(0))
				b.submit("consent", "decision", "allow")
			} else {
				// The first one's session is none here: a code is asked for again.
				b.submit("otp", "code", phone.code(1))
			}
			if q := b.page.url.Query(); q.Get("iss") != issuer+base || q.Get("code") == "" {
				t.Fatalf("at %s", b.page.text())
			}
		}
		// The style sheet is found where the page says.
		b.open(issuer + "/two/authorize?" + with(authorization(), "prompt", "login").Encode())
		style := ""
		walk(b.page.doc, func(n *html.Node) {
			if n.Data == "link" && attr(n, "rel") == "stylesheet" {
				style = attr(n, "href")
			}
		})
		if !strings.HasPrefix(style, "/two/assets/") || ask(t, root, get(t, style)).status != http.StatusOK {
			t.Errorf("no style sheet at %q", style)
		}
		// A token of the one is none at the other.
		token := s.tokens(with(authorization(), "scope", "openid")).text(t, "access_token")
		if a := ask(t, root, get(t, "/two/userinfo", "Authorization", "Bearer "+token)); a.says() != "401 invalid_token" {
			t.Errorf("the other's token: %s, want 401 invalid_token", a.says())
		}
		if a := ask(t, root, get(t, "/userinfo", "Authorization", "Bearer "+token)); a.status != http.StatusOK {
			t.Errorf("its own: %s", a.says())
		}
	})
}
