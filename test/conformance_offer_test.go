package test

import (
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/html"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
	"github.com/sallyport-id/sallyport/test/relying"
)

// What the metadata offer, tried by a relying party that knows of the provider
// what they say and nothing more: each value of each list, as far as it is for
// relying parties that have a secret or none.

// offer runs fn in a bubble with an exam whose clients need a password alone.
func offer(t *testing.T, fn func(h *house, e *exam)) {
	t.Helper()
	dsn := "sqlite:" + filepath.Join(t.TempDir(), "idp.db")
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dsn, plan{provider: func(c *provider.Config) {
			c.Floor, c.Ladder = "pwd", slices.Clone(authflow.DefaultLadder)
			c.Ladder[1].Aliases = []string{"https://refeds.org/profile/mfa"}
		}})
		h.examined()
		h.people.change("alice", func(u *provider.User) { u.Claims.Groups = []string{"staff"} })
		e := newExam(t, newRoad(t, h), issuer, "", newPerson(t))
		e.steps = []string{"password"}
		fn(h, e)
	})
}

// each calls fn with every value of a list of the metadata.
func (e *exam) each(list string, fn func(value string)) {
	e.t.Helper()
	if len(e.party.List(list)) == 0 {
		e.fail("%s offers nothing", list)
	}
	for _, v := range e.party.List(list) {
		e.t.Logf("%s: %s", list, v) // to be seen if it fails
		fn(v)
	}
}

// A claim that is offered is had by asking for it, by its scope and by name.
func TestEachClaimThatIsOfferedIsGiven(t *testing.T) {
	offer(t, func(_ *house, e *exam) {
		all := strings.Join(e.party.List("scopes_supported"), " ")
		given := e.login("scope", all)
		e.each("claims_supported", func(name string) {
			_, inToken := given.ID.Claims[name]
			if _, inUserinfo := given.userinfo[name]; !inToken && !inUserinfo {
				e.fail("%s is neither in the ID token nor in userinfo", name)
			}
			if inToken {
				return // it is about the token, which has it without being asked
			}
			l := e.login("claims", `{"id_token":{"`+name+`":null},"userinfo":{"`+name+`":null}}`)
			if l.ID.Claims[name] == nil || l.userinfo[name] == nil {
				e.fail("asked for by name, %s is in %v and %v", name, l.ID.Claims, l.userinfo)
			}
		})
		// And the other way round: nothing is told that is not offered, but for
		// the hash of what came with it.
		for _, from := range []map[string]any{given.ID.Claims, given.userinfo} {
			for name := range from {
				if name != "at_hash" {
					e.offers("claims_supported", name)
				}
			}
		}
	})
}

// A scope that is offered is granted, and one that is not is not.
func TestEachScopeThatIsOfferedIsGranted(t *testing.T) {
	offer(t, func(_ *house, e *exam) {
		e.each("scopes_supported", func(scope string) {
			asked := "openid " + strings.TrimPrefix(scope, "openid")
			if l := e.login("scope", asked); (l.Refresh != "") != (scope == "offline_access") {
				e.fail("%s: a refresh token %q", scope, l.Refresh)
			}
		})
		_, err := e.answer(e.party, e.request(e.party, "scope", "openid shoes"))
		e.refused(err, "invalid_scope")
	})
}

// The algorithms: a client that is registered with one is given that.
func TestEachAlgorithmThatIsOfferedSigns(t *testing.T) {
	offer(t, func(h *house, e *exam) {
		e.each("id_token_signing_alg_values_supported", func(alg string) {
			p := *e.party
			p.ID, p.Algorithm = "suite-"+alg, alg
			h.register(provider.Client{ID: p.ID, Name: "The suite", Type: provider.Web, Secrets: []provider.Hash{hash(examSecret)},
				RedirectURIs: []string{p.RedirectURI}, PKCEOptional: true, Algorithm: alg})
			first := e.tokens(&p, e.request(&p))
			e.wait(time.Second)
			e.same(first, e.tokens(&p, e.request(&p, "prompt", "none", "id_token_hint", first.Raw)))
		})
		// Every key is for one of them.
		for id, key := range e.party.Keys {
			if !slices.Contains(e.party.List("id_token_signing_alg_values_supported"), key.Algorithm) {
				e.fail("the key %s is for %s", id, key.Algorithm)
			}
		}
	})
}

// The levels: the token names the one that was asked for.
func TestEachLevelThatIsOfferedIsReached(t *testing.T) {
	offer(t, func(_ *house, e *exam) {
		e.each("acr_values_supported", func(acr string) {
			e.person.sit(e.t, e.party.Client.Transport) // as a stranger
			if l := e.login("acr_values", acr); l.ID.ACR != acr {
				e.fail("acr %s, want %s", l.ID.ACR, acr)
			}
		})
	})
}

// The prompts: each shows what it is for.
func TestEachPromptThatIsOfferedIsShown(t *testing.T) {
	offer(t, func(_ *house, e *exam) {
		e.login()
		shown := map[string][]string{"none": nil, "login": {"password"}, "consent": {"consent"}, "select_account": {"password"}}
		e.each("prompt_values_supported", func(prompt string) {
			want, known := shown[prompt]
			e.wait(time.Minute)
			if l := e.login("prompt", prompt); !known || !slices.Equal(l.pages, want) {
				e.fail("prompt=%s shows %v, want %v", prompt, l.pages, want)
			}
		})
		_, err := e.answer(e.party, e.request(e.party, "prompt", "create"))
		e.refused(err, "invalid_request")
	})
}

