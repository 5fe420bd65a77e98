package provider_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
	"github.com/sallyport-id/sallyport/storage"
	"github.com/sallyport-id/sallyport/storage/storagetest"
)

// oneKey signs everything.
type oneKey struct{ *ecdsa.PrivateKey }

var signer = func() oneKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return oneKey{k}
}()

func (k oneKey) Signing(context.Context, string) (provider.SigningKey, error) {
	return provider.SigningKey{ID: "k", Algorithm: "ES256", Signer: k.PrivateKey}, nil
}

func (k oneKey) Published(context.Context) ([]provider.PublicKey, error) {
	return []provider.PublicKey{{ID: "k", Algorithm: "ES256", Key: k.Public()}}, nil
}

// A told is a logout token that arrived at a client.
type told struct {
	client, jti, sub, sid string
	iat                   int64
	at                    time.Time
}

// An outside is where clients are: it answers for each by its host.
type outside struct {
	mu     sync.Mutex
	answer map[string]func(n int) (int, error) // by host; the number of the request, from 1; none: 200
	heard  []told
	broken []string
	asked  map[string]int
	takes  time.Duration
}

// RoundTrip takes a logout token.
func (o *outside) RoundTrip(r *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	v, err := url.ParseQuery(string(b))
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || len(v) != 1 {
		o.broken = append(o.broken, r.Method+" "+string(b))
	}
	part := strings.Split(v.Get("logout_token"), ".")
	var c struct {
		JTI, Sub, SID, Aud string
		IAT                int64
	}
	text, err := base64.RawURLEncoding.DecodeString(part[len(part)/2])
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		o.broken = append(o.broken, string(b))
	}
	o.heard = append(o.heard, told{c.Aud, c.JTI, c.Sub, c.SID, c.IAT, time.Now()})
	if o.asked == nil {
		o.asked = map[string]int{}
	}
	o.asked[r.URL.Host]++
	n, answer := o.asked[r.URL.Host], o.answer[r.URL.Host]
	o.mu.Unlock()
	time.Sleep(o.takes)
	status := http.StatusOK
	if answer != nil {
		if status, err = answer(n); err != nil {
			return nil, err
		}
	}
	resp := &http.Response{StatusCode: status, Header: http.Header{"Location": {"https://elsewhere.example/"}}, Body: io.NopCloser(strings.NewReader("text")), Request: r}
	return resp, nil
}

// all returns what was heard so far.
func (o *outside) all() []told {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.heard)
}

// An office is a provider that has something to tell.
type office struct {
	*provider.Provider
	t       *testing.T
	db      *storage.DB
	outside *outside
	log     *bytes.Buffer
}

