package test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

// byeURL is where the app wants its users after a logout.
const byeURL = "https://app.example/bye"

// leaving is the app with all that it can say about logouts.
func leaving() provider.Client {
	return provider.Client{
		ID: "app", Name: "The App", Type: provider.Web, Secrets: []provider.Hash{hash(appSecret)},
		RedirectURIs:           []string{appURL},
		InitiateLoginURI:       "https://app.example/login",
		PostLogoutRedirectURIs: []string{byeURL, byeURL + "?kept=1", "https://app.example/"},
		BackchannelLogoutURI:   "https://app.example/out",
	}
}

// hintOf returns an ID token of ours as a hint: expired, which is no matter.
func hintOf(t testing.TB, client, subject, sid string) string {
	t.Helper()
	return mint(t, hintHeader(t), hintClaims(client, subject, sid))
}

func hintHeader(t testing.TB) map[string]any {
	t.Helper()
	return map[string]any{"alg": "RS256", "typ": "JWT", "kid": key(t, "RS256").ID}
}

func hintClaims(client, subject, sid string) map[string]any {
	then := time.Now().Add(-time.Hour).Unix()
	return map[string]any{
		"iss": issuer, "aud": client, "sub": subject, "sid": sid, "iat": then, "exp": then + 600,
		"auth_time": then, "acr": "mfa", "amr": []string{"pwd", "otp"},
	}
}

// A sitting is a session that a test has made without signing in.
type sitting struct {
	id, cookie string // the Cookie header
}

