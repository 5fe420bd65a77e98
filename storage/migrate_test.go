package storage_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pressly/goose/v3/lock"
	"gorm.io/gorm/schema"

	"github.com/sallyport-id/sallyport/storage"
)

var update = flag.Bool("update", false, "write the golden files")

// ST-4
func TestMigrationsGoUpAndDownAndUpAgain(t *testing.T) {
	each(t, func(t *testing.T, d *storage.DB) {
		up := schemaOf(t, d)
		if err := d.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := columns(t, d); len(got) != 0 {
			t.Errorf("after going down there are tables left: %v", got)
		}
		if err := d.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := schemaOf(t, d); got != up {
			t.Errorf("the second way up led elsewhere:\n%s\nfirst:\n%s", got, up)
		}
		if err := d.Migrate(t.Context()); err != nil {
			t.Errorf("migrating what is up to date: %v", err)
		}
	})
}

// A change of the schema shows in review.
func TestTheSchemaIsTheGoldenOne(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			got := schemaOf(t, open(t, storage.Config{DSN: e.dsn(t)}))
			path := filepath.Join("testdata", "schema."+e.name+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("the schema is not that of %s; if it should be, run the test with -update:\n%s", path, got)
			}
		})
	}
}

func TestRowsAndTablesHaveTheSameColumns(t *testing.T) {
	each(t, func(t *testing.T, d *storage.DB) {
		tables := columns(t, d)
		for _, row := range storage.Rows() {
			s, err := schema.Parse(row, &sync.Map{}, schema.NamingStrategy{})
			if err != nil {
				t.Fatal(err)
			}
			want := tables[s.Table]
			got := slices.Sorted(slices.Values(s.DBNames))
			if !slices.Equal(got, want) {
				t.Errorf("%T has the columns\n%q, the table %s\n%q", row, got, s.Table, want)
			}
			delete(tables, s.Table)
		}
		for table := range tables {
			t.Errorf("no row of storage.Rows is of the table %s", table)
		}
	})
}

func TestOpenRefusesASchemaThatIsNotItsOwn(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			c := storage.Config{DSN: e.dsn(t)}
			refuses := func(when, saying string) {
				t.Helper()
				d, err := storage.Open(t.Context(), c)
				if d != nil || !errors.Is(err, storage.ErrSchema) || !strings.Contains(err.Error(), saying) {
					t.Errorf("%s: got %v, want ErrSchema saying %q", when, err, saying)
				}
			}
			refuses("never migrated", `run "idp migrate up"`)

			d := open(t, c)
			steps, err := d.MigrationStatus(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range steps {
				if age := time.Since(s.Applied); age < -time.Minute || age > time.Hour {
					t.Errorf("migration %d was applied at %v, want now", s.Version, s.Applied)
				}
			}
			last := steps[len(steps)-1].Version
			table := d.Write(t.Context()).Table("goose_db_version")
			if err := table.Where("version_id = ?", last).Update("version_id", last+1).Error; err != nil {
				t.Fatal(err)
			}
			refuses("migrated by a newer program", "newer version")
			if err := d.Migrate(t.Context()); !errors.Is(err, storage.ErrSchema) {
				t.Errorf("Migrate: got %v, want ErrSchema", err)
			}

			table = d.Write(t.Context()).Table("goose_db_version")
			if err := table.Where("version_id = ?", last+1).Delete(nil).Error; err != nil {
				t.Fatal(err)
			}
			refuses("one step behind", fmt.Sprintf("of its %d steps, %d has not been made", len(steps), len(steps)))
		})
	}
}

func TestAskingForTheStatusChangesNothing(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			d, err := storage.Open(t.Context(), storage.Config{DSN: e.dsn(t), AnySchema: true})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			steps, err := d.MigrationStatus(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(steps) == 0 || steps[0].Version != 1 || !steps[0].Applied.IsZero() {
				t.Errorf("got %+v, want steps that were not applied", steps)
			}
			if d.Read(t.Context()).Exec("SELECT 1 FROM goose_db_version").Error == nil {
				t.Error("there is a table now")
			}
		})
	}
}

func TestOfManyThatMigrateAtOnceAllSucceed(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			dsn := e.dsn(t)
			var all sync.WaitGroup
			for range 4 {
				d, err := storage.Open(t.Context(), storage.Config{DSN: dsn, AnySchema: true})
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				all.Go(func() {
					if err := d.Migrate(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
		})
	}
}

func TestOfManyServersOneMigrates(t *testing.T) {
	d, err := storage.Open(t.Context(), storage.Config{DSN: engines[1].dsn(t), AnySchema: true})
	must(t, err)
	defer d.Close()
	must(t, d.Atomically(t.Context(), func(ctx context.Context) error {
		if err := d.Write(ctx).Exec("SELECT pg_advisory_xact_lock(?)", lock.DefaultLockID).Error; err != nil {
			return err
		}
		// While another server migrates, this one waits for as long as it may.
		wait, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := d.Migrate(wait); err == nil {
			t.Error("it did not wait")
		}
		return nil
	}))
	if got := schemaOf(t, d); got != "" {
		t.Errorf("there are tables: %s", got)
	}
	must(t, d.Migrate(t.Context()))
}

// schemaOf returns the whole schema as text, without goose's own table.
func schemaOf(t *testing.T, d *storage.DB) string {
	t.Helper()
	query := `SELECT sql || ';' FROM sqlite_master
		WHERE tbl_name NOT LIKE 'goose%' AND name NOT LIKE 'sqlite%' ORDER BY tbl_name, type DESC, name`
	if isPostgres(d) {
		query = `
		SELECT line FROM (
			SELECT 1 AS part, table_name AS tab, lpad(ordinal_position::text, 4) AS place,
				format('%s.%s %s%s%s', table_name, column_name, data_type,
					CASE is_nullable WHEN 'NO' THEN ' NOT NULL' ELSE '' END,
					CASE is_identity WHEN 'YES' THEN ' IDENTITY ' || identity_generation ELSE '' END) AS line
			FROM information_schema.columns WHERE table_schema = 'public'
			UNION ALL
			SELECT 2, conrelid::regclass::text, conname, conrelid::regclass || ' ' || pg_get_constraintdef(oid)
			FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
			UNION ALL
			SELECT 3, tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
		) AS s WHERE tab NOT LIKE 'goose%' ORDER BY tab, part, place`
	}
	var lines []string
	if err := d.Read(t.Context()).Raw(query).Scan(&lines).Error; err != nil {
		t.Fatal(err)
	}
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// columns returns the names of the columns of each table, sorted, without
// goose's own table.
func columns(t *testing.T, d *storage.DB) map[string][]string {
	t.Helper()
	query := `SELECT m.name AS tab, c.name AS col FROM sqlite_master m JOIN pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name NOT LIKE 'goose%' AND m.name NOT LIKE 'sqlite%'`
	if isPostgres(d) {
		query = `SELECT table_name AS tab, column_name AS col FROM information_schema.columns
			WHERE table_schema = 'public' AND table_name NOT LIKE 'goose%'`
	}
	var found []struct{ Tab, Col string }
	if err := d.Read(t.Context()).Raw(query).Scan(&found).Error; err != nil {
		t.Fatal(err)
	}
	tables := map[string][]string{}
	for _, f := range found {
		tables[f.Tab] = append(tables[f.Tab], f.Col)
	}
	for _, names := range tables {
		slices.Sort(names)
	}
	return tables
}

func isPostgres(d *storage.DB) bool { return d.Read(context.Background()).Name() == "postgres" }
