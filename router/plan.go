package router

import (
	"slices"
	"time"
)

// inlineEndpoints is the number of endpoints that a plan or a strategy holds
// without another allocation; few applications have more than a handful.
const inlineEndpoints = 8

// Plan is the endpoints that one request may still try, best first. It belongs
// to that request: it is not safe for concurrent use.
type Plan struct {
	router    *Router
	untried   []*Endpoint
	inline    [inlineEndpoints]*Endpoint // untried's memory, when it suffices
	only      *Endpoint                  // the one endpoint allowed, or nil
	unknown   bool
	first     Lease // the only one that most requests need, without another allocation
	attempts  int
	remaining int // attempts still allowed
}

// Plan orders the application's endpoints for one request.
func (r *Router) Plan(f Facts) *Plan {
	p := &Plan{router: r, remaining: r.maxAttempts}
	if p.remaining <= 0 {
		p.remaining = len(r.endpoints)
	}
	p.untried = p.inline[:0]
	if f.Only != "" {
		i := indexOf(r.endpoints, f.Only)
		if p.unknown = i < 0; !p.unknown {
			p.only = r.endpoints[i]
			p.untried = append(p.untried, p.only)
		}
		return p
	}

	p.untried = append(p.untried, r.ordered...)
	for _, g := range r.groups {
		if g.to-g.from > 1 {
			g.order(f, p.untried[g.from:g.to:g.to])
		}
	}
	if f.Prefer != "" {
		if i := indexOf(p.untried, f.Prefer); i > 0 {
			moveTo(p.untried, i, 0)
		}
	}
	return p
}

func indexOf(eps []*Endpoint, id string) int {
	return slices.IndexFunc(eps, func(e *Endpoint) bool { return e.ID == id })
}

// Next leases the best endpoint that is available now and that this plan has
// not leased before. It returns nil when there is none, or when the attempts
// that the configuration allows are spent. An endpoint passed over because it
// rested is offered by a later Next if its rest has ended by then.
func (p *Plan) Next() *Lease {
	if p.remaining == 0 {
		return nil
	}
	at := p.router.clock.elapsed()
	for _, e := range p.untried {
		generation, probe, ok := e.State.admit(at, e.RPM)
		if !ok {
			continue
		}
		// An endpoint that is listed twice, as some files weight it, is one.
		p.untried = slices.DeleteFunc(p.untried, func(other *Endpoint) bool { return other.State == e.State })
		p.attempts++
		p.remaining--
		l := &p.first
		if p.attempts > 1 {
			l = new(Lease)
		}
		l.endpoint, l.generation, l.probe = e, generation, probe
		return l
	}
	return nil
}

// Wait returns the time until an endpoint that such a request may use can be
// leased again, by another plan too: the smallest over all the application's
// endpoints, or that of Facts.Only's. It is 0 when one can be leased now and
// when Facts.Only named none. While one request probes an endpoint the time is
// not known; it is then taken to be the shortest rest.
func (p *Plan) Wait() time.Duration {
	at := p.router.clock.elapsed()
	switch {
	case p.unknown || len(p.router.endpoints) == 0:
		return 0
	case p.only != nil:
		return p.only.State.wait(at, p.only.RPM)
	}
	least := time.Duration(1<<63 - 1)
	for _, e := range p.router.endpoints {
		least = min(least, e.State.wait(at, e.RPM))
	}
	return least
}

// Attempts returns how many leases the plan has given.
func (p *Plan) Attempts() int { return p.attempts }

// Unknown reports that Facts.Only named no endpoint of the application.
func (p *Plan) Unknown() bool { return p.unknown }
