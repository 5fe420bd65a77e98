package test

import (
	"net/http"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/sallyport-id/sallyport/provider"
)

// connected returns a stage on which alice is signed in and the app has a refresh
// token.
func connected(t testing.TB, dsn string, plans ...plan) (*stage, phone, identity) {
	t.Helper()
	s := newStage(t, dsn, plans...)
	s.app.config.Scopes = append(s.app.config.Scopes, "offline_access")
	p := s.ready("alice")
	s.browser.open(s.app.request())
	s.browser.login("alice", p)
	id := s.app.callback(s.browser.page)
	if id.token.RefreshToken == "" {
		t.Fatal("no refresh token")
	}
	return s, p, id
}

// identity reads the ID token that came with a refreshed token.
func (a *app) identity(token *oauth2.Token) (id identity) {
	a.t.Helper()
	raw, _ := token.Extra("id_token").(string)
	verified, err := a.provider.VerifierContext(a.ctx, &oidc.Config{ClientID: a.config.ClientID, Now: time.Now}).Verify(a.ctx, raw)
	if err != nil {
		a.t.Fatal(err)
	}
	if err := verified.Claims(&id); err != nil {
		a.t.Fatal(err)
	}
	id.token, id.raw = token, raw
	return id
}

// OA-6, TK-2
func TestRefreshingRaisesNothingAndReuseRevokesTheFamily(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s, _, first := connected(t, dsn)
		since := time.Unix(first.AuthTime, 0)
		family := []*oauth2.Token{first.token}
		for range 3 {
			time.Sleep(24 * time.Hour)
			token, err := s.app.refresh(family[len(family)-1])
			if err != nil {
				t.Fatal(err)
			}
			id := s.app.identity(token)
			id.proven(t, "mfa", since, "pwd", "otp")
			if id.Subject != first.Subject || id.SID != first.SID || token.RefreshToken == family[len(family)-1].RefreshToken {
				t.Errorf("got %+v", id)
			}
			family = append(family, token)
		}
		last := family[len(family)-1]
		if got := s.app.userinfo(last); got != http.StatusOK {
			t.Fatalf("userinfo answers %d", got)
		}
		// One of before: someone has stolen it, or will.
		if _, err := s.app.refresh(family[1]); refusal(err) != "invalid_grant" {
			t.Errorf("reuse: %v", err)
		}
		if _, err := s.app.refresh(last); refusal(err) != "invalid_grant" {
			t.Errorf("the last of the family: %v", err)
		}
		if got := s.app.userinfo(last); got != http.StatusUnauthorized {
			t.Errorf("userinfo answers %d", got)
		}
		same(t, "audit", s.audit("alice", provider.EventReuse), []string{"token-reuse failure"})
	})
}
