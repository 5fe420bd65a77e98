package mfa

import (
	"bytes"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/boombuler/barcode/qr"
)

// hostile are names that have broken URIs of others.
var hostile = []string{
	"", "alice", "alice@example.com", "a:b", "&secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "?issuer=evil", "#", "a#b", "a/b/../c",
	"a b+c", "line\nbreak", "\r\nSet-Cookie: x", "\u202egnp.exe", "\u200f", "%26secret%3D", "%", "%zz", "\x00", "\xff\xfe",
	"日本語", "😀", strings.Repeat("😀", 500), "=", ";secret=AAAA", "ａ＆ｂ",
}

// TO-13
func TestHostileNamesAddNoParameter(t *testing.T) {
	for _, issuer := range hostile {
		for _, account := range hostile {
			assertURI(t, strings.ReplaceAll(issuer, ":", ""), account)
		}
	}
}

func FuzzOTPAuthURI(f *testing.F) {
	for _, s := range hostile {
		f.Add("Sallyport", s)
		f.Add(s, "alice")
	}
	f.Fuzz(func(t *testing.T, issuer, account string) {
		if len(issuer) > 64 || strings.Contains(issuer, ":") {
			return // New refuses them
		}
		assertURI(t, issuer, account)
	})
}

func assertURI(t *testing.T, issuer, account string) {
	t.Helper()
	secret, p := rfcSecret("SHA1"), Params{"SHA256", 8, 60}
	uri := otpauthURI(issuer, account, secret, p)
	for _, c := range []byte(uri) {
		if c <= ' ' || c >= 0x7f {
			t.Fatalf("%q, %q: byte %#x in %q", issuer, account, c, uri)
		}
	}
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatalf("%q, %q: %v", issuer, account, err)
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		t.Fatalf("%q, %q: %v", issuer, account, err)
	}
	want := url.Values{
		"secret": {secret.base32()}, "issuer": {issuer}, "algorithm": {"SHA256"}, "digits": {"8"}, "period": {"60"},
	}
	if q.Encode() != want.Encode() || u.Fragment != "" || u.Host != "totp" || u.User != nil {
		t.Errorf("%q, %q: parameters are %v in %q", issuer, account, q, uri)
	}
	label := strings.TrimPrefix(u.Path, "/")
	gotIssuer, gotAccount, _ := strings.Cut(label, ":")
	wantAccount := []rune(strings.ToValidUTF8(account, "\uFFFD"))
	if gotIssuer != issuer || gotAccount != string(wantAccount[:min(len(wantAccount), maxAccount)]) {
		t.Errorf("%q, %q: the label is %q", issuer, account, label)
	}
	if !utf8.ValidString(issuer) || len(uri) > maxURI {
		return
	}
	gotSecret, gotParams, err := ParseOTPAuth(uri)
	if err != nil || !bytes.Equal(gotSecret, secret) || gotParams != p {
		t.Errorf("%q, %q: what was built is read as %+v, %v", issuer, account, gotParams, err)
	}
}

func TestTheLongestURIFitsIntoAQRCode(t *testing.T) {
	uri := otpauthURI(strings.Repeat("é", 32), strings.Repeat("😀", 500), rfcSecret("SHA1"), Params{"SHA512", 8, 60})
	if _, err := qr.Encode(uri, qr.M, qr.Auto); err != nil {
		t.Errorf("%d bytes: %v", len(uri), err)
	}
}

const rfcBase32 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" // 12345678901234567890

func TestAnOTPAuthURIIsReadAsAppsReadIt(t *testing.T) {
	for uri, want := range map[string]Params{
		"otpauth://totp/Example:alice?secret=" + rfcBase32:                                   {"SHA1", 6, 30},
		"otpauth://totp/Example:alice?secret=" + strings.ToLower(rfcBase32):                  {"SHA1", 6, 30},
		"otpauth://totp/?secret=" + rfcBase32 + "&issuer=Example":                            {"SHA1", 6, 30},
		"otpauth://TOTP/a%20b?algorithm=sha256&digits=8&period=60&secret=" + rfcBase32:       {"SHA256", 8, 60},
		"OTPAUTH://totp/a?algorithm=SHA512&secret=" + rfcBase32 + "&image=https%3A%2F%2Fx.y": {"SHA512", 6, 30},
	} {
		s, p, err := ParseOTPAuth(uri)
		if err != nil || string(s) != "12345678901234567890" || p != want {
			t.Errorf("%s: got %+v, %v, want %+v", uri, p, err, want)
		}
	}
	s, _, err := ParseOTPAuth("otpauth://totp/a?secret=JBSWY3DPEHPK3PXP")
	if err != nil || len(s) != 10 {
		t.Errorf("80 bits: %v", err)
	}
	s, _, err = ParseOTPAuth("otpauth://totp/a?secret=" + (rfcSecret("SHA256")[:16]).base32() + "======")
	if err != nil || len(s) != 16 {
		t.Errorf("with padding: %v", err)
	}
}

