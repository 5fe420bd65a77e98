package stepup_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/gorilla/mux"

	"github.com/sallyport-id/sallyport/mfa/stepup"
)

func TestAHandlerSeesTheTokenThatOpenedIt(t *testing.T) {
	a := newAuthority(t)
	g := a.guard()
	detail := `[{"type":"payment","amount":"12.50"}]`
	authenticated := time.Now().Add(-time.Minute).Unix()
	token := a.token(claims{
		"jti": "e1j3V_bKic8-LAEB_lccD0G", "auth_time": authenticated, "department": "sales",
		"authorization_details": json.RawMessage(detail),
	})
	ran := false
	h := g.Require(stepup.Demand{Scopes: []string{"purchase"}, Level: "mfa", MaxAge: 5 * time.Minute})(
		http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			ran = true
			got, ok := stepup.From(r.Context())
			if !ok {
				t.Fatal("no token")
			}
			if got.Issuer != issuer || got.Subject != "someone@example.net" || got.ClientID != "s6BhdRkqt3" ||
				got.ID != "e1j3V_bKic8-LAEB_lccD0G" || !slices.Equal(got.Audience, []string{api}) ||
				!slices.Equal(got.Scopes, []string{"purchase", "read"}) || got.ACR != "mfa" ||
				!slices.Equal(got.AMR, []string{"pwd", "otp"}) || got.AuthTime.Unix() != authenticated ||
				string(got.AuthorizationDetails) != detail || got.Expires.Before(time.Now()) || got.Issued.IsZero() {
				t.Errorf("got %+v", got)
			}
			var more struct {
				Department string `json:"department"`
			}
			if err := got.Claims(&more); err != nil || more.Department != "sales" {
				t.Errorf("its other claims are %+v, %v", more, err)
			}
		}))
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "bearer "+token) // RFC 9110 section 11.1: in any case
	h.ServeHTTP(httptest.NewRecorder(), r)
	if !ran {
		t.Error("the handler did not run")
	}
	if _, ok := stepup.From(context.Background()); ok {
		t.Error("there is a token where no guard was")
	}
}

