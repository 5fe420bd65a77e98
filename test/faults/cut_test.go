package faults

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/crypto/bcrypt"

	"github.com/sallyport-id/sallyport/test/fleet"
	"github.com/sallyport-id/sallyport/test/pg"
)

// chores are in the statements that a replica writes by itself, whenever it is
// time.
var chores = []string{"logouts", "delete from", "set unsaved = ''", "set pending = ''"}

// clean says what is wrong with the answer that err is, if it is not what may be
// given while PostgreSQL is away: 503, when to come again, and for people a
// page and for programs JSON.
func clean(err error) error {
	var a *fleet.Answer
	if !errors.As(err, &a) {
		return err
	}
	start := "<!doctype html>"
	for _, api := range []string{"/token", "/introspect", "/revoke", "/userinfo"} {
		if a.Path == api {
			start = `{"error":`
		}
	}
	if a.Status != 503 || a.RetryAfter == "" || !strings.HasPrefix(strings.ToLower(strings.TrimSpace(a.Body)), start) {
		return fmt.Errorf("not a clean refusal: Retry-After %q, %w", a.RetryAfter, err)
	}
	return nil
}

// status is that of the answer that err is, 0 if it is none.
func status(err error) int {
	var a *fleet.Answer
	if errors.As(err, &a) {
		return a.Status
	}
	return 0
}

// A parlour is where the deeds are done that the wire is cut under.
type parlour struct {
	*testing.T
	site fleet.Site
	next int               // user
	fast int               // of those without an authenticator app, the next
	key  *ecdsa.PrivateKey // of the client "service"

	house *fleet.House
	dsn   string
}

// newParlour makes a house with the client "service", and so many users more who
// have no authenticator app. Nothing serves yet.
func newParlour(t *testing.T, plan fleet.Plan, fresh int) *parlour {
	t.Helper()
	p := &parlour{T: t}
	var err error
	if p.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &p.key.PublicKey, KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(file, set, 0o600); err != nil {
		t.Fatal(err)
	}
	plan.More = fmt.Sprintf("  - {id: service, type: service, grant_types: [client_credentials], jwks_file: %q}\n", file) + plan.More
	p.house = open(t, plan)
	p.dsn = p.house.DSN
	freshPeople(t, p.house, fresh)
	p.site = visit(t, p.house)
	return p
}

// A person signs in, once.
type person struct {
	*fleet.Login
	p      *parlour
	name   string
	secret []byte
	step   int64 // whose code is next
}

// person comes to the page that asks for a password. enrolled: they have an
// authenticator app.
func (p *parlour) person(enrolled bool) *person {
	p.Helper()
	w := &person{p: p, step: time.Now().Unix() / 30}
	if enrolled {
		w.name, w.secret = fleet.Username(p.next), fleet.Secret(p.next)
		p.next++
	} else {
		w.name = fmt.Sprintf("fresh%d", p.fast)
		p.fast++
	}
	w.again()
	return w
}

// again begins anew, in a new browser.
func (w *person) again() {
	w.p.Helper()
	l, err := w.p.site.Begin(w.p.Context(), nil)
	if err != nil {
		w.p.Fatal(err)
	}
	w.Login = l
}

// code is the next that the person has not seen yet.
func (w *person) code() string {
	w.step++
	return fleet.TOTP(w.secret, w.step-1)
}

// say answers the page, if it asks for step.
func (w *person) say(step string) error {
	switch step {
	case "password":
		return w.Answer(w.p.Context(), step, "username", w.name, "password", fleet.Password)
	case "otp":
		return w.Answer(w.p.Context(), step, "code", w.code())
	case "consent":
		return w.Answer(w.p.Context(), step, "decision", "allow")
	}
	return w.Answer(w.p.Context(), step)
}

// factor answers the page that asks for a code with one of an app ("otp") or
// of a list ("recovery"), whose page differs in nothing else.
func (w *person) factor(step, code string) error {
	err := w.Answer(w.p.Context(), "otp", "step", step, "code", code)
	if w.Page.Step() == step {
		w.Page.Form.Set("step", "otp")
	}
	return err
}

