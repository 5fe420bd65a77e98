package password

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"
)

// foreignHashes were made by others: libxcrypt, Python's hashlib, and the test
// file of the reference implementation of argon2.
var foreignHashes = map[string]struct{ hash, password string }{
	"argon2id":          {"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password"},
	"bcrypt 2b":         {"$2b$06$abcdefghijklmnopqrstuud/5IuQmqhVO0kfNEbHJM.fJkPiliBzC", "correct horse"},
	"bcrypt 2y":         {"$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2", "correct horse"},
	"bcrypt directory":  {"{CRYPT}$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2", "correct horse"},
	"bcrypt-sha256":     {"$bcrypt-sha256$v=2,t=2b,r=5$abcdefghijklmnopqrstuu$z/ZOR6j/mKW80LoaiDuyrjDzJLu/X92", "correct horse"},
	"scrypt":            {"$scrypt$ln=10,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg$6g3umF+uVrJsObaTZhIbbTlgrvOEFcCItdwSjtPF67M", "correct horse"},
	"pbkdf2-sha1":       {"$pbkdf2-sha1$1000$MDEyMzQ1Njc4Ofv/$.0lw7syaAqrqGXNJdqQ2kmZzMnw", "correct horse"},
	"pbkdf2-sha1 PHC":   {"$pbkdf2-sha1$i=1000,l=20$MDEyMzQ1Njc4Ofv/$+0lw7syaAqrqGXNJdqQ2kmZzMnw", "correct horse"},
	"pbkdf2-sha256":     {"$pbkdf2-sha256$1000$MDEyMzQ1Njc4Ofv/$S.9caDpDzbYxSC2wRcj0swK90vstRaGMTp21OFgVsDU", "correct horse"},
	"pbkdf2-sha256 PHC": {"$pbkdf2-sha256$i=1000$MDEyMzQ1Njc4Ofv/$S+9caDpDzbYxSC2wRcj0swK90vstRaGMTp21OFgVsDU", "correct horse"},
	"pbkdf2-sha512":     {"$pbkdf2-sha512$1000$MDEyMzQ1Njc4Ofv/$1D0xLDHey5shRtzVjysXGEDxjHZHrVGM8J3mTXIHVlTMtq4fZA7XgE5Q14SMB/bCVgj4b8Q3WyihYUp0vG.5tQ", "correct horse"},
	"pbkdf2-sha512 PHC": {"$pbkdf2-sha512$i=1000,l=64$MDEyMzQ1Njc4Ofv/$1D0xLDHey5shRtzVjysXGEDxjHZHrVGM8J3mTXIHVlTMtq4fZA7XgE5Q14SMB/bCVgj4b8Q3WyihYUp0vG+5tQ", "correct horse"},
	"typed without NFC": {"$2a$04$abcdefghijklmnopqrstuuWgMsRs3yQh5s//gvOa0/D3AyFxlI5cu", "caf\u00e9 cre\u0300me"},
	"PBKDF2 directory":  {"{PBKDF2-SHA256}1000$MDEyMzQ1Njc4Ofv/$S.9caDpDzbYxSC2wRcj0swK90vstRaGMTp21OFgVsDU", "correct horse"},
}

// PW-2
func TestForeignHashesAreVerifiedAndUpgraded(t *testing.T) {
	h := cheap(t)
	for name, f := range foreignHashes {
		if err := CheckHash(f.hash); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if ok, upgrade, err := h.Verify(t.Context(), f.hash, f.password); !ok || !upgrade || err != nil {
			t.Errorf("%s: got %v, %v, %v, want true, true, nil", name, ok, upgrade, err)
		}
		if ok, upgrade, err := h.Verify(t.Context(), f.hash, f.password+"!"); ok || upgrade || err != nil {
			t.Errorf("%s, wrong: got %v, %v, %v, want false, false, nil", name, ok, upgrade, err)
		}
	}
}

