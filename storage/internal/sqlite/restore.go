package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	driver "modernc.org/sqlite"
)

// Overwrite makes the database of pool what the one in the file src is, in one
// transaction: whoever else has it open sees all of it or nothing, and so does
// who comes after a crash. When nobody else can write to it any more, and nothing
// has been replaced yet, last is called, which may still change src.
// https://www.sqlite.org/backup.html
func Overwrite(ctx context.Context, pool *sql.DB, src string, last func() error) error {
	return whole(ctx, pool, func(c copier) (*driver.Backup, error) { return c.NewRestore(uri(src)) }, last)
}

// CopyTo writes the database of pool, as it is at one moment, to the file dst,
// which is empty.
func CopyTo(ctx context.Context, pool *sql.DB, dst string) error {
	return whole(ctx, pool, func(c copier) (*driver.Backup, error) { return c.NewBackup(uri(dst)) }, func() error { return nil })
}

// uri names a file, whatever stands in its name.
func uri(path string) string { return "file:" + (&url.URL{Path: path}).EscapedPath() }

// A copier is what the driver's connections can do, too.
type copier interface {
	NewBackup(dst string) (*driver.Backup, error)
	NewRestore(src string) (*driver.Backup, error)
}

func whole(ctx context.Context, pool *sql.DB, begin func(copier) (*driver.Backup, error), last func() error) error {
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
		// With the first page the destination is locked, until the end. What the
		// source changes after that is copied, too.
		more, err := b.Step(1)
		if err == nil {
			err = last()
		}
		if err == nil && more {
			more, err = b.Step(-1) // all of it
		}
		if err == nil && more {
			err = errors.New("sqlite: not all was copied")
		}
		if finished := b.Finish(); err == nil {
			err = finished // which would say no more than err
		}
		return err
	})
}
