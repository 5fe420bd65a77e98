package test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/sallyport-id/sallyport/test/explain"
)

// recorder has heard every statement of the providers here.
var recorder explain.Recorder

// When all tests have run, so has whatever the server asks of a database. Both
// are then asked how they run it: nothing may look at all rows of a table that
// grows. Package storage does the same with its own tests, and sees besides
// that each index is needed.
func TestMain(m *testing.M) {
	status := m.Run()
	if f := flag.Lookup("test.run"); status == 0 && f.Value.String() == "" {
		err := explain.Empty(context.Background(), func(ctx context.Context, name string, d explain.Database) error {
			all := recorder.Statements(name == explain.OnPostgres)
			fmt.Printf("plans of %s: %d statements\n", name, len(all))
			return explain.Narrow(ctx, d, all)
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	os.Exit(status)
}
