package cache

import (
	"context"
	"slices"
	"time"
)

const (
	// report is the time between two reports of hits, and between two looks at
	// the applications' bounds.
	report = 5 * time.Second
	// writeLimit bounds one statement of Run: a database that takes longer is
	// not keeping up, and the entries of the batch are better lost.
	writeLimit = 10 * time.Second
	// lastLimit bounds all that Run does after its context has ended.
	lastLimit = 3 * time.Second
	// trimStep is how many entries are deleted by one statement, so that none
	// holds locks for long.
	trimStep = 500
	// useStep is how many hit counts are told at once.
	useStep = 1000
)

// Run stores the entries that wait, in batches and as they come, reports hits,
// and trims applications to their bounds. It runs until ctx is over, then
// stores what still waits, for 3 seconds at most. A batch that the database
// refuses is dropped and counted. Only one Run may run.
func (p *Pool) Run(ctx context.Context) {
	tick := time.NewTicker(report)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-p.queue.wake:
			p.store(ctx)
		case <-tick.C:
			p.report(ctx)
			p.trim(ctx)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLimit)
	defer cancel()
	for p.store(ctx) {
	}
	p.report(ctx)
	if n, _ := p.queue.size(); n > 0 {
		p.queue.dropped.Add(int64(n))
		p.log.Warn("cache entries were not stored in time", "entries", n)
	}
}

// store writes one batch and reports whether there may be another. A batch
// that was not written because ctx is over waits on.
func (p *Pool) store(ctx context.Context) bool {
	batch := p.queue.take()
	if len(batch) == 0 {
		return false
	}
	entries := make([]*Entry, len(batch))
	for i, w := range batch {
		entries[i] = w.entry
	}
	err := p.write(ctx, func(ctx context.Context) error { return p.index.Add(ctx, entries) })
	switch {
	case err == nil:
		p.queue.stored.Add(int64(len(batch)))
	case ctx.Err() != nil:
		p.queue.back(batch)
		return false
	default:
		p.queue.dropped.Add(int64(len(batch)))
	}
	for _, w := range batch {
		if err != nil {
			p.recent.drop(w.held)
		} else {
			p.recent.number(w.held, w.entry.ID)
			w.book.untrimmed.Store(true)
		}
	}
	return true
}

// report tells the database which entries were used. Counts that it does not
// take are lost.
func (p *Pool) report(ctx context.Context) {
	for list := range slices.Chunk(p.uses.take(), useStep) {
		if p.write(ctx, func(ctx context.Context) error { return p.index.Touch(ctx, list) }) != nil {
			return
		}
	}
}

// trim brings the applications that grew back within their bounds.
func (p *Pool) trim(ctx context.Context) {
	p.mu.Lock()
	var grown []*book
	for _, b := range p.books {
		if b.untrimmed.Swap(false) && b.bounded() {
			grown = append(grown, b)
		}
	}
	p.mu.Unlock()
	for _, b := range grown {
		for deleted := trimStep; deleted >= trimStep; {
			err := p.write(ctx, func(ctx context.Context) (err error) {
				deleted, err = p.index.Trim(ctx, b.app, int(b.most.Load()), b.bytes.Load(), trimStep)
				return err
			})
			if err != nil {
				b.untrimmed.Store(true)
				break
			}
		}
	}
}

// write runs a statement in its time, and logs when an outage begins and ends.
func (p *Pool) write(ctx context.Context, f func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	err := f(limited)
	switch {
	case err == nil && p.down:
		p.down = false
		p.log.Info("cache is stored again", "dropped", p.queue.dropped.Load())
	case err != nil && !p.down && ctx.Err() == nil:
		p.down = true
		p.log.Warn("cache cannot be stored; answers go on without", "error", err.Error())
	}
	return err
}
