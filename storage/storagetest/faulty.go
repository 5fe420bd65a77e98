package storagetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
)

// A Store is a store of everything.
type Store interface {
	provider.Store
	mfa.Store
}

// ErrFault is what a call fails with that was chosen to fail.
var ErrFault = errors.New("storagetest: fault")

// A Fault says which call to a store fails. The zero Fault, none does.
type Fault struct {
	// Call is the number of the call that fails, the first being 1. The
	// beginning and the commit of a transaction are calls too.
	Call int
	// After lets the call happen before it fails, as if the answer had been
	// lost on the way: "failed, but it happened".
	After bool
}

// Faulty returns a store that does what s does, and fails at fault. Run a story
// without a fault first: Calls then says how many calls there are to fail.
func Faulty(s Store, fault Fault) *FaultyStore {
	return &FaultyStore{s: s, fault: fault}
}

// A FaultyStore is a Store with a Fault. It is safe for concurrent use.
type FaultyStore struct {
	s     Store
	fault Fault

	mu    sync.Mutex
	calls []string
}

var _ Store = (*FaultyStore)(nil)

// Calls returns the names of the calls so far, "begin" and "commit" among them.
// That of number n is at n-1.
func (f *FaultyStore) Calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// fails notes a call, and reports whether it is to fail.
func (f *FaultyStore) fails(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, name)
	return len(f.calls) == f.fault.Call
}

// call does what is asked, and fails before or after it if this is the one.
func call[T any](f *FaultyStore, name string, do func() (T, error)) (T, error) {
	if !f.fails(name) {
		return do()
	}
	var zero T
	if f.fault.After {
		_, _ = do()
	}
	return zero, fmt.Errorf("%s: %w", name, ErrFault)
}

func (f *FaultyStore) do(name string, do func() error) error {
	_, err := call(f, name, func() (struct{}, error) { return struct{}{}, do() })
	return err
}

// begun is the context key of a transaction of the FaultyStore.
type begun struct{ f *FaultyStore }

// Atomically does so.
func (f *FaultyStore) Atomically(ctx context.Context, fn func(ctx context.Context) error) error {
	if ctx.Value(begun{f}) != nil {
		return f.s.Atomically(ctx, fn) // joins: nothing is begun or committed
	}
	if err := f.do("begin", func() error { return nil }); err != nil {
		return err
	}
	var lost error
	err := f.s.Atomically(context.WithValue(ctx, begun{f}, true), func(ctx context.Context) error {
		lost = nil
		if err := fn(ctx); err != nil {
			return err
		}
		err := f.do("commit", func() error { return nil })
		if err != nil && f.fault.After {
			lost, err = err, nil
		}
		return err
	})
	return errors.Join(err, lost)
}

// AppOrigin does so.
func (f *FaultyStore) AppOrigin(ctx context.Context, origin string) (bool, error) {
	return call(f, "AppOrigin", func() (bool, error) { return f.s.AppOrigin(ctx, origin) })
}

// Client does so.
func (f *FaultyStore) Client(ctx context.Context, id string) (provider.Client, error) {
	return call(f, "Client", func() (provider.Client, error) { return f.s.Client(ctx, id) })
}

// CreateFlow does so.
func (f *FaultyStore) CreateFlow(ctx context.Context, flow provider.Flow) error {
	return f.do("CreateFlow", func() error { return f.s.CreateFlow(ctx, flow) })
}

// Flow does so.
func (f *FaultyStore) Flow(ctx context.Context, id string) (provider.Flow, error) {
	return call(f, "Flow", func() (provider.Flow, error) { return f.s.Flow(ctx, id) })
}

// SaveFlow does so.
func (f *FaultyStore) SaveFlow(ctx context.Context, flow provider.Flow) error {
	return f.do("SaveFlow", func() error { return f.s.SaveFlow(ctx, flow) })
}

// CreatePushed does so.
func (f *FaultyStore) CreatePushed(ctx context.Context, p provider.PushedRequest) error {
	return f.do("CreatePushed", func() error { return f.s.CreatePushed(ctx, p) })
}

