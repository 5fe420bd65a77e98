package test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

// OpenID Connect Core section 5.3, RFC 6750. The token is taken from the
// header or the body; fosite takes it from the URL as well, which ends up in
// logs (fosite.md, userinfo).
func TestUserinfoTakesItsTokenInOneWay(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		token := s.tokens(offline()).text(t, "access_token")
		bearer := "Bearer " + token
		body := url.Values{"access_token": {token}}
		twice := url.Values{"access_token": {token, token}}
		for name, is := range map[string]struct {
			request *http.Request
			want    string
		}{
			"GET with the header":         {get(t, "/userinfo", "Authorization", bearer), "200"},
			"POST with the header":        {send(t, "/userinfo", nil, "Authorization", bearer), "200"},
			"POST with the body":          {send(t, "/userinfo", body), "200"},
			"a scheme of another case":    {get(t, "/userinfo", "Authorization", "bEARER "+token), "200"},
			"GET without":                 {get(t, "/userinfo"), "401"},
			"POST without":                {send(t, "/userinfo", nil), "401"},
			"in the URL":                  {get(t, "/userinfo?access_token="+token), "401"},
			"in the URL of a POST":        {send(t, "/userinfo?access_token="+token, nil), "401"},
			"header and body":             {send(t, "/userinfo", body, "Authorization", bearer), "400 invalid_request"},
			"two headers":                 {get(t, "/userinfo", "Authorization", bearer, "Authorization", bearer), "400 invalid_request"},
			"twice in the body":           {send(t, "/userinfo", twice), "400 invalid_request"},
			"in a body of another kind":   {send(t, "/userinfo", body, "Content-Type", "text/plain"), "401"},
			"in a body that is too large": {send(t, "/userinfo", url.Values{"access_token": {strings.Repeat("a", 70_000)}}), "400 invalid_request"},
			"an empty token":              {get(t, "/userinfo", "Authorization", "Bearer "), "401"},
			"the scheme alone":            {get(t, "/userinfo", "Authorization", "Bearer"), "401"},
			"another scheme":              {get(t, "/userinfo", "Authorization", "Basic "+token), "401"},
			"the session":                 {get(t, "/userinfo", "Cookie", s.browser.cookies()), "401"},
			"a token and more":            {get(t, "/userinfo", "Authorization", bearer+" x"), "401 invalid_token"},
		} {
			a := ask(t, s, is.request)
			if a.says() != is.want {
				t.Errorf("%s: %s, want %s", name, a.says(), is.want)
			}
			challenge := a.header.Get("WWW-Authenticate")
			switch {
			case a.status == http.StatusOK:
				if challenge != "" {
					t.Errorf("%s: a challenge with an answer: %s", name, challenge)
				}
			case !strings.HasPrefix(challenge, `Bearer realm="`+issuer+`"`):
				t.Errorf("%s: no challenge: %q", name, challenge)
			case is.want == "401" && strings.Contains(challenge, "error"):
				// RFC 6750 section 3.1: none is named where there was no token.
				t.Errorf("%s: an error of a token that was not there: %s", name, challenge)
			case is.want != "401" && !strings.Contains(challenge, `error="`+strings.Fields(is.want)[1]+`"`):
				t.Errorf("%s: the challenge does not say %s: %s", name, is.want, challenge)
			}
			if a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: Cache-Control %q", name, a.header.Get("Cache-Control"))
			}
		}
	})
}