// The ways of an answer, and those that are none.
func TestEachResponseModeThatIsOfferedAnswers(t *testing.T) {
	offer(t, func(_ *house, e *exam) {
		e.each("response_modes_supported", func(mode string) { e.login("response_mode", mode) })
		for _, mode := range []string{"fragment", "query.jwt"} {
			v := e.request(e.party, "response_mode", mode)
			_, err := e.answer(e.party, v)
			e.refused(err, "invalid_request")
		}
		e.each("response_types_supported", func(kind string) { e.login("response_type", kind) })
		for _, kind := range []string{"token", "id_token", "code id_token", "none"} {
			_, err := e.answer(e.party, e.request(e.party, "response_type", kind))
			e.refused(err, "unsupported_response_type")
		}
	})
}

// The languages: a page is in the one that was asked for.
func TestEachLanguageThatIsOfferedIsSpoken(t *testing.T) {
	offer(t, func(_ *house, e *exam) {
		titles := map[string]bool{}
		e.each("ui_locales_supported", func(lang string) {
			page := e.person.open(e.party.Text("authorization_endpoint") + "?" + e.request(e.party, "ui_locales", lang).Encode())
			spoken, title := "", ""
			walk(page.doc, func(n *html.Node) {
				switch n.Data {
				case "html":
					spoken = attr(n, "lang")
				case "h1":
					title = words(n)
				}
			})
			if spoken != lang || titles[title] {
				e.fail("asked for %s, the page %q is in %s", lang, title, spoken)
			}
			titles[title] = true
		})
	})
}

// The ways in which a client says who it is: each is good at each endpoint that
// offers it, and no other is. Those that sign are tried where they are tested.
func TestEachWayToAuthenticateThatIsOfferedIsTaken(t *testing.T) {
	offer(t, func(h *house, e *exam) {
		h.register(provider.Client{ID: "suite-public", Name: "The suite", Type: provider.SPA, RedirectURIs: []string{firstCallback}, FirstParty: true})
		h.register(provider.Client{ID: "suite-1", Name: "The suite", Type: provider.Web, Secrets: []provider.Hash{hash(examSecret)},
			RedirectURIs: []string{firstCallback}, PKCEOptional: true, Introspects: true})
		for _, endpoint := range []string{"token", "revocation", "introspection"} {
			for way, dress := range map[string]func(r *http.Request, v url.Values){
				"client_secret_basic": func(r *http.Request, v url.Values) { r.SetBasicAuth("suite-1", url.QueryEscape(examSecret)) },
				"client_secret_post": func(r *http.Request, v url.Values) {
					v.Set("client_id", "suite-1")
					v.Set("client_secret", examSecret)
				},
				"none": func(r *http.Request, v url.Values) { v.Set("client_id", "suite-public") },
			} {
				taken := e.takes(endpoint, dress)
				if offered := slices.Contains(e.party.List(endpoint+"_endpoint_auth_methods_supported"), way); offered != taken {
					e.fail("%s at the %s endpoint: offered %v, taken %v", way, endpoint, offered, taken)
				}
			}
		}
	})
}

// takes reports whether an endpoint takes the client for who it says it is. What
// it asks for is nonsense, which is another matter.
func (e *exam) takes(endpoint string, dress func(r *http.Request, v url.Values)) bool {
	e.t.Helper()
	v := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}, "token": {"x"}}
	r := &http.Request{Header: http.Header{}}
	dress(r, v)
	sent := crossSite(e.t, e.party.Text(endpoint+"_endpoint"), v)
	sent.Header.Set("Authorization", r.Header.Get("Authorization"))
	if sent.Header.Get("Authorization") == "" {
		sent.Header.Del("Authorization")
	}
	resp, err := e.party.Client.Do(sent)
	e.check(err)
	e.check(resp.Body.Close())
	return resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden
}

// The grants: each is good for whoever is registered for it.
func TestEachGrantThatIsOfferedIsGood(t *testing.T) {
	offer(t, func(h *house, e *exam) {
		h.register(provider.Client{ID: "suite-service", Type: provider.Service, Secrets: []provider.Hash{hash(examSecret)},
			GrantTypes: []string{"client_credentials"}, Scopes: []string{"jobs"}})
		tries := map[string]func(grant string){
			"authorization_code": func(string) { e.login() },
			"refresh_token":      func(string) { e.refresh(e.party) },
			"client_credentials": func(grant string) {
				s := *e.party
				s.ID = "suite-service"
				body, err := s.Ask(e.t.Context(), url.Values{"grant_type": {grant}})
				e.check(err)
				if body["access_token"] == nil {
					e.fail("there is no token in %v", body)
				}
			},
		}
		e.each("grant_types_supported", func(grant string) {
			if try := tries[grant]; try == nil {
				e.fail("the grant %s is offered, and not tried", grant)
			} else {
				try(grant)
			}
		})
		for _, grant := range []string{"password", "implicit", "urn:ietf:params:oauth:grant-type:device_code"} {
			if _, err := e.party.Ask(e.t.Context(), url.Values{"grant_type": {grant}}); relying.Refused(err) != "unsupported_grant_type" {
				e.fail("%s: %v", grant, err)
			}
		}
	})
}