// PW-2
func TestAForeignHashMadeOfNormalisedTextFitsWhatIsTyped(t *testing.T) {
	h := cheap(t)
	// Another provider hashed the composed form; this keyboard types the other.
	old := &Hasher{cost: Cost{Memory: 128, Time: 1, Threads: 1}, line: make(chan struct{}, 1), slots: make(chan struct{}, 1), wait: time.Second}
	hash, err := old.Hash(t.Context(), "caf\u00e9 au lait")
	if err != nil {
		t.Fatal(err)
	}
	if ok, _, err := h.Verify(t.Context(), hash, "cafe\u0301 au lait"); !ok || err != nil {
		t.Errorf("got %v, %v", ok, err)
	}
}

func TestWhatBcryptDoesNotSeeIsNotHashedAnew(t *testing.T) {
	h := cheap(t)
	const hash = "$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i" // of 72 x and "tail"
	x := strings.Repeat("x", 72)
	for _, tt := range []struct {
		pw          string
		ok, upgrade bool
	}{
		{x + "tail", true, false},
		{x + "tial", true, false}, // a slip that bcrypt can't see
		{x, true, true},
		{x[1:], false, false},
	} {
		ok, upgrade, err := h.Verify(t.Context(), hash, tt.pw)
		if ok != tt.ok || upgrade != tt.upgrade || err != nil {
			t.Errorf("%d bytes: got %v, %v, %v, want %v, %v", len(tt.pw), ok, upgrade, err, tt.ok, tt.upgrade)
		}
	}
}

// b64 returns so many bytes as a hash writes them.
func b64(n int) string { return base64.RawStdEncoding.EncodeToString(make([]byte, n)) }

