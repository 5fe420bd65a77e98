package test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-id/sallyport/provider"
)

// APIs that the app of newStage may ask tokens for.
const (
	calendar = "https://calendar.example/api"
	mailbox  = "https://mail.example"
)

// naming returns v with these resources.
func naming(v url.Values, resources ...string) url.Values { return with(v, "resource", resources...) }

// audienceOf returns whom an access token of a is for: as the JWT says, or as
// its own client is told.
func (s *stage) audienceOf(c provider.Client, a reply) string {
	s.t.Helper()
	token := a.text(s.t, "access_token")
	var claims map[string]any
	if c.OpaqueTokens {
		claims = s.as(c, "/introspect", url.Values{"token": {token}}).json(s.t)
	} else {
		claims = claimsOf(s.t, token)
	}
	var all []string
	for _, v := range claims["aud"].([]any) {
		all = append(all, v.(string))
	}
	return strings.Join(all, " ")
}

// RFC 8707 section 2: what was asked for at the authorization endpoint is whom
// a token is for, and the token endpoint narrows it, for one answer.
func TestATokenIsForTheResourcesThatWereNamed(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		jwt := webClient
		jwt.Resources, jwt.Introspects = []string{calendar, mailbox}, true
		opaque := jwt
		opaque.ID, opaque.OpaqueTokens = "opaque", true
		for _, c := range []provider.Client{jwt, opaque} {
			s.register(c)
			for _, is := range []struct {
				scope         string
				asked, named  []string
				granted, want string // aud of what is granted, and of what is named; empty: invalid_target
			}{
				{"openid", nil, nil, issuer, issuer},
				{"openid", []string{""}, []string{""}, issuer, issuer},
				{"openid", []string{calendar}, nil, calendar + " " + issuer, calendar + " " + issuer},
				{"email", []string{calendar}, nil, calendar, calendar},
				{"email", nil, nil, issuer, issuer},
				{"email", []string{calendar, mailbox}, nil, calendar + " " + mailbox, calendar + " " + mailbox},
				{"email", []string{calendar, mailbox}, []string{mailbox}, calendar + " " + mailbox, mailbox},
				{"openid", []string{calendar, mailbox}, []string{mailbox}, calendar + " " + mailbox + " " + issuer, mailbox + " " + issuer},
				{"email", []string{calendar, calendar}, []string{calendar, calendar}, calendar, calendar},
				{"email", []string{calendar}, []string{mailbox}, calendar, ""},
				{"email", []string{calendar}, []string{calendar, mailbox}, calendar, ""},
				{"openid", nil, []string{calendar}, issuer, ""},
				{"openid", []string{calendar}, []string{issuer}, calendar + " " + issuer, ""},
			} {
				code := s.code(naming(with(with(authorization(), "client_id", c.ID), "scope", is.scope+" offline_access"), is.asked...))
				a := s.as(c, "/token", naming(exchange(code), is.named...))
				whole := a
				if is.want == "" {
					if a.says() != "400 invalid_target" {
						t.Errorf("%s, %q of %q: %s, want 400 invalid_target", c.ID, is.named, is.asked, a.says())
					}
					// A mistake has used nothing up.
					if whole = s.as(c, "/token", exchange(code)); whole.status != http.StatusOK {
						t.Errorf("%s, %q of %q: and then without: %s", c.ID, is.named, is.asked, whole.says())
						continue
					}
				} else if got := s.audienceOf(c, a); got != is.want {
					t.Errorf("%s, %q of %q: for %q, want %q", c.ID, is.named, is.asked, got, is.want)
				}
				// At a refresh the same, and it does not last.
				token := whole.text(t, "refresh_token")
				b := s.as(c, "/token", naming(refresh(token), is.named...))
				if is.want == "" {
					if b.says() != "400 invalid_target" {
						t.Errorf("%s, %q of %q, refreshed: %s, want 400 invalid_target", c.ID, is.named, is.asked, b.says())
					}
				} else {
					if got := s.audienceOf(c, b); got != is.want {
						t.Errorf("%s, %q of %q, refreshed: for %q, want %q", c.ID, is.named, is.asked, got, is.want)
					}
					token = b.text(t, "refresh_token")
				}
				b = s.as(c, "/token", refresh(token))
				if b.status != http.StatusOK {
					t.Errorf("%s, %q of %q, refreshed again: %s", c.ID, is.named, is.asked, b.says())
				} else if got := s.audienceOf(c, b); got != is.granted {
					t.Errorf("%s, %q of %q, refreshed again: for %q, want %q", c.ID, is.named, is.asked, got, is.granted)
				}
			}
		}
	})
}

// What was asked for outlives the pages between, and is looked at again when
// the flow goes on.
func TestResourcesAreKeptWithTheirFlow(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.ready("alice")
		b := s.browser
		to := s.app.request() + "&resource=" + url.QueryEscape(calendar) + "&resource=" + url.QueryEscape(mailbox)
		b.open(to)
		b.login("alice", phone)
		id := s.app.callback(b.page)
		if got := claimsOf(t, id.token.AccessToken)["aud"]; !slices.Equal(got.([]any), []any{calendar, mailbox, issuer}) {
			t.Errorf("for %v", got)
		}
		b = newBrowser(t, s.net)
		b.open(to)
		b.at("password", http.StatusOK)
		c, err := s.db.Client(t.Context(), "app")
		if err != nil {
			t.Fatal(err)
		}
		c.Resources = []string{mailbox}
		s.register(c)
		b.password("alice")
		if b.page.status != http.StatusBadRequest || b.page.kind() != "error" {
			t.Errorf("a flow for what may no longer be asked for is at %s", b.page.text())
		}
	})
}

