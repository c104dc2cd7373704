package limit

import (
	"sync"
	"time"
)

// purse is what a limit has counted for one set of values: all of its amounts,
// under one lock. Whoever locks several does so in the order of their ids.
type purse struct {
	id     uint64
	key    string // of its accounts, without the amount
	pinned bool   // by a rule: never forgotten
	rest   bool   // of a book: many share it

	mu        sync.Mutex // guards what follows
	gone      bool       // forgotten: another one may have its key
	running   int64      // grants that are not settled, whatever is limited
	calendars [quotas]*calendar
	minutes   [amounts - quotas]*window
	parts     map[string]*window // of a pool, by application
	ended     []string           // leases that Shared has not been told of

	owing bool   // is in a list of those that owe Shared something
	next  *purse // in that list
}

// window returns the purse's window of an amount. p.mu is held.
func (p *purse) window(r *rule, a amount) *window {
	if a == poolTokens {
		return r.parts[r.pool.App]
	}
	w := &p.minutes[a-quotas]
	if *w == nil {
		*w = new(window)
	}
	return *w
}

// span returns what was used of a quota in the period that began at start.
// p.mu is held.
func (p *purse) span(s *saved, a amount, start int64) *span {
	c := p.calendars[a]
	if c == nil {
		c = new(calendar)
		p.calendars[a] = c
	}
	span, fresh := c.at(start)
	if fresh {
		span.used, span.owed = s.take(p.key, a, start)
		span.total = span.used
	}
	return span
}

// standing is how an amount stands.
type standing struct {
	allowed int64 // what this replica may let through, all in all
	used    int64
}

// stand returns how an amount of the rule stands, divided among n replicas.
// p.mu is held.
func (p *purse) stand(r *rule, a amount, m *moment, n int64) standing {
	most := r.most[a]
	switch a.kind() {
	case Period:
		s := p.span(&r.book.limits.saved, a, m.period(a))
		return standing{s.allowed(most, n), s.total}
	case Gauge:
		return standing{max(most/n, 1), p.running}
	case Part:
		return standing{most / n, most/n - room(r.parts, r.pool, most, n, m.slot)}
	}
	w := p.window(r, a)
	w.roll(m.slot)
	return standing{max(most/n, 1), w.sum}
}

// wait returns the time until add may fit, which now does not. p.mu is held.
func (p *purse) wait(r *rule, a amount, m *moment, s standing, add int64) time.Duration {
	over := s.used + add - s.allowed
	switch a.kind() {
	case Period:
		return until(a, m.period(a)).Sub(m.at)
	case Gauge:
		return gaugeWait
	case Part:
		return wait(over, m, func(age int64) (n int64) {
			for _, w := range r.parts {
				n += w.slots[index(w.latest-age)]
			}
			return n
		})
	}
	return p.window(r, a).wait(over, m)
}

// gaugeWait is the wait that is named when too many requests are under way:
// nobody knows when one will end.
const gaugeWait = time.Second

// where says how a taking is counted.
type where uint8

const (
	here    where = iota // there is no Shared
	withAll              // Shared has added it
	apart                // Shared will be told
)

// add adds what check found room for. slot is that of windows. p.mu is held.
func (p *purse) add(r *rule, a amount, m *moment, slot, n int64, at where) {
	switch a.kind() {
	case Period:
		s := p.span(&r.book.limits.saved, a, m.period(a))
		n = s.change(n)
		if at != withAll {
			s.owed += n
		}
		if at == apart {
			s.since += n
		}
	case Window, Part:
		w := p.window(r, a)
		w.roll(slot)
		w.asked = slot
		if n = w.add(slot, n); at == apart && n != 0 {
			w.owe(slot, n)
		}
	}
}

// end takes a request out of those that are under way. p.mu is held.
func (p *purse) end(r *rule, g *Grant) {
	p.running--
	if r.most[concurrent] != 0 && g.lease != "" {
		p.ended = append(p.ended, g.lease)
	}
}

// settle gives a grant back and replaces what it reserved by what was used.
// p.mu is held.
func (p *purse) settle(r *rule, g *Grant, tokens, cost int64) {
	if !g.ended {
		p.end(r, g)
	}
	for a := range amounts {
		if r.most[a] == 0 {
			continue
		}
		delta := a.of(tokens, cost) - a.of(g.tokens, g.cost)
		switch a.kind() {
		case Period:
			p.settleSpan(a, g, delta)
		case Gauge:
		default:
			w := p.window(r, a)
			if delta = w.add(g.slot, delta); delta != 0 && g.at != here {
				w.owe(g.slot, delta)
			}
		}
	}
}

func (p *purse) settleSpan(a amount, g *Grant, delta int64) {
	c := p.calendars[a]
	if c == nil {
		return
	}
	s := c.find(g.moment.period(a))
	if s == nil {
		return
	}
	delta = s.change(delta)
	s.owed += delta
	if g.at == apart {
		s.since = max(s.since+delta, 0)
	}
}

// idle reports whether forgetting the purse forgives nothing. p.mu is held.
func (p *purse) idle(m *moment) bool {
	if p.running > 0 || p.owing || p.pinned {
		return false
	}
	for a, c := range p.calendars {
		if c != nil && (c.now.total > 0 && !m.over(amount(a), c.now.start) || c.before.total > 0 && !m.over(amount(a), c.before.start)) {
			return false
		}
	}
	for _, w := range p.minutes {
		if w == nil {
			continue
		}
		if w.roll(m.slot); w.sum > 0 {
			return false
		}
	}
	return true
}
