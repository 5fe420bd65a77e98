package engine

import (
	"context"
	"net/http"
	"net/url"

	"github.com/ory/fosite"

	"github.com/sallyport-id/sallyport/provider/authflow"
)

// A Request is an authorization request that fosite has found in order.
type Request struct {
	Client Client
	Scopes []string
	ar     *fosite.AuthorizeRequest
}

// passed are the parameters of an authorization request that fosite sees. The
// rest (prompt, max_age, acr_values, claims, state …) it ignores, judges late
// or judges wrongly: they are decided before.
var passed = []string{
	"client_id", "redirect_uri", "response_type", "scope",
	"code_challenge", "code_challenge_method", "nonce",
}

// Parse checks an authorization request of client. The redirect URI in form
// must have been found to be one of the client's.
func (e *Engine) Parse(ctx context.Context, form url.Values, c Client) (*Request, error) {
	c.RedirectURIs = []string{form.Get("redirect_uri")}
	own := url.Values{"state": {"unused"}} // fosite wants one; ours is added to the answer
	for _, name := range passed {
		if v := form.Get(name); v != "" {
			own.Set(name, v)
		}
	}
	r := &http.Request{Method: http.MethodGet, Form: own, PostForm: url.Values{}, Header: http.Header{}}
	ar, err := e.fosite.NewAuthorizeRequest(with(ctx, &unit{client: c}), r)
	if err != nil {
		return nil, refusal(err)
	}
	req, ok := ar.(*fosite.AuthorizeRequest)
	if !ok {
		return nil, Refuse("server_error", "The request could not be completed. Try again later.")
	}
	return &Request{Client: c, Scopes: req.GetRequestedScopes(), ar: req}, nil
}

// A Code is an authorization code, and what must be stored before it is
// handed out.
type Code struct {
	Text string
	Hash [32]byte
}

// Issue makes an authorization code for the grant with this ID. It is the one
// place where codes are made; what was proven is in g, and without a Grant
// that a flow has given there is no code.
func (e *Engine) Issue(ctx context.Context, r *Request, id string, g authflow.Grant) (Code, error) {
	login := g.Login()
	if login.Subject == "" || g.ACR() == "" {
		return Code{}, authflow.ErrNotGranted
	}
	u := &unit{client: r.Client, grant: &Grant{ID: id, Subject: login.Subject, AuthTime: g.AuthTime()}}
	for _, s := range r.Scopes {
		r.ar.GrantScope(s)
	}
	resp, err := e.fosite.NewAuthorizeResponse(with(ctx, u), r.ar, u.session())
	if err != nil {
		return Code{}, refusal(err)
	}
	return Code{Text: resp.GetCode(), Hash: u.code}, nil
}
