package provider

import (
	"encoding/json"
	"slices"

	"github.com/sallyport-id/sallyport/provider/internal/engine"
)

// An ExtraClaim is a claim that a client is given without asking for it, because
// it is registered so: for relying parties that ask for no more than openid and
// still want to know of groups, or know a claim by another name.
//
// If it is one that a scope stands for, the user has to allow the scope, and the
// floor of the scope is one of the request. Of a user who has no such claim it is
// left out. A standard claim of the same name, which was asked for, gives way.
type ExtraClaim struct {
	Name string // in the tokens; none that is ReservedClaim
	// From is which claim of the user it is: a standard claim, groups, or one of
	// Claims.Attributes. Empty: the one called Name, unless there is a Value.
	From  string
	Value json.RawMessage // a constant instead, as JSON; the same for everyone
	// In says where it goes: id_token, userinfo, access_token. Empty: the first
	// two. They need the scope openid; access_token needs JWTs.
	In []string
}

// Places are where an ExtraClaim can go, the first two of them if it does not
// say.
var Places = []string{inIDToken, inUserinfo, inAccessToken}

const (
	inIDToken     = "id_token"
	inUserinfo    = "userinfo"
	inAccessToken = "access_token"
)

// ReservedClaim reports whether a claim is one by which tokens speak of
// themselves: no ExtraClaim and no attribute of a user can be called so. One that
// is all the same, is left out.
func ReservedClaim(name string) bool { return engine.Reserved(name) }

// StandardClaim reports whether a claim is one that a scope stands for.
func StandardClaim(name string) bool { return scopeOf(name) != "" }

// from returns which claim of the user e is, empty if it is a constant.
func (e ExtraClaim) from() string {
	if e.Value != nil {
		return ""
	}
	if e.From == "" {
		return e.Name
	}
	return e.From
}

// in reports whether e goes to place.
func (e ExtraClaim) in(place string) bool {
	if len(e.In) == 0 {
		return place == inIDToken || place == inUserinfo
	}
	return slices.Contains(e.In, place)
}

// extras returns the claims of u that c is registered for in place.
func (c Client) extras(u User, place string) (map[string]any, error) {
	out := map[string]any{}
	var all map[string]any
	for _, e := range c.Claims {
		if !e.in(place) || ReservedClaim(e.Name) {
			continue
		}
		if e.Value != nil {
			out[e.Name] = e.Value
			continue
		}
		if all == nil {
			var err error
			if all, err = u.all(); err != nil {
				return nil, err
			}
		}
		if v, ok := all[e.from()]; ok {
			out[e.Name] = v
		}
	}
	return out, nil
}

// covered returns the scopes given and those that stand for claims which c gets
// besides: those it asked for by name, and those it is registered for.
func (c Client) covered(asked AskedClaims, given []string) []string {
	all := asked.covered(given)
	openid := slices.Contains(given, "openid")
	for _, e := range c.Claims {
		if s := scopeOf(e.from()); (openid || e.in(inAccessToken)) && s != "" && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}
