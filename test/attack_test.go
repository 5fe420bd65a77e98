package test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
)

// What attackers tried, one attempt a test.

// forget takes a cookie out of the browser, as who writes requests by hand may.
func (b *browser) forget(name string) {
	b.t.Helper()
	u, err := url.Parse(issuer)
	if err != nil {
		b.t.Fatal(err)
	}
	b.client.Jar.SetCookies(u, []*http.Cookie{{Name: name, Path: "/", Secure: true, MaxAge: -1}})
}

// SE-2, SE-3: a flow that began in a session, answered without its cookie, would
// end in a second session with the same proofs and a life of its own; and so on
// for ever, whatever becomes of the first.
func TestAnAttackerCopiesNoSession(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.ready("alice")
		b := s.browser
		b.open(s.app.request())
		b.login("alice", phone)
		s.app.callback(b.page)
		time.Sleep(time.Minute)
		b.open(s.app.request("prompt", "consent"))
		b.at("consent", http.StatusOK)
		b.forget(sessionCookie)
		b.submit("consent", "decision", "allow")
		b.at("password", http.StatusOK)
		if got := s.sessions("alice"); len(got) != 1 {
			t.Errorf("%d sessions of one sign-in", len(got))
		}
	})
}

// PA-6: who has copied a cookie has nothing once its owner proves more, not even
// what was under way.
func TestAnAttackerIsLeftBehindByAStepUp(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.ready("alice")
		b := s.browser
		b.open(s.app.request())
		b.login("alice", phone)
		s.app.callback(b.page)
		time.Sleep(time.Minute)

		thief := newBrowser(t, s.net)
		thief.plant(sessionCookie, b.cookie(sessionCookie))
		thief.open(s.app.tab().request("prompt", "consent"))
		thief.at("consent", http.StatusOK)
		b.open(s.app.request("prompt", "login"))
		b.login("alice", phone)
		s.app.callback(b.page)

		thief.submit("consent", "decision", "allow")
		thief.at("password", http.StatusOK)
		if got := s.sessions("alice"); len(got) != 1 {
			t.Errorf("%d sessions of one browser", len(got))
		}
	})
}

// An interloper is a store in which something happens before a transaction
// begins, after everything was looked at.
type interloper struct {
	*storage.DB
	mu   sync.Mutex
	then func()
}

func (i *interloper) Atomically(ctx context.Context, fn func(context.Context) error) error {
	i.mu.Lock()
	then := i.then
	i.then = nil
	i.mu.Unlock()
	if then != nil {
		then()
	}
	return i.DB.Atomically(ctx, fn)
}

// SE-6: a session that is ended while a request of it waits for the database
// does not come back as another.
func TestAnAttackerRevivesNoSession(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		var in *interloper
		s := newStage(t, dsn, plan{store: func(db *storage.DB) (provider.Store, mfa.Store) {
			in = &interloper{DB: db}
			return in, db
		}})
		phone := s.ready("alice")
		b := s.browser
		b.open(s.app.request())
		b.login("alice", phone)
		s.app.callback(b.page)
		for _, to := range []string{s.app.request("prompt", "none"), issuer + "/account"} {
			in.mu.Lock()
			in.then = func() {
				if err := s.db.EndSessions(context.Background(), "sub-alice"); err != nil {
					t.Error(err)
				}
			}
			in.mu.Unlock()
			b.open(to)
			if got := s.sessions("alice"); len(got) > 0 {
				t.Errorf("%s: a session lives on: %+v", to, got)
			}
		}
	})
}

// silent is a directory that tells nobody whom a name meant.
type silent struct{ *people }

func (d silent) Authenticate(ctx context.Context, name, password string) (provider.User, error) {
	u, err := d.people.Authenticate(ctx, name, password)
	if err != nil {
		u = provider.User{}
	}
	return u, err
}

