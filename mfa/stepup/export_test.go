package stepup

import (
	"strconv"
	"strings"
)

// Remembered returns how many answers to introspection g remembers.
func Remembered(g *Guard) int {
	g.ask.mu.Lock()
	defer g.ask.mu.Unlock()
	return len(g.ask.known)
}

// Kept returns how many spent tokens s remembers.
func Kept(s *MemoryStore) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.spent)
}

// Write returns c as a guard would write it.
func Write(c Challenge) string {
	p := []param{{"error", c.Code}, {"error_description", c.Text}, {"acr_values", strings.Join(c.ACRValues, " ")}, {"scope", strings.Join(c.Scopes, " ")}}
	if c.MaxAge != nil {
		p = append(p, param{"max_age", strconv.Itoa(*c.MaxAge)})
	}
	return writeChallenge(c.Scheme, p)
}
