package engine

import (
	"bytes"
	"encoding/json"
)

// sameDetails reports whether text, the authorization_details of a token request,
// repeats what g was given for, if it is there (RFC 9396 section 6). There is
// nothing else that it can ask for.
func (g *Grant) sameDetails(text string) bool {
	var b bytes.Buffer
	return text == "" || json.Compact(&b, []byte(text)) == nil && b.String() == string(g.Details)
}
