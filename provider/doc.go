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
//	GET /authorize   authorize.go   check the request, begin a flow in memory
//	                                granted at once: issue; a page is needed: store it, 303 to it
//	GET /flow/{id}   flow.go        load, derive the step, show its page
//	POST /flow/{id}  step.go        load, derive the step, verify, apply, derive again
//	                                granted: issue; otherwise store it, 303 to its page
//	                 issue.go       end the flow, write session and grant, make the code
//	                 back.go        the answer to the client: by redirect, or posted
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
// An answer by response_mode=form_post is a page, also where it answers the
// form of a flow: 200 and not 303. That page alone has a script, which submits
// its form and is allowed by its hash; where no script runs there is a button.
// Its form leads nowhere but to the client. What no form can carry unchanged is
// refused by a redirect, before anyone has signed in.
package provider
