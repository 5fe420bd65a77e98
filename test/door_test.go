package test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

// doors is the door matrix: what each route answers to each kind of visitor,
// who always brings the right answers (their own password, a fresh code, a
// recovery code that is good). A route may have several rows, one for each
// form; a route without a row fails the test.
//
// Each visitor has a flow, which {id} names; a flow of somebody else's, where
// the column says so; one that does not exist, if it is anonymous.
//
//	→flow       303 to a page of a flow      200 code   the page that asks for a code
//	→app code   303 to the app, with a code  403 …      a page that ends it
//	+           the answer sets a session    -          it removes the session
//	!           something else than flows was changed: sessions, grants, consents, factors
//
// Read a column to see what a visitor can do. Awaiting a code, enrolling and
// expired have answers of their own on rows of /flow/{id} only; on all others
// they are anonymous, which the test checks apart from the table.
const doors = `
                                            | anonymous         | awaiting           | enrolling          | expired           | one factor         | fresh              | stale              | other's           | disabled
GET /.well-known/openid-configuration       | 200               | 200                | 200                | 200               | 200                | 200                | 200                | 200               | 200
GET /.well-known/oauth-authorization-server | 200               | 200                | 200                | 200               | 200                | 200                | 200                | 200               | 200
GET /jwks.json                              | 200               | 200                | 200                | 200               | 200                | 200                | 200                | 200               | 200
GET /assets/{name}                          | 200               | 200                | 200                | 200               | 200                | 200                | 200                | 200               | 200
GET /authorize                              | →flow             | →flow              | →flow              | →flow             | →flow              | →flow              | →flow              | →flow             | →flow
GET /userinfo                               | 401 invalid_token | 401 invalid_token  | 401 invalid_token  | 401 invalid_token | 401 invalid_token  | 401 invalid_token  | 401 invalid_token  | 401 invalid_token | 401 invalid_token
GET /flow/{id}                              | 403 elsewhere     | 200 code           | 200 enrol          | 403 expired       | 200 code           | 200 consent        | 200 consent        | 403 elsewhere     | 403 denied
GET /flow/{id}/recovery                     | 403 elsewhere     | 200 recovery       | 200 enrol          | 403 expired       | 200 recovery       | 200 consent        | 200 consent        | 403 elsewhere     | 403 denied
GET /flow/{id}/codes.txt                    | 403 elsewhere     | →flow              | →flow              | 403 expired       | →flow              | →flow              | →flow              | 403 elsewhere     | 403 denied
GET /account                                | →flow             | →flow              | →flow              | →flow             | →flow              | 200 account        | 200 account        | 200 account       | →flow
GET /account/factor                         | →/account         | →/account          | →/account          | →/account         | →/account          | 200 enrol          | →/account          | 200 enrol         | →/account
GET /account/codes                          | →/account         | →/account          | →/account          | →/account         | →/account          | 200 codes          | →/account          | 200 codes         | →/account
GET /account/codes.txt                      | →/account         | →/account          | →/account          | →/account         | →/account          | 200                | →/account          | 200               | →/account
GET /logout                                 | 200 signedout     | 200 signedout      | 200 signedout      | 200 signedout     | 200 signout        | 200 signout        | 200 signout        | 200 signout       | 200 signout
GET /logout hinted                          | 200 signedout     | 200 signedout      | 200 signedout      | 200 signedout     | 200 signedout-!    | 200 signedout-!    | 200 signedout-!    | 200 signedout-!   | 200 signedout-!
OPTIONS /.well-known/openid-configuration   | 204               | 204                | 204                | 204               | 204                | 204                | 204                | 204               | 204
OPTIONS /.well-known/oauth-authorization-server | 204               | 204                | 204                | 204               | 204                | 204                | 204                | 204               | 204
OPTIONS /jwks.json                          | 204               | 204                | 204                | 204               | 204                | 204                | 204                | 204               | 204
OPTIONS /token                              | 204               | 204                | 204                | 204               | 204                | 204                | 204                | 204               | 204
OPTIONS /userinfo                           | 204               | 204                | 204                | 204               | 204                | 204                | 204                | 204               | 204
POST /authorize                             | →/authorize       | →/authorize        | →/authorize        | →/authorize       | →/authorize        | →/authorize        | →/authorize        | →/authorize       | →/authorize
POST /par                                   | 201               | 201                | 201                | 201               | 201                | 201                | 201                | 201               | 201
POST /token                                 | 400 invalid_grant | 400 invalid_grant  | 400 invalid_grant  | 400 invalid_grant | 400 invalid_grant  | 400 invalid_grant  | 400 invalid_grant  | 400 invalid_grant | 400 invalid_grant
POST /revoke                                | 200               | 200                | 200                | 200               | 200                | 200                | 200                | 200               | 200
POST /introspect                            | 200               | 200                | 200                | 200               | 200                | 200                | 200                | 200               | 200
POST /userinfo                              | 401 invalid_token | 401 invalid_token  | 401 invalid_token  | 401 invalid_token | 401 invalid_token  | 401 invalid_token  | 401 invalid_token  | 401 invalid_token | 401 invalid_token
POST /flow/{id} password                    | 403 elsewhere     | →flow              | →flow              | 403 expired       | →flow              | →flow              | →flow              | 403 elsewhere     | 403 denied
POST /flow/{id} switch                      | 403 elsewhere     | →flow              | →flow              | 403 expired       | →flow              | →flow              | →flow              | 403 elsewhere     | 403 denied
POST /flow/{id} otp                         | 403 elsewhere     | →flow!             | →flow              | 403 expired       | →flow!             | →flow              | →flow              | 403 elsewhere     | 403 denied
POST /flow/{id} recovery                    | 403 elsewhere     | →flow!             | →flow              | 403 expired       | →flow!             | →flow              | →flow              | 403 elsewhere     | 403 denied
POST /flow/{id} enroll                      | 403 elsewhere     | →flow              | →flow!             | 403 expired       | →flow              | →flow              | →flow              | 403 elsewhere     | 403 denied
POST /flow/{id} confirm                     | 403 elsewhere     | →flow              | →flow!             | 403 expired       | →flow              | →flow              | →flow              | 403 elsewhere     | 403 denied
POST /flow/{id} saved                       | 403 elsewhere     | →flow              | →flow              | 403 expired       | →flow              | →flow              | →flow              | 403 elsewhere     | 403 denied
POST /flow/{id} consent                     | 403 elsewhere     | →flow              | →flow              | 403 expired       | →flow              | →app code!         | →app code!         | 403 elsewhere     | 403 denied
POST /flow/{id} cancel                      | 403 elsewhere     | →app access_denied | →app access_denied | 403 expired       | →app access_denied | →app access_denied | →app access_denied | 403 elsewhere     | 403 denied
POST /flow/{id} unknown                     | 403 elsewhere     | →flow              | →flow              | 403 expired       | →flow              | →flow              | →flow              | 403 elsewhere     | 403 denied
POST /flow/{id}/recovery recovery           | 403 elsewhere     | →flow!             | →flow              | 403 expired       | →flow!             | →flow              | →flow              | 403 elsewhere     | 403 denied
POST /flow/{id}/recovery otp                | 403 elsewhere     | →flow!             | →flow              | 403 expired       | →flow!             | →flow              | →flow              | 403 elsewhere     | 403 denied
POST /account sign-out                      | →/account         | →/account          | →/account          | →/account         | →/account          | 200 signedout-!    | 200 signedout-!    | 200 signedout-!   | →/account
POST /account end-session                   | →/account         | →/account          | →/account          | →/account         | →/account          | →/account!         | →/account!         | →/account!        | →/account
POST /account end-all                       | →/account         | →/account          | →/account          | →/account         | →/account          | 200 signedout-!    | 200 signedout-!    | 200 signedout-!   | →/account
POST /account revoke                        | →/account         | →/account          | →/account          | →/account         | →/account          | →/account!         | →/account!         | →/account!        | →/account
POST /account replace-factor                | →/account         | →/account          | →/account          | →/account         | →/account          | →/account/factor!  | →flow              | →/account/factor! | →/account
POST /account new-codes                     | →/account         | →/account          | →/account          | →/account         | →/account          | →/account/codes+!  | →flow              | →/account/codes+! | →/account
POST /account unknown                       | →/account         | →/account          | →/account          | →/account         | →/account          | →/account          | →/account          | →/account         | →/account
POST /account/factor confirm                | →/account         | →/account          | →/account          | →/account         | →/account          | →/account/codes+!  | →/account          | →/account/codes+! | →/account
POST /account/codes saved                   | →/account         | →/account          | →/account          | →/account         | →/account          | →/account!         | →/account          | →/account!        | →/account
POST /logout                                | →/logout          | →/logout           | →/logout           | →/logout          | →/logout           | →/logout           | →/logout           | →/logout          | →/logout
POST /logout/confirm sign-out               | 200 signedout     | 200 signedout      | 200 signedout      | 200 signedout     | 200 signedout-!    | 200 signedout-!    | 200 signedout-!    | 200 signedout-!   | 200 signedout-!
POST /logout/confirm unknown                | 200 signedout     | 200 signedout      | 200 signedout      | 200 signedout     | →/logout           | →/logout           | →/logout           | →/logout          | →/logout
`

