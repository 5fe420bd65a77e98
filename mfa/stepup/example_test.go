package stepup_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/sallyport-id/sallyport/mfa/stepup"
)

// A Transfer is what the user approves, word for word: what the app asks for,
// what the issuer's page shows, and what the API does.
type Transfer struct {
	Amount string `json:"amount"`
	Payee  string `json:"payee"`
}

// bank is an API. An account is read with a scope; money is sent with a second
// factor that was proven for it, and as it was approved.
func bank(guard *stepup.Guard) http.Handler {
	read := guard.Require(stepup.Demand{Scopes: []string{"account"}})
	send := guard.Require(stepup.Demand{
		Scopes: []string{"transfer"},
		Level:  "mfa",
		MaxAge: 5 * time.Minute,
		Once:   true,
	})

	mux := http.NewServeMux()
	mux.Handle("GET /account", read(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := stepup.From(r.Context())
		fmt.Fprintf(w, "the account of %s", token.Subject)
	})))
	mux.Handle("POST /transfer", send(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := stepup.From(r.Context())
		approved, err := stepup.Approved[Transfer](token, "transfer")
		var asked Transfer
		if err != nil || json.NewDecoder(r.Body).Decode(&asked) != nil || asked != approved {
			http.Error(w, "this is not what was approved", http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, "sent %s to %s", approved.Amount, approved.Payee)
	})))
	return mux
}

// The API's side: a handler says what it demands.
func Example() {
	issuer := newAuthority(nil) // a stand-in for your provider
	guard, err := stepup.New(stepup.Config{
		Issuer:    "https://as.example.net",
		Audience:  "https://rs.example.com",
		Ladder:    stepup.Ladder{{"pwd"}, {"mfa", "https://refeds.org/profile/mfa"}, {"phr"}},
		Store:     &stepup.MemoryStore{}, // or an SQLStore, for several replicas
		Transport: issuer,                // you leave this out
	})
	if err != nil {
		log.Fatal(err)
	}
	api := bank(guard)

	weak := issuer.token(claims{"sub": "ada", "acr": "pwd", "scope": "account"})
	for _, call := range []*http.Request{
		httptest.NewRequest("GET", "/account", nil),
		httptest.NewRequest("POST", "/transfer", nil),
	} {
		call.Header.Set("Authorization", "Bearer "+weak)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, call)
		fmt.Printf("%d %s\n", w.Code, w.Header()["Www-Authenticate"])
	}
	// Output:
	// 200 []
	// 401 [Bearer error="insufficient_user_authentication", error_description="The user has to be authenticated more strongly or more recently.", acr_values="mfa phr", max_age="300", scope="transfer"]
}

// A site is a web app, as its user's browser sees it. It signs users in as it
// always did; what is here is what a step-up needs.
type site struct {
	client stepup.Client
	oauth  oauth2.Config
	ids    *oidc.IDTokenVerifier
	api    string

	// What a session has. This example has one session.
	mu      sync.Mutex
	user    string
	token   string
	pending map[string][]byte // flows by their state, as JSON
}

// send is the form "Send money".
func (s *site) send(w http.ResponseWriter, r *http.Request) {
	call, err := json.Marshal(Transfer{r.PostFormValue("amount"), r.PostFormValue("payee")})
	if err != nil {
		http.Error(w, "this cannot be sent", http.StatusBadRequest)
		return
	}
	details := `[{"type":"transfer",` + string(call[1:]) + `]`
	s.carryOn(w, r, s.token, stepup.Flow{
		Call:  call,
		Extra: url.Values{"authorization_details": {details}},
	})
}

