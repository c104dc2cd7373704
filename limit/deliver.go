package limit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// meeting is how often Shared is looked for while it is away: all replicas
	// are together again within a blink of its return.
	meeting = 200 * time.Millisecond
	// checking is how often Shared is asked whether it was emptied. What was
	// used between that and the next check may count twice.
	checking = time.Second
	// linger is how long settlements wait for others to travel with: short, for
	// a client that may have one request at a time waits for them too.
	linger = time.Millisecond
	// patience bounds a round trip off the request path: long enough for a
	// bundle, short enough for the end of the process.
	patience = 2 * time.Second
)

// bundle is settlements that travel together. One whose answer did not come may
// have been done: it goes again as it is, before all others, until an answer
// says that it was.
type bundle struct {
	id  string
	all []Settlement
}

// owe remembers, if it is so, that a purse owes Shared something. p.mu is held.
func (l *Limits) owe(p *purse, so bool) {
	if !so || p.owing {
		return
	}
	p.owing = true
	t := &l.together
	t.waiting.Add(1)
	for {
		p.next = t.debtors.Load()
		if t.debtors.CompareAndSwap(p.next, p) {
			break
		}
	}
	select {
	case t.wake <- struct{}{}:
	default: // Run will look anyway
	}
}

// meet comes together with the other replicas when Shared is there, and sees
// that it holds what it was told. Only Run calls it.
func (l *Limits) meet(ctx context.Context) {
	t := &l.together
	if now := l.clock.now(); l.joined() && now.Sub(t.checked).Abs() < checking {
		return
	}
	err := errAway
	if l.shared.Up() {
		if err = l.agree(ctx); err == nil {
			err = l.deliver(ctx)
		}
	}
	switch {
	case err == nil:
		t.joined.Store(true)
		if t.told.Swap(false) {
			l.log.Info("limits are shared again", "replicas", l.replicas())
		}
	case ctx.Err() == nil:
		l.away(err)
	}
}

// agree sees whether Shared has lost what it held, and offers it again.
func (l *Limits) agree(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	t := &l.together
	m := l.clock.moment()
	value := rand.Int64N(mostAsked-1) + 1
	taken, err := l.shared.Take(ctx, Taking{Charges: []Charge{{
		Key: dated("mark", tokensPerMonth, m.month), Kind: Period,
		Add: value, Limit: value, // so it is taken only where there is none
		Until: until(tokensPerMonth, m.month),
	}}})
	if err == nil && len(taken.Used) != 1 {
		err = errors.New("it did not tell of its mark")
	}
	if err != nil {
		return fmt.Errorf("reading the mark of shared limits: %w", err)
	}
	found := mark{m.month, taken.Used[0]}
	if t.mark.Value == 0 || t.mark.Month == found.Month && t.mark.Value != found.Value {
		l.offer(&m)
	}
	t.mark, t.checked = found, l.clock.now()
	return nil
}

// offer owes Shared everything that this replica has counted in the running
// days and months; minutes are soon over.
func (l *Limits) offer(m *moment) {
	t := &l.together
	before := len(t.bundle.all) + len(t.sending)
	t.bundle.all, t.sending = withoutPeriods(t.bundle.all), withoutPeriods(t.sending)
	t.waiting.Add(int64(len(t.bundle.all) + len(t.sending) - before))
	l.saved.offer()
	for _, b := range l.allBooks() {
		b.each(func(p *purse) {
			for a, c := range p.calendars {
				if c == nil {
					continue
				}
				if s := c.find(m.period(amount(a))); s != nil && s.used > 0 {
					s.owed = s.used
					l.owe(p, true)
				}
			}
		})
	}
}

// withoutPeriods leaves out what is part of what is owed anew.
func withoutPeriods(all []Settlement) []Settlement {
	return slices.DeleteFunc(all, func(s Settlement) bool { return s.Kind == Period })
}

// deliverSoon delivers what is owed and what joins it within a moment. Only Run
// calls it.
func (l *Limits) deliverSoon(ctx context.Context) {
	if !l.joined() {
		return // meet will
	}
	wait := time.NewTimer(linger)
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return // part will
	case <-wait.C:
	}
	if err := l.deliver(ctx); err != nil && ctx.Err() == nil {
		l.away(err)
	}
}

// deliver tells Shared all that is owed. What it could not deliver stays.
func (l *Limits) deliver(ctx context.Context) error {
	t := &l.together
	l.collect()
	for {
		if len(t.bundle.all) == 0 {
			n := min(len(t.sending), MostSettled)
			if n == 0 {
				t.sending = nil
				return nil
			}
			t.bundle = bundle{l.unique(), t.sending[:n:n]}
			t.sending = t.sending[n:]
		}
		if err := l.send(ctx, t.bundle); err != nil {
			return err
		}
		t.waiting.Add(-int64(len(t.bundle.all)))
		t.bundle = bundle{}
	}
}

func (l *Limits) send(ctx context.Context, b bundle) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := l.shared.Settle(ctx, b.id, b.all); err != nil {
		return fmt.Errorf("settling with shared limits: %w", err)
	}
	return nil
}

// collect takes from purses what they owe.
func (l *Limits) collect() {
	t := &l.together
	oldest := l.clock.moment().slot - Slots
	for p := t.debtors.Swap(nil); p != nil; {
		p.mu.Lock()
		next := p.next
		p.owing, p.next = false, nil
		before := len(t.sending)
		t.sending = p.owed(t.sending, oldest)
		t.waiting.Add(int64(len(t.sending) - before - 1))
		p.mu.Unlock()
		p = next
	}
}

// owed appends what the purse owes, which it does no more. p.mu is held.
func (p *purse) owed(to []Settlement, oldest int64) []Settlement {
	for a := range quotas {
		c := p.calendars[a]
		if c == nil {
			continue
		}
		for _, s := range []*span{&c.now, &c.before} {
			if s.owed != 0 {
				to = append(to, Settlement{Key: dated(p.key, a, s.start), Kind: Period, Delta: s.owed, Until: until(a, s.start)})
				s.owed = 0
			}
		}
	}
	for i, w := range p.minutes {
		if w != nil {
			to = w.settlements(to, p.key+" "+(quotas+amount(i)).String(), oldest)
		}
	}
	for _, w := range p.parts {
		to = w.settlements(to, p.key+" "+poolTokens.String(), oldest)
	}
	return p.settleLeases(to)
}

// settleLeases appends the leases that are over. p.mu is held.
func (p *purse) settleLeases(to []Settlement) []Settlement {
	for _, lease := range p.ended {
		to = append(to, Settlement{Key: p.key + " " + concurrent.String(), Kind: Gauge, Delta: -1, Lease: lease})
	}
	p.ended = nil
	return to
}

// settlements appends what the window owes, but for slots that are over.
func (w *window) settlements(to []Settlement, key string, oldest int64) []Settlement {
	for _, d := range w.owed {
		if d.slot >= oldest && d.delta != 0 {
			s := Settlement{Key: key, Kind: Window, Slot: d.slot, Delta: d.delta}
			if w.part != nil {
				s.Kind, s.Pool = Part, w.part
			}
			to = append(to, s)
		}
	}
	w.owed = w.owed[:0]
	return to
}

// part delivers a last time.
func (l *Limits) part(ctx context.Context) {
	if !l.joined() {
		return
	}
	if err := l.deliver(ctx); err != nil {
		l.away(err)
	}
}
