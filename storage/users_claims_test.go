package storage_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
)

// everyClaim are claims of which none is left out.
func everyClaim(t *testing.T) provider.Claims {
	t.Helper()
	c := provider.Claims{
		Name: "Ada Augusta Byron", GivenName: "Ada", FamilyName: "Byron", MiddleName: "Augusta", Nickname: "Countess",
		PreferredUsername: "ada", Profile: "https://ada.example", Picture: "https://ada.example/me.png", Website: "https://ada.example/blog",
		Gender: "female", Birthdate: "1815-12-10", Zoneinfo: "Europe/London", Locale: "en-GB",
		Email: "ada@example.org", EmailVerified: true, PhoneNumber: "+44 20 1", PhoneNumberVerified: true,
		Address: &provider.Address{Formatted: "1 Quay\nLondon", StreetAddress: "1 Quay", Locality: "London", Region: "Greater London",
			PostalCode: "E1", Country: "UK"},
		Groups:     []string{"staff", "admins"},
		Attributes: map[string]any{"department": "R&D", "badge": 17.0, "cleared": true, "desks": []any{"a", "b"}, "boss": map[string]any{"name": "Charles"}, "https://x.example/y": nil},
	}
	for f := range reflect.TypeFor[provider.Claims]().Fields() {
		if f.Name != "UpdatedAt" && reflect.ValueOf(c).FieldByIndex(f.Index).IsZero() {
			t.Fatalf("the test leaves %s out", f.Name)
		}
	}
	return c
}

func TestEveryClaimOfAUserComesBack(t *testing.T) {
	withUsers(t, func(t *testing.T, d *storage.DB, users *storage.Users, anna provider.User) {
		want := everyClaim(t)
		must(t, users.UpdateClaims(t.Context(), anna.Subject, want))
		added, err := users.Add(t.Context(), storage.NewUser{Username: "ada", Claims: want})
		must(t, err)
		imported, err := users.Import(t.Context(), []storage.NewUser{{Username: "eda", Claims: want}}, false)
		must(t, err)
		for _, subject := range []string{anna.Subject, added.Subject, imported[0].Subject} {
			u, err := users.User(t.Context(), subject)
			must(t, err)
			if u.Claims.UpdatedAt.IsZero() {
				t.Error("when they were changed is not known")
			}
			u.Claims.UpdatedAt = time.Time{}
			if !reflect.DeepEqual(u.Claims, want) {
				t.Errorf("got  %+v\nwant %+v", u.Claims, want)
			}
		}
	})
}

// What would never be told under its name is not taken.
func TestAnAttributeHasANameOfItsOwn(t *testing.T) {
	withUsers(t, func(t *testing.T, d *storage.DB, users *storage.Users, anna provider.User) {
		for _, name := range []string{"", "sub", "scope", "cnf", "email", "groups", "a\x00b"} {
			c := provider.Claims{Attributes: map[string]any{name: "x"}}
			if err := users.UpdateClaims(t.Context(), anna.Subject, c); !errors.Is(err, storage.ErrClaims) {
				t.Errorf("%q: got %v, want ErrClaims", name, err)
			}
		}
		for _, v := range []any{"\x00", []any{"\x00"}, func() {}, map[string]any{"\x00": 1}} {
			c := provider.Claims{Attributes: map[string]any{"x": v}}
			if err := users.UpdateClaims(t.Context(), anna.Subject, c); !errors.Is(err, storage.ErrClaims) {
				t.Errorf("%T: got %v, want ErrClaims", v, err)
			}
		}
	})
}
