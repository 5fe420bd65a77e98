package test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
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