// sit gives name a session in which these clients were given something.
func (s *stage) sit(name string, clients ...string) sitting {
	s.t.Helper()
	ctx, value := context.Background(), rand.Text()
	login := authflow.Login{Subject: "sub-" + name, Epoch: "1/0", Proofs: authflow.Proofs{authflow.Password: now(), authflow.OTP: now()}}
	session := provider.Session{ID: rand.Text(), Cookie: hash(value), Login: login, Created: now(), Used: now(), Expires: now().Add(time.Hour)}
	if err := s.db.SaveSession(ctx, session); err != nil {
		s.t.Fatal(err)
	}
	for _, id := range clients {
		err := s.db.CreateGrant(ctx, provider.Grant{
			ID: rand.Text(), Subject: login.Subject, ClientID: id, SessionID: session.ID, Login: login, Expires: session.Expires})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return sitting{session.ID, sessionCookie + "=" + value}
}

// alive reports whether a session has not ended.
func (s *stage) alive(is sitting) bool {
	s.t.Helper()
	_, value, _ := strings.Cut(is.cookie, "=")
	_, err := s.db.Session(context.Background(), hash(value))
	return err == nil
}

// untold returns the sessions of which clients are still to be told, as
// "client session".
func (h *house) untold() (all []string) {
	h.t.Helper()
	found, err := h.db.Logouts(context.Background())
	if err != nil {
		h.t.Fatal(err)
	}
	for _, l := range found {
		all = append(all, l.ClientID+" "+l.SessionID)
	}
	slices.Sort(all)
	return all
}

// forget removes what clients are still to be told.
func (h *house) forget() {
	h.t.Helper()
	all, err := h.db.Logouts(context.Background())
	for _, l := range all {
		err = errors.Join(err, h.db.RemoveLogout(context.Background(), l.ID))
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// OA-12: OpenID Connect RP-Initiated Logout section 2. What a hint that fits
// asks for is done at once.
func TestAFittingHintLogsOut(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.register(leaving())
		s.register(provider.Client{ID: "es", Type: provider.SPA, RedirectURIs: []string{appURL}, Algorithm: "ES256"})
		logouts := 0
		for name, is := range map[string]struct {
			v  url.Values
			to string // empty: a page
		}{
			"nothing else":                {url.Values{}, ""},
			"a state alone":               {values("state", "x"), ""},
			"an address":                  {values("post_logout_redirect_uri", byeURL), byeURL},
			"an address with a query":     {values("post_logout_redirect_uri", byeURL+"?kept=1"), byeURL + "?kept=1"},
			"an address and a state":      {values("post_logout_redirect_uri", byeURL, "state", "a b"), byeURL + "?state=a+b"},
			"a query and a state":         {values("post_logout_redirect_uri", byeURL+"?kept=1", "state", "x"), byeURL + "?kept=1&state=x"},
			"an address, no state in it":  {values("post_logout_redirect_uri", byeURL, "state", ""), byeURL},
			"the client":                  {values("post_logout_redirect_uri", byeURL, "client_id", "app"), byeURL},
			"an empty client":             {values("post_logout_redirect_uri", byeURL, "client_id", ""), byeURL},
			"no address":                  {values("post_logout_redirect_uri", ""), ""},
			"a hint at the user":          {values("post_logout_redirect_uri", byeURL, "logout_hint", "bob"), byeURL},
			"languages":                   {values("post_logout_redirect_uri", byeURL, "ui_locales", "xx de"), byeURL},
			"what nobody knows":           {values("post_logout_redirect_uri", byeURL, "extra", "foobar"), byeURL},
			"what would be an answer":     {values("post_logout_redirect_uri", byeURL, "iss", "x", "code", "y"), byeURL},
			"a key that is another's too": {values("id_token_hint.sub", "x"), ""},
		} {
			here, elsewhere := s.sit("alice", "app", "es"), s.sit("alice", "app")
			v := with(is.v, "id_token_hint", hintOf(t, "app", "sub-alice", here.id))
			a := ask(t, s, get(t, "/logout?"+v.Encode(), "Cookie", here.cookie))
			if is.to == "" && a.says() != "200 signedout" || is.to != "" && (a.to == nil || a.header.Get("Location") != is.to || a.status != http.StatusSeeOther) {
				t.Errorf("%s: %s, to %v, want %q", name, a.says(), a.to, is.to)
			}
			if cookieMark(a) != "-" || s.alive(here) {
				t.Errorf("%s: the cookie is %q, the session alive: %t", name, cookieMark(a), s.alive(here))
			}
			if !s.alive(elsewhere) {
				t.Errorf("%s: another session has ended with it", name)
			}
			if !slices.Contains(s.untold(), "app "+here.id) || len(s.untold()) != 1 {
				t.Errorf("%s: to be told are %v", name, s.untold())
			}
			logouts++
			if got := s.audit("alice"); len(got) != logouts || got[logouts-1] != "logout success" {
				t.Errorf("%s: audit %v", name, got)
			}
			s.forget()
		}
		// By any key that is published, and in the user's language.
		here := s.sit("alice", "es")
		token := mint(t, but(but(hintHeader(t), "alg", "ES256"), "kid", key(t, "ES256").ID), hintClaims("es", "sub-alice", here.id))
		a := ask(t, s, get(t, "/logout?"+values("id_token_hint", token, "ui_locales", "de").Encode(), "Cookie", here.cookie))
		if s.alive(here) || !strings.Contains(a.body, "Sie sind abgemeldet") {
			t.Errorf("%s\n%s", a.says(), a.body)
		}
	})
}

// OA-12, WEB-1: without a hint that fits a page asks, and nothing has changed;
// what is wrong leads nobody anywhere.
func TestWithoutAFittingHintAPageAsks(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.register(leaving())
		s.register(provider.Client{ID: "other", Type: provider.SPA, RedirectURIs: []string{"https://other.example/"}, PostLogoutRedirectURIs: []string{"https://other.example/bye"}})
		here, there := s.sit("alice", "app"), s.sit("alice", "app")
		h, c := hintHeader(t), hintClaims("app", "sub-alice", here.id)
		good := mint(t, h, c)
		hint := func(token string, more ...string) url.Values { return with(values(more...), "id_token_hint", token) }
		const asked, stays, bad = "200 signout", "400 signout", "400 bad_request"
		for name, is := range map[string]struct {
			v    url.Values
			want string
		}{
			// conformance.md: …-no-params, -only-state, -no-id-token-hint
			"nothing":                     {url.Values{}, asked},
			"a state alone":               {values("state", "x"), asked},
			"an address of nobody's":      {values("post_logout_redirect_uri", byeURL), stays},
			"an address and a state":      {values("post_logout_redirect_uri", byeURL, "state", "x"), stays},
			"a client":                    {values("client_id", "app"), asked},
			"a client with its address":   {values("client_id", "app", "post_logout_redirect_uri", byeURL), asked},
			"a client with another's":     {values("client_id", "app", "post_logout_redirect_uri", "https://other.example/bye"), stays},
			"an unknown client":           {values("client_id", "nobody"), asked},
			"an unknown client, address":  {values("client_id", "nobody", "post_logout_redirect_uri", byeURL), stays},
			"a hint at the user":          {values("logout_hint", "alice"), asked},
			"an empty hint":               {hint("", "post_logout_redirect_uri", byeURL), stays},
			"an empty hint and a client":  {hint("", "post_logout_redirect_uri", byeURL, "client_id", "app"), asked},
			"another user's hint":         {hint(mint(t, h, but(c, "sub", "sub-bob"))), asked},
			"another user's, address":     {hint(mint(t, h, but(c, "sub", "sub-bob")), "post_logout_redirect_uri", byeURL), asked},
			"another session's hint":      {hint(mint(t, h, but(c, "sid", there.id))), asked},
			"a hint without a session":    {hint(mint(t, h, but(c, "sid", nil))), asked},
			"a hint without a user":       {hint(mint(t, h, but(c, "sub", nil))), asked},
			"a hint of a client gone":     {hint(mint(t, h, but(c, "aud", "nobody")), "post_logout_redirect_uri", byeURL), stays},
			"another client's address":    {hint(mint(t, h, but(c, "aud", "other")), "post_logout_redirect_uri", byeURL), stays},
			"an address not registered":   {hint(good, "post_logout_redirect_uri", "https://evil.example/"), stays}, // …-bad-post-logout-redirect-uri
			"an address with more query":  {hint(good, "post_logout_redirect_uri", byeURL+"?x=1"), stays},           // …-query-added-…
			"an address in capitals":      {hint(good, "post_logout_redirect_uri", "https://APP.example/bye"), stays},
			"an address with a slash":     {hint(good, "post_logout_redirect_uri", byeURL+"/"), stays},
			"an address with a fragment":  {hint(good, "post_logout_redirect_uri", byeURL+"#"), stays},
			"an address beginning like":   {hint(good, "post_logout_redirect_uri", "https://app.example/b"), stays},
			"a redirect URI":              {hint(good, "post_logout_redirect_uri", appURL), stays},
			"a relative address":          {hint(good, "post_logout_redirect_uri", "/bye"), stays},
			"a script":                    {hint(good, "post_logout_redirect_uri", "javascript:alert(1)"), stays},
			"an unsigned hint":            {hint(mint(t, but(h, "alg", "none"), c), "post_logout_redirect_uri", byeURL), stays}, // …-modified-id-token-hint
			"an unsigned hint alone":      {hint(mint(t, but(h, "alg", "none"), c)), asked},
			"a hint by HMAC":              {hint(mint(t, but(h, "alg", "HS256"), c), "post_logout_redirect_uri", byeURL), stays},
			"a foreign signature":         {hint(mintWith(t, stranger, but(h, "alg", "ES256"), c), "post_logout_redirect_uri", byeURL), stays}, // …-bad-id-token-hint
			"a foreign one, with its key": {hint(mintWith(t, stranger, but(but(h, "alg", "ES256"), "jwk", jwkOf(stranger)), c), "post_logout_redirect_uri", byeURL), stays},
			"a foreign one, and client":   {hint(mintWith(t, stranger, but(h, "alg", "ES256"), c), "post_logout_redirect_uri", byeURL, "client_id", "app"), stays},
			"a changed hint":              {hint(tampered(good), "post_logout_redirect_uri", byeURL), stays},
			"another issuer's hint":       {hint(mint(t, h, but(c, "iss", "https://evil.example")), "post_logout_redirect_uri", byeURL), stays},
			"a hint without an audience":  {hint(mint(t, h, but(c, "aud", nil)), "post_logout_redirect_uri", byeURL), stays},
			"a hint of two audiences":     {hint(mint(t, h, but(c, "aud", []string{"app", "other"})), "post_logout_redirect_uri", byeURL), stays},
			"an access token":             {hint(mint(t, but(h, "typ", "at+jwt"), c), "post_logout_redirect_uri", byeURL), stays}, // TK-3
			"a logout token":              {hint(mint(t, but(h, "typ", "logout+jwt"), c), "post_logout_redirect_uri", byeURL), stays},
			"a hint without a type":       {hint(mint(t, but(h, "typ", nil), c), "post_logout_redirect_uri", byeURL), stays},
			"a hint without a kid":        {hint(mint(t, but(h, "kid", nil), c), "post_logout_redirect_uri", byeURL), stays},
			"junk":                        {hint("junk", "post_logout_redirect_uri", byeURL), stays},
			"dots":                        {hint(".."), asked},

			"another client than hinted": {hint(good, "client_id", "other"), bad},
			"one that does not exist":    {hint(good, "client_id", "nobody", "post_logout_redirect_uri", byeURL), bad},
			"the hint twice":             {with(url.Values{}, "id_token_hint", good, good), bad},
			"the client twice":           {with(hint(good), "client_id", "app", "app"), bad},
			"the address twice":          {with(hint(good), "post_logout_redirect_uri", byeURL, byeURL), bad},
			"the state twice":            {with(hint(good), "state", "a", "b"), bad},
			"anything twice":             {with(hint(good), "x", "a", "b"), bad},
			"65 parameters":              {with(hint(good), "x", make([]string, 64)...), bad},
			"8 KiB":                      {with(hint(good), "x", strings.Repeat("x", 8<<10)), "413 too_large"},
		} {
			a := ask(t, s, get(t, "/logout?"+is.v.Encode(), "Cookie", here.cookie))
			if a.says() != is.want {
				t.Errorf("%s: %s, want %s", name, a.says(), is.want)
			}
			if a.to != nil || a.header.Get("Refresh") != "" || cookieMark(a) != "" {
				t.Errorf("%s: it leads to %v, Refresh %q, cookie %q", name, a.to, a.header.Get("Refresh"), cookieMark(a))
			}
			if strings.Contains(a.body, "evil.example") || strings.Contains(a.body, "eyJ") {
				t.Errorf("%s: the page repeats what was sent:\n%s", name, a.body)
			}
			if is.want != asked && is.want != stays {
				continue
			}
			if !strings.Contains(a.body, `name="session" value="`+here.id+`"`) || !strings.Contains(a.body, "alice") {
				t.Errorf("%s: it is not said who signs out of what:\n%s", name, a.body)
			}
			// Where the browser may go with the yes.
			want := "form-action 'self'"
			if strings.Contains(is.v.Get("post_logout_redirect_uri"), byeURL) && is.want == asked {
				want += " https://app.example"
			}
			if csp := a.header.Get("Content-Security-Policy"); !strings.HasSuffix(csp, want) {
				t.Errorf("%s: policy %q, want %s", name, csp, want)
			}
		}
		if a := ask(t, s, get(t, "/logout?state=%zz", "Cookie", here.cookie)); a.says() != bad {
			t.Errorf("malformed: %s, want %s", a.says(), bad)
		}
		// A browser that only looks ahead has not gone there.
		a := ask(t, s, get(t, "/logout?"+hint(good).Encode(), "Cookie", here.cookie, "Sec-Purpose", "prefetch;prerender"))
		if a.says() != asked {
			t.Errorf("looked ahead: %s, want %s", a.says(), asked)
		}
		if !s.alive(here) || !s.alive(there) || len(s.untold()) > 0 || len(s.audit("alice")) > 0 {
			t.Errorf("something has happened: %t, %t, %v, %v", s.alive(here), s.alive(there), s.untold(), s.audit("alice"))
		}
	})
}

