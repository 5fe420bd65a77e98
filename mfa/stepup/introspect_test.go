package stepup_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-id/sallyport/mfa/stepup"
)

const introspectPath = "/introspect"

// answer makes a call token worth what claims say.
func (a *authority) answer(token string, changes claims) string {
	c := claims{"active": true, "token_type": "Bearer"}
	for name, v := range changes {
		c[name] = v
	}
	text := string(must(json.Marshal(a.claims(c))))
	a.set(func(a *authority) { a.opaque[token] = text })
	return token
}

func TestAnOpaqueTokenIsWorthWhatTheIssuerSays(t *testing.T) {
	a := newAuthority(t)
	g := a.guard(introspected)
	strong := stepup.Demand{Scopes: []string{"read"}, Level: "mfa", MaxAge: time.Minute}
	old := time.Now().Unix() - 3600
	for name, test := range map[string]struct {
		claims claims
		status int
		code   string
	}{
		"all of it":                   {nil, 200, ""},
		"without what is optional":    {claims{"iss": nil, "iat": nil, "jti": nil, "client_id": nil, "amr": nil}, 200, ""},
		"several audiences":           {claims{"aud": []string{"https://other.example.com", api}}, 200, ""},
		"type in lower case":          {claims{"token_type": "bearer"}, 200, ""},
		"details null":                {claims{"authorization_details": json.RawMessage("null")}, 200, ""},
		"not active":                  {claims{"active": false}, 401, "invalid_token"},
		"no active":                   {claims{"active": nil}, 401, "invalid_token"},
		"of another issuer":           {claims{"iss": "https://as.example.org"}, 401, "invalid_token"},
		"for another API":             {claims{"aud": "https://other.example.com"}, 401, "invalid_token"},
		"no audience":                 {claims{"aud": nil}, 401, "invalid_token"},
		"no end":                      {claims{"exp": nil}, 401, "invalid_token"},
		"over":                        {claims{"exp": old}, 401, "invalid_token"},
		"nobody's":                    {claims{"sub": nil}, 401, "invalid_token"},
		"a refresh token, by no type": {claims{"token_type": nil}, 401, "invalid_token"},
		"a refresh token, by use":     {claims{"token_use": "refresh_token"}, 401, "invalid_token"},
		"an access token, by use":     {claims{"token_use": "access_token"}, 200, ""},
		"bound by DPoP":               {claims{"token_type": "DPoP"}, 401, "invalid_token"},
		"bound by cnf":                {claims{"cnf": map[string]string{"jkt": "a"}}, 401, "invalid_token"},
		"no acr":                      {claims{"acr": nil}, 401, insufficientUser},
		"no auth_time":                {claims{"auth_time": nil}, 401, insufficientUser},
		"an old proof":                {claims{"auth_time": old}, 401, insufficientUser},
		"no scope":                    {claims{"scope": nil}, 403, insufficientScope},
		"active as text":              {claims{"active": "true"}, 503, ""},
		"exp as text":                 {claims{"exp": "never"}, 503, ""},
	} {
		t.Run(name, func(t *testing.T) {
			wants(t, call(g, strong, a.answer("token-of-"+strings.ReplaceAll(strings.ReplaceAll(name, " ", "-"), ",", ""), test.claims)), test.status, test.code)
		})
	}
	wants(t, call(g, anyToken, "unknown"), 401, "invalid_token")

	lax := a.guard(introspected, func(c *stepup.Config) { c.Introspection.InsecureUntyped = true })
	wants(t, call(lax, strong, a.answer("untyped", claims{"token_type": nil})), 200, "")
	wants(t, call(lax, strong, a.answer("of-a-key", claims{"token_type": "DPoP"})), 401, "invalid_token")
}

// A JWT that does not hold is not tried in another way.
func TestAJWTIsAskedAboutOnlyIfAllAre(t *testing.T) {
	a := newAuthority(t)
	g := a.guard(introspected)
	good, id := a.token(nil), a.signers[0].sign(a.claims(nil), map[string]any{"typ": "JWT"})
	a.answer(id, nil)
	wants(t, call(g, anyToken, good), 200, "")
	wants(t, call(g, anyToken, id), 401, "invalid_token")
	if a.count(introspectPath) != 0 {
		t.Error("the issuer was asked about a JWT")
	}
	all := a.guard(introspected, func(c *stepup.Config) { c.Introspection.All = true })
	before := a.count(keysPath)
	wants(t, call(all, anyToken, good), 401, "invalid_token")
	wants(t, call(all, anyToken, a.answer(good, nil)), 200, "")
	if a.count(keysPath) != before {
		t.Error("keys were fetched, and nothing is verified by them")
	}
}

