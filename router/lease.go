package router

import (
	"fmt"
	"time"
)

// Kind is what came of a call to an endpoint, as far as routing cares.
type Kind uint8

// The kinds of outcome. The zero Kind judges nobody, so that an Outcome left
// empty by a fault of our own is not held against the endpoint.
const (
	// Canceled is a call that the client left: it says nothing.
	Canceled Kind = iota
	// Served is an answer.
	Served
	// Throttled is a 429: the endpoint asks for a rest.
	Throttled
	// Failed is a 5xx, 401, 403, 408, a refused or broken connection or a
	// timeout: it counts against the endpoint's health.
	Failed
	// Neutral is a refusal of this very request (400, 404, 413, 422): it says
	// nothing about health, save that a probed endpoint answers.
	Neutral
)

// String returns the kind's name in lower case.
func (k Kind) String() string {
	switch k {
	case Canceled:
		return "canceled"
	case Served:
		return "served"
	case Throttled:
		return "throttled"
	case Failed:
		return "failed"
	case Neutral:
		return "neutral"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Outcome is how a lease ended.
type Outcome struct {
	Kind Kind
	// RetryAfter is the rest that a Throttled endpoint asked for; 0 when it
	// named none.
	RetryAfter time.Duration
	// Latency is the time that a Served endpoint took, measured alike for all
	// endpoints of an application; 0 is not measured.
	Latency time.Duration
}

// Lease is the right to send one request to one endpoint. Its holder must call
// Done, whatever happens.
type Lease struct {
	endpoint   *Endpoint
	generation uint64 // the state's when leased
	probe      bool   // this request decides whether the endpoint is well
	done       bool   // guarded by endpoint.State.mu
}

// Endpoint returns the leased endpoint.
func (l *Lease) Endpoint() *Endpoint { return l.endpoint }

// Answered tells, before Done, that the endpoint has begun to answer well. A
// probe is over with that: nobody waits for the end of its answer, which may be
// a long stream. Only the lease's holder may call it.
func (l *Lease) Answered() {
	if l.probe {
		l.endpoint.State.answered(l)
	}
}

// Done ends the lease and tells the endpoint's state what came of it. It must
// be called exactly once, from any goroutine; a second call panics.
func (l *Lease) Done(o Outcome) {
	s := l.endpoint.State
	if !s.settle(s.clock.elapsed(), l, o) {
		panic("BUG: the lease of endpoint " + l.endpoint.ID + " was ended twice")
	}
}
