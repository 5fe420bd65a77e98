package test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

// RFC 9126 section 7.3: of fifty flows of one request_uri, over two replicas,
// half of them granted at the door and half by their last form, one ends with a
// code. ST-1: the others have nothing of it.
func TestOneOfFiftyFlowsOfARequestURIWins(t *testing.T) {
	onEach(t, func(t *testing.T, dsn string) {
		p := newPair(t, dsn)
		p.register(provider.Client{ID: "app", Type: provider.Web, Secrets: []provider.Hash{hash(appSecret)}, RedirectURIs: []string{appURL}, Floor: "pwd"})
		p.allow("sub-alice", "app", "openid", "profile")
		var signedIn []*browser
		for range 5 {
			b := newBrowser(t, p.net)
			b.open(issuer + "/authorize?" + authorization().Encode())
			b.password("alice")
			signedIn = append(signedIn, b)
		}
		db := opened(t, dsn)
		grants := func() int { return len(query(t, db, `SELECT id FROM grants`)) }
		before, began, n := grants(), time.Now(), 0
		for n < rounds && (n < 5 || time.Since(began) < roundsTake) && !t.Failed() {
			p.oneOfFifty(signedIn)
			n++
		}
		if got := grants() - before; got != n {
			t.Errorf("%d grants of %d requests", got, n)
		}
		t.Logf("%d rounds", n)
	})
}

// oneOfFifty is one round.
func (p *pair) oneOfFifty(signedIn []*browser) {
	p.t.Helper()
	link := issuer + opening(p.pushed(authorization()))
	browsers, last := make([]*browser, racers), make([]*http.Request, racers)
	for i := range last {
		if i%2 == 0 {
			browsers[i] = p.at(i/2, signedIn[i/2%len(signedIn)])
			r, err := http.NewRequest(http.MethodGet, link, nil)
			if err != nil {
				p.t.Fatal(err)
			}
			last[i] = r
			continue
		}
		browsers[i] = p.at(i/2, newBrowser(p.t, p.net))
		browsers[i].open(link)
		last[i] = browsers[i].request("password", "username", "alice", "password", passwords["alice"])
	}
	var codes []string
	for i, page := range together(func(i int) *page { return browsers[i].once(last[i]) }) {
		to, err := url.Parse(page.header.Get("Location"))
		if err != nil {
			p.t.Fatal(err)
		}
		if code := to.Query().Get("code"); code != "" {
			codes = append(codes, code)
			continue
		}
		b := browsers[i]
		b.page = page
		if page.status == http.StatusSeeOther && strings.HasPrefix(to.String(), issuer+"/") {
			b.open(to.String()) // to look again
		}
		b.ended("used")
	}
	if len(codes) != 1 {
		p.t.Fatalf("%d codes of one request", len(codes))
	}
	if a := p.trade(exchange(codes[0])); a.status != http.StatusOK {
		p.t.Errorf("the code: %s", a.says())
	}
}