func newOffice(t *testing.T, file string, changes ...func(*provider.Config, *storage.DB)) *office {
	t.Helper()
	db, err := storage.Open(t.Context(), storage.Config{DSN: file, Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	o := &office{t: t, db: db, outside: &outside{}, log: &bytes.Buffer{}}
	sealer, err1 := mfa.NewSealer(mfa.Key{Secret: bytes.Repeat([]byte("seal"), 8)})
	factors, err2 := mfa.New(mfa.Config{Store: db, Sealer: sealer, Issuer: "Test"})
	attempts, err3 := mfa.NewAttempts(db, mfa.Budget{})
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	c := provider.Config{
		Issuer: "https://idp.example", Directory: team{}, Store: db, Factor: factors, Attempts: attempts,
		Keys: signer, Secrets: [][]byte{bytes.Repeat([]byte("mac!"), 8)}, Logger: slog.New(slog.NewTextHandler(o.log, nil)),
	}
	for _, change := range changes {
		change(&c, db)
	}
	if o.Provider, err = provider.New(c); err != nil {
		t.Fatal(err)
	}
	return o
}

// newFakeOffice is an office whose clients are here.
func newFakeOffice(t *testing.T, file string, changes ...func(*provider.Config, *storage.DB)) *office {
	t.Helper()
	o := newOffice(t, file, changes...)
	o.SendThrough(o.outside)
	return o
}

func file(t *testing.T) string { return filepath.Join(t.TempDir(), "idp.db") }

// client registers one that wants to be told, at a host of its own.
func (o *office) client(id string) {
	o.t.Helper()
	err := o.db.SaveClient(context.Background(), provider.Client{
		ID: id, Type: provider.SPA, Algorithm: "ES256", BackchannelLogoutURI: "https://" + id + ".example/out?x=1"})
	if err != nil {
		o.t.Fatal(err)
	}
}

// session stores one in which the clients were given something. Its cookie is
// its ID.
func (o *office) session(id string, clients ...string) {
	o.t.Helper()
	ctx := context.Background()
	now := time.Now().UTC()
	login := authflow.Login{Subject: "sub-of-" + id}
	err := o.db.SaveSession(ctx, provider.Session{ID: id, Cookie: sha256.Sum256([]byte(id)), Login: login, Created: now, Used: now, Expires: now.Add(time.Hour)})
	for _, c := range clients {
		err = errors.Join(err, o.db.CreateGrant(ctx, provider.Grant{
			ID: id + c, Subject: login.Subject, ClientID: c, SessionID: id, Login: login, Expires: now.Add(time.Hour)}))
	}
	if err != nil {
		o.t.Fatal(err)
	}
}

// end ends a session, as by a command: the provider does not know.
func (o *office) end(id string) {
	o.t.Helper()
	if err := o.db.EndSession(context.Background(), "sub-of-"+id, id); err != nil {
		o.t.Fatal(err)
	}
}

// left returns what is still to be told.
func (o *office) left() []provider.Logout {
	o.t.Helper()
	all, err := o.db.Logouts(context.Background())
	if err != nil {
		o.t.Fatal(err)
	}
	return all
}

// open runs Deliver for as long as fn takes.
func (o *office) open(fn func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { o.Deliver(ctx) })
	fn()
	cancel()
	wg.Wait()
}

// OA-12: what a client does not take is told again, the same and not the same,
// and not for ever.
func TestALogoutIsTriedEightTimesInAboutAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newFakeOffice(t, file(t))
		o.client("app")
		o.session("s1", "app")
		o.outside.answer = map[string]func(int) (int, error){"app.example": func(int) (int, error) { return 503, nil }}
		began := time.Now()
		o.end("s1")
		o.open(func() { time.Sleep(3 * time.Hour) })
		heard := o.outside.all()
		if len(heard) != 8 || len(o.outside.broken) > 0 {
			t.Fatalf("tried %d times, want 8; broken: %v", len(heard), o.outside.broken)
		}
		for i, l := range heard {
			if l.client != "app" || l.jti != heard[0].jti || l.sub != "sub-of-s1" || l.sid != "s1" || l.iat != l.at.Unix() {
				t.Errorf("try %d: %+v", i, l)
			}
			if pause := l.at.Sub(heard[max(i-1, 0)].at); i > 0 && (pause < 10*time.Second || pause > 31*time.Minute) {
				t.Errorf("try %d came after %v", i, pause)
			}
		}
		if all := heard[7].at.Sub(began); all < 50*time.Minute || all > 70*time.Minute {
			t.Errorf("the last try was after %v", all)
		}
		left := o.left()
		if len(left) != 1 || left[0].Tries != 8 || left[0].GivenUp.IsZero() || left[0].Problem != "it answered 503" {
			t.Errorf("left is %+v", left)
		}
		events, err := o.db.Events(t.Context(), storage.EventFilter{Subject: "sub-of-s1", Kind: provider.EventUntold})
		if err != nil || len(events) != 1 || events[0].Outcome != provider.Failure || events[0].ClientID != "app" {
			t.Errorf("audit: %+v, %v", events, err)
		}
		if got := o.log.String(); strings.Count(got, "logout not delivered yet") != 7 || strings.Count(got, "logout given up") != 1 || strings.Contains(got, "eyJ") {
			t.Errorf("logged:\n%s", got)
		}
		// An operator has it tried again, and it is swept at last.
		o.outside.answer = nil
		if n, err := o.db.RetryLogouts(t.Context(), "", time.Now()); n != 1 || err != nil {
			t.Errorf("%d to be tried again, %v", n, err)
		}
		o.open(func() { time.Sleep(time.Minute) })
		if heard := o.outside.all(); len(heard) != 9 || heard[8].jti != heard[0].jti || len(o.left()) > 0 {
			t.Errorf("told %d times, left is %+v", len(heard), o.left())
		}
	})
}

