package router

// leastBusy prefers the endpoint with the fewest requests under way for its
// weight. Equals take turns, so that quiet hours do not all go to the first.
func leastBusy(t *turn) Strategy {
	return func(_ Facts, eps []*Endpoint) {
		at := t.clock.elapsed()
		ties := sortByCost(eps, func(e *Endpoint) float64 { return e.State.load(at, e.RPM) / e.Weight })
		t.rotate(eps[:ties])
	}
}
