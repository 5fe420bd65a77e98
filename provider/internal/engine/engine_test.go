package engine

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ory/fosite"

	"github.com/sallyport-id/sallyport/provider/authflow"
)

const (
	issuer   = "https://idp.example"
	redirect = "https://app.example/cb"
	verifier = "the-verifier-of-tests-has-43-characters-0123"
)

var (
	ctx     = context.Background()
	signer  = newKey()
	secrets = [][]byte{bytes.Repeat([]byte("new!"), 8), bytes.Repeat([]byte("old!"), 8)}
	app     = Client{
		ID: "app", Scopes: []string{"openid", "email", "offline_access"}, Algorithm: "ES256",
		GrantTypes: []string{"authorization_code", "refresh_token"}, RedirectURIs: []string{redirect},
	}
)

func newKey() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}

func newEngine(t testing.TB, secrets ...[]byte) *Engine {
	t.Helper()
	e, err := New(Config{
		Issuer: issuer, Secrets: secrets,
		Signing:      func(context.Context, string) (crypto.Signer, string, error) { return signer, "key", nil },
		CodeLifetime: time.Minute, AccessLifetime: 10 * time.Minute, IDTokenLifetime: 10 * time.Minute, RefreshLifetime: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// published knows the one key of these tests.
func published(_ context.Context, kid, alg string) (crypto.PublicKey, error) {
	if kid == "key" && alg == "ES256" {
		return signer.Public(), nil
	}
	return nil, nil
}

// granted returns a Grant with a code, and that code.
func granted() (*Grant, string) {
	sum := sha256.Sum256([]byte(verifier))
	return &Grant{
		ID: "grant", Subject: "sub", ClientID: "app", SessionID: "sid", Scopes: app.Scopes, Left: app.Scopes,
		ACR: "mfa", AMR: []string{"pwd", "otp"}, AuthTime: time.Now(), Nonce: "n",
		Code: sha256.Sum256([]byte("half")), CodeExpires: time.Now().Add(time.Minute), RedirectURI: redirect,
		Challenge: base64.RawURLEncoding.EncodeToString(sum[:]),
		Expires:   time.Now().Add(time.Hour), Ends: time.Now().Add(time.Hour),
	}, "grant.half"
}

func exchange(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}, "code_verifier": {verifier}}
}

// tokens returns what a good code buys, for these APIs.
func tokens(t testing.TB, e *Engine, c Client, apis ...string) map[string]any {
	t.Helper()
	g, code := granted()
	g.Resources = apis
	got, err := e.Token(ctx, exchange(code), c, g)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Spend || got.Rotate || !got.Refresh {
		t.Fatalf("got %+v", got)
	}
	return got.Body
}

// The gate: without a Grant that a flow has given there is no code.
func TestTheZeroGrantGetsNoCode(t *testing.T) {
	e := newEngine(t, secrets...)
	sum := sha256.Sum256([]byte(verifier))
	r, err := e.Parse(ctx, url.Values{
		"client_id": {"app"}, "redirect_uri": {redirect}, "response_type": {"code"}, "scope": {"openid"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}, app)
	if err != nil {
		t.Fatal(err)
	}
	if code, err := e.Issue(ctx, r, "grant", authflow.Grant{}); !errors.Is(err, authflow.ErrNotGranted) || code.Text != "" {
		t.Errorf("got %q, %v; want ErrNotGranted", code.Text, err)
	}
}

func TestASecretHasThirtyTwoBytes(t *testing.T) {
	for _, s := range [][][]byte{nil, {}, {nil}, {make([]byte, 31)}, {make([]byte, 32), make([]byte, 31)}} {
		if _, err := New(Config{Secrets: s}); !errors.Is(err, ErrSecret) {
			t.Errorf("%d secrets: %v, want ErrSecret", len(s), err)
		}
	}
}

// All of a secret counts; fosite takes the first 32 bytes of one (fosite.md
// 3.9), so that two that begin alike would be one.
func TestEveryByteOfASecretCounts(t *testing.T) {
	long := bytes.Repeat([]byte("same"), 16)
	other := bytes.Clone(long)
	other[63]++
	a, b := newEngine(t, long), newEngine(t, other)
	opaque := app
	opaque.Opaque = true
	got := tokens(t, a, opaque)
	if _, err := b.Access(ctx, got["access_token"].(string), published); err == nil {
		t.Error("an access token of another secret is good")
	}
	if _, ok := b.RefreshGrant(got["refresh_token"].(string)); ok {
		t.Error("a refresh token of another secret is good")
	}
}

// A new secret in front makes; the one behind still verifies; one that is gone
// does not.
func TestSecretsRotate(t *testing.T) {
	opaque := app
	opaque.Opaque = true
	before, during, after := newEngine(t, secrets[1]), newEngine(t, secrets...), newEngine(t, secrets[0])
	for name, e := range map[string]*Engine{"old": before, "new": during} {
		got := tokens(t, e, opaque)
		access, refresh := got["access_token"].(string), got["refresh_token"].(string)
		for at, is := range map[*Engine]bool{before: name == "old", during: true, after: name == "new"} {
			if _, err := at.Access(ctx, access, published); (err == nil) != is {
				t.Errorf("%s access token: %v, want %v", name, err, is)
			}
			if _, ok := at.RefreshGrant(refresh); ok != is {
				t.Errorf("%s refresh token: %v, want %v", name, ok, is)
			}
		}
	}
}

// One key for each purpose: no MAC passes for one of another kind.
func TestAMACIsOfOneKind(t *testing.T) {
	e := newEngine(t, secrets...)
	for _, text := range []string{"slp_rt.grant.1", "slp_at.grant.jti.zzzzzz.b3BlbmlkIA.1.YXBw."} {
		for name, key := range map[string][]byte{"refresh": e.macs[0].refresh, "access": e.macs[0].access, "secret": secrets[0]} {
			token := seal(text, key)
			_, isRefresh := e.RefreshGrant(token)
			_, err := e.Access(ctx, token, published)
			if isRefresh != (name == "refresh" && strings.HasPrefix(text, refreshPrefix)) {
				t.Errorf("%s under the key %s is a refresh token: %v", text, name, isRefresh)
			}
			if (err == nil) != (name == "access" && strings.HasPrefix(text, accessPrefix)) {
				t.Errorf("%s under the key %s as an access token: %v", text, name, err)
			}
		}
	}
}

// The successor of a refresh token is one, however often it is made, and each
// generation is another.
func TestARefreshTokenHasOneSuccessor(t *testing.T) {
	e := newEngine(t, secrets...)
	g, _ := granted()
	g.CodeSpent, g.Generation = true, 1
	v := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {seal("slp_rt.grant.1", e.macs[0].refresh)}}
	seen := map[string]bool{v.Get("refresh_token"): true}
	var next string
	for range 3 {
		got, err := e.Token(ctx, v, app, g)
		if err != nil || !got.Rotate || got.Spend {
			t.Fatalf("got %+v, %v", got, err)
		}
		if s := got.Body["refresh_token"].(string); next != "" && s != next {
			t.Errorf("a second successor %s beside %s", s, next)
		} else if next = s; seen[s] {
			t.Error("the successor is the token itself")
		}
	}
	// It ends with its grant, whatever the idle limit says.
	g.Ends = time.Now()
	if _, err := e.Token(ctx, v, app, g); err == nil {
		t.Error("it outlives its grant")
	}
	g.Ends = g.Expires
	// What it was before is reuse; what it has not been yet is not one of ours.
	for generation, reuse := range map[int64]bool{0: false, 2: true} {
		g.Generation = generation
		_, err := e.Token(ctx, v, app, g)
		var r *Refusal
		if !errors.As(err, &r) || r.Code != "invalid_grant" || r.Reuse != reuse {
			t.Errorf("at generation %d: %v, reuse %v", generation, err, r)
		}
	}
}

// In its grace, the refresh token that was replaced last gets the successor
// that it had; whatever the clock of whoever rotated it says, only if there is
// a grace.
func TestTheGraceGivesTheSuccessorAgain(t *testing.T) {
	e := newEngine(t, secrets...)
	token := func(generation string) string { return seal("slp_rt.grant."+generation, e.macs[0].refresh) }
	for name, is := range map[string]struct {
		grace, ago time.Duration
		generation string // that is presented; the last one is 3
		revoked    bool
		want       string // the answer's; empty: invalid_grant
		reuse      bool
	}{
		"in it":                  {time.Minute, 50 * time.Second, "2", false, "3", false},
		"after it":               {time.Minute, time.Minute, "2", false, "", true},
		"none":                   {0, 0, "2", false, "", true},
		"none, by another clock": {0, -time.Second, "2", false, "", true},
		"an older one":           {time.Minute, 0, "1", false, "", true},
		"the last one":           {time.Minute, 0, "3", false, "4", false},
		"one to come":            {time.Minute, 0, "4", false, "", false},
		"revoked":                {time.Minute, 0, "2", true, "", false},
		"revoked, after it":      {time.Minute, time.Minute, "2", true, "", true},
	} {
		e.config.RefreshGrace = is.grace
		g, _ := granted()
		g.CodeSpent, g.Generation, g.Rotated, g.Revoked = true, 3, time.Now().Add(-is.ago), is.revoked
		got, err := e.Token(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token(is.generation)}}, app, g)
		if is.want == "" {
			var r *Refusal
			if !errors.As(err, &r) || r.Code != "invalid_grant" || r.Reuse != is.reuse {
				t.Errorf("%s: got %v, %+v", name, err, r)
			}
			continue
		}
		if err != nil || got.Body["refresh_token"] != token(is.want) || got.Again == got.Rotate || got.Again != (is.want == "3") || got.Spend {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

// What a store has read may be anything: nothing of it panics, or makes tokens
// of a grant that was revoked, spent or is another's.
func TestTokenJudgesTheGrantItIsGiven(t *testing.T) {
	e := newEngine(t, secrets...)
	_, code := granted()
	for name, is := range map[string]struct {
		spoil func(g *Grant) *Grant
		reuse bool
	}{
		"none":            {func(*Grant) *Grant { return nil }, false},
		"zero":            {func(*Grant) *Grant { return &Grant{} }, false},
		"another":         {func(g *Grant) *Grant { g.ID = "other"; return g }, false},
		"another client":  {func(g *Grant) *Grant { g.ClientID = "other"; return g }, false},
		"another code":    {func(g *Grant) *Grant { g.Code[0]++; return g }, false},
		"revoked":         {func(g *Grant) *Grant { g.Revoked = true; return g }, false},
		"expired":         {func(g *Grant) *Grant { g.CodeExpires = time.Now(); return g }, false},
		"spent":           {func(g *Grant) *Grant { g.CodeSpent = true; return g }, true},
		"spent, revoked":  {func(g *Grant) *Grant { g.CodeSpent, g.Revoked = true, true; return g }, true},
		"another URI":     {func(g *Grant) *Grant { g.RedirectURI += "/"; return g }, false},
		"another secret":  {func(g *Grant) *Grant { g.Challenge = strings.Repeat("A", 43); return g }, false},
		"no challenge":    {func(g *Grant) *Grant { g.Challenge = ""; return g }, false},
		"spent, anothers": {func(g *Grant) *Grant { g.CodeSpent, g.ClientID = true, "other"; return g }, false},
	} {
		g, _ := granted()
		_, err := e.Token(ctx, exchange(code), app, is.spoil(g))
		var r *Refusal
		if !errors.As(err, &r) || r.Code != "invalid_grant" || r.Status != http.StatusBadRequest || r.Reuse != is.reuse {
			t.Errorf("%s: %v, %+v", name, err, r)
		}
	}
}

// RFC 6749 sections 4.1.2.1 and 5.2 know these codes and characters. fosite has
// others, and statuses of 403 and 500 for what is the client's fault.
func TestEveryErrorOfTheEngineIsOneOfOAuth(t *testing.T) {
	for _, err := range []error{
		fosite.ErrScopeNotGranted, fosite.ErrInactiveToken, fosite.ErrTokenExpired, fosite.ErrTokenSignatureMismatch,
		fosite.ErrNotFound, fosite.ErrInvalidState, fosite.ErrInsufficientEntropy, fosite.ErrRequestUnauthorized,
		fosite.ErrUnsupportedResponseMode, fosite.ErrInvalidRequest, fosite.ErrInvalidGrant, fosite.ErrInvalidScope,
		fosite.ErrUnauthorizedClient, fosite.ErrUnsupportedResponseType, fosite.ErrUnsupportedGrantType,
	} {
		if r := refusal(err); r.Status != http.StatusBadRequest || strings.Contains(r.Code, "token_") || r.Reuse {
			t.Errorf("%v became %+v", err, r)
		}
	}
	if r := refusal(fosite.ErrInvalidClient); r.Status != http.StatusUnauthorized {
		t.Errorf("invalid_client became %+v", r)
	}
	for _, err := range []error{errors.New("a secret of the database"), fosite.ErrServerError, fosite.ErrJTIKnown, errOff} {
		r := refusal(err)
		if r.Code != "server_error" || r.Status != http.StatusInternalServerError || strings.Contains(r.Description, "secret") {
			t.Errorf("%v became %+v", err, r)
		}
		if !errors.Is(r, err) {
			t.Errorf("%v is lost for the log", err)
		}
	}
	if got := legible("a\"b\\c\r\nd\x00\x7fé<>"); got != "a'bcd<>" {
		t.Errorf("got %q", got)
	}
}

// A fault in reading keys is ours, and not a bad token.
func TestAFaultOfTheKeysIsNoBadToken(t *testing.T) {
	e := newEngine(t, secrets...)
	fault := errors.New("the keys are away")
	broken := func(context.Context, string, string) (crypto.PublicKey, error) { return nil, fault }
	if _, err := e.Access(ctx, tokens(t, e, app)["access_token"].(string), broken); !errors.Is(err, fault) {
		t.Errorf("got %v, want the fault", err)
	}
}

// What is off in fosite stays off.
func TestWhatIsOffIsOff(t *testing.T) {
	e := newEngine(t, secrets...)
	f, ok := e.fosite.Config.(*fosite.Config)
	if !ok {
		t.Fatalf("the configuration is %T", e.fosite.Config)
	}
	if f.EnablePKCEPlainChallengeMethod || f.SendDebugMessagesToClients || len(f.TokenIntrospectionHandlers) > 0 ||
		len(f.RevocationHandlers) > 0 || len(f.PushedAuthorizeEndpointHandlers) > 0 || len(f.DeviceEndpointHandlers) > 0 {
		t.Errorf("something is on: %+v", f)
	}
	// It fills these in without a lock: fosite.md 3.9.
	if f.ClientSecretsHasher == nil || f.ScopeStrategy == nil || f.AudienceMatchingStrategy == nil || f.JWKSFetcherStrategy == nil {
		t.Error("something is left to be filled in")
	}
	if err := (noHasher{}).Compare(ctx, nil, nil); err == nil {
		t.Error("fosite compares secrets")
	}
	if _, err := (noFetcher{}).Resolve(ctx, "https://evil.example", true); err == nil {
		t.Error("fosite fetches")
	}
	if _, err := (units{}).GetAccessTokenSession(ctx, "", nil); err == nil {
		t.Error("fosite judges access tokens")
	}
}
