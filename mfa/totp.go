package mfa

import (
	"cmp"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

const (
	secretSize = 20 // bytes of a new secret: what RFC 4226 section 4 (R6) recommends
	window     = 1  // steps before and after the current one whose codes are good: RFC 6238 section 5.2
	hintWindow = 10 // steps as far as which a clock that is off is recognized
)

// A Secret is a TOTP secret. It prints as nothing of use.
type Secret []byte

func (s Secret) String() string               { return "mfa.Secret" }
func (s Secret) Format(f fmt.State, _ rune)   { io.WriteString(f, s.String()) }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(s.String()) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// base32 as authenticator apps read it.
func (s Secret) base32() string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(s)
}

func newSecret() Secret {
	s := make(Secret, secretSize)
	rand.Read(s)
	return s
}

// algorithms are those that RFC 6238 has, by the names that otpauth URIs use.
var algorithms = map[string]otp.Algorithm{
	"SHA1":   otp.AlgorithmSHA1,
	"SHA256": otp.AlgorithmSHA256,
	"SHA512": otp.AlgorithmSHA512,
}

// orDefault returns p with SHA1, 6 digits and 30 seconds where it says nothing.
// Nothing else is understood by every authenticator app.
func (p Params) orDefault() Params {
	return Params{cmp.Or(p.Algorithm, "SHA1"), cmp.Or(p.Digits, 6), cmp.Or(p.Period, 30)}
}

// Check says what is wrong with p. Nothing may be left out.
func (p Params) Check() error {
	if _, ok := algorithms[p.Algorithm]; !ok {
		return fmt.Errorf("mfa: algorithm %q is none of SHA1, SHA256 and SHA512", p.Algorithm)
	}
	if p.Digits != 6 && p.Digits != 8 {
		return fmt.Errorf("mfa: %d digits are neither 6 nor 8", p.Digits)
	}
	// A code is good for up to three steps: no more than three minutes.
	if p.Period < 15 || p.Period > 60 {
		return fmt.Errorf("mfa: a period of %d seconds is not between 15 and 60", p.Period)
	}
	return nil
}

// step returns the time step that now is in.
func (p Params) step(now time.Time) int64 { return now.Unix() / int64(p.Period) }

// code returns secret's code of a time step.
func (p Params) code(secret Secret, step int64) (string, error) {
	return hotp.GenerateCodeCustom(secret.base32(), uint64(step), hotp.ValidateOpts{
		Digits:    otp.Digits(p.Digits),
		Algorithm: algorithms[p.Algorithm],
	})
}

// A fit says which time step a code belongs to, if to any near now.
type fit struct {
	ok     bool
	step   int64
	offset int // of step from the current one
}

// inWindow reports whether the code is good by its time.
func (f fit) inWindow() bool { return f.ok && f.offset >= -window && f.offset <= window }

// drift is how far the clock is off that shows the code of f.
func (p Params) drift(f fit) time.Duration {
	return time.Duration(f.offset) * time.Duration(p.Period) * time.Second
}

// fit returns the step whose code is code: of those in the window the highest,
// because two steps can share a code, and the lower one stored as used would
// leave the code good for the higher one; otherwise the one nearest to now that
// a clock which is off may have meant.
//
// Every step is computed and compared, each time and in constant time: a code
// that is right takes as long as one that is wrong.
func (p Params) fit(secret Secret, code string, now time.Time) (fit, error) {
	current := p.step(now)
	found, hit := 0, 0
	compare := func(offset int) error {
		want, err := p.code(secret, current+int64(offset))
		if err != nil {
			return fmt.Errorf("computing a code: %w", err)
		}
		same := subtle.ConstantTimeCompare([]byte(want), []byte(code))
		hit = subtle.ConstantTimeSelect(same, offset, hit)
		found |= same
		return nil
	}
	// The last that fits stays.
	for far := hintWindow; far > window; far-- {
		for _, offset := range []int{-far, far} {
			if err := compare(offset); err != nil {
				return fit{}, err
			}
		}
	}
	for offset := -window; offset <= window; offset++ {
		if err := compare(offset); err != nil {
			return fit{}, err
		}
	}
	return fit{found == 1, current + int64(hit), hit}, nil
}

// normalCode returns code without spaces if it is exactly so many ASCII digits,
// and otherwise a text that no code equals.
func normalCode(code string, digits int) string {
	if len(code) > 64 {
		return ""
	}
	code = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Zs, r) {
			return -1
		}
		return r
	}, code)
	if len(code) != digits || strings.Trim(code, "0123456789") != "" {
		return ""
	}
	return code
}
