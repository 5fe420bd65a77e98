package password

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// PW-1
func TestWhichPasswordsMayBeChosen(t *testing.T) {
	about := []string{"alice.smith", "Alice Smith", "alice@example-corp.com", "Sallyport"}
	const ok = Reason("")
	for pw, want := range map[string]Reason{
		// Anything goes, without rules of composition.
		"horse staple battery":   ok,
		"aaa bbb ccc mmm":        ok,
		"пароль для дома":        ok,
		"正しい馬のバッテリー":             ok,
		"💡🐎🔋📎 lamp":              ok,
		"zq8 vt4k":               ok,
		"  zq8  vt4k  ":          ok,
		"mississippi river 3":    ok,
		"i hate passwords a lot": ok,
		"alice likes her horse":  ok, // more than the name
		"dragonfruit salad":      ok,

		"":        TooShort,
		"zq8vt4k": TooShort,
		"e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301": TooShort, // 14 code points, 7 characters
		strings.Repeat("ab9 ", 65):                          TooLong,
		strings.Repeat("a", longest+1):                      TooLong,
		"zq8vt4k\xff\xfe":                                   NotText,

		"password":                     Common,
		"PASSWORD":                     Common,
		"Password1":                    Common,
		"p@ssw0rd":                     Common,
		"P@$$w0rd2026!":                Common,
		"passwordpassword":             Common,
		"qwertyuiop":                   Common,
		"1q2w3e4r":                     Common,
		"12345678":                     Common,
		"          ":                   Common,
		"123456789012345":              Common,
		"98765432":                     Common,
		"aaaaaaaaaaaa":                 Common,
		"abcdefghij":                   Common,
		"hgfedcba":                     Common,
		"xyxyxyxy":                     Common,
		"dragon13":                     Common,
		"Dragon2026!":                  Common,
		"!!sunshine!!":                 Common,
		"Summer2026":                   Common,
		"i love you":                   Common,
		"correct horse battery staple": Common,
		"ｐａｓｓｗｏｒｄ":                     Common, // full width

		"alice123":     AboutYou,
		"ALICE2026":    AboutYou,
		"al1ce2026":    AboutYou,
		"smithalice":   AboutYou,
		"htims.ecila":  AboutYou,
		"alice.smith1": AboutYou,
		"sallyport!":   AboutYou,
		"Sallyp0rt26":  AboutYou,
		"example-corp": AboutYou,
	} {
		err := Rules{}.Check(pw, about...)
		var got Reason
		var refusal *Refusal
		if errors.As(err, &refusal) {
			got = refusal.Reason
		}
		if got != want || (err == nil) != (want == ok) {
			t.Errorf("%.40q: got %v, want %q", pw, err, want)
		}
	}
}

// PW-1
func TestAPasswordThatStandsAloneIsLonger(t *testing.T) {
	alone := Rules{Min: 15}
	var refusal *Refusal
	if err := alone.Check("horse staple b"); !errors.As(err, &refusal) || refusal.Reason != TooShort || refusal.Limit != 15 {
		t.Errorf("14 characters: got %v", err)
	}
	if err := alone.Check("horse staple ba"); err != nil {
		t.Errorf("15 characters: got %v", err)
	}
	if err := (Rules{}).Check(strings.Repeat("ab9 ", 64)); !errors.As(err, &refusal) || refusal.Reason != Common {
		t.Errorf("256 characters, four of them new: got %v", err)
	}
	long := strings.Repeat("the lamp on my desk is older than I am; ", 7)
	if err := (Rules{}).Check("x" + long[:255]); err != nil {
		t.Errorf("256 characters: got %v", err)
	}
}

func TestARefusalSpeaksToPeopleAndShowsNoPassword(t *testing.T) {
	for _, r := range []Reason{TooShort, TooLong, NotText, Common, AboutYou, ""} {
		s := (&Refusal{Reason: r, Limit: 8}).Sentence()
		if !strings.HasSuffix(s, ".") || strings.Contains(s, "password:") {
			t.Errorf("%s: got %q", r, s)
		}
	}
	// LG-2
	if err := (Rules{}).Check("dragon13"); strings.Contains(err.Error(), "dragon") {
		t.Errorf("the error shows the password: %v", err)
	}
}

func TestTheListOfCommonPasswordsIsClean(t *testing.T) {
	if n := len(common()); n < 1000 {
		t.Errorf("%d entries", n)
	}
	for w := range common() {
		if w != fold(w) || utf8.RuneCountInString(w) < 3 {
			t.Errorf("%q can never be compared, or is too short to say anything", w)
		}
	}
}

// Nothing that is typed makes Check fail in another way than by refusing.
func FuzzCheck(f *testing.F) {
	f.Add("dragon13", "alice")
	f.Add("\u0130stanbul\u0130", "\u0131")
	f.Fuzz(func(t *testing.T, pw, about string) {
		err := Rules{}.Check(pw, about)
		var refusal *Refusal
		if err != nil && !errors.As(err, &refusal) {
			t.Errorf("got %v", err)
		}
	})
}
