package test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pquerna/otp"
	"golang.org/x/net/html"

	"github.com/sallyport-id/sallyport/provider"
)

const appSecret = "the app's own secret of 256 bits"

// A reply is an answer as it came over the wire: nothing of it was followed.
type reply struct {
	status int
	header http.Header
	body   string
	to     *url.URL // Location; nil: none
}

// ask sends one request to h, without cookies but those that it carries.
func ask(t testing.TB, h http.Handler, r *http.Request) reply {
	t.Helper()
	in := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), r.Body)
	in.Header = r.Header.Clone()
	in.RemoteAddr = "192.0.2.1:4711"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, in)
	a := reply{status: w.Code, header: w.Header(), body: w.Body.String()}
	if l := a.header.Get("Location"); l != "" {
		var err error
		if a.to, err = url.Parse(l); err != nil {
			t.Fatalf("Location: %v", err)
		}
	}
	return a
}

// get returns a GET of path at the provider, as by a link on another site,
// with header fields in pairs.
func get(t testing.TB, path string, header ...string) *http.Request {
	t.Helper()
	return dressed(httptest.NewRequest(http.MethodGet, issuer+path, nil), header)
}

// send returns a POST of v to path at the provider, as by a program, with
// header fields in pairs.
func send(t testing.TB, path string, v url.Values, header ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, issuer+path, strings.NewReader(v.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return dressed(r, header)
}

func dressed(r *http.Request, header []string) *http.Request {
	r.Header.Set("Accept-Language", "en")
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Content-Type" {
			r.Header.Del(header[i])
		}
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

// basic is the value of an Authorization header (RFC 6749 section 2.3.1).
func basic(id, secret string) string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	return r.Header.Get("Authorization")
}

// json returns the JSON object of a's body.
func (a reply) json(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("no JSON object: %v\n%s", err, a.body)
	}
	return v
}

// text returns the member called name of a's JSON object, empty if it is no
// string.
func (a reply) text(t testing.TB, name string) string {
	t.Helper()
	s, _ := a.json(t)[name].(string)
	return s
}

// says is a in a few words, for tables: where it sends the browser ("→flow",
// "→app code", "→app login_required"), or its status with the kind of page
// ("200 password", "403 elsewhere") or the OAuth error of its JSON
// ("400 invalid_grant").
func (a reply) says() string {
	status := strconv.Itoa(a.status)
	switch kind := a.header.Get("Content-Type"); {
	case a.to != nil:
		return a.leads()
	case strings.Contains(a.body, `<body class="page-formpost">`):
		if v := a.posts(); v.Get("code") != "" {
			return status + " posts code"
		} else {
			return status + " posts " + v.Get("error")
		}
	case strings.HasPrefix(kind, "text/html"):
		return status + " " + kindOf(a.body)
	case strings.HasPrefix(kind, "application/json"):
		var v struct{ Error string }
		if json.Unmarshal([]byte(a.body), &v) == nil && v.Error != "" {
			return status + " " + v.Error
		}
	}
	return status
}

// posts returns what the page sends on by its form: the hidden fields.
func (a reply) posts() url.Values {
	v := url.Values{}
	if doc, err := html.Parse(strings.NewReader(a.body)); err == nil {
		walk(doc, func(n *html.Node) {
			if n.Data == "input" {
				v.Add(attr(n, "name"), attr(n, "value"))
			}
		})
	}
	return v
}

func (a reply) leads() string {
	q := a.to.Query()
	path, ours := strings.CutPrefix(a.to.String(), issuer)
	switch {
	case ours && strings.HasPrefix(path, "/flow/"):
		return "→flow"
	case ours:
		return "→" + a.to.Path
	case q.Get("code") != "":
		return "→app code"
	}
	return "→app " + q.Get("error")
}

// kinds are the pages without a form, by their heading.
var kinds = sync.OnceValues(func() (map[string]string, error) {
	b, err := os.ReadFile("../templates/locales/en.json")
	if err != nil {
		return nil, err
	}
	texts, by := map[string]any{}, map[string]string{}
	if err := json.Unmarshal(b, &texts); err != nil {
		return nil, err
	}
	for key, text := range texts {
		name, is := strings.CutSuffix(key, ".title")
		if title, ok := text.(string); is && ok {
			by[title] = name[strings.LastIndexByte(name, '.')+1:]
		}
	}
	return by, nil
})

// forms are the pages with a form, by the field step of one of them.
var forms = map[string]string{
	"password": "password", "otp": "code", "recovery": "recovery", "enroll": "start",
	"confirm": "enrol", "saved": "codes", "consent": "consent", "replace-factor": "account",
}

// kindOf says which page body is.
func kindOf(body string) string {
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		return "no HTML"
	}
	kind := "unknown page"
	walk(doc, func(n *html.Node) {
		switch {
		case n.Data == "h1" && n.FirstChild != nil:
			if by, err := kinds(); err == nil && by[n.FirstChild.Data] != "" {
				kind = by[n.FirstChild.Data]
			}
		case n.Data == "input" && attr(n, "name") == "step" && forms[attr(n, "value")] != "":
			kind = forms[attr(n, "value")]
		}
	})
	return kind
}