// to goes on to the page that asks for step.
func (w *person) to(step string) {
	w.p.Helper()
	for w.Page.Step() != step {
		at := w.Page.Step()
		if err := w.say(at); err != nil {
			w.p.Fatalf("on the way to %s: %v", step, err)
		}
		if w.Page.Step() == at {
			w.p.Fatalf("on the way to %s: stays at %s", step, at)
		}
	}
}

// in goes on until the app has tokens.
func (w *person) in() fleet.Tokens {
	w.p.Helper()
	w.to("")
	code, err := w.Code()
	if err != nil {
		w.p.Fatal(err)
	}
	tokens, err := w.Redeem(w.p.Context(), code)
	if err != nil {
		w.p.Fatal(err)
	}
	return tokens
}

// refused makes sure that a code that was used is good no more.
func (w *person) refused(step, code string) {
	w.p.Helper()
	w.again()
	w.to("otp")
	if err := w.factor(step, code); status(err) != 422 {
		w.p.Errorf("a used code is answered with %v, want 422", err)
	}
}

var (
	seed  = regexp.MustCompile(`otpauth:[^"]*secret=([A-Z2-7]+)`)
	codes = regexp.MustCompile(`<li><code>([^<]+)</code>`)
)

// scan reads the secret of the page that shows it.
func (w *person) scan() {
	w.p.Helper()
	m := seed.FindStringSubmatch(w.Page.HTML)
	if m == nil {
		w.p.Fatalf("no secret is shown:\n%s", w.Page.HTML)
	}
	var err error
	if w.secret, err = base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(m[1]); err != nil {
		w.p.Fatal(err)
	}
}

// enrol goes on until recovery codes are shown, and returns them.
func (w *person) enrol() (all []string) {
	w.p.Helper()
	w.to("enroll")
	if err := w.say("enroll"); err != nil {
		w.p.Fatal(err)
	}
	w.scan()
	if err := w.Answer(w.p.Context(), "confirm", "code", w.code()); err != nil {
		w.p.Fatal(err)
	}
	return w.recovery()
}

// recovery reads the codes of the page that shows them.
func (w *person) recovery() (all []string) {
	w.p.Helper()
	for _, m := range codes.FindAllStringSubmatch(w.Page.HTML, -1) {
		all = append(all, m[1])
	}
	if len(all) != 10 {
		w.p.Fatalf("%d recovery codes are shown, want 10:\n%s", len(all), w.Page.HTML)
	}
	return all
}

// assertion is a client assertion of the client "service", good once.
func (p *parlour) assertion() url.Values {
	p.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.key, KeyID: "k"}}, nil)
	if err != nil {
		p.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: "service", Subject: "service", Audience: jwt.Audience{p.site.Issuer}, ID: rand.Text(),
		Expiry: jwt.NewNumericDate(time.Now().Add(time.Minute)),
	}).Serialize()
	if err != nil {
		p.Fatal(err)
	}
	return url.Values{
		"grant_type": {"client_credentials"}, "client_assertion": {text},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
	}
}

// A deed writes. The wire is cut while it is done; then it is done again, as
// whoever saw it fail does; then it is looked at what there is, by someone who
// knows how the first time was answered (nil: well) and the second.
type deed struct {
	do    func() error
	after func(late bool, first, second error)
}

// A named deed. Each call makes one that is ready to be done.
type named struct {
	name  string
	ready func(p *parlour) deed
}