// PW-3: the budget holds whether or not the directory says which account a wrong
// password was meant for: it may leave that out.
func TestAnAttackerGuessesNoLongerBecauseTheDirectoryIsSilent(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn, plan{provider: func(c *provider.Config) {
			c.Directory = silent{c.Directory.(*people)}
		}})
		b := s.browser
		for range 2 {
			b.open(s.app.request())
			for range 6 {
				if b.page.kind() == "password" {
					b.submit("password", "username", "alice", "password", "a guess")
				}
			}
		}
		b.open(s.app.request())
		b.password("alice")
		b.problem("password", http.StatusUnprocessableEntity, "password", "problem.password_wrong")
		time.Sleep(time.Hour)
		b.open(s.app.request())
		b.password("alice")
		b.at("enrollstart", http.StatusOK)
	})
}

// A hesitant body arrives late.
type hesitant struct {
	io.Reader
	after time.Duration
}

func (h *hesitant) Read(b []byte) (int, error) {
	time.Sleep(h.after)
	h.after = 0
	return h.Reader.Read(b)
}

// hesitate sends a request whose body is complete only after some time.
func (b *browser) hesitate(r *http.Request, after time.Duration) *page {
	b.t.Helper()
	r.Body = io.NopCloser(&hesitant{r.Body, after})
	return b.do(r)
}

// PA-4, TO-11: the clock does not stand still for who sends slowly.
func TestAnAttackerGainsNoTimeBySendingSlowly(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.ready("alice")
		b := s.browser
		b.open(s.app.request())
		b.password("alice")
		b.at("factor", http.StatusOK)
		r := b.request("otp", "code", phone.code(22))
		b.hesitate(r, 11*time.Minute)
		b.ended("expired")
		if got := s.sessions("alice"); len(got) > 0 {
			t.Errorf("sessions %+v", got)
		}

		b.account("alice", phone)
		b.hesitate(b.request("replace-factor"), 6*time.Minute)
		b.at("password", http.StatusOK)
		if s.budget("alice").Pending {
			t.Error("a secret was made without a fresh factor")
		}
	})
}

// OA-6: an old refresh token that turns up while its user is disabled is noticed.
func TestReuseIsNoticedWhileTheUserIsDisabled(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s, _, id := connected(t, dsn)
		last, err := s.app.refresh(id.token)
		if err != nil {
			t.Fatal(err)
		}
		disable := func(yes bool) { s.people.change("alice", func(u *provider.User) { u.Disabled = yes }) }
		disable(true)
		for range 3 { // noticed once
			if _, err := s.app.refresh(id.token); refusal(err) != "invalid_grant" {
				t.Errorf("reuse: %v", err)
			}
		}
		same(t, "audit", s.audit("alice", provider.EventReuse), []string{"token-reuse failure"})
		disable(false)
		if _, err := s.app.refresh(last); refusal(err) != "invalid_grant" {
			t.Errorf("the last of the family: %v", err)
		}
	})
}

