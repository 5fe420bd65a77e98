//go:build race

package test

import "time"

// A race for what is good once is run so often, or for so long where that is
// less, but a few times: the race detector makes it slow. "make unit" runs all
// 200 rounds without it too.
const (
	rounds     = 40
	roundsTake = 10 * time.Second
)
