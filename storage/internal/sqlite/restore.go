package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	driver "modernc.org/sqlite"
)

// Overwrite makes the database of pool what the one in the file src is, in one
// transaction: whoever else has it open sees all of it or nothing, and so does
// who comes after a crash. https://www.sqlite.org/backup.html
func Overwrite(ctx context.Context, pool *sql.DB, src string) error {
	c, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Raw(func(of any) error {
		own, ok := of.(*conn)
		if !ok {
			return fmt.Errorf("sqlite: %T is no connection of ours", of)
		}
		into, ok := own.connection.(interface {
			NewRestore(string) (*driver.Backup, error)
		})
		if !ok {
			return errors.New("sqlite: the driver restores nothing")
		}
		b, err := into.NewRestore(src)
		if err != nil {
			return err
		}
		more, err := b.Step(-1) // all of it
		if err == nil && more {
			err = errors.New("sqlite: not all was copied")
		}
		return errors.Join(err, b.Finish())
	})
}
