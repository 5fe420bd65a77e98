package password

import (
	"fmt"
	"runtime"
	"time"
)

// A Cost is the price of one hash, in the parameters of argon2id (RFC 9106).
// The zero Cost stands for the default: 19 MiB, two passes, one thread.
type Cost struct {
	Memory  uint32 // KiB
	Time    uint32 // passes over the memory
	Threads uint8  // that can share the work
}

// Cheap returns a cost that protects nothing, for tests and for trying things
// out. Whoever configures a provider must accept it for a loopback issuer only.
func Cheap() Cost { return Cost{Memory: 64, Time: 1, Threads: 1} }

// IsCheap reports whether c is the cost that Cheap returns.
func (c Cost) IsCheap() bool { return c == Cheap() }

// floors are costs of about equal strength, the least that may be configured:
// the OWASP Password Storage Cheat Sheet recommends no weaker ones.
var floors = []Cost{
	{Memory: 46 * 1024, Time: 1},
	{Memory: 19 * 1024, Time: 2},
	{Memory: 12 * 1024, Time: 3},
	{Memory: 9 * 1024, Time: 4},
	{Memory: 7 * 1024, Time: 5},
}

// orDefault returns c, or the default if c is zero.
func (c Cost) orDefault() Cost {
	if c == (Cost{}) {
		return Cost{Memory: 19 * 1024, Time: 2, Threads: 1}
	}
	return c
}

// Check returns an error that wraps ErrCost if c is weaker than any of the
// least costs, or so dear that a hash of it would be refused as hostile. The
// zero Cost and Cheap pass.
func (c Cost) Check() error {
	c = c.orDefault()
	if c.IsCheap() {
		return nil
	}
	if c.Threads == 0 {
		return fmt.Errorf("%w: at least one thread is needed", ErrCost)
	}
	if err := (demand{memory: uint64(c.Memory) * 1024, passes: uint64(c.Time), threads: uint64(c.Threads)}).check(); err != nil {
		return fmt.Errorf("%w: %w", ErrCost, err)
	}
	for _, f := range floors {
		if c.Memory >= f.Memory && c.Time >= f.Time {
			return nil
		}
	}
	return fmt.Errorf("%w: %d KiB and %d passes are too few; with %d passes it takes at least %d KiB",
		ErrCost, c.Memory, c.Time, c.Time, least(c.Time))
}

// least returns the least memory that goes with so many passes.
func least(passes uint32) uint32 {
	for i := len(floors) - 1; i > 0; i-- {
		if passes >= floors[i].Time {
			return floors[i].Memory
		}
	}
	return floors[0].Memory
}

// A Config configures a Hasher. The zero Config is fit for production.
type Config struct {
	Cost  Cost          // of new hashes; zero: the default
	Slots int           // hashes computed at once; zero: one for each core
	Queue int           // calls that may wait for a slot; zero: eight for each slot
	Wait  time.Duration // how long each may wait; zero: two seconds
}

// New returns a Hasher, or an error that wraps ErrCost or says what else in c
// makes no sense.
func New(c Config) (*Hasher, error) {
	if err := c.Cost.Check(); err != nil {
		return nil, err
	}
	if c.Slots < 0 || c.Queue < 0 || c.Wait < 0 {
		return nil, fmt.Errorf("password: slots, queue and wait must not be negative: %d, %d, %v", c.Slots, c.Queue, c.Wait)
	}
	if c.Slots == 0 {
		c.Slots = runtime.GOMAXPROCS(0)
	}
	if c.Queue == 0 {
		c.Queue = 8 * c.Slots
	}
	if c.Wait == 0 {
		c.Wait = 2 * time.Second
	}
	return &Hasher{
		cost:  c.Cost.orDefault(),
		wait:  c.Wait,
		line:  make(chan struct{}, c.Slots+c.Queue),
		slots: make(chan struct{}, c.Slots),
	}, nil
}
