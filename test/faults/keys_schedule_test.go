package faults

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/sallyport-id/sallyport/test/fleet"
)

// A patient relying party fetches the keys again when they are as old as the
// server allowed (RFC 9111 section 5.2.2.1) and not before, whatever kid it meets.
type patient struct {
	site    fleet.Site
	keys    jose.JSONWebKeySet
	until   time.Time
	fetched int
}

func (p *patient) look(ctx context.Context) error {
	if time.Now().Before(p.until) {
		return nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.site.Issuer+"/jwks.json", nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: p.site.Transport}).Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	p.keys = jose.JSONWebKeySet{}
	if err := json.NewDecoder(resp.Body).Decode(&p.keys); err != nil {
		return err
	}
	_, age, _ := strings.Cut(resp.Header.Get("Cache-Control"), "max-age=")
	seconds, err := strconv.Atoi(age)
	p.until = time.Now().Add(time.Duration(seconds) * time.Second)
	p.fetched++
	return err
}

func (p *patient) verify(ctx context.Context, token string) (kid string, err error) {
	if err := p.look(ctx); err != nil {
		return "", err
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return "", err
	}
	var claims jwt.Claims
	if err := parsed.Claims(&p.keys, &claims); err != nil {
		return "", err
	}
	return parsed.Headers[0].KeyID, claims.Validate(jwt.Expected{Issuer: p.site.Issuer, Time: time.Now()})
}

// With keys.rotate at 10 s, its least, the three replicas rotate by themselves.
// Even those verify everything who look for keys only when theirs are as old as
// they may get.
func TestTheScheduleRotatesEveryTenSecondsForThePatient(t *testing.T) {
	needsPostgres(t)
	t.Parallel()
	const parties = 4
	b := balancer(t)
	h := open(t, fleet.Plan{Database: "postgres", Users: parties, Issuer: b.URL, More: "keys: {rotate: 10s}\n"})
	b.Set(start(t, h, 3)...)
	site, crowd := visit(t, h), fleet.NewCrowd(parties)
	rotations := times(2, 20)

	ctx, stop := context.WithTimeout(t.Context(), time.Duration(rotations)*20*time.Second+time.Minute)
	defer stop()
	var all sync.WaitGroup
	var mu sync.Mutex
	kids, verified, fetched := map[string]bool{}, 0, 0
	for range parties {
		all.Go(func() {
			p := &patient{site: site}
			defer func() {
				mu.Lock()
				fetched += p.fetched
				mu.Unlock()
			}()
			user, code, err := crowd.Take(ctx)
			var tokens fleet.Tokens
			if err == nil {
				tokens, err = site.Login(ctx, user, code)
			}
			for {
				if err != nil {
					t.Error(err)
					stop()
					return
				}
				for _, token := range []string{tokens.ID, tokens.Access} {
					kid, err := p.verify(t.Context(), token)
					if err != nil {
						t.Errorf("a token that was just given, with keys that may be kept for %v: %v", time.Until(p.until), err)
						stop()
						return
					}
					mu.Lock()
					kids[kid] = true
					verified++
					enough := len(kids) > rotations
					mu.Unlock()
					if enough {
						stop()
					}
				}
				select {
				case <-ctx.Done():
					return
				case <-time.After(40 * time.Millisecond):
				}
				tokens, err = site.Refresh(t.Context(), tokens.Refresh)
			}
		})
	}
	all.Wait()
	if len(kids) <= rotations {
		t.Errorf("%d keys have signed, want %d", len(kids), rotations+1)
	}
	report(t, "rotations by schedule", len(kids)-1, "tokens verified", verified, "relying parties", parties, "times they fetched keys", fetched)
}