// Who is signed out already goes on by a good hint, and is told so without.
func TestALogoutWithoutASession(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.register(leaving())
		over := s.sit("alice", "app")
		if err := s.db.EndSession(t.Context(), "sub-alice", over.id); err != nil {
			t.Fatal(err)
		}
		old := s.sit("alice", "app")
		time.Sleep(2 * time.Hour) // it has expired
		good := hintOf(t, "app", "sub-alice", over.id)
		for name, is := range map[string]struct {
			v    url.Values
			want string // Location, or what the answer says
		}{
			"a hint":                    {values("id_token_hint", good), "200 signedout"},
			"a hint and an address":     {values("id_token_hint", good, "post_logout_redirect_uri", byeURL), byeURL},
			"and a state":               {values("id_token_hint", good, "post_logout_redirect_uri", byeURL, "state", "x"), byeURL + "?state=x"},
			"and not registered":        {values("id_token_hint", good, "post_logout_redirect_uri", "https://evil.example/"), "200 signedout"},
			"nothing":                   {url.Values{}, "200 signedout"},
			"an address":                {values("post_logout_redirect_uri", byeURL), "200 signedout"},
			"a client with its address": {values("post_logout_redirect_uri", byeURL, "client_id", "app"), "200 signedout"},
			"a bad hint":                {values("id_token_hint", tampered(good), "post_logout_redirect_uri", byeURL), "200 signedout"},
			"a bad hint and a client":   {values("id_token_hint", tampered(good), "post_logout_redirect_uri", byeURL, "client_id", "app"), "200 signedout"},
			"another client":            {values("id_token_hint", good, "client_id", "other"), "400 bad_request"},
		} {
			for _, cookie := range []string{"", over.cookie, old.cookie, sessionCookie + "=made-up"} {
				a := ask(t, s, get(t, "/logout?"+is.v.Encode(), "Cookie", cookie))
				got := a.says()
				if a.to != nil {
					got = a.header.Get("Location")
				}
				if got != is.want {
					t.Errorf("%s, %q: %s, want %s", name, cookie, got, is.want)
				}
				// The client offers to begin anew where it is known.
				if (is.v.Get("client_id") == "app" || is.v.Get("id_token_hint") == good) && a.status == http.StatusOK && !strings.Contains(a.body, `href="https://app.example/login?iss=https%3A%2F%2Fidp.example"`) {
					t.Errorf("%s: nothing is offered:\n%s", name, a.body)
				}
			}
		}
	})
}

