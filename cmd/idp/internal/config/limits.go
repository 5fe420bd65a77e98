package config

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sallyport-id/sallyport/provider"
)

// Limits say how much is taken from one address or client.
type Limits struct {
	Authorize       Rate `yaml:"authorize"`
	Pages           Rate `yaml:"pages"`
	Passwords       Rate `yaml:"passwords"`
	Pushed          Rate `yaml:"pushed_requests"`
	Token           Rate `yaml:"token"`
	Introspect      Rate `yaml:"introspection"`
	Userinfo        Rate `yaml:"userinfo"`
	ClientFailures  Rate `yaml:"client_failures"`
	AddressFailures Rate `yaml:"address_failures"`
}

// Record returns l as package provider has it.
func (l Limits) Record() provider.Limits {
	return provider.Limits{
		Authorize: provider.Rate(l.Authorize), Pages: provider.Rate(l.Pages), Passwords: provider.Rate(l.Passwords),
		Pushed: provider.Rate(l.Pushed), Token: provider.Rate(l.Token), Introspect: provider.Rate(l.Introspect),
		Userinfo: provider.Rate(l.Userinfo), ClientFailures: provider.Rate(l.ClientFailures),
		AddressFailures: provider.Rate(l.AddressFailures),
	}
}

// A Rate is written as requests and the time in which they are taken, "1200/1m",
// or off. The zero Rate is the default.
type Rate provider.Rate

var rates = regexp.MustCompile(`^([1-9][0-9]{0,6})/(.+)$`)

// ParseRate reads a Rate.
func ParseRate(s string) (Rate, error) {
	if s == "off" {
		return Rate{Requests: -1}, nil
	}
	wrong := fmt.Errorf("%q is no rate; write 1200/1m, of 1 to 1000000 in 1s to 24h, or off", s)
	m := rates.FindStringSubmatch(s)
	if m == nil {
		return Rate{}, wrong
	}
	n, err := strconv.Atoi(m[1])
	per, err2 := ParseDuration(m[2])
	if err != nil || err2 != nil || n > 1e6 || time.Duration(per) < time.Second || time.Duration(per) > day {
		return Rate{}, wrong
	}
	return Rate{n, time.Duration(per)}, nil
}

// UnmarshalYAML reads a Rate.
func (r *Rate) UnmarshalYAML(n *yaml.Node) error {
	v, err := ParseRate(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %q is no rate; write 1200/1m, of 1 to 1000000 in 1s to 24h, or off", n.Line, n.Value)}}
	}
	*r = v
	return nil
}

// String returns r as ParseRate reads it.
func (r Rate) String() string {
	if r.Requests < 0 {
		return "off"
	}
	return fmt.Sprintf("%d/%v", r.Requests, Duration(r.Per))
}

// MarshalYAML writes what UnmarshalYAML reads.
func (r Rate) MarshalYAML() (any, error) { return r.String(), nil }
