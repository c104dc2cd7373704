package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// trial measures what one thing costs in one respect. Its takes run in every
// round, in an order that rotates; its figures are made of them round by round.
type trial struct {
	group   string
	subject string // the store, or what is measured where it needs none
	title   string
	per     string // what is counted, and CPU given for; a request when empty
	takes   []take
	figures []figure
}

// take is one thing that is measured.
type take struct {
	name string
	run  func(ctx context.Context) (sample, error)
}

// figure is what a trial says: a ratio, or microseconds where it has a unit.
type figure struct {
	name, unit  string
	most, least float64 // the goal; 0 sets none
	of          func(at round) float64
}

// round are a round's samples by take.
type round map[string]sample

// load is what one take sends.
type load struct {
	lists [][][]byte // requests, by connection
	// cache is what each answer must say of itself: x-cache, and of a hit
	// x-cache-layer behind it; empty for an answer that says nothing.
	cache  string
	stored int           // entries that the answers leave in the cache
	pause  time.Duration // before each request
}

// spreadOver gives requests to connections in turn.
func spreadOver(conns int, requests [][]byte) [][][]byte {
	lists := make([][][]byte, conns)
	for i, r := range requests {
		lists[i%conns] = append(lists[i%conns], r)
	}
	return lists
}

// send measures a load: each connection sends its next request when the last
// is answered, after the load's pause. Connections are open before, to the target and behind it.
func (t *target) send(ctx context.Context, l load) (sample, error) {
	p, err := open(ctx, t.server.addr, len(l.lists))
	if err != nil {
		return sample{}, err
	}
	defer p.close()
	if err := warm(p, t.requests.uncached, 3); err != nil {
		return sample{}, err
	}
	units := 0
	took := make([][]time.Duration, len(l.lists))
	for i, list := range l.lists {
		units += len(list)
		took[i] = make([]time.Duration, 0, len(list))
	}
	return t.meter(ctx, units, l.stored, func() ([]time.Duration, error) {
		err := p.each(func(i int, c *conn) error {
			for _, request := range l.lists[i] {
				if l.pause > 0 {
					if err := wait(ctx, l.pause); err != nil {
						return err
					}
				}
				start := time.Now()
				if err := c.exchange(request); err != nil {
					return err
				}
				took[i] = append(took[i], time.Since(start))
				if string(c.cache) != l.cache {
					return fmt.Errorf("the cache said %q of a request, not %q", c.cache, l.cache)
				}
			}
			return nil
		})
		return slices.Concat(took...), err
	})
}

// try runs trials: in a round each of their takes once.
func (b *bench) try(ctx context.Context, to *part, rounds int, trials []*trial) error {
	results := make([]*trialResult, len(trials))
	for i, t := range trials {
		results[i] = newTrialResult(t)
	}
	for n := range rounds {
		for i, t := range trials {
			fmt.Fprintf(b.progress, "round %d of %d: %s, %s\n", n+1, rounds, t.title, t.subject)
			samples := round{}
			for j := range t.takes {
				take := t.takes[(j+n)%len(t.takes)]
				got, err := take.run(ctx)
				if err != nil {
					return fmt.Errorf("%s, %s, %s: %w", t.title, t.subject, take.name, err)
				}
				samples[take.name] = got
			}
			results[i].add(samples)
		}
	}
	to.Trials = append(to.Trials, results...)
	return nil
}
