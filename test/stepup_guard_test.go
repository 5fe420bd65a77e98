package test

import (
	"errors"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/mfa/stepup"
	"github.com/sallyport-id/sallyport/provider"
)

// SU-7: an API behind the library sees what the provider has proven, of JWTs by
// its published keys and of opaque tokens by introspection, and takes no other
// token of its for one.
func TestAnAPISeesWhatTheProviderHasProven(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		for _, c := range []provider.Client{webClient, opaqueClient, service, api} {
			s.register(c)
		}
		asking := &stepup.Introspection{ClientID: api.ID, Secret: appSecret}
		all := &stepup.Introspection{ClientID: api.ID, Secret: appSecret, All: true, Cache: -1}
		guards := map[string]*stepup.Guard{}
		for name, i := range map[string]*stepup.Introspection{"keys": nil, "both": asking, "introspection": all} {
			g, err := stepup.New(stepup.Config{
				Issuer: issuer, Audience: issuer, Introspection: i, Transport: s.net,
				Ladder: stepup.Ladder{{"pwd"}, {"mfa"}, {"phr"}}, Store: &stepup.MemoryStore{},
			})
			if err != nil {
				t.Fatal(err)
			}
			guards[name] = g
		}
		check := func(g, token string, d stepup.Demand) (stepup.Token, error) {
			return guards[g].Check(t.Context(), []string{"Bearer " + token}, d)
		}
		time.Sleep(time.Minute)
		proven := time.Now().Add(-time.Minute).Unix()
		web, opaque := s.bought(webClient), s.bought(opaqueClient)
		jwt, reference := web.text(t, "access_token"), opaque.text(t, "access_token")

		demand := stepup.Demand{Scopes: []string{"profile"}, Level: "mfa", MaxAge: 2 * time.Minute}
		for _, test := range []struct{ guard, token string }{
			{"keys", jwt}, {"both", jwt}, {"both", reference}, {"introspection", jwt}, {"introspection", reference},
		} {
			got, err := check(test.guard, test.token, demand)
			if err != nil {
				t.Errorf("by %s: %v", test.guard, err)
			} else if got.Subject != "sub-alice" || got.ACR != "mfa" || got.AuthTime.Unix() != proven || got.ID == "" {
				t.Errorf("by %s: %+v", test.guard, got)
			}
			once := stepup.Demand{Level: "mfa", Once: true}
			if _, err := check(test.guard, test.token, once); err != nil {
				t.Errorf("once, by %s: %v", test.guard, err)
			}
			if _, err := check(test.guard, test.token, once); !errors.Is(err, stepup.ErrSpent) {
				t.Errorf("twice, by %s: %v, want ErrSpent", test.guard, err)
			}
			if _, err := check(test.guard, test.token, stepup.Demand{Level: "phr"}); !errors.Is(err, stepup.ErrInsufficient) {
				t.Errorf("more, by %s: %v, want ErrInsufficient", test.guard, err)
			}
		}
		// A client that got a token for itself was never authenticated as a user.
		if _, err := check("keys", s.bought(service).text(t, "access_token"), stepup.Demand{Level: "pwd"}); !errors.Is(err, stepup.ErrInsufficient) {
			t.Errorf("a service: %v, want ErrInsufficient", err)
		}
		for _, g := range []string{"keys", "both", "introspection"} {
			for _, name := range []string{"id_token", "refresh_token"} {
				if _, err := check(g, web.text(t, name), stepup.Demand{AnyToken: true}); !errors.Is(err, stepup.ErrToken) {
					t.Errorf("the %s, by %s: %v, want ErrToken", name, g, err)
				}
			}
		}
		time.Sleep(2 * time.Minute)
		if _, err := check("keys", jwt, demand); !errors.Is(err, stepup.ErrInsufficient) {
			t.Errorf("three minutes later: %v, want ErrInsufficient", err)
		}
		s.giveBack(webClient, jwt)
		if _, err := check("introspection", jwt, stepup.Demand{AnyToken: true}); !errors.Is(err, stepup.ErrToken) {
			t.Errorf("revoked: %v, want ErrToken", err)
		}
	})
}