// Cookies of SameSite=Lax do not ride on a POST from another site: it goes on
// as a GET, whatever it brings.
func TestAPostedLogoutIsCarriedOn(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.register(leaving())
		here := s.sit("alice", "app")
		v := values("id_token_hint", hintOf(t, "app", "sub-alice", here.id), "post_logout_redirect_uri", byeURL, "state", "a b&\xff")
		a := ask(t, s, send(t, "/logout?state=not-this", v, "Sec-Fetch-Site", "cross-site", "Origin", "https://app.example"))
		if a.status != http.StatusSeeOther || a.to.Path != "/logout" || a.to.Query().Encode() != v.Encode() {
			t.Fatalf("%s %v", a.says(), a.to)
		}
		a = ask(t, s, get(t, a.to.RequestURI(), "Cookie", here.cookie))
		if got, want := a.header.Get("Location"), byeURL+"?state=a+b%26%FF"; got != want || s.alive(here) {
			t.Errorf("to %s, want %s; alive: %t", got, want, s.alive(here))
		}
		for want, r := range map[string]*http.Request{
			"400 bad_request": send(t, "/logout", v, "Content-Type", "text/plain"),
			"413 too_large":   send(t, "/logout", with(v, "x", strings.Repeat("x", 9<<10))),
		} {
			if a := ask(t, s, r); a.says() != want {
				t.Errorf("%s, want %s", a.says(), want)
			}
		}
	})
}

