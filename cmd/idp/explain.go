package main

import (
	"errors"
	"strings"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/config"
	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/storage"
)

// remedies say what to do about errors whose text does not; "" if it does.
var remedies = []struct {
	err    error
	remedy string
}{
	{storage.ErrNewer, ""},
	{storage.ErrSchema, "Or let the server do it: database.migrate: auto."},
	{mfa.ErrEnrolled, "To begin anew, reset its factors first: idp user reset-factors."},
	{mfa.ErrForbidden, "The configuration says enrolment: forbidden."},
	{storage.ErrEpochAhead, "If this clock is behind, set it right. If it is right, and the one that bumped the epoch was ahead: --clock-is-right."},
	{mfa.ErrNoKey, "Put the key of that ID back into secrets.sealing."},
}

// explain returns the sentence that a command ends with.
func explain(err error) string {
	var problems config.Problems
	if errors.As(err, &problems) {
		return "the configuration cannot be used:\n" + problems.Error()
	}
	text := plainText(err)
	for _, r := range remedies {
		if errors.Is(err, r.err) {
			return strings.TrimSuffix(text+". "+r.remedy, ". ")
		}
	}
	return text
}

// plainText takes the names of packages out of an error: they are for those who
// read code.
func plainText(err error) string {
	return strings.NewReplacer("storage: ", "", "mfa: ", "", "provider: ", "", "password: ", "").Replace(err.Error())
}
