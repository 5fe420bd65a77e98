package mfa_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

func begin(t *testing.T, f *mfa.Factors, subject, binding, ticket string) {
	t.Helper()
	v, err := f.Begin(ctx, subject, binding, subject+"@example.com", ticket)
	if err != nil || !v.OK {
		t.Fatalf("beginning: %+v, %v", v, err)
	}
}

func pending(t *testing.T, f *mfa.Factors, subject, binding string) string {
	t.Helper()
	uri, err := f.Pending(ctx, subject, binding)
	if err != nil {
		t.Fatal(err)
	}
	return uri
}

// scan returns the secret that binding has pending.
func scan(t *testing.T, f *mfa.Factors, subject, binding string) string {
	t.Helper()
	s, _, err := mfa.ParseOTPAuth(pending(t, f, subject, binding))
	if err != nil {
		t.Fatal(err)
	}
	return string([]byte(s))
}

func confirm(t *testing.T, f *mfa.Factors, subject, binding, code string) authflow.Verdict {
	t.Helper()
	v, err := f.Confirm(ctx, subject, binding, code)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func codes(t *testing.T, f *mfa.Factors, subject, binding string) []string {
	t.Helper()
	c, err := f.Codes(ctx, subject, binding)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// enrol takes subject through a whole enrolment and returns the secret and the
// recovery codes.
func enrol(t *testing.T, f *mfa.Factors, subject string) (string, []string) {
	t.Helper()
	begin(t, f, subject, flow, "")
	s := scan(t, f, subject, flow)
	if v := confirm(t, f, subject, flow, code(t, s, 0)); !v.OK {
		t.Fatalf("confirming: %+v", v)
	}
	return s, codes(t, f, subject, flow)
}

// TO-10
func TestAFactorIsActiveOnlyAfterItsFirstCode(t *testing.T) {
	bare(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		if s, want := status(t, f, alice, flow), (authflow.Status{MayEnroll: true, FactorEpoch: "0"}); s != want {
			t.Errorf("at first: %+v, want %+v", s, want)
		}
		begin(t, f, alice, flow, "")
		if s, want := status(t, f, alice, flow), (authflow.Status{MayEnroll: true, Pending: true, FactorEpoch: "0"}); s != want {
			t.Errorf("with a pending secret: %+v, want %+v", s, want)
		}
		s := scan(t, f, alice, flow)
		if len(s) != 20 { // TO-5
			t.Errorf("the secret has %d bytes", len(s))
		}
		c := code(t, s, 0)
		if v := verify(t, f, c); v.OK {
			t.Error("Verify accepts the code of a pending secret")
		}
		if v, want := confirm(t, f, alice, flow, c), (authflow.Verdict{OK: true, RecoveryLeft: 10}); v != want {
			t.Errorf("confirming: %+v, want %+v", v, want)
		}
		want := authflow.Status{
			Enrolled: authflow.Of(authflow.OTP, authflow.Recovery), RecoveryLeft: 10, Unsaved: true, FactorEpoch: "1",
		}
		if s := status(t, f, alice, flow); s != want {
			t.Errorf("at last: %+v, want %+v", s, want)
		}
		want.Unsaved = false
		if s := status(t, f, alice, other); s != want {
			t.Errorf("seen from another flow: %+v, want %+v", s, want)
		}
		if v := verify(t, f, c); v.OK || !v.Replayed {
			t.Errorf("the confirming code, again, gets %+v", v)
		}
		if v := confirm(t, f, alice, flow, code(t, s, 1)); v.OK {
			t.Error("one secret is confirmed twice")
		}
		if got := pending(t, f, alice, flow); got != "" { // TO-5
			t.Error("the secret is shown again")
		}
		if v := verify(t, f, code(t, s, 1)); !v.OK {
			t.Errorf("the next code gets %+v", v)
		}
	})
}

// TO-10
func TestAPendingSecretLivesTenMinutes(t *testing.T) {
	bare(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		begin(t, f, alice, flow, "")
		s := scan(t, f, alice, flow)
		time.Sleep(10*time.Minute - time.Microsecond)
		if pending(t, f, alice, flow) == "" {
			t.Error("it is gone within ten minutes")
		}
		time.Sleep(time.Microsecond)
		if pending(t, f, alice, flow) != "" || status(t, f, alice, flow).Pending {
			t.Error("it is there after ten minutes")
		}
		if v := confirm(t, f, alice, flow, code(t, s, 0)); v.OK {
			t.Error("it is confirmed after ten minutes")
		}
	})
}

