package storage

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"gorm.io/gorm"

	"github.com/sallyport-id/sallyport/provider"
)

// Rows are structs of this package's own, one a table, that say what is in a
// column. No type of another package is a row: a field added there changes no
// table by itself.

// micros is a time in a column: microseconds since 1970. 0 is the zero time.
type micros int64

func stamp(t time.Time) micros {
	if t.IsZero() {
		return 0
	}
	return micros(t.UnixMicro())
}

// mark is the stamp of something that happened, and never 0, which would say
// that it did not.
func mark(t time.Time) micros { return max(stamp(t), 1) }

func (m micros) time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(m)).UTC()
}

// document is a T that stands in its column as JSON.
type document[T any] struct{ is T }

// Value implements driver.Valuer.
func (d document[T]) Value() (driver.Value, error) {
	b, err := json.Marshal(d.is)
	return string(b), err
}

// Scan implements sql.Scanner.
func (d *document[T]) Scan(v any) error {
	var zero T
	d.is = zero
	switch v := v.(type) {
	case string:
		return json.Unmarshal([]byte(v), &d.is)
	case []byte:
		return json.Unmarshal(v, &d.is)
	default:
		return fmt.Errorf("storage: a document is %T", v)
	}
}

// text reports whether s can be in a column of text. What strangers send need
// not be: PostgreSQL takes neither a zero byte nor invalid UTF-8, and an
// error of the database would look like a fault of ours. What is no text
// cannot have been stored, so it is not found.
func text(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsRune(s, 0)
}

// clean returns s without what cannot be in a column of text, for words that
// are only shown.
func clean(s string) string {
	if text(s) {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// settled returns the error of a conditional change: otherwise if no row was as
// it had to be.
func settled(g *gorm.DB, otherwise error) error {
	switch {
	case errors.Is(g.Error, gorm.ErrDuplicatedKey):
		return otherwise
	case g.Error == nil && g.RowsAffected == 0:
		return otherwise
	default:
		return g.Error
	}
}

// missing returns provider.ErrNotFound in place of err, which says that a
// conditional change of an R did not happen, if the reason is that there is no
// row with id.
func missing[R any](ctx context.Context, d *DB, id string, err error) error {
	var n int64
	if e := d.read(ctx).Model(new(R)).Where("id = ?", id).Count(&n).Error; e != nil {
		return e
	}
	if n == 0 {
		return provider.ErrNotFound
	}
	return err
}
