package test

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	authenticated = "200"
	unknown       = "401 invalid_client"
)

// A variation is an assertion of the client keyed that differs from the right
// one, which its ES256 key signs.
type variation struct {
	alg, key string         // by which and how it is signed
	header   map[string]any // members that are otherwise; nil: left out
	claims   map[string]any
	payload  any // instead of claims
	whole    func(assertion string) string
	also     url.Values // parameters beside it, or instead of it
	headers  []string
	want     string
}

// members is a map of pairs.
func members(pairs ...any) map[string]any {
	m := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1]
	}
	return m
}

// rightAssertions are those by which a client authenticates.
func rightAssertions() map[string]variation {
	h, at := members, fromNow
	return map[string]variation{
		"right":                       {},
		"PS256":                       {alg: "PS256", key: "PS256"},
		"RS256":                       {alg: "RS256", key: "RS256"},
		"EdDSA":                       {alg: "EdDSA", key: "EdDSA"},
		"another of its keys":         {key: "other"},
		"without a kid":               {header: h("kid", nil)},
		"PS256 by the RS256 key":      {alg: "PS256", key: "RS256", header: h("kid", nil)},
		"typ JWT":                     {header: h("typ", "JWT")},
		"a typ of its own":            {header: h("typ", "client-authentication+jwt")},
		"an unknown header":           {header: h("x", "y")},
		"for the token endpoint":      {claims: h("aud", issuer+"/token")},
		"for one, in an array":        {claims: h("aud", []string{issuer})},
		"an unknown claim":            {claims: h("scope", "admin")},
		"with its client_id":          {also: values("client_id", "keyed")},
		"with an empty secret":        {also: values("client_secret", "")},
		"without iat":                 {claims: h("iat", nil)},
		"issued a little ahead":       {claims: h("iat", at(8*time.Second))},
		"good in 8 s":                 {claims: h("nbf", at(8*time.Second))}, // FAPI 2.0
		"good since long":             {claims: h("nbf", at(-time.Hour), "iat", at(-time.Hour))},
		"over for 5 s":                {claims: h("exp", at(-5*time.Second))},
		"good for 5 min":              {claims: h("exp", at(5*time.Minute))},
		"good for half a second more": {claims: h("exp", float64(at(time.Minute))+0.5)},
		"a jti of 256 characters":     {claims: h("jti", rand.Text()+strings.Repeat("x", 230))},
		"a jti of any characters":     {claims: h("jti", rand.Text()+"\x00é \"")},
	}
}

