package mfa_test

import (
	"fmt"
	"testing"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

// operations are all that change something. Each prepares and returns the one
// call that is of interest, which says whether it granted what it was for.
var operations = map[string]func(*testing.T, *mfa.Factors) func() (bool, error){
	"a code": func(t *testing.T, f *mfa.Factors) func() (bool, error) {
		c := code(t, secret, 0)
		return func() (bool, error) {
			v, err := f.Verify(ctx, alice, authflow.OTP, c)
			return v != authflow.Verdict{}, err
		}
	},
	"a recovery code": func(t *testing.T, f *mfa.Factors) func() (bool, error) {
		if err := f.NewCodes(ctx, alice, flow); err != nil {
			t.Fatal(err)
		}
		c := codes(t, f, alice, flow)[0]
		return func() (bool, error) {
			v, err := f.Verify(ctx, alice, authflow.Recovery, c)
			return v != authflow.Verdict{}, err
		}
	},
	"begin": func(t *testing.T, f *mfa.Factors) func() (bool, error) {
		return func() (bool, error) {
			v, err := f.Begin(ctx, bob, flow, "bob", "")
			return v != authflow.Verdict{}, err
		}
	},
	"confirm": func(t *testing.T, f *mfa.Factors) func() (bool, error) {
		begin(t, f, alice, flow, "")
		c := code(t, scan(t, f, alice, flow), 0)
		return func() (bool, error) {
			v, err := f.Confirm(ctx, alice, flow, c)
			return v != authflow.Verdict{}, err
		}
	},
	"new codes": func(t *testing.T, f *mfa.Factors) func() (bool, error) {
		return func() (bool, error) { err := f.NewCodes(ctx, alice, flow); return err == nil, err }
	},
	"put away": func(t *testing.T, f *mfa.Factors) func() (bool, error) {
		if err := f.NewCodes(ctx, alice, flow); err != nil {
			t.Fatal(err)
		}
		return func() (bool, error) { err := f.PutAway(ctx, alice, flow); return err == nil, err }
	},
	"ticket": func(t *testing.T, f *mfa.Factors) func() (bool, error) {
		return func() (bool, error) { text, _, err := f.NewTicket(ctx, bob); return text != "", err }
	},
	"import": func(t *testing.T, f *mfa.Factors) func() (bool, error) {
		return func() (bool, error) { err := f.Import(ctx, bob, imports); return err == nil, err }
	},
	"reset": func(t *testing.T, f *mfa.Factors) func() (bool, error) {
		return func() (bool, error) { err := f.Reset(ctx, alice); return err == nil, err }
	},
	"unlock": func(t *testing.T, f *mfa.Factors) func() (bool, error) {
		verify(t, f, wrong)
		return func() (bool, error) { err := f.Unlock(ctx, alice); return err == nil, err }
	},
}

// describeAll returns all that m keeps.
func describeAll(m *memory) string { return fmt.Sprintf("%+v", m.kept) }