// carryOn makes the call, for the first time or again.
func (s *site) carryOn(w http.ResponseWriter, r *http.Request, token string, flow stepup.Flow) {
	call, err := http.NewRequestWithContext(r.Context(), "POST", s.api+"/transfer", bytes.NewReader(flow.Call))
	if err != nil {
		http.Error(w, "the bank cannot be called", http.StatusInternalServerError)
		return
	}
	call.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(call)
	if err != nil {
		http.Error(w, "the bank does not answer", http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	to, err := s.client.StepUp(&flow, resp)
	switch {
	case err != nil:
		http.Error(w, "nothing was sent: "+err.Error(), http.StatusBadGateway)
	case to != "":
		stored, err := json.Marshal(flow)
		if err != nil {
			http.Error(w, "nothing was sent", http.StatusInternalServerError)
			return
		}
		s.mu.Lock()
		s.pending[flow.State] = stored
		s.mu.Unlock()
		http.Redirect(w, r, to, http.StatusSeeOther)
	default:
		w.WriteHeader(resp.StatusCode)
		io.Copy(w, resp.Body)
	}
}

// callback is the redirect URI, to which the browser comes back.
func (s *site) callback(w http.ResponseWriter, r *http.Request) {
	state := r.FormValue("state")
	s.mu.Lock()
	stored := s.pending[state]
	delete(s.pending, state) // whatever happens now, it happens once
	s.mu.Unlock()
	var flow stepup.Flow
	if json.Unmarshal(stored, &flow) != nil {
		http.Error(w, "this browser has not begun this", http.StatusBadRequest)
		return
	}
	code, err := s.client.Answer(&flow, r.URL.Query())
	if err != nil {
		http.Error(w, "nothing was sent: "+err.Error(), http.StatusForbidden)
		return
	}
	tokens, err := s.oauth.Exchange(r.Context(), code, oauth2.VerifierOption(flow.Verifier))
	if err != nil {
		http.Error(w, "nothing was sent: the code was not taken", http.StatusBadGateway)
		return
	}
	raw, _ := tokens.Extra("id_token").(string)
	id, err := s.ids.Verify(r.Context(), raw)
	if err != nil || id.Nonce != flow.Nonce || id.Subject != s.user {
		http.Error(w, "nothing was sent: somebody else has signed in", http.StatusForbidden)
		return
	}
	// The session keeps its old token: this one is for this call alone.
	s.carryOn(w, r, tokens.AccessToken, flow)
}

// open starts the site, and a browser in it whose user is signed in.
func (s *site) open(ctx context.Context, issuer, api string) (home string, browser *http.Client, end func(), err error) {
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return "", nil, nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /send", s.send)
	mux.HandleFunc("GET /callback", s.callback)
	server := httptest.NewServer(mux)
	s.api, s.pending = api, map[string][]byte{}
	s.oauth = oauth2.Config{ClientID: "site", Endpoint: provider.Endpoint(), RedirectURL: server.URL + "/callback"}
	s.ids = provider.Verifier(&oidc.Config{ClientID: "site"})
	s.client = stepup.Client{
		Issuer:      issuer,
		Endpoint:    provider.Endpoint().AuthURL,
		ClientID:    "site",
		RedirectURI: server.URL + "/callback",
		Scopes:      []string{"openid", "account"},
		MayAsk:      []string{"transfer"},
	}
	jar, err := cookiejar.New(nil)
	return server.URL, &http.Client{Jar: jar}, server.Close, err
}

// The app's side: "Send money" in a web app, with golang.org/x/oauth2 and
// coreos/go-oidc for what they do anyway.
func ExampleClient() {
	ctx := context.Background()
	issuer, _, stop := serveCodes() // a stand-in for your provider
	defer stop()
	guard, err := stepup.New(stepup.Config{
		Issuer: issuer.name, Audience: api, Ladder: ladder, Store: &stepup.MemoryStore{},
	})
	if err != nil {
		log.Fatal(err)
	}
	bank := httptest.NewServer(bank(guard))
	defer bank.Close()

	site := site{user: "ada", token: issuer.token(claims{"sub": "ada", "acr": "pwd", "scope": "account"})}
	home, browser, end, err := site.open(ctx, issuer.name, bank.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer end()

	// The user sends the form. The browser goes to the issuer and back.
	resp, err := browser.PostForm(home+"/send", url.Values{"amount": {"12.50"}, "payee": {"Grace"}})
	if err != nil {
		log.Fatal(err)
	}
	answer, err := readAll(resp)
	fmt.Println(resp.StatusCode, answer, err)
	// Output:
	// 200 sent 12.50 to Grace <nil>
}
