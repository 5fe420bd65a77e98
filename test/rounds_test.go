//go:build !race

package test

import "time"

// A race for what is good once is run so often, or for so long where that is less.
const (
	rounds     = 200
	roundsTake = 5 * time.Minute
)
