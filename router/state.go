package router

import (
	"math"
	"sync"
	"time"
)

const (
	// throttledRest is the rest after a 429 that names none: contract section 6.
	throttledRest = 10 * time.Second

	// failuresToRest is the number of failures in a row after which an endpoint
	// rests. nginx takes one and Envoy five: one or two are the stray resets of
	// any busy endpoint, and each more is another caller made to wait.
	failuresToRest = 3

	// firstRest is the rest of an endpoint that fails; it doubles with each
	// probe that fails too. A restarted server is back within a second or so.
	firstRest = time.Second

	// longestRest bounds a rest, jitter included: a recovered endpoint is in
	// use again within half a minute.
	longestRest = 30 * time.Second

	// restJitter is the share by which a rest is made shorter or longer, so that
	// replicas that saw the same failure do not probe at the same moment.
	restJitter = 0.2
)

// State is what has been learnt about one endpoint of one application. It is
// safe for concurrent use and outlives the configurations that name it.
type State struct {
	clock  *clock
	jitter func() float64 // uniform in [0, 1)
	of     Digest         // names the endpoint in any application
	begun  func(Rest)     // told of the rests that the endpoint asks for

	mu       sync.Mutex    // guards everything below; never held while calling out
	latest   time.Duration // the latest reading of the clock seen under mu
	admitted window
	inFlight int
	latency  average

	restUntil time.Duration // no lease before
	restsFor  Reason        // why restUntil is what it is
	restTold  time.Duration // the end of the last rest that was told or learnt

	failures   int    // in a row; while unproven, failuresToRest or more
	rests      int    // rests for failing since the endpoint was last well
	generation uint64 // counts the rests for failing, ever
	unproven   bool   // has rested for failing; one request at a time probes
	probing    bool   // that request is under way
}

// lock locks the state and returns the time to reckon with. Readings of the
// clock are taken before the lock and may come out of order: who holds the lock
// later lives later.
func (s *State) lock(at time.Duration) time.Duration {
	s.mu.Lock()
	s.latest = max(s.latest, at)
	return s.latest
}

// wait returns the time until the endpoint can be leased, 0 if it can be now.
func (s *State) wait(at time.Duration, rpm int) time.Duration {
	at = s.lock(at)
	defer s.mu.Unlock()
	return s.waitLocked(at, rpm)
}

func (s *State) waitLocked(at time.Duration, rpm int) time.Duration {
	w := max(0, s.restUntil-at, s.admitted.wait(at, rpm))
	if s.probing {
		w = max(w, firstRest)
	}
	return w
}

// admission is a request counted in.
type admission struct {
	at         time.Duration
	generation uint64  // the state's at that moment
	probe      bool    // this request decides whether the endpoint is well
	before     average // latency, as it was
	after      average // and as it was then
}

// admit counts a request in, if the endpoint can be leased.
func (s *State) admit(at time.Duration, rpm int) (a admission, ok bool) {
	at = s.lock(at)
	defer s.mu.Unlock()
	if s.waitLocked(at, rpm) > 0 {
		return admission{}, false
	}
	a = admission{at: at, generation: s.generation, probe: s.unproven, before: s.latency}
	s.admitted.add(at, rpm)
	s.inFlight++
	s.latency.chosen(at)
	a.after = s.latency
	s.probing = a.probe
	return a, true
}

// withdraw undoes an admission of which nothing came.
func (s *State) withdraw(a admission, rpm int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	if rpm > 0 {
		s.admitted.remove(a.at)
	}
	if s.latency == a.after { // else others have chosen or measured it since
		s.latency = a.before
	}
	if a.probe {
		s.probing = false
	}
}

// settle counts a request out and learns from its outcome. It reports false,
// having done nothing, when the lease has been settled before.
func (s *State) settle(at time.Duration, l *Lease, o Outcome) bool {
	ok, rest := s.learn(at, l, o)
	if rest > 0 {
		s.begun(Rest{Of: s.of, Left: rest})
	}
	return ok
}

// learn is settle under the lock. It returns the rest to tell of, if any.
func (s *State) learn(at time.Duration, l *Lease, o Outcome) (ok bool, tell time.Duration) {
	at = s.lock(at)
	defer s.mu.Unlock()
	if l.done {
		return false, 0
	}
	l.done = true
	s.inFlight--
	if l.probe {
		s.probing = false
	}

	switch o.Kind {
	case Served:
		s.latency.observe(at, o.Latency)
		s.well(l)
	case Neutral:
		if l.probe {
			s.well(l)
		}
	case Throttled:
		rest := o.RetryAfter
		if rest <= 0 {
			rest = throttledRest
		}
		s.rest(at+rest, ReasonThrottled)
		if s.restTold <= at || at+rest >= s.restTold+restWorthTelling {
			s.restTold = at + rest
			return true, rest
		}
	case Failed:
		s.failed(at, l)
	case Canceled:
	}
	return true, 0
}

// answered takes a probe's first good byte for its outcome.
func (s *State) answered(l *Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.probing = false
	s.well(l)
	l.probe = false // what follows is an answer like any other
}

// well forgets the failures. While the endpoint is unproven only the probe can
// prove it: an answer that began before the rest says nothing of now.
func (s *State) well(l *Lease) {
	if s.unproven && !l.probe {
		return
	}
	s.failures, s.rests, s.unproven = 0, 0, false
}

// failed counts a failure and lets the endpoint rest when it is one too many.
// Failures of requests leased before the last rest began belong to that rest:
// a hundred that fail together are one step, not a hundred.
func (s *State) failed(at time.Duration, l *Lease) {
	if l.generation != s.generation {
		return
	}
	s.failures++
	if s.failures < failuresToRest { // a probe's failure is always one more
		return
	}
	s.generation++
	s.unproven = true
	s.rest(at+failingRest(s.rests, s.jitter()), ReasonFailing)
	s.rests++
}

// failingRest returns the rest after n earlier ones in a row; u in [0, 1) is
// its jitter. The longest rests are spread below longestRest rather than cut
// off at it, which would make half of them equal.
func failingRest(n int, u float64) time.Duration {
	base := longestRest.Seconds() / (1 + restJitter)
	if doubled := firstRest.Seconds() * float64(uint64(1)<<min(n, 32)); doubled < base {
		base = doubled
	}
	return time.Duration(base * (1 - restJitter + 2*restJitter*u) * float64(time.Second))
}

// rest keeps the endpoint from being leased until then; a rest already under
// way that ends later stands.
func (s *State) rest(until time.Duration, why Reason) {
	if until > s.restUntil {
		s.restUntil, s.restsFor = until, why
	}
}

// load returns the number of requests under way, infinite when the endpoint
// cannot be leased.
func (s *State) load(at time.Duration, rpm int) float64 {
	at = s.lock(at)
	defer s.mu.Unlock()
	if s.waitLocked(at, rpm) > 0 {
		return math.Inf(1)
	}
	return float64(s.inFlight)
}

// cost returns the latency that one more request would have to expect, as
// average.cost does, infinite when the endpoint cannot be leased.
func (s *State) cost(at time.Duration, rpm int) float64 {
	at = s.lock(at)
	defer s.mu.Unlock()
	if s.waitLocked(at, rpm) > 0 {
		return math.Inf(1)
	}
	return s.latency.cost(at, s.inFlight)
}
