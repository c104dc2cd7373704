package router

import "time"

// Reason is why an endpoint is not simply in use.
type Reason string

// The reasons; the zero Reason is an endpoint in use.
const (
	// ReasonThrottled is a rest that the endpoint asked for.
	ReasonThrottled Reason = "throttled"
	// ReasonFailing is a rest after failures in a row.
	ReasonFailing Reason = "failing"
	// ReasonProbing is an endpoint whose rest for failing has ended and of which
	// one request, under way or the next to come, decides whether it is well.
	ReasonProbing Reason = "probing"
)

// Status is how an endpoint stands at one moment.
type Status struct {
	Endpoint *Endpoint
	// Reason is why the endpoint rests or is being probed; empty when neither.
	Reason Reason
	// RestsUntil is when the rest ends; zero when the endpoint does not rest.
	RestsUntil time.Time
	// Admitted is the requests of the last 60 seconds that count towards the
	// endpoint's RPM; without one, none are counted.
	Admitted int
	InFlight int
	// Latency is the moving average; 0 when nothing was measured.
	Latency time.Duration
}

// Status returns how each endpoint stands, in the configuration's order.
func (r *Router) Status() []Status {
	at := r.clock.elapsed()
	all := make([]Status, len(r.endpoints))
	for i, e := range r.endpoints {
		all[i] = e.State.status(at)
		all[i].Endpoint = e
	}
	return all
}

func (s *State) status(at time.Duration) Status {
	at = s.lock(at)
	defer s.mu.Unlock()
	st := Status{Admitted: s.admitted.used(at), InFlight: s.inFlight, Latency: s.latency.value}
	switch {
	case s.restUntil > at:
		st.Reason, st.RestsUntil = s.restsFor, s.clock.start.Add(s.restUntil)
	case s.unproven:
		st.Reason = ReasonProbing
	}
	return st
}
