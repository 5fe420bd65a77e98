package storage_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
)

func newClient(id string) provider.Client {
	return provider.Client{
		ID: id, Name: "The App", Type: provider.Web,
		Secrets:      []provider.Hash{{1, 2, 3}, {4, 5, 6}},
		RedirectURIs: []string{"https://app.example/cb", "https://app.example/cb?x=1"},
		Scopes:       []string{"openid", "profile"},
		GrantTypes:   []string{"authorization_code", "refresh_token"},
		FirstParty:   true, PKCEOptional: true, OpaqueTokens: true, Introspects: true,
		Algorithm: "ES256", Floor: "mfa",
		InitiateLoginURI: "https://app.example/login",
		ContinuesTo:      []string{"https://www.app.example"},
		Keys:             []byte(`{"keys":[]}`), KeysURI: "https://app.example/jwks", Pushed: true,
		MaxAge: time.Hour, FactorMaxAge: 5 * time.Minute,
		Pairwise: true, Sector: "app.example", UserinfoAlgorithm: "ES256",
		Claims: []provider.ExtraClaim{
			{Name: "groups"},
			{Name: "login", From: "preferred_username", In: []string{"id_token", "access_token"}},
			{Name: "https://app.example/claims", Value: []byte(`{"z": [1, 2.50, "<a>"],  "a": {"b": null}}`)}, // byte for byte
		},
		Resources:              []string{"https://api.example"},
		DetailsTypes:           []string{"payment"},
		PostLogoutRedirectURIs: []string{"https://app.example/bye"},
		BackchannelLogoutURI:   "https://app.example/back", FrontchannelLogoutURI: "https://app.example/front",
		Created: noon,
	}
}

func TestAClientComesBackAsItWasStored(t *testing.T) {
	each(t, func(t *testing.T, d *storage.DB) {
		for _, c := range []provider.Client{newClient("app"), {ID: "bare", Type: provider.SPA}} {
			must(t, d.SaveClient(t.Context(), c))
			got, err := d.Client(t.Context(), c.ID)
			if err != nil || !reflect.DeepEqual(got, c) {
				t.Errorf("got %+v, %v\nwant %+v", got, err, c)
			}
		}
		// Back to nothing: what is empty must be stored too.
		must(t, d.SaveClient(t.Context(), provider.Client{ID: "app", Type: provider.SPA, Created: noon.Add(time.Hour)}))
		got, err := d.Client(t.Context(), "app")
		if want := (provider.Client{ID: "app", Type: provider.SPA, Created: noon}); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v\nwant %+v", got, err, want)
		}
	})
}

func TestAClientIsAddedOnce(t *testing.T) {
	each(t, func(t *testing.T, d *storage.DB) {
		must(t, d.AddClient(t.Context(), newClient("app")))
		other := newClient("app")
		other.Name = "Another"
		if err := d.AddClient(t.Context(), other); !errors.Is(err, provider.ErrConflict) {
			t.Errorf("got %v, want ErrConflict", err)
		}
		if got := names(t, d)["app"]; got != "The App" {
			t.Errorf("the client is %q now", got)
		}
	})
}

func TestARemovedClientLeavesNothingBehind(t *testing.T) {
	each(t, func(t *testing.T, d *storage.DB) {
		for _, id := range []string{"app", "other"} {
			must(t, d.SaveClient(t.Context(), newClient(id)))
			g := grant(id, noon)
			g.ClientID = id
			must(t, d.CreateGrant(t.Context(), g))
			must(t, d.SaveConsent(t.Context(), provider.Consent{Subject: "anna", ClientID: id, Scopes: []string{"openid"}, Given: noon}))
		}
		must(t, d.RemoveClient(t.Context(), "app"))
		if _, err := d.Client(t.Context(), "app"); !errors.Is(err, provider.ErrNotFound) {
			t.Errorf("the client: got %v, want ErrNotFound", err)
		}
		if err := d.RemoveClient(t.Context(), "app"); !errors.Is(err, provider.ErrNotFound) {
			t.Errorf("removing it again: got %v, want ErrNotFound", err)
		}
		// Whoever registers the ID next gets nothing of it.
		for id, want := range map[string]bool{"app": false, "other": true} {
			g, err := d.Grant(t.Context(), id)
			if err != nil || g.Revoked.IsZero() != want {
				t.Errorf("the grant of %s is good: %t, %v, want %t", id, g.Revoked.IsZero(), err, want)
			}
			c, err := d.Consent(t.Context(), "anna", id)
			if err != nil || (len(c.Scopes) == 1) != want {
				t.Errorf("the consent for %s is %v, %v, want one: %t", id, c.Scopes, err, want)
			}
		}
	})
}