// OA-12, WEB-1: the yes counts from our own page, for the session that it was
// about, and takes the browser where the page said.
func TestAYesLogsOut(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newDesk(t, dsn)
		s.register(leaving())
		b := s.browser
		request := issuer + "/logout?" + values("client_id", "app", "post_logout_redirect_uri", byeURL, "state", "s").Encode()
		b.open(request)
		b.at("signout", http.StatusOK)
		for _, want := range []string{"The App", "app.example", "alice"} {
			if !strings.Contains(b.page.text(), want) {
				t.Errorf("the page does not name %s:\n%s", want, b.page.text())
			}
		}
		sid := s.sessions("alice")[0].ID
		cookies := b.cookies()
		to := "/logout/confirm?" + values("client_id", "app", "post_logout_redirect_uri", byeURL, "state", "s").Encode()
		for name, is := range map[string]struct {
			r    *http.Request
			want string
		}{
			"another site's form":    {send(t, to, values("step", "sign-out", "session", sid), "Cookie", cookies, "Sec-Fetch-Site", "cross-site"), "403 cross_origin"},
			"a neighbour's form":     {send(t, to, values("step", "sign-out", "session", sid), "Cookie", cookies, "Sec-Fetch-Site", "same-site"), "403 cross_origin"},
			"another origin's":       {send(t, to, values("step", "sign-out", "session", sid), "Cookie", cookies, "Origin", "https://evil.example"), "403 cross_origin"},
			"another session":        {send(t, to, values("step", "sign-out", "session", "other"), "Cookie", cookies, "Sec-Fetch-Site", "same-origin"), "→/logout"},
			"no session":             {send(t, to, values("step", "sign-out"), "Cookie", cookies, "Sec-Fetch-Site", "same-origin"), "→/logout"},
			"no step":                {send(t, to, values("session", sid), "Cookie", cookies, "Sec-Fetch-Site", "same-origin"), "→/logout"},
			"a field twice":          {send(t, to, url.Values{"step": {"sign-out", "sign-out"}, "session": {sid}}, "Cookie", cookies, "Sec-Fetch-Site", "same-origin"), "400 bad_request"},
			"a parameter twice":      {send(t, to+"&state=t", values("step", "sign-out", "session", sid), "Cookie", cookies, "Sec-Fetch-Site", "same-origin"), "400 bad_request"},
			"a body that is no form": {send(t, to, values("step", "sign-out"), "Cookie", cookies, "Sec-Fetch-Site", "same-origin", "Content-Type", "text/plain"), "400 bad_request"},
			"a GET":                  {get(t, to, "Cookie", cookies), "405 method"},
			"an address in the way":  {send(t, "/logout/confirm?post_logout_redirect_uri=https://evil.example/&client_id=app", values("step", "sign-out", "session", "x"), "Cookie", cookies, "Sec-Fetch-Site", "same-origin"), "→/logout"},
		} {
			a := ask(t, s, is.r)
			if a.says() != is.want || len(s.sessions("alice")) != 1 {
				t.Errorf("%s: %s, want %s; %d sessions", name, a.says(), is.want, len(s.sessions("alice")))
			}
			if a.to != nil && strings.Contains(a.to.String(), "evil") {
				t.Errorf("%s: to %s", name, a.to)
			}
		}
		b.submit("sign-out")
		if got, want := b.page.url.String(), byeURL+"?state=s"; got != want || b.cookie(sessionCookie) != "" || len(s.sessions("alice")) > 0 {
			t.Errorf("at %s, want %s; cookie %q", got, want, b.cookie(sessionCookie))
		}
		same(t, "audit", s.audit("alice", provider.EventLogout), []string{"logout success"})
		// Twice is kind: a double click, another tab.
		a := ask(t, s, send(t, to, values("step", "sign-out", "session", sid), "Cookie", cookies, "Sec-Fetch-Site", "same-origin"))
		if got, want := a.header.Get("Location"), byeURL+"?state=s"; got != want {
			t.Errorf("the second time to %s, want %s", got, want)
		}
		// And silently nobody is signed in any more (conformance.md, RP-initiated).
		tab := s.app.tab()
		b.open(tab.request("prompt", "none"))
		b.refused(tab, "login_required")
	})
}

