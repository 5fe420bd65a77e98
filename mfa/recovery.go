package mfa

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/go-crypt/crypt/algorithm/argon2"
)

// A recovery code is five groups of four characters: a selector that finds the
// code and is no secret, and 80 random bits.
//
//	7Q2M-V9KD-X3TB-04HN-WYRE
//	└──┘ └─────────────────┘
//	selector      secret
const (
	recoveryCodes = 10
	groupSize     = 4
	selectorSize  = groupSize
	codeSize      = 5 * groupSize
)

// alphabet is Crockford's base32: no I, L, O and U, so that nobody has to tell
// them from 1, 0 and V.
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// The cost of one hash: about 10 ms. It does not have to hold off guessing at
// 80 bits; it makes the dump of a database worth nothing even if the generator
// turned out to be weak.
const (
	hashMemory = 8 << 10 // KiB
	hashPasses = 2
)

// hash returns the slow salted hash of the secret part of a code, as PHC text.
func hash(secret string) (string, error) {
	h, err := argon2.New(argon2.WithVariantID(), argon2.WithM(hashMemory), argon2.WithT(hashPasses), argon2.WithP(1))
	if err != nil {
		return "", err
	}
	digest, err := h.Hash(secret)
	if err != nil {
		return "", err
	}
	return digest.Encode(), nil
}

// matches reports whether phc is the hash of secret. If phc is empty, because
// there is no such code, one is computed all the same: whoever tries selectors
// learns nothing from the time it takes.
func matches(phc, secret string) (bool, error) {
	if phc == "" {
		_, err := hash(secret)
		return false, err
	}
	digest, err := argon2.Decode(phc)
	if err != nil {
		return false, err
	}
	return digest.MatchAdvanced(secret)
}

// newRecoveryCodes returns new codes, as people get them and as they are kept.
func newRecoveryCodes() (texts []string, kept []RecoveryCode, err error) {
	texts = drawRecoveryCodes(func() string { return randomText(codeSize) })
	kept = make([]RecoveryCode, len(texts))
	errs := make([]error, len(texts))
	var all sync.WaitGroup
	for i, text := range texts {
		all.Go(func() {
			selector, secret, _ := splitRecoveryCode(text)
			kept[i].Selector = selector
			kept[i].Hash, errs[i] = hash(secret)
		})
	}
	all.Wait()
	// In order of the selector, nothing tells in which order they were shown.
	slices.SortFunc(kept, func(a, b RecoveryCode) int { return cmp.Compare(a.Selector, b.Selector) })
	for _, err := range errs {
		if err != nil {
			return nil, nil, fmt.Errorf("hashing a recovery code: %w", err)
		}
	}
	return texts, kept, nil
}

// drawRecoveryCodes returns as many codes as an account gets, no two of which
// have one selector.
func drawRecoveryCodes(draw func() string) (texts []string) {
	seen := map[string]bool{}
	for len(texts) < recoveryCodes {
		code := draw()
		if selector := code[:selectorSize]; !seen[selector] {
			seen[selector] = true
			texts = append(texts, grouped(code))
		}
	}
	return texts
}

// randomText returns n characters of alphabet, each worth 5 bits.
func randomText(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	for i := range b {
		b[i] = alphabet[b[i]%byte(len(alphabet))] // 32 divides 256: no bias
	}
	return string(b)
}

// grouped returns code with a dash between each two groups.
func grouped(code string) string {
	var groups []string
	for g := range slices.Chunk([]byte(code), groupSize) {
		groups = append(groups, string(g))
	}
	return strings.Join(groups, "-")
}

// normalText returns v, which someone has typed or pasted, as it was made by
// randomText: capital, without spaces and dashes, I and L read as 1, O as 0. If
// it then is not n characters of alphabet, it returns false.
func normalText(v string, n int) (string, bool) {
	if len(v) > 256 {
		return "", false
	}
	v = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r) || unicode.Is(unicode.Pd, r):
			return -1
		case 'a' <= r && r <= 'z':
			r -= 'a' - 'A'
		}
		switch r {
		case 'I', 'L':
			return '1'
		case 'O':
			return '0'
		}
		return r
	}, v)
	return v, len(v) == n && strings.Trim(v, alphabet) == ""
}

// splitRecoveryCode returns the two parts of a code as someone has typed it.
func splitRecoveryCode(v string) (selector, secret string, ok bool) {
	v, ok = normalText(v, codeSize)
	if !ok {
		return "", "", false
	}
	return v[:selectorSize], v[selectorSize:], true
}
