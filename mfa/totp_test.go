package mfa

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// rfcSecret is the secret of the test vectors for an algorithm: RFC 4226
// appendix D, RFC 6238 appendix B with its erratum 2866.
func rfcSecret(algorithm string) Secret {
	size := map[string]int{"SHA1": 20, "SHA256": 32, "SHA512": 64}[algorithm]
	return Secret(strings.Repeat("1234567890", 7)[:size])
}

// rfc4226 are the codes of the counters 0 to 9, six digits of SHA-1.
var rfc4226 = []string{
	"755224", "287082", "359152", "969429", "338314",
	"254676", "287922", "162583", "399871", "520489",
}

// rfc6238 are the codes of some times, eight digits.
var rfc6238 = []struct {
	unix      int64
	algorithm string
	code      string
}{
	{59, "SHA1", "94287082"},
	{59, "SHA256", "46119246"},
	{59, "SHA512", "90693936"},
	{1111111109, "SHA1", "07081804"},
	{1111111109, "SHA256", "68084774"},
	{1111111109, "SHA512", "25091201"},
	{1111111111, "SHA1", "14050471"},
	{1111111111, "SHA256", "67062674"},
	{1111111111, "SHA512", "99943326"},
	{1234567890, "SHA1", "89005924"},
	{1234567890, "SHA256", "91819424"},
	{1234567890, "SHA512", "93441116"},
	{2000000000, "SHA1", "69279037"},
	{2000000000, "SHA256", "90698825"},
	{2000000000, "SHA512", "38618901"},
	{20000000000, "SHA1", "65353130"},
	{20000000000, "SHA256", "77737706"},
	{20000000000, "SHA512", "47863826"},
}

// TO-1
func TestTheVectorsOfRFC4226Fit(t *testing.T) {
	p := Params{}.orDefault()
	for counter, want := range rfc4226 {
		got, err := p.code(rfcSecret("SHA1"), int64(counter))
		if err != nil || got != want {
			t.Errorf("code %d is %q, %v, want %q", counter, got, err, want)
		}
		at, err := p.fit(rfcSecret("SHA1"), want, time.Unix(int64(counter)*30, 0))
		if err != nil || !at.inWindow() || at.step != int64(counter) {
			t.Errorf("code %d fits at %+v, %v", counter, at, err)
		}
	}
}

// TO-1
func TestTheVectorsOfRFC6238Fit(t *testing.T) {
	for _, v := range rfc6238 {
		p := Params{v.algorithm, 8, 30}
		got, err := p.code(rfcSecret(v.algorithm), v.unix/30)
		if err != nil || got != v.code {
			t.Errorf("%s at %d: code is %q, %v, want %q", v.algorithm, v.unix, got, err, v.code)
		}
		at, err := p.fit(rfcSecret(v.algorithm), v.code, time.Unix(v.unix, 0))
		if err != nil || !at.inWindow() || at.offset != 0 {
			t.Errorf("%s at %d: fits at %+v, %v", v.algorithm, v.unix, at, err)
		}
	}
}

// A secret whose codes of two neighbouring steps are equal, found by search.
const (
	twinStep = 31914064 // 2000-05-04T06:32:00Z
	twinCode = "557456" // of rfcSecret("SHA1")
)

// TO-2: stored as the lower one, the code would be good again for the higher.
func TestOfTwoStepsThatShareACodeTheHigherOneCounts(t *testing.T) {
	p := Params{}.orDefault()
	for current, want := range map[int64]int64{
		twinStep - 1: twinStep, // the higher one is outside the window
		twinStep:     twinStep + 1,
		twinStep + 1: twinStep + 1,
		twinStep + 2: twinStep + 1,
	} {
		at, err := p.fit(rfcSecret("SHA1"), twinCode, time.Unix(current*30, 0))
		if err != nil || !at.inWindow() || at.step != want {
			t.Errorf("at step %d it fits %+v, %v, want step %d", current, at, err, want)
		}
	}
}

