package test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

// A lure is a request that would be granted at once: to whoever sends it in a
// way that is taken for something that it is not, too.
type lure struct {
	name   string
	method string
	path   string
	header []string    // lines
	params [][2]string // in the query of a GET, in the body of a POST
	exact  []string    // parameters without which, or with others, nothing is granted
	named  []string    // parameters that have to be there, and may be anything
	here   []string    // parameters whose faults are not told to the app; nil: none is told to it
	back   string      // a page of ours where whoever has not said what they want is sent
}

// text returns l as it goes over the wire, with params in place of its own.
func (l lure) text(params string) string {
	path, body := l.path, ""
	if l.method == http.MethodGet {
		if params != "" {
			path += "?" + params
		}
	} else {
		body = params
	}
	lines := append([]string{l.method + " " + path + " HTTP/1.1", "Host: idp.example"}, l.header...)
	if l.method == http.MethodPost {
		lines = append(lines, "Content-Type: application/x-www-form-urlencoded", fmt.Sprintf("Content-Length: %d", len(body)))
	}
	return strings.Join(append(lines, "Connection: close", "", body), "\r\n")
}

// encoded returns l's parameters, each changed by change.
func (l lure) encoded(change func(name, value string) string) string {
	var all []string
	for _, p := range l.params {
		if s := change(p[0], p[1]); s != "" {
			all = append(all, s)
		}
	}
	return strings.Join(all, "&")
}

func plainly(name, value string) string { return url.QueryEscape(name) + "=" + url.QueryEscape(value) }

// A hostile is a request in which something is wrong.
type hostile struct {
	name string
	text string
	app  bool   // its fault may be told to the app, by a redirect to where it is registered
	back string // or it may be this, a redirect to a page of ours
	cut  bool   // it ends before it said it would
}

func bad(name, text string) hostile  { return hostile{name: name, text: text} }
func told(name, text string) hostile { return hostile{name: name, text: text, app: true} }

// A bait is a house on a real connection, with everything that a lure needs.
type bait struct {
	*stage
	listener net.Listener
	faults   *bytes.Buffer // what net/http had to say
	vault    vault
	lures    []lure
}

// OA-1, OA-3, OA-8, OA-13, TK-1, WEB-3: more than a thousand requests that
// somebody who wants to break in might send, each of which would be granted
// but for its one twist. They are refused: with a status of the 400s or, where
// the app may be told, by an error at its redirect URI; and nothing has
// changed afterwards.
func TestAThousandHostileRequestsAreRefused(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		b := newBait(t, dsn)
		rows := b.rows()
		before := dumped(t, dsn)
		for _, row := range rows {
			b.refuses(t, row)
		}
		if len(rows) < 1000 {
			t.Errorf("%d rows, want a thousand at least", len(rows))
		}
		t.Logf("%d rows", len(rows))
		if changed := before.changed(dumped(t, dsn)); len(changed) > 0 {
			t.Errorf("afterwards %v had changed", changed)
		}
		for _, l := range b.lures { // without a twist, each of them is granted
			b.granted(t, l)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, f := range b.vault.in(b.log.String() + b.faults.String()) { // LG-2
			t.Errorf("the log has the %s, %s", f.secret, f.as)
		}
	})
}

// granted checks that l is one.
func (b *bait) granted(t *testing.T, l lure) {
	t.Helper()
	all := b.answers(t, hostile{text: l.text(l.encoded(plainly))})
	for _, a := range all {
		if a.to == nil && a.status != http.StatusOK || a.to != nil && a.says() != "→app code" {
			t.Errorf("the lure %s is none: %s %s", l.name, a.says(), a.body)
		}
	}
}

// refuses sends a row and judges every answer on its connection.
func (b *bait) refuses(t *testing.T, row hostile) {
	t.Helper()
	for _, a := range b.answers(t, row) {
		toApp := row.app && a.status == http.StatusSeeOther && strings.HasPrefix(a.says(), "→app ") && a.says() != "→app code" &&
			strings.HasPrefix(a.to.String(), appURL+"?error=")
		// RFC 9112 section 6.1 wants 501 for what net/http cannot decode.
		coding := a.status == http.StatusNotImplemented && strings.Contains(row.text, "Transfer-Encoding")
		if a.status/100 != 4 && !toApp && !coding && (row.back == "" || a.says() != row.back) {
			t.Errorf("%s: %s %v\n%.600s\n%.300s", row.name, a.says(), a.to, row.text, a.body)
		}
		if len(a.header["Set-Cookie"]) > 0 || a.status/100 == 4 && a.header.Get("Location") != "" {
			t.Errorf("%s: refused, and with %v", row.name, a.header)
		}
		// What net/http refuses by itself never reached us.
		own := a.header.Get("Content-Security-Policy") != ""
		if !own && (a.status/100 != 4 && !coding || len(a.body) > 100) {
			t.Errorf("%s: an answer without our headers: %d %s", row.name, a.status, a.body)
		}
		for _, f := range b.vault.in(a.body + fmt.Sprint(a.header)) {
			t.Errorf("%s: the answer has the %s, %s", row.name, f.secret, f.as)
		}
	}
}

