package engine

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxResources bounds how many APIs one request may name: all of them stand in
// its token.
const maxResources = 8

// Resources returns the APIs that a request names by resource (RFC 8707
// section 2), each once, in the order of the request. What is empty is as if
// left out. Each must be one of allowed, letter by letter; errors are Refusals.
func Resources(form url.Values, allowed []string) ([]string, error) {
	var named []string
	for _, s := range form["resource"] {
		switch {
		case s == "" || slices.Contains(named, s):
			continue
		case !Locates(s):
			return nil, Refuse("invalid_target", "A resource is an absolute URI without a fragment.")
		case !slices.Contains(allowed, s):
			return nil, Refuse("invalid_target", "A resource is not one that may be asked for here.")
		case len(named) == maxResources:
			return nil, Refuse("invalid_target", "At most "+strconv.Itoa(maxResources)+" resources can be named.")
		}
		named = append(named, s)
	}
	return named, nil
}

// Locates reports whether s is an absolute URI without a fragment. Of what RFC
// 3986 has no character for, nothing passes: opaque tokens have a space between
// two of them.
func Locates(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.IsAbs() && !strings.Contains(s, "#") &&
		!strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c >= 0x7f })
}

// audience returns whom an access token is for: the APIs that were named, and
// this server where none was or where userinfo is to open.
func (e *Engine) audience(resources, scopes []string) []string {
	us := len(resources) == 0 || slices.Contains(scopes, "openid")
	if !us || slices.Contains(resources, e.config.Issuer) {
		return resources
	}
	return append(slices.Clone(resources), e.config.Issuer)
}
