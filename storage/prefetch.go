package storage

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/sallyport-id/sallyport/provider"
)

// A request reads its flow or its grant, and then who the user is, the state of
// their factors and what they allow the client: a statement each, and on PostgreSQL a
// round trip. With Prefetch the first brings the others along.

var _ provider.Prefetcher = (*DB)(nil)

// inRequest is the context key of what a request has prefetched from d.
type inRequest struct{ d *DB }

// prefetched are the rows that a request has read beside another, and has not asked
// for yet. Each answers one question: this is no cache.
type prefetched struct {
	mu   sync.Mutex
	rows map[rowOf]any // nil: there is none
}

// rowOf names a row: its struct, whose it is, and for which client.
type rowOf struct {
	kind            reflect.Type
	subject, client string
}

// Prefetch implements provider.Prefetcher.
func (d *DB) Prefetch(ctx context.Context) context.Context {
	return context.WithValue(ctx, inRequest{d}, &prefetched{rows: map[rowOf]any{}})
}

// prefetched returns what the request of ctx has prefetched, nil if it must not. On
// PostgreSQL a transaction locks what it reads: what was read beside a row while its
// lock was waited for would be older than that row.
func (d *DB) prefetched(ctx context.Context) *prefetched {
	p, _ := ctx.Value(inRequest{d}).(*prefetched)
	if d.engine == onPostgres && d.joined(ctx) != nil {
		return nil
	}
	return p
}

// forget forgets what the request of ctx has prefetched: it may be so no more.
func (d *DB) forget(ctx context.Context) {
	if p, ok := ctx.Value(inRequest{d}).(*prefetched); ok {
		p.mu.Lock()
		defer p.mu.Unlock()
		clear(p.rows)
	}
}

// prefetchedOr returns the row R of subject, and of client unless that is empty, that
// was read beside another, or provider.ErrNotFound if there was none; and what read
// returns if nobody looked.
func prefetchedOr[R any](ctx context.Context, d *DB, subject, client string, read func() (R, error)) (row R, err error) {
	p := d.prefetched(ctx)
	if p == nil {
		return read()
	}
	k := rowOf{reflect.TypeFor[R](), subject, client}
	p.mu.Lock()
	kept, looked := p.rows[k]
	delete(p.rows, k)
	p.mu.Unlock()
	switch {
	case !looked:
		return read()
	case kept == nil:
		return row, provider.ErrNotFound
	}
	return kept.(R), nil
}

// A side is a table of which a row, if there is one, is read beside another: the
// subject's, and if it has a client_id the client's.
type side struct {
	selection func() (*selection, error)
	client    bool
}

var (
	userSide    = side{selectionOf[userRow], false}
	accountSide = side{selectionOf[countedRow], false}
	consentSide = side{selectionOf[consentRow], true}
)

// holdBeside is hold, and prefetches the sides of what it finds, which whose says
// whose it is; without a subject it is nobody's.
func holdBeside[R any](ctx context.Context, d *DB, sides []side, whose func(R) (subject, client string), where string, args ...any) (R, error) {
	p := d.prefetched(ctx)
	if p == nil {
		return hold[R](ctx, d, where, args...)
	}
	var none R
	s, err := selectionOf[R]()
	if err != nil {
		return none, err
	}
	var into []any
	var beside []*selection
	for _, is := range sides {
		b, err := is.selection()
		if err != nil {
			return none, err
		}
		beside = append(beside, b)
		into = append(into, b.nullable()...)
	}
	k := textKey{reflect.TypeFor[R](), where, d.engine, false, true}
	text, ok := texts.Load(k)
	if !ok {
		text = s.with(beside, sides).where(k)
	}
	row, err := run[R](d.read(ctx), d.engine, s, text.(string), args, into...)
	if err != nil {
		return none, err
	}
	subject, client := whose(row)
	if subject == "" {
		return row, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, b := range beside {
		k := rowOf{kind: b.kind, subject: subject}
		if sides[i].client {
			k.client = client
		}
		p.rows[k] = b.row(ctx, into[:len(b.fields)])
		into = into[len(b.fields):]
	}
	return row, nil
}

// with returns s with the columns of the sides after its own.
func (s *selection) with(beside []*selection, sides []side) *selection {
	columns, from := slices.Clone(s.columns), s.from
	for i, b := range beside {
		columns = append(columns, b.columns...)
		from += " LEFT JOIN " + b.from + " ON " + b.table + ".subject = " + s.table + ".subject"
		if sides[i].client {
			from += " AND " + b.table + ".client_id = " + s.table + ".client_id"
		}
	}
	return &selection{text: "SELECT " + strings.Join(columns, ", ") + " FROM " + from, table: s.table}
}

// nullable are where the columns of s are scanned to that are NULL if there is no row.
func (s *selection) nullable() []any {
	into := make([]any, len(s.fields))
	for i, f := range s.fields {
		into[i] = reflect.New(reflect.PointerTo(f.FieldType)).Interface()
	}
	return into
}

// row makes a row of what was scanned into nullable; nil if there was none.
func (s *selection) row(ctx context.Context, from []any) any {
	if reflect.ValueOf(from[0]).Elem().IsNil() { // the primary key
		return nil
	}
	row := reflect.New(s.kind).Elem()
	for i, f := range s.fields {
		if v := reflect.ValueOf(from[i]).Elem(); !v.IsNil() {
			f.ReflectValueOf(ctx, row).Set(v.Elem())
		}
	}
	return row.Interface()
}
