package faults

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/sallyport-id/sallyport/test/fleet"
)

// A relying party keeps the keys that it has fetched, and fetches them again
// only for a key that it does not know.
type relying struct {
	site fleet.Site

	mu      sync.Mutex
	keys    jose.JSONWebKeySet
	fetched int
}

func (r *relying) key(ctx context.Context, id string) (*jose.JSONWebKey, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if found := r.keys.Key(id); len(found) == 1 {
		return &found[0], nil
	}
	body, err := r.site.Call(ctx, "", "/jwks.json", nil, "")
	if err != nil {
		return nil, err
	}
	r.fetched++
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(body, &keys); err != nil {
		return nil, err
	}
	r.keys = keys
	found := r.keys.Key(id)
	if len(found) != 1 {
		return nil, fmt.Errorf("there are %d keys %q among %d", len(found), id, len(r.keys.Keys))
	}
	return &found[0], nil
}

// verify checks a token as RFC 7519 section 7.2 says.
func (r *relying) verify(ctx context.Context, token string) error {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
	if err != nil {
		return err
	}
	key, err := r.key(ctx, parsed.Headers[0].KeyID)
	if err != nil {
		return err
	}
	var claims jwt.Claims
	if err := parsed.Claims(key, &claims); err != nil {
		return fmt.Errorf("by key %s: %w", key.KeyID, err)
	}
	return claims.Validate(jwt.Expected{Issuer: r.site.Issuer, Time: time.Now()})
}

// Signing keys are rotated every 10 s while people sign in over three replicas,
// and nobody fails to verify what they get: neither who has kept the keys since
// the beginning, nor who comes new and looks at what is an hour old.
func TestKeysRotateEveryTenSeconds(t *testing.T) {
	needsPostgres(t)
	t.Parallel()
	b := balancer(t)
	users := times(200, 3000)
	h := open(t, fleet.Plan{Database: "postgres", Users: users, Issuer: b.URL})
	b.Set(start(t, h, 3)...)
	site := visit(t, h)
	crowd := fleet.NewCrowd(users)

	parties := make([]*relying, 4)
	for i := range parties {
		parties[i] = &relying{site: site}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var all sync.WaitGroup
	var mu sync.Mutex
	var kept []string // one of each key at least
	kids := map[string]int{}
	verified := 0
	look := func(p *relying, token string) {
		if err := p.verify(t.Context(), token); err != nil {
			t.Errorf("a token that was just given: %v", err)
		}
		head, _ := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
		mu.Lock()
		defer mu.Unlock()
		verified++
		id := ""
		if head != nil {
			id = head.Headers[0].KeyID
		}
		if kids[id]++; kids[id] <= 3 {
			kept = append(kept, token)
		}
	}
	for _, p := range parties {
		all.Go(func() {
			for ctx.Err() == nil {
				user, code, err := crowd.Take(ctx)
				if err != nil {
					return
				}
				tokens, err := site.Login(t.Context(), user, code)
				for range 20 {
					if err != nil {
						t.Error(err)
						return
					}
					look(p, tokens.Access)
					look(p, tokens.ID)
					select {
					case <-ctx.Done():
						return
					case <-time.After(20 * time.Millisecond):
					}
					tokens, err = site.Refresh(t.Context(), tokens.Refresh)
				}
			}
		})
	}

	const pace = 10 * time.Second
	rotations := times(2, 30)
	due := time.Now().Add(pace)
	for range rotations {
		select {
		case <-time.After(time.Until(due)):
		case <-t.Context().Done():
		}
		due = due.Add(pace)
		if out, err := h.Run(t.Context(), "keys", "rotate"); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		mu.Lock()
		so := append([]string(nil), kept...)
		mu.Unlock()
		new := &relying{site: site}
		for _, token := range so {
			if err := new.verify(t.Context(), token); err != nil {
				t.Errorf("a token of before: %v", err)
			}
		}
		if t.Failed() {
			break
		}
	}
	// The last one signs, too.
	limit := time.After(time.Minute)
	for enough := false; !enough && !t.Failed(); {
		mu.Lock()
		enough = len(kids) > rotations
		mu.Unlock()
		select {
		case <-limit:
			t.Fatalf("%d keys have signed after %d rotations", len(kids), rotations)
		case <-time.After(10 * time.Millisecond):
		}
	}
	stop()
	all.Wait()
	fetched := 0
	for _, p := range parties {
		fetched += p.fetched
	}
	if fetched > len(parties)*(rotations+1) {
		t.Errorf("%d relying parties fetched the keys %d times for %d rotations: they are told of a key ahead", len(parties), fetched, rotations)
	}
	report(t, "rotations", rotations, "keys that signed", len(kids), "tokens verified", verified, "relying parties", len(parties), "times they fetched keys", fetched)
}

// The sealing key and the secret of the tokens are replaced, twice over the three
// replicas: first all learn the new ones, then all use them, and then the old
// ones go. Nobody who signs in, or refreshes, notices.
func TestSecretsAreReplacedUnderLoad(t *testing.T) {
	needsPostgres(t)
	t.Parallel()
	b := balancer(t)
	users := times(200, 2000)
	h := open(t, fleet.Plan{Database: "postgres", Users: users, Issuer: b.URL})
	replicas := start(t, h, 3)
	b.Set(replicas...)
	l := newLoad(t, visit(t, h), users)
	l.more("the first families", enough)

	secret := func() string {
		var b [32]byte
		rand.Read(b[:])
		return base64.StdEncoding.EncodeToString(b[:])
	}
	change := func(old, new string) func(string) string {
		return func(c string) string {
			if strings.Count(c, old) != 1 {
				t.Errorf("not once in the configuration: %s", old)
			}
			return strings.Replace(c, old, new, 1)
		}
	}
	restarts := 0
	adopt := func(old, new string) {
		t.Helper()
		if err := h.Change(change(old, new)); err != nil {
			t.Fatal(err)
		}
		roll(t, b, replicas, func(int) { restarts++ })
	}
	replacements := times(1, 8)
	for i := range replacements {
		oldSeal, oldTokens := h.Secrets()
		newSeal := fmt.Sprintf("{id: new%d, key: %s}", i, secret())
		newTokens := fmt.Sprintf("{secret: %s}", secret())
		list := func(seal, tokens string) string { return "sealing: [" + seal + "], tokens: [" + tokens + "]" }
		only := list(oldSeal, oldTokens)
		known := list(oldSeal+", "+newSeal, oldTokens+", "+newTokens)
		used := list(newSeal+", "+oldSeal, newTokens+", "+oldTokens)
		adopt(only, known)
		l.more("some to sign in while all know the new secrets", enough)
		adopt(known, used)
		l.more("some to sign in with the new secrets", enough)
		if out, err := h.Run(t.Context(), "keys", "reseal"); err != nil || !strings.Contains(out, "Sealed anew") {
			t.Fatalf("%v: %s", err, out)
		}
		l.renew() // as all do in the lifetime of a refresh token
		adopt(used, list(newSeal, newTokens))
		l.more("some to sign in without the old secrets", enough)
	}
	l.Stop()
	done, away := l.count()
	report(t, "secrets replaced", replacements, "restarts", restarts, "sign-ins", done["code"], "refreshes", done["refresh"])
	if away[""] > 0 {
		t.Errorf("%d were told to come again", away[""])
	}
	l.audit()
}
