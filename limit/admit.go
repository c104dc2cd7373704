package limit

import (
	"context"
	"slices"
	"strconv"
	"sync/atomic"
)

// Ask is what a request needs, and who asks. What is empty counts as one
// value: all requests without a tenant share the account of a limit that is
// per tenant.
type Ask struct {
	Caller, Tenant, User, Model string
	// Tokens are to be reserved: those of the prompt and those that the answer
	// may have.
	Tokens int64
	// Cost is to be reserved, in billionths of the currency.
	Cost int64
	// GuessedTokens and GuessedCost are the parts of Tokens and Cost that the
	// request did not ask for: nobody knows how long its answer will be. As much
	// of them is reserved as a whole limit allows; they are no reason to refuse a
	// request for good.
	GuessedTokens, GuessedCost int64
}

// value returns one of the things that a limit can be per.
func (a *Ask) value(what string) string {
	switch what {
	case "caller":
		return a.Caller
	case "tenant":
		return a.Tenant
	case "user":
		return a.User
	case "model":
		return a.Model
	}
	panic("BUG: limits per " + what + " passed validation")
}

// Grant is what one request was given of the limits. It must be settled
// exactly once. A nil Grant is of a request that nothing limits.
type Grant struct {
	limits  *Limits
	entries []entry // in the order of locking
	few     [4]entry
	moment  moment
	slot    int64 // that windows were charged in
	at      where
	lease   string // of gauges that Shared counts
	tokens  int64  // reserved
	cost    int64
	left    Left
	ended   bool   // Release was called; of one goroutine
	over    string // id of a limit that the request is over and that only observes
	settled atomic.Bool
}

// entry is one rule that a request must keep, and the purse that it draws on.
type entry struct {
	rule  *rule
	purse *purse
}

// Left is what limits leave after a request.
type Left struct {
	Tokens   Remaining // of the limit with the fewest tokens left
	Requests Remaining // of the limit with the fewest requests in a minute left
}

// Remaining is what one limit leaves.
type Remaining struct {
	OK        bool // there is such a limit
	Limit     string
	Allowed   int64
	Remaining int64 // 0 or more
}

// Least returns the lesser of each.
func (l Left) Least(o Left) Left {
	return Left{Tokens: l.Tokens.least(o.Tokens), Requests: l.Requests.least(o.Requests)}
}

func (r Remaining) least(o Remaining) Remaining {
	if !r.OK || o.OK && o.Remaining < r.Remaining {
		return o
	}
	return r
}

// note notes what an amount leaves.
func (l *Left) note(r *rule, a amount, s standing) {
	var least *Remaining
	switch {
	case a.tokens():
		least = &l.Tokens
	case a == requestsPerMinute:
		least = &l.Requests
	default:
		return
	}
	if left := max(s.allowed-s.used, 0); !least.OK || left < least.Remaining {
		*least = Remaining{true, r.book.limit, r.most[a], left}
	}
}

// Admit asks all limits of the application for one request. It takes from all
// of them or, when one has not enough left, from none and says which.
func (a *App) Admit(ctx context.Context, ask Ask) (*Grant, *Exceeded) {
	if a == nil {
		return nil, nil
	}
	return a.limits.admit(ctx, a.requests, &ask)
}

// AdmitAt asks an endpoint's own limits and its pool, as Admit does. The
// endpoint is named by its position.
func (a *App) AdmitAt(ctx context.Context, endpoint int, ask Ask) (*Grant, *Exceeded) {
	if a == nil {
		return nil, nil
	}
	return a.limits.admit(ctx, a.endpoints[endpoint], &ask)
}

func (l *Limits) admit(ctx context.Context, rules []*rule, ask *Ask) (*Grant, *Exceeded) {
	if len(rules) == 0 {
		return nil, nil
	}
	g := &Grant{limits: l, tokens: bounded(ask.Tokens), cost: bounded(ask.Cost)}
	g.entries = g.few[:0]
	for _, r := range rules {
		if r.covers(ask) {
			g.entries = append(g.entries, entry{rule: r})
		}
	}
	if len(g.entries) == 0 {
		return nil, nil
	}
	g.temper(ask, 1)
	refused := g.never(ask)
	if refused == nil {
		refused = g.take(ctx, ask)
	}
	if refused != nil {
		return nil, refused
	}
	return g, nil
}

// temper cuts what is only guessed down to what whole limits allow, or the part
// of them that one of n replicas has.
func (g *Grant) temper(ask *Ask, n int64) {
	if ask.GuessedTokens <= 0 && ask.GuessedCost <= 0 {
		return
	}
	tokens, cost := g.tokens-bounded(ask.GuessedTokens), g.cost-bounded(ask.GuessedCost)
	for a := range amounts {
		for i := range g.entries {
			r := g.entries[i].rule
			switch {
			case r.most[a] == 0 || r.observe:
			case a.tokens():
				g.tokens = min(g.tokens, max(r.most[a]/n, 1, tokens))
			case a.cost():
				g.cost = min(g.cost, max(r.most[a]/n, 1, cost))
			}
		}
	}
}

