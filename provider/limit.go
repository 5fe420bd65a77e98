package provider

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// A Rate is how many requests are taken in a time: Requests at once, and each
// Per/Requests one more. The zero Rate stands for the default; with negative
// Requests there is no limit.
type Rate struct {
	Requests int
	Per      time.Duration
}

// Limits say how much is taken from one address or client. An IPv6 address
// counts by its /64, which is what one line is given. What is beyond gets 429
// with Retry-After (RFC 6585 section 4).
//
// They hold over all replicas. Each counts by itself and, for each key, tells the
// store after every twentieth part of the limit, so that a replica lets at most a
// tenth of the limit pass beyond it; one alone none. How many wrong passwords
// and codes an account has is not theirs: see Attempts and Factor, which are exact.
type Limits struct {
	Authorize Rate // of /authorize, by address; 1200 a minute
	Pages     Rate // of all other pages and forms, by address; 6000 a minute
	Passwords Rate // wrong ones, by address; 100 in 10 minutes

	Pushed     Rate // of /par, by client; 1200 a minute
	Token      Rate // of /token and /revoke, by client; 6000 a minute
	Introspect Rate // of /introspect, by client; 60000 a minute
	Userinfo   Rate // of /userinfo, by address; 30000 a minute

	ClientFailures  Rate // to authenticate as one client, by address and client; 60 a minute
	AddressFailures Rate // to authenticate as any client, by address; 600 a minute
}

func (l *Limits) each() []namedRate {
	return []namedRate{
		{"Authorize", &l.Authorize, Rate{1200, time.Minute}},
		{"Pages", &l.Pages, Rate{6000, time.Minute}},
		{"Passwords", &l.Passwords, Rate{100, 10 * time.Minute}},
		{"Pushed", &l.Pushed, Rate{1200, time.Minute}},
		{"Token", &l.Token, Rate{6000, time.Minute}},
		{"Introspect", &l.Introspect, Rate{60000, time.Minute}},
		{"Userinfo", &l.Userinfo, Rate{30000, time.Minute}},
		{"ClientFailures", &l.ClientFailures, Rate{60, time.Minute}},
		{"AddressFailures", &l.AddressFailures, Rate{600, time.Minute}},
	}
}

type namedRate struct {
	name string
	rate *Rate
	zero Rate
}

// check says what is wrong with l.
func (l Limits) check() error {
	for _, v := range l.each() {
		if r := *v.rate; r != (Rate{}) && r.Requests >= 0 && (r.Requests == 0 || r.Requests > 1e6 || r.Per < time.Second || r.Per > 24*time.Hour) {
			return fmt.Errorf("%w: Limits.%s must be 1 to 1000000 requests in a second to a day", ErrConfig, v.name)
		}
	}
	return nil
}

// WithDefaults returns l with the default for each Rate that is zero.
func (l Limits) WithDefaults() Limits {
	for _, v := range l.each() {
		if *v.rate == (Rate{}) {
			*v.rate = v.zero
		}
	}
	return l
}

// limiters are those of one Provider. A nil one limits nothing.
type limiters struct {
	authorize, pages, passwords         *limiter
	pushed, token, introspect, userinfo *limiter
	clientFailures, addressFailures     *limiter
}

func newLimiters(l Limits, s Store) limiters {
	of := func(name string, r Rate) *limiter { return newLimiter(name, r, s) }
	return limiters{
		authorize: of("authorize", l.Authorize), pages: of("pages", l.Pages), passwords: of("passwords", l.Passwords),
		pushed: of("pushed", l.Pushed), token: of("token", l.Token),
		introspect: of("introspect", l.Introspect), userinfo: of("userinfo", l.Userinfo),
		clientFailures: of("client_failures", l.ClientFailures), addressFailures: of("address_failures", l.AddressFailures),
	}
}

// throttled says that a limit was reached, and when there is room again.
type throttled struct {
	limit string
	wait  time.Duration
}

func (t *throttled) Error() string {
	return fmt.Sprintf("provider: the limit %s is reached, for %v more", t.limit, t.wait)
}

// maxCounted is how many keys a limiter keeps, so that nobody who comes from
// ever new addresses takes all memory.
const maxCounted = 1 << 16

// A limiter counts one thing by key: the generic cell rate algorithm (ITU-T
// I.371), a bucket that is known by the time at which it will be empty.
type limiter struct {
	name   string
	per    time.Duration // what the bucket holds
	cost   time.Duration // of one request
	slice  int           // how many are counted here before the store is told
	most   int           // keys
	charge func(ctx context.Context, key Hash, since time.Time, cost time.Duration, latest time.Time) (time.Time, error)

	mu    sync.Mutex
	keys  map[limited]count
	swept time.Time
}

// limited is whom a limit is about: an address, a client, or both.
type limited struct {
	address netip.Addr
	client  [16]byte // of its hash: who makes up long names takes no memory
}

type count struct {
	until  time.Time // when the bucket is empty
	since  time.Time // of the first that the store was not told of
	untold int
}

func newLimiter(name string, r Rate, s Store) *limiter {
	if r.Requests < 0 {
		return nil
	}
	return &limiter{
		name: name, per: r.Per, cost: r.Per / time.Duration(r.Requests), slice: max(1, r.Requests/20), most: maxCounted,
		charge: s.Charge, keys: map[limited]count{},
	}
}