// A visitor is someone in one of the columns.
type visitor struct {
	*browser
	name   string // their login name; empty: nobody's
	flow   string // what {id} stands for
	owner  string // whose flow that is, if not theirs
	phone  phone
	answer string // a recovery code
}

// states are the columns.
var states = []struct {
	name  string
	enter func(c *corridor) *visitor
}{
	{"anonymous", (*corridor).anonymous},
	{"awaiting", (*corridor).awaiting},
	{"enrolling", (*corridor).enrolling},
	{"expired", (*corridor).expired},
	{"one factor", (*corridor).oneFactor},
	{"fresh", (*corridor).fresh},
	{"stale", (*corridor).stale},
	{"other's", (*corridor).others},
	{"disabled", (*corridor).disabled},
}

// A corridor is a stage with clients for every state, in which each visitor is
// a user of their own.
type corridor struct {
	*stage
	db       *sql.DB // for looking past the provider
	style    string  // the name of an asset that there is
	visitors int
}

func newCorridor(t *testing.T) *corridor {
	t.Helper()
	// The doors are the provider's: which database is behind them does not
	// matter.
	dsn := "sqlite:" + filepath.Join(t.TempDir(), "idp.db")
	c := &corridor{stage: newStage(t, dsn), db: opened(t, dsn)}
	c.register(provider.Client{ID: "low", Type: provider.SPA, RedirectURIs: []string{appURL}, Floor: "pwd", FirstParty: true})
	c.register(provider.Client{ID: "first", Type: provider.SPA, RedirectURIs: []string{appURL}, FirstParty: true})
	c.register(api)
	_, rest, _ := strings.Cut(ask(t, c, get(t, "/flow/x")).body, "/assets/")
	c.style, _, _ = strings.Cut(rest, `"`)
	return c
}

