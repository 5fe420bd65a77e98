package test

import (
	"slices"
	"strings"
)

// What a request comes to. Whoever is signed in is not asked here: a request
// in which nothing is wrong goes to a page of its flow.
const (
	accepted   = "→flow"
	noClient   = "400 client"
	noRedirect = "400 redirect"
	noRequest  = "400 stale"
	invalid    = "→app invalid_request"
)

// A variant is a request in which one thing is different.
type variant struct {
	name   string
	values []string // of the parameter; nil: it is left out
	want   string
}

// authorizeVariants are, for each parameter, what it may be and what that
// comes to: absent, empty, repeated, too long, malformed.
var authorizeVariants = map[string][]variant{
	"client_id": { // OA-1
		{"absent", nil, noClient},
		{"empty", []string{""}, noClient},
		{"repeated", []string{"app", "app"}, noClient},
		{"of another kind of bytes", []string{"app\x00"}, noClient},
		{"no UTF-8", []string{"app\xff"}, noClient},
		{"long", []string{strings.Repeat("a", 4000)}, noClient},
		{"unknown", []string{"nobody"}, noClient},
		{"of another case", []string{"APP"}, noClient},
		{"with a space", []string{"app "}, noClient},
	},
	"redirect_uri": { // OA-1, OA-2
		{"absent", nil, noRedirect},
		{"empty", []string{""}, noRedirect},
		{"repeated", []string{appURL, appURL}, noRedirect},
		{"repeated with another", []string{appURL, "https://evil.example/"}, noRedirect},
		{"another host", []string{"https://evil.example/callback"}, noRedirect},
		{"another scheme", []string{"http://app.example/callback"}, noRedirect},
		{"another port", []string{"https://app.example:8443/callback"}, noRedirect},
		{"the default port", []string{"https://app.example:443/callback"}, noRedirect},
		{"another case", []string{"https://APP.example/callback"}, noRedirect},
		{"a slash more", []string{appURL + "/"}, noRedirect},
		{"a path more", []string{appURL + "/../evil"}, noRedirect},
		{"an escape", []string{"https://app.example/%63allback"}, noRedirect},
		{"a query", []string{appURL + "?next=https://evil.example"}, noRedirect},
		{"a fragment", []string{appURL + "#"}, noRedirect},
		{"a user", []string{"https://app.example@evil.example/callback"}, noRedirect},
		{"a line break", []string{appURL + "\r\nSet-Cookie: a=b"}, noRedirect},
		{"relative", []string{"/callback"}, noRedirect},
		{"a script", []string{"javascript:alert(1)"}, noRedirect},
		{"long", []string{appURL + strings.Repeat("a", 4000)}, noRedirect},
	},
	"response_type": {
		{"absent", nil, invalid},
		{"empty", []string{""}, invalid},
		{"repeated", []string{"code", "code"}, invalid}, // OA-3
		{"token", []string{"token"}, "→app unsupported_response_type"},
		{"hybrid", []string{"code id_token"}, "→app unsupported_response_type"},
		{"of another case", []string{"CODE"}, "→app unsupported_response_type"},
		{"long", []string{strings.Repeat("code ", 800)}, "→app unsupported_response_type"},
	},
	"response_mode": {
		{"empty", []string{""}, accepted},
		{"query", []string{"query"}, accepted},
		{"repeated", []string{"query", "query"}, invalid},
		{"fragment", []string{"fragment"}, invalid},
		{"form_post", []string{"form_post"}, accepted},
		{"signed", []string{"query.jwt"}, invalid},
		{"of another case", []string{"FORM_POST"}, invalid},
		{"unknown", []string{"\x00"}, invalid},
	},
	"scope": {
		{"absent", nil, accepted},
		{"empty", []string{""}, accepted},
		{"repeated", []string{"openid", "profile"}, invalid},
		{"unknown", []string{"openid admin"}, "→app invalid_scope"},
		// fosite.md 3.9: by default "photos.*" would cover it, and every scope below.
		{"a wildcard", []string{"openid *"}, "→app invalid_scope"},
		{"below one that is registered", []string{"openid profile.read"}, "→app invalid_scope"},
		{"a tab between", []string{"openid\tprofile"}, "→app invalid_scope"},
		{"no UTF-8", []string{"openid \xff"}, "→app invalid_scope"},
		{"long", []string{"openid " + strings.Repeat("a", 4000)}, "→app invalid_scope"},
	},
	"state": { // fosite.md 3.9: less than 8 characters are an error there
		{"absent", nil, accepted},
		{"empty", []string{""}, accepted},
		{"short", []string{"1"}, accepted},
		{"long", []string{strings.Repeat("s", 4000)}, accepted},
		{"no UTF-8", []string{"\xff\x00\n"}, accepted},
		{"repeated", []string{"one", "two"}, invalid},
	},
	"nonce": {
		{"absent", nil, accepted},
		{"empty", []string{""}, accepted},
		{"short", []string{"1"}, accepted}, // fosite.md 3.9: burns the code at /token there
		{"long", []string{strings.Repeat("n", 4000)}, accepted},
		{"a zero byte", []string{"a\x00b"}, accepted},
		{"no UTF-8", []string{"\xff"}, invalid}, // no JSON string can hold it
		{"repeated", []string{"one", "two"}, invalid},
	},
	"code_challenge": { // OA-4; fosite.md 3.2: there it is looked at after the login
		{"absent", nil, invalid},
		{"empty", []string{""}, invalid},
		{"repeated", []string{challengeOf(verifier), challengeOf(verifier)}, invalid},
		{"a character less", []string{challengeOf(verifier)[1:]}, invalid},
		{"a character more", []string{challengeOf(verifier) + "A"}, invalid},
		{"padded", []string{challengeOf(verifier) + "="}, invalid},
		{"of another alphabet", []string{"+/" + challengeOf(verifier)[2:]}, invalid},
		{"long", []string{strings.Repeat("A", 4000)}, invalid},
	},
	"code_challenge_method": { // OA-4
		{"absent", nil, invalid}, // means plain: RFC 7636 section 4.3
		{"empty", []string{""}, invalid},
		{"repeated", []string{"S256", "S256"}, invalid},
		{"plain", []string{"plain"}, invalid},
		{"of another case", []string{"s256"}, invalid},
		{"unknown", []string{"S512"}, invalid},
	},
	"prompt": {
		{"empty", []string{""}, accepted},
		{"login", []string{"login"}, accepted},
		{"consent", []string{"consent"}, accepted},
		{"select_account", []string{"select_account"}, accepted},
		{"two of them", []string{"login consent"}, accepted},
		{"none", []string{"none"}, "→app login_required"}, // PA-9
		{"none and another", []string{"none login"}, invalid},
		{"unknown", []string{"create"}, invalid},
		{"of another case", []string{"None"}, invalid},
		{"repeated", []string{"login", "none"}, invalid},
	},
	"max_age": { // SU-4; fosite.md 3.5: 0, -1 and junk pass there
		{"empty", []string{""}, accepted},
		{"nothing", []string{"0"}, accepted},
		{"an hour", []string{"3600"}, accepted},
		{"negative", []string{"-1"}, invalid},
		{"signed", []string{"+1"}, invalid},
		{"a fraction", []string{"1.5"}, invalid},
		{"in another notation", []string{"1e3"}, invalid},
		{"grouped", []string{"1_000"}, invalid},
		{"with a space", []string{" 1"}, invalid},
		{"of other digits", []string{"١"}, invalid},
		{"too large", []string{"99999999999999999999"}, invalid},
		{"junk", []string{"soon"}, invalid},
		{"repeated", []string{"0", "3600"}, invalid},
	},
	"acr_values": {
		{"empty", []string{""}, accepted},
		{"known", []string{"mfa"}, accepted},
		{"unknown", []string{"urn:nobody:knows"}, accepted},
		{"low", []string{"pwd"}, accepted},
		{"out of reach", []string{"phr"}, "→app unmet_authentication_requirements"}, // SU-2: before any page
		{"one of them in reach", []string{"phr mfa"}, accepted},
		{"repeated", []string{"mfa", "pwd"}, invalid},
		{"long", []string{strings.Repeat("x ", 2000)}, accepted},
		{"no UTF-8", []string{"\xff\x00"}, accepted}, // unknown, as any other
	},
	"claims": {
		{"empty", []string{""}, accepted},
		{"an object", []string{`{"userinfo":{"email":null}}`}, accepted},
		{"null", []string{`null`}, accepted},
		{"no JSON", []string{`{`}, invalid},
		{"an array", []string{`[]`}, invalid},
		{"of another shape", []string{`{"id_token":{"acr":{"values":"mfa"}}}`}, invalid},
		{"deep", []string{strings.Repeat("[", 1500)}, invalid},
		{"essential and out of reach", []string{`{"id_token":{"acr":{"essential":true,"values":["phr"]}}}`},
			"→app unmet_authentication_requirements"}, // SU-3
		{"repeated", []string{"{}", "{}"}, invalid},
		{"of 4 KiB", []string{`{"x":"` + strings.Repeat("x", 4<<10-8) + `"}`}, accepted},
		{"longer", []string{`{"x":"` + strings.Repeat("x", 4<<10-7) + `"}`}, invalid},
		{"more than one object", []string{`{}{}`}, invalid},
		{"a part of another shape", []string{`{"userinfo":[]}`}, invalid},
		{"a claim of another shape", []string{`{"userinfo":{"email":true}}`}, invalid},
		{"an unknown claim of another shape", []string{`{"userinfo":{"shoe_size":true}}`}, accepted},
		{"no UTF-8", []string{"{\"\xff\":null}"}, accepted},
		{"null in its parts", []string{`{"userinfo":null,"id_token":null}`}, accepted},
	},
	// fosite.md 3.6: request objects are accepted unsigned there, and what
	// request_uri names is fetched (OA-10).
	"request": {
		{"empty", []string{""}, accepted}, // RFC 6749 section 3.1: as if left out
		{"unsigned", []string{"eyJhbGciOiJub25lIn0.eyJtYXhfYWdlIjoxMH0."}, "→app request_not_supported"},
		{"repeated", []string{"a", "b"}, invalid},
	},
	"request_uri": {
		{"empty", []string{""}, accepted},
		{"a URL", []string{"https://app.example/request"}, "→app request_uri_not_supported"},
		{"as if pushed", []string{"urn:ietf:params:oauth:request_uri:6esc_11ACC5bwc014ltc14eY22c"}, noRequest},
		{"the name of none", []string{"urn:ietf:params:oauth:request_uri:"}, noRequest},
		{"of another case", []string{"URN:ietf:params:oauth:request_uri:6esc_11ACC5bwc014ltc14eY22c"}, "→app request_uri_not_supported"},
		{"of another kind of bytes", []string{"urn:ietf:params:oauth:request_uri:\x00\xff"}, noRequest},
		{"long", []string{"urn:ietf:params:oauth:request_uri:" + strings.Repeat("a", 4000)}, noRequest},
		{"repeated", []string{"https://app.example/request", "https://app.example/request"}, invalid},
		{"repeated, as if pushed", []string{"urn:ietf:params:oauth:request_uri:a", "urn:ietf:params:oauth:request_uri:a"}, invalid},
		{"a long URL", []string{"https://app.example/" + strings.Repeat("a", 4000)}, "→app request_uri_not_supported"},
	},
	"registration": {
		{"empty", []string{""}, accepted},
		{"an object", []string{"{}"}, "→app registration_not_supported"},
		{"repeated", []string{"{}", "{}"}, invalid},
	},
	"id_token_hint": { // OA-11
		{"empty", []string{""}, accepted},
		{"junk", []string{"junk"}, invalid},
		{"long", []string{strings.Repeat("a", 4000)}, invalid},
		{"no UTF-8", []string{"\xff.\x00.\xff"}, invalid},
		{"unsigned", []string{"eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJzdWItYWxpY2UifQ."}, invalid},
		{"repeated", []string{"a", "b"}, invalid},
	},
	"resource": { // RFC 8707 section 2: it alone may be repeated
		{"empty", []string{""}, accepted},
		{"registered", []string{calendar}, accepted},
		{"two", []string{calendar, mailbox}, accepted},
		{"one twice", []string{calendar, calendar}, accepted},
		{"one and an empty one", []string{"", calendar}, accepted},
		{"one forty times", slices.Repeat([]string{calendar}, 40), accepted},
		{"unknown", []string{"https://evil.example"}, "→app invalid_target"},
		{"one of two unknown", []string{calendar, "https://evil.example"}, "→app invalid_target"},
		{"of another case", []string{"https://CALENDAR.example/api"}, "→app invalid_target"},
		{"a slash more", []string{calendar + "/"}, "→app invalid_target"},
		{"a path below", []string{calendar + "/x"}, "→app invalid_target"},
		{"a fragment", []string{calendar + "#"}, "→app invalid_target"},
		{"relative", []string{"/api"}, "→app invalid_target"},
		{"this server", []string{issuer}, "→app invalid_target"},
		{"two in one", []string{calendar + " " + mailbox}, "→app invalid_target"},
		{"no UTF-8", []string{"https://\xff"}, "→app invalid_target"},
		{"a zero byte", []string{calendar + "\x00"}, "→app invalid_target"},
		{"long", []string{"https://" + strings.Repeat("a", 4000)}, "→app invalid_target"},
	},
	"login_hint": {
		{"empty", []string{""}, accepted},
		{"markup", []string{`"><script>alert(1)</script>`}, accepted},
		{"a zero byte", []string{"\x00\xff"}, accepted},
		{"long", []string{strings.Repeat("a", 4000)}, accepted},
		{"repeated", []string{"a", "b"}, invalid},
	},
	"ui_locales": {
		{"empty", []string{""}, accepted},
		{"of two", []string{"fr-CA de"}, accepted},
		{"junk", []string{"\xff ;;; xx-"}, accepted},
		{"long", []string{strings.Repeat("de ", 1000)}, accepted},
		{"repeated", []string{"de", "en"}, invalid},
	},
	"claims_locales": {
		{"empty", []string{""}, accepted},
		{"of two", []string{"fr-CA de"}, accepted},
		{"junk", []string{"\xff ;;; xx-"}, accepted},
		{"long", []string{strings.Repeat("de ", 1000)}, accepted},
		{"repeated", []string{"de", "en"}, invalid},
	},
	"display": {
		{"empty", []string{""}, accepted},
		{"page", []string{"page"}, accepted},
		{"unknown", []string{"hologram"}, accepted},
		{"long", []string{strings.Repeat("x", 4000)}, accepted},
		{"repeated", []string{"page", "page"}, invalid},
	},
	"return_to": {{"somewhere else", []string{"https://evil.example"}, accepted}}, // WEB-4
	"unknown": { // OA-13
		{"there", []string{"whatever"}, accepted},
		{"repeated", []string{"a", "b"}, invalid}, // OA-3
	},
	"": {{"there", []string{"x"}, accepted}},
}
