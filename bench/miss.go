package main

import (
	"context"
	"errors"
	"fmt"

	"aigateway/cache"
)

// Takes of the trials of questions that nobody has asked before.
const (
	routed    = "plain routing"
	cached    = "cache"
	began     = "memory, first turn"
	stored    = "prompts"
	everybit  = "everything"
	resent    = "plain routing, 5 interactions"
	continued = "memory, next turn"
	embedding = "embedding alone"
	lookup    = "look-up alone"
)

// miss asks what nobody has asked before, of gateways that keep nothing, one
// thing, or everything. They share one place when the store can be shared, as
// replicas do.
func (b *bed) miss(ctx context.Context, at *place, s *side) ([]*trial, error) {
	gateways := map[string]*target{}
	for _, k := range []keeping{
		{name: routed},
		{name: cached, cache: true},
		{name: began, memory: true},
		{name: stored, prompts: true},
		{name: everybit, cache: true, memory: true, prompts: true},
	} {
		name := k.name
		if name != routed {
			k.at = at
			if at.server == nil { // one process has it
				var err error
				if k.at, err = b.copyOf(ctx, at); err != nil {
					return nil, err
				}
			}
		}
		t, err := b.keep(ctx, k)
		if err != nil {
			return nil, err
		}
		gateways[name] = t
	}
	one := &trial{group: "miss", subject: b.name, title: fmt.Sprintf("miss, %d entries, 1 connection", b.entries)}
	many := &trial{group: "miss", subject: b.name, title: fmt.Sprintf("miss, %d entries, 16 connections", b.entries)}
	for _, load := range []struct {
		*trial
		conns, total int
	}{{one, 1, b.missOne}, {many, 16, b.missMany}} {
		for _, name := range []string{routed, cached, began, stored, everybit} {
			load.takes = append(load.takes, take{name, b.firstTurns(gateways[name], name == cached || name == everybit, load.conns, load.total)})
		}
		load.takes = append(load.takes,
			take{resent, b.wholeConversations(gateways[routed], load.conns, load.total)},
			take{continued, b.nextTurns(gateways[began], load.conns, load.total)})
	}
	one.takes = append(one.takes,
		take{embedding, func(ctx context.Context) (sample, error) { return b.embed(ctx, b.asked.fresh(b.missOne)) }},
		take{lookup, func(ctx context.Context) (sample, error) { return b.lookUp(ctx, s) }})

	p50 := func(name string) func(at round) float64 { return func(at round) float64 { return at[name].P50 } }
	less := func(a, b func(at round) float64) func(at round) float64 {
		return func(at round) float64 { return a(at) - b(at) }
	}
	micros := func(name string, most float64, of func(at round) float64) figure {
		return figure{name: name, unit: "µs", most: most, of: of}
	}
	one.figures = []figure{
		micros("added p50, everything, without embedding and look-up", 300,
			less(less(less(p50(everybit), p50(routed)), p50(embedding)), p50(lookup))),
		micros("added p50, everything", 0, less(p50(everybit), p50(routed))),
		micros("added p50, cache", 0, less(p50(cached), p50(routed))),
		micros("added p50, memory, first turn", 0, less(p50(began), p50(routed))),
		micros("added p50, memory, next turn, to sending all again", 0, less(p50(continued), p50(resent))),
		micros("added p50, prompts", 0, less(p50(stored), p50(routed))),
	}
	ratio := func(name, to string, of func(sample) float64) func(at round) float64 {
		return func(at round) float64 { return of(at[name]) / of(at[to]) }
	}
	many.figures = []figure{
		{name: "throughput, everything, to plain routing", least: 0.5, of: ratio(everybit, routed, sample.rate)},
		{name: "CPU, everything, to plain routing", of: ratio(everybit, routed, sample.cpu)},
		{name: "CPU, cache, to plain routing", of: ratio(cached, routed, sample.cpu)},
		{name: "CPU, memory, first turn, to plain routing", of: ratio(began, routed, sample.cpu)},
		{name: "CPU, memory, next turn, to sending all again", of: ratio(continued, resent, sample.cpu)},
		{name: "CPU, prompts, to plain routing", of: ratio(stored, routed, sample.cpu)},
	}
	return []*trial{one, many}, nil
}

// firstTurns asks questions that nobody has asked before.
func (b *bed) firstTurns(t *target, caches bool, conns, total int) func(context.Context) (sample, error) {
	return func(ctx context.Context) (sample, error) {
		l := load{lists: spreadOver(conns, t.chats(b.asked.fresh(total)))}
		if caches {
			l.cache, l.stored = "miss", total
		}
		return t.send(ctx, l)
	}
}

// reply is about as long as those of the simulated model.
const reply = "That depends on a few things. In most cases it is arranged once a year and renewed on request; the office that is " +
	"in charge keeps a copy, and sends it out by post or shows it on its pages. Ask there when in doubt."

// wholeConversations sends what a conversation's next turn is made of, as a
// client does that keeps it itself.
func (b *bed) wholeConversations(t *target, conns, total int) func(context.Context) (sample, error) {
	return func(ctx context.Context) (sample, error) {
		list := make([][]byte, total)
		for i := range list {
			var said []string
			for _, q := range b.asked.fresh(turnsSent + 1) {
				said = append(said, q, reply)
			}
			list[i] = post(t.server.addr, gatewayPath, chat(said[:2*turnsSent+1]...))
		}
		return t.send(ctx, load{lists: spreadOver(conns, list)})
	}
}

// nextTurns continues conversations that are as long as what is sent of them:
// of a few on each connection, one after the other.
func (b *bed) nextTurns(t *target, conns, total int) func(context.Context) (sample, error) {
	const each = 4
	return func(ctx context.Context) (sample, error) {
		p, err := open(ctx, t.server.addr, conns)
		if err != nil {
			return sample{}, err
		}
		defer p.close()
		lists := make([][][]byte, conns)
		turn := func(thread string) []byte {
			return post(t.server.addr, gatewayPath, next(b.asked.fresh(1)[0]), "x-thread-id: "+thread)
		}
		for i := range lists {
			c := p[i]
			for range each {
				if err := c.exchange(t.chats(b.asked.fresh(1))[0]); err != nil {
					return sample{}, err
				}
				thread := string(c.thread)
				if thread == "" {
					return sample{}, errors.New("a conversation began without x-thread-id")
				}
				for range turnsSent - 1 {
					if err := c.exchange(turn(thread)); err != nil {
						return sample{}, err
					}
				}
				for range max(1, total/conns/each) {
					lists[i] = append(lists[i], turn(thread))
				}
			}
		}
		p.close()
		return t.send(ctx, load{lists: lists})
	}
}

// lookUp asks the store what the cache asks it of a question that is new: for
// its exact key, then for what is near.
func (b *bed) lookUp(ctx context.Context, s *side) (sample, error) {
	queries := make([]cache.Query, b.missOne)
	for i, q := range b.asked.fresh(b.missOne) {
		queries[i] = s.query(q)
	}
	return timed(len(queries), func(i int) error {
		if _, err := s.index.Get(ctx, "bench", cache.Hash{byte(i), byte(i >> 8)}); !errors.Is(err, cache.ErrNotFound) {
			return fmt.Errorf("looking for a key that is not there: %w", err)
		}
		_, err := s.index.Nearest(ctx, queries[i])
		return err
	})
}
