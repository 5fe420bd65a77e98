package mfa

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// What a [Sealer] answers.
var (
	// ErrKey says that a sealing key is of no use: too short, all zero, badly
	// named, or named as another.
	ErrKey = errors.New("mfa: unusable sealing key")
	// ErrNoKey says that something was sealed with a key that the Sealer does
	// not have.
	ErrNoKey = errors.New("mfa: sealed with a key that is not configured")
	// ErrUnsealable says that something is no sealed text, was changed, or is
	// about something else than was said.
	ErrUnsealable = errors.New("mfa: sealed text does not open")
)

// KeySize is the least number of bytes of a Key's Secret.
const KeySize = 32

// A Key seals secrets.
type Key struct {
	// ID stands in front of all that the key sealed: up to 32 letters, digits,
	// dashes and underscores. Empty: it is derived from Secret.
	ID string

	// Secret is at least KeySize bytes of a random generator.
	Secret []byte
}

// A Sealer seals secrets for storage, with XChaCha20-Poly1305. Only NewSealer
// makes one. It may be used by several goroutines at once.
type Sealer struct {
	first string
	keys  map[string]cipher.AEAD
}

// sealVersion leads every sealed text; another format would get another.
const sealVersion = "v1"

// NewSealer returns a Sealer that seals with the first of keys and opens with
// any. To change the key, put the new one in front, reseal everything for which
// NeedsReseal holds, and drop the old one. The error is ErrKey, with the
// position of the key it is about.
func NewSealer(keys ...Key) (*Sealer, error) {
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: there is none", ErrKey)
	}
	s := &Sealer{keys: make(map[string]cipher.AEAD)}
	for i, k := range keys {
		id, aead, err := k.derive()
		if err != nil {
			return nil, fmt.Errorf("%w: number %d: %w", ErrKey, i+1, err)
		}
		if s.keys[id] != nil {
			return nil, fmt.Errorf("%w: number %d: its ID %q stands twice", ErrKey, i+1, id)
		}
		if i == 0 {
			s.first = id
		}
		s.keys[id] = aead
	}
	return s, nil
}

// derive returns k's ID and cipher. Both come of Secret through HKDF (RFC 5869)
// under names of their own, so that the ID, which is public, tells nothing of
// the key, and a secret that is also used elsewhere is not the same key here.
func (k Key) derive() (id string, aead cipher.AEAD, err error) {
	if len(k.Secret) < KeySize {
		return "", nil, fmt.Errorf("%d bytes, %d are needed", len(k.Secret), KeySize)
	}
	if strings.Trim(string(k.Secret), string(k.Secret[:1])) == "" {
		return "", nil, errors.New("one byte over and over")
	}
	id = k.ID
	if id == "" {
		sum, err := hkdf.Key(sha256.New, k.Secret, nil, "sallyport sealing key id", 4)
		if err != nil {
			return "", nil, err
		}
		id = hex.EncodeToString(sum)
	}
	if !validKeyID(id) {
		return "", nil, errors.New("the ID must be up to 32 letters, digits, dashes and underscores")
	}
	key, err := hkdf.Key(sha256.New, k.Secret, nil, "sallyport sealing key "+sealVersion, chacha20poly1305.KeySize)
	if err != nil {
		return "", nil, err
	}
	aead, err = chacha20poly1305.NewX(key)
	return id, aead, err
}

func validKeyID(id string) bool {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return len(id) > 0 && len(id) <= 32 && strings.Trim(id, allowed) == ""
}

// Seal seals plain. What it is about (its purpose, whose it is, which one of
// several) is bound to it: Open must be told the same, so that whoever can
// write to the database cannot move one account's secret to another. Seal
// panics on a Sealer that NewSealer did not make.
func (s *Sealer) Seal(plain []byte, about ...string) Sealed {
	aead := s.keys[s.first]
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	rand.Read(nonce) // never fails; 192 bits are enough not to repeat
	box := aead.Seal(nonce, nonce, plain, associated(s.first, about))
	return Sealed(sealVersion + "." + s.first + "." + base64.RawURLEncoding.EncodeToString(box))
}

// Open returns what was sealed as text about the same. The error is ErrNoKey or
// ErrUnsealable.
func (s *Sealer) Open(text Sealed, about ...string) ([]byte, error) {
	id, box, ok := text.split()
	if !ok {
		return nil, ErrUnsealable
	}
	aead := s.keys[id]
	if aead == nil {
		return nil, fmt.Errorf("%w: %q", ErrNoKey, id)
	}
	// Strict, so that one box has one text.
	raw, err := base64.RawURLEncoding.Strict().DecodeString(box)
	if err != nil || len(raw) < aead.NonceSize() {
		return nil, ErrUnsealable
	}
	nonce, sealed := raw[:aead.NonceSize()], raw[aead.NonceSize():]
	plain, err := aead.Open(nil, nonce, sealed, associated(id, about))
	if err != nil {
		return nil, ErrUnsealable
	}
	return plain, nil
}

// NeedsReseal reports whether text is not sealed with the first key. Of the
// empty text it does not hold.
func (s *Sealer) NeedsReseal(text Sealed) bool {
	id, _, _ := text.split()
	return text != "" && id != s.first
}

// split returns the key's ID and the box of t.
func (t Sealed) split() (id, box string, ok bool) {
	version, rest, _ := strings.Cut(string(t), ".")
	id, box, ok = strings.Cut(rest, ".")
	// The decoder below would skip line breaks.
	ok = ok && version == sealVersion && validKeyID(id) && !strings.ContainsAny(box, "\r\n")
	return id, box, ok
}

// associated returns the associated data for a box of key id that is about
// parts. Each part is led by its length, or "ab","c" would be "a","bc".
func associated(id string, parts []string) []byte {
	var b []byte
	for _, part := range append([]string{sealVersion, id}, parts...) {
		b = binary.BigEndian.AppendUint64(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b
}

// A Key or Sealer that ends up in a log shows no secret, whatever the verb.

func (k Key) String() string               { return "mfa.Key(" + k.ID + ")" }
func (k Key) Format(f fmt.State, _ rune)   { io.WriteString(f, k.String()) }
func (k Key) LogValue() slog.Value         { return slog.StringValue(k.String()) }
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

func (s *Sealer) String() string             { return "mfa.Sealer" }
func (s *Sealer) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }
func (s *Sealer) LogValue() slog.Value       { return slog.StringValue(s.String()) }
