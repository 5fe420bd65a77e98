package test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-id/sallyport/storage/storagetest"
)

var byPushing = way{methods: byCode.methods, pushes: true, ready: byCode.ready}

// start begins with a new request.
func (p *patient) start() {
	p.link = p.app.request()
	if p.pushes {
		p.link = p.push(p.link)
	}
	p.b.open(p.link)
}

// push pushes an authorization request of the app, as often as it takes, and
// returns the link that the browser gets instead.
func (p *patient) push(request string) string {
	p.t.Helper()
	u, err := url.Parse(request)
	if err != nil {
		p.t.Fatal(err)
	}
	for range 3 {
		a := p.stage.push(u.Query())
		if a.status == http.StatusCreated {
			return issuer + opening(a.text(p.t, "request_uri"))
		}
		if a.status < 500 {
			p.t.Fatalf("pushing: %s", a.says())
		}
		p.failures++
	}
	p.t.Fatal("never pushed")
	return ""
}

// PA-12: whatever call fails that has to do with a pushed request, in the
// transaction too in which it is spent, and whether or not it happened, it buys
// one code at most.
func TestEveryStoreCallOfAPushedRequestFailsOnce(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		w, db := newWard(t, dsn), opened(t, dsn)
		calls := w.fails(byPushing, storagetest.Fault{})
		spent := slices.Index(calls, "SpendPushed")
		if spent < 0 {
			t.Fatalf("nothing was spent: %v", calls)
		}
		begin := spent
		for calls[begin] != "begin" {
			begin--
		}
		commit := spent + slices.Index(calls[spent:], "commit")
		tried := map[string]int{}
		for i, call := range calls {
			if !strings.Contains(call, "Pushed") && (i < begin || i > commit) {
				continue
			}
			tried[call]++
			w.fails(byPushing, storagetest.Fault{Call: i + 1})
			if slices.Contains(writes, call) {
				w.fails(byPushing, storagetest.Fault{Call: i + 1, After: true})
			}
		}
		for call, least := range map[string]int{"CreatePushed": 1, "Pushed": 3, "SpendPushed": 1, "CreateGrant": 1, "commit": 1} {
			if tried[call] < least {
				t.Errorf("%s: tried %d times, of %v", call, tried[call], calls)
			}
		}
		// Each request of the app has a nonce of its own.
		for _, row := range query(t, db, `SELECT nonce, count(*) AS n FROM grants GROUP BY nonce HAVING count(*) > 1`) {
			t.Errorf("two codes of one request: %s", row)
		}
	})
}
