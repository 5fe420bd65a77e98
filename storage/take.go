package storage

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/sallyport-id/sallyport/provider"
)

// Reading one row is most of what a request does. gorm builds the same statement
// each time, and looks up each column of the answer by its name: that took more
// than the database. Here a row's statement is made once, and its columns are
// read in their order.

// A selection is how rows of one struct are read.
type selection struct {
	text    string // SELECT columns FROM from, without a condition
	kind    reflect.Type
	table   string
	from    string          // the table, and what is joined to it
	columns []string        // with the table's name before each
	fields  []*schema.Field // in the same order
}

// Of one struct, by its type; and of each condition the whole text.
var (
	selections sync.Map // of reflect.Type: *selection
	texts      sync.Map // of textKey: string
)

type textKey struct {
	row    reflect.Type
	where  string
	engine engine
	lock   bool
	beside bool // with the rows beside it
}

// A computed row has fields at its end that are no columns of its table, but
// what these expressions make of it, and perhaps of a table that is joined.
type computed interface {
	computed() (expressions []string, join string)
}

func selectionOf[R any]() (*selection, error) {
	var row R
	kind := reflect.TypeFor[R]()
	if s, ok := selections.Load(kind); ok {
		return s.(*selection), nil
	}
	parsed, err := schema.Parse(&row, &sync.Map{}, schema.NamingStrategy{})
	if err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	s := &selection{kind: kind, table: parsed.Table, from: parsed.Table}
	var columns []string
	for _, name := range parsed.DBNames {
		f := parsed.FieldsByDBName[name]
		s.fields = append(s.fields, f)
		if f.Creatable {
			columns = append(columns, parsed.Table+"."+name)
		}
	}
	if c, ok := any(row).(computed); ok {
		expressions, join := c.computed()
		columns = append(columns, expressions...)
		if join != "" {
			s.from += " " + join
		}
	}
	if len(columns) != len(s.fields) {
		return nil, fmt.Errorf("storage: %s has %d fields and selects %d columns", kind, len(s.fields), len(columns))
	}
	s.columns = columns
	s.text = "SELECT " + strings.Join(columns, ", ") + " FROM " + s.from
	selections.Store(kind, s)
	return s, nil
}

// where returns the whole text.
func (s *selection) where(k textKey) string {
	if text, ok := texts.Load(k); ok {
		return text.(string)
	}
	text := s.text + " WHERE " + k.where
	if k.engine == onPostgres {
		n := 0
		var b strings.Builder
		for part := range strings.SplitSeq(text, "?") {
			if n > 0 {
				b.WriteString("$" + strconv.Itoa(n))
			}
			b.WriteString(part)
			n++
		}
		text = b.String()
		if k.lock {
			text += " FOR UPDATE OF " + s.table
		}
	}
	texts.Store(k, text)
	return text
}

// take reads one row of R by a condition on columns of its table, with a ? for
// each of args. It returns provider.ErrNotFound if there is none.
func take[R any](ctx context.Context, d *DB, where string, args ...any) (R, error) {
	return one[R](d.read(ctx), textKey{row: reflect.TypeFor[R](), where: where, engine: d.engine}, args)
}

// hold is take, but in a transaction it keeps the row from everyone else until
// the end. SQLite has no such clause and needs none: a transaction is alone
// there.
func hold[R any](ctx context.Context, d *DB, where string, args ...any) (R, error) {
	return one[R](d.read(ctx), textKey{row: reflect.TypeFor[R](), where: where, engine: d.engine, lock: d.joined(ctx) != nil}, args)
}

func one[R any](g *gorm.DB, k textKey, args []any) (row R, err error) {
	s, err := selectionOf[R]()
	if err != nil {
		return row, err
	}
	return run[R](g, k.engine, s, s.where(k), args)
}

// run runs text on e, and returns the first row of its answer. What comes after the
// columns of s is scanned into more.
func run[R any](g *gorm.DB, e engine, s *selection, text string, args []any, more ...any) (row R, err error) {
	if g.Error != nil {
		return row, g.Error
	}
	ctx := g.Statement.Context
	value := reflect.ValueOf(&row).Elem()
	into := append(s.into(ctx, value, make([]any, 0, len(s.fields)+len(more))), more...)
	if pool, ok := g.Statement.ConnPool.(again); ok {
		err = pool.onOne(ctx, func(ctx context.Context, c *sql.Conn) error { return first(ctx, c, text, args, into) })
	} else {
		err = first(ctx, g.Statement.ConnPool, text, args, into)
	}
	return row, e.passes(err)
}

// into appends where the columns of s are scanned to: the fields of row.
func (s *selection) into(ctx context.Context, row reflect.Value, all []any) []any {
	for _, f := range s.fields {
		all = append(all, f.ReflectValueOf(ctx, row).Addr().Interface())
	}
	return all
}

// first scans the first row of the answer to text, provider.ErrNotFound if it has none.
func first(ctx context.Context, from gorm.ConnPool, text string, args, into []any) error {
	rows, err := from.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	if !rows.Next() {
		return cmp.Or(rows.Err(), provider.ErrNotFound)
	}
	if err := rows.Scan(into...); err != nil {
		return err
	}
	return rows.Close()
}
