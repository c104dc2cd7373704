package main

import (
	"context"
	"fmt"
)

// few is the size of the cache that a large one is compared with.
const few = 10

// exact asks the same small chat again and again, of a gateway whose cache is
// full and of one whose cache is nearly empty; and questions that lie in the
// store since before the gateway started.
func (b *bed) exact(ctx context.Context, hits *target) (*trial, error) {
	at, err := b.fresh(ctx)
	if err != nil {
		return nil, err
	}
	small, err := b.keep(ctx, keeping{name: "cache of few", cache: true, at: at})
	if err != nil {
		return nil, err
	}
	l := load{lists: spreadOver(1, small.chats(b.asked.fresh(few-1))), cache: "miss", stored: few - 1}
	if _, err := small.send(ctx, l); err != nil {
		return nil, err
	}
	again := func(t *target) func(context.Context) (sample, error) {
		return func(ctx context.Context) (sample, error) {
			list := make([][]byte, b.hits)
			for i := range list {
				list[i] = t.requests.small
			}
			return t.send(ctx, load{lists: spreadOver(16, list), cache: "hit exact"})
		}
	}
	// Each stored question is asked once: then it is in memory.
	unread := 0
	stored := func(ctx context.Context) (sample, error) {
		list := make([]string, max(16, b.entries/b.stateRounds/4))
		for i := range list {
			list[i] = question(unread%b.entries, 0)
			unread++
		}
		return hits.send(ctx, load{lists: spreadOver(16, hits.chats(list)), cache: "hit exact"})
	}
	const proxied, full, tiny, cold = "reverse proxy, no hit", "hit", "hit among few", "hit, from the store"
	return &trial{
		group: "exact", subject: b.name, title: fmt.Sprintf("exact hit, %d entries, 16 connections", b.entries),
		takes: []take{
			{proxied, func(ctx context.Context) (sample, error) {
				return closedLoop(ctx, b.proxy, b.proxy.requests.small, 16, b.hits)
			}},
			{full, again(hits)},
			{tiny, again(small)},
			{cold, stored},
		},
		figures: []figure{
			{name: "CPU of a hit, to the reverse proxy's request", most: 1, of: func(at round) float64 {
				return at[full].CPU / at[proxied].CPU
			}},
			// The tenth is for what else the two processes do.
			{name: fmt.Sprintf("CPU of a hit, to one among %d entries", few), most: 1.1, of: func(at round) float64 {
				return at[full].CPU / at[tiny].CPU
			}},
			{name: "CPU of a hit from the store, to the reverse proxy's request", of: func(at round) float64 {
				return at[cold].CPU / at[proxied].CPU
			}},
		},
	}, nil
}