func TestTheConfigurationOwnsItsClients(t *testing.T) {
	each(t, func(t *testing.T, d *storage.DB) {
		declare := func(ids ...string) {
			t.Helper()
			var cs []provider.Client
			for _, id := range ids {
				c := newClient(id)
				c.Name = "Declared " + id
				c.Created = noon.Add(time.Hour)
				cs = append(cs, c)
			}
			must(t, d.SyncClients(t.Context(), cs))
		}
		want := func(want map[string]string) {
			t.Helper()
			if got := names(t, d); !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		}
		must(t, d.SaveClient(t.Context(), newClient("made")))
		must(t, d.SaveClient(t.Context(), newClient("taken")))
		declare("one", "taken", "two")
		want(map[string]string{"made": "The App", "one": "Declared one", "taken": "Declared taken", "two": "Declared two"})
		if c, err := d.Client(t.Context(), "taken"); err != nil || !c.Declared || !c.Created.Equal(noon) {
			t.Errorf("what was taken over: got %+v, %v, want it declared, created when it was", c, err)
		}

		// Nothing has changed: nothing is written.
		before := d.Stats().Commits
		declare("one", "taken", "two")
		if got := d.Stats().Commits - before; got != 0 {
			t.Errorf("declaring the same again took %d commits, want 0", got)
		}

		// A command may not change it.
		if err := d.SaveClient(t.Context(), newClient("one")); !errors.Is(err, storage.ErrDeclared) {
			t.Errorf("SaveClient: got %v, want ErrDeclared", err)
		}
		if err := d.RemoveClient(t.Context(), "one"); !errors.Is(err, storage.ErrDeclared) {
			t.Errorf("RemoveClient: got %v, want ErrDeclared", err)
		}
		if err := d.AddClient(t.Context(), newClient("one")); !errors.Is(err, provider.ErrConflict) {
			t.Errorf("AddClient: got %v, want ErrConflict", err)
		}

		g := grant("g", noon)
		g.ClientID = "two"
		must(t, d.CreateGrant(t.Context(), g))
		declare("one")
		want(map[string]string{"made": "The App", "one": "Declared one"})
		if g, err := d.Grant(t.Context(), "g"); err != nil || g.Revoked.IsZero() {
			t.Errorf("the grant of a client no longer declared: %+v, %v, want it revoked", g, err)
		}
		declare()
		want(map[string]string{"made": "The App"})
	})
}

// names returns the names of all clients by ID.
func names(t *testing.T, d *storage.DB) map[string]string {
	t.Helper()
	cs, err := d.Clients(t.Context())
	must(t, err)
	byID := map[string]string{}
	for _, c := range cs {
		byID[c.ID] = c.Name
	}
	return byID
}

// What another replica or a command does to a client is seen soon, and what was
// done here at once.
func TestAChangedClientIsSeen(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			dsn := e.dsn(t)
			here, err := storage.Open(t.Context(), storage.Config{DSN: dsn, Migrate: true})
			if err != nil {
				t.Fatal(err)
			}
			defer here.Close()
			there, err := storage.Open(t.Context(), storage.Config{DSN: dsn})
			if err != nil {
				t.Fatal(err)
			}
			defer there.Close()
			name := func(ctx context.Context, d *storage.DB) string {
				t.Helper()
				c, err := d.Client(ctx, "app")
				if errors.Is(err, provider.ErrNotFound) {
					return "none"
				}
				must(t, err)
				return c.Name
			}
			soon := func(what, want string) {
				t.Helper()
				if got := name(t.Context(), here); got != want {
					t.Errorf("%s: where it was done, it is %q, want %q", what, got, want)
				}
				until := time.Now().Add(20 * storage.StaleClients) // the machine may be slow
				for name(t.Context(), there) != want {
					if time.Now().After(until) {
						t.Fatalf("%s: elsewhere it never becomes %q", what, want)
					}
					<-time.After(time.Millisecond)
				}
			}
			c := provider.Client{ID: "app", Name: "one", Type: provider.Web, Created: noon}
			must(t, here.AddClient(t.Context(), c))
			soon("added", "one")
			c.Name = "two"
			must(t, here.SaveClient(t.Context(), c))
			soon("changed", "two")

			// A transaction sees what it did itself, nobody else does, and when
			// it fails it was never so.
			failed := errors.New("no")
			err = here.Atomically(t.Context(), func(ctx context.Context) error {
				c := c
				c.Name = "three"
				must(t, here.SaveClient(ctx, c))
				if got := name(ctx, here); got != "three" {
					t.Errorf("in its transaction it is %q", got)
				}
				return failed
			})
			if !errors.Is(err, failed) {
				t.Fatal(err)
			}
			soon("not changed", "two")
			must(t, here.Atomically(t.Context(), func(ctx context.Context) error {
				c.Name = "four"
				return here.SaveClient(ctx, c)
			}))
			soon("changed in a transaction", "four")
			must(t, here.SyncClients(t.Context(), []provider.Client{{ID: "app", Name: "five", Type: provider.Web, Created: noon}}))
			soon("declared", "five")
			must(t, here.SyncClients(t.Context(), nil))
			soon("removed", "none")
		})
	}
}
