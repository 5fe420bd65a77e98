package templates

import (
	"strings"
	"testing"
)

func TestScopesOfOnesOwnHaveTheirWords(t *testing.T) {
	s := newSet(t, Options{Scopes: map[string]map[string]string{
		"en": {"transfer": "Send {money} & <b>more</b>", "email": "Write to you"},
		"de": {"transfer": "Geld senden"},
	}})
	page := Consent{Flow{Action: "/flow/1"}, []string{"transfer", "email", "other", "unknown"}}
	en, de := render(t, s, "en", page), render(t, s, "de", page)
	for _, want := range []string{"<strong>Send {money} &amp; &lt;b&gt;more&lt;/b&gt;</strong>", "Write to you", "Use the permission <bdi>other</bdi>", "Use the permission <bdi>unknown</bdi>"} {
		if !strings.Contains(en, want) {
			t.Errorf("English is without %q", want)
		}
	}
	if strings.Contains(en, "verified") {
		t.Error("the words for email have the detail of others")
	}
	for _, want := range []string{"Geld senden", "Write to you"} {
		if !strings.Contains(de, want) {
			t.Errorf("German is without %q", want)
		}
	}
}

// WEB-4: what is approved is shown whole, on one line, and turned by nothing.
func TestDetailsAreShownWholeAndInert(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, tt := range []struct{ text, want string }{
		{long, long},
		{"a\u202eb\nc\u200bd", "ab cd"},
		{"  <b>1 EUR</b>  ", "<b>1 EUR</b>"},
	} {
		if got := Inert(tt.text); got != tt.want {
			t.Errorf("%q is %q, want %q", tt.text, got, tt.want)
		}
	}
	s := newSet(t, Options{})
	got := render(t, s, "en", Factor{Flow{Action: "/flow/1", Details: []string{"<script>" + long}}, 6, ""})
	if !strings.Contains(got, "<li><bdi>&lt;script&gt;"+long+"</bdi></li>") {
		t.Error("a line of details is not there whole and inert")
	}
}
