package test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
	"github.com/sallyport-id/sallyport/test/pg"
)

const issuer = "https://idp.example"

// A house is a provider with everything that belongs to it, in this process.
type house struct {
	t       testing.TB
	db      *storage.DB
	people  *people
	factors *mfa.Factors
	*provider.Provider

	mu      sync.Mutex
	notices []provider.Notice
	log     bytes.Buffer
}

// onEach runs story once on each database, side by side. It is the last thing
// that a test does: the two begin when the test itself is over.
func onEach(t *testing.T, story func(t *testing.T, dsn string)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		story(t, "sqlite:"+filepath.Join(t.TempDir(), "idp.db"))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		story(t, pg.DSN(t))
	})
}

// A plan changes what a house is made of.
type plan struct {
	provider func(*provider.Config)
	mfa      func(*mfa.Config)
	keys     provider.Keys
	store    func(*storage.DB) (provider.Store, mfa.Store)
	people   *people
}

// newHouse opens a house over the database at dsn. Several over one database
// are replicas.
func newHouse(t testing.TB, dsn string, plans ...plan) *house {
	t.Helper()
	ctx := context.Background()
	h := &house{t: t, people: newPeople()}
	var err error
	if h.db, err = storage.Open(ctx, storage.Config{DSN: dsn, Migrate: true, Trace: recorder.Trace}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.db.Close() })

	var store provider.Store = h.db
	var factorStore mfa.Store = h.db
	keys := provider.Keys(testKeys)
	for _, p := range plans {
		if p.store != nil {
			store, factorStore = p.store(h.db)
		}
		if p.keys != nil {
			keys = p.keys
		}
		if p.people != nil {
			h.people = p.people
		}
	}
	sealer, err := mfa.NewSealer(mfa.Key{Secret: bytes.Repeat([]byte("seal"), 8)})
	if err != nil {
		t.Fatal(err)
	}
	mc := mfa.Config{Store: factorStore, Sealer: sealer, Issuer: "Test"}
	for _, p := range plans {
		if p.mfa != nil {
			p.mfa(&mc)
		}
	}
	if h.factors, err = mfa.New(mc); err != nil {
		t.Fatal(err)
	}
	attempts, err := mfa.NewAttempts(factorStore, mfa.Budget{})
	if err != nil {
		t.Fatal(err)
	}
	pc := provider.Config{
		Issuer: issuer, Directory: h.people, Store: store, Factor: h.factors, Attempts: attempts,
		Keys: keys, Secrets: [][]byte{bytes.Repeat([]byte("mac!"), 8)}, SubjectKey: bytes.Repeat([]byte("veil"), 8),
		Logger: slog.New(slog.NewJSONHandler(&lockedWriter{h: h}, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Notify: func(_ context.Context, n provider.Notice) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.notices = append(h.notices, n)
		},
	}
	for _, p := range plans {
		if p.provider != nil {
			p.provider(&pc)
		}
	}
	if h.Provider, err = provider.New(pc); err != nil {
		t.Fatal(err)
	}
	return h
}

type lockedWriter struct{ h *house }

func (w *lockedWriter) Write(b []byte) (int, error) {
	w.h.mu.Lock()
	defer w.h.mu.Unlock()
	return w.h.log.Write(b)
}

// told returns the kinds of the notices that were sent.
func (h *house) told() (kinds []provider.NoticeKind) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.notices {
		kinds = append(kinds, n.Kind)
	}
	return kinds
}

// said returns what was logged since it was last asked.
func (h *house) said() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.log.Reset()
	return h.log.String()
}

// register stores a client.
func (h *house) register(c provider.Client) {
	h.t.Helper()
	if len(c.GrantTypes) == 0 {
		c.GrantTypes = []string{"authorization_code", "refresh_token"}
	}
	if len(c.Scopes) == 0 {
		c.Scopes = []string{"openid", "profile", "email", "address", "phone", "groups", "offline_access"}
	}
	c.Created = now()
	if err := h.db.SaveClient(context.Background(), c); err != nil {
		h.t.Fatal(err)
	}
}

func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

func hash(s string) provider.Hash { return sha256.Sum256([]byte(s)) }

// people is a directory in memory that checks its caller.
type people struct {
	mu    sync.Mutex
	users map[string]provider.User // by subject
	words map[string]string        // passwords by subject
	asked int                      // how often a password was looked at
}

func newPeople() *people {
	p := &people{users: map[string]provider.User{}, words: map[string]string{}}
	p.add("alice", "correct horse battery")
	p.add("bob", "staple staple staple")
	return p
}

func (p *people) add(name, password string) {
	p.users["sub-"+name] = provider.User{
		Subject: "sub-" + name, Username: name, Epoch: "1",
		Claims: provider.Claims{
			Name: strings.ToUpper(name[:1]) + name[1:] + " Example", Email: name + "@example.org",
			EmailVerified: true, Groups: []string{"staff"}, UpdatedAt: time.Unix(1700000000, 0),
		},
	}
	p.words["sub-"+name] = password
}

// change changes a user.
func (p *people) change(name string, fn func(*provider.User)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.users["sub-"+name]
	fn(&u)
	p.users["sub-"+name] = u
}

// setPassword gives a user another password, and with it a new epoch.
func (p *people) setPassword(name, password string) {
	p.change(name, func(u *provider.User) { u.Epoch += "+" })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.words["sub-"+name] = password
}

func (p *people) Authenticate(_ context.Context, name, password string) (provider.User, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	u, ok := p.users["sub-"+strings.ToLower(name)]
	switch {
	case !ok:
		return provider.User{}, provider.ErrNoUser
	case u.Disabled || p.words[u.Subject] != password:
		return provider.User{Subject: u.Subject}, provider.ErrNoUser
	}
	return u, nil
}

func (p *people) User(_ context.Context, subject string) (provider.User, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, ok := p.users[subject]
	if !ok {
		return provider.User{}, provider.ErrNoUser
	}
	return u, nil
}

// staticKeys are two keys that never change.
type staticKeys []provider.SigningKey

var testKeys = func() staticKeys {
	ec, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rs, err2 := rsa.GenerateKey(rand.Reader, 2048)
	if err := errors.Join(err1, err2); err != nil {
		panic(err)
	}
	return staticKeys{{ID: kid(ec.Public()), Algorithm: "ES256", Signer: ec}, {ID: kid(rs.Public()), Algorithm: "RS256", Signer: rs}}
}()

func kid(key crypto.PublicKey) string {
	sum, err := (&jose.JSONWebKey{Key: key}).Thumbprint(crypto.SHA256)
	if err != nil {
		panic(err)
	}
	return hex.EncodeToString(sum)
}

func (k staticKeys) Signing(_ context.Context, alg string) (provider.SigningKey, error) {
	i := slices.IndexFunc(k, func(k provider.SigningKey) bool { return k.Algorithm == alg })
	if i < 0 {
		return provider.SigningKey{}, errors.New("no key for " + alg)
	}
	return k[i], nil
}

func (k staticKeys) Published(context.Context) (all []provider.PublicKey, err error) {
	for _, k := range k {
		all = append(all, provider.PublicKey{ID: k.ID, Algorithm: k.Algorithm, Key: k.Signer.Public()})
	}
	return all, nil
}

// hosts is the network of a test: it takes requests to handlers by host.
type hosts map[string]http.Handler
