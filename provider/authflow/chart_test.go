package authflow

import (
	"fmt"
	"slices"
	"strings"
)

// A chart is what a walk draws: the transitions seen, and how many worlds.
type chart struct {
	edges  map[edge]bool
	worlds int
}

// An edge goes from a step to a step, by an event or a turn of the world.
type edge struct {
	from   Step
	turn   string
	kind   Kind
	method Method // of FactorOK
	to     Step
	reason error
}

func (e edge) String() string {
	what, end := e.turn, e.to.String()
	if what == "" {
		what = Event{Kind: e.kind, Method: e.method}.String()
	}
	if e.reason != nil {
		end += ": " + short(e.reason)
	}
	return fmt.Sprintf("%-11v  %-18v  -> %s", e.from, what, end)
}

func short(err error) string { return strings.TrimPrefix(err.Error(), "authflow: ") }

// draw enters that who stood at from stands at to, by e or a turn. That a turn
// changes nothing is not entered.
func (c *chart) draw(from Step, turn string, e Event, to place) {
	if turn != "" && (from == Denied || from == to.step) {
		return
	}
	c.edges[edge{from, turn, e.Kind, e.Method, to.step, to.reason}] = true
}

func (c *chart) String() string {
	var text strings.Builder
	for i, r := range rules {
		why := short(r.err)
		if r.step != Denied {
			why = "silent: " + why
		}
		fmt.Fprintf(&text, "%2d  %-10v  -> %v: %s\n", i+1, r.name, r.step, why)
	}
	var lines []string
	for e := range c.edges {
		lines = append(lines, e.String())
	}
	slices.Sort(lines)
	return text.String() + "\n" + strings.Join(lines, "\n") + "\n"
}
