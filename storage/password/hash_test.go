package password

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func cheap(t testing.TB) *Hasher {
	t.Helper()
	h, err := New(Config{Cost: Cheap(), Queue: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// PW-2
func TestAHashKeepsItsParametersAndFitsOnlyItsPassword(t *testing.T) {
	h := cheap(t)
	hash, err := h.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if want := "$argon2id$v=19$m=64,t=1,p=1$"; !strings.HasPrefix(hash, want) {
		t.Errorf("got %s, want it to begin with %s", hash, want)
	}
	if again, _ := h.Hash(t.Context(), "correct horse"); again == hash {
		t.Error("two hashes of one password are equal: there is no salt")
	}
	for pw, want := range map[string]bool{
		"correct horse": true, "correct horsf": false, "Correct horse": false,
		"": false, " correct horse": false, strings.Repeat("x", longest+1): false,
	} {
		ok, upgrade, err := h.Verify(t.Context(), hash, pw)
		if ok != want || upgrade || err != nil {
			t.Errorf("%.20q: got %v, %v, %v, want %v, false, nil", pw, ok, upgrade, err, want)
		}
	}
}

// PW-1
func TestTheSamePasswordTypedOnTwoKeyboardsIsTheSame(t *testing.T) {
	h := cheap(t)
	const composed, decomposed = "cr\u00e8me br\u00fbl\u00e9e", "cre\u0300me bru\u0302le\u0301e"
	hash, err := h.Hash(t.Context(), decomposed)
	if err != nil {
		t.Fatal(err)
	}
	for _, pw := range []string{composed, decomposed} {
		if ok, _, err := h.Verify(t.Context(), hash, pw); !ok || err != nil {
			t.Errorf("%+q: got %v, %v", pw, ok, err)
		}
	}
}

// PW-2
func TestAHashOfAnotherCostIsRightAndDueForAnUpgrade(t *testing.T) {
	old := cheap(t)
	hash, err := old.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	// Not by New, which would refuse it: the test is to be quick.
	h := &Hasher{cost: Cost{Memory: 128, Time: 1, Threads: 1}, wait: time.Second, line: make(chan struct{}, 1), slots: make(chan struct{}, 1)}
	if ok, upgrade, err := h.Verify(t.Context(), hash, "correct horse"); !ok || !upgrade || err != nil {
		t.Errorf("right: got %v, %v, %v, want true, true, nil", ok, upgrade, err)
	}
	if ok, upgrade, err := h.Verify(t.Context(), hash, "wrong"); ok || upgrade || err != nil {
		t.Errorf("wrong: got %v, %v, %v, want false, false, nil", ok, upgrade, err)
	}
}

// PW-3
func TestAForeignHashIsFilledUpToTheUsualTime(t *testing.T) {
	for _, pw := range []string{"correct horse", "wrong"} {
		h := cheap(t)
		if _, _, err := h.Verify(t.Context(), foreignHashes["bcrypt 2y"].hash, pw); err != nil {
			t.Fatal(err)
		}
		// The usual time is noted by nothing but a whole argon2id, which is
		// due as long as it is not known.
		if h.usual.Load() == 0 {
			t.Errorf("%s: no argon2id was computed beside bcrypt", pw)
		}
	}
	c := Cost{Memory: 1000, Time: 2, Threads: 1}
	for _, tt := range []struct {
		spent, usual time.Duration
		want         uint32
	}{
		{spent: 0, usual: 0, want: 1000},
		{spent: 5, usual: 0, want: 1000},
		{spent: 25, usual: 100, want: 750},
		{spent: 99, usual: 100, want: 10},
		{spent: 100, usual: 100, want: 0},
		{spent: 500, usual: 100, want: 0},
	} {
		if got := remainder(c, tt.spent, tt.usual); got.Memory != tt.want {
			t.Errorf("%d spent of %d: got %d KiB, want %d", tt.spent, tt.usual, got.Memory, tt.want)
		}
	}
}

// PW-3
func TestAnUnknownNameCostsAHash(t *testing.T) {
	h := cheap(t)
	if err := h.Burn(t.Context()); err != nil || h.usual.Load() == 0 {
		t.Errorf("got %v and %d ns of argon2id", err, h.usual.Load())
	}
	h = cheap(t)
	if _, _, err := h.Verify(t.Context(), "", strings.Repeat("x", longest+1)); err != nil || h.usual.Load() == 0 {
		t.Errorf("too long a password: got %v and %d ns of argon2id", err, h.usual.Load())
	}
}

// PW-4
func TestWhoFindsTheLineFullOrWaitsTooLongIsTurnedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := New(Config{Cost: Cheap(), Slots: 2, Queue: 2, Wait: 3 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		leave1, err1 := h.enter(t.Context())
		leave2, err2 := h.enter(t.Context())
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}

		ctx, cancel := context.WithCancel(t.Context())
		var waited, cancelled error
		go func() { _, waited = h.enter(t.Context()) }()
		go func() { _, cancelled = h.enter(ctx) }()
		synctest.Wait()
		for name, call := range map[string]func() error{
			"Hash":   func() error { _, err := h.Hash(t.Context(), "x"); return err },
			"Verify": func() error { _, _, err := h.Verify(t.Context(), foreignHashes["bcrypt 2y"].hash, "x"); return err },
			"Burn":   func() error { return h.Burn(t.Context()) },
		} {
			if err := call(); !errors.Is(err, ErrBusy) {
				t.Errorf("%s with a full line: got %v, want ErrBusy", name, err)
			}
		}
		if !h.Busy() {
			t.Error("with a full line: not busy")
		}
		if time.Since(begun) != 0 {
			t.Errorf("who found the line full waited %v", time.Since(begun))
		}

		cancel()
		synctest.Wait()
		if !errors.Is(cancelled, context.Canceled) {
			t.Errorf("cancelled while waiting: got %v", cancelled)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if !errors.Is(waited, ErrBusy) {
			t.Errorf("waited too long: got %v, want ErrBusy", waited)
		}

		leave1()
		if h.Busy() {
			t.Error("with room in the line: busy")
		}
		leave2()
		if len(h.line) != 0 || len(h.slots) != 0 {
			t.Errorf("left behind: %d in line, %d slots", len(h.line), len(h.slots))
		}
		if err := h.Burn(t.Context()); err != nil {
			t.Errorf("with everybody gone: %v", err)
		}
	})
}

// PW-4
func TestNoMoreAreComputedAtOnceThanThereAreSlots(t *testing.T) {
	h, err := New(Config{Cost: Cheap(), Slots: 2, Queue: 100, Wait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var inside, most int
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			leave, err := h.enter(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			inside++
			most = max(most, inside)
			mu.Unlock()
			h.derive([]byte("x"), make([]byte, saltSize))
			mu.Lock()
			inside--
			mu.Unlock()
			leave()
		})
	}
	wg.Wait()
	if most > 2 {
		t.Errorf("%d at once, want at most 2", most)
	}
}

// AD-2
func TestTheZeroHasherLetsNobodyIn(t *testing.T) {
	h := new(Hasher)
	if _, err := h.Hash(t.Context(), "x"); !errors.Is(err, ErrBusy) {
		t.Errorf("Hash: got %v", err)
	}
	if ok, _, err := h.Verify(t.Context(), foreignHashes["bcrypt 2y"].hash, "correct horse"); ok || !errors.Is(err, ErrBusy) {
		t.Errorf("Verify: got %v, %v", ok, err)
	}
}

// AD-1
func TestAWeakCostIsRefused(t *testing.T) {
	for _, tt := range []struct {
		cost Cost
		good bool
	}{
		{Cost{}, true},
		{Cheap(), true},
		{Cost{19 * 1024, 2, 1}, true},
		{Cost{46 * 1024, 1, 1}, true},
		{Cost{7 * 1024, 5, 1}, true},
		{Cost{64 * 1024, 3, 4}, true},
		{Cost{64, 2, 1}, false},
		{Cost{65, 1, 1}, false},
		{Cost{19*1024 - 1, 2, 1}, false},
		{Cost{19 * 1024, 1, 1}, false},
		{Cost{7 * 1024, 4, 1}, false},
		{Cost{1024, 100, 1}, false},
		{Cost{19 * 1024, 2, 0}, false},
		{Cost{19 * 1024, 2, 17}, false},
		{Cost{1024 * 1024, 1, 1}, false}, // CheckHash would refuse what comes out of it
		{Cost{256 * 1024, 5, 1}, false},
	} {
		_, err := New(Config{Cost: tt.cost})
		if tt.good != (err == nil) || err != nil && !errors.Is(err, ErrCost) {
			t.Errorf("%v: got %v", tt.cost, err)
		}
	}
	for _, c := range []Config{{Slots: -1}, {Queue: -1}, {Wait: -1}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v: accepted", c)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	for name, cost := range map[string]Cost{"default": {}, "cheap": Cheap()} {
		b.Run(name, func(b *testing.B) {
			h, err := New(Config{Cost: cost})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Hash(b.Context(), "correct horse"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The three must take as long as one another: PW-3.
func BenchmarkVerify(b *testing.B) {
	h, err := New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	hash, err := h.Hash(b.Context(), "correct horse")
	if err != nil {
		b.Fatal(err)
	}
	for name, call := range map[string]func() error{
		"ours":    func() error { _, _, err := h.Verify(b.Context(), hash, "wrong"); return err },
		"foreign": func() error { _, _, err := h.Verify(b.Context(), foreignHashes["bcrypt 2y"].hash, "wrong"); return err },
		"unknown": func() error { return h.Burn(b.Context()) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := call(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
