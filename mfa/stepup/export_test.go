package stepup

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
