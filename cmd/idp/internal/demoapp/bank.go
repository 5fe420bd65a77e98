package demoapp

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/sallyport-id/sallyport/mfa/stepup"
)

// A BankConfig says who the bank is and whose tokens it takes.
type BankConfig struct {
	URL    string // of the bank, which is also what tokens for it name as their audience
	Issuer string
	Log    *slog.Logger
}

// A Bank is the API through which the app sends money, an http.Handler. It
// could be another company's: it knows the provider by its published keys, and
// the app not at all. Accounts are in memory, and begin with the same balance.
type Bank struct {
	handler http.Handler

	mu       sync.Mutex
	accounts map[string]*account // by the subject of tokens
}

// An account is someone's money.
type account struct {
	cents     int64
	transfers []transfer // the newest first
}

// A transfer is a payment that was made.
type transfer struct {
	payment
	At time.Time `json:"at"`
}

// A statement is what the bank answers.
type statement struct {
	Balance   string     `json:"balance"`
	Transfers []transfer `json:"transfers"`

	// Proof is what the bank read in the token of a transfer. A bank would keep
	// it; this one shows it.
	Proof *proof `json:"proof,omitempty"`
}

// A proof is what a token says of its user and of what was approved.
type proof struct {
	ACR      string          `json:"acr"`
	AMR      []string        `json:"amr"`
	AuthTime int64           `json:"auth_time"`
	Details  json.RawMessage `json:"authorization_details"`
}

const (
	openingCents = 1000_00
	maxTransfers = 100 // in a statement; older ones are forgotten
	maxCall      = 4 << 10
)

// NewBank returns a Bank. It does not talk to the provider before it is called.
func NewBank(c BankConfig) (*Bank, error) {
	guard, err := stepup.New(stepup.Config{
		Issuer: c.Issuer, Audience: c.URL, Log: c.Log,
		Ladder: stepup.Ladder{{"pwd"}, {"mfa"}, {"phr"}}, Store: &stepup.MemoryStore{},
	})
	if err != nil {
		return nil, fmt.Errorf("the demo's bank: %w", err)
	}
	b := &Bank{accounts: map[string]*account{}}
	read := guard.Require(stepup.Demand{Level: "pwd"})
	send := guard.Require(stepup.Demand{Scopes: []string{sendScope}, Level: "mfa", MaxAge: 5 * time.Minute, Once: true})
	m := http.NewServeMux()
	m.Handle("GET /account", read(http.HandlerFunc(b.account)))
	m.Handle("POST /transfer", send(http.HandlerFunc(b.transfer)))
	b.handler = m
	return b, nil
}

// ServeHTTP answers a program.
func (b *Bank) ServeHTTP(w http.ResponseWriter, r *http.Request) { b.handler.ServeHTTP(w, r) }

func (b *Bank) account(w http.ResponseWriter, r *http.Request) {
	token, _ := stepup.From(r.Context())
	b.mu.Lock()
	defer b.mu.Unlock()
	say(w, http.StatusOK, b.of(token.Subject).statement())
}

// transfer does what was approved. That the call says the same is no proof of
// anything: it shows that app and user meant the same.
func (b *Bank) transfer(w http.ResponseWriter, r *http.Request) {
	token, _ := stepup.From(r.Context())
	approved, err := stepup.Approved[payment](token, paymentType)
	var asked payment
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxCall))
	dec.DisallowUnknownFields()
	if err != nil || dec.Decode(&asked) != nil || asked != approved {
		refuse(w, http.StatusForbidden, "not_approved")
		return
	}
	amount, ok := cents(approved.Amount)
	if !ok || approved.Payee == "" {
		refuse(w, http.StatusBadRequest, "no_payment")
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.of(token.Subject)
	if amount > a.cents {
		refuse(w, http.StatusConflict, "not_enough_money")
		return
	}
	a.cents -= amount
	a.transfers = append([]transfer{{approved, time.Now()}}, a.transfers[:min(len(a.transfers), maxTransfers-1)]...)
	s := a.statement()
	s.Proof = &proof{token.ACR, token.AMR, token.AuthTime.Unix(), token.AuthorizationDetails}
	say(w, http.StatusOK, s)
}

// of returns the account of a subject. The caller holds the lock.
func (b *Bank) of(subject string) *account {
	a := b.accounts[subject]
	if a == nil {
		a = &account{cents: openingCents}
		b.accounts[subject] = a
	}
	return a
}

func (a *account) statement() statement {
	return statement{Balance: euros(a.cents), Transfers: append([]transfer{}, a.transfers...)}
}

func refuse(w http.ResponseWriter, status int, code string) {
	say(w, status, map[string]string{"error": code})
}

func say(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// Whoever is gone is no matter of the bank's.
	_ = json.NewEncoder(w).Encode(v)
}
