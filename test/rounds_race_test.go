//go:build race

package test

// tokenRounds is how often each race for a token is run: less often, where the race
// detector looks on. "make unit" runs all of them without it too.
const tokenRounds = 40
