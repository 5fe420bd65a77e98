package storage

import (
	"context"
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
	text    string // SELECT … FROM …, without a condition
	table   string
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
	s := &selection{table: parsed.Table}
	var columns []string
	for _, name := range parsed.DBNames {
		f := parsed.FieldsByDBName[name]
		s.fields = append(s.fields, f)
		if f.Creatable {
			columns = append(columns, parsed.Table+"."+name)
		}
	}
	from := parsed.Table
	if c, ok := any(row).(computed); ok {
		expressions, join := c.computed()
		columns = append(columns, expressions...)
		from += " " + join
	}
	if len(columns) != len(s.fields) {
		return nil, fmt.Errorf("storage: %s has %d fields and selects %d columns", kind, len(s.fields), len(columns))
	}
	s.columns = columns
	s.text = "SELECT " + strings.Join(columns, ", ") + " FROM " + from
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
	return one[R](d.read(ctx), textKey{reflect.TypeFor[R](), where, d.engine, false}, args)
}

// hold is take, but in a transaction it keeps the row from everyone else until
// the end. SQLite has no such clause and needs none: a transaction is alone
// there.
func hold[R any](ctx context.Context, d *DB, where string, args ...any) (R, error) {
	return one[R](d.read(ctx), textKey{reflect.TypeFor[R](), where, d.engine, d.joined(ctx) != nil}, args)
}

func one[R any](g *gorm.DB, k textKey, args []any) (row R, err error) {
	s, err := selectionOf[R]()
	if err != nil {
		return row, err
	}
	return run[R](g, k.engine, s, s.where(k), args)
}

// run runs text on e, and returns the first row of its answer.
func run[R any](g *gorm.DB, e engine, s *selection, text string, args []any) (row R, err error) {
	if g.Error != nil {
		return row, g.Error
	}
	ctx := g.Statement.Context
	rows, err := g.Statement.ConnPool.QueryContext(ctx, text, args...)
	if err != nil {
		return row, e.passes(err)
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return row, e.passes(err)
		}
		return row, provider.ErrNotFound
	}
	value := reflect.ValueOf(&row).Elem()
	into := make([]any, len(s.fields))
	for i, f := range s.fields {
		into[i] = f.ReflectValueOf(ctx, value).Addr().Interface()
	}
	if err := rows.Scan(into...); err != nil {
		return row, e.passes(err)
	}
	return row, e.passes(rows.Close())
}
