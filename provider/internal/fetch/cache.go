package fetch

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// How long what was fetched is good, and how often it is fetched. An answer's
// own cache headers are not looked at: with them one client could have itself
// asked a thousand times a second and another never.
const (
	// Fresh is how long it is used without being fetched again.
	Fresh = 5 * time.Minute
	// Stale is how long it is used if it cannot be fetched again.
	Stale = time.Hour
	// Pause is the least time between two fetches of one URI.
	Pause = time.Minute
	// Retry is that time while there is nothing to use.
	Retry = 10 * time.Second
	// MaxEntries is how many URIs are kept. Beyond it, the one that was used the
	// longest time ago is forgotten.
	MaxEntries = 1000
)

// A Cache keeps documents by URI, as T. It is safe for concurrent use. Of one
// URI at most one fetch is under way at a time, for which all who want that
// document wait, and nobody else.
type Cache[T any] struct {
	client *http.Client
	accept string
	read   func([]byte) (T, error)

	mu      sync.Mutex
	entries map[string]*entry[T]
}

// An entry is what is known of one URI.
type entry[T any] struct {
	doc     T
	fetched time.Time // when doc was; zero: there is none
	tried   time.Time // when the last fetch began
	err     error     // of the last fetch
	used    time.Time

	done chan struct{} // closed when the fetch under way has ended; nil: none is
}

// NewCache returns a Cache whose documents are fetched by client and read by
// read. An error of read is one of fetching: what was there before is kept.
func NewCache[T any](client *http.Client, accept string, read func([]byte) (T, error)) *Cache[T] {
	return &Cache[T]{client: client, accept: accept, read: read, entries: map[string]*entry[T]{}}
}

// Get returns the document at uri, fetched in the last five minutes, or in the
// last hour if it cannot be had anew. The error is that of the last fetch, or
// of ctx.
func (c *Cache[T]) Get(ctx context.Context, uri string) (T, error) {
	doc, held, err := c.get(ctx, uri, Fresh)
	if held {
		err = nil
	}
	return doc, err
}

// Renew is Get for who has found the document wanting: it is fetched now, if a
// minute has passed since the last time. The error is that of the last fetch,
// whatever there was before.
func (c *Cache[T]) Renew(ctx context.Context, uri string) (T, error) {
	doc, _, err := c.get(ctx, uri, 0)
	return doc, err
}

// get returns the document at uri, which was fetched less than fresh ago if
// that can be, whether there is one, and the error of the last fetch.
func (c *Cache[T]) get(ctx context.Context, uri string, fresh time.Duration) (doc T, held bool, err error) {
	for {
		c.mu.Lock()
		e, now := c.entry(uri), time.Now()
		done := e.done
		switch {
		case done != nil:
			c.mu.Unlock()
			select {
			case <-done:
			case <-ctx.Done():
				return doc, false, fmt.Errorf("fetch: waiting for %s: %w", uri, ctx.Err())
			}
		case e.due(now, fresh):
			e.tried, e.done = now, make(chan struct{})
			c.mu.Unlock()
			c.fetch(ctx, uri, e)
		default:
			defer c.mu.Unlock()
			e.used = now
			return e.doc, e.held(now), e.err
		}
	}
}

// held reports whether there is a document to use.
func (e *entry[T]) held(now time.Time) bool {
	return !e.fetched.IsZero() && now.Sub(e.fetched) < Stale
}

// due reports whether the document is to be fetched, for who wants one that is
// not older than fresh.
func (e *entry[T]) due(now time.Time, fresh time.Duration) bool {
	if e.held(now) {
		return now.Sub(e.fetched) >= fresh && now.Sub(e.tried) >= Pause
	}
	return e.tried.IsZero() || now.Sub(e.tried) >= Retry
}

// entry returns the entry of uri, a new one if there is none.
func (c *Cache[T]) entry(uri string) *entry[T] {
	if e := c.entries[uri]; e != nil {
		return e
	}
	if len(c.entries) >= MaxEntries {
		c.forget()
	}
	e := &entry[T]{}
	c.entries[uri] = e
	return e
}

// forget makes room for one entry.
func (c *Cache[T]) forget() {
	oldest := ""
	for uri, e := range c.entries {
		if e.done == nil && (oldest == "" || e.used.Before(c.entries[oldest].used)) {
			oldest = uri
		}
	}
	delete(c.entries, oldest)
}

// fetch asks for uri and writes into e what came. Others wait for it, so it
// does not end because the caller does, only in time.
func (c *Cache[T]) fetch(ctx context.Context, uri string, e *entry[T]) {
	var doc T
	err := fmt.Errorf("fetch: reading what %s answered failed", uri)
	defer func() { // though read should panic
		c.mu.Lock()
		defer c.mu.Unlock()
		if e.err = err; err == nil {
			e.doc, e.fetched = doc, e.tried
		}
		close(e.done)
		e.done = nil
	}()
	b, err2 := Get(context.WithoutCancel(ctx), c.client, uri, c.accept)
	if err2 != nil {
		err = err2
		return
	}
	if doc, err2 = c.read(b); err2 != nil {
		err = fmt.Errorf("fetch: reading what %s answered: %w", uri, err2)
		return
	}
	err = nil
}