// OpenID Connect Back-Channel Logout section 2.8
func TestOnlyATakenLogoutIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newFakeOffice(t, file(t))
		o.client("app")
		for i, is := range []struct {
			status  int
			err     error
			problem string // empty: delivered
		}{
			{200, nil, ""}, {204, nil, ""},
			{201, nil, "it answered 201"}, {202, nil, "it answered 202"}, {302, nil, "it answered 302"}, {307, nil, "it answered 307"},
			{400, nil, "it answered 400"}, {404, nil, "it answered 404"}, {429, nil, "it answered 429"}, {500, nil, "it answered 500"}, {501, nil, "it answered 501"},
			{0, errors.New("no way there"), "no way there"}, {0, errors.New(strings.Repeat("é", 1000)), strings.Repeat("é", 128)},
		} {
			id := fmt.Sprint("s", i)
			o.session(id, "app")
			o.end(id)
			before := len(o.outside.all())
			o.outside.answer = map[string]func(int) (int, error){"app.example": func(int) (int, error) { return is.status, is.err }}
			if n, err := o.DeliverOnce(t.Context()); n != 1 || err != nil {
				t.Errorf("%d: tried %d, %v", is.status, n, err)
			}
			if n := len(o.outside.all()) - before; n != 1 { // no redirect was followed
				t.Errorf("%d: %d requests, want 1", is.status, n)
			}
			left := o.left()
			if is.problem == "" && len(left) > 0 {
				t.Errorf("%d: left is %+v", is.status, left)
			}
			if is.problem != "" && (len(left) != 1 || left[0].Problem != is.problem || left[0].Tries != 1 || time.Until(left[0].Due) != 10*time.Second) {
				t.Errorf("%d: left is %+v, want problem %q", is.status, left, is.problem)
			}
			for _, l := range left {
				if err := o.db.RemoveLogout(t.Context(), l.ID); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// What a provider ends itself it tells at once; what others end, soon.
func TestALogoutIsToldSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newFakeOffice(t, file(t))
		o.client("app")
		for _, id := range []string{"s1", "s2"} {
			o.session(id, "app")
		}
		o.open(func() {
			time.Sleep(12 * time.Second)
			r := httptest.NewRequest(http.MethodPost, "https://idp.example/logout/confirm", strings.NewReader("step=sign-out&session=s1"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			r.Header.Set("Cookie", "__Host-sallyport_session=s1")
			w := httptest.NewRecorder()
			o.ServeHTTP(w, r)
			if w.Code != http.StatusOK {
				t.Fatalf("status %d\n%s", w.Code, w.Body)
			}
			synctest.Wait() // and no time passes
			if got := o.outside.all(); len(got) != 1 || got[0].sid != "s1" {
				t.Errorf("told at once: %+v", got)
			}
			o.end("s2")
			time.Sleep(6 * time.Second)
			if got := o.outside.all(); len(got) != 2 || got[1].sid != "s2" {
				t.Errorf("told soon: %+v", got)
			}
		})
	})
}

// Two replicas over one database: each logout is told, and by one of them.
func TestReplicasDoNotTellWhatAnotherTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name := file(t)
		a, b := newFakeOffice(t, name), newFakeOffice(t, name)
		b.SendThrough(a.outside)
		a.outside.takes = time.Second
		want := 0
		for i := range 30 {
			id := fmt.Sprint("s", i)
			a.client("app" + fmt.Sprint(i%7))
			a.session(id, "app"+fmt.Sprint(i%7))
			a.end(id)
			want++
		}
		a.open(func() { b.open(func() { time.Sleep(time.Minute) }) })
		times := map[string]int{}
		for _, l := range a.outside.all() {
			times[l.jti]++
		}
		for jti, n := range times {
			if n != 1 {
				t.Errorf("%s was told %d times", jti, n)
			}
		}
		if len(times) != want || len(a.left()) > 0 {
			t.Errorf("%d told, want %d; left is %+v", len(times), want, a.left())
		}
	})
}