// Tokens that somebody made, of another kind, or of another issuer (TK-1, TK-3).
func TestHostileTokensAreRefused(t *testing.T) {
	a := newAuthority(t)
	a.signers = []signer{{"rsa", "RS256", rsaKey}, {"ec", "ES256", ecKey}}
	good := a.signers[1]
	stranger := signer{"ec", "ES256", must(newECKey())}
	is := func(c claims) string { return a.token(c) }
	with := func(h map[string]any) string { return good.sign(a.claims(nil), h) }
	part := base64.RawURLEncoding.EncodeToString
	payload := part(must(json.Marshal(a.claims(nil))))
	hmac := func(secret []byte) string {
		o := (&jose.SignerOptions{}).WithType("at+jwt").WithHeader("kid", "rsa")
		s := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: secret}, o))
		return must(must(s.Sign(must(json.Marshal(a.claims(nil))))).CompactSerialize())
	}
	der := must(x509.MarshalPKIXPublicKey(&rsaKey.PublicKey))
	own := jose.JSONWebKey{Key: stranger.private.Public(), KeyID: "ec", Algorithm: "ES256"}
	truncated := strings.Split(is(nil), ".")

	for name, token := range map[string]string{
		"wrong issuer":                 is(claims{"iss": "https://as.example.org"}),
		"issuer with a slash":          is(claims{"iss": issuer + "/"}),
		"no issuer":                    is(claims{"iss": nil}),
		"wrong audience":               is(claims{"aud": "https://other.example.com"}),
		"audiences without this one":   is(claims{"aud": []string{"a", api + "/"}}),
		"no audience":                  is(claims{"aud": nil}),
		"empty audience":               is(claims{"aud": []string{}}),
		"audience of another shape":    is(claims{"aud": map[string]string{"a": api}}),
		"no subject":                   is(claims{"sub": nil}),
		"no client":                    is(claims{"client_id": nil}),
		"no jti":                       is(claims{"jti": nil}),
		"no iat":                       is(claims{"iat": nil}),
		"no exp":                       is(claims{"exp": nil}),
		"exp null":                     is(claims{"exp": json.RawMessage("null")}),
		"exp as text":                  is(claims{"exp": "9999999999"}),
		"exp beyond time":              is(claims{"exp": 1e300}),
		"exp in the year 30000000":     is(claims{"exp": 1e15}),
		"authenticated before 1970":    is(claims{"auth_time": -1}),
		"exp negative":                 is(claims{"exp": -1}),
		"expired":                      is(claims{"exp": time.Now().Unix() - 60}),
		"not yet valid":                is(claims{"nbf": time.Now().Unix() + 60}),
		"issued in the future":         is(claims{"iat": time.Now().Unix() + 60}),
		"authenticated in the future":  is(claims{"auth_time": time.Now().Unix() + 60}),
		"acr of another type":          is(claims{"acr": []string{"mfa"}}),
		"auth_time as text":            is(claims{"auth_time": "1"}),
		"bound to a key by DPoP":       is(claims{"cnf": map[string]string{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}),
		"bound to a certificate":       is(claims{"cnf": map[string]string{"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}}),
		"bound to nothing known":       is(claims{"cnf": map[string]string{}}),
		"details that are no list":     is(claims{"authorization_details": map[string]string{}}),
		"a claim twice":                good.sign([]byte(strings.Replace(string(must(json.Marshal(a.claims(nil)))), "{", `{"acr":"phr",`, 1)), nil),
		"no claims":                    good.sign([]byte("[]"), nil),
		"ID token":                     with(map[string]any{"typ": "JWT"}),
		"no type":                      with(map[string]any{"typ": nil}),
		"logout token":                 with(map[string]any{"typ": "logout+jwt"}),
		"DPoP proof":                   with(map[string]any{"typ": "dpop+jwt"}),
		"type of another type":         with(map[string]any{"typ": 1}),
		"no kid":                       with(map[string]any{"kid": nil}),
		"unknown kid":                  with(map[string]any{"kid": "nobody"}),
		"kid of another key":           with(map[string]any{"kid": "rsa"}),
		"signed by a stranger":         stranger.sign(a.claims(nil), nil),
		"jku":                          stranger.sign(a.claims(nil), map[string]any{"jku": "https://evil.example/keys"}),
		"x5u":                          stranger.sign(a.claims(nil), map[string]any{"x5u": "https://evil.example/cert"}),
		"jwk":                          stranger.sign(a.claims(nil), map[string]any{"jwk": own}),
		"jku, well signed":             with(map[string]any{"jku": "https://as.example.net/keys"}),
		"x5u, well signed":             with(map[string]any{"x5u": "https://as.example.net/cert"}),
		"x5c, well signed":             with(map[string]any{"x5c": []string{}}),
		"jwk, well signed":             with(map[string]any{"jwk": map[string]any{}}),
		"crit, well signed":            with(map[string]any{"crit": []string{"b64"}, "b64": true}),
		"none":                         part([]byte(`{"alg":"none","typ":"at+jwt","kid":"ec"}`)) + "." + payload + ".",
		"None with a signature":        part([]byte(`{"alg":"None","typ":"at+jwt","kid":"ec"}`)) + "." + payload + ".AAAA",
		"HS256 with the public key":    hmac(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		"HS256 with the public DER":    hmac(der),
		"no algorithm":                 part([]byte(`{"typ":"at+jwt","kid":"ec"}`)) + "." + payload + ".AAAA",
		"algorithm of another key":     part([]byte(`{"alg":"RS256","typ":"at+jwt","kid":"ec"}`)) + "." + payload + ".AAAA",
		"a header name twice":          part([]byte(`{"alg":"ES256","alg":"none","typ":"at+jwt","kid":"ec"}`)) + "." + payload + ".AAAA",
		"no signature":                 truncated[0] + "." + truncated[1] + ".",
		"other claims":                 truncated[0] + "." + payload + "." + truncated[2],
		"two parts":                    truncated[0] + "." + truncated[1],
		"four parts":                   is(nil) + ".AAAA",
		"five parts, encrypted":        is(nil) + ".AAAA.AAAA",
		"no JWT":                       "2YotnFZFEjr1zCsicMWpAA",
		"empty parts":                  "..",
		"huge":                         is(claims{"filler": strings.Repeat("a", 16<<10)}),
		"huge, not even a token":       strings.Repeat("a", 1<<20),
		"with a space":                 is(nil)[:20] + " " + is(nil)[20:],
		"two of them":                  is(nil) + ", " + is(nil),
		"with a comma and another one": is(nil) + ",Bearer " + is(nil),
	} {
		t.Run(name, func(t *testing.T) {
			wants(t, call(a.guard(), anyToken, token), 401, "invalid_token")
		})
	}
	g := a.guard()
	for _, typ := range []string{"at+jwt", "application/at+jwt", "at+JWT"} {
		wants(t, call(g, anyToken, with(map[string]any{"typ": typ})), 200, "")
	}
}

// A user may be allowed to set a claim of a name like it.
func TestAClaimThatDiffersByCaseIsAnother(t *testing.T) {
	a := newAuthority(t)
	g := a.guard()
	wants(t, call(g, stepup.Demand{Level: "phr"}, a.token(claims{"ACR": "phr", "Acr": "phr"})), 401, "insufficient_user_authentication")
	wants(t, call(g, stepup.Demand{Level: "mfa"}, a.token(claims{"ACR": "pwd"})), 200, "")
}

func TestTheSkewIsAFewSecondsAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t)
		now := time.Now().Unix()
		token := a.token
		for _, test := range []struct {
			name   string
			claims claims
			skew   time.Duration
			pass   bool
		}{
			{"expired for 4 seconds", claims{"exp": now - 4}, 0, true},
			{"expired for 5 seconds", claims{"exp": now - 5}, 0, false},
			{"expired for 29 of 30 seconds", claims{"exp": now - 29}, 30 * time.Second, true},
			{"valid in 5 seconds", claims{"nbf": now + 5}, 0, true},
			{"valid in 6 seconds", claims{"nbf": now + 6}, 0, false},
			{"issued in 5 seconds", claims{"iat": now + 5}, 0, true},
			{"issued in 6 seconds", claims{"iat": now + 6}, 0, false},
			{"authenticated in 5 seconds", claims{"auth_time": now + 5}, 0, true},
			{"authenticated in 6 seconds", claims{"auth_time": now + 6}, 0, false},
			{"with parts of a second", claims{"exp": float64(now) - 4.5, "iat": float64(now) - 300.25}, 0, true},
		} {
			g := a.guard(func(c *stepup.Config) { c.Skew = test.skew })
			if got := call(g, anyToken, token(test.claims)).StatusCode == 200; got != test.pass {
				t.Errorf("%s: passed: %v, want %v", test.name, got, test.pass)
			}
		}
	})
}

