package provider

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Pairwise clients (OpenID Connect Core section 8.1) know users and sessions by
// names of their own. Everything inside keeps the real ones: subjectFor and
// sidFor are asked on the way out, subjectOf on the way in.

// errPairwise says that a client cannot be given subjects of its own.
var errPairwise = errors.New("provider: no pairwise subjects")

// A veil hides names from those who could compare them. The same name looks the
// same each time to the clients of one sector, and another to those of the next;
// only who has the key sees through. The zero veil hides nothing and fails.
type veil struct {
	aead     cipher.AEAD
	nonceKey []byte
}

// newVeil returns what hides names of one kind under key.
func newVeil(key []byte, kind string) (veil, error) {
	sealKey, err1 := hkdf.Key(sha256.New, key, nil, "sallyport pairwise "+kind, 32)
	nonceKey, err2 := hkdf.Key(sha256.New, key, nil, "sallyport pairwise nonce "+kind, 32)
	if err := errors.Join(err1, err2); err != nil {
		return veil{}, err
	}
	block, err := aes.NewCipher(sealKey)
	if err != nil {
		return veil{}, err
	}
	aead, err := cipher.NewGCM(block)
	return veil{aead, nonceKey}, err
}

// Names are padded to a multiple of so many bytes, so that their lengths, which
// with other people's directories tell them apart, are hidden too.
const veilBlock = 32

// longestPairwise is the longest subject whose pairwise form has the 255
// characters that a sub may have (section 2): 12 bytes of nonce, 16 of tag and
// five blocks, in base64.
const longestPairwise = 5*veilBlock - 1

// hide returns name as the clients of sector see it. The nonce is a MAC of what
// is sealed: so the same is sealed the same each time, and no nonce is used for
// two different things, which is what AES-GCM would not survive.
func (v veil) hide(sector, name string) string {
	plain := append([]byte(name), 0x80) // and zeros: ISO 7816 padding, for any name
	for len(plain)%veilBlock != 0 {
		plain = append(plain, 0)
	}
	m := hmac.New(sha256.New, v.nonceKey)
	m.Write(binary.AppendUvarint(nil, uint64(len(sector))))
	m.Write([]byte(sector))
	m.Write(plain)
	nonce := m.Sum(nil)[:v.aead.NonceSize()]
	return base64.RawURLEncoding.EncodeToString(v.aead.Seal(nonce, nonce, plain, []byte(sector)))
}

// reveal returns the name that hidden stands for to the clients of sector, and
// whether there is one.
func (v veil) reveal(sector, hidden string) (string, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(hidden)
	if err != nil || len(b) < v.aead.NonceSize() {
		return "", false
	}
	nonce, sealed := b[:v.aead.NonceSize()], b[v.aead.NonceSize():]
	plain, err := v.aead.Open(nil, nonce, sealed, []byte(sector))
	if err != nil {
		return "", false
	}
	name, ok := strings.CutSuffix(strings.TrimRight(string(plain), "\x00"), "\x80")
	return name, ok
}

// drawVeils prepares p for pairwise clients, if there is a key.
func (p *Provider) drawVeils(key []byte) (err error) {
	if key == nil {
		return nil
	}
	if len(key) < 32 {
		return fmt.Errorf("%w: SubjectKey needs at least 32 bytes", ErrConfig)
	}
	if p.subjects, err = newVeil(key, "subject"); err != nil {
		return fmt.Errorf("%w: SubjectKey: %w", ErrConfig, err)
	}
	if p.sids, err = newVeil(key, "sid"); err != nil {
		return fmt.Errorf("%w: SubjectKey: %w", ErrConfig, err)
	}
	return nil
}

// SectorHost returns the host whose clients share their subjects with c: Sector
// or, without one, that of its redirect URIs (OpenID Connect Core section 8.1).
// It is empty if they have several hosts, or one that is nobody's: an app's own
// scheme, or this machine. Then a pairwise client needs a Sector.
func (c Client) SectorHost() string {
	if c.Sector != "" {
		return c.Sector
	}
	host := ""
	for i, s := range c.RedirectURIs {
		u, err := url.Parse(s)
		if err != nil || loopback(u.Hostname()) {
			return ""
		}
		if h := strings.ToLower(u.Hostname()); i == 0 {
			host = h
		} else if h != host {
			return ""
		}
	}
	return host
}

// sectorOf returns the sector of a pairwise client, and errPairwise if it can
// have no subjects of its own, which is for whoever runs the provider to mend.
func (p *Provider) sectorOf(c Client) (string, error) {
	sector := c.SectorHost()
	switch {
	case p.subjects.aead == nil:
		return "", fmt.Errorf("%w for %s: Config.SubjectKey is not set", errPairwise, c.ID)
	case sector == "":
		return "", fmt.Errorf("%w for %s: its redirect URIs name no sector", errPairwise, c.ID)
	}
	return sector, nil
}

// subjectFor returns the sub by which c knows a user of ours, everywhere that c
// or who gets its tokens sees one. The same sector sees the same, for ever.
func (p *Provider) subjectFor(_ context.Context, c Client, subject string) (string, error) {
	if !c.Pairwise {
		return subject, nil
	}
	sector, err := p.sectorOf(c)
	if err != nil {
		return "", err
	}
	if len(subject) > longestPairwise {
		return "", fmt.Errorf("%w: a subject is longer than %d bytes", errPairwise, longestPairwise)
	}
	return p.subjects.hide(sector, subject), nil
}

// subjectOf returns our subject of the user whom c knows by sub, and whether sub
// is one that c can have been given. Whether there is such a user it does not
// know.
func (p *Provider) subjectOf(_ context.Context, c Client, sub string) (subject string, ok bool, err error) {
	if !c.Pairwise {
		return sub, sub != "", nil
	}
	sector, err := p.sectorOf(c)
	if err != nil {
		return "", false, err
	}
	subject, ok = p.subjects.reveal(sector, sub)
	return subject, ok && subject != "", nil
}

// sidFor returns the sid by which c knows a session of ours: two clients could
// otherwise tell by it that their users are one. The ID of no session is none.
func (p *Provider) sidFor(_ context.Context, c Client, id string) (string, error) {
	if !c.Pairwise || id == "" {
		return id, nil
	}
	sector, err := p.sectorOf(c)
	if err != nil {
		return "", err
	}
	return p.sids.hide(sector, id), nil
}
