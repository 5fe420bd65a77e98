//go:build !race

package test

// rounds is how often each race for a token is run.
const rounds = 200
