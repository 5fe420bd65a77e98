package storage_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/sallyport-id/sallyport/test/explain"
)

// recorder has heard every statement of the tests here.
var recorder explain.Recorder

// checkPlans asks both databases how they run the statements that all tests
// here have run: none looks at all rows of a table that grows, and each index
// is one that a statement needs.
func checkPlans(ctx context.Context) error {
	return explain.Empty(ctx, func(ctx context.Context, name string, d explain.Database) error {
		all := recorder.Statements(name == explain.OnPostgres)
		fmt.Printf("plans of %s: %d statements\n", name, len(all))
		return errors.Join(explain.Narrow(ctx, d, all), explain.Needed(ctx, d, all))
	})
}
