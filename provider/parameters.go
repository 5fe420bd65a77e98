package provider

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"

	"github.com/sallyport-id/sallyport/provider/internal/engine"
)

// query returns the parameters of a GET.
func (r *request) query() (url.Values, error) {
	return parse(r.URL.RawQuery)
}

// body returns the parameters of a POST: those of its body and no others.
func (r *request) body() (url.Values, error) {
	kinds := r.Header.Values("Content-Type")
	if len(kinds) != 1 {
		// Of two, who stands before us may have looked at the other.
		return nil, fmt.Errorf("%w: the body has %d types", errMalformed, len(kinds))
	}
	kind, _, err := mime.ParseMediaType(kinds[0])
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, fmt.Errorf("%w: the body is not a form", errMalformed)
	}
	b, err := io.ReadAll(r.Body)
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		r.tooLong = true
		return nil, errTooLarge
	}
	if err != nil {
		return nil, fmt.Errorf("%w: reading the body: %w", errMalformed, err)
	}
	return parse(string(b))
}

// parameters returns those of the body of a POST, each of which is given once
// but for the repeatable.
func (r *request) parameters(repeatable ...string) (url.Values, error) {
	v, err := r.body()
	if err != nil {
		return nil, err
	}
	if refusal := single(v, repeatable...); refusal != nil {
		return nil, refusal
	}
	return v, nil
}

func parse(s string) (url.Values, error) {
	v, err := url.ParseQuery(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	n := 0
	for _, values := range v {
		n += len(values)
	}
	if n > maxParameters {
		return nil, fmt.Errorf("%w: more than %d parameters", errMalformed, maxParameters)
	}
	return v, nil
}

// single refuses parameters that are given more than once: which of them would
// count is what attackers play with (RFC 6749 sections 3.1 and 3.2). Only of
// the repeatable all count.
func single(v url.Values, repeatable ...string) *engine.Refusal {
	for name, values := range v {
		if len(values) > 1 && !slices.Contains(repeatable, name) {
			return engine.Refuse("invalid_request", "The parameter "+name+" is given more than once.")
		}
	}
	return nil
}

// only returns the value of a parameter that is given exactly once.
func only(v url.Values, name string) (string, bool) {
	if len(v[name]) != 1 || v[name][0] == "" {
		return "", false
	}
	return v[name][0], true
}
