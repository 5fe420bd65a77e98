package test

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/sallyport-id/sallyport/provider"
)

// Clients that know people by names of their own: near and next share a sector,
// far is of another, handle has opaque tokens.
var (
	near = provider.Client{ID: "near", Type: provider.Web, FirstParty: true, Pairwise: true, RedirectURIs: []string{appURL},
		Secrets: []provider.Hash{hash(appSecret)}}
	next   = provider.Client{ID: "next", Type: provider.SPA, FirstParty: true, Pairwise: true, Sector: "app.example", RedirectURIs: []string{appURL}}
	far    = provider.Client{ID: "far", Type: provider.SPA, FirstParty: true, Pairwise: true, Sector: "far.example", RedirectURIs: []string{appURL}}
	handle = provider.Client{ID: "handle", Type: provider.SPA, FirstParty: true, Pairwise: true, RedirectURIs: []string{appURL}, OpaqueTokens: true}
)

// newMasks is a desk with these clients and the api.
func newMasks(t *testing.T, dsn string, plans ...plan) *stage {
	t.Helper()
	s := newDesk(t, dsn, plans...)
	nosy := near
	nosy.Introspects = true
	for _, c := range []provider.Client{nosy, next, far, handle, spaClient, api} {
		s.register(c)
	}
	return s
}

// OpenID Connect Core section 8.1, RFC 7662 section 2.2: one name for the
// clients of a sector wherever they or their APIs see one, another for those of
// another, and the real one for none.
func TestAPairwiseClientNeverSeesWhoSomeoneIs(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newMasks(t, dsn)
		subs, sids := map[string]string{}, map[string]string{}
		for _, c := range []provider.Client{near, next, far, handle, spaClient} {
			tokens := s.bought(c)
			id := claimsOf(t, tokens.text(t, "id_token"))
			sub, _ := id["sub"].(string)
			sid, _ := id["sid"].(string)
			subs[c.ID], sids[c.ID] = sub, sid
			if len(sub) > 255 || sid == "" {
				t.Errorf("%s: sub %q, sid %q", c.ID, sub, sid)
			}
			places := map[string]any{"userinfo": s.userinfo(tokens.text(t, "access_token")).json(t)["sub"]}
			told := s.inspect(tokens.text(t, "access_token"))
			places["introspection by the api"] = told.json(t)["sub"]
			if !c.OpaqueTokens {
				places["access token"] = claimsOf(t, tokens.text(t, "access_token"))["sub"]
			}
			tokens = s.as(c, "/token", refresh(tokens.text(t, "refresh_token")))
			places["refreshed"] = claimsOf(t, tokens.text(t, "id_token"))["sub"]
			if c.ID == "near" {
				own := s.as(c, "/introspect", url.Values{"token": {tokens.text(t, "refresh_token")}})
				places["introspection of its refresh token"] = own.json(t)["sub"]
				if strings.Contains(own.body, "alice") {
					t.Errorf("%s of its refresh token: %s", c.ID, own.body)
				}
			}
			for place, got := range places {
				if got != sub {
					t.Errorf("%s, %s: sub %v, want %s", c.ID, place, got, sub)
				}
			}
			if c.Pairwise && (strings.Contains(sub, "alice") || strings.Contains(told.body, "alice") || tokens.json(t)["access_token"] == nil) {
				t.Errorf("%s: the real name is told: %s, %s", c.ID, sub, told.body)
			}
		}
		sessions, err := s.db.Sessions(context.Background(), "sub-alice")
		if err != nil || len(sessions) != 1 {
			t.Fatalf("%d sessions, %v", len(sessions), err)
		}
		if subs["near"] != subs["next"] || subs["near"] != subs["handle"] || subs["near"] == subs["far"] || subs["spa"] != "sub-alice" {
			t.Errorf("subs %v", subs)
		}
		// A sid tells as much as a sub: all of them are of one session.
		if sids["near"] != sids["next"] || sids["near"] == sids["far"] || sids["near"] == sids["spa"] || sids["spa"] != sessions[0].ID {
			t.Errorf("sids %v", sids)
		}
		// A grant keeps who gave it, and so does the trail.
		if n := len(s.audit("alice", provider.EventSignIn)); n == 0 {
			t.Error("the trail knows nothing of alice")
		}
	})
}

// Section 8.1 again: it never changes, whatever else does.
func TestAPairwiseSubjectStays(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newMasks(t, dsn)
		sub := func(s *stage, c provider.Client) any {
			t.Helper()
			return claimsOf(t, s.bought(c).text(t, "id_token"))["sub"]
		}
		want := sub(s, near)
		if err := s.db.RemoveClient(t.Context(), "near"); err != nil {
			t.Fatal(err)
		}
		s.register(near)
		if got := sub(s, near); got != want {
			t.Errorf("registered again: %v, want %v", got, want)
		}
		s.people.change("alice", func(u *provider.User) { u.Username, u.Claims.Email = "alison", "alison@example.org" })
		if got := sub(s, near); got != want {
			t.Errorf("by another name: %v, want %v", got, want)
		}
		moved := near
		moved.RedirectURIs, moved.Sector = []string{appURL, "https://new.example/cb"}, "app.example"
		s.register(moved)
		if got := sub(s, moved); got != want {
			t.Errorf("with another redirect URI: %v, want %v", got, want)
		}
		// Other token secrets, on another server over the same database.
		other := &stage{house: newHouse(t, dsn, plan{people: s.people, provider: func(c *provider.Config) {
			c.Secrets = [][]byte{bytes.Repeat([]byte("new!"), 8), c.Secrets[0]}
		}}), app: s.app, browser: s.browser}
		if got := sub(other, moved); got != want {
			t.Errorf("after a rotation: %v, want %v", got, want)
		}
	})
}

