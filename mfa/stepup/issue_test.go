package stepup_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"
)

// serveCodes makes a an issuer that also gives codes and tokens, on loopback. Its
// user allows and proves everything at once, as strongly as is asked, unless
// the issuer is deaf to that.
func serveCodes() (a *authority, d *desk, stop func()) {
	a = newAuthority(nil)
	server := httptest.NewServer(a)
	a.name = server.URL
	d = &desk{authority: a, user: "ada", asked: map[string]url.Values{}}
	a.pages["/authorize"], a.pages["/token"] = d.authorize, d.redeem
	a.pages["/.well-known/openid-configuration"] = func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{
			"issuer": a.name, "jwks_uri": a.name + "/keys",
			"authorization_endpoint": a.name + "/authorize", "token_endpoint": a.name + "/token",
			"id_token_signing_alg_values_supported": []string{"ES256"},
		})
	}
	return a, d, server.Close
}

// A desk is where an authority gives out codes.
type desk struct {
	*authority
	user  string // who is signed in
	deaf  bool   // to acr_values and max_age
	asked map[string]url.Values
}

func (d *desk) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	code := rand.Text()
	d.set(func(*authority) { d.asked[code] = q })
	back := url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {d.name}}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusSeeOther)
}

func (d *desk) redeem(w http.ResponseWriter, r *http.Request) {
	var q url.Values
	code := r.PostFormValue("code")
	d.set(func(*authority) {
		q = d.asked[code]
		delete(d.asked, code)
	})
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if q == nil || base64.RawURLEncoding.EncodeToString(sum[:]) != q.Get("code_challenge") {
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	now := time.Now().Unix()
	acr, at := "pwd", now-3600
	if asked, _, _ := strings.Cut(q.Get("acr_values"), " "); asked != "" && !d.deaf {
		acr, at = asked, now
	}
	access := claims{"sub": d.user, "scope": q.Get("scope"), "acr": acr, "auth_time": at}
	if details := q.Get("authorization_details"); details != "" {
		access["authorization_details"] = json.RawMessage(details)
	}
	id := map[string]any{
		"iss": d.name, "sub": d.user, "aud": q.Get("client_id"), "exp": now + 60, "iat": now,
		"nonce": q.Get("nonce"), "acr": acr, "auth_time": at,
	}
	reply(w, map[string]any{
		"access_token": d.token(access), "token_type": "Bearer", "expires_in": 300,
		"id_token": d.signers[0].sign(id, map[string]any{"typ": "JWT"}),
	})
}