func TestAnOTPAuthURIThatMayMeanOtherCodesIsRefused(t *testing.T) {
	const good = "otpauth://totp/a?secret=" + rfcBase32
	for name, uri := range map[string]string{
		"empty":               "",
		"another scheme":      "https://totp/a?secret=" + rfcBase32,
		"HOTP":                "otpauth://hotp/a?counter=1&secret=" + rfcBase32,
		"no host":             "otpauth:totp/a?secret=" + rfcBase32,
		"a port":              "otpauth://totp:1/a?secret=" + rfcBase32,
		"a user":              "otpauth://x@totp/a?secret=" + rfcBase32,
		"a fragment":          good + "#x",
		"an empty fragment":   good + "#",
		"no secret":           "otpauth://totp/a",
		"empty secret":        "otpauth://totp/a?secret=",
		"two secrets":         good + "&secret=" + rfcBase32,
		"two periods":         good + "&period=30&period=60",
		"short secret":        "otpauth://totp/a?secret=GEZDGNBVGY3TQO",
		"long secret":         "otpauth://totp/a?secret=" + strings.Repeat("A", 400),
		"no base32":           "otpauth://totp/a?secret=GEZDGNBVGY3TQOJ1GEZDGNBVGY3TQOJ1",
		"padding inside":      "otpauth://totp/a?secret=GEZDGNBV=GY3TQOJQGEZDGNBVGY3TQOJQ",
		"line break":          "otpauth://totp/a?secret=GEZDGNBVGY3TQOJQ%0AGEZDGNBVGY3TQOJQ",
		"impossible length":   good + "A",
		"MD5":                 good + "&algorithm=MD5",
		"empty algorithm":     good + "&algorithm=",
		"seven digits":        good + "&digits=7",
		"no digits":           good + "&digits=0",
		"digits in words":     good + "&digits=six",
		"signed digits":       good + "&digits=%2B6",
		"no period":           good + "&period=0",
		"negative period":     good + "&period=-30",
		"long period":         good + "&period=3600",
		"huge period":         good + "&period=99999999999999999999",
		"Steam's encoder":     good + "&encoder=steam",
		"an unknown key":      good + "&foo=bar",
		"a case of its own":   good + "&Digits=8",
		"a broken escape":     good + "&issuer=%zz",
		"a semicolon":         good + ";digits=8",
		"space before":        " " + good,
		"ten thousand letter": good + "&issuer=" + strings.Repeat("x", 10000),
	} {
		s, _, err := ParseOTPAuth(uri)
		if !errors.Is(err, ErrOTPAuth) || s != nil {
			t.Errorf("%s: got %v, want ErrOTPAuth", name, err)
			continue
		}
		if strings.Contains(err.Error(), "GEZDGNBV") { // LG-2
			t.Errorf("%s: the error shows the secret: %v", name, err)
		}
	}
}

func FuzzParseOTPAuth(f *testing.F) {
	f.Add("otpauth://totp/a?secret=" + rfcBase32)
	f.Add("otpauth://totp/Example:alice?secret=JBSWY3DPEHPK3PXP&issuer=Example&algorithm=SHA512&digits=8&period=60")
	f.Add("otpauth://hotp/a?secret=GEZDGNBVGY3TQOJQ&counter=1")
	f.Fuzz(func(t *testing.T, uri string) {
		s, p, err := ParseOTPAuth(uri)
		if err != nil {
			if !errors.Is(err, ErrOTPAuth) || s != nil || p != (Params{}) {
				t.Errorf("%q: got %+v, %v", uri, p, err)
			}
			return
		}
		if len(s) < minSecret || len(s) > maxSecret || p.Check() != nil {
			t.Errorf("%q: %d bytes, %+v", uri, len(s), p)
		}
		again, q, err := ParseOTPAuth(otpauthURI("x", "y", s, p))
		if err != nil || q != p || !slices.Equal(again, s) {
			t.Errorf("%q: written and read again it is %+v, %v", uri, q, err)
		}
	})
}