// deeds are all that write on the way in and behind it.
var deeds = []named{
	{"begin", func(p *parlour) deed {
		w := p.person(true)
		return deed{func() (err error) {
			l, err := p.site.Begin(p.Context(), nil)
			if err == nil {
				w.Login = l
			}
			return err
		}, func(_ bool, _, second error) { w.in() }}
	}},
	{"password", func(p *parlour) deed {
		w := p.person(true)
		return deed{func() error { return w.say("password") }, func(_ bool, _, second error) {
			if second != nil {
				p.Error(second)
			}
			w.in()
		}}
	}},
	{"otp", func(p *parlour) deed {
		w := p.person(true)
		w.to("otp")
		code := w.code()
		return deed{func() error { return w.factor("otp", code) }, func(_ bool, _, second error) {
			if second != nil {
				p.Error(second)
			}
			if w.Page.Step() != "consent" {
				p.Errorf("stays at %s", w.Page.Step())
			}
			w.in()
			w.refused("otp", code)
		}}
	}},
	{"recovery code", func(p *parlour) deed {
		w := p.person(false)
		code := w.enrol()[0]
		w.in()
		w.again()
		w.to("otp")
		return deed{func() error { return w.factor("recovery", code) }, func(_ bool, _, second error) {
			if second != nil {
				p.Error(second)
			}
			if w.Page.Step() != "consent" {
				p.Errorf("stays at %s", w.Page.Step())
			}
			w.in()
			w.refused("recovery", code)
		}}
	}},
	{"beginning to enrol", func(p *parlour) deed {
		w := p.person(false)
		w.to("enroll")
		return deed{func() error { return w.say("enroll") }, func(_ bool, _, second error) {
			if second != nil {
				p.Error(second)
			}
			w.scan()
			if err := w.Answer(p.Context(), "confirm", "code", w.code()); err != nil {
				p.Fatal(err)
			}
			w.recovery()
			w.in()
		}}
	}},
	{"confirming it", func(p *parlour) deed {
		w := p.person(false)
		w.to("enroll")
		if err := w.say("enroll"); err != nil {
			p.Fatal(err)
		}
		w.scan()
		code := w.code()
		return deed{func() error { return w.Answer(p.Context(), "confirm", "code", code) }, func(_ bool, _, second error) {
			if second != nil {
				p.Error(second)
			}
			recovery := w.recovery()
			w.in()
			w.refused("otp", code)
			// What was shown is what counts.
			if err := w.factor("recovery", recovery[9]); err != nil {
				p.Errorf("a recovery code that was shown: %v", err)
			}
		}}
	}},
	{"putting the codes away", func(p *parlour) deed {
		w := p.person(false)
		w.enrol()
		return deed{func() error { return w.say("saved") }, func(_ bool, _, second error) {
			if second != nil {
				p.Error(second)
			}
			w.in()
		}}
	}},
	{"consent", func(p *parlour) deed {
		w := p.person(true)
		w.to("consent")
		return deed{func() error { return w.say("consent") }, func(late bool, _, second error) {
			if !late && second != nil {
				p.Error(second)
			}
			if w.Page.Step() != "" || w.Page.URL.Query().Get("code") == "" {
				// The app's code was lost with the answer. It was given to nobody,
				// and the next code from the phone leads in.
				w.again()
			}
			w.in()
		}}
	}},
	{"code", func(p *parlour) deed {
		w := p.person(true)
		w.to("")
		code, err := w.Code()
		if err != nil {
			p.Fatal(err)
		}
		var tokens fleet.Tokens
		return deed{func() (err error) {
			if tokens.Refresh != "" {
				return nil // who has tokens does not ask again
			}
			tokens, err = w.Redeem(p.Context(), code)
			return err
		}, func(_ bool, first, _ error) {
			if first != nil {
				p.Errorf("the code is lost: %v", first)
			}
			if tokens, err = p.site.Refresh(p.Context(), tokens.Refresh); err != nil {
				p.Fatal(err)
			}
			if _, err := w.Redeem(p.Context(), code); status(err) != 400 {
				p.Errorf("a code is good twice: %v", err)
			}
		}}
	}},
	{"refresh", func(p *parlour) deed {
		tokens := p.person(true).in()
		old := tokens.Refresh
		return deed{func() error {
			if tokens.Refresh != old {
				return nil
			}
			got, err := p.site.Refresh(p.Context(), old)
			if err == nil {
				tokens = got
			}
			return err
		}, func(_ bool, first, _ error) {
			if first != nil {
				p.Errorf("the refresh token is lost: %v", first)
			}
			if active, err := p.site.Active(p.Context(), tokens.Access); err != nil || !active {
				p.Errorf("the new access token is active: %v, %v", active, err)
			}
			if _, err := p.site.Refresh(p.Context(), tokens.Refresh); err != nil {
				p.Errorf("the family was ended: %v", err)
			}
			if _, err := p.site.Refresh(p.Context(), old); status(err) != 400 {
				p.Errorf("a refresh token is good twice: %v", err)
			}
		}}
	}},
	{"revocation", func(p *parlour) deed {
		tokens := p.person(true).in()
		return deed{func() error {
			_, err := p.site.Call(p.Context(), fleet.App, "/revoke", url.Values{"token": {tokens.Refresh}}, "")
			return err
		}, func(_ bool, _, second error) {
			if second != nil {
				p.Error(second)
			}
			if active, err := p.site.Active(p.Context(), tokens.Access); err != nil || active {
				p.Errorf("a revoked token is active: %v, %v", active, err)
			}
			if _, err := p.site.Refresh(p.Context(), tokens.Refresh); status(err) != 400 {
				p.Errorf("a revoked refresh token: %v", err)
			}
		}}
	}},
	{"client assertion", func(p *parlour) deed {
		used := p.assertion()
		ask := func(v url.Values) error {
			_, err := p.site.CallAs(p.Context(), "/token", v)
			return err
		}
		return deed{func() error { return ask(used) }, func(late bool, _, second error) {
			if late != (status(second) == 401) {
				p.Errorf("late: %v; the second time it is answered with %v", late, second)
			}
			if err := ask(used); status(err) != 401 {
				p.Errorf("an assertion is good twice: %v", err)
			}
			if err := ask(p.assertion()); err != nil {
				p.Error(err)
			}
		}}
	}},
}

