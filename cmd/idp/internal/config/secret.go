package config

import (
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// A Secret is a text that must not be seen. However it is printed, logged or
// marshalled, it says only whether there is one. The text itself is had by
// converting it to a string.
type Secret string

const redacted = "[redacted]"

// String returns a mark, not the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// Format keeps every verb of fmt from the secret: without it %x and %q would
// print it, since they look at the kind and not at the methods.
func (s Secret) Format(w fmt.State, _ rune) { io.WriteString(w, s.String()) }

// GoString returns what String does.
func (s Secret) GoString() string { return s.String() }

// LogValue returns what String does.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns what String does; encoding/json and yaml use it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Bytes decodes s from base64, of the standard or URL alphabet, padded or not.
func (s Secret) Bytes() ([]byte, error) {
	text := strings.TrimRight(strings.TrimSpace(string(s)), "=")
	text = strings.NewReplacer("-", "+", "_", "/").Replace(text)
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		// The decoder's own error may quote what it stumbled on.
		return nil, fmt.Errorf("is not base64; make one with: openssl rand -base64 32")
	}
	return b, nil
}

// random returns the bytes of s, and an error that says what is wrong unless
// it has at least size of them and they could be random.
func (s Secret) random(size int) ([]byte, error) {
	b, err := s.Bytes()
	if err != nil {
		return nil, err
	}
	if len(b) < size {
		return nil, fmt.Errorf("is too short: %d bytes, at least %d are needed; make one with: openssl rand -base64 32", len(b), size)
	}
	var seen [256]bool
	distinct := 0
	for _, c := range b {
		if !seen[c] {
			seen[c] = true
			distinct++
		}
	}
	// Of 32 random bytes fewer than 16 are different about once in 10^15 times.
	if distinct < 16 {
		return nil, fmt.Errorf("is not random: only %d different bytes; make one with: openssl rand -base64 32", distinct)
	}
	return b, nil
}
