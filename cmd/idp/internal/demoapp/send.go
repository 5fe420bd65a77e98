package demoapp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/sallyport-id/sallyport/mfa/stepup"
)

// A sending is a payment on its way: to the bank, from there by way of the
// provider, where its user approves it, and to the bank again.
type sending struct {
	flow stepup.Flow // its Call is the payment, as the bank is sent it
	by   string      // the subject of who began it

	status    int    // of the bank's first answer
	challenge string // in that answer, as it came
}

const maxStatement = 1 << 20

var bankClient = &http.Client{
	Timeout:       exchange,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// callBank calls the bank. The caller closes the answer's body.
func (a *App) callBank(ctx context.Context, token, method, path string, body []byte) (*http.Response, error) {
	call, err := http.NewRequestWithContext(ctx, method, a.config.Bank+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	call.Header.Set("Authorization", "Bearer "+token)
	call.Header.Set("Content-Type", "application/json")
	return bankClient.Do(call)
}

// money asks the bank for the account of l, and says what to do if there is none
// to be had.
func (a *App) money(ctx context.Context, l *login) (s statement, t trouble) {
	resp, err := a.callBank(ctx, l.token, http.MethodGet, "/account", nil)
	if err != nil {
		return s, trouble{Sentence: "The bank does not answer. Is it running? Load this page again."}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return s, trouble{meaning(resp.StatusCode), resp.StatusCode == http.StatusUnauthorized}
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxStatement)).Decode(&s); err != nil {
		return s, trouble{Sentence: "What the bank answers cannot be read. Load this page again."}
	}
	return s, trouble{}
}

// send takes the form "Send money".
func (a *App) send(w http.ResponseWriter, r *http.Request) {
	l := a.current(r)
	if l == nil || a.config.Bank == "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxCall)
	f := form{Amount: r.PostFormValue("amount"), Payee: r.PostFormValue("payee")}
	p, ok := f.payment()
	if !ok {
		a.show(w, r, http.StatusUnprocessableEntity, l, "", f)
		return
	}
	call, err := json.Marshal(p)
	details, err2 := json.Marshal([]struct {
		Type string `json:"type"`
		payment
	}{{paymentType, p}})
	if err := errors.Join(err, err2); err != nil {
		a.unsent(w, r, http.StatusInternalServerError, "This cannot be sent. Nothing was sent.", err)
		return
	}
	a.carryOn(w, r, l.token, &sending{by: l.claims.Subject, flow: stepup.Flow{
		Call:  call,
		Extra: url.Values{"authorization_details": {string(details)}, "resource": {a.config.Bank}},
	}})
}

// carryOn calls the bank, for the first time or again.
func (a *App) carryOn(w http.ResponseWriter, r *http.Request, token string, s *sending) {
	p, err := a.discover(r.Context())
	if err != nil {
		a.unsent(w, r, http.StatusBadGateway, "The provider cannot be reached, and nothing was sent. Is it running?", err)
		return
	}
	resp, err := a.callBank(r.Context(), token, http.MethodPost, "/transfer", s.flow.Call)
	if err != nil {
		// It may have been sent, and only the answer lost.
		a.unsent(w, r, http.StatusBadGateway, "The bank does not answer. Look at your transfers before you send it again.", err)
		return
	}
	defer resp.Body.Close()
	to, err := a.client(p).StepUp(&s.flow, resp)
	switch {
	case err != nil:
		a.unsent(w, r, http.StatusBadGateway, "The bank asks for more than the provider can give it, and nothing was sent. Nothing that you do here helps.", err)
	case to != "":
		s.status, s.challenge = resp.StatusCode, resp.Header.Get("WWW-Authenticate")
		a.remember(w, r, s.flow.State, attempt{send: s})
		http.Redirect(w, r, to, http.StatusSeeOther)
	case resp.StatusCode != http.StatusOK:
		a.unsent(w, r, http.StatusBadGateway, meaning(resp.StatusCode)+" Nothing was sent.", nil)
	default:
		var made statement
		if err := json.NewDecoder(io.LimitReader(resp.Body, maxStatement)).Decode(&made); err != nil {
			a.unsent(w, r, http.StatusBadGateway, "What the bank answers cannot be read. Look at your transfers before you send it again.", err)
			return
		}
		a.keep(r, s.receipt(made, time.Now()))
		// From a page of its own, which can be loaded again, nothing is sent again.
		http.Redirect(w, r, "/sent", http.StatusSeeOther)
	}
}

// client is the side of the app that meets challenges.
func (a *App) client(p *oidc.Provider) stepup.Client {
	return stepup.Client{
		Issuer: a.config.Issuer, Endpoint: p.Endpoint().AuthURL, ClientID: a.config.ClientID,
		RedirectURI: a.config.URL + "/callback", Scopes: []string{"openid"}, MayAsk: []string{sendScope},
	}
}

// approved takes what the provider answered to a step-up.
func (a *App) approved(w http.ResponseWriter, r *http.Request, s *sending) {
	ctx, cancel := context.WithTimeout(r.Context(), exchange)
	defer cancel()
	p, err := a.discover(ctx)
	if err != nil {
		a.unsent(w, r, http.StatusBadGateway, "The provider cannot be reached, and nothing was sent. Is it running?", err)
		return
	}
	code, err := a.client(p).Answer(&s.flow, r.URL.Query())
	if no := (*stepup.Declined)(nil); errors.As(err, &no) {
		a.declined(w, r, no)
		return
	}
	if err != nil {
		a.unsent(w, r, http.StatusBadRequest, "This answer does not come from the provider that was asked, and nothing was sent. Send it again.", err)
		return
	}
	tokens, id, err := a.buy(ctx, p, code, attempt{nonce: s.flow.Nonce, verifier: s.flow.Verifier})
	if err != nil {
		a.unsent(w, r, http.StatusBadGateway, "What the provider answered does not hold, and nothing was sent. Send it again.", err)
		return
	}
	// Somebody else's approval would send somebody else's money.
	if l := a.current(r); l == nil || l.claims.Subject != s.by || id.Subject != s.by {
		a.unsent(w, r, http.StatusForbidden, "Somebody else than you approved this, and nothing was sent. Sign in again and send it again.", nil)
		return
	}
	// The session keeps its own token: this one is for this call alone.
	a.carryOn(w, r, tokens.AccessToken, s)
}

func (a *App) declined(w http.ResponseWriter, r *http.Request, no *stepup.Declined) {
	switch no.Code {
	case "access_denied":
		http.Redirect(w, r, "/?unsent", http.StatusSeeOther)
	case "unmet_authentication_requirements":
		a.unsent(w, r, http.StatusForbidden, "You have no second factor with which you could approve this, and nothing was sent. Sign in again to set one up.", no)
	default:
		a.unsent(w, r, http.StatusBadGateway, fmt.Sprintf("The provider says: %s (%s). Nothing was sent.", no.Text, no.Code), no)
	}
}

// meaning says what an answer of the bank means that is no step-up, and what to
// do.
func meaning(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "The bank does not take the app’s token any more: it lives for ten minutes. Sign in, which asks for nothing if the provider still knows you."
	case http.StatusForbidden:
		return "What the bank was told to do is not what you approved. Send it again."
	case http.StatusConflict:
		return "There is not enough money in your account. Send less."
	case http.StatusServiceUnavailable:
		return "The bank cannot check who you are at the moment. Try again in a few seconds."
	}
	return fmt.Sprintf("The bank answers with an error (%d). Try again later.", status)
}

// unsent is the page of a payment that was not made.
func (a *App) unsent(w http.ResponseWriter, r *http.Request, status int, sentence string, err error) {
	a.config.Log.WarnContext(r.Context(), "demo app: sending failed", "reason", sentence, "error", err)
	a.render(w, status, "unsent", sentence)
}

// sent shows the last payment of a session.
func (a *App) sent(w http.ResponseWriter, r *http.Request) {
	made := a.kept(r)
	if made == nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	a.render(w, http.StatusOK, "sent", made)
}
