package templates

import (
	"slices"
	"strconv"
	"strings"
)

// Language returns the language to use for someone who asks for ui_locales
// (OpenID Connect Core section 3.1.2.1) with a browser that sends
// Accept-Language; either may be empty or nonsense.
func (s *Set) Language(uiLocales, acceptLanguage string) string {
	for tag := range strings.FieldsSeq(uiLocales) {
		if found, ok := s.lookup(tag); ok {
			return found
		}
	}
	for _, tag := range accepted(acceptLanguage) {
		if found, ok := s.lookup(tag); ok {
			return found
		}
	}
	return "en"
}

// lookup finds the language for a tag, cutting it shorter and shorter:
// de-CH-1996, de-CH, de (RFC 4647 section 3.4).
func (s *Set) lookup(tag string) (string, bool) {
	// A header of many long tags is not a person's.
	if len(tag) > 35 {
		return "", false
	}
	for tag != "" {
		i := slices.IndexFunc(s.tags, func(t string) bool { return strings.EqualFold(t, tag) })
		if i >= 0 {
			return s.tags[i], true
		}
		tag = tag[:max(strings.LastIndexByte(tag, '-'), 0)]
	}
	return "", false
}

// accepted returns the tags of an Accept-Language header, the most wanted
// first (RFC 9110 section 12.5.4).
func accepted(header string) []string {
	type want struct {
		tag string
		q   float64
	}
	var wants []want
	for part := range strings.SplitSeq(header, ",") {
		if len(wants) == 20 {
			break
		}
		tag, param, _ := strings.Cut(part, ";")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(param), "q="); ok {
			f, err := strconv.ParseFloat(v, 64)
			if err != nil || !(f >= 0 && f <= 1) {
				continue
			}
			q = f
		}
		if q > 0 {
			wants = append(wants, want{strings.TrimSpace(tag), q})
		}
	}
	slices.SortStableFunc(wants, func(a, b want) int {
		switch {
		case a.q > b.q:
			return -1
		case a.q < b.q:
			return 1
		}
		return 0
	})
	tags := make([]string, len(wants))
	for i, w := range wants {
		tags[i] = w.tag
	}
	return tags
}