func TestAnAnswerCountsForTenSecondsAndNeverLongerThanTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t)
		g := a.guard(introspected)
		token := a.answer("token", nil)
		for range 100 {
			wants(t, call(g, anyToken, token), 200, "")
		}
		if got := a.count(introspectPath); got != 1 {
			t.Errorf("the issuer was asked %d times, want once", got)
		}
		a.set(func(a *authority) { delete(a.opaque, token) }) // revoked
		time.Sleep(10*time.Second - time.Nanosecond)
		wants(t, call(g, anyToken, token), 200, "")
		time.Sleep(time.Nanosecond)
		wants(t, call(g, anyToken, token), 401, "invalid_token")

		// It is over in three seconds; after that the issuer is asked, whatever
		// the skew.
		a.answer(token, claims{"exp": time.Now().Unix() + 3})
		wants(t, call(g, anyToken, token), 200, "")
		a.set(func(a *authority) { delete(a.opaque, token) })
		time.Sleep(3 * time.Second)
		wants(t, call(g, anyToken, token), 401, "invalid_token")

		// What is not good is asked about each time.
		before := a.count(introspectPath)
		for range 3 {
			wants(t, call(g, anyToken, "bad"), 401, "invalid_token")
		}
		if got := a.count(introspectPath) - before; got != 3 {
			t.Errorf("the issuer was asked %d times about a bad token, want 3", got)
		}

		fresh := a.guard(introspected, func(c *stepup.Config) { c.Introspection.Cache = -1 })
		a.answer(token, nil)
		wants(t, call(fresh, anyToken, token), 200, "")
		if got := stepup.Remembered(fresh); got != 0 {
			t.Errorf("%d answers are remembered, want none", got)
		}
		a.set(func(a *authority) { delete(a.opaque, token) })
		wants(t, call(fresh, anyToken, token), 401, "invalid_token")
	})
}

// A kept answer is judged anew: the proof grows older, and demands differ.
func TestAKeptAnswerIsComparedWithEachDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t)
		g := a.guard(introspected, func(c *stepup.Config) { c.Introspection.Cache = time.Minute })
		token := a.answer("token", claims{"auth_time": time.Now().Unix(), "exp": time.Now().Unix() + 300})
		fresh := stepup.Demand{MaxAge: 10 * time.Second}
		wants(t, call(g, fresh, token), 200, "")
		wants(t, call(g, stepup.Demand{Level: "phr"}, token), 401, insufficientUser)
		time.Sleep(16 * time.Second)
		wants(t, call(g, fresh, token), 401, insufficientUser)
		if got := a.count(introspectPath); got != 1 {
			t.Errorf("the issuer was asked %d times, want once", got)
		}
	})
}

func TestAnIntrospectionThatCannotBeHadRefuses(t *testing.T) {
	answers := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			w.Write([]byte(text))
		}
	}
	active := `{"active":true,"sub":"a","token_type":"Bearer","aud":"` + api + `","exp":` + fmt.Sprint(time.Now().Unix()+99) + `}`
	for name, page := range map[string]http.HandlerFunc{
		"500":          answers(500, active),
		"201":          answers(201, active),
		"not for us":   answers(401, ""),
		"no JSON":      answers(200, "active"),
		"nothing":      answers(200, ""),
		"a list":       answers(200, "["+active+"]"),
		"twice active": answers(200, `{"active":false,`+active[1:]),
		"too long":     answers(200, active+strings.Repeat(" ", 300<<10)),
		"somewhere else": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, issuer+"/other", http.StatusTemporaryRedirect)
		},
		"no endpoint": nil,
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t)
			a.pages[introspectPath], a.pages["/other"] = page, answers(200, active)
			if page == nil {
				a.pages[discovery] = answers(200, `{"issuer":"`+issuer+`"}`)
			}
			wants(t, call(a.guard(introspected), anyToken, "token"), 503, "")
		})
	}
	a := newAuthority(t)
	a.pages[introspectPath] = answers(200, active)
	wants(t, call(a.guard(introspected), anyToken, "token"), 200, "")
	at := a.guard(introspected, func(c *stepup.Config) { c.Introspection.URL = issuer + "/elsewhere" })
	a.pages["/elsewhere"] = answers(200, active)
	wants(t, call(at, anyToken, "token"), 200, "")
	wrong := a.guard(introspected, func(c *stepup.Config) { c.Introspection.Secret = "no" })
	a.pages[introspectPath] = a.introspect
	wants(t, call(wrong, anyToken, "token"), 503, "")
}

// However many tokens there are, so many are remembered and no more.
func TestTheMemoryOfAnswersIsBounded(t *testing.T) {
	a := newAuthority(t)
	g := a.guard(introspected)
	page := []byte(`{"active":true,"sub":"a","token_type":"Bearer","aud":"` + api + `","exp":` + fmt.Sprint(time.Now().Unix()+99) + `}`)
	a.pages[introspectPath] = func(w http.ResponseWriter, _ *http.Request) { w.Write(page) }
	const many = 10_000 + 500
	for i := range many {
		call(g, anyToken, fmt.Sprint("t", i))
	}
	if got := stepup.Remembered(g); got != 10_000 {
		t.Errorf("%d answers are remembered, want 10000", got)
	}
	if got := a.count(introspectPath); got != many {
		t.Errorf("the issuer was asked %d times, want %d", got, many)
	}
}

// Tokens that are no JWTs can be made up by the thousand: the issuer sees 32
// requests at once, and the rest wait for their turn or their end.
func TestTheIssuerIsNotFloodedWithTokens(t *testing.T) {
	a := newAuthority(t)
	var now atomic.Int64
	full := make(chan struct{})
	a.pages[introspectPath] = func(w http.ResponseWriter, _ *http.Request) {
		now.Add(1)
		<-full
		w.Write([]byte(`{"active":false}`))
	}
	server := httptest.NewServer(a)
	defer server.Close()
	a.name = server.URL
	g := a.guard(introspected, func(c *stepup.Config) { c.Transport = nil })
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() { call(g, anyToken, fmt.Sprint("made-up-", i)) })
	}
	// As many as may come have come when there are no more for a while.
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for calm, last := 0, int64(0); calm < 15; calm++ {
		<-tick.C
		if got := now.Load(); got != last || got < 32 {
			calm, last = 0, got
		}
	}
	if got := now.Load(); got != 32 {
		t.Errorf("%d requests at once, want 32", got)
	}
	close(full)
	wg.Wait()
}
