package stepup_test

import (
	"context"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-id/sallyport/mfa/stepup"
)

var once = stepup.Demand{Scopes: []string{"purchase"}, Level: "mfa", Once: true}

func TestOneOfFiftyParallelCallsSpendsTheToken(t *testing.T) {
	a := newAuthority(t)
	g := a.guard()
	token := a.token(nil)
	var passed, refused atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			switch resp := call(g, once, token); resp.StatusCode {
			case 200:
				passed.Add(1)
			case 401:
				refused.Add(1)
				wants(t, resp, 401, "invalid_token")
			}
		})
	}
	wg.Wait()
	if passed.Load() != 1 || refused.Load() != 49 {
		t.Errorf("%d passed and %d were refused, want 1 and 49", passed.Load(), refused.Load())
	}
	wants(t, call(g, once, a.token(nil)), 200, "") // another token
}

// Anybody who has seen a token can write it differently, so that its signature
// still verifies.
func TestATokenWrittenDifferentlyIsTheSameToken(t *testing.T) {
	a := newAuthority(t)
	g := a.guard()
	token := a.token(nil)
	head, sig, _ := cutLast(token)
	raw := must(base64.RawURLEncoding.DecodeString(sig))
	s := new(big.Int).SetBytes(raw[32:])
	s.Sub(elliptic.P256().Params().N, s)
	mirrored := head + base64.RawURLEncoding.EncodeToString(append(raw[:32:32], s.FillBytes(make([]byte, 32))...))
	// 64 bytes leave four bits of the last character that mean nothing.
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(digits, token[len(token)-1])
	padded := token[:len(token)-1] + digits[last^1:][:1]

	wants(t, call(g, anyToken, mirrored), 200, "") // it does verify
	wants(t, call(g, anyToken, padded), 200, "")
	wants(t, call(g, once, token), 200, "")
	for _, same := range []string{mirrored, padded, token} {
		wants(t, call(g, once, same), 401, "invalid_token")
	}
}

func cutLast(token string) (head, sig string, ok bool) {
	i := strings.LastIndexByte(token, '.')
	return token[:i+1], token[i+1:], i > 0
}

// A call that is refused for anything else leaves the token as it was.
func TestATokenIsSpentLast(t *testing.T) {
	a := newAuthority(t)
	g := a.guard()
	token := a.token(nil)
	for _, more := range []stepup.Demand{
		{Once: true, Level: "phr"}, {Once: true, Scopes: []string{"refund"}}, {Once: true, MaxAge: time.Second, ACR: []string{"no"}},
	} {
		if got := call(g, more, token).StatusCode; got == 200 {
			t.Fatal("the demand is met")
		}
	}
	wants(t, call(g, stepup.Demand{Level: "mfa"}, token), 200, "") // and this does not spend it
	wants(t, call(g, once, token), 200, "")
	wants(t, call(g, once, token), 401, "invalid_token")
}

func TestATokenWithoutAnIDCannotBeSpent(t *testing.T) {
	a := newAuthority(t)
	g := a.guard(introspected)
	wants(t, call(g, once, a.answer("token", claims{"jti": nil})), 401, "invalid_token")
	wants(t, call(g, once, a.answer("other", nil)), 200, "")
	wants(t, call(g, once, "other"), 401, "invalid_token")
}

// A storeFunc is a store that checks what it is given.
type storeFunc func(context.Context, string, time.Time) error

func (f storeFunc) Spend(ctx context.Context, id string, expires time.Time) error {
	return f(ctx, id, expires)
}

// "Failed", and "failed, but it happened".
func TestAStoreThatFailsRefuses(t *testing.T) {
	a := newAuthority(t)
	broken := errors.New("no connection")
	for name, happened := range map[string]bool{"failed": false, "failed, but it happened": true} {
		memory := &stepup.MemoryStore{}
		failing := true
		g := a.guard(func(c *stepup.Config) {
			c.Store = storeFunc(func(ctx context.Context, id string, expires time.Time) error {
				if !failing || happened {
					if err := memory.Spend(ctx, id, expires); err != nil {
						return err
					}
				}
				if failing {
					return broken
				}
				return nil
			})
		})
		token := a.token(nil)
		wants(t, call(g, once, token), 503, "")
		if _, err := g.Check(t.Context(), []string{"Bearer " + a.token(nil)}, once); !errors.Is(err, stepup.ErrUnavailable) || !errors.Is(err, broken) {
			t.Errorf("%s: %v, want ErrUnavailable", name, err)
		}
		failing = false
		want := http.StatusOK
		if happened {
			want = http.StatusUnauthorized
		}
		if got := call(g, once, token).StatusCode; got != want {
			t.Errorf("%s, and then: %d, want %d", name, got, want)
		}
	}
}

// What is spent is remembered for as long as the token is taken, skew and all.
func TestTheStoreIsToldForHowLongAndNothingElse(t *testing.T) {
	a := newAuthority(t)
	var ids []string
	ends := time.Now().Add(5 * time.Minute)
	g := a.guard(func(c *stepup.Config) {
		c.Store = storeFunc(func(_ context.Context, id string, expires time.Time) error {
			if len(id) != 43 || expires.Unix() != ends.Unix()+5 {
				t.Errorf("Spend(%q, %v)", id, expires)
			}
			ids = append(ids, id)
			return nil
		})
	})
	c := claims{"jti": "one", "exp": ends.Unix()}
	for range 2 {
		wants(t, call(g, once, a.token(c)), 200, "")
	}
	c["jti"] = "two"
	wants(t, call(g, once, a.token(c)), 200, "")
	if ids[0] != ids[1] || ids[0] == ids[2] {
		t.Errorf("the ids are %q", ids)
	}
}

func TestATokenStaysSpentUntilNobodyTakesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t)
		store := &stepup.MemoryStore{}
		g := a.guard(func(c *stepup.Config) { c.Store = store })
		token := a.token(claims{"exp": time.Now().Unix() + 120})
		wants(t, call(g, once, token), 200, "")
		for range 124 {
			time.Sleep(time.Second)
			store.Spend(t.Context(), time.Now().String(), time.Now())
			resp := call(g, once, token)
			text := must(readAll(resp))
			if resp.StatusCode != 401 || !strings.Contains(text, "has been used") {
				t.Fatalf("after %v: %d %s", 120*time.Second, resp.StatusCode, text)
			}
		}
		time.Sleep(time.Second)
		if resp := call(g, once, token); resp.StatusCode != 401 || strings.Contains(must(readAll(resp)), "has been used") {
			t.Errorf("after its end: %d", resp.StatusCode)
		}
		time.Sleep(5 * time.Minute)
		store.Spend(t.Context(), "one", time.Now())
		if got := stepup.Kept(store); got != 1 {
			t.Errorf("%d spent tokens are remembered after all have expired, want the new one", got)
		}
	})
}
