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
package provider
