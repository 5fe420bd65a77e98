package engine

import "testing"

func TestATokenRequestCanOnlyRepeatWhatWasGranted(t *testing.T) {
	g := &Grant{Details: []byte(`[{"a":1}]`)}
	for text, want := range map[string]bool{
		"": true, `[{"a":1}]`: true, ` [ {"a" : 1} ] `: true,
		`[{"a":2}]`: false, `[{"a":1},{"b":1}]`: false, `[]`: false, `x`: false,
	} {
		if got := g.sameDetails(text); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	if none := new(Grant); none.sameDetails(`[{"a":1}]`) || !none.sameDetails("") {
		t.Error("what was not granted")
	}
}