func TestTokensComeInOneAuthorizationHeaderOnly(t *testing.T) {
	a := newAuthority(t)
	g := a.guard()
	good := "Bearer " + a.token(nil)
	for _, test := range []struct {
		name   string
		fields []string
		status int
		code   string
	}{
		{"one", []string{good}, 200, ""},
		{"with spaces", []string{"Bearer   " + good[7:] + " "}, 200, ""},
		{"none", nil, 401, ""},
		{"two", []string{good, good}, 400, "invalid_request"},
		{"a second one for somebody else", []string{good, "Basic YTpi"}, 400, "invalid_request"},
		{"another scheme", []string{"Basic YTpi"}, 401, ""},
		{"DPoP, which is not checked here", []string{"DPoP " + good[7:]}, 401, ""},
		{"a scheme that begins alike", []string{"Bearerx " + good[7:]}, 401, ""},
		{"nothing in it", []string{""}, 401, ""},
		{"no token", []string{"Bearer"}, 401, "invalid_token"},
		{"a line break", []string{good + "\n"}, 401, "invalid_token"},
	} {
		t.Run(test.name, func(t *testing.T) {
			wants(t, callWith(g, anyToken, test.fields...), test.status, test.code)
		})
	}
	// RFC 6750 sections 2.2 and 2.3: elsewhere a token ends up in logs.
	r := httptest.NewRequest("POST", "/?access_token="+good[7:], strings.NewReader("access_token="+good[7:]))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	g.Require(anyToken)(http.NotFoundHandler()).ServeHTTP(w, r)
	wants(t, w.Result(), 401, "")
}

func TestEachAlgorithmVerifiesWithItsOwnKeyOnly(t *testing.T) {
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	p521 := must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	all := []signer{
		{"ES256", "ES256", ecKey}, {"ES384", "ES384", p384}, {"ES512", "ES512", p521}, {"EdDSA", "EdDSA", ed25519Key()},
		{"RS256", "RS256", rsaKey}, {"RS384", "RS384", rsaKey}, {"RS512", "RS512", rsaKey},
		{"PS256", "PS256", rsaKey}, {"PS384", "PS384", rsaKey}, {"PS512", "PS512", rsaKey},
	}
	a := newAuthority(t)
	a.signers = all
	g := a.guard()
	one := a.guard(func(c *stepup.Config) { c.Algorithms = []string{"PS256"} })
	for _, s := range all {
		t.Run(s.alg, func(t *testing.T) {
			token := s.sign(a.claims(nil), nil)
			wants(t, call(g, anyToken, token), 200, "")
			// The key's own alg counts, even where another would fit its type.
			for _, other := range all {
				if other.kid != s.kid {
					wants(t, call(g, anyToken, s.sign(a.claims(nil), map[string]any{"kid": other.kid})), 401, "invalid_token")
				}
			}
			if s.alg == "PS256" {
				wants(t, call(one, anyToken, token), 200, "")
			} else {
				wants(t, call(one, anyToken, token), 401, "invalid_token")
			}
		})
	}
}

