// Package router chooses the endpoint that a request goes to, and the next one
// when that will not serve it. A request asks its application's Router for a
// Plan, takes one Lease after another from it and ends each with what came of
// it. What is learnt so (rests, admissions, failures, latency) lives in the
// Fleet, which outlives every configuration.
//
// The package is pure bookkeeping: it opens nothing, starts nothing and knows
// the time only by the function it was given.
package router

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"aigateway/config"
)

// Endpoint is one upstream of an application as one configuration describes
// it. It never changes; what changes is in its State.
type Endpoint struct {
	ID string
	// Index is the endpoint's position in the application's list.
	Index int
	// Priority is the group that the endpoint is in; lower groups come first.
	Priority int
	// Weight is the endpoint's share under the strategies that know one; above 0.
	Weight float64
	// RPM is the most requests admitted in any 60 seconds; 0 is no limit.
	RPM int
	// State is what has been learnt about the endpoint, shared with every
	// other configuration that has it.
	State *State
}

// Facts are what a request says about where it wants to go.
type Facts struct {
	// Only is the ID of the one endpoint that may be tried; empty allows all.
	Only string
	// Prefer is the ID of the endpoint to try first; an unknown one is ignored.
	Prefer string
	// Among are the IDs of the endpoints that there are for this request; Only
	// and Prefer know no others. Nil is all of them.
	Among []string
	// Admit is asked of an endpoint that is available, before it is leased; it
	// may take its time. Refused, the endpoint is passed over as if it had not
	// been looked at, and this plan does not offer it again. Nil admits all.
	Admit func(*Endpoint) bool
}

// among reports whether there is such an endpoint for this request.
func (f *Facts) among(e *Endpoint) bool { return f.Among == nil || slices.Contains(f.Among, e.ID) }

// Strategy puts the endpoints of one priority group into the order in which a
// request tries them, most preferred first. It runs on the request path, at
// any concurrency: it must not block, call out or keep the slice.
type Strategy func(Facts, []*Endpoint)

// Router chooses among the endpoints of one application under one
// configuration. It is immutable and safe for concurrent use.
type Router struct {
	app         string
	clock       *clock
	maxAttempts int
	endpoints   []*Endpoint // in the configuration's order
	ordered     []*Endpoint // by priority, then in the configuration's order
	groups      []group
}

// group is the part of Router.ordered that shares a priority.
type group struct {
	from, to int
	order    Strategy
}

// New returns the router of an application, which config.Parse has checked and
// filled in. Endpoints that the fleet knows keep what was learnt about them.
func New(app *config.Application, fleet *Fleet) *Router {
	r := &Router{app: app.AppID, clock: fleet.clock, maxAttempts: app.Retry.MaxAttempts}
	for i := range app.Endpoints {
		ep := &app.Endpoints[i]
		r.endpoints = append(r.endpoints, &Endpoint{
			ID:       ep.ID,
			Index:    i,
			Priority: ep.Priority,
			Weight:   ep.Weight,
			RPM:      ep.RPM,
			State:    fleet.state(app.AppID, ep),
		})
	}
	r.ordered = slices.Clone(r.endpoints)
	slices.SortStableFunc(r.ordered, func(a, b *Endpoint) int { return cmp.Compare(a.Priority, b.Priority) })
	for from := 0; from < len(r.ordered); {
		to := from + 1
		for to < len(r.ordered) && r.ordered[to].Priority == r.ordered[from].Priority {
			to++
		}
		turn := fleet.turn(app.AppID, r.ordered[from].Priority)
		r.groups = append(r.groups, group{from, to, strategy(app.Strategy, turn)})
		from = to
	}
	return r
}

// strategy returns the strategy that the configuration calls name.
func strategy(name string, turn *turn) Strategy {
	switch name {
	case "priority", "":
		return priority
	case "weighted":
		return weighted(rand.ExpFloat64)
	case "roundRobin":
		return roundRobin(turn)
	case "random":
		return random(rand.IntN)
	case "leastBusy":
		return leastBusy(turn)
	case "latency":
		return latency(turn)
	}
	panic("BUG: strategy " + name + " passed validation")
}

// Endpoints returns the application's endpoints in the configuration's order.
// The slice is the router's own: callers must not change it.
func (r *Router) Endpoints() []*Endpoint { return r.endpoints }