func (c *corridor) visitor() *visitor {
	c.visitors++
	v := &visitor{browser: newBrowser(c.t, c.net), name: fmt.Sprintf("user%d", c.visitors), answer: "none"}
	c.people.add(v.name, v.password())
	return v
}

func (v *visitor) subject() string  { return "sub-" + v.name }
func (v *visitor) password() string { return "the password of " + v.name }

// enrolled gives v a factor, and a consent to take back.
func (c *corridor) enrolled(v *visitor) *visitor {
	c.t.Helper()
	ctx := context.Background()
	v.phone = c.keyring(v.subject())
	if err := c.house.db.SaveConsent(ctx, provider.Consent{Subject: v.subject(), ClientID: "low", Given: now()}); err != nil {
		c.t.Fatal(err)
	}
	if err := c.factors.NewCodes(ctx, v.subject(), "test"); err != nil {
		c.t.Fatal(err)
	}
	codes, err := c.factors.Codes(ctx, v.subject(), "test")
	if err != nil {
		c.t.Fatal(err)
	}
	v.answer = codes[0]
	return v
}

// begin sends v to the client with this ID, and keeps the flow that comes of it.
func (c *corridor) begin(v *visitor, client string) *visitor {
	c.t.Helper()
	v.open(issuer + "/authorize?" + with(authorization(), "client_id", client).Encode())
	v.flow, _ = strings.CutPrefix(v.page.url.Path, "/flow/")
	return v
}

