package storage

import (
	"context"
	"errors"
	"maps"
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
	rows map[rowOf]any // of them nil: there is none; nil: the request is over
}

// rowOf names a row: its struct, whose it is, and for which client.
type rowOf struct {
	kind            reflect.Type
	subject, client string
}

// Prefetch implements provider.Prefetcher.
func (d *DB) Prefetch(ctx context.Context) (_ context.Context, done func()) {
	p := &prefetched{rows: map[rowOf]any{}}
	return context.WithValue(ctx, inRequest{d}, p), func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.rows = nil
	}
}

// prefetched returns what the request of ctx has prefetched, nil if it must not: a
// transaction locks what it reads, and what was read beside a row while its lock was
// waited for would be older than that row.
func (d *DB) prefetched(ctx context.Context) *prefetched {
	p, _ := ctx.Value(inRequest{d}).(*prefetched)
	if d.joined(ctx) != nil {
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

// take returns what is kept under k, and whether anything is, and keeps it no more.
func (p *prefetched) take(k rowOf) (row any, looked bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	row, looked = p.rows[k]
	delete(p.rows, k)
	return row, looked
}

// keep keeps rows until they are asked for, if the request goes on.
func (p *prefetched) keep(rows map[rowOf]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rows != nil {
		maps.Copy(p.rows, rows)
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
	switch kept, looked := p.take(rowOf{reflect.TypeFor[R](), subject, client}); {
	case !looked:
		return read()
	case kept == nil:
		return row, provider.ErrNotFound
	default:
		return kept.(R), nil
	}
}

// A host is a row that others are read beside.
type host interface {
	// whose it is; without a subject it is nobody's.
	whose() (subject, client string)
	// sides are the tables that the others are in.
	sides() []side
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

// holdBeside is hold, and prefetches what is beside the row. If that cannot be read
// the row is read alone: who needs it alone is not kept from it.
func holdBeside[R host](ctx context.Context, d *DB, where string, args ...any) (R, error) {
	p := d.prefetched(ctx)
	if p == nil {
		return hold[R](ctx, d, where, args...)
	}
	row, beside, err := takeBeside[R](ctx, d, where, args)
	if err != nil && ctx.Err() == nil && !errors.Is(err, provider.ErrNotFound) && !errors.Is(err, provider.ErrUnavailable) {
		return hold[R](ctx, d, where, args...)
	}
	if err == nil {
		p.keep(beside)
	}
	return row, err
}

func takeBeside[R host](ctx context.Context, d *DB, where string, args []any) (row R, beside map[rowOf]any, err error) {
	s, err := selectionOf[R]()
	if err != nil {
		return row, nil, err
	}
	sides := row.sides()
	at := make([]*selection, len(sides))
	rows := make([]reflect.Value, len(sides))
	var into []any
	for i, is := range sides {
		if at[i], err = is.selection(); err != nil {
			return row, nil, err
		}
		rows[i] = reflect.New(at[i].kind).Elem()
		into = at[i].into(ctx, rows[i], into)
	}
	k := textKey{row: reflect.TypeFor[R](), where: where, engine: d.engine, beside: true}
	text, ok := texts.Load(k)
	if !ok {
		text = s.with(at, sides).where(k)
	}
	if row, err = run[R](d.read(ctx), d.engine, s, text.(string), args, into...); err != nil {
		return row, nil, err
	}
	subject, client := row.whose()
	if subject == "" {
		return row, nil, nil
	}
	beside = make(map[rowOf]any, len(sides))
	for i, b := range at {
		k := rowOf{kind: b.kind, subject: subject}
		if sides[i].client {
			k.client = client
		}
		beside[k] = nil
		if there := !b.fields[0].ReflectValueOf(ctx, rows[i]).IsZero(); there { // its key
			beside[k] = rows[i].Interface()
		}
	}
	return row, beside, nil
}

// with returns s with the columns of the sides after its own: zero if there is no row.
func (s *selection) with(at []*selection, sides []side) *selection {
	columns, from := slices.Clone(s.columns), s.from
	for i, b := range at {
		for j, f := range b.fields {
			columns = append(columns, "COALESCE("+b.columns[j]+", "+zero(f.FieldType.Kind())+")")
		}
		from += " LEFT JOIN " + b.from + " ON " + b.table + ".subject = " + s.table + ".subject"
		if sides[i].client {
			from += " AND " + b.table + ".client_id = " + s.table + ".client_id"
		}
	}
	return &selection{text: "SELECT " + strings.Join(columns, ", ") + " FROM " + from, table: s.table}
}

// zero is what a field of this kind is read from as its zero value.
func zero(k reflect.Kind) string {
	switch k {
	case reflect.Bool:
		return "false"
	case reflect.Int, reflect.Int64:
		return "0"
	case reflect.String, reflect.Slice:
		return "''"
	default: // a document
		return "'null'"
	}
}