// OA-13: the state is the client's, byte for byte, with a hint and by the page.
func TestTheStateOfALogoutComesBackAsItWas(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.register(leaving())
		for _, state := range []string{
			"x", " ", "a b+c%20d&e=f;g#h?i/j", "\"\\<>'`", "ünïcödé ☃ 🔑", "a\nb", "a\r\nb\x00", "\xff\xfe", strings.Repeat("l", 3000),
			strings.Repeat("0", 128), `"><script>alert(1)</script>`, "{{.}}", "; url=https://evil.example/",
		} {
			v := values("post_logout_redirect_uri", byeURL, "state", state)
			here := s.sit("alice")
			a := ask(t, s, get(t, "/logout?"+with(v, "id_token_hint", hintOf(t, "app", "sub-alice", here.id)).Encode(), "Cookie", here.cookie))
			if a.to == nil || len(a.to.Query()) != 1 || a.to.Query().Get("state") != state {
				t.Errorf("%q: by the hint to %v", state, a.to)
			}
			here = s.sit("alice")
			b := newBrowser(t, s.net)
			b.plant(sessionCookie, strings.TrimPrefix(here.cookie, sessionCookie+"="))
			b.open(issuer + "/logout?" + with(v, "client_id", "app").Encode())
			b.submit("sign-out")
			if q := b.page.url.Query(); b.page.url.Host != "app.example" || len(q) != 1 || q.Get("state") != state {
				t.Errorf("%q: by the page to %s", state, b.page.url)
			}
		}
	})
}

// The page after a yes is in the language of the page that asked.
func TestALogoutKeepsItsLanguage(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.register(leaving())
		is := s.sit("alice", "app")
		asked := ask(t, s, get(t, "/logout?client_id=app&ui_locales=de", "Cookie", is.cookie))
		if !strings.Contains(asked.body, `lang="de"`) || !strings.Contains(asked.body, "ui_locales=de") {
			t.Fatalf("the page that asks: %d %s", asked.status, asked.body)
		}
		yes := send(t, "/logout/confirm?client_id=app&ui_locales=de", url.Values{"step": {"sign-out"}, "session": {is.id}}, "Cookie", is.cookie)
		if a := ask(t, s, yes); !strings.Contains(a.body, `lang="de"`) || s.alive(is) {
			t.Errorf("the page after it: %d %s", a.status, a.body)
		}
	})
}
