package memory

// Stats is how many turns wait for the store.
type Stats struct {
	Pending      int // turns
	PendingBytes int // of memory
}

// Stats returns what waits now.
func (t *Threads) Stats() Stats {
	var s Stats
	s.Pending, _ = t.pending.count()
	t.pending.mu.Lock()
	defer t.pending.mu.Unlock()
	s.PendingBytes = t.pending.bytes
	return s
}
