package mfa_test

import (
	"github.com/sallyport-id/sallyport/mfa"
	"github.com/sallyport-id/sallyport/provider"
)

var (
	_ provider.Factor   = (*mfa.Factors)(nil)
	_ provider.Attempts = (*mfa.Attempts)(nil)
)
