package limit

// span is what was used of one amount in one day or month.
type span struct {
	start int64 // Unix seconds
	used  int64 // by this replica, with what it has reserved

	owed int64 // the part of used that Shared, if there is one, has not been told

	total int64 // used by all replicas, as last known
	since int64 // the part of total added here while Shared was away
}

// calendar is the span of now and the one before, so that readings of the clock
// that come out of order at midnight, or a clock that jumps and comes back,
// forgive nothing. The zero calendar is empty.
type calendar struct{ now, before span }

// at returns the span that began at start, and whether it was not known and is
// empty.
func (c *calendar) at(start int64) (s *span, fresh bool) {
	if c.now.start != start {
		c.now, c.before = c.before, c.now
		if fresh = c.now.start != start; fresh {
			c.now = span{start: start}
		}
	}
	return &c.now, fresh
}

// find returns the span that began at start, nil when it is forgotten.
func (c *calendar) find(start int64) *span {
	switch start {
	case c.now.start:
		return &c.now
	case c.before.start:
		return &c.before
	}
	return nil
}

// change adds n, and takes no more, n being negative, than was used. It
// returns what it added.
func (s *span) change(n int64) int64 {
	n = max(min(n, mostCounted-s.used), -s.used)
	s.used += n
	s.total = min(max(s.total+n, s.used), mostCounted)
	return n
}

// allowed returns how much of most this replica lets all use: with Shared away
// for a while, what was used before and its part of what was left then.
func (s *span) allowed(most, replicas int64) int64 {
	before := max(s.total-s.since, 0)
	return min(before, most) + max(most-before, 0)/replicas
}
