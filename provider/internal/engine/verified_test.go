package engine

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// counting is published, and how often it was asked.
func counting(asked *int) Verifier {
	return func(ctx context.Context, kid, alg string) (crypto.PublicKey, error) {
		*asked++
		return published(ctx, kid, alg)
	}
}

func TestATokenIsVerifiedOnceAndJudgedEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, secrets...)
		token := tokens(t, e, app)["access_token"].(string)
		asked := 0
		first, err := e.Access(ctx, token, counting(&asked))
		if err != nil {
			t.Fatal(err)
		}
		if len(e.verified.young) != 1 {
			t.Fatal("it is not remembered")
		}
		again, err := e.Access(ctx, token, counting(&asked))
		if err != nil || again.ID != first.ID || asked != 2 {
			t.Fatalf("again: %+v, %v, after %d looks at the keys", again, err, asked)
		}

		// Another signature, or none, is another token.
		for _, other := range []string{token[:strings.LastIndex(token, ".")+1], token + "A", " " + token, token[:len(token)-2] + "AA"} {
			if _, err := e.Access(ctx, other, published); !errors.Is(err, ErrAccess) {
				t.Errorf("%q: %v", other, err)
			}
		}

		// The key is gone, or another is called so, or nobody can say.
		another, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		away := errors.New("the database is away")
		for _, row := range []struct {
			key  crypto.PublicKey
			err  error
			want error
		}{{nil, nil, ErrAccess}, {another.Public(), nil, ErrAccess}, {nil, away, away}} {
			now := func(context.Context, string, string) (crypto.PublicKey, error) { return row.key, row.err }
			if _, err := e.Access(ctx, token, now); !errors.Is(err, row.want) {
				t.Errorf("with %v, %v: %v", row.key, row.err, err)
			}
		}

		time.Sleep(time.Until(first.Expires) - time.Second)
		if _, err := e.Access(ctx, token, published); err != nil {
			t.Errorf("a second before its end: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := e.Access(ctx, token, published); !errors.Is(err, ErrAccess) {
			t.Errorf("at its end: %v", err)
		}
	})
}

// What was not verified is not remembered, and of what was only so many.
func TestOnlySoManyTokensAreRemembered(t *testing.T) {
	e := newEngine(t, secrets...)
	for _, junk := range []string{"", "x", "a.b.c", tokens(t, newEngine(t, secrets...), app)["id_token"].(string)} {
		if _, err := e.Access(ctx, junk, published); !errors.Is(err, ErrAccess) {
			t.Errorf("%q: %v", junk, err)
		}
	}
	if n := len(e.verified.young) + len(e.verified.old); n != 0 {
		t.Errorf("%d of what is no token are remembered", n)
	}
	var v verified
	for i := range 10 * verifiedHalf {
		v.add(strconv.Itoa(i), signed{})
		v.add("often", signed{})
	}
	if n := len(v.young) + len(v.old); n > 2*verifiedHalf {
		t.Errorf("%d are remembered, want at most %d", n, 2*verifiedHalf)
	}
}
