package router

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"aigateway/config"
)

// Fleet is everything learnt about endpoints. There is one in a process; each
// reload builds routers upon it, so that a new configuration forgives no
// throttled endpoint.
type Fleet struct {
	clock  *clock
	jitter func() float64
	onRest atomic.Pointer[func(Rest)]

	mu     sync.Mutex // guards what follows; taken by no request but one that is throttled
	states map[stateKey]*State
	turns  map[turnKey]*turn
}

// stateKey tells endpoints apart: contract section 6.
type stateKey struct {
	app string
	of  Digest
}

// turnKey names a priority group.
type turnKey struct {
	app      string
	priority int
}

// NewFleet returns a fleet that knows nothing yet. The function now must be
// safe for concurrent use and must never go back, as time.Now does not.
func NewFleet(now func() time.Time) *Fleet {
	return &Fleet{
		clock:  &clock{now: now, start: now()},
		jitter: rand.Float64,
		states: map[stateKey]*State{},
		turns:  map[turnKey]*turn{},
	}
}

// state returns the state of an endpoint, new if it was not known.
func (f *Fleet) state(app string, ep *config.Endpoint) *State {
	k := stateKey{app, digest(ep)}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.states[k]
	if s == nil {
		s = &State{clock: f.clock, jitter: f.jitter, of: k.of, begun: f.tell}
		f.states[k] = s
	}
	return s
}

// turn returns the turn of a priority group, new if it was not known.
func (f *Fleet) turn(app string, priority int) *turn {
	k := turnKey{app, priority}
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.turns[k]
	if t == nil {
		t = &turn{clock: f.clock}
		f.turns[k] = t
	}
	return t
}

// Keep forgets every endpoint that none of the routers has. It is called after
// a reload with the routers now in force, by the same goroutine that calls New;
// leases of forgotten endpoints can still be ended.
func (f *Fleet) Keep(routers ...*Router) {
	states, turns := map[*State]bool{}, map[turnKey]bool{}
	for _, r := range routers {
		for _, e := range r.endpoints {
			states[e.State] = true
			turns[turnKey{r.app, e.Priority}] = true
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for k, s := range f.states {
		if !states[s] {
			delete(f.states, k)
		}
	}
	for k := range f.turns {
		if !turns[k] {
			delete(f.turns, k)
		}
	}
}

// clock reckons time from the start of the fleet: eight bytes a reading.
type clock struct {
	now   func() time.Time
	start time.Time
}

func (c *clock) elapsed() time.Duration { return c.now().Sub(c.start) }