// OpenID Connect Core section 5.4: a scope buys its claims and no others.
func TestUserinfoGivesWhatTheScopesBuy(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		s.people.change("alice", func(u *provider.User) {
			u.Claims.PhoneNumber = "+49 30 1"
			u.Claims.Address = &provider.Address{Locality: "Berlin"}
		})
		for scope, want := range map[string]map[string]any{
			"openid": {},
			"openid profile": {
				"name": "Alice Example", "preferred_username": "alice", "updated_at": 1.7e9,
			},
			"openid email":          {"email": "alice@example.org", "email_verified": true},
			"openid phone":          {"phone_number": "+49 30 1", "phone_number_verified": false},
			"openid address":        {"address": map[string]any{"locality": "Berlin"}},
			"openid groups":         {"groups": []any{"staff"}},
			"openid offline_access": {},
		} {
			want["sub"] = "sub-alice"
			tokens := s.tokens(with(authorization(), "scope", scope))
			if got := s.userinfo(tokens.text(t, "access_token")).json(t); !equal(got, want) {
				t.Errorf("%s: %v, want %v", scope, got, want)
			}
		}
		tokens := s.tokens(with(authorization(), "scope", "email"))
		a := s.userinfo(tokens.text(t, "access_token"))
		if a.says() != "403 insufficient_scope" || !strings.Contains(a.header.Get("WWW-Authenticate"), `scope="openid"`) {
			t.Errorf("without openid: %s %v", a.says(), a.header["Www-Authenticate"])
		}
	})
}

// OpenID Connect Core section 5.1: all that the metadata call claims of a user
// are there, of whom they are known.
func TestUserinfoHasEveryClaimThatIsSupported(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		s.people.change("alice", func(u *provider.User) {
			u.Claims = provider.Claims{
				Name: "Alice Mary Example", GivenName: "Alice", FamilyName: "Example", MiddleName: "Mary", Nickname: "Al", PreferredUsername: "al",
				Profile: "https://al.example", Picture: "https://al.example/p.png", Website: "https://al.example/w", Gender: "female", Birthdate: "1990-01-02",
				Zoneinfo: "Europe/Berlin", Locale: "de-DE", UpdatedAt: time.Unix(1700000000, 0), Email: "al@example.org", EmailVerified: true,
				PhoneNumber: "+49 30 1", PhoneNumberVerified: true, Address: &provider.Address{Formatted: "1 Quay"}, Groups: []string{"staff"},
			}
		})
		tokens := s.tokens(with(authorization(), "scope", "openid profile email address phone groups"))
		want := map[string]any{
			"sub": "sub-alice", "name": "Alice Mary Example", "given_name": "Alice", "family_name": "Example", "middle_name": "Mary", "nickname": "Al",
			"preferred_username": "al", "profile": "https://al.example", "picture": "https://al.example/p.png", "website": "https://al.example/w",
			"gender": "female", "birthdate": "1990-01-02", "zoneinfo": "Europe/Berlin", "locale": "de-DE", "updated_at": 1.7e9,
			"email": "al@example.org", "email_verified": true, "phone_number": "+49 30 1", "phone_number_verified": true,
			"address": map[string]any{"formatted": "1 Quay"}, "groups": []any{"staff"},
		}
		got := s.userinfo(tokens.text(t, "access_token")).json(t)
		if !equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		for _, name := range ask(t, s, get(t, "/.well-known/openid-configuration")).json(t)["claims_supported"].([]any) {
			own := slices.Contains([]string{"iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid"}, name.(string))
			if _, ok := got[name.(string)]; ok == own {
				t.Errorf("%s is said to be supported", name)
			}
		}
	})
}

// The user is looked up each time: what is true now is told, and of who may
// not sign in nothing.
func TestUserinfoIsOfNow(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		token := s.tokens(offline()).text(t, "access_token")
		s.people.change("alice", func(u *provider.User) { u.Claims.Email = "new@example.org" })
		if got := s.userinfo(token).text(t, "email"); got != "new@example.org" {
			t.Errorf("got %q", got)
		}
		s.people.change("alice", func(u *provider.User) { u.Disabled = true })
		if a := s.userinfo(token); a.says() != "401 invalid_token" {
			t.Errorf("disabled: %s, want 401 invalid_token", a.says())
		}
		s.people.change("alice", func(u *provider.User) { u.Disabled = false })
		if a := s.userinfo(token); a.status != http.StatusOK {
			t.Errorf("enabled: %s", a.says())
		}
		if err := s.db.RevokeConsent(t.Context(), "sub-alice", "app", now()); err != nil {
			t.Fatal(err)
		}
		if a := s.userinfo(token); a.says() != "401 invalid_token" {
			t.Errorf("consent revoked: %s, want 401 invalid_token", a.says())
		}
	})
}