func TestAShortRSAKeyVerifiesNothing(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0")
	a := newAuthority(t)
	a.signers = append([]signer{{"short", "RS256", must(rsa.GenerateKey(rand.Reader, 1024))}}, a.signers...)
	wants(t, call(a.guard(), anyToken, a.signers[0].sign(a.claims(nil), nil)), 401, "invalid_token")
}

// AD-2
func TestTheZeroValuesDeny(t *testing.T) {
	a := newAuthority(t)
	token := a.token(nil)
	for name, g := range map[string]*stepup.Guard{"zero": {}, "nil": nil} {
		wants(t, call(g, anyToken, token), 503, "")
		wants(t, call(g, stepup.Demand{}, token), 503, "")
		if _, err := g.Check(t.Context(), []string{"Bearer " + token}, anyToken); err == nil {
			t.Errorf("the %s guard lets a token pass", name)
		}
	}
	g := a.guard()
	_, err := g.Check(t.Context(), []string{"Bearer " + token}, stepup.Demand{})
	if !errors.Is(err, stepup.ErrDemand) {
		t.Errorf("the zero demand: %v, want ErrDemand", err)
	}
	if _, err := stepup.New(stepup.Config{}); err == nil {
		t.Error("the zero configuration is taken")
	}
	for name, err := range map[string]error{"nil": nil, "zero": &stepup.Refusal{}, "nil refusal": (*stepup.Refusal)(nil), "other": errors.New("x"), "200": &stepup.Refusal{Status: 200}} {
		w := httptest.NewRecorder()
		if stepup.Refuse(w, err); w.Code != 503 {
			t.Errorf("Refuse answers a %s error with %d, want 503", name, w.Code)
		}
	}
	var zero stepup.Token
	if err := zero.Claims(&struct{}{}); err == nil || zero.Subject != "" {
		t.Error("the zero token says something")
	}
	if err := (&stepup.SQLStore{}).Spend(t.Context(), "a", time.Now()); err == nil || errors.Is(err, stepup.ErrSpent) {
		t.Errorf("the zero SQLStore: %v", err)
	}
	if err := (*stepup.SQLStore)(nil).Spend(t.Context(), "a", time.Now()); err == nil {
		t.Error("a nil SQLStore spends")
	}
	if _, err := stepup.NewSQLStore(nil, stepup.SQLite); err == nil {
		t.Error("a store without a database is made")
	}
	if (stepup.Challenge{}).IsStepUp() {
		t.Error("the zero challenge is a reason to step up")
	}
	resp := &http.Response{StatusCode: 401, Header: http.Header{"Www-Authenticate": {`Bearer error="insufficient_user_authentication"`}}}
	if to, err := (stepup.Client{}).StepUp(&stepup.Flow{}, resp); err == nil || to != "" {
		t.Errorf("the zero client sends to %q, %v", to, err)
	}
	if code, err := (stepup.Client{}).Answer(&stepup.Flow{}, map[string][]string{"state": {""}, "code": {"a"}, "iss": {""}}); err == nil {
		t.Errorf("the zero client takes the code %q", code)
	}
}