// answers sends a row over a connection of its own, and returns all that comes
// back until that is closed.
func (b *bait) answers(t *testing.T, row hostile) (all []reply) {
	t.Helper()
	c, err := net.Dial("tcp", b.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var sent sync.WaitGroup
	defer func() {
		c.Close()
		sent.Wait()
	}()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	sent.Go(func() {
		_, _ = io.WriteString(c, row.text) // it may be cut short by a refusal
		if row.cut {
			_ = c.(*net.TCPConn).CloseWrite() // nor need the end be heard
		}
	})
	method, _, _ := strings.Cut(row.text, " ")
	r := bufio.NewReader(c)
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			if len(all) == 0 {
				t.Errorf("no answer at all: %v\n%.300s", err, row.text)
			}
			return all
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Errorf("half an answer: %v\n%.300s", err, row.text)
		}
		a := reply{status: resp.StatusCode, header: resp.Header, body: string(body)}
		if l := resp.Header.Get("Location"); l != "" {
			if a.to, err = url.Parse(l); err != nil {
				t.Fatal(err)
			}
		}
		if all = append(all, a); resp.Close {
			return all
		}
	}
}

// newBait lays out the lures.
func newBait(t *testing.T, dsn string) *bait {
	t.Helper()
	b := &bait{stage: newDesk(t, dsn, noLimits), faults: &bytes.Buffer{}}
	robot, desk := service, api
	desk.Scopes = nil
	for _, c := range []provider.Client{robot, desk} {
		b.register(c)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.listener = l
	server := &http.Server{Handler: b.house, ErrorLog: log.New(b.faults, "", 0), ReadHeaderTimeout: time.Minute}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		<-done
	})

	// A code that lives as long as the test: it goes round the sign-in.
	id, _, _ := strings.Cut(b.code(offline()), ".")
	g, err := b.db.Grant(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	const fresh = "a-code-for-the-hostile-requests-0123456789Aa"
	g.ID, g.Code, g.CodeExpires = "AAAAAAAAAAAAAAAAAAAAAA", hash(fresh), now().Add(time.Hour)
	if err := b.db.CreateGrant(context.Background(), g); err != nil {
		t.Fatal(err)
	}
	code := g.ID + "." + fresh
	tokens := b.tokens(offline())
	victim := b.tokens(offline())
	session := "Cookie: " + b.browser.cookies()
	b.browser.open(issuer + "/authorize?" + with(authorization(), "prompt", "consent").Encode())
	flow := b.browser.page.url.Path
	cookies := "Cookie: " + b.browser.cookies()
	owner := [][2]string{{"client_id", "app"}, {"client_secret", appSecret}}
	authorization := [][2]string{{"client_id", "app"}, {"redirect_uri", appURL}, {"response_type", "code"}, {"scope", "openid profile"},
		{"state", "the app's state"}, {"nonce", "the app's nonce"}, {"code_challenge", challengeOf(verifier)}, {"code_challenge_method", "S256"}}
	b.lures = []lure{
		{name: "authorize", method: "GET", path: "/authorize", header: []string{session}, params: authorization,
			exact: []string{"client_id", "redirect_uri", "response_type", "code_challenge_method"}, named: []string{"code_challenge"},
			here: []string{"client_id", "redirect_uri"}},
		{name: "code", method: "POST", path: "/token", params: append([][2]string{{"grant_type", "authorization_code"},
			{"code", code}, {"redirect_uri", appURL}, {"code_verifier", verifier}}, owner...),
			exact: []string{"grant_type", "code", "redirect_uri", "code_verifier", "client_id", "client_secret"}},
		{name: "refresh", method: "POST", path: "/token", header: []string{"Authorization: " + basic("app", appSecret)},
			params: [][2]string{{"grant_type", "refresh_token"}, {"refresh_token", tokens.text(t, "refresh_token")}, {"scope", "openid"}},
			exact:  []string{"grant_type", "refresh_token"}},
		{name: "service", method: "POST", path: "/token", params: [][2]string{{"grant_type", "client_credentials"},
			{"client_id", robot.ID}, {"client_secret", appSecret}, {"scope", "jobs"}},
			exact: []string{"grant_type", "client_id", "client_secret"}},
		{name: "revoke", method: "POST", path: "/revoke", params: append([][2]string{{"token", victim.text(t, "access_token")}}, owner...),
			exact: []string{"client_id", "client_secret"}, named: []string{"token"}},
		{name: "introspect", method: "POST", path: "/introspect", params: [][2]string{{"token", tokens.text(t, "access_token")},
			{"client_id", desk.ID}, {"client_secret", appSecret}},
			exact: []string{"client_id", "client_secret"}, named: []string{"token"}},
		{name: "userinfo", method: "GET", path: "/userinfo", header: []string{"Authorization: Bearer " + tokens.text(t, "access_token")}},
		{name: "userinfo posted", method: "POST", path: "/userinfo", params: [][2]string{{"access_token", tokens.text(t, "access_token")}},
			exact: []string{"access_token"}},
		{name: "the account page", method: "GET", path: "/account", header: []string{cookies}},
		{name: "the flow", method: "GET", path: flow, header: []string{cookies}},
		{name: "consent", method: "POST", path: flow, back: "→flow", header: []string{cookies, "Sec-Fetch-Site: same-origin"},
			params: [][2]string{{"step", "consent"}, {"decision", "allow"}}},
		{name: "account", method: "POST", path: "/account", back: "→/account", header: []string{cookies, "Sec-Fetch-Site: same-origin"},
			params: [][2]string{{"step", "sign-out"}}},
		{name: "the keys", method: "GET", path: "/jwks.json"},
		{name: "discovery", method: "GET", path: "/.well-known/openid-configuration"},
	}
	b.vault = vault{
		"client secret": appSecret, "code": code, "half of the code": fresh, "verifier": verifier, "session": b.browser.cookie(sessionCookie),
		"browser": b.browser.cookie(browserCookie), "refresh token": tokens.text(t, "refresh_token"), "ID token": tokens.text(t, "id_token"),
		"access token": tokens.text(t, "access_token"), "victim": victim.text(t, "access_token"),
	}
	return b
}
