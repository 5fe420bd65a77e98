package relying

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// logoutEvent is what a logout token says to have happened (OpenID Connect
// Back-Channel Logout section 2.4).
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// logoutClaims are all that a logout token has.
var logoutClaims = []string{"iss", "sub", "aud", "iat", "exp", "jti", "events", "sid"}

// longestLogout is how long a logout token may be good at most, as is
// recommended (OpenID Connect Back-Channel Logout section 2.4).
const longestLogout = 2 * time.Minute

// CheckLogoutToken judges a logout token that is to end the sign-in of which id
// is (OpenID Connect Back-Channel Logout sections 2.4 and 2.6).
func (p *Party) CheckLogoutToken(raw string, id IDToken) error {
	header, claims, err := p.Keys.verify(raw)
	if err != nil {
		return fmt.Errorf("logout token: %w", err)
	}
	var errs []error
	wrong := func(name string) { errs = append(errs, fmt.Errorf("logout token: %s is %v", name, claims[name])) }
	if header["typ"] != "logout+jwt" || header["alg"] != p.Algorithm {
		errs = append(errs, fmt.Errorf("logout token: typ is %v, and alg %v; registered is %s", header["typ"], header["alg"], p.Algorithm))
	}
	if claims["iss"] != p.Issuer {
		wrong("iss")
	}
	if !p.addressed(claims) {
		wrong("aud")
	}
	if jti, _ := claims["jti"].(string); jti == "" {
		wrong("jti")
	}
	events, _ := claims["events"].(map[string]any)
	if event, ok := events[logoutEvent].(map[string]any); !ok || len(event) > 0 || len(events) != 1 {
		wrong("events")
	}
	for name, want := range map[string]any{"sub": id.Subject, "sid": id.Claims["sid"]} {
		if got, ok := claims[name]; ok && got != want {
			wrong(name)
		}
	}
	if claims["sub"] == nil && claims["sid"] == nil {
		errs = append(errs, errors.New("logout token: it says neither who nor which session"))
	}
	for name := range claims { // above all no nonce: it would pass for an ID token
		if !slices.Contains(logoutClaims, name) {
			wrong(name)
		}
	}
	now := time.Now()
	for name, within := range map[string][2]time.Time{
		"iat": {now.Add(-skew), now}, "exp": {now.Add(time.Second), now.Add(longestLogout)},
	} {
		n, ok := claims[name].(float64)
		if !ok || n != math.Trunc(n) || int64(n) < within[0].Unix() || int64(n) > within[1].Unix() {
			wrong(name)
		}
	}
	return errors.Join(errs...)
}