// TO-10: whoever else knows the password sees nothing of it.
func TestAPendingSecretIsOfOneBinding(t *testing.T) {
	bare(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		begin(t, f, alice, flow, "")
		s := scan(t, f, alice, flow)
		for _, b := range []string{other, ""} {
			if pending(t, f, alice, b) != "" || status(t, f, alice, b).Pending {
				t.Errorf("binding %q sees it", b)
			}
			if v := confirm(t, f, alice, b, code(t, s, 0)); v.OK {
				t.Errorf("binding %q confirms it", b)
			}
		}
		if got := pending(t, f, bob, flow); got != "" {
			t.Errorf("another account has %q", got)
		}
		begin(t, f, alice, other, "") // a second start replaces the first
		if pending(t, f, alice, flow) != "" {
			t.Error("the first secret is still pending")
		}
		if v := confirm(t, f, alice, flow, code(t, s, 0)); v.OK {
			t.Error("the first secret is confirmed")
		}
		if scan(t, f, alice, other) == s {
			t.Error("the second secret is the first")
		}
	})
}

func TestAWrongFirstCodeIsChargedAndGetsAHint(t *testing.T) {
	bare(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		begin(t, f, alice, flow, "")
		s := scan(t, f, alice, flow)
		if v, want := confirm(t, f, alice, flow, code(t, s, -4)), (authflow.Verdict{Drift: -2 * time.Minute}); v != want {
			t.Errorf("got %+v, want %+v", v, want)
		}
		for range 4 {
			confirm(t, f, alice, flow, "nonsense")
		}
		if v, want := confirm(t, f, alice, flow, code(t, s, 0)), (authflow.Verdict{Wait: 30 * time.Second}); v != want {
			t.Errorf("the sixth gets %+v, want %+v", v, want)
		}
		time.Sleep(30 * time.Second)
		if v := confirm(t, f, alice, flow, code(t, s, 0)); !v.OK {
			t.Errorf("after the wait it gets %+v", v)
		}
	})
}

func TestReplacingAFactorEndsTheOldOne(t *testing.T) {
	for _, policy := range []mfa.Enrolment{mfa.Inline, mfa.Ticket, mfa.Forbidden} {
		at(t, mfa.Config{Enrolment: policy}, func(t *testing.T, f *mfa.Factors, m *memory) {
			if s := status(t, f, alice, flow); s.MayEnroll { // TO-11
				t.Errorf("%s: who has a factor may enrol on a password alone: %+v", policy, s)
			}
			if err := f.NewCodes(ctx, alice, other); err != nil {
				t.Fatal(err)
			}
			old := codes(t, f, alice, other)
			s, fresh := enrol(t, f, alice)
			if v := verify(t, f, code(t, secret, 1)); v.OK {
				t.Errorf("%s: the old secret is good", policy)
			}
			if v := verify(t, f, code(t, s, 1)); !v.OK {
				t.Errorf("%s: the new secret is not: %+v", policy, v)
			}
			if v := verifyOf(t, f, alice, authflow.Recovery, old[0]); v.OK {
				t.Errorf("%s: an old recovery code is good", policy)
			}
			if v := verifyOf(t, f, alice, authflow.Recovery, fresh[0]); !v.OK {
				t.Errorf("%s: a new recovery code is not: %+v", policy, v)
			}
			if got := status(t, f, alice, flow).FactorEpoch; got != "2" {
				t.Errorf("%s: the epoch is %s, want 2", policy, got)
			}
			if codes(t, f, alice, other) != nil {
				t.Errorf("%s: the old codes can still be read", policy)
			}
		})
	}
}

// TO-11: a race between someone who knows the password and the owner.
func TestAFirstEnrolmentNeverBecomesAReplacement(t *testing.T) {
	bare(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		begin(t, f, alice, flow, "")
		s := scan(t, f, alice, flow)
		if err := f.Import(ctx, alice, imports); err != nil {
			t.Fatal(err)
		}
		if v := confirm(t, f, alice, flow, code(t, s, 0)); v.OK {
			t.Error("a secret that was begun before takes the place of the factor")
		}
		if v := verify(t, f, code(t, secret, 0)); !v.OK {
			t.Errorf("the factor gets %+v", v)
		}
	})
}

