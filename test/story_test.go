package test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

// A stage is what most stories need: a house, an app, a browser.
type stage struct {
	*house
	net     hosts
	app     *app
	browser *browser
}

func newStage(t testing.TB, dsn string, plans ...plan) *stage {
	t.Helper()
	h := newHouse(t, dsn, plans...)
	net := hosts{"idp.example": h, "app.example": callbackHost}
	h.register(provider.Client{
		ID: "app", Name: "The App", Type: provider.Web, Secrets: []provider.Hash{hash("the app's own secret of 256 bits")},
		RedirectURIs: []string{appURL}, Resources: []string{calendar, mailbox},
	})
	return &stage{h, net, newApp(t, net, "app", "the app's own secret of 256 bits"), newBrowser(t, net)}
}

// enrol takes alice from the door to the app, with a new factor.
func (s *stage) enrol() (identity, phone, *browser) {
	s.t.Helper()
	b := s.browser
	b.open(s.app.request())
	b.submit("password", "username", "alice", "password", "correct horse battery")
	b.submit("enroll")
	phone := scan(s.t, b.page)
	b.submit("confirm", "code", phone.code(0))
	b.submit("saved")
	b.submit("consent", "decision", "allow")
	return s.app.callback(b.page), phone, b
}

// story runs fn on each database in a bubble of its own time.
func story(t *testing.T, fn func(t *testing.T, dsn string)) {
	onEach(t, func(t *testing.T, dsn string) {
		synctest.Test(t, func(t *testing.T) { fn(t, dsn) })
	})
}

func TestFirstLoginEnrolsAndTheTokenSaysSo(t *testing.T) {
	story(t, func(t *testing.T, dsn string) {
		s := newStage(t, dsn)
		started := time.Now()
		id, _, _ := s.enrol()
		if id.Subject != "sub-alice" || !slices.Equal(id.AMR, []string{"pwd", "otp"}) || id.ACR != "mfa" {
			t.Errorf("got %+v", id)
		}
		if id.AuthTime != started.Unix() {
			t.Errorf("auth_time %d, want %d", id.AuthTime, started.Unix())
		}
	})
}