// A replica that died while it told somebody is stood in for.
func TestWhatAReplicaClaimedAndDidNotTellIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newFakeOffice(t, file(t))
		o.client("app")
		o.session("s1", "app")
		o.end("s1")
		now := time.Now()
		if all, err := o.db.ClaimLogouts(t.Context(), now, now.Add(provider.ClaimFor), 10); len(all) != 1 || err != nil {
			t.Fatalf("claimed %v, %v", all, err)
		}
		o.open(func() {
			time.Sleep(provider.ClaimFor - time.Second)
			if got := o.outside.all(); len(got) > 0 {
				t.Errorf("told while another had it: %+v", got)
			}
			time.Sleep(10 * time.Second)
		})
		if got := o.outside.all(); len(got) != 1 || len(o.left()) > 0 {
			t.Errorf("told %+v, left is %+v", got, o.left())
		}
	})
}

// A client that is down costs itself alone: others are told at once, and it is
// not asked for each of what it has missed.
func TestAClientThatIsDownHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newFakeOffice(t, file(t))
		o.client("down")
		o.client("app")
		o.outside.answer = map[string]func(int) (int, error){"down.example": func(int) (int, error) {
			time.Sleep(3 * time.Second)
			return 0, errors.New("timeout")
		}}
		const many = 3 * provider.AtOnce / 2
		for i := range many {
			id := fmt.Sprint("d", i)
			o.session(id, "down")
			o.end(id)
		}
		time.Sleep(time.Microsecond)
		o.session("s1", "app")
		o.end("s1")
		o.open(func() { time.Sleep(9 * time.Second) })
		asked := 0
		var waited time.Duration
		for _, l := range o.outside.all() {
			if l.client == "down" {
				asked++
			} else {
				waited = time.Until(l.at) * -1
			}
		}
		if asked != 2 || waited < 3*time.Second {
			t.Errorf("the one that is down was asked %d times, want 2; the other waited until %v ago", asked, waited)
		}
		if left := o.left(); len(left) != many || left[0].Tries != 1 || left[many-1].Tries != 1 {
			t.Errorf("%d are left", len(left))
		}
	})
}

// A client that takes its time with each of many is told all of them, and never
// one that another replica may have by then.
func TestAClaimIsNotOverdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name := file(t)
		a, b := newFakeOffice(t, name), newFakeOffice(t, name)
		b.SendThrough(a.outside)
		a.outside.takes = 2 * time.Second
		a.client("app")
		const many = 70
		for i := range many {
			a.session(fmt.Sprint("s", i), "app")
			a.end(fmt.Sprint("s", i))
		}
		a.open(func() { b.open(func() { time.Sleep(10 * time.Minute) }) })
		if got := a.outside.all(); len(got) != many || len(a.left()) > 0 {
			t.Errorf("told %d times, want %d; %d are left", len(got), many, len(a.left()))
		}
	})
}

// A client that has gone, or does not want to hear of logouts any more, is not
// told.
func TestAClientThatChangesItsMindIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newFakeOffice(t, file(t))
		o.client("app")
		o.session("s1", "app")
		o.end("s1")
		if err := o.db.SaveClient(t.Context(), provider.Client{ID: "app", Type: provider.SPA}); err != nil {
			t.Fatal(err)
		}
		o.open(func() { time.Sleep(time.Minute) })
		if got := o.outside.all(); len(got) > 0 || len(o.left()) > 0 {
			t.Errorf("told %+v, left is %+v", got, o.left())
		}
	})
}

