package storage

import (
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

func TestARememberedClientIsNeverOlderThanStaleClients(t *testing.T) {
	var c clientCache
	began := time.Now()
	_, changes, ok := c.get("app", began)
	if ok {
		t.Fatal("nothing is remembered yet")
	}
	c.put(provider.Client{ID: "app", Name: "old"}, began, changes)
	for _, row := range []struct {
		after time.Duration
		ok    bool
	}{
		{0, true}, {StaleClients - 1, true}, {StaleClients, false}, {time.Hour, false},
		{-time.Nanosecond, false}, {-time.Hour, false}, // the clock was set back
	} {
		if got, _, ok := c.get("app", began.Add(row.after)); ok != row.ok || ok && got.Name != "old" {
			t.Errorf("after %v: %q, %v", row.after, got.Name, ok)
		}
	}
}

func TestWhatWasReadBeforeAChangeIsNotRemembered(t *testing.T) {
	var c clientCache
	began := time.Now()
	_, changes, _ := c.get("app", began)
	c.forget() // someone changes it while it is being read
	c.put(provider.Client{ID: "app"}, began, changes)
	if _, _, ok := c.get("app", began); ok {
		t.Error("what is older than the change is remembered")
	}
}

func TestClientsDoNotFillTheMemory(t *testing.T) {
	var c clientCache
	began := time.Now()
	for i := range 25_000 {
		c.put(provider.Client{ID: time.Duration(i).String()}, began, 0)
	}
	if len(c.kept) > 10_000 {
		t.Errorf("%d clients are remembered", len(c.kept))
	}
}