// TO-14
func TestWhoHadAFactorDoesNotEnrolOnAPassword(t *testing.T) {
	at(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		if err := f.NewCodes(ctx, alice, other); err != nil {
			t.Fatal(err)
		}
		left := codes(t, f, alice, other)
		a := m.accounts[alice]
		a.Secret = "" // lost, however that came
		m.accounts[alice] = a
		if s := status(t, f, alice, flow); s.MayEnroll {
			t.Errorf("got %+v", s)
		}
		if v, err := f.Begin(ctx, alice, flow, "alice", ""); err != nil || v.OK {
			t.Errorf("begins all the same: %+v, %v", v, err)
		}
		if v := verifyOf(t, f, alice, authflow.Recovery, left[0]); v.OK {
			t.Error("a recovery code is good without the factor that it stands in for")
		}
	})
}

// TO-14
func TestATicketLetsOneEnrolmentBegin(t *testing.T) {
	bare(t, mfa.Config{Enrolment: mfa.Ticket}, func(t *testing.T, f *mfa.Factors, m *memory) {
		if s := status(t, f, alice, flow); s.MayEnroll {
			t.Errorf("without a ticket: %+v", s)
		}
		if v, err := f.Begin(ctx, alice, flow, "alice", ""); err != nil || v.OK {
			t.Errorf("begins without a ticket: %+v, %v", v, err)
		}
		old, _, err := f.NewTicket(ctx, alice)
		if err != nil {
			t.Fatal(err)
		}
		ticket, expires, err := f.NewTicket(ctx, alice)
		if err != nil || !expires.Equal(time.Now().Add(24*time.Hour)) {
			t.Fatalf("expires %v, %v", expires, err)
		}
		if s := status(t, f, alice, flow); !s.MayEnroll || !s.Ticket {
			t.Errorf("with a ticket: %+v", s)
		}
		if _, _, err := f.NewTicket(ctx, bob); err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"", "x", old, ticket[:len(ticket)-1], strings.Repeat("0", 24)} {
			if v, err := f.Begin(ctx, alice, flow, "alice", bad); err != nil || v.OK || v.Wait > 0 {
				t.Errorf("ticket %q gets %+v, %v", bad, v, err)
			}
		}
		if v, err := f.Begin(ctx, alice, flow, "alice", ticket); err != nil || v.Wait == 0 {
			t.Errorf("wrong tickets are not charged: %+v, %v", v, err)
		}
		time.Sleep(time.Hour)
		if v, err := f.Begin(ctx, bob, flow, "bob", ticket); err != nil || v.OK {
			t.Errorf("it is good for another account: %+v, %v", v, err)
		}
		begin(t, f, alice, flow, strings.ToLower(strings.ReplaceAll(ticket, "-", " ")))
		if v, err := f.Begin(ctx, alice, other, "alice", ticket); err != nil || v.OK {
			t.Errorf("it is good twice: %+v, %v", v, err)
		}
		// Who has used it may begin again, as long as the secret is pending.
		if s := status(t, f, alice, flow); !s.MayEnroll || s.Ticket || !s.Pending {
			t.Errorf("behind the ticket: %+v", s)
		}
		if s := status(t, f, alice, other); s.MayEnroll {
			t.Errorf("beside the ticket: %+v", s)
		}
		s, _ := enrol(t, f, alice)
		if v := verify(t, f, code(t, s, 1)); !v.OK {
			t.Errorf("got %+v", v)
		}
		if _, _, err := f.NewTicket(ctx, alice); !errors.Is(err, mfa.ErrEnrolled) {
			t.Errorf("a ticket for someone who is enrolled: %v, want ErrEnrolled", err)
		}
	})
}

func TestATicketExpires(t *testing.T) {
	bare(t, mfa.Config{Enrolment: mfa.Ticket, TicketLifetime: time.Hour}, func(t *testing.T, f *mfa.Factors, m *memory) {
		ticket, _, err := f.NewTicket(ctx, alice)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if s := status(t, f, alice, flow); s.MayEnroll {
			t.Errorf("got %+v", s)
		}
		if v, err := f.Begin(ctx, alice, flow, "alice", ticket); err != nil || v.OK {
			t.Errorf("got %+v, %v", v, err)
		}
	})
}

// TO-14
func TestForbiddenEnrolmentIsNotToBeHad(t *testing.T) {
	bare(t, mfa.Config{Enrolment: mfa.Forbidden}, func(t *testing.T, f *mfa.Factors, m *memory) {
		if _, _, err := f.NewTicket(ctx, alice); !errors.Is(err, mfa.ErrForbidden) {
			t.Errorf("a ticket: %v, want ErrForbidden", err)
		}
		if s := status(t, f, alice, flow); s.MayEnroll {
			t.Errorf("got %+v", s)
		}
		if v, err := f.Begin(ctx, alice, flow, "alice", ""); err != nil || v.OK {
			t.Errorf("got %+v, %v", v, err)
		}
		// A ticket from before enrolment was forbidden.
		ticket, _, err := factors(t, m, mfa.Config{Enrolment: mfa.Ticket}).NewTicket(ctx, alice)
		if err != nil {
			t.Fatal(err)
		}
		if s := status(t, f, alice, flow); s.MayEnroll {
			t.Errorf("with an old ticket: %+v", s)
		}
		if v, err := f.Begin(ctx, alice, flow, "alice", ticket); err != nil || v.OK {
			t.Errorf("an old ticket gets %+v, %v", v, err)
		}
		if err := f.Import(ctx, alice, imports); err != nil {
			t.Errorf("importing: %v", err)
		}
	})
}

