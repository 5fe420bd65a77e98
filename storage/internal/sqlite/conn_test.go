package sqlite

import (
	"database/sql"
	"path/filepath"
	"testing"

	"modernc.org/sqlite"
)

// pool opens a new file with one connection.
func pool(t *testing.T) *sql.DB {
	c, err := sqlite.NewConnector("file:" + filepath.Join(t.TempDir(), "a.db"))
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector{Connector: c})
	db.SetMaxOpenConns(1)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func do(t *testing.T, db interface {
	Exec(string, ...any) (sql.Result, error)
}, statement string, args ...any) {
	t.Helper()
	if _, err := db.Exec(statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func one[T any](t *testing.T, db interface {
	QueryRow(string, ...any) *sql.Row
}, query string, args ...any) (v T) {
	t.Helper()
	if err := db.QueryRow(query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

// kept is how many statements the only connection of db has.
func kept(t *testing.T, db *sql.DB) (n int) {
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Raw(func(c any) error { n = len(c.(*conn).kept); return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAStatementIsPreparedOnce(t *testing.T) {
	db := pool(t)
	do(t, db, "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
	for i := range 10 {
		do(t, db, "INSERT INTO t (a, b) VALUES (?, ?)", i, "x")
		if got := one[int](t, db, "SELECT count(*) FROM t"); got != i+1 {
			t.Fatalf("after %d inserts there are %d rows", i+1, got)
		}
	}
	if got := kept(t, db); got != 2 {
		t.Errorf("the connection keeps %d statements, want the INSERT and the SELECT", got)
	}
}

func TestAKeptStatementIsWithoutWhatItHadBefore(t *testing.T) {
	db := pool(t)
	do(t, db, "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT UNIQUE)")
	do(t, db, "INSERT INTO t (a, b) VALUES (?, ?)", 1, "x")
	if _, err := db.Exec("INSERT INTO t (a, b) VALUES (?, ?)", 2, "x"); err == nil {
		t.Fatal("b is unique")
	}
	do(t, db, "INSERT INTO t (a, b) VALUES (?, ?)", 2, nil)
	if got := one[sql.NullString](t, db, "SELECT b FROM t WHERE a = ?", 2); got.Valid {
		t.Errorf("b is %q, not NULL", got.String)
	}
	if err := db.QueryRow("SELECT b FROM t WHERE a = ?").Scan(new(string)); err == nil {
		t.Error("it ran with the argument of another")
	}
}

func TestWhileItsRowsAreReadAStatementIsNotUsedAgain(t *testing.T) {
	db := pool(t)
	do(t, db, "CREATE TABLE t (a INTEGER PRIMARY KEY)")
	for i := range 3 {
		do(t, db, "INSERT INTO t (a) VALUES (?)", i)
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	const query = "SELECT a FROM t WHERE a >= ? ORDER BY a"
	rows, err := tx.Query(query, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for want := range 3 {
		if !rows.Next() {
			t.Fatalf("row %d is missing: %v", want, rows.Err())
		}
		var got int
		if err := rows.Scan(&got); err != nil || got != want {
			t.Fatalf("row %d is %d, %v", want, got, err)
		}
		if got := one[int](t, tx, query, 2); got != 2 {
			t.Fatalf("the other is %d", got)
		}
	}
}

// A statement that was kept follows a change of the schema.
func TestAKeptStatementKnowsANewSchema(t *testing.T) {
	db := pool(t)
	do(t, db, "CREATE TABLE t (a INTEGER PRIMARY KEY)")
	do(t, db, "INSERT INTO t (a) VALUES (?)", 1)
	if got := one[int](t, db, "SELECT a FROM t WHERE a = ?", 1); got != 1 {
		t.Fatal(got)
	}
	do(t, db, "ALTER TABLE t ADD COLUMN b INTEGER NOT NULL DEFAULT 7")
	if got := one[int](t, db, "SELECT a FROM t WHERE a = ?", 1); got != 1 {
		t.Fatal(got)
	}
	do(t, db, "DROP TABLE t")
	if err := db.QueryRow("SELECT a FROM t WHERE a = ?", 1).Scan(new(int)); err == nil {
		t.Error("the table is gone")
	}
}

func TestNotMoreThanSoManyStatementsAreKept(t *testing.T) {
	db := pool(t)
	text := ""
	for range most + 10 {
		text += " "
		if got := one[int](t, db, "SELECT 1"+text); got != 1 {
			t.Fatal(got)
		}
	}
	if got := kept(t, db); got != most {
		t.Errorf("the connection keeps %d statements, want %d", got, most)
	}
}
