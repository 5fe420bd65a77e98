package userfile_test

import (
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/userfile"
	"github.com/sallyport-id/sallyport/provider"
)

const (
	hash = `$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2E$Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmE`
	uri  = `otpauth://totp/Old:ada?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Old`
)

func TestALineIsRead(t *testing.T) {
	got, err := userfile.Parse([]byte(`{"username": "ada", "disabled": true, "name": "Ada Byron",
		"email": "ada@example.com", "email_verified": true, "phone_number": "+49 30 1", "updated_at": 1700000000,
		"address": {"formatted": "1 Quay\nHarbour", "country": "UK"}, "groups": ["staff", "admins"],
		"attributes": {"department": "R&D", "badge": 17, "desks": ["a"]},
		"password_hash": "` + hash + `", "otpauth": "` + uri + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	want := userfile.Record{
		Username: "ada", Disabled: true,
		Claims: provider.Claims{
			Name: "Ada Byron", Email: "ada@example.com", EmailVerified: true, PhoneNumber: "+49 30 1",
			Address: &provider.Address{Formatted: "1 Quay\nHarbour", Country: "UK"}, Groups: []string{"staff", "admins"},
			Attributes: map[string]any{"department": "R&D", "badge": 17.0, "desks": []any{"a"}},
		},
		PasswordHash: hash, OTPAuth: uri,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got, err := userfile.Parse([]byte(`{"username": "bob"}`)); err != nil || got.Username != "bob" {
		t.Errorf("a line with a username alone: %+v, %v", got, err)
	}
}

func TestABadLineIsRefusedInWordsAndWithoutItsSecrets(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{`{}`, "no username"},
		{`{"username": ""}`, "no username"},
		{`{"username": " ada"}`, "spaces around"},
		{`{"username": "a\u0000b"}`, "control characters"},
		{`{"username": "` + strings.Repeat("a", 256) + `"}`, "too long"},
		{`{"username": "ada", "sub": "u-1"}`, `not known, "sub"`},
		{`{"username": "ada", "emial": "x"}`, `not known, "emial"`},
		{`{"username": "ada", "password": "hunter2"}`, `not known, "password"`},
		{`{"username": "ada", "email": "ada"}`, "email is no mail address"},
		{`{"username": "ada", "email": "Ada <ada@example.com>"}`, "email is no mail address"},
		{`{"username": "ada", "email_verified": "true"}`, "email_verified has the wrong type, string"},
		{`{"username": "ada", "groups": "staff"}`, "groups has the wrong type"},
		{`{"username": "ada", "groups": [""]}`, "groups has one"},
		{`{"username": "ada", "attributes": {"sub": "u-1"}}`, "attributes has sub, which is how tokens"},
		{`{"username": "ada", "attributes": {"x": 1, "email": "a@example.org"}}`, "attributes has email, which is a claim of its own"},
		{`{"username": "ada", "attributes": {"": 1}}`, "attributes has a name"},
		{`{"username": "ada", "attributes": {"a\u0000": 1}}`, "attributes has a name"},
		{`{"username": "ada", "attributes": "x"}`, "attributes has the wrong type"},
		{`{"username": "ada", "department": "x"}`, `not known, "department"`},
		{`{"username": "ada", "name": "a\nb"}`, "name is too long or has control"},
		{`{"username": "ada", "address": "1 Quay"}`, "address has the wrong type"},
		{`{"username": "ada", "updated_at": "now"}`, "updated_at has the wrong type"},
		{`{"username": "ada", "password_hash": "hunter2"}`, "password_hash"},
		{`{"username": "ada", "password_hash": "$argon2id$v=19$m=99999999,t=99,p=1$c2FsdHNhbHRzYWx0$aHVudGVyMmh1bnRlcjJodW50ZXIy"}`, "password_hash"},
		{`{"username": "ada", "otpauth": "otpauth://hotp/x?secret=hunter2"}`, "otpauth"},
		{`{"username": "ada"} {"username": "bob"}`, "something behind"},
		{`{"username": "ada"`, "ends too early"},
		{`["ada"]`, "no JSON object"},
		{`"hunter2"`, "no JSON object"},
		{`username: ada, password: hunter2`, "no JSON"},
		{"{\"username\": \"\xff\"}", "not UTF-8"},
	} {
		_, err := userfile.Parse([]byte(c.line))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.line, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "aHVudGVy")) {
			t.Errorf("%s: the error shows a secret: %v", c.line, err)
		}
	}
}

func TestBadLinesAreNumberedAndTheRestIsRead(t *testing.T) {
	file := "\ufeff{\"username\": \"ada\"}\r\n\n" + "  \n" + `{"username": ` + "\n" +
		`{"username": "` + strings.Repeat("x", 100_000) + `"}` + "\n" + `{"username": "bob"}`
	var got []string
	for l := range userfile.Read(iotest.OneByteReader(strings.NewReader(file))) {
		text := l.Record.Username
		if l.Err != nil {
			text = l.Err.Error()
		}
		got = append(got, string(rune('0'+l.Number))+" "+text)
	}
	want := []string{"1 ada", "4 is no JSON: it ends too early", "5 is longer than 65536 bytes", "6 bob"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestAFileThatBreaksOffIsSaid(t *testing.T) {
	broken := io.MultiReader(strings.NewReader(`{"username": "ada"}`+"\n"), iotest.ErrReader(errors.New("the disk is gone")))
	var last userfile.Line
	n := 0
	for l := range userfile.Read(broken) {
		last = l
		n++
	}
	if n != 2 || last.Err == nil || last.Number != 0 {
		t.Errorf("got %d lines, the last %+v", n, last)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"username": "ada", "password_hash": "` + hash + `", "otpauth": "` + uri + `"}`))
	f.Add([]byte(`{"username": "ada", "address": {"country": "x"}, "groups": ["a"], "updated_at": 1}`))
	f.Add([]byte(`{"username": 1}`))
	f.Add([]byte(`{"username": "a", "x"`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := userfile.Parse(line)
		if err != nil {
			return
		}
		// What was taken can be stored and shown.
		if r.Username == "" || strings.ContainsAny(r.Username+r.Claims.Email, "\x00\r\n") {
			t.Errorf("%q became %+v", line, r)
		}
		if _, err := json.Marshal(r.Claims); err != nil {
			t.Error(err)
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add("{}\n\n{\"username\": \"a\"}\r\nx")
	f.Fuzz(func(t *testing.T, file string) {
		lines := strings.Count(file, "\n") + 1
		last := 0
		for l := range userfile.Read(strings.NewReader(file)) {
			if l.Number <= last || l.Number > lines {
				t.Fatalf("line %d after line %d of %d", l.Number, last, lines)
			}
			last = l.Number
		}
	})
}
