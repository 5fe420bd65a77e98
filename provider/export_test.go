package provider

import (
	"context"
	"net/http"
)

// SendThrough has p tell clients of logouts through rt.
func (p *Provider) SendThrough(rt http.RoundTripper) { p.outside.Transport = rt }

// DeliverOnce is one round of Deliver.
func (p *Provider) DeliverOnce(ctx context.Context) (int, error) { return p.deliver(ctx) }

// Of Deliver.
const (
	ClaimFor = claimFor
	AtOnce   = atOnce
)
