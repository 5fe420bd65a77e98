package test

import (
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the drivers, by which the tables are read past storage
)

// A dump is every row of every table, one text a row, as someone reads them
// who has stolen the database.
type dump map[string][]string

// dumped returns what is in the database at dsn: all tables, or those named.
func dumped(t testing.TB, dsn string, tables ...string) dump {
	t.Helper()
	list := `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`
	if strings.HasPrefix(dsn, "sqlite:") {
		list = `SELECT name AS tablename FROM sqlite_master WHERE type = 'table'`
	}
	db := opened(t, dsn)
	defer db.Close()
	if len(tables) == 0 {
		for _, row := range query(t, db, list) {
			tables = append(tables, strings.TrimPrefix(row, "tablename="))
		}
	}
	d := dump{}
	for _, table := range tables {
		d[table] = query(t, db, `SELECT * FROM "`+table+`"`)
	}
	return d
}

// opened returns the database at dsn, past storage, for reading.
func opened(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	driver, name := "pgx", dsn
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		driver, name = "sqlite", "file:"+path+"?mode=ro"
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// query returns the rows of a query in an order that does not depend on the
// database. Bytes are written as they are.
func query(t testing.TB, db *sql.DB, q string, args ...any) (all []string) {
	t.Helper()
	rows, err := db.Query(q, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, to := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			to[i] = &values[i]
		}
		if err := rows.Scan(to...); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for i, v := range values {
			if raw, ok := v.([]byte); ok {
				v = string(raw)
			}
			if i > 0 {
				b.WriteByte('\x1f')
			}
			fmt.Fprintf(&b, "%s=%v", names[i], v)
		}
		all = append(all, b.String())
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// changed returns the names of the tables in which d and e differ.
func (d dump) changed(e dump) (names []string) {
	for table := range d {
		if !slices.Equal(d[table], e[table]) {
			names = append(names, table)
		}
	}
	slices.Sort(names)
	return names
}

// challengeOf is the S256 code_challenge of a verifier (RFC 7636 section 4.2).
func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
