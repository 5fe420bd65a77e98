// Package engine fences ory/fosite in: our requests and grants go in, our
// answers come out, and no fosite type passes. Only package provider can
// import it, and only here is fosite imported.
//
// The plan had it at provider/engine. It is internal, because it makes codes
// and tokens: a line of the compiler is better than a line of a style guide.
//
// # A unit of work
//
// fosite wants a store that it calls many times, in several transactions. Here
// it gets a [unit] that lives for one call and answers from memory: the caller
// has read the one row there is (a Grant), and fosite's writes become marks
// ([Tokens.Spend], [Tokens.Rotate], [Refusal.Reuse]) that the caller carries
// out in one transaction before it answers. Nothing that fosite hands out is
// worth anything before that.
//
// # Ledger
//
// Used: parsing and checking of authorization requests, the code grant, the
// refresh grant, PKCE, and when an ID token is issued.
//
// Off, because it is unsafe, wrong or ours (../../../../shared/fosite.md has the
// places): client authentication, redirect URI matching (its loopback rule
// takes any client and scheme), request objects and request_uri, prompt,
// max_age, id_token_hint and nonce at the token endpoint (a refresh would take
// its nonce from the body), state (at least 8 characters or nothing goes),
// its signer (one key, no kid), HMAC strategies (a global mutex), introspection
// and revocation, error writers, everything that fetches, audiences (its
// parameter is called audience and cannot be narrowed).
//
// Upstream fixes carried: single use of codes and refresh tokens (the store's
// matter: #778), PKCE kept after a wrong verifier (#883), access tokens with a
// fresh iat at refresh (#774), a refresh that asks for less (#696). Ours besides:
// a grace in which a refresh token gets its one successor again.
package engine