func TestTheMiddlewareFitsRouters(t *testing.T) {
	a := newAuthority(t)
	g := a.guard()
	say := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(text)) })
	}
	strong := stepup.Demand{Level: "phr"}

	plain := http.NewServeMux()
	plain.Handle("GET /public", say("public"))
	plain.Handle("GET /mine", g.Require(anyToken)(say("mine")))
	plain.Handle("POST /transfer", g.Require(strong)(say("transfer")))

	gorilla := mux.NewRouter()
	gorilla.Handle("/public", say("public"))
	protected := gorilla.NewRoute().Subrouter()
	protected.Use(g.Require(anyToken))
	protected.Handle("/mine", say("mine")).Methods("GET")
	stronger := protected.NewRoute().Subrouter()
	stronger.Use(g.Require(strong))
	stronger.Handle("/transfer", say("transfer")).Methods("POST")

	// chi's Use and With take this type, and so does alice's chain.
	var chain []func(http.Handler) http.Handler
	chain = append(chain, g.Require(anyToken), g.Require(strong))
	nested := chain[0](chain[1](say("transfer")))

	for name, router := range map[string]http.Handler{"net/http": plain, "gorilla/mux": gorilla} {
		for _, test := range []struct {
			method, path, token string
			status              int
		}{
			{"GET", "/public", "", 200},
			{"GET", "/mine", "", 401},
			{"GET", "/mine", a.token(nil), 200},
			{"POST", "/transfer", a.token(nil), 401},
			{"POST", "/transfer", a.token(claims{"acr": "phr"}), 200},
		} {
			if got := serve(router, test.method, test.path, test.token).StatusCode; got != test.status {
				t.Errorf("%s: %s %s: %d, want %d", name, test.method, test.path, got, test.status)
			}
		}
	}
	if got := serve(nested, "POST", "/transfer", a.token(claims{"acr": "phr"})).StatusCode; got != 200 {
		t.Errorf("nested: %d, want 200", got)
	}
	if got := serve(nested, "POST", "/transfer", a.token(nil)).StatusCode; got != 401 {
		t.Errorf("nested: %d, want 401", got)
	}
}

func serve(h http.Handler, method, path, token string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestAConfigurationThatIsNotSafeIsRefused(t *testing.T) {
	a := newAuthority(t)
	for text, change := range map[string]func(*stepup.Config){
		"Issuer":              func(c *stepup.Config) { c.Issuer = "" },
		"not https":           func(c *stepup.Config) { c.Issuer = "http://as.example.net" },
		"no URL":              func(c *stepup.Config) { c.Issuer = "as.example.net" },
		"query":               func(c *stepup.Config) { c.Issuer += "?a=b" },
		"Audience":            func(c *stepup.Config) { c.Audience = "" },
		"Skew":                func(c *stepup.Config) { c.Skew = 2 * time.Minute },
		"Skew -":              func(c *stepup.Config) { c.Skew = -time.Second },
		"Stale":               func(c *stepup.Config) { c.Stale = 48 * time.Hour },
		"both JWKS":           func(c *stepup.Config) { c.JWKS, c.JWKSURL = a.jwks(), issuer+"/keys" },
		"JWKSURL":             func(c *stepup.Config) { c.JWKSURL = "http://127.0.0.1/keys" },
		"no key":              func(c *stepup.Config) { c.JWKS = []byte(`{"keys":[]}`) },
		"JWKS:":               func(c *stepup.Config) { c.JWKS = []byte(`{`) },
		"list":                func(c *stepup.Config) { c.JWKS = []byte(`{}`) },
		`"none"`:              func(c *stepup.Config) { c.Algorithms = []string{"ES256", "none"} },
		`"HS256"`:             func(c *stepup.Config) { c.Algorithms = []string{"HS256"} },
		"Algorithms is empty": func(c *stepup.Config) { c.Algorithms = []string{} },
		"Realm":               func(c *stepup.Config) { c.Realm = "a\r\nSet-Cookie: b" },
		"twice":               func(c *stepup.Config) { c.Ladder = stepup.Ladder{{"pwd"}, {"pwd"}} },
		"rung 0":              func(c *stepup.Config) { c.Ladder = stepup.Ladder{{}} },
		`""`:                  func(c *stepup.Config) { c.Ladder = stepup.Ladder{{""}} },
		"ClientID":            func(c *stepup.Config) { c.Introspection = &stepup.Introspection{} },
		"Introspection.URL":   func(c *stepup.Config) { introspected(c); c.Introspection.URL = "ftp://as.example.net" },
		"Introspection.Cache": func(c *stepup.Config) { introspected(c); c.Introspection.Cache = time.Hour },
		"Introspection.All":   func(c *stepup.Config) { introspected(c); c.Introspection.All, c.JWKS = true, a.jwks() },
	} {
		c := stepup.Config{Issuer: issuer, Audience: api, Transport: a}
		change(&c)
		if _, err := stepup.New(c); err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(text, " -")) {
			t.Errorf("%v, want something about %s", err, text)
		}
	}
	for _, loopback := range []string{"http://localhost:8080", "http://127.0.0.1", "http://[::1]:80"} {
		if _, err := stepup.New(stepup.Config{Issuer: loopback, Audience: api}); err != nil {
			t.Error(err)
		}
	}
}