func (c *corridor) anonymous() *visitor {
	return &visitor{browser: newBrowser(c.t, c.net), flow: "AAAAAAAAAAAAAAAAAAAAAA", answer: "none"}
}

func (c *corridor) awaiting() *visitor {
	v := c.begin(c.enrolled(c.visitor()), "app")
	v.submit("password", "username", v.name, "password", v.password())
	return v
}

func (c *corridor) enrolling() *visitor {
	v := c.begin(c.visitor(), "app")
	v.submit("password", "username", v.name, "password", v.password())
	v.submit("enroll")
	v.phone = scan(c.t, v.page)
	return v
}

func (c *corridor) expired() *visitor {
	v := c.awaiting()
	time.Sleep(10 * time.Minute) // of the password
	return v
}

// oneFactor has signed in where a password is enough, and is on the way to
// where it is not.
func (c *corridor) oneFactor() *visitor {
	v := c.begin(c.enrolled(c.visitor()), "low")
	v.submit("password", "username", v.name, "password", v.password())
	return c.begin(v, "app")
}

// signedIn has signed in with two factors.
func (c *corridor) signedIn() *visitor {
	v := c.begin(c.enrolled(c.visitor()), "first")
	v.submit("password", "username", v.name, "password", v.password())
	v.submit("otp", "code", v.phone.code(0))
	return v
}

// fresh is on the way to the app, which has not been allowed yet.
func (c *corridor) fresh() *visitor { return c.begin(c.signedIn(), "app") }

func (c *corridor) stale() *visitor {
	v := c.signedIn()
	time.Sleep(30 * time.Minute)
	return c.begin(v, "app")
}

// others is signed in, and has come by the URL of a flow of someone else's.
func (c *corridor) others() *visitor {
	v := c.fresh()
	other := c.awaiting()
	v.flow, v.owner = other.flow, other.subject()
	return v
}

func (c *corridor) disabled() *visitor {
	v := c.fresh()
	c.people.change(v.name, func(u *provider.User) { u.Disabled = true })
	return v
}

