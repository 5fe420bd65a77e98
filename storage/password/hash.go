package password

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-crypt/x/argon2"
	"golang.org/x/text/unicode/norm"
)

// What a Hasher answers.
var (
	// ErrBusy says that too many others are waiting. Nothing was decided.
	ErrBusy = errors.New("password: too many are waiting")
	// ErrHash says that a hash is damaged, of a kind that is not understood,
	// or so expensive that computing it would be an attack on ourselves.
	ErrHash = errors.New("password: unusable hash")
	// ErrCost says that a Cost is too low to protect anything, or too high.
	ErrCost = errors.New("password: bad cost")
)

const (
	saltSize = 16 // bytes; RFC 9106 section 3.1
	keySize  = 32 // bytes

	// longest is the most of what a stranger sends that is looked at: 256
	// characters of at most four bytes, with room for what NFC draws together.
	longest = 4096
)

// A Hasher hashes passwords and checks them, a bounded number at once. Make it
// with New, and only one for all that check passwords: the bound is its own.
// The zero Hasher is always busy.
type Hasher struct {
	cost  Cost
	wait  time.Duration
	line  chan struct{} // one for everybody who computes or waits
	slots chan struct{} // one for everybody who computes

	usual atomic.Int64 // ns that a hash of this cost took lately; 0: not known
}

// Cost returns the cost of new hashes.
func (h *Hasher) Cost() Cost { return h.cost }

// Hash returns a new hash of pw, salted and in PHC form. It returns ErrBusy if
// no slot came free in time, and the context's error if that ended first.
func (h *Hasher) Hash(ctx context.Context, pw string) (string, error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()

	salt := make([]byte, saltSize)
	rand.Read(salt) // never fails
	key := h.derive([]byte(norm.NFC.String(pw)), salt)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, h.cost.Memory, h.cost.Time, h.cost.Threads, b64(salt), b64(key)), nil
}

// Verify reports whether pw is what hash was made from, and if so, whether it
// should be hashed anew because hash is foreign or of another cost. The error
// is ErrBusy, that of the context, or wraps ErrHash; it decides nothing. To be
// told from Burn by its time is what this must not be: see the package comment.
func (h *Hasher) Verify(ctx context.Context, hash, pw string) (ok, upgrade bool, err error) {
	if len(pw) > longest {
		return false, false, h.Burn(ctx)
	}
	stored, err := decode(hash)
	if err != nil {
		return false, false, err
	}
	leave, err := h.enter(ctx)
	if err != nil {
		return false, false, err
	}
	defer leave()

	start := time.Now()
	if h.current(stored) {
		ok, err = stored.match(norm.NFC.String(pw))
		h.took(time.Since(start))
		return ok && err == nil, false, err
	}
	ok, err = stored.matchAny(pw)
	h.fill(time.Since(start))
	if err != nil || !ok {
		return false, false, err
	}
	// Behind the 72nd byte bcrypt sees nothing. Anything may have been typed
	// there, a slip too, and hashed anew it would lock its owner out.
	blind := stored.kind == "bcrypt" && len(pw) > 72
	return true, !blind, nil
}

// Busy reports whether whoever came now would get ErrBusy.
func (h *Hasher) Busy() bool { return len(h.line) == cap(h.line) }

// Burn takes as long as Verify does with a hash of the current cost, for names
// that nobody has. The error is ErrBusy or that of the context.
func (h *Hasher) Burn(ctx context.Context) error {
	leave, err := h.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	h.derive(make([]byte, keySize), make([]byte, saltSize))
	return nil
}

// enter waits for a slot. The caller calls leave when done with it.
func (h *Hasher) enter(ctx context.Context) (leave func(), err error) {
	select {
	case h.line <- struct{}{}:
	default:
		return nil, ErrBusy
	}
	timer := time.NewTimer(h.wait)
	defer timer.Stop()
	select {
	case h.slots <- struct{}{}:
		return func() { <-h.slots; <-h.line }, nil
	case <-timer.C:
		err = ErrBusy
	case <-ctx.Done():
		err = fmt.Errorf("password: waiting for a slot: %w", ctx.Err())
	}
	<-h.line
	return nil, err
}

// derive computes a key at the current cost and notes how long it took.
func (h *Hasher) derive(pw, salt []byte) []byte {
	start := time.Now()
	key := argon2.IDKey(pw, salt, h.cost.Time, h.cost.Memory, uint32(h.cost.Threads), keySize)
	h.took(time.Since(start))
	return key
}

// took notes how long a hash of the current cost took, smoothed over the last
// few, so that load counts and a single hiccup hardly does.
func (h *Hasher) took(d time.Duration) {
	old := h.usual.Load()
	mean := int64(d)
	if old != 0 {
		mean = old + (mean-old)/8
	}
	h.usual.Store(mean) // a lost update among several is one measurement less
}

// fill computes for what is left of the usual time after spent of it. It works
// rather than sleeps: sleep would stay the same under load and so give itself
// away, and a slot that is asleep does nothing for anybody.
func (h *Hasher) fill(spent time.Duration) {
	rest := remainder(h.cost, spent, time.Duration(h.usual.Load()))
	if rest == h.cost {
		h.derive(make([]byte, keySize), make([]byte, saltSize))
		return
	}
	if rest.Memory > 0 {
		argon2.IDKey(make([]byte, keySize), make([]byte, saltSize), rest.Time, rest.Memory, uint32(rest.Threads), keySize)
	}
}

// remainder returns the part of c that takes what spent has left of usual, the
// zero Cost if it has left nothing. argon2id takes time in proportion to its
// memory. If usual is not known yet, the remainder is all of c.
func remainder(c Cost, spent, usual time.Duration) Cost {
	if usual <= 0 || spent <= 0 {
		return c
	}
	if spent >= usual {
		return Cost{}
	}
	c.Memory = uint32(float64(c.Memory) * float64(usual-spent) / float64(usual))
	return c
}

// current reports whether s is such a hash as Hash makes now.
func (h *Hasher) current(s stored) bool {
	return s.kind == "argon2id" &&
		s.demand == demand{memory: uint64(h.cost.Memory) * 1024, passes: uint64(h.cost.Time), threads: uint64(h.cost.Threads)} &&
		len(s.digest.Salt()) >= saltSize && len(s.digest.Key()) == keySize
}
