package relying

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// A Way is how an access token is sent to the userinfo endpoint (OpenID Connect
// Core section 5.3.1, RFC 6750 section 2).
type Way int

const (
	ByGet  Way = iota // in the header
	ByPost            // in the header
	ByBody            // in the body of a POST
)

// Scopes are the claims that each scope asks for (OpenID Connect Core section
// 5.4).
var Scopes = map[string][]string{
	"profile": {"name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile",
		"picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at"},
	"email":   {"email", "email_verified"},
	"address": {"address"},
	"phone":   {"phone_number", "phone_number_verified"},
}

// Userinfo asks what is known of the user of t, and checks the answer: that it
// is about that user, and of the right types. A Refusal has the status.
func (p *Party) Userinfo(ctx context.Context, t Tokens, way Way) (map[string]any, error) {
	method, body := http.MethodGet, ""
	if way != ByGet {
		method = http.MethodPost
	}
	if way == ByBody {
		body = url.Values{"access_token": {t.Access}}.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, p.Text("userinfo_endpoint"), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if way == ByBody {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else {
		r.Header.Set("Authorization", "Bearer "+t.Access)
	}
	resp, err := p.Client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refusedToken(resp)
	}
	var claims map[string]any
	errs := []error{typed(resp, "application/json"), json.Unmarshal(raw, &claims)}
	if claims["sub"] != t.ID.Subject {
		errs = append(errs, fmt.Errorf("userinfo: sub is %v, in the ID token %s", claims["sub"], t.ID.Subject))
	}
	return claims, errors.Join(append(errs, CheckClaims(claims))...)
}

// refusedToken returns a Refusal for an answer that is no; it is a proper one
// if its header says why (RFC 6750 section 3).
func refusedToken(resp *http.Response) error {
	challenge := resp.Header.Get("WWW-Authenticate")
	_, rest, _ := strings.Cut(challenge, `error="`)
	code, _, named := strings.Cut(rest, `"`)
	if !strings.HasPrefix(challenge, "Bearer ") || !named || resp.StatusCode/100 != 4 {
		return fmt.Errorf("userinfo: status %d, WWW-Authenticate %q", resp.StatusCode, challenge)
	}
	return &Refusal{code, resp.StatusCode}
}

// CheckClaims says which standard claims are not of their type (OpenID Connect
// Core section 5.1). A claim without a value is to be left out (section 5.3.2).
func CheckClaims(claims map[string]any) error {
	var errs []error
	for name, v := range claims {
		if !ofType(name, v) {
			errs = append(errs, fmt.Errorf("the claim %s is %v", name, v))
		}
	}
	return errors.Join(errs...)
}

func ofType(name string, v any) bool {
	text, isText := v.(string)
	switch name {
	case "email_verified", "phone_number_verified":
		_, ok := v.(bool)
		return ok
	case "updated_at":
		_, ok := v.(float64)
		return ok
	case "address":
		return ofAddress(v)
	case "profile", "picture", "website":
		u, err := url.Parse(text)
		return err == nil && u.Host != ""
	case "birthdate":
		_, err := time.Parse(time.DateOnly, text)
		return err == nil
	case "zoneinfo":
		_, err := time.LoadLocation(text)
		return err == nil && text != ""
	case "email":
		return strings.Contains(text, "@")
	}
	for _, names := range Scopes {
		if slices.Contains(names, name) {
			return isText && text != ""
		}
	}
	return true
}

func ofAddress(v any) bool {
	members, ok := v.(map[string]any)
	for _, v := range members {
		if s, text := v.(string); !text || s == "" {
			return false
		}
	}
	return ok && len(members) > 0
}