func TestAnImportedSecretIsActiveAtOnce(t *testing.T) {
	at(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		want := authflow.Status{Enrolled: authflow.Of(authflow.OTP), FactorEpoch: "1"}
		if s := status(t, f, alice, flow); s != want {
			t.Errorf("got %+v, want %+v", s, want)
		}
		if v := verify(t, f, code(t, secret, 0)); !v.OK {
			t.Errorf("got %+v", v)
		}
		if err := f.Import(ctx, alice, imports); !errors.Is(err, mfa.ErrEnrolled) {
			t.Errorf("a second import: %v, want ErrEnrolled", err)
		}
		if err := f.Import(ctx, bob, "otpauth://hotp/x"); !errors.Is(err, mfa.ErrOTPAuth) {
			t.Errorf("nonsense: %v, want ErrOTPAuth", err)
		}
	})
}

// PA-3, TO-5: what can write to the database cannot move a secret.
func TestASecretMovedToAnotherAccountDoesNotOpen(t *testing.T) {
	at(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		moved := m.accounts[alice]
		moved.Subject = bob
		m.accounts[bob] = moved
		v, err := f.Verify(ctx, bob, authflow.OTP, code(t, secret, 0))
		if !errors.Is(err, mfa.ErrUnsealable) || v != (authflow.Verdict{}) {
			t.Errorf("got %+v, %v, want ErrUnsealable", v, err)
		}
	})
}

// TO-5, RC-2, LG-2
func TestADumpOfTheStoreGivesNothingAway(t *testing.T) {
	bare(t, mfa.Config{Enrolment: mfa.Inline}, func(t *testing.T, f *mfa.Factors, m *memory) {
		s, shown := enrol(t, f, alice)
		begin(t, f, alice, other, "")
		replacement := scan(t, f, alice, other)
		ticket, _, err := f.NewTicket(ctx, bob)
		if err != nil {
			t.Fatal(err)
		}
		dump := fmt.Sprintf("%+v", m.kept) + fmt.Sprintf("%+v %#v", f, f)
		secrets := append([]string{s, replacement, ticket, strings.ReplaceAll(ticket, "-", "")}, shown...)
		for _, c := range shown {
			secrets = append(secrets, strings.ReplaceAll(c, "-", ""), strings.ReplaceAll(c[5:], "-", ""))
		}
		for _, secret := range secrets {
			for _, form := range []string{secret, hex.EncodeToString([]byte(secret)), b32(secret), b64(secret), fmt.Sprint([]byte(secret))} {
				if strings.Contains(dump, form) {
					t.Errorf("%q is in the dump", form)
				}
			}
		}
	})
}

// TO-5: a secret that is of no use any more is not kept, sealed or not.
func TestWhatHasExpiredIsNotKept(t *testing.T) {
	bare(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		enrol(t, f, alice)
		begin(t, f, alice, other, "")
		if _, _, err := f.NewTicket(ctx, bob); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		verify(t, f, wrong)
		verifyOf(t, f, bob, authflow.OTP, wrong)
		hers, his := m.accounts[alice], m.accounts[bob]
		if hers.Pending != "" || hers.PendingName != "" || hers.Unsaved != "" || his.Ticket != nil {
			t.Errorf("kept: %+v, %+v", hers, his)
		}
		if hers.Secret == "" {
			t.Error("the factor is gone")
		}
	})
}

func TestANewSecretHasNothingToDoWithTheHintsOfTheOld(t *testing.T) {
	at(t, mfa.Config{}, func(t *testing.T, f *mfa.Factors, m *memory) {
		if v := verify(t, f, code(t, secret, 5)); v.Drift == 0 {
			t.Fatalf("got %+v", v)
		}
		s, _ := enrol(t, f, alice)
		time.Sleep(150 * time.Second)
		if v := verify(t, f, code(t, s, 0)); !v.OK {
			t.Errorf("got %+v", v)
		}
	})
}