// TO-4, TO-12
func TestACodeFitsAsFarAsTheHintGoesAndIsGoodInTheWindow(t *testing.T) {
	p := Params{}.orDefault()
	now := time.Unix(1_500_000_000, 0)
	for offset := -12; offset <= 12; offset++ {
		code, err := p.code(rfcSecret("SHA1"), p.step(now)+int64(offset))
		if err != nil {
			t.Fatal(err)
		}
		at, err := p.fit(rfcSecret("SHA1"), code, now)
		if err != nil {
			t.Fatal(err)
		}
		far := max(offset, -offset)
		if at.ok != (far <= 10) || at.inWindow() != (far <= 1) || at.ok && at.offset != offset {
			t.Errorf("the code of %+d steps fits %+v", offset, at)
		}
	}
}

// TO-6
func TestACodeIsItsDigitsWithOrWithoutSpaces(t *testing.T) {
	for in, want := range map[string]string{
		"123456":                           "123456",
		" 123 456 ":                        "123456",
		"1 2 3 4 5 6":                      "123456",
		"123\u00a0456":                     "123456",
		"123\u202f456":                     "123456",
		"":                                 "",
		"12345":                            "",
		"1234567":                          "",
		"12345a":                           "",
		"123-456":                          "",
		"123456\n":                         "",
		"123456\x00":                       "",
		"+12345":                           "",
		"１２３４５６":                           "", // digits, but not ASCII
		"١٢٣":                              "", // six bytes
		strings.Repeat(" ", 59) + "123456": "", // nobody means that
	} {
		if got := normalCode(in, 6); got != want {
			t.Errorf("%.20q is read as %q, want %q", in, got, want)
		}
	}
	if got := normalCode("1234 5678", 8); got != "12345678" {
		t.Errorf("eight digits are read as %q", got)
	}
}

func FuzzNormalCode(f *testing.F) {
	for _, s := range []string{"123456", "123 456", "１２３４５６", "-12345", "1e5", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got := normalCode(in, 6)
		if got == "" {
			return
		}
		if len(got) != 6 || strings.Trim(got, "0123456789") != "" {
			t.Errorf("%q is read as %q", in, got)
		}
		if normalCode(got, 6) != got {
			t.Errorf("%q is read as %q, and that as another", in, got)
		}
	})
}

func TestParamsOtherThanThoseOfTheRFCAreRefused(t *testing.T) {
	for _, p := range []Params{
		{}, {"MD5", 6, 30}, {"sha1", 6, 30}, {"SHA1", 7, 30}, {"SHA1", 0, 30}, {"SHA1", 6, 0}, {"SHA1", 6, 14}, {"SHA1", 6, 61}, {"SHA1", 6, -30},
	} {
		if p.Check() == nil {
			t.Errorf("%+v are accepted", p)
		}
	}
	if got, want := (Params{}).orDefault(), (Params{"SHA1", 6, 30}); got != want || got.Check() != nil {
		t.Errorf("defaults are %+v, want %+v", got, want)
	}
}

// TO-5
func TestNewSecretsAre160BitsAndDiffer(t *testing.T) {
	a, b := newSecret(), newSecret()
	if len(a)*8 != 160 || bytes.Equal(a, b) {
		t.Errorf("%d bits, equal: %v", len(a)*8, bytes.Equal(a, b))
	}
}

// LG-2
func TestASecretShowsNothingHoweverItIsPrinted(t *testing.T) {
	s := Secret("a secret that is seen")
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb, s, &s, []any{s, struct{ S Secret }{s}})
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "secret", s, "in", []Secret{s})
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "secret", s, "in", []Secret{s})
	if err := json.NewEncoder(&out).Encode(map[string]any{"s": s}); err != nil {
		t.Fatal(err)
	}
	if kind := slog.AnyValue(s).Resolve().Kind(); kind != slog.KindString {
		t.Errorf("a log handler gets %v", kind)
	}
	for _, form := range []string{
		string(s), s.base32(), fmt.Sprintf("%x", []byte(s)), fmt.Sprintf("%X", []byte(s)),
		strings.Trim(fmt.Sprint([]byte(s)), "[]"), base32.HexEncoding.EncodeToString(s),
		base64.StdEncoding.EncodeToString(s),
	} {
		if strings.Contains(out.String(), form) {
			t.Errorf("shows %q", form)
		}
	}
}

func BenchmarkTOTPCheck(b *testing.B) {
	p := Params{}.orDefault()
	secret := newSecret()
	now := time.Unix(1_500_000_000, 0)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.fit(secret, "123456", now); err != nil {
			b.Fatal(err)
		}
	}
}