// At its end a replica finishes what it has begun, and gives back the rest.
func TestDeliverEndsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newFakeOffice(t, file(t))
		o.client("app")
		o.outside.takes = 2 * time.Second
		for i := range 5 {
			o.session(fmt.Sprint("s", i), "app")
			o.end(fmt.Sprint("s", i))
		}
		began := time.Now()
		o.open(func() { time.Sleep(time.Second) })
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("it ended after %v", took)
		}
		if got := o.outside.all(); len(got) != 1 {
			t.Errorf("told %+v", got)
		}
		left := o.left()
		for _, l := range left {
			if l.Tries != 0 || l.Due.After(time.Now()) {
				t.Errorf("not given back: %+v", l)
			}
		}
		if len(left) != 4 {
			t.Errorf("%d are left, want 4", len(left))
		}
	})
}

// PA-12: whatever call fails, and whether or not it happened, the client hears
// of the logout, and nothing is left of it.
func TestALogoutIsToldWhateverCallFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		try := func(fault storagetest.Fault) ([]string, int, error) {
			var faulty *storagetest.FaultyStore
			o := newFakeOffice(t, file(t), func(c *provider.Config, db *storage.DB) {
				faulty = storagetest.Faulty(db, fault)
				c.Store = faulty
			})
			o.client("app")
			o.session("s1", "app")
			o.end("s1")
			// It fails once, so that a try is stored, too.
			o.outside.answer = map[string]func(int) (int, error){"app.example": func(n int) (int, error) { return map[bool]int{true: 500, false: 200}[n == 1], nil }}
			o.open(func() { time.Sleep(10 * time.Minute) })
			if left := o.left(); len(left) > 0 {
				return faulty.Calls(), 0, fmt.Errorf("left is %+v", left)
			}
			return faulty.Calls(), len(o.outside.all()), nil
		}
		calls, n, err := try(storagetest.Fault{})
		if n != 2 || err != nil {
			t.Fatalf("told %d times, %v", n, err)
		}
		// All after the last write is looking again.
		last := slices.Index(calls, "RemoveLogout")
		for i, name := range calls[:last+1] {
			for _, after := range []bool{false, true} {
				_, n, err := try(storagetest.Fault{Call: i + 1, After: after})
				if n < 2 || n > 3 || err != nil {
					t.Errorf("%s, after %t: told %d times, %v", name, after, n, err)
				}
			}
		}
	})
}

// OA-10: who registers a client cannot have this server send requests to what
// only it can reach.
func TestAClientIsNotToldInANetworkOfOurs(t *testing.T) {
	hits := make(chan string, 10)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { hits <- r.PostFormValue("logout_token") }))
	t.Cleanup(s.Close)
	for what, is := range map[string]struct {
		change func(*provider.Config)
		told   bool
	}{
		"an issuer of the world":      {func(*provider.Config) {}, false},
		"a network beside":            {func(c *provider.Config) { c.InsecureNetworks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }, false},
		"a network that was allowed":  {func(c *provider.Config) { c.InsecureNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }, true},
		"an issuer of this machine":   {func(c *provider.Config) { c.Issuer = "http://127.0.0.1:7" }, true},
		"an issuer on this host, TLS": {func(c *provider.Config) { c.Issuer = "https://127.0.0.1:7" }, false},
	} {
		o := newOffice(t, file(t), func(c *provider.Config, _ *storage.DB) { is.change(c) })
		c := provider.Client{ID: "app", Type: provider.SPA, Algorithm: "ES256", BackchannelLogoutURI: s.URL}
		if err := o.db.SaveClient(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		o.session("s1", "app")
		o.end("s1")
		if _, err := o.DeliverOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		left := o.left()
		if is.told != (len(left) == 0) || is.told != (len(hits) == 1) {
			t.Errorf("%s: %d requests, left is %+v", what, len(hits), left)
		}
		if !is.told && !strings.Contains(left[0].Problem, "not a permitted destination") {
			t.Errorf("%s: the problem is %q", what, left[0].Problem)
		}
		for len(hits) > 0 {
			if token := <-hits; strings.Count(token, ".") != 2 {
				t.Errorf("%s: told %q", what, token)
			}
		}
	}
}