// wrongAssertions are those by which it does not.
func wrongAssertions(t testing.TB) map[string]variation {
	h, at := members, fromNow
	return map[string]variation{
		"unsigned":                    {header: h("alg", "none"), whole: func(s string) string { return s[:strings.LastIndexByte(s, '.')+1] }},
		"unsigned, otherwise":         {header: h("alg", "nOnE")},
		"without alg":                 {header: h("alg", nil)},
		"ES384":                       {alg: "ES384", key: "P-384", header: h("alg", "ES384")},
		"ES256 by a P-384 key":        {key: "P-384"},
		"RS512":                       {key: "RS256", header: h("alg", "RS512")},
		"by a small RSA key":          {alg: "RS256", key: "small"},
		"by HMAC with the RSA key":    {header: h("alg", "HS256"), whole: hmacked},
		"alg of another key's type":   {alg: "RS256", key: "RS256", header: h("alg", "ES256")},
		"alg of a neighbour":          {alg: "RS256", key: "RS256", header: h("alg", "PS256")},
		"the kid of another key":      {header: h("kid", "the other key")},
		"the kid of another type":     {header: h("kid", "the RS256 key")},
		"an unknown kid":              {header: h("kid", "../../etc/passwd")},
		"a key that is not its own":   {key: "stranger", header: h("kid", nil)},
		"not its own, with it":        {key: "stranger", header: h("kid", nil, "jwk", jwkOf(stranger))},
		"right, with its own key":     {header: h("jwk", theKeys()["ES256"].jwk(t))},
		"with a jku":                  {header: h("jku", "https://evil.example/jwks")},
		"with an x5u":                 {header: h("x5u", "https://evil.example/cert")},
		"a critical header":           {header: h("crit", []string{"x"})},
		"its payload unencoded":       {header: h("crit", []string{"b64"}, "b64", false), whole: unencoded}, // RFC 7797
		"the key for encrypting":      {key: "enc", header: h("kid", "the enc key")},
		"the key for another alg":     {alg: "PS256", key: "rs only", header: h("kid", "the rs only key")},
		"typ at+jwt":                  {header: h("typ", "at+jwt")}, // TK-3
		"typ logout+jwt":              {header: h("typ", "logout+jwt")},
		"typ dpop+jwt":                {header: h("typ", "dpop+jwt")},
		"typ application/dpop+jwt":    {header: h("typ", "application/dpop+jwt")},
		"typ oauth-authz-req+jwt":     {header: h("typ", "oauth-authz-req+jwt")},
		"typ of no text":              {header: h("typ", 1)},
		"without iss":                 {claims: h("iss", nil)},
		"of another iss":              {claims: h("iss", "app")},
		"iss is the issuer":           {claims: h("iss", issuer)},
		"without sub":                 {claims: h("sub", nil)},
		"about another":               {claims: h("sub", "keyed too")},
		"by and about another":        {claims: h("iss", "keyed too", "sub", "keyed too")},
		"by and about nobody":         {claims: h("iss", "nobody", "sub", "nobody")},
		"by a client with a secret":   {claims: h("iss", "app", "sub", "app")},
		"by a public client":          {claims: h("iss", "spa", "sub", "spa")},
		"SUB and ISS":                 {claims: h("iss", nil, "sub", nil, "ISS", "keyed", "SUB", "keyed")},
		"iss of no text":              {claims: h("iss", 1, "sub", 1)},
		"iss of other bytes":          {claims: h("iss", "\x00", "sub", "\x00")},
		"without aud":                 {claims: h("aud", nil)},
		"for another":                 {claims: h("aud", "https://evil.example")},
		"for another beside":          {claims: h("aud", []string{issuer, "https://evil.example"})},
		"for both names of ours":      {claims: h("aud", []string{issuer, issuer + "/token"})},
		"for one in an array, not us": {claims: h("aud", []string{"https://evil.example"})},
		"for nobody":                  {claims: h("aud", []string{})},
		"for us with a slash":         {claims: h("aud", issuer+"/")},
		"for the pushed requests":     {claims: h("aud", issuer+"/par")}, // FAPI 2.0
		"for another endpoint":        {claims: h("aud", issuer+"/revoke")},
		"for itself":                  {claims: h("aud", "keyed")},
		"for an object":               {claims: h("aud", h("x", issuer))},
		"without exp":                 {claims: h("exp", nil)},
		"exp of null":                 {payload: but(aboutItself("keyed"), "exp", json.RawMessage("null"))},
		"over":                        {claims: h("exp", at(-10*time.Second))},
		"over for 5 min":              {claims: h("exp", at(-5*time.Minute))}, // FAPI 2.0
		"good for more than 5 min":    {claims: h("exp", at(5*time.Minute+11*time.Second))},
		"good for 10 years":           {claims: h("exp", at(10*365*24*time.Hour))}, // fosite.md 3.8
		"good for ever":               {claims: h("exp", 1e300)},
		"exp of text":                 {claims: h("exp", "4102444800")},
		"exp before all time":         {claims: h("exp", -1)},
		"good in 60 s":                {claims: h("nbf", at(time.Minute))}, // FAPI 2.0
		"nbf of text":                 {claims: h("nbf", "0")},
		"issued in 60 s":              {claims: h("iat", at(time.Minute))},
		"iat of text":                 {claims: h("iat", "0")},
		"without jti":                 {claims: h("jti", nil)},
		"an empty jti":                {claims: h("jti", "")},
		"a jti of 257 characters":     {claims: h("jti", strings.Repeat("x", 257))},
		"a jti of no text":            {claims: h("jti", 7)},
		"another client_id":           {also: values("client_id", "keyed too")},
		"with a secret":               {also: values("client_secret", appSecret)},
		"with its id and a secret":    {also: values("client_id", "keyed", "client_secret", appSecret)},
		"with Basic":                  {headers: []string{"Authorization", basic("keyed", appSecret)}},
		"with another's Basic":        {headers: []string{"Authorization", basic("api", appSecret)}}, // fosite.md 3.8
		"with a Bearer token":         {headers: []string{"Authorization", "Bearer x"}},
		"without a type":              {also: values("client_assertion_type", "")},
		"of another type":             {also: values("client_assertion_type", "jwt-bearer")},
		"of the type of SAML":         {also: values("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer")},
		"of the type, in capitals":    {also: values("client_assertion_type", "URN:ietf:params:oauth:client-assertion-type:jwt-bearer")},
		"a type without assertion":    {also: values("client_assertion", "")},
		"two assertions":              {also: url.Values{"client_assertion": {"a", "b"}}, want: "400 invalid_request"},
		"of a changed payload":        {whole: altered},
		"of a changed signature":      {whole: func(s string) string { return s[:len(s)-8] + "AAAAAAAA" }},
		"without a signature":         {whole: func(s string) string { return s[:strings.LastIndexByte(s, '.')+1] }},
		"with a part more":            {whole: func(s string) string { return s + ".x" }},
		"with spaces":                 {whole: func(s string) string { return " " + s + "\n" }},
		"in JSON":                     {whole: inJSON},
		"junk":                        {whole: func(string) string { return "junk" }},
		"dots":                        {whole: func(string) string { return ".." }},
		"long":                        {claims: h("x", strings.Repeat("x", 8<<10))},
		"a list instead of claims":    {payload: []string{"x"}},
		"a number instead of claims":  {payload: 1},
	}
}