// never refuses what asks for more than a whole limit.
func (g *Grant) never(ask *Ask) *Exceeded {
	for a := range amounts {
		for i := range g.entries {
			r := g.entries[i].rule
			if add := a.of(g.tokens, g.cost); r.most[a] > 0 && add > r.most[a] && !r.observe {
				e := g.exceeded(ask, &g.entries[i], a, standing{allowed: r.most[a]})
				e.Never = true
				return e
			}
		}
	}
	return nil
}

// take takes together with the other replicas or, where there are none or they
// are out of reach, alone.
func (g *Grant) take(ctx context.Context, ask *Ask) *Exceeded {
	l := g.limits
	if l.shared == nil {
		return g.takeAlone(ask, 1)
	}
	if l.joined() {
		if refused, done := g.takeTogether(ctx, ask); done {
			return refused
		}
	}
	g.at = apart
	return g.takeAlone(ask, l.replicas())
}

// takeAlone takes this replica's part, there being n of them.
func (g *Grant) takeAlone(ask *Ask, n int64) *Exceeded {
	if n > 1 {
		g.temper(ask, n)
	}
	g.open(ask)
	defer g.close()
	g.moment = g.limits.clock.moment()
	g.slot = g.moment.slot
	m := &g.moment
	for a := range amounts {
		for i := range g.entries {
			r, p := g.entries[i].rule, g.entries[i].purse
			if r.most[a] == 0 {
				continue
			}
			if a == poolTokens {
				p.window(r, a).asked = m.slot
			}
			if r.observe {
				continue
			}
			add := a.of(g.tokens, g.cost)
			if s := p.stand(r, a, m, n); s.used+add > s.allowed {
				e := g.exceeded(ask, &g.entries[i], a, s)
				e.Wait = p.wait(r, a, m, s, add)
				return e
			}
		}
	}
	for i := range g.entries {
		r, p := g.entries[i].rule, g.entries[i].purse
		p.running++
		over := false
		for a := range amounts {
			if r.most[a] == 0 {
				continue
			}
			p.add(r, a, m, g.slot, a.of(g.tokens, g.cost), g.at)
			s := p.stand(r, a, m, n)
			over = over || r.observe && s.used > s.allowed
			g.left.note(r, a, s)
		}
		g.count(&g.entries[i], over)
		g.limits.owe(p, g.at == apart)
	}
	return nil
}

// open finds the purses and locks them, in the order of their ids.
func (g *Grant) open(ask *Ask) {
	for {
		for i := range g.entries {
			g.entries[i].purse = g.entries[i].rule.purse(ask)
		}
		slices.SortFunc(g.entries, byID)
		gone := false
		for i := range g.entries {
			p := g.entries[i].purse
			p.mu.Lock()
			gone = gone || p.gone
		}
		if !gone {
			return
		}
		g.close()
	}
}

func (g *Grant) close() {
	for i := range g.entries {
		g.entries[i].purse.mu.Unlock()
	}
}

// Release tells, before Settle, that the request is no longer under way: its
// answer is about to end, and whoever waits for that may ask again at once.
// Only the grant's holder may call it, once at most.
func (g *Grant) Release() {
	if g == nil || g.ended {
		return
	}
	g.ended = true
	for i := range g.entries {
		p := g.entries[i].purse
		p.mu.Lock()
		p.end(g.entries[i].rule, g)
		g.limits.owe(p, g.at != here)
		p.mu.Unlock()
	}
}

// Settle gives the grant back: what was reserved is replaced by what was used,
// 0 for a request that used nothing, and the request is no longer under way.
// It must be called exactly once.
func (g *Grant) Settle(tokens, cost int64) {
	if g == nil {
		return
	}
	if g.settled.Swap(true) {
		panic("BUG: a grant was settled twice")
	}
	tokens, cost = bounded(tokens), bounded(cost)
	for i := range g.entries {
		p := g.entries[i].purse
		p.mu.Lock()
		p.settle(g.entries[i].rule, g, tokens, cost)
		g.limits.owe(p, g.at != here)
		p.mu.Unlock()
	}
}

// count counts the request, let in by a rule.
func (g *Grant) count(e *entry, over bool) {
	b := e.rule.book
	b.count(over)
	if e.purse.rest {
		b.crowded.Add(1)
	}
	if over && g.over == "" {
		g.over = b.limit
	}
}

// Over returns the id of a limit that would have refused the request and only
// observes; empty when there was none.
func (g *Grant) Over() string {
	if g == nil {
		return ""
	}
	return g.over
}

// Left returns what the limits left after the reservation.
func (g *Grant) Left() Left {
	if g == nil {
		return Left{}
	}
	return g.left
}

// unique returns a name, of a lease or a bundle, that no replica has used.
func (l *Limits) unique() string {
	return l.name + "-" + strconv.FormatUint(l.names.Add(1), 36)
}