// A token that is for an API alone opens nothing here: who was given it there
// could come with it.
func TestATokenForAnAPIDoesNotOpenUserinfo(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		c := webClient
		c.Resources = []string{calendar}
		opaque := c
		opaque.ID, opaque.OpaqueTokens = "opaque", true
		s.register(c)
		s.register(opaque)
		for _, c := range []provider.Client{c, opaque} {
			v := naming(with(offline(), "client_id", c.ID), calendar)
			both := s.as(c, "/token", exchange(s.code(v)))
			if a := s.userinfo(both.text(t, "access_token")); a.status != http.StatusOK {
				t.Errorf("%s, with openid: %s", c.ID, a.says())
			}
			less := s.as(c, "/token", with(refresh(both.text(t, "refresh_token")), "scope", "email"))
			if a := s.userinfo(less.text(t, "access_token")); a.says() != "401 invalid_token" {
				t.Errorf("%s, for the API alone: %s, want 401 invalid_token", c.ID, a.says())
			}
		}
		// Even if it says openid, as none of ours does.
		token := s.as(c, "/token", exchange(s.code(naming(with(offline(), "client_id", c.ID), calendar)))).text(t, "access_token")
		token = mint(t, headerOf(t, token), but(claimsOf(t, token), "aud", []string{calendar}))
		if a := s.userinfo(token); a.says() != "401 invalid_token" {
			t.Errorf("for the API alone, with openid: %s, want 401 invalid_token", a.says())
		}
		// And its own client can give it back.
		if a := s.giveBack(c, token); a.says() != "200" {
			t.Errorf("given back: %s", a.says())
		}
		grant, _, _ := strings.Cut(claimsOf(t, token)["jti"].(string), ".")
		if g, err := s.db.Grant(context.Background(), grant); err != nil || g.Revoked.IsZero() {
			t.Errorf("it was given back, and stands: %v", err)
		}
	})
}

// RFC 7662 section 4: of a token for another API, an API learns nothing.
func TestAnAPILearnsOfTokensThatAreForIt(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		owner := webClient
		owner.Introspects, owner.Resources = true, []string{calendar, mailbox}
		opaque := opaqueClient
		opaque.Resources = owner.Resources
		robot := service
		robot.Resources = []string{mailbox}
		dates, mails, other := api, api, api
		dates.ID, dates.Resources = "dates", []string{calendar}
		mails.ID, mails.Resources = "mails", []string{"https://mail.example/v2", mailbox}
		other.ID, other.Resources = "other", []string{"https://other.example"}
		readers := []provider.Client{owner, dates, mails, other, api}
		for _, c := range append(readers, opaque, robot) {
			s.register(c)
		}
		from := func(c provider.Client, resources ...string) string {
			a := s.as(c, "/token", exchange(s.code(naming(with(offline(), "client_id", c.ID), resources...))))
			return a.text(t, "access_token")
		}
		own := func(resources ...string) string {
			a := s.as(robot, "/token", naming(url.Values{"grant_type": {"client_credentials"}}, resources...))
			return a.text(t, "access_token")
		}
		for name, is := range map[string]struct {
			token string
			told  []string
		}{
			"of no API":              {from(owner), []string{"web", "api"}},
			"of the calendar":        {from(owner, calendar), []string{"web", "dates"}},
			"of both":                {from(owner, calendar, mailbox), []string{"web", "dates", "mails"}},
			"opaque, of no API":      {from(opaque), []string{"api"}},
			"opaque, of the mailbox": {from(opaque, mailbox), []string{"mails", "web"}}, // web is both, by what it is registered for
			"opaque, of both":        {from(opaque, calendar, mailbox), []string{"web", "dates", "mails"}},
			"a service's":            {own(), []string{"api"}},
			"a service's, for mail":  {own(mailbox), []string{"web", "mails"}},
			"another of the owner's": {from(owner, mailbox), []string{"web", "mails"}},
			"not ours":               {forged(from(owner, calendar)), nil},
		} {
			for _, c := range readers {
				a := s.as(c, "/introspect", url.Values{"token": {is.token}})
				if slices.Contains(is.told, c.ID) {
					if a.json(t)["active"] != true {
						t.Errorf("%s to %s: %s", name, c.ID, a.body)
					}
				} else if a.status != http.StatusOK || a.body != inactive {
					t.Errorf("%s to %s: %s %s, want no more than %s", name, c.ID, a.says(), a.body, inactive)
				}
			}
		}
	})
}

// A service may name any of what it is registered for; none: nothing in
// particular.
func TestAServiceNamesItsResources(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		c := service
		c.Resources = []string{calendar, mailbox}
		s.register(c)
		for _, is := range []struct {
			named []string
			want  string
		}{
			{nil, issuer}, {[]string{mailbox}, mailbox}, {[]string{mailbox, calendar}, mailbox + " " + calendar},
			{[]string{"https://other.example"}, ""}, {[]string{calendar, "https://other.example"}, ""}, {[]string{calendar + "#"}, ""},
			{[]string{"calendar"}, ""}, {[]string{"\x00\xff"}, ""}, {[]string{strings.Repeat("a", 50_000)}, ""},
		} {
			a := s.as(c, "/token", naming(url.Values{"grant_type": {"client_credentials"}}, is.named...))
			if is.want == "" {
				if a.says() != "400 invalid_target" || len(a.json(t)) != 2 {
					t.Errorf("%.50q: %s %s, want 400 invalid_target", is.named, a.says(), a.body)
				}
			} else if got := s.audienceOf(c, a); got != is.want {
				t.Errorf("%q: for %q, want %q", is.named, got, is.want)
			}
		}
	})
}
