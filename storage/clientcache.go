package storage

import (
	"context"
	"sync"
	"time"

	"github.com/sallyport-id/sallyport/provider"
)

// StaleClients is how old what Client returns may be at most. A client that was
// changed or removed by another replica or a command is as it was for so long
// wherever it was asked for meanwhile; where it was changed, at once. What users
// have is not remembered: grants, sessions, consents and users are read each
// time, and removing a client revokes its grants.
const StaleClients = time.Second

// clientCache remembers clients. Those that are unknown it does not, so that
// strangers cannot fill it.
type clientCache struct {
	mu      sync.RWMutex
	changes int64 // how often clients have been changed here
	kept    map[string]keptClient
}

type keptClient struct {
	client provider.Client
	read   time.Time // when reading began
}

// get returns the client, if it is remembered and fresh, and otherwise what put
// wants to know.
func (c *clientCache) get(id string, now time.Time) (_ provider.Client, changes int64, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	k, ok := c.kept[id]
	age := now.Sub(k.read)
	return k.client, c.changes, ok && age >= 0 && age < StaleClients
}

// put remembers a client that began to be read at now, unless clients were
// changed here since get, which may be what was not seen yet.
func (c *clientCache) put(client provider.Client, now time.Time, changes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if changes != c.changes {
		return
	}
	if c.kept == nil || len(c.kept) >= 10_000 {
		c.kept = map[string]keptClient{}
	}
	c.kept[client.ID] = keptClient{client, now}
}

// forget is called when clients have been changed here.
func (c *clientCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	c.kept = nil
}

// client returns what Client does, from memory where that is allowed. What a
// transaction has written itself it sees, and nobody else does.
func (d *DB) client(ctx context.Context, id string) (provider.Client, error) {
	t := d.joined(ctx)
	own := t != nil && t.wrote.Load()
	now := time.Now()
	c, changes, ok := d.clients.get(id, now)
	if ok && !own {
		return c, nil
	}
	row, err := take[clientRow](ctx, d, "id = ?", id)
	if err != nil {
		return provider.Client{}, err
	}
	c = row.client()
	if !own {
		d.clients.put(c, now, changes)
	}
	return c, nil
}

// changesClients notes that ctx changes clients: they are forgotten here when
// that is done.
func (d *DB) changesClients(ctx context.Context) {
	if t := d.joined(ctx); t != nil {
		t.clients.Store(true)
		return
	}
	d.clients.forget()
}
