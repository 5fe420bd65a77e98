package storage_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
	"github.com/sallyport-id/sallyport/storage"
	"github.com/sallyport-id/sallyport/storage/password"
)

const goodPassword = "horse staple battery"

func hasher(t testing.TB, c password.Config) *password.Hasher {
	t.Helper()
	if c.Cost == (password.Cost{}) {
		c.Cost = password.Cheap()
	}
	h, err := password.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// withUsers runs a test with every engine and a user named Anna.
func withUsers(t *testing.T, test func(t *testing.T, d *storage.DB, users *storage.Users, anna provider.User)) {
	each(t, func(t *testing.T, d *storage.DB) {
		users := d.Users(hasher(t, password.Config{Queue: 100}))
		users.About = []string{"Sallyport"}
		anna, err := users.Add(t.Context(), storage.NewUser{
			Username: "Anna", Password: goodPassword, Claims: provider.Claims{Name: "Anna Berg", Email: "anna@example.org"},
		})
		if err != nil {
			t.Fatal(err)
		}
		test(t, d, users, anna)
	})
}

// acts returns what the audit trail says was done to subject, the newest first.
func acts(t *testing.T, d *storage.DB, subject string) (all []string) {
	t.Helper()
	events, err := d.Activity(t.Context(), subject, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Kind != provider.EventUser || e.Actor != "admin" || e.Outcome != provider.Success || e.Time.IsZero() {
			t.Errorf("got event %+v", e)
		}
		all = append(all, e.Detail["act"])
	}
	return all
}

func hashOf(t *testing.T, d *storage.DB, subject string) (hash string) {
	t.Helper()
	if err := d.Read(t.Context()).Raw("SELECT hash FROM users WHERE subject = ?", subject).Scan(&hash).Error; err != nil {
		t.Fatal(err)
	}
	return hash
}

func sessionOf(subject string) provider.Session {
	s := provider.Session{
		ID: "s-" + subject, Cookie: provider.Hash{1, 2, 3}, Login: authflow.Login{Subject: subject, Epoch: "1"},
		Created: time.Now(), Used: time.Now(), Expires: time.Now().Add(time.Hour),
	}
	return s
}

func TestAUserSignsInWithNameAndPasswordOnly(t *testing.T) {
	withUsers(t, func(t *testing.T, d *storage.DB, users *storage.Users, anna provider.User) {
		for _, name := range []string{"Anna", "anna", "ANNA", " anna ", "Ａｎｎａ"} {
			got, err := users.Authenticate(t.Context(), name, goodPassword)
			if err != nil || !reflect.DeepEqual(got, anna) {
				t.Errorf("%q: got %+v, %v, want %+v", name, got, err, anna)
			}
		}
		disabled, err := users.Add(t.Context(), storage.NewUser{Username: "dora", Password: goodPassword, Disabled: true})
		if err != nil {
			t.Fatal(err)
		}
		none, err := users.Add(t.Context(), storage.NewUser{Username: "nora"})
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct{ name, pw, subject string }{
			{"anna", "horse staple batterz", anna.Subject}, // the account meant is named: attempts are counted for it
			{"ANNA", "", anna.Subject},
			{"dora", goodPassword, disabled.Subject},
			{"dora", "wrong", disabled.Subject},
			{"nora", "", none.Subject},
			{"nora", goodPassword, none.Subject},
			{"bert", goodPassword, ""},
			{"", goodPassword, ""},
			{"an na", goodPassword, ""},
			{"anna\x00", goodPassword, ""},
			{"\xff", goodPassword, ""},
			{"' OR 1=1 --", goodPassword, ""},
			{strings.Repeat("a", 100000), goodPassword, ""},
		} {
			got, err := users.Authenticate(t.Context(), tt.name, tt.pw)
			if !errors.Is(err, provider.ErrNoUser) {
				t.Errorf("%.20q with %q: got %v, want ErrNoUser", tt.name, tt.pw, err)
			}
			if want := (provider.User{Subject: tt.subject}); !reflect.DeepEqual(got, want) {
				t.Errorf("%.20q with %q: got %+v, want %+v", tt.name, tt.pw, got, want)
			}
		}
	})
}

// Every refusal waits for a slot, so every refusal has hashed something: with
// none to be had, all of them are ErrBusy.
//
// PW-3, PW-4
func TestUnknownWrongAndDisabledAllCostAHash(t *testing.T) {
	withUsers(t, func(t *testing.T, d *storage.DB, users *storage.Users, anna provider.User) {
		for _, n := range []storage.NewUser{{Username: "dora", Password: goodPassword, Disabled: true}, {Username: "nora"}} {
			if _, err := users.Add(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
		busy := d.Users(new(password.Hasher)) // the zero Hasher has no slots
		if !busy.Busy() || users.Busy() {
			t.Errorf("busy without slots: %t, with slots: %t", busy.Busy(), users.Busy())
		}
		for _, name := range []string{"anna", "dora", "nora", "bert", "", "an na", "\xff"} {
			got, err := busy.Authenticate(t.Context(), name, "wrong")
			if !errors.Is(err, provider.ErrBusy) || !reflect.DeepEqual(got, provider.User{}) {
				t.Errorf("%q: got %+v, %v, want ErrBusy", name, got, err)
			}
		}
		if _, err := busy.Authenticate(t.Context(), "anna", goodPassword); !errors.Is(err, provider.ErrBusy) {
			t.Errorf("a right password: got %v, want ErrBusy", err)
		}
	})
}

const bcryptHash = "$2b$06$abcdefghijklmnopqrstuud/5IuQmqhVO0kfNEbHJM.fJkPiliBzC" // "correct horse"

// PW-2
func TestAForeignHashIsReplacedAtTheFirstSignIn(t *testing.T) {
	withUsers(t, func(t *testing.T, d *storage.DB, users *storage.Users, _ provider.User) {
		bea, err := users.Add(t.Context(), storage.NewUser{Username: "bea", PasswordHash: bcryptHash})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := users.Authenticate(t.Context(), "bea", "wrong"); !errors.Is(err, provider.ErrNoUser) {
			t.Errorf("wrong: got %v", err)
		}
		if got := hashOf(t, d, bea.Subject); got != bcryptHash {
			t.Errorf("after a wrong password the hash is %s", got)
		}
		before := d.Stats().Commits
		for range 2 {
			got, err := users.Authenticate(t.Context(), "bea", "correct horse")
			if err != nil || got.Epoch != bea.Epoch {
				t.Errorf("got %+v, %v, want the epoch %s", got, err, bea.Epoch)
			}
		}
		if got := d.Stats().Commits - before; got != 1 {
			t.Errorf("two sign-ins made %d commits, want one, of the upgrade", got)
		}
		if got := hashOf(t, d, bea.Subject); !strings.HasPrefix(got, "$argon2id$") {
			t.Errorf("the hash is still %s", got)
		}
		if got, err := users.User(t.Context(), bea.Subject); err != nil || got.Epoch != bea.Epoch {
			t.Errorf("the upgrade changed the epoch: %+v, %v", got, err)
		}
	})
}

// PW-2
func TestAnUpgradeThatFailsDeniesNobody(t *testing.T) {
	withUsers(t, func(t *testing.T, d *storage.DB, users *storage.Users, _ provider.User) {
		bea, err := users.Add(t.Context(), storage.NewUser{Username: "bea", PasswordHash: bcryptHash})
		if err != nil {
			t.Fatal(err)
		}
		forbid(t, d, "users")
		if got, err := users.Authenticate(t.Context(), "bea", "correct horse"); err != nil || got.Subject != bea.Subject {
			t.Errorf("got %+v, %v", got, err)
		}
		if got := hashOf(t, d, bea.Subject); got != bcryptHash {
			t.Errorf("the write did not fail, and the test shows nothing: the hash is %s", got)
		}
		// In a transaction it is not even tried.
		err = d.Atomically(t.Context(), func(ctx context.Context) error {
			_, err := users.Authenticate(ctx, "bea", "correct horse")
			return err
		})
		if err != nil {
			t.Errorf("in a transaction: %v", err)
		}
	})
}

// PW-2
func TestAnUpgradeDoesNotBringAnOldPasswordBack(t *testing.T) {
	withUsers(t, func(t *testing.T, d *storage.DB, users *storage.Users, _ provider.User) {
		bea, err := users.Add(t.Context(), storage.NewUser{Username: "bea", PasswordHash: bcryptHash})
		if err != nil {
			t.Fatal(err)
		}
		// The password is changed while a sign-in with the old one hashes that.
		if err := users.SetPassword(t.Context(), bea.Subject, goodPassword); err != nil {
			t.Fatal(err)
		}
		if err := users.Upgrade(t.Context(), bea.Subject, bcryptHash, "correct horse"); err != nil {
			t.Fatal(err)
		}
		if _, err := users.Authenticate(t.Context(), "bea", goodPassword); err != nil {
			t.Errorf("the new password: %v", err)
		}
		if _, err := users.Authenticate(t.Context(), "bea", "correct horse"); !errors.Is(err, provider.ErrNoUser) {
			t.Errorf("the old password: %v", err)
		}
	})
}

// forbid makes every update of the table fail.
func forbid(t *testing.T, d *storage.DB, table string) {
	t.Helper()
	statements := []string{"CREATE TRIGGER forbid BEFORE UPDATE ON " + table + " BEGIN SELECT RAISE(ABORT, 'forbidden'); END"}
	if isPostgres(d) {
		statements = []string{
			"CREATE FUNCTION forbid() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'forbidden'; END $$ LANGUAGE plpgsql",
			"CREATE TRIGGER forbid BEFORE UPDATE ON " + table + " EXECUTE FUNCTION forbid()",
		}
	}
	for _, s := range statements {
		if err := d.Write(t.Context()).Exec(s).Error; err != nil {
			t.Fatal(err)
		}
	}
}

// PA-7, PW-5, SE-6, LG-3
func TestWhatEndsEverythingChangesTheEpochAndEndsSessions(t *testing.T) {
	for act, end := range map[string]func(ctx context.Context, users *storage.Users, subject string) error{
		"set-password": func(ctx context.Context, users *storage.Users, subject string) error {
			return users.SetPassword(ctx, subject, "another horse altogether")
		},
		"disable": func(ctx context.Context, users *storage.Users, subject string) error {
			return users.Disable(ctx, subject)
		},
		"end-everything": func(ctx context.Context, users *storage.Users, subject string) error {
			return users.EndEverything(ctx, subject)
		},
		"import": func(ctx context.Context, users *storage.Users, _ string) error {
			_, err := users.Import(ctx, []storage.NewUser{{Username: "anna", PasswordHash: bcryptHash}}, true)
			return err
		},
	} {
		t.Run(act, func(t *testing.T) {
			withUsers(t, func(t *testing.T, d *storage.DB, users *storage.Users, anna provider.User) {
				s := sessionOf(anna.Subject)
				if err := d.SaveSession(t.Context(), s); err != nil {
					t.Fatal(err)
				}
				before := d.Stats().Commits
				if err := end(t.Context(), users, anna.Subject); err != nil {
					t.Fatal(err)
				}
				if got := d.Stats().Commits - before; got != 1 {
					t.Errorf("%d commits, want 1", got)
				}
				got, err := users.User(t.Context(), anna.Subject)
				if err != nil || got.Epoch == anna.Epoch || got.Disabled != (act == "disable") {
					t.Errorf("got %+v, %v, want another epoch than %s", got, err, anna.Epoch)
				}
				if _, err := d.Session(t.Context(), s.Cookie); !errors.Is(err, provider.ErrNotFound) {
					t.Errorf("the session lives on: %v", err)
				}
				if got, want := acts(t, d, anna.Subject), []string{act, "add"}; !slices.Equal(got, want) {
					t.Errorf("the audit trail says %q, want %q", got, want)
				}
			})
		})
	}
}

// LG-3
func TestNoChangeRemainsThatCannotBeAudited(t *testing.T) {
	withUsers(t, func(t *testing.T, d *storage.DB, users *storage.Users, anna provider.User) {
		if err := d.Write(t.Context()).Exec("DROP TABLE events").Error; err != nil {
			t.Fatal(err)
		}
		for name, act := range map[string]func() error{
			"Add": func() error {
				_, err := users.Add(t.Context(), storage.NewUser{Username: "bea", Password: goodPassword})
				return err
			},
			"SetPassword":   func() error { return users.SetPassword(t.Context(), anna.Subject, "another horse altogether") },
			"Disable":       func() error { return users.Disable(t.Context(), anna.Subject) },
			"Enable":        func() error { return users.Enable(t.Context(), anna.Subject) },
			"EndEverything": func() error { return users.EndEverything(t.Context(), anna.Subject) },
			"UpdateClaims":  func() error { return users.UpdateClaims(t.Context(), anna.Subject, provider.Claims{Name: "X"}) },
			"Import": func() error {
				_, err := users.Import(t.Context(), []storage.NewUser{{Username: "carl"}, {Username: "anna"}}, true)
				return err
			},
		} {
			if err := act(); err == nil {
				t.Errorf("%s succeeded without an audit trail", name)
			}
		}
		if got, err := users.User(t.Context(), anna.Subject); err != nil || !reflect.DeepEqual(got, anna) {
			t.Errorf("got %+v, %v, want %+v", got, err, anna)
		}
		for _, name := range []string{"bea", "carl"} {
			if _, err := users.ByName(t.Context(), name); !errors.Is(err, provider.ErrNoUser) {
				t.Errorf("%s was added: %v", name, err)
			}
		}
	})
}

func TestSettingAPasswordReplacesTheOld(t *testing.T) {
	withUsers(t, func(t *testing.T, d *storage.DB, users *storage.Users, anna provider.User) {
		var refusal *password.Refusal
		for _, bad := range []string{"", "short", "password123", "anna2026", "sallyport1", "annaberg!"} {
			if err := users.SetPassword(t.Context(), anna.Subject, bad); !errors.As(err, &refusal) {
				t.Errorf("%q: got %v, want a Refusal", bad, err)
			}
		}
		if _, err := users.Authenticate(t.Context(), "anna", goodPassword); err != nil {
			t.Errorf("after refusals: %v", err)
		}
		if err := users.SetPassword(t.Context(), anna.Subject, "another horse altogether"); err != nil {
			t.Fatal(err)
		}
		if _, err := users.Authenticate(t.Context(), "anna", "another horse altogether"); err != nil {
			t.Errorf("the new password: %v", err)
		}
		if _, err := users.Authenticate(t.Context(), "anna", goodPassword); !errors.Is(err, provider.ErrNoUser) {
			t.Errorf("the old password: %v", err)
		}
		if err := users.SetPassword(t.Context(), "nobody", goodPassword); !errors.Is(err, provider.ErrNoUser) {
			t.Errorf("nobody: got %v", err)
		}
	})
}

func TestWhoIsEnabledAgainIsInButNothingOldIs(t *testing.T) {
	withUsers(t, func(t *testing.T, d *storage.DB, users *storage.Users, anna provider.User) {
		if err := users.Disable(t.Context(), anna.Subject); err != nil {
			t.Fatal(err)
		}
		out, err := users.User(t.Context(), anna.Subject)
		if err != nil || !out.Disabled {
			t.Fatalf("got %+v, %v", out, err)
		}
		if err := users.Enable(t.Context(), anna.Subject); err != nil {
			t.Fatal(err)
		}
		in, err := users.Authenticate(t.Context(), "anna", goodPassword)
		if err != nil || in.Disabled || in.Epoch != out.Epoch || in.Epoch == anna.Epoch {
			t.Errorf("got %+v, %v", in, err)
		}
		for name, act := range map[string]func(context.Context, string) error{
			"Disable": users.Disable, "Enable": users.Enable, "EndEverything": users.EndEverything,
		} {
			for _, subject := range []string{"nobody", "", "\x00", "\xff"} {
				if err := act(t.Context(), subject); !errors.Is(err, provider.ErrNoUser) {
					t.Errorf("%s of %q: got %v, want ErrNoUser", name, subject, err)
				}
			}
		}
		if _, err := users.User(t.Context(), "\x00"); !errors.Is(err, provider.ErrNoUser) {
			t.Errorf("no text: %v", err)
		}
	})
}

func TestAUsernameBelongsToOneUserInEverySpelling(t *testing.T) {
	withUsers(t, func(t *testing.T, d *storage.DB, users *storage.Users, anna provider.User) {
		for _, name := range []string{"anna", "ANNA", "Anna", "ａｎｎａ"} {
			if _, err := users.Add(t.Context(), storage.NewUser{Username: name}); !errors.Is(err, storage.ErrTaken) {
				t.Errorf("%q: got %v, want ErrTaken", name, err)
			}
		}
		for _, name := range []string{"", " ", "an na", "anna ", "\x00", "a\nb", "\xff", "a\u202eb", "a\u200bb", strings.Repeat("a", 256)} {
			if _, err := users.Add(t.Context(), storage.NewUser{Username: name}); !errors.Is(err, storage.ErrUsername) {
				t.Errorf("%q: got %v, want ErrUsername", name, err)
			}
		}
		for _, name := range []string{"anna@example.org", "Жанна", "a", "o'neill", "50%_off"} {
			added, err := users.Add(t.Context(), storage.NewUser{Username: name})
			if err != nil || added.Username != name {
				t.Errorf("%q: got %+v, %v", name, added, err)
			}
			if got, err := users.ByName(t.Context(), strings.ToUpper(name)); err != nil || got.Subject != added.Subject || got.HasPassword || got.Created.IsZero() {
				t.Errorf("%q: got %+v, %v", name, got, err)
			}
		}
		for _, bad := range []storage.NewUser{
			{Username: "bea", PasswordHash: "$argon2id$v=19$m=4194304,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
			{Username: "bea", Password: "password1"},
			{Username: "bea", Claims: provider.Claims{Name: "\x00"}},
		} {
			if _, err := users.Add(t.Context(), bad); err == nil {
				t.Errorf("%+v was added", bad)
			}
		}
	})
}

func TestOfManyWhoTakeOneNameAtOnceOneGetsIt(t *testing.T) {
	withUsers(t, func(t *testing.T, d *storage.DB, users *storage.Users, _ provider.User) {
		var all sync.WaitGroup
		var mu sync.Mutex
		var added []string
		for i := range 20 {
			all.Go(func() {
				name := []string{"bea", "Bea", "BEA"}[i%3]
				u, err := users.Add(t.Context(), storage.NewUser{Username: name})
				if err != nil && !errors.Is(err, storage.ErrTaken) {
					t.Error(err)
				}
				if err == nil {
					mu.Lock()
					added = append(added, u.Subject)
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if len(added) != 1 {
			t.Errorf("%d got the name", len(added))
		}
	})
}

func TestClaimsAreKeptAsTheyAre(t *testing.T) {
	withUsers(t, func(t *testing.T, d *storage.DB, users *storage.Users, anna provider.User) {
		want := provider.Claims{
			Name: `Änna "B" \u0000 <b>`, Email: "anna@example.org", EmailVerified: true, Birthdate: "0000-03-31",
			Address: &provider.Address{StreetAddress: "Weg 1\r\nHinterhaus", Country: "Österreich"},
			Groups:  []string{"admins", "staff"},
		}
		if err := users.UpdateClaims(t.Context(), anna.Subject, want); err != nil {
			t.Fatal(err)
		}
		got, err := users.User(t.Context(), anna.Subject)
		if err != nil || got.Epoch != anna.Epoch || !got.Claims.UpdatedAt.After(anna.Claims.UpdatedAt) {
			t.Errorf("got %+v, %v", got, err)
		}
		got.Claims.UpdatedAt = time.Time{}
		if !reflect.DeepEqual(got.Claims, want) {
			t.Errorf("got %+v, want %+v", got.Claims, want)
		}
		if err := users.UpdateClaims(t.Context(), anna.Subject, provider.Claims{Groups: []string{"a\x00"}}); !errors.Is(err, storage.ErrClaims) {
			t.Errorf("a zero byte: got %v, want ErrClaims", err)
		}
		if got, want := acts(t, d, anna.Subject), []string{"update", "add"}; !slices.Equal(got, want) {
			t.Errorf("the audit trail says %q, want %q", got, want)
		}
	})
}

func TestImportAddsEachThatItCan(t *testing.T) {
	withUsers(t, func(t *testing.T, d *storage.DB, users *storage.Users, anna provider.User) {
		batch := []storage.NewUser{
			{Username: "bea", PasswordHash: bcryptHash},
			{Username: "ANNA", Claims: provider.Claims{Name: "Someone else"}},
			{Username: "carl", PasswordHash: "$1$abcdefgh$irWbblnpmw.5z7wgBnprh0"},
			{Username: "Bea"}, // the second of one batch
			{Username: "d d"},
			{Username: "emil", Password: goodPassword},
			{Username: "fred", Claims: provider.Claims{Name: "\x00"}},
			{Username: "gina", Disabled: true},
		}
		before := d.Stats().Commits
		got, err := users.Import(t.Context(), batch, false)
		if err != nil {
			t.Fatal(err)
		}
		if n := d.Stats().Commits - before; n != 1 {
			t.Errorf("%d commits, want 1", n)
		}
		for i, want := range []error{nil, storage.ErrTaken, password.ErrHash, storage.ErrTaken, storage.ErrUsername, errAny, storage.ErrClaims, nil} {
			if err := got[i].Err; !errors.Is(err, want) && (want != errAny || err == nil) {
				t.Errorf("%s: got %v, want %v", batch[i].Username, err, want)
			}
			if (got[i].Subject == "") != (want != nil) || got[i].Updated {
				t.Errorf("%s: got %+v", batch[i].Username, got[i])
			}
		}
		if _, err := users.Authenticate(t.Context(), "bea", "correct horse"); err != nil {
			t.Errorf("bea: %v", err)
		}
		if u, err := users.User(t.Context(), got[7].Subject); err != nil || !u.Disabled {
			t.Errorf("gina: got %+v, %v", u, err)
		}
		if u, err := users.User(t.Context(), anna.Subject); err != nil || !reflect.DeepEqual(u, anna) {
			t.Errorf("anna was changed: %+v, %v", u, err)
		}
		if got := acts(t, d, got[0].Subject); !slices.Equal(got, []string{"import"}) {
			t.Errorf("the audit trail says %q", got)
		}
	})
}

// errAny stands for an error that has no sentinel.
var errAny = errors.New("any")

func TestImportUpdatesWhereItIsAskedTo(t *testing.T) {
	withUsers(t, func(t *testing.T, d *storage.DB, users *storage.Users, anna provider.User) {
		one := func(n storage.NewUser) provider.User {
			t.Helper()
			got, err := users.Import(t.Context(), []storage.NewUser{n}, true)
			if err != nil || got[0].Err != nil || !got[0].Updated || got[0].Subject != anna.Subject {
				t.Fatalf("got %+v, %v", got, err)
			}
			u, err := users.User(t.Context(), anna.Subject)
			if err != nil {
				t.Fatal(err)
			}
			return u
		}
		u := one(storage.NewUser{Username: "ANNA", Claims: provider.Claims{Name: "Anna Thal"}})
		if u.Epoch != anna.Epoch || u.Claims.Name != "Anna Thal" || u.Claims.Email != "" || u.Username != "ANNA" {
			t.Errorf("claims only: got %+v", u)
		}
		if _, err := users.Authenticate(t.Context(), "anna", goodPassword); err != nil {
			t.Errorf("the password went, though none was given: %v", err)
		}
		if u = one(storage.NewUser{Username: "anna", PasswordHash: bcryptHash}); u.Epoch == anna.Epoch {
			t.Error("another hash, and the same epoch")
		}
		epoch := u.Epoch
		if u = one(storage.NewUser{Username: "anna", PasswordHash: bcryptHash}); u.Epoch != epoch {
			t.Error("the same hash, and another epoch")
		}
		if u = one(storage.NewUser{Username: "anna", Disabled: true}); !u.Disabled || u.Epoch == epoch {
			t.Errorf("disabled: got %+v", u)
		}
		if u = one(storage.NewUser{Username: "anna"}); !u.Disabled {
			t.Error("an import enabled someone")
		}
	})
}

func TestListNamesEveryoneOnceInOrder(t *testing.T) {
	withUsers(t, func(t *testing.T, d *storage.DB, users *storage.Users, _ provider.User) {
		var batch []storage.NewUser
		want := []string{"Anna"}
		for i := range 450 {
			name := fmt.Sprintf("user%03d", i)
			batch, want = append(batch, storage.NewUser{Username: name}), append(want, name)
		}
		if _, err := users.Import(t.Context(), batch, false); err != nil {
			t.Fatal(err)
		}
		var got []string
		for u, err := range users.List(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, u.Username)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %d names, want %d:\n%q", len(got), len(want), got)
		}
		for range users.List(t.Context()) {
			break
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		n := 0
		for _, err := range users.List(ctx) {
			if n++; err == nil {
				t.Error("no error with a context that has ended")
			}
		}
		if n != 1 {
			t.Errorf("%d steps after an error", n)
		}
	})
}

// PA-12
func TestADatabaseThatFailsDenies(t *testing.T) {
	withUsers(t, func(t *testing.T, d *storage.DB, users *storage.Users, anna provider.User) {
		if err := d.Write(t.Context()).Exec("DROP TABLE users").Error; err != nil {
			t.Fatal(err)
		}
		if got, err := users.Authenticate(t.Context(), "anna", goodPassword); err == nil || errors.Is(err, provider.ErrNoUser) || got.Subject != "" {
			t.Errorf("Authenticate: got %+v, %v", got, err)
		}
		if got, err := users.User(t.Context(), anna.Subject); err == nil || errors.Is(err, provider.ErrNoUser) || got.Subject != "" {
			t.Errorf("User: got %+v, %v", got, err)
		}
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	for _, e := range engines {
		b.Run(e.name, func(b *testing.B) {
			users := open(b, storage.Config{DSN: e.dsn(b)}).Users(hasher(b, password.Config{}))
			if _, err := users.Add(b.Context(), storage.NewUser{Username: "anna", Password: goodPassword}); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := users.Authenticate(b.Context(), "anna", goodPassword); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
