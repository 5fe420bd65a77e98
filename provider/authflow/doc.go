// Package authflow decides what a person must still prove before an
// authorization request is granted.
//
// A [Flow] is one pending request: what has happened to it so far. Its
// position is never stored. [Flow.Next] derives it each time it is asked, from
// what the request demands ([Demand]), what has been proven ([Login]) and what
// is true of the person right now ([Moment]). [Flow.Apply] is the only way to
// move a Flow, and a [Grant] can be had from nowhere but [Flow.Grant], which
// asks Next first. The issuer of authorization codes takes a Grant, so no code
// can be issued while Next still wants something.
//
// The package does no I/O, reads no clock and draws no randomness. Its tests
// walk every reachable state; testdata/transitions.golden is the map they draw.
//
// # Where it departs from the first plan
//
// The vocabulary of second factors ([Status], [Verdict]) lives here too, so
// that package mfa, which checks codes, and package provider, which asks for
// them, agree on it without importing one another.
//
// Recovery codes that have just been made and not yet been put away hold the
// flow at [ShowCodes]: a fact of the [Moment], like all others, so that a lost
// answer or a reload shows them again and nothing is granted over their head.
//
// A flow that began in a browser with a session is pinned to the session's
// user ([Flow.Pinned]); [Switched] is the one way out, and it leaves every
// proof behind. An id_token_hint pins it to the user it names, with no way out.
//
// # Decisions
//
// The password is the first door, even where a passkey alone would reach the
// level: a code is asked of nobody who has not given it, because codes are
// counted against an account, and an old browser is easily found.
//
// max_age and the end of a session concern what was proven before the request.
// What is proven on the way counts until the flow is over; a limit of seconds
// would otherwise ask for one factor while the other grows too old, for ever.
// A proof from a session is dated before the request, always.
//
// A [Floor] has two ages. MaxAge is for every method, and so what auth_time in a
// token can be held against; FactorMaxAge leaves the password out: whoever has
// the phone in hand need not type a password again for that. Of several floors
// the strongest level holds and the shortest age, each by itself, so that what
// two of them demand together may be more than either does.
//
// What is approved once, and what is approved in detail (RFC 9396), takes a
// factor that is proven after the request, since the page on which it is proven
// says what it is for. Once goes further: the factor counts for nothing else
// ([Grant.Lasting]), and nothing is renewed. Both need a level that takes more
// than a password: otherwise nothing would be proven at all.
//
// At a refresh floors are asked anew, of the proofs that the grant recorded
// ([Policy.Renews]): by scope, because the others are as good as before. What is
// proven elsewhere since does not freshen a grant.
//
// A first factor is enrolled on a password not older than [PasswordLifetime],
// and only where there is no factor at all; a further one on a recovery code
// not older than [FactorLifetime]. A recovery code that does not reach the
// level so leads to one that does.
//
// Levels that a request names are a demand, by acr_values as by claims, of
// which the strongest holds. One below the floor means the floor, and comes
// after those that are not. The token names the strongest of them that was
// reached, so its acr may be weaker than the proofs, never stronger; whoever
// decides later, at a refresh, asks the proofs ([Policy.Allows]).
package authflow