func fromNow(d time.Duration) int64 { return time.Now().Add(d).Unix() }

// RFC 7523 section 3, OpenID Connect Core section 9, TK-1, OA-8: every part of
// an assertion, right and wrong, at every endpoint. A right one is used up; a
// wrong one uses nothing up.
func TestEachPartOfAnAssertion(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn, noLimits)
		s.register(keyed("keyed", jwks(t, setOfAll(t)...)))
		s.register(keyed("keyed too", jwks(t, clientKey{"k", stranger}.jwk(t))))
		s.register(api)
		s.register(spaClient)
		for path := range asking {
			if path != "/token" && !strings.HasPrefix(dsn, "sqlite") {
				continue // who asks is found out in one place, whatever the database
			}
			all := rightAssertions()
			for name, is := range all {
				is.want = authenticated
				all[name] = is
			}
			maps.Copy(all, wrongAssertions(t))
			for _, name := range slices.Sorted(maps.Keys(all)) {
				is := all[name]
				if is.want == "" {
					is.want = unknown
				}
				s.varied(t, path, name, is)
			}
		}
	})
}

// What the document says of authentication is so at each endpoint, and all of
// it is said (OpenID Connect Discovery section 3, RFC 8414 section 2).
func TestTheMetadataNameHowClientsAuthenticate(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.register(keyed("keyed", jwks(t, setOfAll(t)...)))
		s.register(api)
		s.register(spaClient)
		ways := map[string]struct {
			v       url.Values
			headers []string
		}{
			"client_secret_basic": {nil, []string{"Authorization", basic("api", appSecret)}},
			"client_secret_post":  {values("client_id", "api", "client_secret", appSecret), nil},
			"none":                {values("client_id", "spa"), nil},
			"private_key_jwt":     {},
		}
		m := ask(t, s, get(t, "/.well-known/openid-configuration")).json(t)
		for name, path := range map[string]string{"token": "/token", "revocation": "/revoke", "introspection": "/introspect"} {
			for method, is := range ways {
				if method == "private_key_jwt" {
					is.v = proof(t, "keyed")
				}
				a := ask(t, s, send(t, path, both(asking[path], is.v), is.headers...))
				takes := a.status != http.StatusUnauthorized && a.status != http.StatusForbidden
				if says := slices.Contains(m[name+"_endpoint_auth_methods_supported"].([]any), any(method)); says != takes {
					t.Errorf("%s by %s: %s, and the document names it: %t", path, method, a.says(), says)
				}
			}
			says := m[name+"_endpoint_auth_signing_alg_values_supported"].([]any)
			for _, alg := range []string{"ES256", "PS256", "RS256", "EdDSA", "ES384", "RS384", "PS512", "HS256", "none"} {
				is := variation{alg: alg, key: alg, header: members("kid", nil)}
				if theKeys()[alg].Signer == nil {
					is.key = "RS256"
				}
				a := ask(t, s, send(t, path, both(asking[path], asserted(is.sign(t, aboutItself("keyed"))))))
				if slices.Contains(says, any(alg)) != (a.says() == authenticated) {
					t.Errorf("%s by %s: %s, and the document says %v", path, alg, a.says(), says)
				}
			}
		}
	})
}

