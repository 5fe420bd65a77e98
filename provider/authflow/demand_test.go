package authflow

import (
	"errors"
	"net/url"
	"testing"
	"time"
)

// SU-4
func TestMaxAgeIsAStrictNumberOfSeconds(t *testing.T) {
	tests := []struct {
		value string
		want  time.Duration
		bad   bool
	}{
		{value: "0"},
		{value: "1", want: time.Second},
		{value: "60", want: time.Minute},
		{value: "060", want: time.Minute},
		{value: "2147483647", want: 2147483647 * time.Second},
		{value: "2147483648", bad: true},
		{value: "4294967296", bad: true},
		{value: "9223372036854775807", bad: true},
		{value: "18446744073709551616", bad: true},
		{value: "99999999999999999999999999", bad: true},
		{value: "-0", bad: true},
		{value: "-1", bad: true},
		{value: "+5", bad: true},
		{value: " 5", bad: true},
		{value: "5 ", bad: true},
		{value: "5 6", bad: true},
		{value: "\t5", bad: true},
		{value: "5\x00", bad: true},
		{value: "5s", bad: true},
		{value: "5.0", bad: true},
		{value: "1e3", bad: true},
		{value: "0x10", bad: true},
		{value: "1_000", bad: true},
		{value: "٥", bad: true}, // a digit, and not of ASCII
		{value: "junk", bad: true},
		{value: "null", bad: true},
	}
	for _, tt := range tests {
		d, err := Parse(url.Values{"max_age": {tt.value}}, mfa)
		switch {
		case tt.bad:
			if !errors.Is(err, ErrBadRequest) {
				t.Errorf("max_age %q: %v, want %v", tt.value, err, ErrBadRequest)
			}
			if len(d.targets) != 0 {
				t.Errorf("max_age %q: a demand that can be met beside an error", tt.value)
			}
		case err != nil:
			t.Errorf("max_age %q: %v", tt.value, err)
		case !d.aged || d.maxAge != tt.want || d.fresh != (tt.want == 0):
			t.Errorf("max_age %q: aged %v, %v, fresh %v; want true, %v, %v", tt.value, d.aged, d.maxAge, d.fresh, tt.want, tt.want == 0)
		}
	}
	if d := demand(t, "max_age=", mfa); d.aged || d.fresh {
		t.Error("an empty max_age is not as if left out")
	}
}

// OA-3
func TestARepeatedParameterIsRefused(t *testing.T) {
	for _, name := range []string{"prompt", "max_age", "acr_values", "claims", "scope"} {
		for _, values := range [][]string{{"", ""}, {"", "login"}, {"60", "60"}, {"60", ""}} {
			if _, err := Parse(url.Values{name: values}, mfa); !errors.Is(err, ErrBadRequest) {
				t.Errorf("%s %q: %v, want %v", name, values, err, ErrBadRequest)
			}
		}
	}
}
