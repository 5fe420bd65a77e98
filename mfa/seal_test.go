package mfa_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/sallyport-id/sallyport/mfa"
)

// key returns a Key that is different for each seed.
func key(id string, seed byte) mfa.Key {
	b := make([]byte, mfa.KeySize)
	for i := range b {
		b[i] = seed + byte(i)
	}
	return mfa.Key{ID: id, Secret: b}
}

func sealer(t testing.TB, keys ...mfa.Key) *mfa.Sealer {
	t.Helper()
	s, err := mfa.NewSealer(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TO-5
func TestWhatIsSealedOpensOnlyAboutTheSame(t *testing.T) {
	s := sealer(t, key("k1", 1))
	text := s.Seal([]byte("attack at dawn"), "totp", "alice", "1")
	if got, err := s.Open(text, "totp", "alice", "1"); err != nil || string(got) != "attack at dawn" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, about := range [][]string{
		nil, {"totp"}, {"totp", "bob", "1"}, {"totp", "alice", "2"}, {"pending", "alice", "1"},
		{"totp", "alice1"}, {"totp", "alic", "e1"}, {"totpalice1"}, {"totp", "alice", "1", ""},
	} {
		if _, err := s.Open(text, about...); !errors.Is(err, mfa.ErrUnsealable) {
			t.Errorf("about %q: got %v, want ErrUnsealable", about, err)
		}
	}
}

func TestAnyChangeOfSealedTextIsFound(t *testing.T) {
	s := sealer(t, key("k1", 1), key("k2", 9))
	text := string(s.Seal([]byte("x"), "a"))
	for i := range text {
		for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=.\n") {
			changed := text[:i] + string(c) + text[i+1:]
			if changed == text {
				continue
			}
			if _, err := s.Open(mfa.Sealed(changed), "a"); err == nil {
				t.Errorf("opens with %q for %q at %d", c, text[i], i)
			}
		}
	}
	for _, changed := range []string{"", text + "A", text + "\n", text[:len(text)-1], strings.Replace(text, "k1", "k2", 1), "v1.k1.", "v1.k1", "v1..", ".."} {
		if _, err := s.Open(mfa.Sealed(changed), "a"); err == nil {
			t.Errorf("%q opens", changed)
		}
	}
}

func TestTheFirstKeySealsAndAllOpen(t *testing.T) {
	old, new := key("2025", 1), key("2026", 50)
	before := sealer(t, old)
	text := before.Seal([]byte("secret"), "a")
	after := sealer(t, new, old)
	if got, err := after.Open(text, "a"); err != nil || string(got) != "secret" {
		t.Fatalf("after rotation: got %q, %v", got, err)
	}
	if !after.NeedsReseal(text) || before.NeedsReseal(text) {
		t.Error("what the old key sealed needs resealing after the rotation, and only then")
	}
	fresh := after.Seal([]byte("secret"), "a")
	if !strings.HasPrefix(string(fresh), "v1.2026.") || after.NeedsReseal(fresh) {
		t.Errorf("sealed after rotation as %q", fresh)
	}
	if _, err := sealer(t, new).Open(text, "a"); !errors.Is(err, mfa.ErrNoKey) {
		t.Errorf("with the old key gone: got %v, want ErrNoKey", err)
	}
	if after.NeedsReseal("") {
		t.Error("nothing needs resealing")
	}
	// The same ID on another key is not the same key.
	if _, err := sealer(t, key("2025", 77)).Open(text, "a"); !errors.Is(err, mfa.ErrUnsealable) {
		t.Errorf("another key of the same ID: got %v, want ErrUnsealable", err)
	}
}

func TestAKeyWithoutAnIDGetsOneThatStaysTheSame(t *testing.T) {
	text := sealer(t, key("", 3)).Seal([]byte("x"))
	if _, err := sealer(t, key("", 4), key("", 3)).Open(text); err != nil {
		t.Errorf("after a restart with another key in front: %v", err)
	}
	if id := strings.Split(string(text), ".")[1]; len(id) != 8 {
		t.Errorf("derived ID is %q", id)
	}
}

func TestOneSecretIsNeverSealedTwiceTheSame(t *testing.T) {
	s := sealer(t, key("k1", 1))
	seen := map[mfa.Sealed]bool{}
	for range 100 {
		text := s.Seal([]byte("x"), "a")
		if seen[text] {
			t.Fatal("two sealed texts are equal")
		}
		seen[text] = true
	}
}

// AD-1
func TestAKeyOfNoUseIsRefused(t *testing.T) {
	good := key("k1", 1)
	for name, keys := range map[string][]mfa.Key{
		"none":           nil,
		"empty":          {{ID: "a"}},
		"31 bytes":       {{ID: "a", Secret: good.Secret[:31]}},
		"zeroes":         {{ID: "a", Secret: make([]byte, 32)}},
		"one character":  {{ID: "a", Secret: bytes.Repeat([]byte("x"), 40)}},
		"dot in ID":      {{ID: "a.b", Secret: good.Secret}},
		"space in ID":    {{ID: "a b", Secret: good.Secret}},
		"long ID":        {{ID: strings.Repeat("a", 33), Secret: good.Secret}},
		"ID twice":       {good, {ID: "k1", Secret: key("", 9).Secret}},
		"second is bad":  {good, {ID: "k2", Secret: []byte("short")}},
		"same key twice": {key("", 1), key("", 1)},
	} {
		if s, err := mfa.NewSealer(keys...); !errors.Is(err, mfa.ErrKey) || s != nil {
			t.Errorf("%s: got %v, want ErrKey", name, err)
		} else if strings.Contains(err.Error(), "short\"") || strings.Contains(err.Error(), "xxx") {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
}

// LG-2
func TestAKeyShowsNoSecretHoweverItIsPrinted(t *testing.T) {
	k := mfa.Key{ID: "k1", Secret: []byte("correct horse battery staple 123")}
	s := sealer(t, k)
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb+verb, k, &k, s, []any{k, s, struct{ K mfa.Key }{k}})
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", k, "sealer", s, "keys", []mfa.Key{k})
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "key", k, "sealer", s, "keys", []mfa.Key{k})
	js, err := json.Marshal(map[string]any{"k": k, "s": s})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(js)
	assertHides(t, out.String(), k.Secret)
	for _, v := range []any{k, &k, s} {
		if kind := slog.AnyValue(v).Resolve().Kind(); kind != slog.KindString {
			t.Errorf("a log handler gets %v of %T", kind, v)
		}
	}
}

// assertHides fails if secret stands in out, in any usual form.
func assertHides(t *testing.T, out string, secret []byte) {
	t.Helper()
	for name, form := range map[string]string{
		"raw":     string(secret),
		"hex":     fmt.Sprintf("%x", secret),
		"base64":  base64.RawStdEncoding.EncodeToString(secret),
		"decimal": strings.Trim(fmt.Sprint(secret), "[]"),
	} {
		if strings.Contains(strings.ToLower(out), strings.ToLower(form)) {
			t.Errorf("the secret is shown, %s", name)
		}
	}
}

func FuzzSealerOpen(f *testing.F) {
	s, err := mfa.NewSealer(key("k1", 1), key("k2", 2))
	if err != nil {
		f.Fatal(err)
	}
	text := s.Seal([]byte("plain"), "about")
	f.Add(string(text))
	f.Add("v1.k1.AAAA")
	f.Add("v2.k1.")
	f.Add("")
	f.Fuzz(func(t *testing.T, in string) {
		got, err := s.Open(mfa.Sealed(in), "about")
		if err == nil && string(got) != "plain" { // another process sealed the seed with another nonce
			t.Errorf("%q opens as %q", in, got)
		}
		if err != nil && !errors.Is(err, mfa.ErrUnsealable) && !errors.Is(err, mfa.ErrNoKey) {
			t.Errorf("unexpected error %v", err)
		}
		s.NeedsReseal(mfa.Sealed(in))
	})
}

func BenchmarkSeal(b *testing.B) {
	s := sealer(b, key("k1", 1))
	secret := make([]byte, 20)
	b.ReportAllocs()
	for b.Loop() {
		s.Seal(secret, "totp", "alice")
	}
}

func BenchmarkOpen(b *testing.B) {
	s := sealer(b, key("k1", 1))
	text := s.Seal(make([]byte, 20), "totp", "alice")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Open(text, "totp", "alice"); err != nil {
			b.Fatal(err)
		}
	}
}
