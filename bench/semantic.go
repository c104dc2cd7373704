package main

import (
	"context"
	"errors"
	"fmt"

	"aigateway/cache"
)

// near hands out questions that are stored, in wordings that nobody has asked
// yet.
type near struct{ asked, entries int }

func (n *near) fresh(count int) []string {
	list := make([]string, count)
	for i := range list {
		list[i] = question(n.asked%n.entries, 1+n.asked/n.entries%(len(questionFrames)-1))
		n.asked++
	}
	return list
}

// semantic asks what is stored in other words, and measures beside it what is
// not the gateway's: the embedding, and the nearest entry asked of the store.
func (b *bed) semantic(ctx context.Context, hits *target, s *side, aside *place) (*trial, error) {
	words := &near{entries: b.entries}
	const answered, embedded, stored, plainly = "gateway, hit", "embedding alone", "nearest, store alone", "nearest, bare pgx"
	queries := func() []cache.Query {
		list := make([]cache.Query, b.near)
		for i, q := range words.fresh(b.near) {
			list[i] = s.query(q)
		}
		return list
	}
	t := &trial{
		group: "semantic", subject: b.name, title: fmt.Sprintf("semantic hit, %d entries of 1,536, 1 connection", b.entries),
		takes: []take{
			{answered, func(ctx context.Context) (sample, error) {
				list := hits.chats(words.fresh(b.near))
				return hits.send(ctx, load{lists: spreadOver(1, list), cache: "hit semantic"})
			}},
			{embedded, func(ctx context.Context) (sample, error) { return b.embed(ctx, words.fresh(b.near)) }},
			{stored, func(ctx context.Context) (sample, error) {
				list := queries()
				return timed(len(list), func(i int) error {
					found, err := s.index.Nearest(ctx, list[i])
					if err == nil && len(found) == 0 {
						err = errors.New("nothing is near a stored question")
					}
					return err
				})
			}},
		},
	}
	nearest, most := stored, 0.0
	if aside.server != nil {
		bare, err := newBare(ctx, aside.url)
		if err != nil {
			return nil, err
		}
		b.stops = append(b.stops, func() { _ = bare.conn.Close(context.WithoutCancel(ctx)) })
		nearest, most = plainly, 500
		t.takes = append(t.takes, take{plainly, func(ctx context.Context) (sample, error) {
			list := queries()
			return timed(len(list), func(i int) error {
				score, err := bare.nearest(ctx, &list[i])
				if err == nil && score <= nearEnough {
					err = fmt.Errorf("the nearest to a stored question has a score of %.3f", score)
				}
				return err
			})
		}})
	} else {
		t.figures = append(t.figures, figure{name: "p50 of the nearest entry, store alone", unit: "µs", most: 600, of: func(at round) float64 {
			return at[stored].P50
		}})
	}
	t.figures = append(t.figures, figure{
		name: "added p50 of a hit, without embedding and " + nearest, unit: "µs", most: most,
		of: func(at round) float64 { return at[answered].P50 - at[embedded].P50 - at[nearest].P50 },
	})
	return t, nil
}

// embed asks the simulated model for embeddings, without a gateway.
func (b *bed) embed(ctx context.Context, questions []string) (sample, error) {
	list := make([][]byte, len(questions))
	for i, q := range questions {
		list[i] = post(b.backend.server.addr, embeddingPath, fmt.Sprintf(`{"input":%q}`, q))
	}
	return b.backend.send(ctx, load{lists: spreadOver(1, list)})
}
