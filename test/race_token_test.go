package test

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

// racer is the client of these races, whose tokens cost little to make.
var racer = provider.Client{ID: "racer", Type: provider.SPA, RedirectURIs: []string{appURL}, FirstParty: true, OpaqueTokens: true, Algorithm: "ES256"}

// newTrack is two replicas with a grant to race for, without a sign-in: what is
// raced for is made anew each round.
func newTrack(t *testing.T, dsn string, plans ...plan) (*pair, provider.Grant) {
	t.Helper()
	p := newPair(t, dsn, plans...)
	p.register(racer)
	at := now()
	status, err := p.factors.Status(t.Context(), "sub-alice", "")
	if err != nil {
		t.Fatal(err)
	}
	return p, provider.Grant{
		Subject: "sub-alice", ClientID: racer.ID, SessionID: "session", Scopes: []string{"openid", "offline_access"},
		Login: authflow.Login{
			Subject: "sub-alice", Epoch: "1/" + status.FactorEpoch,
			Proofs: authflow.Proofs{authflow.Password: at, authflow.OTP: at},
		},
		ACR: "mfa", Requested: at, Created: at, CodeExpires: at.Add(10 * time.Minute), RedirectURI: appURL,
		Challenge: challengeOf(verifier), Expires: at.Add(time.Hour), Ends: at.Add(time.Hour),
	}
}

// coded stores g anew, and returns a code for it.
func (p *pair) coded(g provider.Grant) (id, code string) {
	p.t.Helper()
	g.ID = rand.Text()
	secret := rand.Text()
	g.Code = hash(secret)
	if err := p.db.CreateGrant(context.Background(), g); err != nil {
		p.t.Fatal(err)
	}
	return g.ID, g.ID + "." + secret
}

// asked sends v to the token endpoint of both replicas, many times at once.
func (p *pair) asked(v url.Values) []reply {
	v = with(v, "client_id", racer.ID)
	return together(func(i int) reply {
		if i%2 == 0 {
			return ask(p.t, p.house, send(p.t, "/token", v))
		}
		return ask(p.t, p.second, send(p.t, "/token", v))
	})
}

// spoken counts what was answered.
func spoken(all []reply) map[string]int {
	n := map[string]int{}
	for _, a := range all {
		n[a.says()]++
	}
	return n
}

// one checks that one of all has won and the others were told so.
func one(t *testing.T, round int, all []reply) (winner reply) {
	t.Helper()
	if n := spoken(all); n["200"] != 1 || n["400 invalid_grant"] != racers-1 {
		t.Fatalf("round %d: got %v", round, n)
	}
	for _, a := range all {
		if a.status == http.StatusOK {
			winner = a
		}
	}
	return winner
}

// grant returns the grant as it is stored, by the other replica.
func (p *pair) grant(id string) provider.Grant {
	p.t.Helper()
	g, err := p.second.db.Grant(context.Background(), id)
	if err != nil {
		p.t.Fatal(err)
	}
	return g
}

// OA-5: fifty at once, over two replicas, and each time one wins. What it won
// is over at once, because someone else has the code.
func TestOfEachCodeOneRedemptionWins(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		p, g := newTrack(t, dsn)
		for round := range rounds {
			id, code := p.coded(g)
			winner := one(t, round, p.asked(exchange(code)))
			if got := p.grant(id); got.CodeSpent.IsZero() || got.Generation != 1 || got.Revoked.IsZero() {
				t.Fatalf("round %d: the grant became %+v", round, got)
			}
			if round%20 != 0 {
				continue
			}
			if a := (&stage{house: p.second}).userinfo(winner.text(t, "access_token")); a.says() != "401 invalid_token" {
				t.Errorf("round %d: userinfo answers %s", round, a.says())
			}
		}
		if got := p.audit("alice", provider.EventReuse); len(got) != rounds {
			t.Errorf("%d reuses in the audit trail, want one a round", len(got))
		}
	})
}

// OA-6: so it is with a refresh token, where there is no grace.
func TestOfEachRefreshTokenOneUseWins(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		p, g := newTrack(t, dsn)
		for round := range rounds {
			id, code := p.coded(g)
			token := ask(t, p.house, send(t, "/token", with(exchange(code), "client_id", racer.ID))).text(t, "refresh_token")
			one(t, round, p.asked(refresh(token)))
			if got := p.grant(id); got.Generation != 2 || got.Revoked.IsZero() {
				t.Fatalf("round %d: the grant became %+v", round, got)
			}
		}
	})
}

// OA-6: in a grace one wins too, and all others are told what it has won: there
// is one successor, and it is good.
func TestInAGraceAllUsesOfARefreshTokenGetOneSuccessor(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		p, g := newTrack(t, dsn, plan{provider: func(c *provider.Config) { c.Lifetimes.RefreshGrace = time.Minute }})
		for round := range rounds {
			id, code := p.coded(g)
			token := ask(t, p.house, send(t, "/token", with(exchange(code), "client_id", racer.ID))).text(t, "refresh_token")
			successors, accesses := map[string]int{}, map[string]int{}
			for _, a := range p.asked(refresh(token)) {
				successors[a.text(t, "refresh_token")]++
				accesses[a.text(t, "access_token")]++
			}
			got := p.grant(id)
			if len(successors) != 1 || successors[token] != 0 || successors[""] != 0 || len(accesses) != racers ||
				got.Generation != 2 || got.Rotated.IsZero() || !got.Revoked.IsZero() {
				t.Fatalf("round %d: %v, %d access tokens; the grant became %+v", round, successors, len(accesses), got)
			}
			if round%20 != 0 {
				continue
			}
			for next := range successors {
				if a := ask(t, p.second, send(t, "/token", with(refresh(next), "client_id", racer.ID))); a.status != http.StatusOK {
					t.Errorf("round %d: the successor: %s", round, a.says())
				}
			}
			// The first is not the last any more.
			if a := ask(t, p.house, send(t, "/token", with(refresh(token), "client_id", racer.ID))); a.says() != "400 invalid_grant" || p.grant(id).Revoked.IsZero() {
				t.Errorf("round %d: the one before: %s", round, a.says())
			}
		}
	})
}
