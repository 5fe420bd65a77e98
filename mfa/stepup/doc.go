// Package stepup is both sides of RFC 9470: an API that wants to know how
// strongly and how recently its user was authenticated, and the app that calls
// it and asks for more where the API does. It works with any issuer that puts
// acr and auth_time into its access tokens, and with any API that answers with
// these challenges. It imports the standard library and go-jose, and nothing
// else of Sallyport.
//
// # The API
//
//	guard, err := stepup.New(stepup.Config{
//		Issuer:   "https://login.example.com",
//		Audience: "https://bank.example.com",
//		Ladder:   stepup.Ladder{{"pwd"}, {"mfa"}, {"phr"}},
//		Store:    &stepup.MemoryStore{},
//	})
//	…
//	read := guard.Require(stepup.Demand{Scopes: []string{"account"}})
//	send := guard.Require(stepup.Demand{
//		Scopes: []string{"transfer"}, Level: "mfa", MaxAge: 5 * time.Minute, Once: true,
//	})
//	mux.Handle("GET /account", read(account))
//	mux.Handle("POST /transfer", send(transfer))
//
// Require returns a func(http.Handler) http.Handler: it wraps a handler for a
// ServeMux, and is what Use takes in gorilla/mux and Use and With in chi. Behind
// it, [From] has the token, and [Approved] what the user approved in detail (RFC
// 9396). A handler that knows what to demand only when it has read the request,
// because small amounts go without, calls [Guard.Check] and [Refuse] itself.
//
// What the answers mean:
//
//	400 invalid_request                    several Authorization headers
//	401 (no error)                         no bearer token
//	401 invalid_token                      not a token of this issuer for this API, over, or spent
//	401 insufficient_user_authentication   acr or auth_time is too low, too old, or missing
//	403 insufficient_scope                 a scope is missing, and nothing else
//	503                                    the issuer's keys, its introspection or the store cannot be had
//
// The two insufficient ones say all that is demanded, in scope, acr_values and
// max_age, whichever was lacking, so that one new authorization meets it. The
// parameters are named with insufficient_scope too, for which RFC 9470 does not
// define them, since a token that is fetched for the sake of a scope could come
// with less authentication than the last. A script in a page sees them only if
// CORS exposes WWW-Authenticate. What exactly was wrong is for Config.Log.
//
// # The app
//
//	flow := stepup.Flow{Call: transfer}
//	to, err := client.StepUp(&flow, resp)   // resp: the API's answer
//	// to is empty: resp is the answer, good or bad.
//	// Otherwise keep flow in the session by its State, and send the browser to it.
//
//	// at the redirect URI:
//	code, err := client.Answer(&flow, r.URL.Query())
//	// Exchange the code with flow.Verifier. The ID token must have flow.Nonce and
//	// be about the same user. Repeat flow.Call, and give the answer to StepUp.
//
// After one step-up, StepUp answers ErrAgain to another challenge, so a loop is
// impossible as long as the Flow goes along with the call; it goes along as
// JSON. An app that makes its authorization requests elsewhere adds the
// challenge to one of them with [Challenge.Request]. The example of Client is
// the whole of it, in a web app.
//
// # gRPC
//
// Nothing here needs net/http but the answers. An interceptor is
//
//	func require(g *stepup.Guard, d stepup.Demand) grpc.UnaryServerInterceptor {
//		return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
//			md, _ := metadata.FromIncomingContext(ctx)
//			t, err := g.Check(ctx, md.Get("authorization"), d)
//			if err == nil {
//				return handle(stepup.With(ctx, t), req)
//			}
//			code := codes.Unauthenticated
//			var r *stepup.Refusal
//			if !errors.As(err, &r) || r.Status == http.StatusServiceUnavailable {
//				return nil, status.Error(codes.Unavailable, "the access token cannot be checked")
//			}
//			if r.Status == http.StatusForbidden {
//				code = codes.PermissionDenied
//			}
//			grpc.SetTrailer(ctx, metadata.Pairs("www-authenticate", r.Challenge))
//			return nil, status.Error(code, r.Text)
//		}
//	}
//
// and the client gives the trailer to [ParseChallenges].
//
// # What is decided here
//
// Every zero value denies: the zero Demand is met by nothing, so that a demand
// that was forgotten is noticed; a missing claim is a claim that is not met; and
// a Demand that cannot be met panics when the program starts.
//
// Levels are compared on the Ladder, or to the letter. "mfa" < "pwd" is true of
// strings and of nothing else.
//
// A token is checked in this order: where it is in the request, header, key,
// signature, issuer, audience, times, cnf, authentication, scopes; and then it
// is spent, so that a refused call does not use it up. Authentication goes
// before scopes, because its challenge can name both (RFC 9470 section 3) and
// that of a missing scope cannot. A call that was let pass has used its token
// up, whatever becomes of it: the other order would let it happen twice.
//
// JWTs are those of RFC 9068 to the letter: typ at+jwt, and each claim that the
// RFC requires. Only so is an ID token, or another JWT of the same issuer, not
// taken for one. A kid is required, which the RFC does not, so that a key is
// found and never tried out. Headers that bring a key or its address along
// refuse the token even if it verifies. A token with cnf is bound to a key that
// its sender has to prove to have; as nobody asks for the proof here, whoever
// stole it could send it.
//
// An opaque token that is not remembered costs the issuer a request, and anybody
// can make tokens up. The issuer gets 32 at once at most; the others wait, and
// are answered 503 when their 5 seconds are over. (Config.Transport has its own
// bounds.)
//
// Introspection has to say exp and aud, and token_type Bearer unless that is
// waived, which are all optional in RFC 7662: an answer without them does not
// tell an access token for this API from other tokens.
//
// Keys are fetched at the first token, then every 5 minutes in the background,
// and when a token names an unknown key: every 10 seconds at most, however many
// names are made up. A failed fetch is tried again after 2 seconds. While the
// issuer is away the last keys are used, until Config.Stale after they came (an
// hour): tokens that it cannot renew do not live longer anyway. Documents have
// 256 KiB at most, requests take 5 seconds at most and follow no redirect. A
// JWT costs no request beside that.
//
// The result of a signature is not remembered. A P-256 verification is two
// thirds of what a token costs, 0.1 ms in all (go test -bench Check); a cache
// would have to forget along with keys, and would be one more place from which
// a token could be let pass.
//
// The identity of a token, for being spent, is its issuer and jti. Its text
// will not do: ES256 signatures and base64 can both be written differently and
// still verify.
//
// For freshness the Skew counts too: a user who was authenticated this second
// would be sent back at once by an API whose clock is ahead. A max_age of 5
// minutes is thus 5 minutes and 5 seconds.
//
// A challenge is a stranger's input to the app. An API that was taken over can
// ask the user to be authenticated, but for no scope that the app does not name
// in Client.MayAsk.
package stepup
