package provider

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport-id/sallyport/provider/authflow"
	"github.com/sallyport-id/sallyport/provider/internal/engine"
)

// metadata is the discovery document (OpenID Connect Discovery section 3, RFC
// 8414 section 2). It says what there is and nothing else.
type metadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	UserinfoEndpoint      string   `json:"userinfo_endpoint"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	IntrospectionEndpoint string   `json:"introspection_endpoint"`
	PushedEndpoint        string   `json:"pushed_authorization_request_endpoint"`
	EndSessionEndpoint    string   `json:"end_session_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	ScopesSupported       []string `json:"scopes_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	ResponseModes         []string `json:"response_modes_supported"`
	GrantTypes            []string `json:"grant_types_supported"`
	ACRValues             []string `json:"acr_values_supported"`
	SubjectTypes          []string `json:"subject_types_supported"`
	IDTokenAlgorithms     []string `json:"id_token_signing_alg_values_supported"`
	UserinfoAlgorithms    []string `json:"userinfo_signing_alg_values_supported"`
	TokenAuthMethods      []string `json:"token_endpoint_auth_methods_supported"`
	TokenAuthAlgs         []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	RevokeAuthMethods     []string `json:"revocation_endpoint_auth_methods_supported"`
	RevokeAuthAlgs        []string `json:"revocation_endpoint_auth_signing_alg_values_supported"`
	IntrospectAuthMethods []string `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectAuthAlgs    []string `json:"introspection_endpoint_auth_signing_alg_values_supported"`
	Claims                []string `json:"claims_supported"`
	ClaimTypes            []string `json:"claim_types_supported"`
	Prompts               []string `json:"prompt_values_supported"`
	CodeChallenges        []string `json:"code_challenge_methods_supported"`
	UILocales             []string `json:"ui_locales_supported"`
	DetailsTypes          []string `json:"authorization_details_types_supported,omitempty"` // RFC 9396 section 10
	ClaimsParameter       bool     `json:"claims_parameter_supported"`
	RequestParameter      bool     `json:"request_parameter_supported"`
	RequestURIParameter   bool     `json:"request_uri_parameter_supported"`       // request objects by reference; a pushed request is none (RFC 9126 section 5)
	RequirePushed         bool     `json:"require_pushed_authorization_requests"` // of every client; those that must are registered so
	ResponseIss           bool     `json:"authorization_response_iss_parameter_supported"`
	BackchannelLogout     bool     `json:"backchannel_logout_supported"`
	BackchannelSession    bool     `json:"backchannel_logout_session_supported"`
	FrontchannelLogout    bool     `json:"frontchannel_logout_supported"`
	FrontchannelSession   bool     `json:"frontchannel_logout_session_supported"`
}

// confidential are the ways in which clients that are not public authenticate.
var confidential = []string{"client_secret_basic", "client_secret_post", "private_key_jwt"}

// methods are those that can be proven here.
var methods = authflow.Of(authflow.Password, authflow.OTP, authflow.Recovery)

func (p *Provider) newMetadata() metadata {
	m := metadata{
		Issuer:                p.config.Issuer,
		AuthorizationEndpoint: p.url("/authorize"),
		TokenEndpoint:         p.url("/token"),
		UserinfoEndpoint:      p.url("/userinfo"),
		RevocationEndpoint:    p.url("/revoke"),
		IntrospectionEndpoint: p.url("/introspect"),
		PushedEndpoint:        p.url("/par"), // authenticates as the token endpoint does, and has no list of its own (RFC 9126 section 2)
		EndSessionEndpoint:    p.url("/logout"),
		JWKSURI:               p.url("/jwks.json"),
		ResponseTypes:         []string{"code"},
		ResponseModes:         responseModes,
		GrantTypes:            engine.Grants,
		SubjectTypes:          []string{"public"},
		IDTokenAlgorithms:     []string{"RS256", "ES256"},
		UserinfoAlgorithms:    []string{"RS256", "ES256"},
		TokenAuthMethods:      append(slices.Clone(confidential), "none"),
		RevokeAuthMethods:     append(slices.Clone(confidential), "none"),
		IntrospectAuthMethods: confidential,
		Claims:                []string{"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid"},
		ClaimTypes:            []string{"normal"},
		Prompts:               []string{"none", "login", "consent", "select_account"},
		CodeChallenges:        []string{"S256"},
		UILocales:             p.pages.Languages(),
		DetailsTypes:          slices.Sorted(maps.Keys(p.detailsTypes)),
		ClaimsParameter:       true,
		ResponseIss:           true,
		BackchannelLogout:     true,
		BackchannelSession:    true,
		FrontchannelLogout:    true,
		FrontchannelSession:   true,
	}
	if p.config.SubjectKey != nil {
		m.SubjectTypes = append(m.SubjectTypes, "pairwise")
	}
	for _, alg := range assertionAlgorithms {
		m.TokenAuthAlgs = append(m.TokenAuthAlgs, string(alg))
	}
	m.RevokeAuthAlgs, m.IntrospectAuthAlgs = m.TokenAuthAlgs, m.TokenAuthAlgs
	for _, s := range scopes {
		m.ScopesSupported = append(m.ScopesSupported, s.name)
		m.Claims = append(m.Claims, s.claims...)
	}
	for i, level := range p.config.Ladder {
		// A level that no method of ours reaches is not offered.
		reachable := slices.ContainsFunc(p.config.Ladder[i:], func(l authflow.Level) bool {
			return slices.ContainsFunc(l.Ways, methods.Covers)
		})
		if reachable {
			m.ACRValues = append(append(m.ACRValues, level.Name), level.Aliases...)
		}
	}
	return m
}

func (p *Provider) discovery(*request) (answer, error) {
	return answer{json: p.meta, cache: "public, max-age=300"}, nil
}

// keepKeys is for how long at most verifiers may keep the published keys.
const keepKeys = 5 * time.Minute

// jwks publishes the keys. Verifiers may keep them for no longer than a new key
// is published before it signs.
func (p *Provider) jwks(r *request) (answer, error) {
	keys, err := p.config.Keys.Published(r.Context())
	if err != nil {
		return answer{}, fmt.Errorf("reading the published keys: %w", err)
	}
	// A key's ID is made of the key (RFC 7638): the same IDs are the same text.
	ids := ""
	for _, k := range keys {
		ids += k.ID + " " + k.Algorithm + "\n"
	}
	text := p.keySet.Load()
	if text == nil || text.ids != ids {
		set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
		for _, k := range keys {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.Key, KeyID: k.ID, Algorithm: k.Algorithm, Use: "sig"})
		}
		b, err := json.Marshal(set)
		if err != nil {
			return answer{}, fmt.Errorf("writing the published keys: %w", err)
		}
		text = &keySetText{ids, b}
		p.keySet.Store(text)
	}
	keep := keepKeys
	if ahead := p.config.KeysAhead; ahead > 0 {
		keep = min(keep, ahead)
	}
	return answer{data: text.json, kind: "application/jwk-set+json", cache: fmt.Sprintf("public, max-age=%d", keep/time.Second)}, nil
}

// A keySetText is the JSON of published keys.
type keySetText struct {
	ids  string
	json []byte
}