// knock returns the request of a row. What stands in its way but the door
// itself is done before: new factors and codes are begun, if v may.
func (c *corridor) knock(row string, v *visitor) *http.Request {
	c.t.Helper()
	method, rest, _ := strings.Cut(row, " ")
	path, step, _ := strings.Cut(rest, " ")
	path = strings.NewReplacer("{id}", v.flow, "{name}", c.style).Replace(path)
	switch {
	case strings.HasPrefix(path, "/account/factor"):
		v.do(post(c.t, issuer+"/account", url.Values{"step": {"replace-factor"}}))
		if uri := v.page.link("otpauth:"); uri != "" {
			v.phone = phoneOf(c.t, uri)
		}
	case strings.HasPrefix(path, "/account/codes"):
		v.do(post(c.t, issuer+"/account", url.Values{"step": {"new-codes"}}))
	}
	if method == http.MethodGet {
		switch {
		case path == "/authorize":
			path += "?" + authorization().Encode()
		case step == "hinted":
			// An ID token that v was given, if v is signed in.
			path += "?" + url.Values{"id_token_hint": {hintOf(c.t, "first", v.subject(), c.sessionOf(v))}}.Encode()
		}
		r := get(c.t, path, "Cookie", v.cookies(), "Sec-Fetch-Site", "cross-site")
		return c.bearing(r, v)
	}
	if method == http.MethodOptions {
		r := get(c.t, path, "Cookie", v.cookies(), "Sec-Fetch-Site", "cross-site", "Origin", "https://app.example")
		r.Method = method
		return c.bearing(r, v)
	}
	form := url.Values{"step": {step}}
	switch {
	case path == "/authorize", path == "/par":
		form = authorization()
	case path == "/token":
		form = exchange(v.flow)
	case path == "/revoke", path == "/introspect":
		form = url.Values{"token": {v.cookieValue()}}
	case step == "password":
		form.Set("username", v.name)
		form.Set("password", v.password())
	case step == "otp" || step == "confirm":
		code := "123456"
		if v.phone.key != nil {
			code = v.phone.code(0)
		}
		form.Set("code", code)
	case step == "recovery":
		form.Set("code", v.answer)
	case step == "consent":
		form.Set("decision", "allow")
	case step == "revoke":
		form.Set("client", "low")
	case path == "/logout/confirm":
		form.Set("session", c.sessionOf(v))
	case step == "end-session":
		form.Set("id", c.sessionOf(v))
	}
	return c.bearing(send(c.t, path, form, "Cookie", v.cookies(), "Sec-Fetch-Site", "same-origin"), v)
}

// bearing adds what v might take for a token.
func (c *corridor) bearing(r *http.Request, v *visitor) *http.Request {
	switch r.URL.Path {
	case "/userinfo":
		r.Header.Set("Authorization", "Bearer "+v.cookieValue())
	case "/par", "/token", "/revoke":
		r.Header.Set("Authorization", basic("app", appSecret))
	case "/introspect":
		r.Header.Set("Authorization", basic("api", appSecret))
	}
	return r
}

// cookieValue is what v might take for a token.
func (v *visitor) cookieValue() string {
	_, cookie, _ := strings.Cut(v.cookies(), "=")
	value, _, _ := strings.Cut(cookie+"none", ";")
	return value
}

// sessionOf returns the public ID of a session of v.
func (c *corridor) sessionOf(v *visitor) string {
	all, err := c.house.db.Sessions(context.Background(), v.subject())
	if err != nil {
		c.t.Fatal(err)
	}
	if len(all) == 0 {
		return "none"
	}
	return all[0].ID
}

// PA-2, TO-11, SE-4
func TestTheDoorMatrix(t *testing.T) {
	rows, answers := matrix(t)
	synctest.Test(t, func(t *testing.T) {
		c := newCorridor(t)
		for i, state := range states {
			var v *visitor
			for _, row := range rows {
				if v == nil {
					v = state.enter(c)
				}
				whole := c.valuables(v) + c.flowRow(v)
				r := c.knock(row, v)
				before := c.valuables(v)
				a := ask(t, c, r)
				after := c.valuables(v)
				got := a.says() + cookieMark(a)
				if after != before {
					got += "!"
				}
				if want := answers[row][i]; got != want {
					t.Errorf("%-40s %-12s %s, want %s", row, state.name, got, want)
				}
				if after+c.flowRow(v) != whole {
					v = nil // is not where it was; the next door is for another
				}
			}
		}
	})
}

// valuables returns the rows of v, of the owner of the flow and of nobody in
// the tables in which a change means that a door was open.
func (c *corridor) valuables(v *visitor) string {
	var b strings.Builder
	for _, table := range []string{"sessions", "grants", "consents", "mfa_accounts", "mfa_recovery_codes"} {
		for _, row := range query(c.t, c.db, `SELECT * FROM `+table+` WHERE subject IN (?, ?, '')`, v.subject(), v.owner) {
			b.WriteString(row + "\n")
		}
	}
	return b.String()
}

