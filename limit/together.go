package limit

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// errAway is why replicas part when nothing else is known.
var errAway = errors.New("it is known to be away")

// together is what keeps the replicas together.
type together struct {
	joined  atomic.Bool // admissions ask Shared
	told    atomic.Bool // the log knows that it is away
	debtors atomic.Pointer[purse]
	waiting atomic.Int64 // purses in debtors, and settlements in sending and bundle
	wake    chan struct{}

	// Run's own:
	sending []Settlement // taken from purses, and not on their way yet
	bundle  bundle       // on its way, or none
	mark    mark
	checked time.Time
}

// mark is a number that the first replica of a month leaves in Shared. Where it
// is another one, Shared has lost what it held.
type mark struct {
	Month int64 `json:"month"` // when it began, in Unix seconds
	Value int64 `json:"value"` // above 0
}

// joined reports whether replicas count together.
func (l *Limits) joined() bool {
	if l.shared == nil || !l.together.joined.Load() {
		return false
	}
	if !l.shared.Up() {
		l.away(errAway)
		return false
	}
	return true
}

// away goes on without Shared.
func (l *Limits) away(err error) {
	l.together.joined.Store(false)
	if !l.together.told.Swap(true) {
		l.log.Warn("limits are not shared: each replica goes on with its part", "replicas", l.replicas(), "error", err)
	}
}

// replicas is among how many limits are divided while Shared is away.
func (l *Limits) replicas() int64 {
	if l.shared == nil {
		return 1
	}
	return int64(max(l.shared.Replicas(), 1))
}

// charge is one account of a request: an amount of one of its entries.
type charge struct {
	entry  int
	amount amount
}

// takeTogether takes of what all replicas share. It reports false, having taken
// nothing, when that cannot be done.
func (g *Grant) takeTogether(ctx context.Context, ask *Ask) (refused *Exceeded, done bool) {
	l := g.limits
	g.open(ask)
	for i := range g.entries {
		g.entries[i].purse.running++ // stays, and has its key
	}
	g.moment = l.clock.moment()
	taking, of := g.charges()
	g.close()
	taken, err := l.ask(ctx, taking)
	if err == nil && !taken.OK && g.giveBack(ctx, of[taken.Refused]) {
		taken, err = l.ask(ctx, taking)
	}
	g.lock()
	defer g.close()
	switch {
	case err != nil:
		g.unpin()
		return nil, false
	case !taken.OK:
		g.unpin()
		g.learn(of, taken)
		return g.refusal(ask, of[taken.Refused], taken), true
	}
	g.at, g.slot = withAll, taken.Slot
	l.clock.heard(taken.Slot)
	over := make([]bool, len(g.entries))
	for i, c := range of {
		r, p := g.entries[c.entry].rule, g.entries[c.entry].purse
		p.add(r, c.amount, &g.moment, g.slot, taking.Charges[i].Add, g.at)
		s := standing{r.most[c.amount], taken.Used[i]}
		over[c.entry] = over[c.entry] || r.observe && s.used > s.allowed
		g.left.note(r, c.amount, s)
	}
	g.learn(of, taken)
	for i := range g.entries {
		g.count(&g.entries[i], over[i])
	}
	return nil, true
}

// ask asks Shared for a taking. When it fails, replicas part, unless it was the
// request that went away.
func (l *Limits) ask(ctx context.Context, t Taking) (Taken, error) {
	taken, err := l.shared.Take(ctx, t)
	if err == nil && (len(taken.Used) != len(t.Charges) || !taken.OK && (taken.Refused < 0 || taken.Refused >= len(t.Charges))) {
		err = fmt.Errorf("it told of %d accounts and not of %d", len(taken.Used), len(t.Charges))
	}
	if err != nil && ctx.Err() == nil {
		l.away(err)
	}
	return taken, err
}

// giveBack tells Shared at once of the leases of a full gauge that are over, and
// reports whether there were any: a client that may have one request at a time
// need not wait for Run after its last.
func (g *Grant) giveBack(ctx context.Context, c charge) bool {
	if c.amount != concurrent {
		return false
	}
	p := g.entries[c.entry].purse
	p.mu.Lock()
	leases := p.ended
	over := p.settleLeases(nil)
	p.mu.Unlock()
	if len(over) == 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, giveBackTimeout)
	defer cancel()
	if g.limits.shared.Settle(ctx, "", over) == nil { // a lease can end twice
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = append(p.ended, leases...)
	g.limits.owe(p, true)
	return false
}

// giveBackTimeout bounds what a request waits for that would else be refused.
const giveBackTimeout = 100 * time.Millisecond

// unpin ends what takeTogether began. The purses are locked.
func (g *Grant) unpin() {
	g.lease = ""
	for i := range g.entries {
		g.entries[i].purse.running--
	}
}

// charges returns what is to be taken of Shared, and for each charge what it is
// of. The purses are locked.
func (g *Grant) charges() (Taking, []charge) {
	var t Taking
	var of []charge
	for a := range amounts {
		for i := range g.entries {
			r, p := g.entries[i].rule, g.entries[i].purse
			if r.most[a] == 0 {
				continue
			}
			c := r.charge(p, a, &g.moment)
			c.Add = a.of(g.tokens, g.cost)
			if !r.observe {
				c.Limit = max(c.Limit-p.untold(r, a, &g.moment), 0)
			}
			if a == concurrent && g.lease == "" {
				g.lease = g.limits.unique()
			}
			t.Charges = append(t.Charges, c)
			of = append(of, charge{i, a})
		}
	}
	t.Lease = g.lease
	return t, of
}

// untold is what was counted apart and Shared has not been told yet: it is used
// all the same. p.mu is held.
func (p *purse) untold(r *rule, a amount, m *moment) (n int64) {
	switch a.kind() {
	case Period:
		n = p.span(&r.book.limits.saved, a, m.period(a)).owed
	case Window, Part:
		for _, d := range p.window(r, a).owed {
			n += d.delta
		}
	}
	return max(n, 0)
}

// charge returns an account of Shared, to which nothing is added.
func (r *rule) charge(p *purse, a amount, m *moment) Charge {
	c := Charge{Key: p.key + " " + a.String(), Kind: a.kind(), Limit: r.most[a], Pool: r.pool}
	if r.observe {
		c.Limit = -1
	}
	if c.Kind == Period {
		c.Key, c.Until = dated(p.key, a, m.period(a)), until(a, m.period(a))
	}
	return c
}

// learn notes what Shared says of quotas. The purses are locked.
func (g *Grant) learn(of []charge, taken Taken) {
	for i, c := range of {
		if c.amount.kind() != Period {
			continue
		}
		r, p := g.entries[c.entry].rule, g.entries[c.entry].purse
		s := p.span(&r.book.limits.saved, c.amount, g.moment.period(c.amount))
		s.total, s.since = max(taken.Used[i]+s.owed, s.used), 0
	}
}

// refusal says what Shared refused.
func (g *Grant) refusal(ask *Ask, c charge, taken Taken) *Exceeded {
	of := &g.entries[c.entry]
	e := g.exceeded(ask, of, c.amount, standing{of.rule.most[c.amount], taken.Used[taken.Refused]})
	switch c.amount.kind() {
	case Period:
		e.Wait = until(c.amount, g.moment.period(c.amount)).Sub(g.moment.at)
	case Gauge:
		e.Wait = gaugeWait
	default:
		e.Wait = min(max(taken.Wait, time.Millisecond), time.Minute+SlotLength)
	}
	return e
}

// lock locks the purses that open found.
func (g *Grant) lock() {
	for i := range g.entries {
		g.entries[i].purse.mu.Lock()
	}
}
