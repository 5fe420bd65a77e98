package engine

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/openid"
)

// Tokens are the answer to a token request, and what must be stored before it
// is given.
type Tokens struct {
	Body map[string]any // of the answer (RFC 6749 section 5.1)

	Spend   bool // the grant's code is used up
	Rotate  bool // the grant's generation is the next
	Again   bool // nothing: the token that was replaced last got its successor once more
	Refresh bool // with Spend: a refresh token of generation 1 was made
}

// Grants are the grant types of the token endpoint.
var Grants = []string{"authorization_code", "refresh_token", "client_credentials"}

// bearers are the parameters without which there is nothing to judge (RFC 6749
// section 5.2).
var bearers = map[string]string{"authorization_code": "code", "refresh_token": "refresh_token"}

// Token answers a token request of an authenticated client. g is the Grant
// that the code or refresh token in form names, nil if there is none. Errors
// are Refusals.
//
// Nothing of what it returns may leave before the caller has stored what
// Tokens says; a Refusal with Reuse asks for the grant to be revoked.
func (e *Engine) Token(ctx context.Context, form url.Values, c Client, g *Grant) (Tokens, error) {
	kind := form.Get("grant_type")
	if !slices.Contains(Grants, kind) {
		return Tokens{}, Refuse("unsupported_grant_type", "The grant_type is not one of "+strings.Join(Grants, ", ")+".")
	}
	if !slices.Contains(c.GrantTypes, kind) {
		return Tokens{}, Refuse("unauthorized_client", "The client is not registered for this grant_type.")
	}
	if name := bearers[kind]; name != "" && form.Get(name) == "" {
		return Tokens{}, Refuse("invalid_request", name+" is missing.")
	}
	// Only what the grant needs goes in: fosite would take a nonce from here.
	own := url.Values{}
	for _, name := range []string{"grant_type", "code", "redirect_uri", "code_verifier", "refresh_token"} {
		if v := form.Get(name); v != "" {
			own.Set(name, v)
		}
	}
	r := &http.Request{Method: http.MethodPost, Form: own, PostForm: own, Header: http.Header{}}
	if kind == "client_credentials" {
		// Nobody gave this client anything: it acts for itself, and its
		// tokens say nothing of a user (RFC 6749 section 4.4).
		g = &Grant{Subject: c.ID, ClientID: c.ID, Ends: time.Now().Add(e.config.AccessLifetime)}
		own.Set("scope", cmp.Or(form.Get("scope"), strings.Join(c.Scopes, " ")))
	}
	u := &unit{client: c, grant: g, grace: e.config.RefreshGrace}
	ctx = with(ctx, u)
	req, err := e.fosite.NewAccessRequest(ctx, r, &session{openid.NewDefaultSession()})
	if err != nil {
		return Tokens{}, u.refused(err)
	}
	// Here, and not before: what is presented twice is noticed first.
	allowed := g.Resources
	if kind == "client_credentials" {
		allowed = c.Resources
	}
	if u.resources, err = Resources(form, allowed); err != nil {
		return Tokens{}, err
	}
	if len(u.resources) == 0 {
		u.resources = g.Resources // which a service's own grant has none of
	}
	switch {
	case kind == "client_credentials":
		for _, s := range req.GetRequestedScopes() {
			req.GrantScope(s) // which fosite has checked, and leaves to us
		}
	case kind == "refresh_token":
		if err := narrow(req, form.Get("scope"), g.Left); err != nil {
			return Tokens{}, err
		}
	}
	resp, err := e.fosite.NewAccessResponse(ctx, req)
	if err != nil {
		return Tokens{}, u.refused(err)
	}
	body := resp.ToMap()
	body["token_type"] = "Bearer"
	if len(g.Details) > 0 {
		body["authorization_details"] = g.Details // RFC 9396 section 7
	}
	return Tokens{Body: body, Spend: u.spend, Rotate: u.rotate, Again: u.again, Refresh: u.refresh}, nil
}

// narrow leaves of what was granted what a refresh asks for, for the tokens of
// this answer only (RFC 6749 section 6). fosite takes no notice of it (#696).
// Of that, what is no longer left is left out, which the answer says by its
// scope (section 5.1).
func narrow(req fosite.AccessRequester, scope string, left []string) error {
	var asked []string
	granted := req.GetGrantedScopes()
	for _, s := range strings.Fields(scope) {
		// Not fosite's Has, to which ADMIN is admin.
		if !slices.Contains(granted, s) {
			return Refuse("invalid_scope", "A refresh cannot ask for more than was granted.")
		}
		if !slices.Contains(asked, s) {
			asked = append(asked, s)
		}
	}
	if scope == "" {
		asked = granted
	}
	if len(asked) == 0 {
		return Refuse("invalid_scope", "The scope is malformed.")
	}
	asked = slices.DeleteFunc(slices.Clone(asked), func(s string) bool { return !slices.Contains(left, s) })
	if !Worthwhile(asked) {
		return Refuse("invalid_grant", "What the user has proven is too old, or too little, for all that is asked for. Have them sign in again.")
	}
	r, ok := req.(*fosite.AccessRequest)
	if !ok {
		return errOff
	}
	r.GrantedScope = asked
	return nil
}

// Worthwhile reports whether tokens with these scopes can be used for anything
// but to get others.
func Worthwhile(scopes []string) bool {
	return slices.ContainsFunc(scopes, func(s string) bool { return s != "offline_access" })
}

// refused returns err as a Refusal that says whether something was used twice.
func (u *unit) refused(err error) *Refusal {
	r := refusal(err)
	r.Reuse = u.revoke
	if u.revoke {
		r.Code, r.Status = "invalid_grant", http.StatusBadRequest
	}
	return r
}