// An access token ends at its second, whatever its form.
func TestAnAccessTokenExpires(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		s.register(provider.Client{ID: "opaque", Type: provider.SPA, RedirectURIs: []string{appURL}, OpaqueTokens: true, FirstParty: true})
		jwt := s.tokens(authorization()).text(t, "access_token")
		opaque := ask(t, s, send(t, "/token", with(exchange(s.code(with(authorization(), "client_id", "opaque"))), "client_id", "opaque"))).text(t, "access_token")
		time.Sleep(10*time.Minute - time.Second)
		for name, token := range map[string]string{"jwt": jwt, "opaque": opaque} {
			if a := s.userinfo(token); a.status != http.StatusOK {
				t.Errorf("%s, in time: %s", name, a.says())
			}
		}
		time.Sleep(time.Second)
		for name, token := range map[string]string{"jwt": jwt, "opaque": opaque} {
			if a := s.userinfo(token); a.says() != "401 invalid_token" {
				t.Errorf("%s, too late: %s, want 401 invalid_token", name, a.says())
			}
		}
	})
}

// RFC 6749 section 4.4: a service acts for itself. Its tokens name no user and
// open nothing of one.
func TestAServiceGetsTokensOfItsOwn(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		for _, c := range []provider.Client{
			{ID: "service", Type: provider.Service},
			{ID: "sub-alice", Type: provider.Service}, // called like a user
			{ID: "opaque", Type: provider.Service, OpaqueTokens: true},
			{ID: "spa", Type: provider.SPA, RedirectURIs: []string{appURL}},
		} {
			c.GrantTypes, c.Scopes = []string{"client_credentials"}, []string{"openid", "offline_access", "jobs"}
			if c.Type == provider.Service {
				c.Secrets = []provider.Hash{hash(appSecret)}
			}
			s.register(c)
		}
		v := url.Values{"grant_type": {"client_credentials"}}
		by := func(id string, v url.Values) reply {
			return ask(t, s, send(t, "/token", v, "Authorization", basic(id, appSecret)))
		}
		for _, id := range []string{"service", "sub-alice", "opaque"} {
			a := by(id, v)
			if got := slices.Sorted(maps.Keys(a.json(t))); !slices.Equal(got, []string{"access_token", "expires_in", "scope", "token_type"}) {
				t.Errorf("%s gets %v", id, got)
			}
			if b := s.userinfo(a.text(t, "access_token")); b.says() != "401 invalid_token" {
				t.Errorf("%s at userinfo: %s, want 401 invalid_token", id, b.says())
			}
			if id == "opaque" {
				continue
			}
			c := claimsOf(t, a.text(t, "access_token"))
			if c["sub"] != id || c["client_id"] != id || c["acr"] != nil || c["amr"] != nil || c["auth_time"] != nil {
				t.Errorf("%s: %v", id, c)
			}
		}
		for name, is := range map[string]struct {
			a    reply
			want string
		}{
			"less":                {by("service", with(v, "scope", "jobs")), "200"},
			"more":                {by("service", with(v, "scope", "jobs admin")), "400 invalid_scope"},
			"a public client":     {ask(t, s, send(t, "/token", with(v, "client_id", "spa"))), "400 invalid_grant"},
			"not registered":      {by("app", v), "400 unauthorized_client"},
			"without its secret":  {ask(t, s, send(t, "/token", with(v, "client_id", "service"))), "401 invalid_client"},
			"with somebody's":     {by("service", with(v, "code", "AAAAAAAAAAAAAAAAAAAAAA.A")), "200"},
			"the scope, twice":    {by("service", with(v, "scope", "jobs", "jobs")), "400 invalid_request"},
			"asking for a person": {ask(t, s, get(t, "/authorize?"+with(authorization(), "client_id", "service").Encode())), "400 redirect"},
		} {
			if is.a.says() != is.want {
				t.Errorf("%s: %s, want %s", name, is.a.says(), is.want)
			}
		}
	})
}
