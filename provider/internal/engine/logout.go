package engine

import (
	"context"
	"time"
)

// LogoutLifetime is how long a logout token is good: it is made when it is
// sent, and two minutes is what OpenID Connect Back-Channel Logout section 4
// calls enough.
const LogoutLifetime = 2 * time.Minute

// logoutType is the typ of a logout token (OpenID Connect Back-Channel Logout
// section 2.4): with it none passes for another token of ours.
const logoutType = "logout+jwt"

// A Logout is what a logout token says.
type Logout struct {
	ID        string // jti
	ClientID  string
	Subject   string // as the client knows it
	SessionID string
}

// logoutClaims are the claims of a logout token (OpenID Connect Back-Channel
// Logout section 2.4). A nonce is not among them and must not be.
type logoutClaims struct {
	Issuer    string              `json:"iss"`
	Subject   string              `json:"sub"`
	Audience  string              `json:"aud"`
	IssuedAt  int64               `json:"iat"`
	Expires   int64               `json:"exp"`
	ID        string              `json:"jti"`
	Events    map[string]struct{} `json:"events"`
	SessionID string              `json:"sid"`
}

// LogoutToken returns a logout token that is signed with the current key for
// alg.
func (e *Engine) LogoutToken(ctx context.Context, alg string, l Logout) (string, error) {
	now := time.Now()
	return e.sign(ctx, alg, logoutType, logoutClaims{
		Issuer: e.config.Issuer, Subject: l.Subject, Audience: l.ClientID,
		IssuedAt: now.Unix(), Expires: now.Add(LogoutLifetime).Unix(), ID: l.ID,
		Events:    map[string]struct{}{"http://schemas.openid.net/event/backchannel-logout": {}},
		SessionID: l.SessionID,
	})
}
