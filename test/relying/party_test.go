package relying

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestThePartyNoticesWhatIsWrongWithAnAnswer(t *testing.T) {
	p := party(t, nil)
	asked := p.Request()
	posted := with(asked, "response_mode", "form_post")
	v := func(pairs ...string) string {
		q := url.Values{"code": {"0123456789abcdefghijklmnopqrstuvwxyz"}, "state": asked["state"], "iss": {issuer}}
		for i := 0; i < len(pairs); i += 2 {
			if q.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
				q.Del(pairs[i])
			}
		}
		return q.Encode()
	}
	get := func(uri string) *http.Request { return httptest.NewRequest(http.MethodGet, uri, nil) }
	post := func(uri, kind, body string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, uri, strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		return r
	}
	const form = "application/x-www-form-urlencoded"
	for what, is := range map[string]struct {
		asked url.Values
		r     *http.Request
		right bool
	}{
		"nothing":             {asked, get(p.RedirectURI + "&" + v()), true},
		"another state":       {asked, get(p.RedirectURI + "&" + v("state", "x")), false},
		"no state":            {asked, get(p.RedirectURI + "&" + v("state", "")), false},
		"two states":          {asked, get(p.RedirectURI + "&" + v() + "&state=x"), false},
		"no iss":              {asked, get(p.RedirectURI + "&" + v("iss", "")), false},
		"another iss":         {asked, get(p.RedirectURI + "&" + v("iss", issuer+"/")), false},
		"more than that":      {asked, get(p.RedirectURI + "&" + v("scope", "openid")), false},
		"a code and an error": {asked, get(p.RedirectURI + "&" + v("error", "access_denied")), false},
		"a short code":        {asked, get(p.RedirectURI + "&" + v("code", "0123456789abcdef")), false},
		"a dull code":         {asked, get(p.RedirectURI + "&" + v("code", strings.Repeat("ab", 40))), false},
		"its own query":       {asked, get("https://party.example/cb?" + v()), false},
		"changed":             {asked, get("https://party.example/cb?a=c&" + v()), false},
		"another way":         {asked, get("https://party.example/cb/?a=b&" + v()), false},
		"the way":             {asked, post(p.RedirectURI, form, v()), false},
		"posted":              {posted, post(p.RedirectURI, form, v()), true},
		"not posted":          {posted, get(p.RedirectURI + "&" + v()), false},
		"partly posted":       {posted, post(p.RedirectURI+"&state=x", form, v()), false},
		"posted as text":      {posted, post(p.RedirectURI, "text/plain", v()), false},
	} {
		code, err := p.Answer(is.asked, is.r)
		noticed(t, what, err, !is.right)
		if is.right && code != "0123456789abcdefghijklmnopqrstuvwxyz" {
			t.Errorf("%s: code %q", what, code)
		}
	}
	refusal := url.Values{"error": {"access_denied"}, "error_description": {"no"}, "state": asked["state"], "iss": {issuer}}
	_, err := p.Answer(asked, get(p.RedirectURI+"&"+refusal.Encode()))
	if Refused(err) != "access_denied" {
		t.Errorf("a refusal: %v", err)
	}
	_, err = p.Answer(asked, get(p.RedirectURI+"&"+with(refusal, "state", "x").Encode()))
	if code := Refused(err); code != "" {
		t.Errorf("a refusal with more wrong is %s: %v", code, err)
	}
	if Refused(errors.New("access_denied")) != "" {
		t.Error("any error is a refusal")
	}
}
