// Package mfa keeps second factors: one-time passwords by time (TOTP, RFC
// 6238), recovery codes, the budget of attempts that bounds guessing at them,
// and the sealing of secrets for storage.
//
// [Factors] is what package provider asks for a second factor, [Attempts] what
// it asks whether a password may still be guessed; both satisfy its interfaces
// without knowing it. What they keep goes to a [Store], of which package
// storage has one. The package knows no HTTP and no database, and writes no
// log: it answers, and the caller says what happened.
//
// # What is decided here
//
// One account, one lock, one transaction. Everything that can be guessed is
// looked at with the account locked, and what it cost is saved together with
// what it bought. A caller that takes part with a transaction of its own keeps
// three things true: it reads [Factors.Status] in the same transaction as it
// acts on, or someone enrols in between; it does not make the result known
// before the commit; and it does not roll back because a code was wrong, or
// the attempt was free. A transaction that is rolled back for another reason
// takes its charge along, which is no way to guess: right and wrong codes are
// compared over the same steps in the same time, and the answer is the same.
//
// A code is computed for all 21 steps from ten before now to ten after and
// compared with each in constant time, whether it fits or not. The three in
// the middle are the window; of those that fit the highest is stored as used,
// since two neighbouring steps can share a code. The others give the hint that
// a clock is off. The hint is an oracle: of a code that is ahead it says when
// it will be good, which would make a guess worth 12 in a million instead of 3.
// So the account remembers the step that a hint told of, and its code is never
// accepted. While a secret is pending there is no such guard, because whoever
// confirms it has it on the screen.
//
// A right code costs nothing: its charge is taken back, the run of misses ends
// and the day begins anew. The month goes on, so that an owner who signs in
// every day does not hand out fresh attempts to a guesser. Neither does a new
// password, unless the old one was taken as stolen. A password that is taken
// as stolen shuts the account for everything here, codes and enrolment alike.
// While an attempt has to wait nothing is looked at and nothing counted, so
// that impatience does not make the wait longer.
//
// What is pending, and recovery codes that were not yet put away, belong to a
// binding, a flow or a session, and are sealed for it: somebody else who knows
// the password neither sees nor confirms them. A new active factor ends
// everything that is pending, so that a first enrolment, for which a password
// was enough, never becomes a replacement, for which it is not.
//
// A ticket is used up when the enrolment begins, not when it is confirmed; the
// binding that has used it may begin again while its secret is pending.
// Attempts at tickets are charged like all others.
//
// Recovery codes have a selector that is no secret, so that one try costs one
// hash and not ten, and as much where there is no such code. A hash takes about
// 10 ms: at 80 random bits nobody guesses, but a database that is stolen
// together with a weak random generator should be worth nothing either. They
// take part in the epoch only with the factor: new codes alone sign nobody out.
//
// Reading ([Factors.Status], Pending, Codes, Describe) opens no transaction of
// its own. In one it takes part, and locks.
//
// Secrets of 160 bits are made for every algorithm. Imported ones may have 80,
// below the 128 of RFC 4226 section 4, because that is what large providers
// gave out for years; to refuse them would only keep people from moving.
//
// Sealing binds every text to its purpose, its account and, where there is
// one, its binding. Keys carry an ID, several can be open at a time, and a
// right code reseals its secret with the newest; see [Factors.Reseal] for the
// rest.
package mfa

import "time"

// now is the time as it is stored.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