// Pushed does so.
func (f *FaultyStore) Pushed(ctx context.Context, id provider.Hash) (provider.PushedRequest, error) {
	return call(f, "Pushed", func() (provider.PushedRequest, error) { return f.s.Pushed(ctx, id) })
}

// SpendPushed does so.
func (f *FaultyStore) SpendPushed(ctx context.Context, id provider.Hash, now time.Time) error {
	return f.do("SpendPushed", func() error { return f.s.SpendPushed(ctx, id, now) })
}

// Session does so.
func (f *FaultyStore) Session(ctx context.Context, cookie provider.Hash) (provider.Session, error) {
	return call(f, "Session", func() (provider.Session, error) { return f.s.Session(ctx, cookie) })
}

// SaveSession does so.
func (f *FaultyStore) SaveSession(ctx context.Context, session provider.Session) error {
	return f.do("SaveSession", func() error { return f.s.SaveSession(ctx, session) })
}

// Sessions does so.
func (f *FaultyStore) Sessions(ctx context.Context, subject string) ([]provider.Session, error) {
	return call(f, "Sessions", func() ([]provider.Session, error) { return f.s.Sessions(ctx, subject) })
}

// EndSession does so.
func (f *FaultyStore) EndSession(ctx context.Context, subject, id string) error {
	return f.do("EndSession", func() error { return f.s.EndSession(ctx, subject, id) })
}

// EndSessions does so.
func (f *FaultyStore) EndSessions(ctx context.Context, subject string) error {
	return f.do("EndSessions", func() error { return f.s.EndSessions(ctx, subject) })
}

// SessionClients does so.
func (f *FaultyStore) SessionClients(ctx context.Context, id string) ([]string, error) {
	return call(f, "SessionClients", func() ([]string, error) { return f.s.SessionClients(ctx, id) })
}

// EndFlows does so.
func (f *FaultyStore) EndFlows(ctx context.Context, browser provider.Hash, subject string) error {
	return f.do("EndFlows", func() error { return f.s.EndFlows(ctx, browser, subject) })
}

// ClaimLogouts does so.
func (f *FaultyStore) ClaimLogouts(ctx context.Context, now, until time.Time, limit int) ([]provider.Logout, error) {
	return call(f, "ClaimLogouts", func() ([]provider.Logout, error) { return f.s.ClaimLogouts(ctx, now, until, limit) })
}

// SaveLogout does so.
func (f *FaultyStore) SaveLogout(ctx context.Context, l provider.Logout, claimed time.Time) error {
	return f.do("SaveLogout", func() error { return f.s.SaveLogout(ctx, l, claimed) })
}

// RemoveLogout does so.
func (f *FaultyStore) RemoveLogout(ctx context.Context, id string) error {
	return f.do("RemoveLogout", func() error { return f.s.RemoveLogout(ctx, id) })
}

// Consent does so.
func (f *FaultyStore) Consent(ctx context.Context, subject, clientID string) (provider.Consent, error) {
	return call(f, "Consent", func() (provider.Consent, error) { return f.s.Consent(ctx, subject, clientID) })
}

// Consents does so.
func (f *FaultyStore) Consents(ctx context.Context, subject string) ([]provider.Consent, error) {
	return call(f, "Consents", func() ([]provider.Consent, error) { return f.s.Consents(ctx, subject) })
}

// SaveConsent does so.
func (f *FaultyStore) SaveConsent(ctx context.Context, c provider.Consent) error {
	return f.do("SaveConsent", func() error { return f.s.SaveConsent(ctx, c) })
}

// RevokeConsent does so.
func (f *FaultyStore) RevokeConsent(ctx context.Context, subject, clientID string, now time.Time) error {
	return f.do("RevokeConsent", func() error { return f.s.RevokeConsent(ctx, subject, clientID, now) })
}

