package storage_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
)

// What is older than the epoch is void: whatever could be used up, or taken
// back.
func TestNothingOlderThanTheEpochIsGood(t *testing.T) {
	each(t, func(t *testing.T, d *storage.DB) {
		ctx, now := t.Context(), time.Now()
		must(t, d.AddClient(ctx, provider.Client{ID: "app", Type: provider.SPA, BackchannelLogoutURI: "https://app.example/"}))
		must(t, d.AddClient(ctx, provider.Client{ID: "deaf", Type: provider.SPA}))
		flow := provider.Flow{ID: "flow", ClientID: "app", Expires: now.Add(time.Hour)}
		must(t, d.CreateFlow(ctx, flow))
		flow, err := d.Flow(ctx, "flow")
		must(t, err)
		pushed := provider.Hash{1}
		must(t, d.CreatePushed(ctx, provider.PushedRequest{ID: pushed, ClientID: "app", Request: "x=y", Expires: now.Add(time.Hour)}))
		sessions := []provider.Session{sessionWith(t, d, "anna", "app"), sessionWith(t, d, "bert", "app"), sessionWith(t, d, "cleo", "deaf")}
		must(t, d.CreateGrant(ctx, provider.Grant{
			ID: "offline", Subject: "anna", ClientID: "app", SessionID: sessions[0].ID, Login: sessions[0].Login,
			Scopes: []string{"openid", "offline_access"}, Expires: now.Add(time.Hour),
		}))
		account := mfa.Account{
			Subject: "anna", Secret: "s", Params: mfa.Params{Algorithm: "SHA1", Digits: 6, Period: 30}, LastStep: now.Unix()/30 - 5, Enrolled: now, Had: true,
			Ticket: pushed[:], TicketExpires: now.Add(time.Hour), Pending: "p", PendingBinding: "b", PendingExpires: now.Add(time.Hour),
			Unsaved: "u", UnsavedBinding: "b", UnsavedExpires: now.Add(time.Hour),
		}
		must(t, d.Atomically(ctx, func(ctx context.Context) error {
			if _, err := d.Account(ctx, "anna"); err != nil {
				return err
			}
			return errors.Join(d.SaveAccount(ctx, account), d.ReplaceRecoveryCodes(ctx, "anna", []mfa.RecoveryCode{
				{Selector: "a", Hash: "h"}, {Selector: "b", Hash: "h"}, {Selector: "c", Hash: "h"},
			}))
		}))
		must(t, d.UseRecoveryCode(ctx, "anna", "a", now))
		// One whose clock was ahead has used what is not good yet.
		far := mfa.Account{Subject: "bert", Secret: "s", Params: account.Params, LastStep: now.Unix()/30 + 1000}
		must(t, d.Atomically(ctx, func(ctx context.Context) error {
			if _, err := d.Account(ctx, "bert"); err != nil {
				return err
			}
			return d.SaveAccount(ctx, far)
		}))
		old := provider.Hash{2}
		must(t, d.SpendAssertion(ctx, provider.Hash{3}, now, now.Add(time.Hour)))

		got, err := d.BumpEpoch(ctx, false)
		must(t, err)
		if want := (storage.Voided{Flows: 1, Pushed: 1, Sessions: 3, Grants: 4, Codes: 2, People: 1, Tickets: 1, Logouts: 2}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}

		if err := d.SaveFlow(ctx, flow); !errors.Is(err, provider.ErrConflict) {
			t.Errorf("a flow of before is saved: %v", err)
		}
		if f, err := d.Flow(ctx, "flow"); err != nil || !f.State.Ended {
			t.Errorf("the flow goes on: %+v, %v", f, err)
		}
		if p, err := d.Pushed(ctx, pushed); !errors.Is(err, provider.ErrNotFound) {
			t.Errorf("a pushed request is good: %+v, %v", p, err)
		}
		for _, s := range sessions {
			if left, err := d.Sessions(ctx, s.Login.Subject); err != nil || len(left) > 0 {
				t.Errorf("%s has sessions: %v, %v", s.Login.Subject, left, err)
			}
		}
		if g, err := d.Grant(ctx, "offline"); err != nil || g.Revoked.IsZero() {
			t.Errorf("a grant stands: %+v, %v", g, err)
		}
		told := logouts(t, d)
		slices.Sort(told)
		if !slices.Equal(told, []string{"app anna", "app bert"}) {
			t.Errorf("told are %v", told)
		}
		a, err := d.Account(ctx, "anna")
		must(t, err)
		next := now.Unix()/30 + 1
		if a.LastStep < next || a.LastStep > next+1 || a.RecoveryLeft != 0 || len(a.Ticket) > 0 || !a.TicketExpires.IsZero() ||
			a.Pending != "" || a.Unsaved != "" || a.Secret != "s" {
			t.Errorf("anna's: %+v", a)
		}
		if b, err := d.Account(ctx, "bert"); err != nil || b.LastStep != far.LastStep {
			t.Errorf("bert may use codes again: %+v, %v", b, err)
		}
		must(t, d.Atomically(ctx, func(ctx context.Context) error {
			if err := d.UseRecoveryCode(ctx, "anna", "b", now); !errors.Is(err, mfa.ErrSpent) {
				t.Errorf("a recovery code is good: %v", err)
			}
			return nil
		}))
		if err := d.SpendAssertion(ctx, old, now, now.Add(time.Hour)); !errors.Is(err, provider.ErrVoid) {
			t.Errorf("an assertion of before: %v", err)
		}
		must(t, d.SpendAssertion(ctx, old, time.Now().Add(time.Microsecond), now.Add(time.Hour)))

		// And what comes after is good, until it is bumped again.
		sessionWith(t, d, "anna", "app")
		again, err := d.BumpEpoch(ctx, false)
		must(t, err)
		if want := (storage.Voided{Sessions: 1, Grants: 1, Logouts: 1}); again != want {
			t.Errorf("again: got %+v, want %+v", again, want)
		}
	})
}