// OA-14: a no is a no, even if the flow waits for nothing more because another
// tab was answered with yes.
func TestANoIsNoYesBecauseAnotherTabSaidYes(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.enrolled("alice")
		for _, no := range [][]string{{"consent", "decision", "deny"}, {"cancel"}} {
			first, second := newBrowser(t, s.net), s.app.tab()
			first.open(s.app.request())
			first.login("alice", phone)
			first.at("consent", http.StatusOK)
			tab := first.tab()
			tab.open(second.request())
			tab.password("alice")
			time.Sleep(30 * time.Second)
			tab.submit("otp", "code", phone.code(0))
			tab.at("consent", http.StatusOK)
			answer := first.page
			tab.submit("consent", "decision", "allow")
			second.callback(tab.page)

			first.page = answer
			form := []string{"step", no[0]}
			first.do(post(t, flowURL(answer.flow()), values(append(form, no[1:]...)...)))
			first.refused(s.app, "access_denied")
			time.Sleep(30 * time.Second)
			if err := s.db.RevokeConsent(t.Context(), "sub-alice", "app", now()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// LG-1: whoever tries passwords for ever at a name leaves no more in the
// account's history than the budget holds.
func TestAnAttackerDrownsNoHistory(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.enrolled("alice")
		b := s.browser
		b.open(s.app.request())
		b.password("alice")
		for range 5 {
			b.open(s.app.request())
			for range 9 {
				b.submit("password", "username", "alice", "password", "a guess")
				b.problem("password", http.StatusUnprocessableEntity, "password", "problem.password_wrong")
			}
		}
		b.password("alice") // not looked at either
		b.at("ended", http.StatusForbidden)
		want := append([]string{"password success"}, slices.Repeat([]string{"password failure"}, mfa.PasswordBudget.Free)...)
		same(t, "audit", s.audit("alice"), want)
		s.mu.Lock()
		defer s.mu.Unlock()
		if got := strings.Count(s.log.String(), `"kind":"throttle"`); got != 36 {
			t.Errorf("%d refusals in the log, want 36", got)
		}
	})
}

// ST-5: a page that sends a signed-in browser here again and again leaves no
// row behind for what nobody fetches.
func TestAnAttackerFillsNoTableWithCodes(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		s.app.config.Scopes = append(s.app.config.Scopes, "offline_access")
		phone := s.ready("alice")
		b := s.browser
		b.open(s.app.request())
		b.login("alice", phone)
		unfetched, _, _ := strings.Cut(b.page.url.Query().Get("code"), ".")
		b.open(s.app.request())
		fetched, _, _ := strings.Cut(b.page.url.Query().Get("code"), ".")
		token := s.app.callback(b.page).token
		time.Sleep(2 * time.Minute)
		if _, err := s.db.Sweep(t.Context(), time.Now(), 100); err != nil {
			t.Fatal(err)
		}
		if _, err := s.db.Grant(t.Context(), unfetched); !errors.Is(err, provider.ErrNotFound) {
			t.Errorf("the grant of a code that nobody fetched: %v", err)
		}
		if _, err := s.db.Grant(t.Context(), fetched); err != nil {
			t.Error(err)
		}
		if _, err := s.app.refresh(token); err != nil {
			t.Error(err)
		}
	})
}

// AD-2: two providers on one host do not take each other's cookies, whichever
// ports they have: browsers keep one jar for all of them.
func TestProvidersOnTwoPortsShareNoCookie(t *testing.T) {
	names := map[string]bool{}
	for _, at := range []string{"https://idp.example", "https://idp.example:8443", "https://idp.example:9443"} {
		h := newHouse(t, "sqlite:"+t.TempDir()+"/idp.db", plan{provider: func(c *provider.Config) { c.Issuer = at }})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, at+"/account", nil))
		for _, c := range w.Result().Cookies() {
			if !strings.HasPrefix(c.Name, "__Host-") || names[c.Name] {
				t.Errorf("%s has a cookie %s", at, c.Name)
			}
			names[c.Name] = true
		}
	}
	if len(names) != 3 {
		t.Errorf("cookies %v", names)
	}
}

// Nobody writes a history of their own choosing, nor an error of the database.
func TestOnlyWhatWasAllowedIsTakenBack(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		phone := s.ready("alice")
		b := s.browser
		b.account("alice", phone)
		for _, id := range []string{"nobody", "\x00", "\xff", strings.Repeat("x", 10000)} {
			b.submit("revoke", "client", id)
			b.at("account", http.StatusOK)
		}
		if got := s.audit("alice", provider.EventRevoke); len(got) > 0 {
			t.Errorf("audit: %v", got)
		}
	})
}

// SE-6, PA-6: of many requests in one session, at two replicas, none outlives
// the word that ends it.
func TestAnAttackerInAHurryKeepsNoSession(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		p := newPair(t, dsn)
		phone := p.ready("alice")
		b := p.browser
		b.account("alice", phone)
		end := post(t, issuer+"/account", values("step", "end-all"))
		b.open(p.app.request("prompt", "consent"))
		b.at("consent", http.StatusOK)
		together(func(i int) int {
			tab := p.at(i, b)
			switch {
			case i == racers/2:
				return tab.once(end).status
			case i%4 == 0:
				return tab.once(tab.request("consent", "decision", "allow")).status
			}
			r, err := http.NewRequest(http.MethodGet, p.app.tab().request("prompt", "none"), nil)
			if err != nil {
				panic(err)
			}
			return tab.once(r).status
		})
		if got := p.sessions("alice"); len(got) > 0 {
			t.Errorf("%d sessions live on", len(got))
		}
	})
}