// flowRow returns the row of v's flow.
func (c *corridor) flowRow(v *visitor) string {
	return strings.Join(query(c.t, c.db, `SELECT * FROM flows WHERE id = ?`, v.flow), "")
}

func cookieMark(a reply) string {
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		switch {
		case c.Name == sessionCookie && c.MaxAge < 0:
			return "-"
		case c.Name == sessionCookie:
			return "+"
		}
	}
	return ""
}

// matrix reads doors, and checks it against the router.
func matrix(t *testing.T) (rows []string, answers map[string][]string) {
	t.Helper()
	answers = map[string][]string{}
	for line := range strings.Lines(strings.TrimPrefix(doors, "\n")) {
		cells := strings.Split(line, "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if cells[0] == "" {
			for i, state := range states {
				if cells[1+i] != state.name {
					t.Fatalf("column %d is called %s, want %s", i, cells[1+i], state.name)
				}
			}
			continue
		}
		if len(cells) != 1+len(states) || answers[cells[0]] != nil {
			t.Fatalf("row %q has %d cells, or stands twice", cells[0], len(cells))
		}
		rows = append(rows, cells[0])
		answers[cells[0]] = cells[1:]
	}
	return rows, answers
}

// PA-2
func TestEveryRouteHasARowInTheDoorMatrix(t *testing.T) {
	h := newHouse(t, "sqlite:"+filepath.Join(t.TempDir(), "idp.db"))
	rows, answers := matrix(t)
	routes, err := h.Routes()
	if err != nil {
		t.Fatal(err)
	}
	if len(routes) < 20 {
		t.Fatalf("only %d routes", len(routes))
	}
	var known []string
	for _, r := range routes {
		name := r.Method + " " + r.Path
		known = append(known, name)
		if !slices.ContainsFunc(rows, func(row string) bool { return row == name || strings.HasPrefix(row, name+" ") }) {
			t.Errorf("%s has no row", name)
		}
	}
	for _, row := range rows {
		method, rest, _ := strings.Cut(row, " ")
		path, _, _ := strings.Cut(rest, " ")
		if !slices.Contains(known, method+" "+path) {
			t.Errorf("row %q is of no route", row)
		}
		// Between password and second factor there is nobody, but for the flow
		// itself; and nowhere is there a session.
		for i, state := range states[1:4] {
			got := answers[row][i+1]
			if !strings.HasPrefix(path, "/flow/") && got != answers[row][0] {
				t.Errorf("%s: %s gets %s, and not what anonymous gets", row, state.name, got)
			}
			if strings.Contains(got, "+") || strings.Contains(got, "→app code") {
				t.Errorf("%s: %s gets %s", row, state.name, got)
			}
		}
	}
}

// Other methods are not answered, by any route.
func TestNoOtherMethodOpensADoor(t *testing.T) {
	h := newHouse(t, "sqlite:"+filepath.Join(t.TempDir(), "idp.db"))
	routes, err := h.Routes()
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string][]string{}
	for _, r := range routes {
		allowed[r.Path] = append(allowed[r.Path], r.Method)
	}
	for path, methods := range allowed {
		for _, method := range []string{"GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "FOO"} {
			if slices.Contains(methods, method) {
				continue
			}
			r := httptest.NewRequest(http.MethodGet, issuer+path, nil)
			r.Method = method
			a := ask(t, h, r)
			if a.status != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %s, want 405", method, path, a.says())
			}
			// RFC 9110 section 15.5.6
			if got, want := a.header.Get("Allow"), strings.Join(methods, ", "); got != want {
				t.Errorf("%s %s: Allow %q, want %q", method, path, got, want)
			}
		}
	}
}
