package config

import (
	"slices"
	"strings"

	"github.com/sallyport-id/sallyport/provider/authflow"
)

// Ladder returns the levels, [authflow.DefaultLadder] if none are set.
func (c Config) Ladder() authflow.Ladder {
	if len(c.Levels) == 0 {
		return authflow.DefaultLadder
	}
	var ladder authflow.Ladder
	for _, l := range c.Levels {
		level := authflow.Level{Name: l.Name, Aliases: l.Aliases}
		for _, way := range l.Ways {
			var ms authflow.Methods
			for _, name := range way {
				if m, err := authflow.ParseMethod(name); err == nil {
					ms |= authflow.Of(m)
				}
			}
			level.Ways = append(level.Ways, ms)
		}
		ladder = append(ladder, level)
	}
	return ladder
}

func (c Config) checkLevels(r *report) {
	names := map[string]bool{}
	for i, l := range c.Levels {
		at := index("levels", i)
		for _, name := range append([]string{l.Name}, l.Aliases...) {
			switch {
			case name == "":
				r.add(at+".name", "is missing")
			case names[name]:
				r.add(at+".name", "%q stands twice among names and aliases", name)
			case !token.MatchString(name):
				r.add(at+".name", "%q must have no spaces: acr_values are separated by them", name)
			}
			names[name] = true
		}
		if len(l.Ways) == 0 {
			r.add(at+".ways", "is empty; nobody could reach the level")
		}
		for j, way := range l.Ways {
			if len(way) == 0 {
				r.add(index(at+".ways", j), "is empty; everybody would reach the level")
			}
			for _, m := range way {
				if _, err := authflow.ParseMethod(m); err != nil {
					r.add(index(at+".ways", j), "%q is no method; there are pwd, otp, recovery and pop", m)
				}
			}
		}
	}
	if slices.ContainsFunc(r.problems, func(p Problem) bool { return strings.HasPrefix(p.Key, "levels") }) {
		return // what floors mean is not known
	}
	ladder := c.Ladder()
	c.checkFloor(r, "floor", c.Floor)
	for _, name := range sortedKeys(c.Scopes) {
		if !token.MatchString(name) {
			r.add("scopes", "%q is no scope: no spaces, quotes or backslashes", name)
		}
		s := c.Scopes[name]
		if len(s.Text) == 0 || s.Floor != (Floor{}) {
			s.Floor.check(r, "scopes."+name, ladder)
		}
		for lang, text := range s.Text {
			if !plain(text, 128) || text == "" {
				r.add("scopes."+name+".text."+lang, "must be of 1 to 128 characters, without control characters: people see it")
			}
		}
	}
	for _, uri := range sortedKeys(c.Resources) {
		if reason := resourceProblem(uri); reason != "" {
			r.add("resources", "%q %s", uri, reason)
		}
		c.Resources[uri].check(r, "resources."+uri, ladder)
	}
	c.checkDetails(r, ladder)
}

// offered are the methods that this server can check.
const offered = 1<<authflow.Password | 1<<authflow.OTP | 1<<authflow.Recovery

// alone is the least length of a password that is the only factor (NIST SP
// 800-63B-4 section 3.1.1.2).
const alone = 15

// checkFloor judges a level that sign-ins are to reach.
func (c Config) checkFloor(r *report, key, name string) {
	ladder := c.Ladder()
	i, ok := ladder.Index(name)
	if !ok {
		r.add(key, "%q is no level; there are %s", name, levelNames(ladder))
		return
	}
	var ways []authflow.Methods
	for _, level := range ladder[i:] {
		ways = append(ways, level.Ways...)
	}
	switch {
	case !slices.ContainsFunc(ways, authflow.Methods(offered).Covers):
		r.add(key, "%q is a level that nobody could reach: it takes methods that this server does not offer", name)
	case slices.ContainsFunc(ways, authflow.Of(authflow.Password).Covers) && c.Passwords.MinLength < alone:
		r.add(key, "%q lets a password alone sign in; then passwords.min_length must be at least %d", name, alone)
	}
}

func levelNames(l authflow.Ladder) string {
	var names []string
	for _, level := range l {
		names = append(names, level.Name)
	}
	return strings.Join(names, ", ")
}
