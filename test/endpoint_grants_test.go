package test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-id/sallyport/provider"
)

// Each parameter of a refresh and of a service's request: absent, empty,
// repeated, too long, malformed. OA-3, OA-8.
func TestEachParameterOfTheOtherGrants(t *testing.T) {
	const grant, request, scope = "400 invalid_grant", "400 invalid_request", "400 invalid_scope"
	long := strings.Repeat("a", 50_000)
	common := map[string][]variant{
		"grant_type": {
			{"absent", nil, request}, {"empty", []string{""}, request}, {"repeated", []string{"refresh_token", "refresh_token"}, request},
			{"of another case", []string{"REFRESH_TOKEN"}, "400 unsupported_grant_type"}, {"long", []string{long}, "400 unsupported_grant_type"},
			{"of a device", []string{"urn:ietf:params:oauth:grant-type:device_code"}, "400 unsupported_grant_type"},
			{"of an assertion", []string{"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "400 unsupported_grant_type"},
			{"of an exchange", []string{"urn:ietf:params:oauth:grant-type:token-exchange"}, "400 unsupported_grant_type"},
		},
		"unknown":      {{"there", []string{"x"}, "200"}, {"empty", []string{""}, "200"}, {"repeated", []string{"x", "y"}, request}, {"long", []string{long}, "200"}},
		"code":         {{"there", []string{"AAAAAAAAAAAAAAAAAAAAAA.A"}, "200"}, {"repeated", []string{"a", "b"}, request}}, // of another grant
		"redirect_uri": {{"there", []string{"https://evil.example"}, "200"}, {"repeated", []string{appURL, appURL}, request}},
	}
	for kind, variants := range map[string]map[string][]variant{
		"refresh_token": {
			"refresh_token": {
				{"absent", nil, request}, {"empty", []string{""}, request}, {"repeated", []string{"a", "b"}, request}, {"unknown", []string{"slp_rt.AAAA.1.AAAA"}, grant},
				{"odd", []string{"\x00\xff.\x00"}, grant}, {"dots", []string{"...."}, grant}, {"a prefix", []string{"slp_rt"}, grant}, {"long", []string{long}, grant},
			},
			"scope": {
				{"absent", nil, "200"}, {"empty", []string{""}, "200"}, {"repeated", []string{"openid", "email"}, request}, {"more", []string{"openid phone"}, scope},
				{"less", []string{"openid"}, "200"}, {"spaces", []string{"  "}, scope}, {"odd", []string{"\x00\xff"}, scope}, {"long", []string{long}, scope},
				{"of another case", []string{"OPENID"}, scope}, {"by commas", []string{"openid,email"}, scope}, {"twice the same", []string{"openid openid"}, "200"},
			},
			"resource": {
				{"absent", nil, "200"}, {"empty", []string{""}, "200"}, {"repeated", []string{calendar, calendar}, "200"}, {"two", []string{calendar, mailbox}, "400 invalid_target"},
				{"relative", []string{"/api"}, "400 invalid_target"}, {"odd", []string{"\x00\xff"}, "400 invalid_target"}, {"long", []string{long}, "400 invalid_target"},
			},
		},
		"client_credentials": {
			"scope": {
				{"absent", nil, "200"}, {"empty", []string{""}, "200"}, {"repeated", []string{"jobs", "reports"}, request}, {"more", []string{"jobs admin"}, scope},
				{"less", []string{"jobs"}, "200"}, {"odd", []string{"\x00\xff"}, scope}, {"long", []string{long}, scope}, {"of another case", []string{"JOBS"}, scope},
				{"of a person", []string{"openid"}, scope},
			},
			"resource": {
				{"absent", nil, "200"}, {"empty", []string{""}, "200"}, {"repeated", []string{calendar, calendar}, "200"}, {"unknown", []string{mailbox}, "400 invalid_target"},
				{"relative", []string{"/api"}, "400 invalid_target"}, {"odd", []string{"\x00\xff"}, "400 invalid_target"}, {"long", []string{long}, "400 invalid_target"},
			},
		},
	} {
		variants["grant_type"] = common["grant_type"]
		for _, name := range []string{"unknown", "code", "redirect_uri"} {
			variants[name] = common[name]
		}
		story(t, func(t *testing.T, dsn string) {
			s := newDesk(t, dsn)
			robot := service
			robot.Resources = []string{calendar}
			s.register(robot)
			for _, name := range slices.Sorted(maps.Keys(variants)) {
				for _, is := range variants[name] {
					client, v := robot, url.Values{"grant_type": {"client_credentials"}}
					if kind == "refresh_token" {
						client, v = appClient, refresh(s.tokens(naming(offline(), calendar)).text(t, "refresh_token"))
					}
					a := s.as(client, "/token", with(v, name, is.values...))
					if a.says() != is.want {
						t.Errorf("%s, %s %s: %s, want %s", kind, name, is.name, a.says(), is.want)
					}
					if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Pragma") != "no-cache" || a.header.Get("Content-Type") != "application/json" {
						t.Errorf("%s, %s %s: got %v", kind, name, is.name, a.header)
					}
					if a.status == http.StatusOK {
						continue
					}
					if len(a.json(t)) != 2 || strings.Contains(a.body, "slp_") {
						t.Errorf("%s, %s %s: got %s", kind, name, is.name, a.body)
					}
					// A mistake has used nothing up.
					if a := s.as(client, "/token", v); a.status != http.StatusOK {
						t.Errorf("%s, %s %s: and then all right: %s", kind, name, is.name, a.says())
					}
				}
			}
		})
	}
}

// Each grant with each way to authenticate, by a client of each type: RFC 6749
// sections 2.3 and 5.2, OA-8. What fails uses nothing up.
func TestEachGrantWithEachClientAuthentication(t *testing.T) {
	const no, never = "401 invalid_client", "400 unauthorized_client"
	everything := []string{"authorization_code", "refresh_token", "client_credentials"}
	clients := []provider.Client{
		{ID: "web", Type: provider.Web, GrantTypes: everything},
		{ID: "a-web", Type: provider.Web, GrantTypes: everything[:1]},
		{ID: "spa", Type: provider.SPA, GrantTypes: everything[:2]},
		{ID: "native", Type: provider.Native, GrantTypes: everything[:2]},
		{ID: "native-robot", Type: provider.Native, GrantTypes: everything}, // registered by hand; config refuses it
		{ID: "service", Type: provider.Service, GrantTypes: everything[2:]},
	}
	ways := map[string]func(id string) (header []string, body url.Values){
		"basic": func(id string) ([]string, url.Values) { return []string{"Authorization", basic(id, appSecret)}, nil },
		"basic, wrong": func(id string) ([]string, url.Values) {
			return []string{"Authorization", basic(id, appSecret+"x")}, nil
		},
		"basic, no password": func(id string) ([]string, url.Values) { return []string{"Authorization", basic(id, "")}, nil },
		"post": func(id string) ([]string, url.Values) {
			return nil, url.Values{"client_id": {id}, "client_secret": {appSecret}}
		},
		"post, wrong": func(id string) ([]string, url.Values) {
			return nil, url.Values{"client_id": {id}, "client_secret": {"x"}}
		},
		"none":   func(id string) ([]string, url.Values) { return nil, url.Values{"client_id": {id}} },
		"nobody": func(string) ([]string, url.Values) { return nil, nil },
		"both": func(id string) ([]string, url.Values) {
			return []string{"Authorization", basic(id, appSecret)}, url.Values{"client_secret": {appSecret}}
		},
		"another's": func(string) ([]string, url.Values) { return []string{"Authorization", basic("app", appSecret)}, nil },
	}
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		for _, c := range clients {
			c.FirstParty, c.RedirectURIs, c.Scopes = true, []string{appURL}, []string{"openid", "offline_access"}
			if !c.Public() {
				c.Secrets = []provider.Hash{hash(appSecret)}
			}
			s.register(c)
			for _, kind := range append(slices.Clone(everything), "password", "implicit") {
				for _, way := range slices.Sorted(maps.Keys(ways)) {
					what := fmt.Sprintf("%s of %s by %s", kind, c.ID, way)
					v := url.Values{"grant_type": {kind}, "username": {"alice"}, "password": {passwords["alice"]}}
					may := slices.Contains(c.GrantTypes, "authorization_code")
					switch {
					case kind == "authorization_code" && may:
						v = exchange(s.code(with(with(authorization(), "client_id", c.ID), "scope", "openid offline_access")))
					case kind == "authorization_code":
						v = exchange("AAAAAAAAAAAAAAAAAAAAAA.AAAA")
					case kind == "refresh_token" && slices.Contains(c.GrantTypes, kind):
						g := exchange(s.code(with(with(authorization(), "client_id", c.ID), "scope", "openid offline_access")))
						v = refresh(s.as(c, "/token", g).text(t, "refresh_token"))
					case kind == "refresh_token":
						v = refresh("x")
					}
					header, body := ways[way](c.ID)
					sent := maps.Clone(v)
					maps.Copy(sent, body)
					a := ask(t, s, send(t, "/token", sent, header...))
					want := "200"
					authenticated := way == "basic" || way == "post"
					if c.Public() {
						authenticated = way == "none"
					}
					switch {
					case way == "another's" && (kind == "authorization_code" || kind == "refresh_token"):
						want = "400 invalid_grant"
					case way == "another's" && kind == "client_credentials":
						want = never // of the app
					case !authenticated && way != "another's":
						want = no
					case kind == "password" || kind == "implicit":
						want = "400 unsupported_grant_type"
					case !slices.Contains(c.GrantTypes, kind):
						want = never
					case c.Public() && kind == "client_credentials":
						want = "400 invalid_grant"
					}
					if a.says() != want {
						t.Errorf("%s: %s, want %s", what, a.says(), want)
					}
					challenge := a.header.Get("WWW-Authenticate")
					if (a.status == http.StatusUnauthorized) != strings.HasPrefix(challenge, `Basic realm="`) || a.header.Get("Cache-Control") != "no-store" {
						t.Errorf("%s: %d with %q and %v", what, a.status, challenge, a.header["Cache-Control"])
					}
					if a.status == http.StatusOK || !slices.Contains(c.GrantTypes, kind) || c.ID == "native-robot" && kind == "client_credentials" {
						continue
					}
					if a := s.as(c, "/token", v); a.status != http.StatusOK {
						t.Errorf("%s: and then by the right one: %s", what, a.says())
					}
				}
			}
		}
	})
}
