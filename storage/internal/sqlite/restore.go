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
	return whole(ctx, pool, func(c copier) (*driver.Backup, error) { return c.NewRestore(src) })
}

// CopyTo writes the database of pool, as it is at one moment, to the file dst,
// which is empty.
func CopyTo(ctx context.Context, pool *sql.DB, dst string) error {
	return whole(ctx, pool, func(c copier) (*driver.Backup, error) { return c.NewBackup(dst) })
}

// A copier is what the driver's connections can do, too.
type copier interface {
	NewBackup(dst string) (*driver.Backup, error)
	NewRestore(src string) (*driver.Backup, error)
}

func whole(ctx context.Context, pool *sql.DB, begin func(copier) (*driver.Backup, error)) error {
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
		able, ok := own.connection.(copier)
		if !ok {
			return errors.New("sqlite: the driver copies nothing")
		}
		b, err := begin(able)
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
