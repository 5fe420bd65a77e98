package provider

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

var veiled = func() *Provider {
	p := &Provider{}
	if err := p.drawVeils(bytes.Repeat([]byte("veil"), 8)); err != nil {
		panic(err)
	}
	return p
}()

// OpenID Connect Core section 8.1: the same for a sector each time, another for
// the next, and of subjects of whatever length none that says how long it is.
func TestASectorSeesItsOwnSubjects(t *testing.T) {
	ctx := context.Background()
	a, b := Client{ID: "a", Pairwise: true, Sector: "a.example"}, Client{ID: "b", Pairwise: true, Sector: "b.example"}
	seen := map[string]string{}
	for _, subject := range []string{"x", "sub-alice", "sub-bob", strings.Repeat("s", 26), strings.Repeat("s", 31), "s\x00", "s", "s\x80", "\x00"} {
		first, err := veiled.subjectFor(ctx, a, subject)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := veiled.subjectFor(ctx, Client{ID: "another", Pairwise: true, Sector: "a.example"}, subject)
		other, _ := veiled.subjectFor(ctx, b, subject)
		sid, _ := veiled.sidFor(ctx, a, subject)
		if first != again {
			t.Errorf("%q is %s and %s to one sector", subject, first, again)
		}
		for _, s := range []string{first, other, sid} {
			if was, ok := seen[s]; ok {
				t.Errorf("%q and %q are both %s", subject, was, s)
			}
			seen[s] = subject
			if len(s) != 80 {
				t.Errorf("%q is %d characters long", subject, len(s))
			}
		}
		if got, ok, err := veiled.subjectOf(ctx, a, first); err != nil || !ok || got != subject {
			t.Errorf("%q came back as %q, %t, %v", subject, got, ok, err)
		}
		for name, s := range map[string]string{"another sector's": other, "a sid": sid, "the real one": subject, "nothing": ""} {
			if got, ok, err := veiled.subjectOf(ctx, a, s); ok || err != nil {
				t.Errorf("%s is %q to a, %v", name, got, err)
			}
		}
	}
	// Nobody is nobody, and there is one way to write someone.
	two, _ := veiled.subjectFor(ctx, a, strings.Repeat("s", 40)) // ends in bits that are not used
	for name, s := range map[string]string{"of nobody": veiled.subjects.hide("a.example", ""), "written otherwise": two[:len(two)-1] + string(two[len(two)-1]+1)} {
		if got, ok, err := veiled.subjectOf(ctx, a, s); ok || err != nil {
			t.Errorf("a sub %s is %q, %v", name, got, err)
		}
	}
	// What the longest sub has room for, and no more (section 2).
	long := strings.Repeat("s", longestPairwise)
	if s, err := veiled.subjectFor(ctx, a, long); err != nil || len(s) > 255 {
		t.Errorf("the longest becomes %d characters, %v", len(s), err)
	}
	if s, err := veiled.subjectFor(ctx, a, long+"s"); !errors.Is(err, errPairwise) {
		t.Errorf("longer than the longest: %q, %v", s, err)
	}
}

// A sector and a name are two things: what one ends with is not what the other
// begins with, or one nonce would serve for both.
func TestTheNonceOfASubjectIsItsOwn(t *testing.T) {
	nonces := map[string]string{}
	for _, is := range [][2]string{{"a", "bc"}, {"ab", "c"}, {"", "abc"}, {"abc", ""}, {"a", "bc\x00"},
		{"a", strings.Repeat("b", 32) + "c"}, {"a" + strings.Repeat("b", 32), "c"}} {
		b, err := base64.RawURLEncoding.DecodeString(veiled.subjects.hide(is[0], is[1]))
		if err != nil {
			t.Fatal(err)
		}
		nonce := string(b[:12])
		if was, ok := nonces[nonce]; ok {
			t.Errorf("%q and %q have one nonce", was, is)
		}
		nonces[nonce] = is[0] + "/" + is[1]
	}
}

func TestASectorIsAHostOfTheClientsOwn(t *testing.T) {
	for want, all := range map[string][]Client{
		"app.example": {
			{RedirectURIs: []string{"https://app.example/a", "https://app.example:8443/b", "https://APP.example/c"}},
			{Sector: "app.example", RedirectURIs: []string{"https://a.example/", "https://b.example/"}},
			{Sector: "app.example", RedirectURIs: []string{"com.example.app:/cb"}},
		},
		"": {
			{}, {RedirectURIs: []string{"https://a.example/", "https://b.example/"}},
			{RedirectURIs: []string{"com.example.app:/cb"}}, {RedirectURIs: []string{"http://127.0.0.1/cb"}},
			{RedirectURIs: []string{"http://[::1]/cb"}}, {RedirectURIs: []string{"http://localhost/cb"}},
			{RedirectURIs: []string{"https://app.example/", "com.example.app:/cb"}},
			{RedirectURIs: []string{"com.example.app:/cb", "https://app.example/"}},
			{RedirectURIs: []string{"https://app.example/", "http://127.0.0.1/"}},
		},
	} {
		for _, c := range all {
			if got := c.SectorHost(); got != want {
				t.Errorf("%+v: got %q, want %q", c, got, want)
			}
			c.Pairwise = true
			if s, err := veiled.subjectFor(context.Background(), c, "x"); (err != nil) != (want == "") || err != nil && (s != "" || !errors.Is(err, errPairwise)) {
				t.Errorf("%+v: got %q, %v", c, s, err)
			}
		}
	}
}

// AD-2: without a key, nobody's subject is told to a client that must not know
// it.
func TestWithoutAKeyThereAreNoPairwiseSubjects(t *testing.T) {
	p, ctx := &Provider{}, context.Background()
	c := Client{ID: "a", Pairwise: true, Sector: "a.example"}
	if s, err := p.subjectFor(ctx, c, "x"); !errors.Is(err, errPairwise) || s != "" {
		t.Errorf("sub %q, %v", s, err)
	}
	if s, err := p.sidFor(ctx, c, "x"); !errors.Is(err, errPairwise) || s != "" {
		t.Errorf("sid %q, %v", s, err)
	}
	if s, ok, err := p.subjectOf(ctx, c, "x"); !errors.Is(err, errPairwise) || ok {
		t.Errorf("subject %q, %v", s, err)
	}
	if err := p.drawVeils(make([]byte, 31)); !errors.Is(err, ErrConfig) {
		t.Errorf("a short key: %v", err)
	}
}

// FuzzPairwiseSubject hands strangers' text to what reads subs, as the claims
// parameter does. Only what we made stands for someone.
func FuzzPairwiseSubject(f *testing.F) {
	key := make([]byte, 32) // of this process alone
	rand.Read(key)
	p := &Provider{}
	if err := p.drawVeils(key); err != nil {
		f.Fatal(err)
	}
	ours := p.subjects.hide("a.example", "sub-alice")
	for _, s := range []string{"", "sub-alice", ours, ours[1:], ours + "=", ours[:len(ours)-1] + "B", p.subjects.hide("b.example", "sub-alice"),
		p.sids.hide("a.example", "sub-alice"), "\x00\xff", strings.Repeat("A", 80), strings.Repeat("A", 16)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, ok := p.subjects.reveal("a.example", s); ok != (s == ours) || ok && got != "sub-alice" {
			t.Errorf("%q is %q", s, got)
		}
	})
}
