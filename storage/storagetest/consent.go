package storagetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/sallyport-id/sallyport/provider"
)

var consentCases = []storeCase{
	{"who was never asked allowed nothing", func(t *testing.T, s provider.Store) {
		c := value(s.Consent(t.Context(), rand.Text(), "app"))(t)
		equal(t, "scopes", len(c.Scopes), 0)
		equal(t, "given", c.Given.IsZero(), true)
		equal(t, "all", len(value(s.Consents(t.Context(), rand.Text()))(t)), 0)
		for _, id := range []string{"", "\x00", "\xff"} {
			equal(t, "given", value(s.Consent(t.Context(), rand.Text(), id))(t).Given.IsZero(), true)
			done(t, s.RevokeConsent(t.Context(), rand.Text(), id, at(0)))
		}
	}},
	{"scopes are added to those before", func(t *testing.T, s provider.Store) {
		anna := rand.Text()
		done(t, s.SaveConsent(t.Context(), provider.Consent{Subject: anna, ClientID: "app", Scopes: []string{"openid", "profile"}, Given: at(0)}))
		done(t, s.SaveConsent(t.Context(), provider.Consent{Subject: anna, ClientID: "app", Scopes: []string{"email", "openid"}, Given: at(1)}))
		equal(t, "the consent", value(s.Consent(t.Context(), anna, "app"))(t), provider.Consent{
			Subject: anna, ClientID: "app", Scopes: []string{"email", "openid", "profile"}, Given: at(1)})
	}},
	{"a consent holds for one subject and one client", func(t *testing.T, s provider.Store) {
		anna, bert := rand.Text(), rand.Text()
		mail := provider.Consent{Subject: anna, ClientID: "mail", Scopes: []string{"openid"}, Given: at(0)}
		app := provider.Consent{Subject: anna, ClientID: "app", Scopes: []string{"email"}, Given: at(1)}
		done(t, s.SaveConsent(t.Context(), mail))
		done(t, s.SaveConsent(t.Context(), app))
		equal(t, "for mail", value(s.Consent(t.Context(), anna, "mail"))(t), mail)
		equal(t, "by client ID", value(s.Consents(t.Context(), anna))(t), []provider.Consent{app, mail})
		equal(t, "bert's", len(value(s.Consent(t.Context(), bert, "mail"))(t).Scopes), 0)
	}},
	{"what was prefetched with a flow is good once, and after no change, transaction or request", func(t *testing.T, s provider.Store) {
		pre, ok := s.(provider.Prefetcher)
		if !ok {
			return // it need not
		}
		anna := rand.Text()
		f := newFlow()
		f.State.Login.Subject = anna
		done(t, s.CreateFlow(t.Context(), f))
		ctx, over := pre.Prefetch(t.Context())
		n := 0
		// after fetches the flow, has what it says done, and looks for what someone else
		// allowed meanwhile.
		after := func(what string, do func()) {
			t.Helper()
			value(s.Flow(ctx, f.ID))(t)
			want := provider.Consent{Subject: anna, ClientID: f.ClientID, Scopes: []string{"openid"}, Given: at(n)}
			n++
			done(t, s.SaveConsent(t.Context(), want))
			do()
			equal(t, "after "+what, value(s.Consent(ctx, anna, f.ClientID))(t), want)
		}
		after("an answer", func() { value(s.Consent(ctx, anna, f.ClientID))(t) })
		after("a change", func() { done(t, s.CreateFlow(ctx, newFlow())) })
		after("a transaction", func() { done(t, s.Atomically(ctx, func(context.Context) error { return nil })) })
		after("the request", over)
		after("another fetch after it", func() {})
	}},
	{"of many that add at once none is lost", func(t *testing.T, s provider.Store) {
		anna := rand.Text()
		for _, err := range race(func(i int) error {
			return s.SaveConsent(t.Context(), provider.Consent{Subject: anna, ClientID: "app", Scopes: []string{fmt.Sprintf("s%02d", i)}, Given: at(i)})
		}) {
			done(t, err)
		}
		equal(t, "how many scopes", len(value(s.Consent(t.Context(), anna, "app"))(t).Scopes), racers)
	}},
	{"revoking forgets and revokes, for one subject and one client", func(t *testing.T, s provider.Store) {
		anna, bert := rand.Text(), rand.Text()
		hit, otherClient, otherSubject := newGrant(anna, "app"), newGrant(anna, "mail"), newGrant(bert, "app")
		for _, g := range []provider.Grant{hit, otherClient, otherSubject} {
			done(t, s.CreateGrant(t.Context(), g))
			done(t, s.SaveConsent(t.Context(), provider.Consent{Subject: g.Subject, ClientID: g.ClientID, Scopes: []string{"openid"}, Given: at(0)}))
		}
		done(t, s.RevokeConsent(t.Context(), anna, "app", at(5)))
		equal(t, "the consent", len(value(s.Consent(t.Context(), anna, "app"))(t).Scopes), 0)
		equal(t, "when the grant was revoked", value(s.Grant(t.Context(), hit.ID))(t).Revoked, at(5))
		equal(t, "what the grant says of it", value(s.Grant(t.Context(), hit.ID))(t).Consent, provider.Consent{})
		for _, g := range []provider.Grant{otherClient, otherSubject} {
			g.Consent = value(s.Consent(t.Context(), g.Subject, g.ClientID))(t)
			equal(t, "another grant", value(s.Grant(t.Context(), g.ID))(t), g)
			equal(t, "another consent", len(value(s.Consent(t.Context(), g.Subject, g.ClientID))(t).Scopes), 1)
		}
		done(t, s.RevokeConsent(t.Context(), anna, "app", at(6)))
	}},
}