// varied sends is to path, and then the right assertion with the same jti.
func (s *stage) varied(t *testing.T, path, name string, is variation) {
	t.Helper()
	claims := aboutItself("keyed")
	for claim, v := range is.claims {
		claims = but(claims, claim, v)
	}
	assertion := is.sign(t, claims)
	a := ask(t, s, send(t, path, both(asking[path], asserted(assertion), is.also), is.headers...))
	if a.says() != is.want {
		t.Errorf("%s at %s: %s, want %s", name, path, a.says(), is.want)
	}
	// RFC 6749 section 5.2
	if got := a.header.Get("WWW-Authenticate"); (a.status == http.StatusUnauthorized) != strings.HasPrefix(got, "Basic realm=") {
		t.Errorf("%s at %s: %d with WWW-Authenticate %q", name, path, a.status, got)
	}
	if a.header.Get("Cache-Control") != "no-store" || a.status != http.StatusOK && len(a.json(t)) != 2 {
		t.Errorf("%s at %s: got %v\n%s", name, path, a.header, a.body)
	}
	// LG-2; and a refused one can still be good for whoever reads it.
	log := s.said()
	if sig := assertion[strings.LastIndexByte(assertion, '.')+1:]; len(sig) > 20 && strings.Contains(log+a.body, sig) {
		t.Errorf("%s at %s: the assertion is in the log or the answer", name, path)
	}
	if is.want == unknown && !strings.Contains(log, `"cause":"provider: the client did not authenticate: `) {
		t.Errorf("%s at %s: the log does not say why:\n%s", name, path, log)
	}
	jti, ok := claims["jti"].(string)
	if !ok || jti == "" || len(jti) > 256 {
		return
	}
	want := authenticated
	if is.want == authenticated {
		want = unknown
	}
	right := variation{}.sign(t, but(aboutItself("keyed"), "jti", jti))
	if a := ask(t, s, send(t, path, both(asking[path], asserted(right)))); a.says() != want {
		t.Errorf("%s at %s: and then its jti: %s, want %s", name, path, a.says(), want)
	}
}

// sign returns the assertion that v is, of claims.
func (v variation) sign(t testing.TB, claims map[string]any) string {
	t.Helper()
	alg, k := cmp.Or(v.alg, "ES256"), allKeys()[cmp.Or(v.key, "ES256")]
	header := map[string]any{"alg": alg, "kid": k.kid}
	for name, value := range v.header {
		header = but(header, name, value)
	}
	payload := v.payload
	if payload == nil {
		payload = claims
	}
	assertion := k.sign(t, alg, header, payload)
	if v.whole != nil {
		assertion = v.whole(assertion)
	}
	return assertion
}

// allKeys are those of the client keyed, and a stranger's.
func allKeys() map[string]clientKey {
	keys := maps.Clone(theKeys())
	keys["stranger"] = clientKey{"the stranger's key", stranger}
	keys["enc"] = clientKey{"the enc key", keys["ES256"].Signer}
	keys["rs only"] = clientKey{"the rs only key", keys["RS256"].Signer}
	return keys
}

// setOfAll is what the client keyed publishes: among its keys some that cannot
// be used, and some that are not for this.
func setOfAll(t testing.TB) []map[string]any {
	t.Helper()
	set := []map[string]any{{"kty": "oct", "k": "AAAA", "kid": "s"}, {"kty": "new"}}
	for name, k := range allKeys() {
		switch name {
		case "stranger":
		case "enc":
			set = append(set, k.jwk(t, "use", "enc"))
		case "rs only":
			set = append(set, k.jwk(t, "alg", "RS256", "use", "sig"))
		default:
			set = append(set, k.jwk(t))
		}
	}
	return set
}

// hmacked returns assertion under a MAC, with the public RSA key as the secret
// (the classic confusion).
func hmacked(assertion string) string {
	text := assertion[:strings.LastIndexByte(assertion, '.')]
	der, err := x509.MarshalPKIXPublicKey(theKeys()["RS256"].Public())
	if err != nil {
		panic(err)
	}
	m := hmac.New(sha256.New, der)
	m.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// unencoded returns assertion signed over its claims as they are (RFC 7797).
func unencoded(assertion string) string {
	parts := strings.Split(assertion, ".")
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		panic(err)
	}
	r, s, err := ecdsa.Sign(rand.Reader, theKeys()["ES256"].Signer.(*ecdsa.PrivateKey), digest(parts[0]+"."+string(claims)))
	if err != nil {
		panic(err)
	}
	sig := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func digest(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// altered returns assertion with another jti under the old signature.
func altered(assertion string) string {
	parts := strings.Split(assertion, ".")
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		panic(err)
	}
	parts[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(b), `"jti":"`, `"jti":"x`, 1)))
	return strings.Join(parts, ".")
}

// inJSON returns assertion in the JSON serialization (RFC 7515 section 7.2).
func inJSON(assertion string) string {
	parts := strings.Split(assertion, ".")
	return `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`
}
