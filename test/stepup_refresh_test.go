package test

import (
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

// OA-6: floors hold after the authorization. A refresh renews no scope whose
// proof has become too old, and the answer says what is left; when nothing is,
// it says what to do.
func TestARefreshRenewsNoScopeWhoseProofIsTooOld(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s, phone := newBank(t, dsn)
		s.register(provider.Client{ID: "api", Type: provider.Web, Secrets: []provider.Hash{hash("secret")}, Introspects: true,
			RedirectURIs: []string{appURL}})
		b := s.browser
		b.open(s.app.request("scope", "openid mail transfer offline_access"))
		b.login("alice", phone)
		all := s.app.callback(b.page)
		b.open(s.app.request("scope", "transfer offline_access"))
		code := b.page.url.Query().Get("code")
		narrow, err := s.app.config.Exchange(s.app.ctx, code, oauth2.VerifierOption(s.app.verifier))
		if err != nil {
			t.Fatal(err)
		}
		left := func(want string) {
			t.Helper()
			if all.token, err = s.app.refresh(all.token); err != nil {
				t.Fatal(err)
			}
			if got := all.token.Extra("scope"); got != want {
				t.Errorf("the answer says %q, want %q", got, want)
			}
			if got := claimsOf(t, all.token.AccessToken); got["scope"] != want || got["acr"] != "mfa" {
				t.Errorf("the token says %v, want %q", got, want)
			}
			if i := introspected(t, s, all.token.AccessToken); i["scope"] != want || i["active"] != true {
				t.Errorf("introspection says %v, want %q", i, want)
			}
			if got := s.app.userinfo(all.token); got != 200 {
				t.Errorf("userinfo answers %d", got)
			}
		}
		left("openid mail transfer offline_access")
		time.Sleep(5 * time.Minute)
		left("openid mail transfer offline_access")
		time.Sleep(time.Second)
		left("openid mail offline_access")
		if _, err := s.app.refresh(narrow); refusal(err) != "invalid_grant" {
			t.Errorf("with nothing left: %v", err)
		}
		if i := introspected(t, s, narrow.RefreshToken); i["active"] != false {
			t.Errorf("introspection of what renews nothing says %v", i)
		}
		// It was a refusal and no revocation: a step-up is another grant, and this
		// one is as it was. A new proof elsewhere does not freshen it, either.
		b.open(s.app.request("scope", "transfer"))
		b.login("alice", phone)
		left("openid mail offline_access")
		if got := s.audit("alice", provider.EventReuse); len(got) > 0 {
			t.Errorf("a refusal counts as reuse: %v", got)
		}
	})
}

// A policy that is made stricter holds at the next refresh, for each scope and
// for the client.
func TestAStricterPolicyHoldsAtTheNextRefresh(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s, _ := newBank(t, dsn)
		b := s.browser
		b.open(s.app.request("scope", "openid email offline_access"))
		b.password("alice")
		id := s.app.callback(b.page)
		stricter := newHouse(t, dsn, plan{people: s.people, provider: func(c *provider.Config) {
			c.Floor = "pwd"
			c.ScopeFloors = map[string]authflow.Floor{"email": {Level: "mfa"}}
		}})
		s.net["idp.example"] = stricter
		var err error
		if id.token, err = s.app.refresh(id.token); err != nil || id.token.Extra("scope") != "openid offline_access" {
			t.Fatalf("%v, %v", id.token, err)
		}
		// Asked for by name, it is left out no less.
		c, err := s.db.Client(t.Context(), s.app.config.ClientID)
		if err != nil {
			t.Fatal(err)
		}
		c.Floor = "mfa"
		stricter.register(c)
		if _, err := s.app.refresh(id.token); refusal(err) != "invalid_grant" {
			t.Errorf("with a higher floor of the client: %v", err)
		}
		c.Floor, c.MaxAge = "pwd", time.Hour
		stricter.register(c)
		if id.token, err = s.app.refresh(id.token); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour + time.Second)
		if _, err := s.app.refresh(id.token); refusal(err) != "invalid_grant" {
			t.Errorf("past the client's age: %v", err)
		}
	})
}
