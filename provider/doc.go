// Package provider is an OpenID provider to mount in your own program: an
// [net/http.Handler] over your own users ([Directory]), with a second factor
// ([Factor]) between the password and the consent.
//
// # The gate
//
// Authorization codes come from one call of fosite, in the engine below this
// package; that call is made by one function here, issue, whose last parameter
// is an [authflow.Grant]; and only a flow that waits for nothing more has one
// to give. test/arch_test.go fails on a second way in.
//
// # One request on its way
//
//	POST /par        pushed.go      check the request, keep it under a name for the browser
//	GET /authorize   authorize.go   check the request, or the one that is named; begin a flow in memory
//	                                granted at once: issue; a page is needed: store it, 303 to it
//	GET /flow/{id}   flow.go        load, derive the step, show its page
//	POST /flow/{id}  step.go        load, derive the step, verify, apply, derive again
//	                                granted: issue; otherwise store it, 303 to its page
//	                 issue.go       end the flow, write session and grant, spend what was pushed, make the code
//	                 back.go        the answer to the client: by redirect, or posted
//	GET /logout      logout.go      end the session, or show the page that asks
//	                                what clients are to be told is stored with the end
//	(no request)     deliver.go     tell them, until they have taken it
//	POST /token      token.go       load the grant, let the engine judge, spend the code
//	POST /introspect introspect.go  load the grant, say what the token is worth now
//	POST /revoke     revoke.go      load the grant, end it
//
// [passage] is what all of them carry: the stored flow with everything about it
// that is true now. It is made anew for every request.
//
// A handler returns an answer or an error, and never writes. One function
// (serve, in answer.go) writes, and one table there turns errors into HTTP.
//
// # Decisions
//
// The browser is bound to its flows by one cookie whose value carries a MAC, so
// that a value which we did not issue is never adopted (SE-4). It is no
// session: it opens nothing but flows begun with it.
//
// The engine takes the plan's provider/engine one step further and is internal;
// see its doc.go.
//
// Wrong answers are shown in the answer to the POST itself, so that the page
// keeps what was typed; everything else that a POST does ends in a 303.
//
// The account pages are reached by a flow like any other, with an empty
// ClientID: it ends in a session and no code. So they need no second way to
// sign in, and stepping up before factors are changed is the same step-up that
// clients get.
//
// A page's form-action names the origin of the client's redirect URI, because
// Chromium applies it to the redirect that answers the form, and to every
// redirect after that: Client.ContinuesTo is for clients that send the browser
// on to another origin.
//
// A claim that is asked for by name (the claims parameter) counts as its scope
// wherever something is decided: whether the client may have it, what floor
// there is, what is consented to. So nothing is to be had by name for less. The
// scopes that are granted stay those that were asked for.
//
// Who is signed in and is asked for more is told by whom and before what
// (templates.Why), but not by prompt=select_account, which is about somebody else.
// That a step-up was asked, met or refused is a row of the audit trail; that a
// silent one was refused is a line of the log, as anyone's page can ask silently
// as often as it likes.
//
// Authorization details (RFC 9396) are of types that the operator declares, with a
// JSON Schema and a text/template (details.go). They are stored as they came, but
// compact, and go into tokens letter by letter. A member that stands twice is
// refused, because readers do not agree on which counts; so is what a schema does
// not name, since nobody would see it; and what cannot be shown in every language,
// or is too long for a page. Texts in them are made inert before the template has
// them: a payee cannot write a line of their own. At the token endpoint they can be
// repeated and not narrowed. The schemas are checked by santhosh-tekuri/jsonschema,
// which loads nothing from elsewhere here.
//
// What a client is registered for (Client.Claims) it gets without asking, and so
// without its user reading what was asked for. What a scope stands for needs that
// scope's consent and floor all the same, at each use anew, since a registration
// can be younger than a grant; userinfo of such a client looks at that, too. The
// attributes of a directory are in no scope. The operator who registers a client
// for one answers for it, and the consent page does not name it. The metadata say
// nothing of either: claims_supported is about what any client can ask for.
//
// Pairwise subjects are the real ones, sealed so that the same is sealed the same
// each time, and not hashed: both are named by OpenID Connect Core section 8.1,
// but what was hashed could only be compared. A client sends subjects back, in
// id_token_hint and in claims; opened, they are judged as those of anyone are,
// and nothing has to be stored or searched. A pairwise sub that is none of the
// client's sector is refused, the user's real subject included: what comes of it
// would tell the client whose it is. The key is apart from the token secrets,
// because those rotate. The sid of a pairwise client is sealed as well: two
// clients that compare sids would otherwise learn from one sign-in what their
// subs keep apart. (Access tokens, codes and refresh tokens name a grant, which
// is one client's.)
//
// Who introspects a token hears of the sub that the token's own client knows, as
// it stands in that client's JWTs, and for a pairwise client of no username. So
// it makes no difference whether an API reads tokens or asks about them, and no
// client learns of a subject by way of an API. An API that has to know the same
// user from several clients needs them in one sector, or public.
//
// Signed userinfo has a typ of its own, userinfo+jwt, which no registry has: an
// ID token of ours has the typ JWT, and with that userinfo would be taken for an
// id_token_hint. It has no exp, so that a client that looks at no typ does not
// take it for an ID token either.
//
// A client with keys of its own authenticates by an assertion (private_key_jwt,
// assertion.go), and in no other way: a secret beside them would be the easier
// way in. The audience is the issuer or the token endpoint's URL, whichever
// endpoint is asked, as one string or an array of that one, which is how the
// common JWT packages of Go write one audience. With a second audience an
// assertion would be as good in someone else's hands, so none is taken; nor is
// the URL of another endpoint, which RFC 9126 section 2 would allow and FAPI
// 2.0 forbids. It is good for five minutes at most, with ten seconds for clocks
// that differ, and once: it is used up by a statement of its own after all else
// about it was found right, so that a forged one burns nothing, and before what
// it buys is looked at. A failure in between costs the client a new assertion,
// which it makes itself. Keys that it publishes are fetched as package fetch
// says. Where the store or that fetch fails, the answer is 503: the client is
// not told that it is somebody else.
//
// The grace of a refresh token stores nothing: its successor is made again, being
// the same each time it is made. So a family never forks, and who comes late
// with what others have used meanwhile is noticed as ever. Of two that come at
// once the second loses the race for the row, looks again, and then is in the
// grace of what the first has done.
//
// A token for an API (RFC 8707) is for this server too where it has the scope
// openid: userinfo opens to no token that is not for it, and clients expect both
// of one token. Which APIs there are is the operator's word, so that people are
// asked about scopes and not about URIs. By introspection an API learns of the
// tokens that are for it, which are those for Client.Resources: one list says
// what a client may ask for and, if it introspects, what it is. A gateway that
// is both learns of what it could have asked for itself.
//
// Scripts read what is public from anywhere, and token and userinfo from the
// origins of single-page apps' redirect URIs, which is where their pages are
// (cors.go). A preflight names no client, so the store is asked for the origin.
// Cookies never count there, and no other route is readable at all.
//
// GET /logout ends a session, which no other GET does: OpenID RP-Initiated Logout
// wants it so. What makes it safe is the hint. It has to be an ID token of ours
// for the client that asks, whose sub and sid are the user's and the session's of
// this browser: a link cannot be made by who has none, and who has one is an app
// that this user is signed in to. A browser that prefetches (Sec-Purpose) has not
// gone there and is asked. Whatever else is wrong with a request is a reason to
// ask, not to fail: who wants to sign out is to be able to. Only a client_id that
// contradicts the hint is refused, and a bad hint or an unregistered address
// leads nowhere.
//
// What the page that asks was about stands in the query of its form's action, not
// in fields: there the state comes through byte for byte. It is judged anew; the
// hint is left out, because tokens stand on no page.
//
// Which clients hear of a logout is the store's matter, in the transaction that
// ends the session: EndSession and EndSessions leave a Logout for each. Deliver
// makes the token when it sends it, so that it is fresh, with the jti of the
// Logout, so that a client can tell that it was told twice. Any answer but 200
// and 204 is tried again, also 400: a client answers so when it could not fetch
// our keys, and trying again costs little.
//
// Back-channel logout does not revoke grants with offline_access (section 2.7):
// they are meant for when nobody is signed in. All others of the session end, at
// the next look: JWTs that an API verifies by itself live on for their ten
// minutes.
//
// The way on from a page with frames is a Refresh header, beside a link: it works
// without a script, and no policy applies to it. Frames are sandboxed, so that
// an app cannot take the page away before the others have signed out.
//
// An answer by response_mode=form_post is a page, also where it answers the
// form of a flow: 200 and not 303. That page alone has a script, which submits
// its form and is allowed by its hash; where no script runs there is a button.
// Its form leads nowhere but to the client. What no form can carry unchanged is
// refused by a redirect, before anyone has signed in.
//
// A pushed request (RFC 9126) is judged by the function that judges what a
// browser brings, check, when it is pushed and again each time it is opened:
// the client may have changed. Beside a request_uri only client_id counts, and
// it must be that of who pushed; nothing else that stands in the URL is looked
// at, not even to refuse it.
//
// A request_uri is good for 90 seconds, and spent when a code is made of it, in
// the same transaction. A browser comes at once or not at all, so the time is
// for a slow phone and a page that is loaded twice; who finds the name later, in
// a history or a log, finds nothing. Spent when it is opened, it would be lost
// to a reload, a second tab or a browser that looks ahead. So any number of
// flows may begin with it, each as if the browser had brought the request then
// (max_age is measured from there), and go on when the name has expired. Of
// these the first that is granted has the code; the others find the request
// spent, whichever page they are at, and say that the sign-in is finished. An
// answer with an error spends nothing.
//
// A request_uri that opens nothing is a page, without a redirect: where to go
// back to stands in the request, and there is none.
package provider