// The connection to PostgreSQL is cut at each commit of each deed: before the
// COMMIT gets there, and after it, when nobody knows whether it did. Nothing is
// good twice, and nothing is lost that cannot be done again.
func TestACommitInDoubtIsNeitherUsedTwiceNorLost(t *testing.T) {
	needsPostgres(t)
	t.Parallel()
	wire, dsn := wired(t, pg.DSN(t))
	rounds := times(1, 10)
	users := 60 * rounds
	p := newParlour(t, fleet.Plan{DSN: dsn, Users: users}, users)
	start(t, p.house, 1)

	cuts := map[bool]int{}
	for range rounds {
		for _, d := range deeds {
			for _, late := range []bool{false, true} {
				for n := 1; ; n++ {
					ready := d.ready(p)
					wire.Arm(n, map[bool]fleet.Moment{false: fleet.Commit, true: fleet.Committed}[late], nil)
					first := ready.do()
					at := wire.Disarm()
					if at == "" {
						if first != nil || n == 1 {
							t.Fatalf("%s: of the commit number %d: %v", d.name, n, first)
						}
						break
					}
					cuts[late]++
					if err := clean(first); err != nil {
						t.Errorf("%s: cut (late: %v) at commit %d, %.60s: %v", d.name, late, n, at, err)
					}
					second := error(nil)
					if first != nil {
						second = ready.do()
					}
					if status(second) >= 500 {
						t.Errorf("the second time it is answered with %v", second)
					}
					if t.Failed() {
						t.Fatalf("%s, commit %d, late: %v, at %.80s; first %v, second %v", d.name, n, late, at, first, second)
					}
					ready.after(late, first, second)
					if t.Failed() {
						t.Fatalf("%s, commit %d, late: %v, at %.80s; first %v, second %v", d.name, n, late, at, first, second)
					}
				}
			}
		}
	}
	report(t, "deeds", len(deeds), "cuts before the COMMIT got there", cuts[false], "cuts before its answer came back", cuts[true])
}

// freshPeople imports users who have a password and nothing else.
func freshPeople(t *testing.T, h *fleet.House, n int) {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(fleet.Password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"username": "fresh%d", "name": "Fresh %d", "password_hash": %q}`+"\n", i, i, hash)
	}
	file := filepath.Join(h.Dir, "fresh.jsonl")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Run(context.WithoutCancel(t.Context()), "user", "import", file); err != nil {
		t.Fatal(err)
	}
}
