package password

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-crypt/crypt"
	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/argon2"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/pbkdf2"
	"github.com/go-crypt/crypt/algorithm/scrypt"
	"golang.org/x/text/unicode/norm"
)

// Bounds of what a stored hash may demand. A hash is a stranger's input: it
// came with an import, and each attempt to sign in as its owner computes it.
const (
	maxHashLength = 512       // characters
	maxMemory     = 256 << 20 // bytes
	maxWork       = 1 << 30   // bytes of memory filled, over all passes
	maxThreads    = 16
	maxLog        = 15      // bcrypt: 2^15 rounds
	maxIterations = 4 << 20 // PBKDF2, times the blocks of its key
	minKey        = 16      // bytes; a key of one byte fits one password in 256
	maxKey        = 128
	maxSalt       = 128
)

// decoders are the kinds of hash that are understood, by the identifier that
// they begin with. bcrypt's 2x marks hashes of a broken implementation and is
// left out.
var decoders = map[string]struct {
	decode algorithm.DecodeFunc
	params string // of the canonical form, for Sscanf
}{
	"argon2id":      {argon2.DecodeVariant(argon2.VariantID), "m=%d,t=%d,p=%d"},
	"argon2i":       {argon2.DecodeVariant(argon2.VariantI), "m=%d,t=%d,p=%d"},
	"argon2d":       {argon2.DecodeVariant(argon2.VariantD), "m=%d,t=%d,p=%d"},
	"2a":            {bcrypt.DecodeVariant(bcrypt.VariantStandard), "%d"},
	"2b":            {bcrypt.DecodeVariant(bcrypt.VariantStandard), "%d"},
	"2y":            {bcrypt.DecodeVariant(bcrypt.VariantStandard), "%d"},
	"bcrypt-sha256": {bcrypt.DecodeVariant(bcrypt.VariantSHA256), "v=2,t=2b,r=%d"},
	"scrypt":        {scrypt.DecodeVariant(scrypt.VariantScrypt), "ln=%d,r=%d,p=%d"},
	"pbkdf2":        {pbkdf2.DecodeVariant(pbkdf2.VariantSHA1), "%d"},
	"pbkdf2-sha1":   {pbkdf2.DecodeVariant(pbkdf2.VariantSHA1), "%d"},
	"pbkdf2-sha224": {pbkdf2.DecodeVariant(pbkdf2.VariantSHA224), "%d"},
	"pbkdf2-sha256": {pbkdf2.DecodeVariant(pbkdf2.VariantSHA256), "%d"},
	"pbkdf2-sha384": {pbkdf2.DecodeVariant(pbkdf2.VariantSHA384), "%d"},
	"pbkdf2-sha512": {pbkdf2.DecodeVariant(pbkdf2.VariantSHA512), "%d"},
}

// digestSizes are the bytes of a block of PBKDF2's key, by identifier.
var digestSizes = map[string]int{
	"pbkdf2": 20, "pbkdf2-sha1": 20, "pbkdf2-sha224": 28,
	"pbkdf2-sha256": 32, "pbkdf2-sha384": 48, "pbkdf2-sha512": 64,
}

// CheckHash returns an error that wraps ErrHash if Verify would refuse hash.
// It computes nothing. The error does not show the hash.
func CheckHash(hash string) error {
	_, err := decode(hash)
	return err
}

// stored is a hash that was read and found bearable.
type stored struct {
	kind   string // identifier, but bcrypt for all of bcrypt's
	demand demand
	digest algorithm.Digest
}

// decode reads a hash and computes nothing.
func decode(hash string) (stored, error) {
	if len(hash) > maxHashLength {
		return stored{}, fmt.Errorf("%w: longer than %d characters", ErrHash, maxHashLength)
	}
	for i := range len(hash) {
		// The decoders skip line breaks inside base64.
		if hash[i] <= ' ' || hash[i] > '~' {
			return stored{}, fmt.Errorf("%w: it holds a character that no hash has", ErrHash)
		}
	}
	hash = crypt.Normalize(hash) // {CRYPT}, {ARGON2}, {PBKDF2-SHA256}: as directories keep them
	parts := strings.Split(hash, "$")
	if len(parts) < 3 || parts[0] != "" {
		return stored{}, fmt.Errorf("%w: it is in no form that is understood", ErrHash)
	}
	kind := parts[1]
	d, known := decoders[kind]
	if !known {
		return stored{}, fmt.Errorf("%w: its kind is none of argon2, bcrypt, scrypt and PBKDF2", ErrHash)
	}
	if strings.HasPrefix(kind, "pbkdf2") {
		hash = modular(parts)
	}
	if kind == "bcrypt-sha256" && !strings.HasPrefix(parts[2], "v=2,t=2b,") {
		return stored{}, fmt.Errorf("%w: of bcrypt-sha256 only version 2 of type 2b is understood", ErrHash)
	}
	// What the decoders say quotes the hash, which would end up in a log.
	digest, err := d.decode(hash)
	if err != nil {
		return stored{}, fmt.Errorf("%w: the %s hash is damaged", ErrHash, kind)
	}
	s := stored{kind: kind, digest: digest}
	if s.demand, err = demanded(kind, d.params, digest); err != nil {
		return stored{}, err
	}
	if strings.HasPrefix(kind, "2") {
		s.kind = "bcrypt"
	}
	if err := s.demand.check(); err != nil {
		return stored{}, fmt.Errorf("%w: %w", ErrHash, err)
	}
	return s, nil
}

