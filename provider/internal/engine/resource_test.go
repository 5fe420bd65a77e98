package engine

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// RFC 8707 section 2.
func TestAResourceIsAnAbsoluteURIWithoutAFragment(t *testing.T) {
	for s, want := range map[string]bool{
		"https://api.example":             true,
		"https://api.example/a?b=c":       true,
		"https://api.example/%20":         true,
		"http://127.0.0.1:8080/":          true,
		"urn:example:api":                 true,
		"api:calendar":                    true,
		"":                                false,
		"/api":                            false,
		"//api.example":                   false,
		"api.example":                     false,
		"https://api.example#":            false,
		"https://api.example/#a":          false,
		"https://api.example/a b":         false,
		"https://api.example/\n":          false,
		"https://api.example/\x00":        false,
		"https://api.example/\x7f":        false,
		"https://api.example/\xff":        false,
		"https://api.example/é":           false,
		"https://api.example/%zz":         false,
		":":                               false,
		"https://api.example https://b.c": false,
	} {
		if got := Locates(s); got != want {
			t.Errorf("%q: got %v, want %v", s, got, want)
		}
	}
}

func TestOfResourcesEachCountsOnceAndEachIsAllowed(t *testing.T) {
	var many []string
	for i := range maxResources + 1 {
		many = append(many, "urn:api:"+strconv.Itoa(i))
	}
	bad := []string{"https://a.example#x", "a b:c"}
	allowed := append([]string{"https://a.example", "https://b.example/"}, append(many, bad...)...)
	for name, is := range map[string]struct{ named, want []string }{
		"none":               {nil, nil},
		"empty":              {[]string{"", ""}, nil},
		"one":                {[]string{"https://a.example"}, []string{"https://a.example"}},
		"two":                {[]string{"https://b.example/", "https://a.example"}, []string{"https://b.example/", "https://a.example"}},
		"one, often":         {slices.Repeat([]string{"https://a.example"}, 60), []string{"https://a.example"}},
		"one and empty":      {[]string{"", "https://a.example", ""}, []string{"https://a.example"}},
		"as many as can be":  {many[:maxResources], many[:maxResources]},
		"and one of them":    {append(slices.Clone(many[:maxResources]), many[0]), many[:maxResources]},
		"one more":           {many, nil},
		"unknown":            {[]string{"https://c.example"}, nil},
		"one of two unknown": {[]string{"https://a.example", "https://c.example"}, nil},
		"a slash more":       {[]string{"https://a.example/"}, nil},
		"a slash less":       {[]string{"https://b.example"}, nil},
		"of another case":    {[]string{"HTTPS://a.example"}, nil},
		"a path below":       {[]string{"https://b.example/c"}, nil},
		"with a fragment":    {bad[:1], nil}, // though it is registered
		"with a space":       {bad[1:], nil},
		"two in one":         {[]string{"https://a.example https://b.example/"}, nil},
	} {
		got, err := Resources(url.Values{"resource": is.named}, allowed)
		if !slices.Equal(got, is.want) {
			t.Errorf("%s: got %q, want %q", name, got, is.want)
		}
		nothing := len(is.named) == 0 || is.named[0] == "" && len(is.want) == 0
		var r *Refusal
		if refused := errors.As(err, &r) && r.Code == "invalid_target"; refused != (len(is.want) == 0 && !nothing) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// This server is meant where no API is named, and where userinfo is to open.
func TestWhomAnAccessTokenIsFor(t *testing.T) {
	e := newEngine(t, secrets...)
	for _, is := range []struct{ resources, scopes, want string }{
		{"", "", issuer},
		{"", "openid", issuer},
		{"urn:a", "", "urn:a"},
		{"urn:a urn:b", "email", "urn:a urn:b"},
		{"urn:a urn:b", "openid email", "urn:a urn:b " + issuer},
		{issuer, "openid", issuer},
		{issuer + " urn:a", "openid", issuer + " urn:a"},
	} {
		resources := strings.Fields(is.resources)
		got := e.audience(resources, strings.Fields(is.scopes))
		if strings.Join(got, " ") != is.want {
			t.Errorf("for %q with the scopes %q: got %q, want %q", is.resources, is.scopes, got, is.want)
		}
		if strings.Join(resources, " ") != is.resources {
			t.Errorf("%q was changed to %q", is.resources, resources)
		}
	}
}

// Of what is granted a request gets what it names, for this answer alone, and
// nothing beside.
func TestATokenIsForWhatIsNamedOfWhatIsGranted(t *testing.T) {
	e := newEngine(t, secrets...)
	all := []string{"urn:a", "urn:b", "urn:c"}
	c := app
	c.Resources, c.GrantTypes = all, append(c.GrantTypes, "client_credentials")
	opaque := c
	opaque.Opaque = true
	for _, is := range []struct{ granted, named, want, own string }{ // own: to a service; empty: invalid_target
		{"", "", issuer, issuer},
		{"urn:a urn:b", "", "urn:a urn:b " + issuer, issuer},
		{"urn:a urn:b", "urn:b", "urn:b " + issuer, "urn:b"},
		{"urn:a urn:b", "urn:b urn:a", "urn:b urn:a " + issuer, "urn:b urn:a"},
		{"urn:a urn:b", "urn:c", "", "urn:c"},
		{"", "urn:a", "", "urn:a"},
		{"", issuer, "", ""},
		{"urn:a", "urn:a urn:d", "", ""},
	} {
		g, code := granted()
		g.Resources = strings.Fields(is.granted)
		for _, c := range []Client{c, opaque} {
			old := *g
			old.CodeSpent, old.Generation = true, 1
			service := c
			service.Scopes = []string{"jobs"}
			for _, v := range []url.Values{
				exchange(code),
				{"grant_type": {"refresh_token"}, "refresh_token": {seal("slp_rt.grant.1", e.macs[0].refresh)}},
				{"grant_type": {"client_credentials"}},
			} {
				v["resource"] = strings.Fields(is.named)
				g, c, want := g, c, is.want
				switch v.Get("grant_type") {
				case "refresh_token":
					g = &old
				case "client_credentials":
					g, c, want = nil, service, is.own
				}
				got, err := e.Token(ctx, v, c, g)
				var r *Refusal
				if want == "" {
					if !errors.As(err, &r) || r.Code != "invalid_target" || r.Status != 400 || r.Reuse {
						t.Errorf("%v of %q: got %v, want invalid_target", v, is.granted, err)
					}
					continue
				}
				if err != nil {
					t.Errorf("%v of %q: %v", v, is.granted, err)
					continue
				}
				a, err := e.Access(ctx, got.Body["access_token"].(string), published)
				if err != nil || strings.Join(a.Audience, " ") != want {
					t.Errorf("%v of %q: for %q, %v, want %q", v, is.granted, a.Audience, err, want)
				}
			}
		}
	}
}

// What is presented twice is noticed, whatever it is asked for.
func TestAResourceHidesNoReuse(t *testing.T) {
	e := newEngine(t, secrets...)
	g, code := granted()
	g.CodeSpent, g.Generation = true, 2
	for _, v := range []url.Values{
		exchange(code),
		{"grant_type": {"refresh_token"}, "refresh_token": {seal("slp_rt.grant.1", e.macs[0].refresh)}},
	} {
		v.Set("resource", "urn:unknown")
		var r *Refusal
		if _, err := e.Token(ctx, v, app, g); !errors.As(err, &r) || r.Code != "invalid_grant" || !r.Reuse {
			t.Errorf("%v: got %v, want reuse", v, err)
		}
	}
}

// FuzzResources reads what strangers name. What passes was allowed, and comes
// back of an opaque token as it was.
func FuzzResources(f *testing.F) {
	e := newEngine(f, secrets...)
	for _, s := range []string{"", "https://api.example", "urn:a&resource=urn:b", "urn:a#", "a b:c", "%00:", "urn:\xff", ":", "//x"} {
		f.Add("resource="+s, s)
	}
	opaque := app
	opaque.Opaque = true
	f.Fuzz(func(t *testing.T, query, registered string) {
		v, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		allowed := []string{"urn:a", "urn:b", "https://api.example", registered}
		got, err := Resources(v, allowed)
		var r *Refusal
		switch {
		case err != nil && (got != nil || !errors.As(err, &r) || r.Code != "invalid_target"):
			t.Errorf("%q: %q, %v", query, got, err)
		case len(got) > maxResources:
			t.Errorf("%q: %d of them", query, len(got))
		}
		for i, s := range got {
			if !slices.Contains(allowed, s) || slices.Contains(got[:i], s) || s == "" || strings.ContainsAny(s, " #") {
				t.Errorf("%q: %q passed", query, s)
			}
		}
		a, err := e.Access(ctx, tokens(t, e, opaque, got...)["access_token"].(string), published)
		if want := e.audience(got, app.Scopes); err != nil || !slices.Equal(a.Audience, want) {
			t.Errorf("%q: for %q, %v, want %q", query, a.Audience, err, want)
		}
	})
}
