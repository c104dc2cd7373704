package router

import (
	"slices"
	"sync/atomic"
)

// turn counts the requests of a priority group. The fleet holds it, so a reload
// does not send the next request to the first endpoint again.
type turn struct {
	clock *clock
	taken atomic.Uint64
}

// rotate takes a turn: each call brings the next endpoint to the front.
func (t *turn) rotate(eps []*Endpoint) {
	if len(eps) < 2 {
		return
	}
	first := int((t.taken.Add(1) - 1) % uint64(len(eps)))
	slices.Reverse(eps[:first])
	slices.Reverse(eps[first:])
	slices.Reverse(eps)
}

// roundRobin gives each endpoint its turn to be first. Those that cannot be
// leased go to the end before: left in their places they would pass their turns
// on to whichever comes after them, which would then have double the load.
func roundRobin(t *turn) Strategy {
	return func(_ Facts, eps []*Endpoint) {
		at, ready := t.clock.elapsed(), 0
		for i, e := range eps {
			if e.State.wait(at, e.RPM) == 0 {
				moveTo(eps, i, ready)
				ready++
			}
		}
		t.rotate(eps[:ready])
	}
}
