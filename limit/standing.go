package limit

import (
	"context"
	"time"
)

// Standing is how one amount of a limit stands.
type Standing struct {
	Limit  string // as Exceeded.Limit
	Amount string // as in the configuration
	Per    string // as Exceeded.Per
	Mode   string // enforce or observe
	// Allowed, Used and Remaining are in requests, tokens, or billionths of the
	// currency; Remaining is 0 or more. Of a pool, Used is what the application
	// cannot have of it.
	Allowed, Used, Remaining int64
	// Share is this replica's part of Allowed while replicas that should count
	// together cannot; else it is Allowed.
	Share int64
	// Resets is when nothing will be used any more if no request comes; zero for
	// requests under way.
	Resets time.Time
	// Shared says that Used is what all replicas have used.
	Shared bool
}

// Standings tells how every limit stands that is for such a request, then those
// of the application's endpoints and pools. It takes nothing, and opens no
// account.
func (a *App) Standings(ctx context.Context, ask Ask) []Standing {
	if a == nil {
		return nil
	}
	l := a.limits
	m := l.clock.moment()
	var all []Standing
	var charges []Charge
	seen := map[*book]bool{}
	for _, r := range a.all() {
		if !r.covers(&ask) || r.pool != nil && seen[r.book] { // several endpoints draw on it
			continue
		}
		seen[r.book] = true
		p := r.look(&ask, &m)
		for i := range amounts {
			if r.most[i] > 0 {
				all = append(all, p.standing(r, i, &m, r.whose(&ask, p)))
				charges = append(charges, r.charge(p, i, &m))
			}
		}
		p.mu.Unlock()
	}
	if !l.joined() {
		return all
	}
	used, err := l.shared.Look(ctx, charges)
	if err != nil || len(used) != len(all) {
		return all
	}
	for i := range all {
		s := &all[i]
		s.Used, s.Share, s.Shared = max(used[i], 0), s.Allowed, true
		s.Remaining = max(s.Allowed-s.Used, 0)
	}
	return all
}

// look returns the purse that a request would draw on, locked.
func (r *rule) look(ask *Ask, m *moment) *purse {
	for {
		p := r.fixed
		if p == nil {
			p = r.book.look(r.values(nil, ask), m)
		}
		p.mu.Lock()
		if !p.gone {
			return p
		}
		p.mu.Unlock()
	}
}

// standing tells how an amount stands here. p.mu is held.
func (p *purse) standing(r *rule, a amount, m *moment, whose string) Standing {
	n := r.book.limits.replicas()
	s := p.stand(r, a, m, n)
	out := Standing{
		Limit: r.book.limit, Amount: a.String(), Per: whose, Mode: mode(r.observe),
		Allowed: r.most[a], Used: max(s.used, 0), Remaining: max(s.allowed-s.used, 0), Share: s.allowed,
	}
	switch a.kind() {
	case Period:
		out.Resets = until(a, m.period(a))
	case Part:
		out.Used = min(out.Used, out.Allowed) // nobody is told what others have beyond their shares
		out.Resets = m.at.Add(m.rest + Slots*SlotLength)
	case Window:
		out.Resets = m.at.Add(m.rest + Slots*SlotLength)
	}
	return out
}
