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
	facts     Facts
	refused   []*Endpoint // by Facts.Admit
	unknown   bool
	first     Lease // the only one that most requests need, without another allocation
	attempts  int
	remaining int // attempts still allowed
}

// Plan orders the application's endpoints for one request.
func (r *Router) Plan(f Facts) *Plan {
	p := &Plan{router: r, facts: f, remaining: r.maxAttempts}
	if p.remaining <= 0 {
		p.remaining = len(r.endpoints)
	}
	p.untried = p.inline[:0]
	if f.Only != "" {
		i := indexOf(r.endpoints, f.Only)
		if p.unknown = i < 0 || !f.among(r.endpoints[i]); !p.unknown {
			p.untried = append(p.untried, r.endpoints[i])
		}
		return p
	}

	for _, g := range r.groups {
		from := len(p.untried)
		for _, e := range r.ordered[g.from:g.to] {
			if f.among(e) {
				p.untried = append(p.untried, e)
			}
		}
		if to := len(p.untried); to-from > 1 {
			g.order(f, p.untried[from:to:to])
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

// Next leases the best endpoint that is available now, that this plan has not
// leased before and that Facts.Admit lets in. It returns nil when there is none,
// or when the attempts that the configuration allows are spent. An endpoint
// passed over because it rested is offered by a later Next if its rest has ended
// by then.
func (p *Plan) Next() *Lease {
	if p.remaining == 0 {
		return nil
	}
	at := p.router.clock.elapsed()
	for i := 0; i < len(p.untried); {
		e := p.untried[i]
		a, ok := e.State.admit(at, e.RPM)
		if !ok {
			i++
			continue
		}
		if p.facts.Admit != nil && !p.facts.Admit(e) {
			e.State.withdraw(a, e.RPM)
			p.refused = append(p.refused, e)
			p.untried = slices.Delete(p.untried, i, i+1)
			at = p.router.clock.elapsed() // asking may have taken its time
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
		l.endpoint, l.generation, l.probe = e, a.generation, a.probe
		return l
	}
	return nil
}

// Wait returns the time until an endpoint that such a request may use can be
// leased again, by another plan too: the smallest over the application's
// endpoints that Facts.Only and Facts.Among allow, save those that Facts.Admit
// refused, whose wait the caller knows. It is 0 when one can be leased now and
// when there is none to wait for. While one request probes an endpoint the time
// is not known; it is then taken to be the shortest rest.
func (p *Plan) Wait() time.Duration {
	at := p.router.clock.elapsed()
	least, any := time.Duration(1<<63-1), false
	for _, e := range p.router.endpoints {
		if p.unknown || p.facts.Only != "" && p.facts.Only != e.ID || !p.facts.among(e) || slices.Contains(p.refused, e) {
			continue
		}
		least, any = min(least, e.State.wait(at, e.RPM)), true
	}
	if !any {
		return 0
	}
	return least
}

// Attempts returns how many leases the plan has given.
func (p *Plan) Attempts() int { return p.attempts }

// Unknown reports that Facts.Only named no endpoint of the application.
func (p *Plan) Unknown() bool { return p.unknown }
