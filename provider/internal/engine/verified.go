package engine

import (
	"context"
	"crypto"
	"crypto/sha256"
	"sync"
)

// verified remembers access tokens whose signature was right: an API that asks
// about each request that it gets shows the same token again and again, and the
// signature is the dearest part of the answer. What can change is looked at
// each time: whether the key is still published, and the time. Whether the
// grant stands, the caller asks anyway.
//
// Of each it keeps a hash and what the token says, of so many at most, in two
// halves: when the young one is full, the old one goes.
type verified struct {
	mu         sync.Mutex
	young, old map[[sha256.Size]byte]signed
}

// verifiedHalf is how many tokens a half keeps; less than a kilobyte each.
const verifiedHalf = 2048

// A signed is a token that key, published as kid for alg, has signed.
type signed struct {
	access   Access
	kid, alg string
	key      crypto.PublicKey
}

// get returns what was put there for token, if its key is still published. An
// error is one of key.
func (v *verified) get(ctx context.Context, token string, key Verifier) (a Access, ok bool, err error) {
	hash := sha256.Sum256([]byte(token))
	v.mu.Lock()
	s, ok := v.young[hash]
	if !ok {
		if s, ok = v.old[hash]; ok {
			v.put(hash, s)
		}
	}
	v.mu.Unlock()
	if !ok {
		return Access{}, false, nil
	}
	now, err := key(ctx, s.kid, s.alg)
	if err != nil {
		return Access{}, false, err
	}
	is, comparable := now.(interface{ Equal(crypto.PublicKey) bool })
	return s.access, comparable && is.Equal(s.key), nil
}

// add remembers token.
func (v *verified) add(token string, s signed) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.put(sha256.Sum256([]byte(token)), s)
}

// put stores s while v is locked.
func (v *verified) put(hash [sha256.Size]byte, s signed) {
	if v.young == nil || len(v.young) >= verifiedHalf {
		v.young, v.old = make(map[[sha256.Size]byte]signed), v.young
	}
	v.young[hash] = s
}
