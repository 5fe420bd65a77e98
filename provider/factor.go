package provider

import (
	"context"

	"github.com/sallyport-id/sallyport/provider/authflow"
)

// A Factor is the second factors of all users. Package mfa has one.
//
// A binding names who acts: a flow or a session. What one binding began, a
// pending secret or codes to be put away, no other can see or finish: someone
// else who knows the password learns nothing of it.
//
// Called with the context of [Store.Atomically], every method must take part
// in that transaction.
type Factor interface {
	// Status returns what is true of subject's factors, the zero Status if
	// nothing is known.
	Status(ctx context.Context, subject, binding string) (authflow.Status, error)

	// Verify charges subject's budget with an attempt, and only then checks
	// code, an OTP or a Recovery code as m says. A right code is used up by
	// it: of any number of calls with one code, over all replicas, one returns
	// OK. A wrong code is no error.
	Verify(ctx context.Context, subject string, m authflow.Method, code string) (authflow.Verdict, error)

	// Begin makes a new secret for subject, pending until Confirm, in place of
	// one that was pending before. account is the name that the authenticator
	// app will show. The caller has made sure that subject may enrol; where
	// Status.Ticket is set, ticket is used up by it, and a wrong one gets a
	// refusing Verdict.
	Begin(ctx context.Context, subject, binding, account, ticket string) (authflow.Verdict, error)

	// Pending returns the otpauth URI of the secret that binding has pending;
	// empty if it has none, or no longer.
	Pending(ctx context.Context, subject, binding string) (uri string, err error)

	// Confirm makes the pending secret the active one, in place of any other,
	// if code comes from it; the code is used up. New recovery codes take the
	// place of old ones. A wrong code is charged as by Verify.
	Confirm(ctx context.Context, subject, binding, code string) (authflow.Verdict, error)

	// Codes returns the recovery codes that binding had made and has not yet
	// put away, none if there are none.
	Codes(ctx context.Context, subject, binding string) ([]string, error)

	// PutAway forgets the text of those codes. No call returns them again.
	PutAway(ctx context.Context, subject, binding string) error

	// NewCodes makes new recovery codes in place of all old ones.
	NewCodes(ctx context.Context, subject, binding string) error
}

// AttemptsKey is the key under which the provider counts passwords that were
// given for the account of subject, for commands that show or clear the count.
func AttemptsKey(subject string) string { return "subject:" + subject }

// Attempts bounds how often passwords may be guessed. Package mfa has one.
type Attempts interface {
	// Attempt records that a password was given for the account that key
	// names, and whether it was right, and reports whether it counts: it does
	// while the account's budget of attempts lasts. One that does not leaves
	// the budget as it is. It takes part in the transaction of ctx.
	Attempt(ctx context.Context, key string, right bool) (bool, error)
}