// take counts one request, or returns a throttled error. Any other error is one
// of the store: whether there is room is then not known.
func (l *limiter) take(ctx context.Context, key limited) error {
	if l == nil {
		return nil
	}
	told, c, err := l.note(key)
	if err != nil || told == 0 {
		return err
	}
	until, err := l.charge(ctx, l.hash(key), c.since, time.Duration(told)*l.cost, time.Now().Add(l.ahead()))
	if err != nil {
		l.adjust(key, func(c *count) { c.untold += told - 1 }) // it was not taken
		return fmt.Errorf("%w: counting against the limit %s: %w", errUnavailable, l.name, err)
	}
	now := time.Now()
	over := until.Sub(now) > l.per
	l.adjust(key, func(c *count) {
		if until.After(c.until) {
			c.until = until
		}
		if over { // the others have used up what this one would have had
			c.until = c.until.Add(-l.cost)
			c.untold--
		}
	})
	if over {
		return &throttled{l.name, until.Sub(now) - l.per}
	}
	return nil
}

// note counts one request here. It returns how many the store is to be told of,
// 0 if it need not be.
func (l *limiter) note(key limited) (told int, c count, err error) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	c, known := l.keys[key]
	if most := now.Add(l.ahead()); c.until.After(most) { // the clock has stepped back
		c.until = most
		l.keys[key] = c
	}
	if wait := l.room(c, now); wait > 0 {
		return 0, c, &throttled{l.name, wait}
	}
	if !known && len(l.keys) >= l.most && !l.tidy(now) {
		// No memory for it: the store alone counts.
		return 1, count{since: now}, nil
	}
	if c.until.Before(now) {
		c.until = now
	}
	if c.untold <= 0 {
		c.since = now
	}
	c.until = c.until.Add(l.cost)
	c.untold++
	told = c.untold
	if told < l.slice {
		l.keys[key] = c
		return 0, c, nil
	}
	kept := c
	kept.untold = 0
	l.keys[key] = kept
	return told, c, nil
}

// ahead is how far ahead of now a bucket may be: full, and as much again of what
// the others put into it, or what their clocks are ahead. By more it is of a clock
// that has stepped back, and nobody waits for that.
func (l *limiter) ahead() time.Duration { return l.per + max(l.per, time.Minute) }

// room returns how long it takes until there is room for one more.
func (l *limiter) room(c count, now time.Time) time.Duration {
	return c.until.Add(l.cost - l.per).Sub(now)
}

// wait returns how long it takes until there is room for one more, 0 if there is
// already, and counts nothing.
func (l *limiter) wait(key limited) time.Duration {
	if l == nil {
		return 0
	}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(0, l.room(l.keys[key], now))
}

// giveBack takes back one that was taken.
func (l *limiter) giveBack(key limited) {
	if l != nil {
		l.adjust(key, func(c *count) { c.until, c.untold = c.until.Add(-l.cost), c.untold-1 })
	}
}

// adjust changes the count of key, if it is kept.
func (l *limiter) adjust(key limited, fn func(*count)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c, ok := l.keys[key]; ok {
		fn(&c)
		l.keys[key] = c
	}
}

// tidy forgets the keys whose buckets are empty, at most once a second, and
// reports whether there is memory now. The store may have been told less of
// these than happened, but by no more than one slice each.
func (l *limiter) tidy(now time.Time) bool {
	if now.Sub(l.swept) < time.Second {
		return false
	}
	l.swept = now
	for k, c := range l.keys {
		if c.until.Before(now) {
			delete(l.keys, k)
		}
	}
	return len(l.keys) < l.most
}

// hash names key in the store, which need not know addresses.
func (l *limiter) hash(key limited) Hash {
	a := key.address.As16()
	return sha256.Sum256(append(append([]byte(l.name+"\x00"), a[:]...), key.client[:]...))
}

// byAddress is who sends r, by address: of IPv6 the /64.
func (r *request) byAddress() limited {
	a, err := netip.ParseAddr(r.address)
	if err != nil {
		return limited{client: clientKey(r.address)} // a host has its own kind of address
	}
	if a = a.Unmap().WithZone(""); a.Is6() {
		if n, err := a.Prefix(64); err == nil {
			a = n.Addr()
		}
	}
	return limited{address: a}
}

// byClient is c; of a public one, as which anyone can come, at this address.
func (r *request) byClient(c Client) limited {
	key := limited{client: clientKey(c.ID)}
	if c.Public() {
		key.address = r.byAddress().address
	}
	return key
}

func clientKey(id string) [16]byte {
	sum := sha256.Sum256([]byte(id))
	return [16]byte(sum[:16])
}

// limit lets h answer what l has room for, by address.
func limit(l *limiter, h handler) handler {
	return func(r *request) (answer, error) {
		if err := l.take(r.Context(), r.byAddress()); err != nil {
			return answer{}, err
		}
		return h(r)
	}
}

// failed counts that whoever sends r is not the client they named, and returns
// refusal unless that could not be counted.
func (p *Provider) failed(ctx context.Context, r *request, named limited, refusal error) error {
	err := p.limits.clientFailures.take(ctx, named)
	if err == nil {
		err = p.limits.addressFailures.take(ctx, r.byAddress())
	}
	var full *throttled
	if err != nil && !errors.As(err, &full) {
		return err
	}
	return refusal
}