// PW-2
func TestHostileHashesAreRefused(t *testing.T) {
	tail := "$" + b64(16) + "$" + b64(32)
	for name, hash := range map[string]string{
		"empty":                      "",
		"plain text":                 "correct horse",
		"base64 plain text":          "$plaintext$correct",
		"crypt by DES":               "abJnggxhB/yWI",
		"MD5":                        "$1$abcdefgh$irWbblnpmw.5z7wgBnprh0",
		"SHA-512":                    "$6$rounds=1000$abcdefgh$" + strings.Repeat("a", 86),
		"yescrypt":                   "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7",
		"bcrypt 2x":                  "$2x$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
		"bcrypt 2x in a wrapping":    "{CRYPT}{CRYPT}$2x$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
		"bcrypt of cost 31":          "$2b$31$abcdefghijklmnopqrstuud/5IuQmqhVO0kfNEbHJM.fJkPiliBzC",
		"bcrypt of cost 16":          "$2b$16$abcdefghijklmnopqrstuud/5IuQmqhVO0kfNEbHJM.fJkPiliBzC",
		"bcrypt of cost 3":           "$2b$03$abcdefghijklmnopqrstuud/5IuQmqhVO0kfNEbHJM.fJkPiliBzC",
		"bcrypt of cost -1":          "$2b$-1$abcdefghijklmnopqrstuud/5IuQmqhVO0kfNEbHJM.fJkPiliBzC",
		"bcrypt too short":           "$2b$06$abcdefghijklmnopqrstuud/5IuQmqhVO0kfNEbHJM.fJkPiliBz",
		"bcrypt-sha256 version 1":    "$bcrypt-sha256$v=1,t=2b,r=5$abcdefghijklmnopqrstuu$z/ZOR6j/mKW80LoaiDuyrjDzJLu/X92",
		"bcrypt-sha256 cost 20":      "$bcrypt-sha256$v=2,t=2b,r=20$abcdefghijklmnopqrstuu$z/ZOR6j/mKW80LoaiDuyrjDzJLu/X92",
		"bcrypt-sha256 cost twice":   "$bcrypt-sha256$v=2,t=2b,r=5,r=20$abcdefghijklmnopqrstuu$z/ZOR6j/mKW80LoaiDuyrjDzJLu/X92",
		"argon2 with 4 GiB":          "$argon2id$v=19$m=4194304,t=1,p=1" + tail,
		"argon2 with 257 MiB":        "$argon2i$v=19$m=263168,t=1,p=1" + tail,
		"argon2 memory, second time": "$argon2id$v=19$m=64,t=1,p=1,m=4194304" + tail,
		"argon2 memory as version":   "$argon2id$m=4194304$m=64,t=1,p=1,m=4194304" + tail,
		"argon2 many passes":         "$argon2id$v=19$m=65536,t=17,p=1" + tail,
		"argon2 huge passes":         "$argon2id$v=19$m=8,t=4294967295,p=1" + tail,
		"argon2 many threads":        "$argon2id$v=19$m=65536,t=1,p=4294967295" + tail,
		"argon2 17 threads":          "$argon2d$v=19$m=65536,t=1,p=17" + tail,
		"argon2 negative":            "$argon2id$v=19$m=-1,t=1,p=1" + tail,
		"argon2 version 16":          "$argon2id$v=16$m=64,t=1,p=1" + tail,
		"argon2 key of one byte":     "$argon2id$v=19$m=64,t=1,p=1$" + b64(16) + "$" + b64(1),
		"argon2 long key":            "$argon2id$v=19$m=64,t=1,p=1$" + b64(16) + "$" + b64(200),
		"argon2 no salt":             "$argon2id$v=19$m=64,t=1,p=1$$" + b64(32),
		"argon2 line break in key":   "$argon2id$v=19$m=64,t=1,p=1$" + b64(16) + "$\n" + b64(32),
		"scrypt with 512 MiB":        "$scrypt$ln=19,r=8,p=1" + tail,
		"scrypt N of 2^58":           "$scrypt$ln=58,r=8,p=1" + tail,
		"scrypt N of 2^64":           "$scrypt$ln=64,r=8,p=1" + tail,
		"scrypt huge r":              "$scrypt$ln=1,r=4503599627370496,p=1" + tail,
		"scrypt huge p":              "$scrypt$ln=1,r=1,p=1073741823" + tail,
		"scrypt zero":                "$scrypt$ln=0,r=0,p=0" + tail,
		"scrypt negative":            "$scrypt$ln=-1,r=8,p=1" + tail,
		"pbkdf2 many iterations":     "$pbkdf2-sha256$2147483647$" + b64(16) + "$" + b64(32),
		"pbkdf2 PHC iterations":      "$pbkdf2-sha256$i=2147483647,l=32$" + b64(16) + "$" + b64(32),
		"pbkdf2 many blocks":         "$pbkdf2-sha1$4000000$" + b64(16) + "$" + b64(100),
		"pbkdf2 no iterations":       "$pbkdf2-sha256$0$" + b64(16) + "$" + b64(32),
		"pbkdf2 negative":            "$pbkdf2-sha256$-5$" + b64(16) + "$" + b64(32),
		"too long":                   "$argon2id$v=19$m=64,t=1,p=1$" + strings.Repeat("A", 600) + "$" + b64(32),
	} {
		if err := CheckHash(hash); !errors.Is(err, ErrHash) {
			t.Errorf("%s: import: got %v, want ErrHash", name, err)
		} else if len(hash) > 20 && strings.Contains(err.Error(), hash[len(hash)-12:]) {
			t.Errorf("%s: the error shows the hash: %v", name, err)
		}
		if ok, _, err := cheap(t).Verify(t.Context(), hash, "x"); ok || !errors.Is(err, ErrHash) {
			t.Errorf("%s: verification: got %v, %v, want ErrHash", name, ok, err)
		}
	}
}

// Whatever it is given, decode neither panics nor lets through what could not
// be borne, and what it lets through can be computed.
func FuzzHash(f *testing.F) {
	for _, h := range foreignHashes {
		f.Add(h.hash)
	}
	f.Add("$argon2id$v=19$m=64,t=1,p=1$" + b64(16) + "$" + b64(32))
	h := cheap(f)
	f.Fuzz(func(t *testing.T, hash string) {
		s, err := decode(hash)
		if err != nil {
			if !errors.Is(err, ErrHash) {
				t.Fatalf("got %v, want ErrHash", err)
			}
			return
		}
		d := s.demand
		if d.memory > 256<<20 || d.memory*d.passes > 1<<30 || d.threads > 16 || d.log > 15 || d.iterations*d.blocks > 4<<20 {
			t.Fatalf("%s: unbearable: %+v", hash, d)
		}
		if d.memory*d.passes > 1<<20 || d.log > 5 || d.iterations*d.blocks > 1<<12 {
			return // too slow for here
		}
		if _, _, err := h.Verify(t.Context(), hash, "x"); err != nil {
			t.Fatalf("%s: passed CheckHash, then: %v", hash, err)
		}
	})
}
