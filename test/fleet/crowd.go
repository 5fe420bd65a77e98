package fleet

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"time"
)

// Username is what the i-th user of a house signs in as.
func Username(i int) string { return fmt.Sprintf("user%06d", i) }

// Secret returns the TOTP secret of a user, which anyone can guess.
func Secret(i int) []byte {
	sum := sha256.Sum256([]byte(Username(i)))
	return sum[:20]
}

// A Crowd is the users, of whom each is let go on with a time step that they
// have not used: a code is good once.
type Crowd struct {
	mu   sync.Mutex
	next int
	last []int64 // the step that each used last
}

// NewCrowd returns the first n users of a house.
func NewCrowd(n int) *Crowd { return &Crowd{last: make([]int64, n)} }

// Take returns the next user who has a step left, and the code of that. It
// waits while nobody has.
func (c *Crowd) Take(ctx context.Context) (user int, code string, err error) {
	for {
		now := time.Now()
		current := now.Unix() / 30
		c.mu.Lock()
		for range c.last {
			i := c.next
			c.next = (c.next + 1) % len(c.last)
			// The step that is next is good already (one step of drift), so that
			// each user has two before anyone waits.
			step := max(current, c.last[i]+1)
			if step > current+1 {
				continue
			}
			c.last[i] = step
			c.mu.Unlock()
			return i, TOTP(Secret(i), step), nil
		}
		c.mu.Unlock()
		select {
		case <-ctx.Done():
			return 0, "", ctx.Err()
		case <-time.After(time.Unix((current+1)*30, 0).Sub(now)):
		}
	}
}

// TOTP returns the code of a time step (RFC 6238, SHA-1, 6 digits).
func TOTP(secret []byte, step int64) string {
	mac := hmac.New(sha1.New, secret)
	binary.Write(mac, binary.BigEndian, step)
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[at:])&0x7fffffff)%1000000)
}