// However many sessions there are, all of them end and each client is told once of
// each.
func TestABumpEndsManySessions(t *testing.T) {
	each(t, func(t *testing.T, d *storage.DB) {
		ctx := t.Context()
		must(t, d.AddClient(ctx, provider.Client{ID: "app", Type: provider.SPA, BackchannelLogoutURI: "https://app.example/"}))
		const n = 1100
		must(t, d.Atomically(ctx, func(ctx context.Context) error {
			for i := range n {
				sessionIn(ctx, t, d, fmt.Sprintf("person %d", i), "app")
			}
			return nil
		}))
		for _, want := range []storage.Voided{{Sessions: n, Grants: n, Logouts: n}, {}} {
			got, err := d.BumpEpoch(ctx, false)
			must(t, err)
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
		told := logouts(t, d)
		slices.Sort(told)
		if len(told) != n || len(slices.Compact(told)) != n {
			t.Errorf("%d notices, to %d", len(told), len(slices.Compact(told)))
		}
	})
}

// An epoch in the future is not lowered, nor taken for one, unless whoever bumps it
// knows that its clock was wrong. Then what it made void for too long is good again.
func TestAnEpochInTheFutureIsAskedAbout(t *testing.T) {
	each(t, func(t *testing.T, d *storage.DB) {
		ctx, now := t.Context(), time.Now()
		ahead := now.Add(24 * time.Hour)
		must(t, d.Write(ctx).Exec("INSERT INTO epoch (id, bumped) VALUES (1, ?)", ahead.UnixMicro()).Error)
		must(t, d.Atomically(ctx, func(ctx context.Context) error {
			if _, err := d.Account(ctx, "anna"); err != nil {
				return err
			}
			return d.SaveAccount(ctx, mfa.Account{
				Subject: "anna", Secret: "s", Params: mfa.Params{Algorithm: "SHA1", Digits: 6, Period: 30}, LastStep: ahead.Unix() / 30,
			})
		}))
		sessionWith(t, d, "anna", "app")
		if _, err := d.BumpEpoch(ctx, false); !errors.Is(err, storage.ErrEpochAhead) {
			t.Errorf("got %v", err)
		}
		if s, err := d.Sessions(ctx, "anna"); err != nil || len(s) != 1 {
			t.Errorf("it ended sessions: %v, %v", s, err)
		}
		if err := d.SpendAssertion(ctx, provider.Hash{1}, now, now.Add(time.Hour)); !errors.Is(err, provider.ErrVoid) {
			t.Errorf("an assertion of before: %v", err)
		}
		got, err := d.BumpEpoch(ctx, true)
		must(t, err)
		if got.Sessions != 1 {
			t.Errorf("got %+v", got)
		}
		must(t, d.SpendAssertion(ctx, provider.Hash{1}, time.Now().Add(time.Second), now.Add(time.Hour)))
		if a, err := d.Account(ctx, "anna"); err != nil || a.LastStep > time.Now().Unix()/30+1 {
			t.Errorf("her codes are void up to %d, %v", a.LastStep, err)
		}
	})
}

// Over a database whose epoch is in the future nothing is restored that would lower
// it.
func TestARestoreDoesNotLowerTheEpoch(t *testing.T) {
	ctx := t.Context()
	file := filepath.Join(t.TempDir(), "idp.db")
	d := open(t, storage.Config{DSN: "sqlite:" + file})
	backup := filepath.Join(t.TempDir(), "backup.db")
	must(t, d.Backup(ctx, backup))
	must(t, d.Write(ctx).Exec("INSERT INTO epoch (id, bumped) VALUES (1, ?)", time.Now().Add(time.Hour).UnixMicro()).Error)
	for _, trust := range []bool{false, true} {
		r, err := storage.Copy(ctx, backup, file)
		must(t, err)
		_, err = r.Replace(ctx, file, trust)
		must(t, r.Discard())
		if (err == nil) != trust || err != nil && !errors.Is(err, storage.ErrEpochAhead) {
			t.Errorf("with a clock that is trusted %v: %v", trust, err)
		}
	}
	// Nor by so little that nobody need be asked.
	little := time.Now().Add(8 * time.Second).UnixMicro()
	must(t, d.Write(ctx).Exec("UPDATE epoch SET bumped = ?", little).Error)
	r, err := storage.Copy(ctx, backup, file)
	must(t, err)
	_, err = r.Replace(ctx, file, false)
	must(t, errors.Join(err, r.Discard()))
	var at int64
	must(t, d.Read(ctx).Raw("SELECT bumped FROM epoch").Row().Scan(&at))
	if at < little {
		t.Errorf("it is lower by %d µs", little-at)
	}
}