// OA-11, OpenID Connect Core section 5.5.1: what a client knows someone by comes
// back in as that one, and nothing else does: by what comes of it a client could
// find out whose a sub is.
func TestAPairwiseSubjectComesBackAsItsUser(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newMasks(t, dsn)
		hint := s.bought(near).text(t, "id_token")
		sub := claimsOf(t, hint)["sub"].(string)
		others := claimsOf(t, s.bought(far).text(t, "id_token"))["sub"].(string)
		of := func(name, value string) url.Values {
			return with(with(authorization(), "client_id", "near"), name, value)
		}
		about := func(sub string) url.Values { return of("claims", `{"id_token":{"sub":{"value":"`+sub+`"}}}`) }
		h, c := headerOf(t, hint), claimsOf(t, hint)
		alice := s.browser.cookies()
		for name, is := range map[string]struct {
			v       url.Values
			cookies string
			want    string
		}{
			"a hint of her":                {of("id_token_hint", hint), alice, "→app code"},
			"a hint of her, to nobody":     {with(of("id_token_hint", hint), "prompt", "none"), "", "→app login_required"},
			"a hint of the real one":       {of("id_token_hint", mint(t, h, but(c, "sub", "sub-alice"))), alice, invalid},
			"a hint of another sector":     {of("id_token_hint", mint(t, h, but(c, "sub", others))), alice, invalid},
			"a hint of a session":          {of("id_token_hint", mint(t, h, but(c, "sub", c["sid"]))), alice, invalid},
			"a hint of nobody":             {of("id_token_hint", mint(t, h, but(c, "sub", ""))), alice, invalid},
			"about her":                    {about(sub), alice, "→app code"},
			"about her, with a hint":       {with(about(sub), "id_token_hint", hint), alice, "→app code"},
			"about the real one":           {about("sub-alice"), alice, invalid},
			"about another real one":       {about("sub-bob"), alice, invalid},
			"about another sector's":       {about(others), alice, invalid},
			"a public one's, near's":       {with(about(sub), "client_id", "spa"), alice, accepted},
			"about her, to nobody":         {about(sub), "", accepted},
			"about her, silent, to nobody": {with(about(sub), "prompt", "none"), "", "→app login_required"},
		} {
			a := ask(t, s, get(t, "/authorize?"+is.v.Encode(), "Cookie", is.cookies))
			if a.says() != is.want {
				t.Errorf("%s: %s, want %s", name, a.says(), is.want)
			}
		}
		// On the way through the pages: bob is not alice, and alice is.
		phone := s.keyring("sub-bob")
		for _, v := range []url.Values{of("id_token_hint", hint), about(sub)} {
			bob := newBrowser(t, s.net)
			bob.open(issuer + "/authorize?" + v.Encode())
			if bob.page.kind() != "password" {
				t.Fatalf("at %s", bob.page.text())
			}
			bob.password("bob")
			bob.ended("denied")
		}
		bob := newBrowser(t, s.net)
		bob.open(issuer + "/authorize?" + with(authorization(), "client_id", "near").Encode())
		bob.login("bob", phone)
		if a := ask(t, s, get(t, "/authorize?"+with(of("id_token_hint", hint), "prompt", "none").Encode(), "Cookie", bob.cookies())); a.says() != "→app login_required" {
			t.Errorf("bob with alice's hint: %s", a.says())
		}
	})
}

// AD-2: a client that cannot get subjects of its own gets none at all, before
// anyone has signed in for it; the metadata say nothing of what is not there.
func TestWithoutItsKeyOrSectorAPairwiseClientGetsNothing(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newMasks(t, dsn)
		ask200 := func(h http.Handler, id string) reply {
			return ask(t, h, get(t, "/authorize?"+with(authorization(), "client_id", id).Encode(), "Cookie", s.browser.cookies()))
		}
		homeless := far
		homeless.ID, homeless.Sector, homeless.RedirectURIs = "homeless", "", []string{appURL, "https://elsewhere.example/cb"}
		s.register(homeless)
		if a := ask200(s, "homeless"); a.status != http.StatusInternalServerError || strings.Contains(a.body, "sub-alice") {
			t.Errorf("without a sector: %d %s", a.status, a.body)
		}
		code := s.code(with(authorization(), "client_id", "next"))
		keyless := newHouse(t, dsn, plan{people: s.people, provider: func(c *provider.Config) { c.SubjectKey = nil }})
		if a := ask200(keyless, "near"); a.status != http.StatusInternalServerError {
			t.Errorf("without a key: %d", a.status)
		}
		if a := ask(t, keyless, send(t, "/token", with(exchange(code), "client_id", "next"))); a.status != http.StatusInternalServerError || strings.Contains(a.body, "token\":") {
			t.Errorf("a code, without a key: %d %s", a.status, a.body)
		}
		if a := ask200(keyless, "spa"); a.says() != "→app code" {
			t.Errorf("a public client, without a key: %s", a.says())
		}
		for h, want := range map[http.Handler]string{s: `["public","pairwise"]`, keyless: `["public"]`} {
			if a := ask(t, h, get(t, "/.well-known/openid-configuration")); !strings.Contains(a.body, `"subject_types_supported":`+want) {
				t.Errorf("the metadata do not say %s", want)
			}
		}
	})
}
