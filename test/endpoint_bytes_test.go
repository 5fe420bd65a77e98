package test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// OA-8: bytes that PostgreSQL takes in no text are no fault of ours, wherever
// a stranger puts them; nor is anything very long.
func TestOddBytesAreNoFault(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		b := newBrowser(t, s.net)
		b.open(issuer + "/authorize?" + authorization().Encode())
		flow := b.page.url.Path
		for _, odd := range []string{"\x00", "\xff", "a\x00b", "\xed\xa0\x80", "\u202e", strings.Repeat("é", 10_000), strings.Repeat("\x00", 20_000)} {
			for name, r := range map[string]*http.Request{
				"password":       send(t, flow, url.Values{"step": {"password"}, "username": {odd}, "password": {odd}}),
				"alice":          send(t, flow, url.Values{"step": {"password"}, "username": {"alice"}, "password": {odd}}),
				"step":           send(t, flow, url.Values{"step": {odd}}),
				"revoke":         send(t, "/account", url.Values{"step": {"revoke"}, "client": {odd}}),
				"end-session":    send(t, "/account", url.Values{"step": {"end-session"}, "id": {odd}}),
				"account step":   send(t, "/account", url.Values{"step": {odd}}),
				"client secret":  send(t, "/token", url.Values{"client_id": {odd}, "client_secret": {odd}}),
				"basic":          send(t, "/token", url.Values{}, "Authorization", basic(odd, odd)),
				"code":           send(t, "/token", exchange(odd+"."+odd), "Authorization", basic("app", appSecret)),
				"refresh":        send(t, "/token", refresh(odd), "Authorization", basic("app", appSecret)),
				"bearer":         send(t, "/userinfo", url.Values{"access_token": {odd}}),
				"state":          get(t, "/authorize?"+with(authorization(), "state", odd[:min(len(odd), 100)]).Encode()),
				"login hint":     get(t, "/authorize?"+with(authorization(), "login_hint", odd[:min(len(odd), 100)]).Encode()),
				"flow":           get(t, "/flow/"+url.PathEscape(odd[:min(len(odd), 100)])),
				"asset":          get(t, "/assets/"+url.PathEscape(odd[:min(len(odd), 100)])),
				"language":       get(t, "/flow/x", "Accept-Language", odd),
				"browser":        get(t, "/authorize?"+authorization().Encode(), "User-Agent", odd),
				"signed in with": get(t, "/authorize?"+authorization().Encode(), "User-Agent", odd, "Cookie", s.browser.cookies()),
				"cookies":        get(t, "/account", "Cookie", sessionCookie+"="+odd+"; "+browserCookie+"="+odd),
			} {
				switch {
				case name == "revoke" || name == "end-session" || name == "account step":
					r.Header.Set("Cookie", s.browser.cookies())
				case strings.HasPrefix(r.URL.Path, "/flow/") && r.Method == http.MethodPost:
					r.Header.Set("Cookie", b.cookies())
				}
				r.Header.Set("Sec-Fetch-Site", "same-origin")
				if a := ask(t, s, r); a.status >= 500 {
					t.Errorf("%s %.20q: %s", name, odd, a.says())
				}
			}
		}
		// They have ended nothing either.
		b.open(issuer + flow)
		if kind := kindOf(b.page.body); kind != "password" && b.page.status != http.StatusForbidden {
			t.Errorf("the flow is at %s", b.page.text())
		}
		s.code(authorization())
	})
}