// modular rewrites PBKDF2 in PHC form, $pbkdf2-sha256$i=1000,l=32$…$…, to the
// modular one, which is all that the decoder reads and has a base64 of its own.
func modular(parts []string) string {
	if i, ok := strings.CutPrefix(parts[2], "i="); ok {
		parts[2], _, _ = strings.Cut(i, ",l=")
	}
	return strings.ReplaceAll(strings.Join(parts, "$"), "+", ".")
}

// demanded returns what computing d would take. The parameters are read from
// what the decoder writes, not from what it read: it computes with those, and
// a parameter given twice can't mean one thing here and another there.
func demanded(kind, form string, d algorithm.Digest) (demand, error) {
	damaged := fmt.Errorf("%w: the %s hash is damaged", ErrHash, kind)
	params := strings.Split(d.Encode(), "$")
	n := 2
	if strings.HasPrefix(kind, "argon2") {
		n = 3 // behind the version
	}
	if len(params) <= n {
		return demand{}, damaged
	}
	var a, b, c uint64
	into := []any{&a, &b, &c}[:strings.Count(form, "%d")]
	if _, err := fmt.Sscanf(params[n], form, into...); err != nil {
		return demand{}, damaged
	}

	key, salt := len(d.Key()), len(d.Salt())
	if key < minKey || key > maxKey || salt == 0 || salt > maxSalt {
		return demand{}, fmt.Errorf("%w: a key of %d and a salt of %d bytes", ErrHash, key, salt)
	}
	switch {
	case strings.HasPrefix(kind, "argon2"):
		return demand{memory: a * 1024, passes: b, threads: c}, nil
	case kind == "scrypt":
		if a < 1 || a > 30 || b < 1 || b > 1<<10 || c < 1 {
			return demand{}, damaged
		}
		return demand{memory: 128 << a * b, passes: c, threads: 1}, nil
	case digestSizes[kind] > 0:
		blocks := (key + digestSizes[kind] - 1) / digestSizes[kind]
		return demand{iterations: a, blocks: uint64(blocks)}, nil
	default:
		return demand{log: a}, nil
	}
}

// A demand is what one computation of a hash takes. Only the fields of its kind
// are set: memory, passes and threads of argon2 and scrypt, log of bcrypt, the
// others of PBKDF2.
type demand struct {
	memory, passes, threads uint64
	log                     uint64
	iterations, blocks      uint64
}

// check returns an error if d is nothing, or more than is bearable.
func (d demand) check() error {
	switch {
	case d.memory > 0:
		if d.memory > maxMemory || d.passes > maxWork || d.memory*d.passes > maxWork {
			return fmt.Errorf("%d KiB in %d passes are too much; bearable are %d MiB at once and %d MiB over all",
				d.memory/1024, d.passes, maxMemory>>20, maxWork>>20)
		}
		if d.threads < 1 || d.threads > maxThreads || d.passes < 1 {
			return fmt.Errorf("%d passes and %d threads", d.passes, d.threads)
		}
	case d.log > 0:
		// Below 4 the library would take another cost than the hash's.
		if d.log < 4 || d.log > maxLog {
			return fmt.Errorf("bcrypt of cost %d; bearable are 4 to %d", d.log, maxLog)
		}
	case d.iterations > 0:
		if d.iterations > maxIterations || d.iterations*d.blocks > maxIterations {
			return fmt.Errorf("%d iterations for %d blocks are too many", d.iterations, d.blocks)
		}
	default:
		return errors.New("it costs nothing")
	}
	return nil
}

// match reports whether pw is what the hash was made from.
func (s stored) match(pw string) (bool, error) {
	ok, err := s.digest.MatchAdvanced(pw)
	if err != nil {
		return false, fmt.Errorf("%w: computing %s: %w", ErrHash, s.kind, err)
	}
	return ok, nil
}

// matchAny is match for hashes whose maker may or may not have normalised what
// people typed. Ours of another cost are among them.
func (s stored) matchAny(pw string) (bool, error) {
	ok, err := s.match(pw)
	if nfc := norm.NFC.String(pw); err == nil && !ok && nfc != pw {
		return s.match(nfc)
	}
	return ok, err
}
