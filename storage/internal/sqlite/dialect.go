package sqlite

import (
	"database/sql"
	"errors"

	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/schema"
	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// Open returns the database that dsn names, a URI as modernc.org/sqlite takes
// it, for gorm. trace, if it is not nil, is told of each statement. It tells a key that is taken by gorm.ErrDuplicatedKey if gorm
// translates errors, and makes no tables: that is for migrations.
func Open(dsn string, trace func(statement string)) gorm.Dialector { return dialect{dsn, trace} }

type dialect struct {
	dsn   string
	trace func(string)
}

func (dialect) Name() string { return "sqlite" }

func (d dialect) Initialize(db *gorm.DB) error {
	c, err := driver.NewConnector(d.dsn)
	if err != nil {
		return err
	}
	db.ConnPool = sql.OpenDB(connector{c, d.trace})
	callbacks.RegisterDefaultCallbacks(db, &callbacks.Config{
		CreateClauses:        []string{"INSERT", "VALUES", "ON CONFLICT", "RETURNING"},
		UpdateClauses:        []string{"UPDATE", "SET", "FROM", "WHERE", "RETURNING"},
		DeleteClauses:        []string{"DELETE", "FROM", "WHERE", "RETURNING"},
		LastInsertIDReversed: true,
	})
	// Rows are not locked: a transaction that writes is alone.
	db.ClauseBuilders["FOR"] = func(clause.Clause, clause.Builder) {}
	return nil
}

func (dialect) BindVarTo(w clause.Writer, _ *gorm.Statement, _ any) { w.WriteByte('?') }

// QuoteTo writes the name of a table or a column, or of both with a dot
// between. In double quotes, one that is misspelt would be a string.
func (dialect) QuoteTo(w clause.Writer, name string) {
	w.WriteByte('`')
	for i := range len(name) {
		switch name[i] {
		case '.':
			w.WriteString("`.`")
		case '`':
			w.WriteString("``")
		default:
			w.WriteByte(name[i])
		}
	}
	w.WriteByte('`')
}

func (dialect) Explain(statement string, values ...any) string {
	return logger.ExplainSQL(statement, nil, "'", values...)
}

func (dialect) DefaultValueOf(*schema.Field) clause.Expression { return clause.Expr{SQL: "NULL"} }

// Migrator is nil, and what needs DataTypeOf does not happen: gorm makes no
// tables here.
func (dialect) Migrator(*gorm.DB) gorm.Migrator       { return nil }
func (dialect) DataTypeOf(field *schema.Field) string { return string(field.DataType) }

// Translate implements gorm.ErrorTranslator.
func (dialect) Translate(err error) error {
	var e *driver.Error
	if errors.As(err, &e) {
		switch e.Code() {
		case lib.SQLITE_CONSTRAINT_UNIQUE, lib.SQLITE_CONSTRAINT_PRIMARYKEY:
			return gorm.ErrDuplicatedKey
		case lib.SQLITE_CONSTRAINT_FOREIGNKEY:
			return gorm.ErrForeignKeyViolated
		}
	}
	return err
}

// Passing reports whether err is one that passes, so that who asks again later
// may find it well: the disk is full or fails, or another process has a lock.
func Passing(err error) bool {
	var e *driver.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff {
	case lib.SQLITE_FULL, lib.SQLITE_IOERR, lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return true
	}
	return false
}

// Damaged reports whether err says that a file is no database, or not whole.
func Damaged(err error) bool {
	var e *driver.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff {
	case lib.SQLITE_NOTADB, lib.SQLITE_CORRUPT:
		return true
	}
	return false
}

// Busy reports whether err says that another process has a lock.
func Busy(err error) bool {
	var e *driver.Error
	return errors.As(err, &e) && e.Code()&0xff == lib.SQLITE_BUSY
}
