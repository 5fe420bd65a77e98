package provider

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sallyport-id/sallyport/provider/authflow"
	"github.com/sallyport-id/sallyport/provider/internal/engine"
	"github.com/sallyport-id/sallyport/templates"
)

// Every reason for which a flow may be denied has an answer: without a row it
// would be a fault of ours.
func TestEveryDenialHasAnAnswer(t *testing.T) {
	for _, err := range []error{
		authflow.ErrExpired, authflow.ErrEnded, authflow.ErrExhausted, authflow.ErrOutdated, authflow.ErrBlocked,
		authflow.ErrWrongSubject, authflow.ErrUnmet, authflow.ErrLoginNeeded, authflow.ErrEnrollNeeded,
		authflow.ErrFactorNeeded, authflow.ErrCodesUnsaved, authflow.ErrConsentNeeded, ErrSpent,
	} {
		rows := 0
		for _, d := range denials {
			if errors.Is(err, d.err) {
				rows++
			}
		}
		if rows != 1 {
			t.Errorf("%v has %d rows, want 1", err, rows)
		}
	}
}

// oneKey publishes one key.
type oneKey struct{ Keys }

func (oneKey) Published(context.Context) ([]PublicKey, error) {
	return []PublicKey{{ID: "key", Algorithm: "ES256", Key: 1}}, nil
}

// TK-1: a key is for its own algorithm, whatever a token says.
func TestAKeyIsFoundByItsNameAndItsAlgorithm(t *testing.T) {
	p := &Provider{config: Config{Keys: oneKey{}}}
	for _, is := range []struct {
		kid, alg string
		found    bool
	}{{"key", "ES256", true}, {"key", "RS256", false}, {"key", "HS256", false}, {"key", "none", false}, {"", "ES256", false}, {"KEY", "ES256", false}, {"key", "", false}} {
		if k, err := p.published(t.Context(), is.kid, is.alg); err != nil || (k != nil) != is.found {
			t.Errorf("%q for %q: %v, %v", is.kid, is.alg, k, err)
		}
	}
}

// One table turns errors into HTTP: what is not in it is a fault of ours and
// says nothing.
func TestErrorsBecomeHTTPInOnePlace(t *testing.T) {
	p := &Provider{log: slog.New(slog.DiscardHandler)}
	for _, is := range []struct {
		err       error
		page, api string
	}{
		{errNotFound, "404 not_found", "404 invalid_request"},
		{errMethod, "405 method", "405 invalid_request"},
		{errTooLarge, "413 too_large", "413 invalid_request"},
		{errCrossOrigin, "403 cross_origin", "403 invalid_request"},
		{errMalformed, "400 bad_request", "400 invalid_request"},
		{errClient, "400 client", "400 invalid_request"},
		{errRedirect, "400 redirect", "400 invalid_request"},
		{errStale, "400 stale", "400 invalid_request"},
		{ErrBusy, "503 busy", "503 server_error"},
		{context.DeadlineExceeded, "503 busy", "503 server_error"},
		{ErrUnavailable, "503 busy", "503 server_error"},
		{&engine.Refusal{Code: "invalid_client", Status: 401, Cause: ErrUnavailable}, "503 busy", "503 server_error"},
		{engine.Refuse("invalid_grant", "x"), "400 bad_request", "400 invalid_grant"},
		{engine.Refuse("invalid_client", "x"), "401 bad_request", "401 invalid_client"},
		{engine.Refuse("server_error", "x"), "500 internal", "500 server_error"},
		{ErrConflict, "503 busy", "503 server_error"},
		{ErrNotFound, "500 internal", "500 server_error"},
		{authflow.ErrNotGranted, "500 internal", "500 server_error"},
		{errors.New("the password is hunter2"), "500 internal", "500 server_error"},
	} {
		r := &request{Request: httptest.NewRequest(http.MethodGet, "/", nil), id: "the request's id"}
		wrapped := fmt.Errorf("doing something: %w", is.err)
		a := p.failure(r, page, wrapped)
		shown, ok := a.page.(templates.Error)
		if got := fmt.Sprint(a.status, " ", shown.Fault); !ok || got != is.page || shown.RequestID != r.id {
			t.Errorf("%v: page %s, want %s", is.err, got, is.page)
		}
		a = p.failure(r, api, wrapped)
		body, ok := a.json.(map[string]string)
		if got := fmt.Sprint(a.status, " ", body["error"]); !ok || got != is.api || strings.Contains(body["error_description"], "hunter2") {
			t.Errorf("%v: JSON %s %v, want %s", is.err, got, body, is.api)
		}
		if (a.header["Retry-After"] != "") != (a.status == http.StatusServiceUnavailable) {
			t.Errorf("%v: %d with Retry-After %q", is.err, a.status, a.header["Retry-After"])
		}
	}
}

// AD-2
func TestTheZeroValuesDeny(t *testing.T) {
	var c Client
	if c.redirectsTo("") || c.redirectsTo("http://127.0.0.1/") || c.hasSecret("") || c.Public() || c.FirstParty {
		t.Error("the zero Client may something")
	}
	if refusal := c.admits(map[string][]string{"response_type": {"code"}}); refusal == nil {
		t.Error("the zero Client is admitted")
	}
	if (Consent{}).covers(nil) {
		t.Error("the zero Consent covers nothing, which is something")
	}
	h := holder{status: authflow.Status{Enrolled: authflow.Of(authflow.OTP)}}
	if h.proven(&request{}) {
		t.Error("the zero Session has proven something")
	}
	if _, err := (authflow.Flow{}).Grant(authflow.Moment{}); err == nil {
		t.Error("the zero Flow is granted")
	}
	if _, err := new(Provider).issue(t.Context(), &request{}, &passage{}, authflow.Grant{}); !errors.Is(err, authflow.ErrNotGranted) {
		t.Errorf("the zero Grant: %v, want ErrNotGranted", err)
	}
}

// What a page's forms may lead to is part of a header: nothing may end it.
func TestNoTargetEndsTheHeaderItStandsIn(t *testing.T) {
	for _, uri := range []string{
		"https://a.example/;script-src *", "https://a;script-src.example/", "https://a.example,b/", "x:'unsafe-inline'", "https://a b/", "://", "",
		"https://a.example/\r\nX: y", "relative",
	} {
		p := &passage{flow: Flow{ClientID: "c"}, form: map[string][]string{"redirect_uri": {uri}}, client: Client{ContinuesTo: []string{uri}}}
		for _, target := range p.targets() {
			if strings.ContainsAny(target, " ;,'\"\r\n\t") {
				t.Errorf("%q became %q", uri, target)
			}
		}
	}
}
