package router

// latency prefers the endpoint with the least latency to expect: its moving
// average times the requests that would share it. Endpoints never tried come
// first, in turns.
func latency(t *turn) Strategy {
	return func(_ Facts, eps []*Endpoint) {
		at := t.clock.elapsed()
		ties := sortByCost(eps, func(e *Endpoint) float64 { return e.State.cost(at, e.RPM) })
		t.rotate(eps[:ties])
	}
}
