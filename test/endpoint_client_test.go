package test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/sallyport-id/sallyport/provider"
)

// RFC 6749 section 2.3, OA-8. A client authenticates in one way, and whoever
// fails learns nothing but that.
func TestAClientAuthenticatesInOneWay(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		const id, secret = "odd: client+id%", "odd: secret+of 256%bits é"
		s.register(provider.Client{ID: id, Type: provider.Web, Secrets: []provider.Hash{hash(secret), hash("the one before")}, RedirectURIs: []string{appURL}, FirstParty: true})
		s.register(provider.Client{ID: "public", Type: provider.SPA, RedirectURIs: []string{appURL}, FirstParty: true})
		s.register(provider.Client{ID: "bare", Type: provider.Web, RedirectURIs: []string{appURL}, FirstParty: true})
		raw := func(user, password string) string {
			return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
		}
		in := func(pairs ...string) url.Values {
			v := url.Values{}
			for i := 0; i+1 < len(pairs); i += 2 {
				v.Add(pairs[i], pairs[i+1])
			}
			return v
		}
		const no = "401 invalid_client"
		for name, is := range map[string]struct {
			client string // whose code it is
			header []string
			body   url.Values
			want   string
		}{
			"basic":                       {id, []string{"Authorization", basic(id, secret)}, nil, "200"},
			"basic, of another case":      {id, []string{"Authorization", "b" + basic(id, secret)[1:]}, nil, "200"},
			"basic and client_id":         {id, []string{"Authorization", basic(id, secret)}, in("client_id", id), "200"},
			"basic, an older secret":      {id, []string{"Authorization", basic(id, "the one before")}, nil, "200"},
			"post":                        {id, nil, in("client_id", id, "client_secret", secret), "200"},
			"public":                      {"public", nil, in("client_id", "public"), "200"},
			"public, an empty secret":     {"public", nil, in("client_id", "public", "client_secret", ""), "200"},
			"none":                        {id, nil, nil, no},
			"client_id alone":             {id, nil, in("client_id", id), no},
			"basic, not form-encoded":     {id, []string{"Authorization", raw(id, secret)}, nil, no},
			"basic, an escape too many":   {id, []string{"Authorization", raw("%zz", "%")}, nil, no},
			"basic, no base64":            {id, []string{"Authorization", "Basic ***"}, nil, no},
			"basic, no colon":             {id, []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("app"))}, nil, no},
			"basic, no credentials":       {id, []string{"Authorization", "Basic"}, nil, no},
			"another scheme":              {id, []string{"Authorization", "Bearer x"}, in("client_id", id), no},
			"a wrong secret":              {id, []string{"Authorization", basic(id, "wrong")}, nil, no},
			"a secret's hash":             {id, nil, in("client_id", id, "client_secret", fmt.Sprintf("%x", hash(secret))), no},
			"an empty secret":             {id, []string{"Authorization", basic(id, "")}, nil, no},
			"a space for a secret":        {id, nil, in("client_id", id, "client_secret", " "), no},
			"a client without secrets":    {"bare", nil, in("client_id", "bare", "client_secret", ""), no},
			"another client's secret":     {id, []string{"Authorization", basic("app", secret)}, nil, no},
			"an unknown client":           {id, []string{"Authorization", basic("nobody", secret)}, nil, no},
			"a client of other bytes":     {id, []string{"Authorization", basic("a\x00\xff", secret)}, nil, no},
			"both ways":                   {id, []string{"Authorization", basic(id, secret)}, in("client_id", id, "client_secret", secret), no},
			"basic, another client_id":    {id, []string{"Authorization", basic(id, secret)}, in("client_id", "public"), no},
			"two headers":                 {id, []string{"Authorization", basic(id, secret), "Authorization", basic(id, secret)}, nil, no},
			"public with a secret":        {"public", nil, in("client_id", "public", "client_secret", "x"), no},
			"public by basic":             {"public", []string{"Authorization", basic("public", "")}, nil, no},
			"an assertion":                {id, nil, in("client_id", id, "client_assertion", "x", "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"), no},
			"an assertion beside a right": {id, []string{"Authorization", basic(id, secret)}, in("client_assertion", "x"), no}, // fosite.md 3.8
			"client_id twice":             {id, nil, in("client_id", id, "client_id", id, "client_secret", secret), "400 invalid_request"},
			"secret twice":                {id, nil, in("client_id", id, "client_secret", "x", "client_secret", secret), "400 invalid_request"},
		} {
			code := s.code(with(authorization(), "client_id", is.client))
			v := exchange(code)
			maps.Copy(v, is.body)
			a := ask(t, s, send(t, "/token", v, is.header...))
			if a.says() != is.want {
				t.Errorf("%s: %s, want %s", name, a.says(), is.want)
			}
			// RFC 6749 section 5.2; fosite sends none (fosite.md 3.8).
			if got := a.header.Get("WWW-Authenticate"); (a.status == http.StatusUnauthorized) != strings.HasPrefix(got, "Basic realm=") {
				t.Errorf("%s: %d with WWW-Authenticate %q", name, a.status, got)
			}
			if strings.Contains(a.body, secret) || a.status != http.StatusOK && len(a.json(t)) != 2 {
				t.Errorf("%s: got %s", name, a.body)
			}
			if a.status == http.StatusOK {
				continue
			}
			// Who could not authenticate has not used the code up (nor revoked it).
			right := map[string][]string{id: {"Authorization", basic(id, secret)}}[is.client]
			v = exchange(code)
			if is.client == "public" {
				v.Set("client_id", "public")
			}
			if a := ask(t, s, send(t, "/token", v, right...)); is.client != "bare" && a.status != http.StatusOK {
				t.Errorf("%s: and afterwards the right client gets %s", name, a.says())
			}
		}
		// The query of the URL is not looked at: it ends up in logs.
		v := exchange(s.code(with(authorization(), "client_id", id)))
		a := ask(t, s, send(t, "/token?client_id="+url.QueryEscape(id)+"&client_secret="+url.QueryEscape(secret), v))
		if a.says() != no {
			t.Errorf("a secret in the URL: %s, want %s", a.says(), no)
		}
	})
}
