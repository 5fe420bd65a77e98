package test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport-id/sallyport/provider"
)

// backchannelEvent says that a token is a logout token (OpenID Connect
// Back-Channel Logout section 2.4).
const backchannelEvent = "http://schemas.openid.net/event/backchannel-logout"

// takeLogout is what a relying party does with a logout token (OpenID Connect
// Back-Channel Logout section 2.6).
func takeLogout(keys *jose.JSONWebKeySet, alg jose.SignatureAlgorithm, client, token string) (map[string]any, error) {
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{alg})
	if err != nil {
		return nil, err
	}
	payload, err := jws.Verify(keys)
	if err != nil {
		return nil, err
	}
	var c map[string]any
	if err := json.Unmarshal(payload, &c); err != nil {
		return nil, err
	}
	now := float64(time.Now().Unix())
	iat, _ := c["iat"].(float64)
	exp, _ := c["exp"].(float64)
	events, _ := c["events"].(map[string]any)
	event, _ := events[backchannelEvent].(map[string]any)
	_, nonce := c["nonce"]
	switch {
	case jws.Signatures[0].Protected.ExtraHeaders[jose.HeaderType] != "logout+jwt":
		return nil, errors.New("another kind of token")
	case c["iss"] != issuer || c["aud"] != client:
		return nil, errors.New("of another issuer or for another client")
	case iat < now-5 || iat > now || exp != iat+120:
		return nil, errors.New("of another time")
	case event == nil || len(event) > 0 || len(events) != 1 || nonce:
		return nil, errors.New("no logout")
	}
	return c, nil
}

// TK-3, OA-12: a logout from the door to the client's ear, over the network; and
// what arrives there is good for nothing else.
func TestALogoutIsToldOverTheBackChannel(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		heard := make(chan [2]string, 10)
		rp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := r.ParseForm(); err != nil || r.Method != http.MethodPost || len(r.PostForm) != 1 || r.URL.RawQuery != "x=1" {
				t.Errorf("%s %s with %v, %v", r.Method, r.URL, r.PostForm, err)
			}
			heard <- [2]string{strings.TrimPrefix(r.URL.Path, "/"), r.PostForm.Get("logout_token")}
			w.WriteHeader(http.StatusNoContent)
		}))
		t.Cleanup(rp.Close)
		s := newDesk(t, dsn, plan{provider: func(c *provider.Config) {
			c.InsecureNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		}})
		ctx, stop := context.WithCancel(t.Context())
		var deliverer sync.WaitGroup
		deliverer.Go(func() { s.Deliver(ctx) })
		t.Cleanup(func() { stop(); deliverer.Wait() })

		c := leaving()
		c.BackchannelLogoutURI = rp.URL + "/app?x=1"
		s.register(c)
		s.register(provider.Client{ID: "es", Type: provider.SPA, RedirectURIs: []string{appURL}, FirstParty: true, Algorithm: "ES256", BackchannelLogoutURI: rp.URL + "/es?x=1"})
		s.register(provider.Client{ID: "silent", Type: provider.SPA, RedirectURIs: []string{appURL}, FirstParty: true})
		s.register(provider.Client{ID: "absent", Type: provider.SPA, RedirectURIs: []string{appURL}, FirstParty: true, BackchannelLogoutURI: rp.URL + "/absent?x=1"})
		s.register(api)
		tokens := s.tokens(authorization())
		s.code(with(authorization(), "client_id", "es"))
		s.code(with(authorization(), "client_id", "silent"))
		id := claimsOf(t, tokens.text(t, "id_token"))

		s.browser.open(issuer + "/logout?" + values("id_token_hint", tokens.text(t, "id_token"), "post_logout_redirect_uri", byeURL, "state", strings.Repeat("s", 128)).Encode())
		if got, want := s.browser.page.url.String(), byeURL+"?state="+strings.Repeat("s", 128); got != want {
			t.Fatalf("at %s, want %s", got, want)
		}
		var keys jose.JSONWebKeySet
		if err := json.Unmarshal([]byte(ask(t, s, get(t, "/jwks.json")).body), &keys); err != nil {
			t.Fatal(err)
		}
		algorithms := map[string]jose.SignatureAlgorithm{"app": jose.RS256, "es": jose.ES256}
		got := map[string]string{}
		for range algorithms {
			select {
			case h := <-heard:
				got[h[0]] = h[1]
			case <-time.After(30 * time.Second):
				t.Fatalf("only %v were told", slices.Collect(maps.Keys(got)))
			}
		}
		for client, alg := range algorithms {
			claims, err := takeLogout(&keys, alg, client, got[client])
			if err != nil {
				t.Errorf("%s: %v", client, err)
				continue
			}
			if claims["sub"] != "sub-alice" || claims["sid"] != id["sid"] || claims["jti"] == "" {
				t.Errorf("%s is told %v", client, claims)
			}
			if names := slices.Sorted(maps.Keys(claims)); !slices.Equal(names, []string{"aud", "events", "exp", "iat", "iss", "jti", "sid", "sub"}) {
				t.Errorf("%s is told %v", client, names)
			}
		}
		// What is no logout token is not taken for one.
		for _, name := range []string{"id_token", "access_token"} {
			if _, err := takeLogout(&keys, jose.RS256, "app", tokens.text(t, name)); err == nil {
				t.Errorf("the %s passes for a logout token", name)
			}
		}
		// And a logout token is taken for nothing else.
		token := got["app"]
		for what, is := range map[string]struct {
			a    reply
			want string
		}{
			"userinfo":       {s.userinfo(token), "401 invalid_token"},
			"a code":         {s.trade(exchange(token)), "400 invalid_grant"},
			"a refresh":      {s.trade(refresh(token)), "400 invalid_grant"},
			"a hint":         {ask(t, s, get(t, "/authorize?"+with(authorization(), "id_token_hint", token).Encode())), invalid},
			"a logout hint":  {ask(t, s, get(t, "/logout?"+values("id_token_hint", token, "post_logout_redirect_uri", byeURL).Encode())), "200 signedout"},
			"a session":      {ask(t, s, get(t, "/account", "Cookie", sessionCookie+"="+token)), "→flow"},
			"what is active": {s.inspect(token), "200"},
		} {
			if is.a.says() != is.want {
				t.Errorf("a logout token as %s: %s, want %s", what, is.a.says(), is.want)
			}
		}
		if a := s.inspect(token); a.body != inactive {
			t.Errorf("introspected: %s", a.body)
		}
		// Nobody is told twice, or who was not there.
		poll := time.Now().Add(10 * time.Second)
		for len(s.untold()) > 0 && time.Now().Before(poll) {
			time.Sleep(10 * time.Millisecond)
		}
		if len(s.untold()) > 0 || len(heard) > 0 {
			t.Errorf("left are %v, and %d more were told", s.untold(), len(heard))
		}
	})
}
