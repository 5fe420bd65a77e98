package relying

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/text/language"
)

// members are what the document may have, by what each must be: the members
// that the specifications of OAuth and OpenID define and that are in use.
var members = map[string]string{
	"URL": `issuer authorization_endpoint token_endpoint userinfo_endpoint jwks_uri registration_endpoint
		revocation_endpoint introspection_endpoint end_session_endpoint check_session_iframe
		pushed_authorization_request_endpoint device_authorization_endpoint backchannel_authentication_endpoint
		service_documentation op_policy_uri op_tos_uri`,
	"list": `scopes_supported response_types_supported response_modes_supported grant_types_supported
		acr_values_supported subject_types_supported claims_supported claim_types_supported display_values_supported
		prompt_values_supported code_challenge_methods_supported ui_locales_supported claims_locales_supported
		id_token_signing_alg_values_supported id_token_encryption_alg_values_supported id_token_encryption_enc_values_supported
		userinfo_signing_alg_values_supported userinfo_encryption_alg_values_supported userinfo_encryption_enc_values_supported
		request_object_signing_alg_values_supported request_object_encryption_alg_values_supported request_object_encryption_enc_values_supported
		token_endpoint_auth_methods_supported token_endpoint_auth_signing_alg_values_supported
		revocation_endpoint_auth_methods_supported revocation_endpoint_auth_signing_alg_values_supported
		introspection_endpoint_auth_methods_supported introspection_endpoint_auth_signing_alg_values_supported
		introspection_signing_alg_values_supported authorization_signing_alg_values_supported
		dpop_signing_alg_values_supported authorization_details_types_supported
		backchannel_token_delivery_modes_supported`,
	"boolean": `claims_parameter_supported request_parameter_supported request_uri_parameter_supported
		require_request_uri_registration require_signed_request_object require_pushed_authorization_requests
		authorization_response_iss_parameter_supported tls_client_certificate_bound_access_tokens
		frontchannel_logout_supported frontchannel_logout_session_supported
		backchannel_logout_supported backchannel_logout_session_supported`,
}

// Verify judges the whole document: what must be there, what may be, and
// whether it says one thing throughout (OpenID Connect Discovery section 3, RFC
// 8414 section 2).
func (p *Provider) Verify() error {
	var errs []error
	for name, v := range p.Metadata {
		errs = append(errs, p.member(name, v))
	}
	for _, name := range []string{ // required, or recommended
		"issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "scopes_supported",
		"response_types_supported", "subject_types_supported", "id_token_signing_alg_values_supported", "claims_supported",
	} {
		if p.Metadata[name] == nil {
			errs = append(errs, fmt.Errorf("%s is missing", name))
		}
	}
	if u, err := url.Parse(p.Issuer); err != nil || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(p.Issuer, "/") {
		errs = append(errs, fmt.Errorf("the issuer %q has more than a host and a path", p.Issuer))
	}
	errs = append(errs, p.has("response_types_supported", "code"), p.has("scopes_supported", "openid"),
		p.has("id_token_signing_alg_values_supported", "RS256"), p.within("subject_types_supported", "public", "pairwise"),
		p.within("claim_types_supported", "normal", "aggregated", "distributed"))
	for name, value := range map[string]string{ // where they are there at all
		"grant_types_supported": "authorization_code", "request_object_signing_alg_values_supported": "RS256",
	} {
		if p.Metadata[name] != nil {
			errs = append(errs, p.has(name, value))
		}
	}
	return errors.Join(append(errs, p.algorithms(), p.locales())...)
}

// member says what is wrong with a member by itself.
func (p *Provider) member(name string, v any) error {
	wrong := func(want string) error { return fmt.Errorf("%s is %v, and no %s", name, v, want) }
	for want, names := range members {
		if !slices.Contains(strings.Fields(names), name) {
			continue
		}
		switch want {
		case "URL":
			u, err := url.Parse(p.Text(name))
			if err != nil || u.Scheme != "https" || u.Host == "" || strings.Contains(p.Text(name), "#") {
				return wrong("URL of https")
			}
		case "list":
			list := p.List(name)
			if len(list) == 0 || len(slices.Compact(slices.Sorted(slices.Values(list)))) != len(list) || slices.Contains(list, "") {
				return wrong("list of different texts")
			}
		case "boolean":
			if _, ok := v.(bool); !ok {
				return wrong(want)
			}
		}
		return nil
	}
	return fmt.Errorf("%s is not a member that anyone has defined", name)
}

// has says if a list lacks value.
func (p *Provider) has(name, value string) error {
	if !slices.Contains(p.List(name), value) {
		return fmt.Errorf("%s is without %s", name, value)
	}
	return nil
}

// within says if a list has other values than these.
func (p *Provider) within(name string, values ...string) error {
	for _, v := range p.List(name) {
		if !slices.Contains(values, v) {
			return fmt.Errorf("%s has %s, which is none", name, v)
		}
	}
	return nil
}

// algorithms says what is wrong with the algorithms: none at all is no
// signature, and a method that signs needs algorithms to sign with (RFC 8414
// section 2).
func (p *Provider) algorithms() error {
	var errs []error
	for name := range p.Metadata {
		if strings.HasSuffix(name, "signing_alg_values_supported") && slices.Contains(p.List(name), "none") {
			errs = append(errs, fmt.Errorf("%s has none", name))
		}
	}
	for _, endpoint := range []string{"token", "revocation", "introspection"} {
		methods, algorithms := endpoint+"_endpoint_auth_methods_supported", endpoint+"_endpoint_auth_signing_alg_values_supported"
		signs := slices.ContainsFunc(p.List(methods), func(m string) bool { return strings.HasSuffix(m, "_jwt") })
		if signs != (p.Metadata[algorithms] != nil) {
			errs = append(errs, fmt.Errorf("%s and %s do not belong together", methods, algorithms))
		}
	}
	return errors.Join(errs...)
}

// locales says which of the languages is no tag as BCP 47 writes it.
func (p *Provider) locales() error {
	var errs []error
	for _, name := range []string{"ui_locales_supported", "claims_locales_supported"} {
		for _, l := range p.List(name) {
			if tag, err := language.Parse(l); err != nil || tag.String() != l {
				errs = append(errs, fmt.Errorf("%s has %q, want %q", name, l, tag))
			}
		}
	}
	return errors.Join(errs...)
}
