package mfa

import (
	"fmt"
	"strings"
	"testing"
)

// RC-2
func TestRecoveryCodesAreTenOfEightyBits(t *testing.T) {
	texts, kept, err := newRecoveryCodes()
	if err != nil {
		t.Fatal(err)
	}
	if len(texts) != 10 || len(kept) != 10 {
		t.Fatalf("%d codes, %d kept, want 10", len(texts), len(kept))
	}
	secrets, selectors := map[string]bool{}, map[string]bool{}
	for _, text := range texts {
		selector, secret, ok := splitRecoveryCode(text)
		if !ok || len(secret)*5 < 80 {
			t.Errorf("%q has a secret of %d bits", text, len(secret)*5)
		}
		secrets[secret], selectors[selector] = true, true
	}
	if len(secrets) != 10 || len(selectors) != 10 {
		t.Errorf("%d secrets and %d selectors differ, want 10", len(secrets), len(selectors))
	}
}

func TestNoTwoRecoveryCodesOfASetHaveOneSelector(t *testing.T) {
	n := 0
	texts := drawRecoveryCodes(func() string {
		n++
		return fmt.Sprintf("%04d%016d", n/2, n)
	})
	seen := map[string]bool{}
	for _, text := range texts {
		seen[text[:selectorSize]] = true
	}
	if len(texts) != 10 || len(seen) != 10 {
		t.Errorf("%d codes with %d selectors, want 10: %q", len(texts), len(seen), texts)
	}
}

// RC-2: a dump accepts nothing.
func TestOnlyASlowSaltedHashOfARecoveryCodeIsKept(t *testing.T) {
	texts, kept, err := newRecoveryCodes()
	if err != nil {
		t.Fatal(err)
	}
	salts := map[string]bool{}
	for _, k := range kept {
		parts := strings.Split(k.Hash, "$")
		if len(parts) != 6 || parts[1] != "argon2id" || parts[3] != "m=8192,t=2,p=1" || len(parts[4]) < 22 {
			t.Errorf("kept as %q", k.Hash)
			continue
		}
		salts[parts[4]] = true
		for _, text := range texts {
			_, secret, _ := splitRecoveryCode(text)
			if strings.Contains(k.Hash, secret) {
				t.Errorf("the code stands in %q", k.Hash)
			}
			right, err := matches(k.Hash, secret)
			if want := strings.HasPrefix(text, k.Selector); err != nil || right != want {
				t.Errorf("%s opens the hash of %s: %v, %v", text, k.Selector, right, err)
			}
		}
		if right, err := matches(k.Hash, k.Hash); err != nil || right {
			t.Errorf("the hash opens itself: %v, %v", right, err)
		}
	}
	if len(salts) != 10 {
		t.Errorf("%d salts differ, want 10", len(salts))
	}
}

// RC-2: an unknown selector costs what a known one does.
func TestAnUnknownCodeCostsAHashToo(t *testing.T) {
	kept, err := hash("0123456789ABCDEF")
	if err != nil {
		t.Fatal(err)
	}
	known := testing.AllocsPerRun(3, func() { matches(kept, "FEDCBA9876543210") })
	for _, secret := range []string{"FEDCBA9876543210", ""} {
		unknown := testing.AllocsPerRun(3, func() {
			if right, err := matches("", secret); right || err != nil {
				t.Errorf("an unknown code is right: %v, %v", right, err)
			}
		})
		// Each argon2id run allocates its memory; nothing else here allocates
		// in any number.
		if unknown < known/2 {
			t.Errorf("%q: %v allocations for an unknown selector, %v for a known one", secret, unknown, known)
		}
	}
}

func TestARecoveryCodeIsReadAsPeopleTypeIt(t *testing.T) {
	const want = "7Q2MV9KDX3TB04HNWYR1"
	for _, in := range []string{
		"7Q2M-V9KD-X3TB-04HN-WYR1", "7q2m-v9kd-x3tb-04hn-wyr1", "7q2mv9kdx3tb04hnwyr1", " 7Q2M V9KD X3TB 04HN WYR1\r\n",
		"7Q2M–V9KD—X3TB‐04HN-WYRl", "7Q2M-V9KD-X3TB-O4HN-WYRI", "7Q2M\u00a0V9KD\u202fX3TB o4hn wyri", "--7Q2MV9KDX3TB04HNWYR1--",
	} {
		selector, secret, ok := splitRecoveryCode(in)
		if !ok || selector+secret != want {
			t.Errorf("%q is read as %q %q, %v", in, selector, secret, ok)
		}
	}
	for _, in := range []string{
		"", "7Q2M", "7Q2M-V9KD-X3TB-04HN-WYR", "7Q2M-V9KD-X3TB-04HN-WYR11", "7Q2M-V9KD-X3TB-04HN-WYRU", "7Q2M-V9KD-X3TB-04HN-WYR!",
		"７Q2M-V9KD-X3TB-04HN-WYR1", "7Q2M-V9KD-X3TB-04HN-WYſ", strings.Repeat("-", 1<<20) + want,
	} {
		if selector, secret, ok := splitRecoveryCode(in); ok || selector != "" || secret != "" {
			t.Errorf("%.40q is read as %q %q", in, selector, secret)
		}
	}
}

func FuzzSplitRecoveryCode(f *testing.F) {
	f.Add("7Q2M-V9KD-X3TB-04HN-WYR1")
	f.Add("7q2m v9kd x3tb o4hn wyrl")
	f.Add("\xff–—")
	f.Fuzz(func(t *testing.T, in string) {
		selector, secret, ok := splitRecoveryCode(in)
		if !ok {
			if selector != "" || secret != "" {
				t.Errorf("%q is refused, and read as %q %q", in, selector, secret)
			}
			return
		}
		if len(selector) != 4 || len(secret) != 16 || strings.Trim(selector+secret, alphabet) != "" {
			t.Errorf("%q is read as %q %q", in, selector, secret)
		}
		if a, b, ok := splitRecoveryCode(grouped(selector + secret)); !ok || a != selector || b != secret {
			t.Errorf("%q, written again, is read as %q %q", in, a, b)
		}
	})
}

func BenchmarkRecoveryCheck(b *testing.B) {
	kept, err := hash("0123456789ABCDEF")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if right, err := matches(kept, "FEDCBA9876543210"); right || err != nil {
			b.Fatal(right, err)
		}
	}
}
