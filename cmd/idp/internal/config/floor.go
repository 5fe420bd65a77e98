package config

import (
	"time"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/provider/authflow"
)

// checkDetails judges the types of authorization details.
func (c Config) checkDetails(r *report, ladder authflow.Ladder) {
	for _, name := range sortedKeys(c.Details) {
		d, at := c.Details[name], "authorization_details."+name
		if name == "" || !plain(name, 128) {
			r.add("authorization_details", "%q is no name of a type", name)
		}
		if d.SchemaFile == "" {
			r.add(at+".schema_file", "is missing; it names a JSON Schema that the details must fit")
			continue
		}
		if d.schema == "" {
			continue // cannot be read, which has been said
		}
		if err := d.Record().Check(); err != nil {
			r.add(at, "%v", err)
		}
		if i, ok := ladder.Index(d.Level); !ok || ladder.ByPassword(i) {
			r.add(at+".floor", "%q is no level that takes more than a password: details are approved by the second factor", d.Level)
			continue
		}
		d.need().check(r, at, ladder)
	}
}

// need returns what d needs beyond the floor of all. How old the factor may be
// is no question: it is proven anew.
func (d Details) need() Floor { return Floor{Level: d.Level, MaxAge: d.MaxAge, Once: d.Once} }

// Record returns d as the provider has it.
func (d Details) Record() provider.DetailsType {
	return provider.DetailsType{Schema: []byte(d.schema), Show: d.Show, Floor: d.need().Record()}
}

// check judges what is needed beyond the floor of all.
func (f Floor) check(r *report, at string, ladder authflow.Ladder) {
	i := 0
	if f.Level != "" {
		var ok bool
		if i, ok = ladder.Index(f.Level); !ok {
			r.add(at+".floor", "%q is no level; there are %s", f.Level, levelNames(ladder))
			return
		}
	}
	switch {
	case f == Floor{}:
		r.add(at, "asks for nothing: give it a floor, a max_age, a factor_max_age or once")
	case f.MaxAge < 0:
		r.add(at+".max_age", "must not be negative")
	case f.FactorMaxAge < 0:
		r.add(at+".factor_max_age", "must not be negative")
	case f.Once && f.FactorMaxAge != 0:
		r.add(at+".factor_max_age", "means nothing beside once, for which the factor is proven anew")
	case f.Once && ladder.ByPassword(i):
		r.add(at+".once", "needs a floor that takes more than a password: what is approved each time is approved by the second factor")
	}
}

// Record returns f as the provider has it.
func (f Floor) Record() authflow.Floor {
	return authflow.Floor{
		Level: f.Level, MaxAge: time.Duration(f.MaxAge), FactorMaxAge: time.Duration(f.FactorMaxAge), Once: f.Once,
	}
}