// requestID is what may differ between two error pages.
var requestID = regexp.MustCompile(`<code><bdi>[^<]*</bdi></code>`)

// authorization is a request of the app in which nothing is wrong.
func authorization() url.Values {
	return url.Values{
		"client_id": {"app"}, "redirect_uri": {appURL}, "response_type": {"code"},
		"scope": {"openid profile"}, "state": {"the app's state"}, "nonce": {"the app's nonce"},
		"code_challenge": {challengeOf(verifier)}, "code_challenge_method": {"S256"},
	}
}

const verifier = "the-verifier-of-tests-has-43-characters-0123"

// with returns a copy of v in which name has the given values; none: it is
// left out.
func with(v url.Values, name string, values ...string) url.Values {
	w := maps.Clone(v)
	delete(w, name)
	if len(values) > 0 {
		w[name] = values
	}
	return w
}

// importedKey is what keyring puts into the authenticator app.
const importedKey = "otpauth://totp/Test:x?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Test"

// keyring gives a user an authenticator app without walking through the pages,
// and recovery codes only if asked: ten slow hashes take their time.
func (s *stage) keyring(subject string) phone {
	s.t.Helper()
	key, err := otp.NewKeyFromURL(importedKey)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.factors.Import(context.Background(), subject, key.URL()); err != nil {
		s.t.Fatal(err)
	}
	return phone{key}
}

// newDesk is a stage at which alice is signed in with password and code, and
// has allowed the app everything that it may ask for: a code is one request
// away.
func newDesk(t testing.TB, dsn string, plans ...plan) *stage {
	t.Helper()
	s := newStage(t, dsn, plans...)
	s.settle()
	return s
}

func (s *stage) settle() {
	s.t.Helper()
	phone := s.keyring("sub-alice")
	b := s.browser
	b.open(s.app.request("scope", "openid profile email address phone groups offline_access"))
	b.submit("password", "username", "alice", "password", "correct horse battery")
	b.submit("otp", "code", phone.code(0))
	b.submit("consent", "decision", "allow")
	if b.page.url.Host != "app.example" || b.page.url.Query().Get("code") == "" {
		s.t.Fatalf("not at the app with a code: %s", b.page.text())
	}
}

// allow lets someone allow the client with this ID some scopes.
func (s *stage) allow(subject, id string, scopes ...string) {
	s.t.Helper()
	slices.Sort(scopes)
	err := s.db.SaveConsent(context.Background(), provider.Consent{
		Subject: subject, ClientID: id, Scopes: scopes, Given: now(),
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// cookies returns the Cookie header that b sends to the provider.
func (b *browser) cookies() string {
	b.t.Helper()
	u, err := url.Parse(issuer)
	if err != nil {
		b.t.Fatal(err)
	}
	r := &http.Request{Header: http.Header{}}
	for _, c := range b.client.Jar.Cookies(u) {
		r.AddCookie(c)
	}
	return r.Header.Get("Cookie")
}

// code returns an authorization code for the signed-in user of s, granted
// without a page to the request v.
func (s *stage) code(v url.Values) string {
	s.t.Helper()
	a := ask(s.t, s, get(s.t, "/authorize?"+v.Encode(), "Cookie", s.browser.cookies()))
	if a.says() != "→app code" {
		s.t.Fatalf("no code at once: %s\n%v", a.says(), a.to)
	}
	return a.to.Query().Get("code")
}

// exchange is a token request of the app in which nothing is wrong.
func exchange(code string) url.Values {
	return url.Values{
		"grant_type": {"authorization_code"}, "code": {code},
		"redirect_uri": {appURL}, "code_verifier": {verifier},
	}
}

// refresh is a refresh request in which nothing is wrong.
func refresh(token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
}

// trade sends a token request of the app.
func (s *stage) trade(v url.Values) reply {
	s.t.Helper()
	return ask(s.t, s, send(s.t, "/token", v, "Authorization", basic("app", appSecret)))
}

// tokens returns what the app gets for the request v, with a refresh token if
// it asks for offline_access.
func (s *stage) tokens(v url.Values) reply {
	s.t.Helper()
	a := s.trade(exchange(s.code(v)))
	if a.status != http.StatusOK {
		s.t.Fatalf("no tokens: %s\n%s", a.says(), a.body)
	}
	return a
}

// offline is a request of the app for everything, refresh token included.
func offline() url.Values {
	return with(authorization(), "scope", "openid profile email groups offline_access")
}

// userinfo asks with token for what is known of its user.
func (s *stage) userinfo(token string) reply {
	s.t.Helper()
	return ask(s.t, s, get(s.t, "/userinfo", "Authorization", "Bearer "+token))
}