// CreateGrant does so.
func (f *FaultyStore) CreateGrant(ctx context.Context, g provider.Grant) error {
	return f.do("CreateGrant", func() error { return f.s.CreateGrant(ctx, g) })
}

// Grant does so.
func (f *FaultyStore) Grant(ctx context.Context, id string) (provider.Grant, error) {
	return call(f, "Grant", func() (provider.Grant, error) { return f.s.Grant(ctx, id) })
}

// SpendCode does so.
func (f *FaultyStore) SpendCode(ctx context.Context, id string, generation int64, now, expires time.Time) error {
	return f.do("SpendCode", func() error { return f.s.SpendCode(ctx, id, generation, now, expires) })
}

// RotateGrant does so.
func (f *FaultyStore) RotateGrant(ctx context.Context, id string, from int64, now, expires time.Time) error {
	return f.do("RotateGrant", func() error { return f.s.RotateGrant(ctx, id, from, now, expires) })
}

// RevokeGrant does so.
func (f *FaultyStore) RevokeGrant(ctx context.Context, id string, now time.Time) error {
	return f.do("RevokeGrant", func() error { return f.s.RevokeGrant(ctx, id, now) })
}

// Charge does so.
func (f *FaultyStore) Charge(ctx context.Context, key provider.Hash, since time.Time, cost time.Duration, latest time.Time) (time.Time, error) {
	return call(f, "Charge", func() (time.Time, error) { return f.s.Charge(ctx, key, since, cost, latest) })
}

// SpendAssertion does so.
func (f *FaultyStore) SpendAssertion(ctx context.Context, key provider.Hash, issued, expires time.Time) error {
	return f.do("SpendAssertion", func() error { return f.s.SpendAssertion(ctx, key, issued, expires) })
}

// Record does so.
func (f *FaultyStore) Record(ctx context.Context, e provider.Event) error {
	return f.do("Record", func() error { return f.s.Record(ctx, e) })
}

// Activity does so.
func (f *FaultyStore) Activity(ctx context.Context, subject string, limit int) ([]provider.Event, error) {
	return call(f, "Activity", func() ([]provider.Event, error) { return f.s.Activity(ctx, subject, limit) })
}

// Account does so.
func (f *FaultyStore) Account(ctx context.Context, subject string) (mfa.Account, error) {
	return call(f, "Account", func() (mfa.Account, error) { return f.s.Account(ctx, subject) })
}

// SaveAccount does so.
func (f *FaultyStore) SaveAccount(ctx context.Context, a mfa.Account) error {
	return f.do("SaveAccount", func() error { return f.s.SaveAccount(ctx, a) })
}

// ReplaceRecoveryCodes does so.
func (f *FaultyStore) ReplaceRecoveryCodes(ctx context.Context, subject string, codes []mfa.RecoveryCode) error {
	return f.do("ReplaceRecoveryCodes", func() error { return f.s.ReplaceRecoveryCodes(ctx, subject, codes) })
}

// RecoveryCode does so.
func (f *FaultyStore) RecoveryCode(ctx context.Context, subject, selector string) (mfa.RecoveryCode, error) {
	return call(f, "RecoveryCode", func() (mfa.RecoveryCode, error) { return f.s.RecoveryCode(ctx, subject, selector) })
}

// UseRecoveryCode does so.
func (f *FaultyStore) UseRecoveryCode(ctx context.Context, subject, selector string, now time.Time) error {
	return f.do("UseRecoveryCode", func() error { return f.s.UseRecoveryCode(ctx, subject, selector, now) })
}

// Misses does so.
func (f *FaultyStore) Misses(ctx context.Context, key string) (mfa.Misses, error) {
	return call(f, "Misses", func() (mfa.Misses, error) { return f.s.Misses(ctx, key) })
}

// SaveMisses does so.
func (f *FaultyStore) SaveMisses(ctx context.Context, key string, m mfa.Misses, expires time.Time) error {
	return f.do("SaveMisses", func() error { return f.s.SaveMisses(ctx, key, m, expires) })
}
