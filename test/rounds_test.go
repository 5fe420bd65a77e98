//go:build !race

package test

// tokenRounds is how often each race for a token is run.
const tokenRounds = 200
