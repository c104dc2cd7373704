package memory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrPending says that a turn is not durable yet. It waits in memory, in order
// behind the earlier turns of its thread, is tried again every second and
// before the thread is read, and is lost when the process is killed before the
// store is back. Until it is saved, this process answers requests on the
// thread with an *UnavailableError; another process does not know of it.
var ErrPending = errors.New("the turn waits for the store")

const (
	// turnOverhead is added to the length of a turn's messages: its ids, and
	// what a slice and a map entry take.
	turnOverhead = 1024
	// maxRefusals is how often a store that is known to be up may refuse a
	// turn, about once a second, before it is the turn's fault. Attempts that
	// only took too long do not count.
	maxRefusals = 60
	// maxFailures ends a round of attempts: the store is not back.
	maxFailures = 8
	// lastRound bounds the attempts at the end of the process.
	lastRound = 3 * time.Second
)

// thread names a conversation.
type thread struct{ app, id string }

// pending is the turns that the store has not taken, by thread.
type pending struct {
	limit int

	mu     sync.Mutex // guards what follows, and the turns of the queues
	queues map[thread]*queue
	bytes  int
}

// queue is the turns of one thread, oldest first.
type queue struct {
	busy  chan struct{} // holds a token while somebody saves the turns
	turns []*waiting
}

type waiting struct {
	turn     *Turn
	size     int
	refusals int
	lost     error // why it will never be saved
}

// Run saves the turns that wait, each second, until ctx ends; then it tries
// for 3 s to save what is left.
func (t *Threads) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if !t.down() {
				t.saveAll(ctx)
			}
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastRound)
			defer cancel()
			t.saveAll(last)
			if turns, threads := t.pending.count(); turns > 0 {
				t.log.Error("conversation turns are lost: the store did not take them", "turns", turns, "threads", threads)
			}
			return
		}
	}
}

// add saves a turn, behind those of its thread that wait.
func (t *Threads) add(ctx context.Context, turn *Turn) error {
	ctx, cancel := context.WithTimeout(ctx, t.appendTimeout)
	defer cancel()
	name := thread{turn.App, turn.Thread}
	var err error
	switch {
	case t.down():
		err = errDown
	case !t.pending.waits(name):
		if err = t.store.Append(ctx, turn); err == nil || errors.Is(err, ErrUnknown) {
			return err
		}
	}
	w, full := t.pending.push(name, turn)
	if full != nil {
		return errors.Join(full, err)
	}
	if err == nil { // others wait before it
		if err = t.save(ctx, name); err == nil {
			return w.lost
		}
	}
	t.log.Warn("conversation turn waits for the store", "app", turn.App, "request_id", turn.RequestID, "error", err)
	return fmt.Errorf("%w: %w", ErrPending, err)
}

// saveAll tries to save all turns that wait.
func (t *Threads) saveAll(ctx context.Context) {
	failures := 0
	for _, name := range t.pending.names() {
		if failures == maxFailures || ctx.Err() != nil {
			return
		}
		bounded, cancel := context.WithTimeout(ctx, t.appendTimeout)
		if t.save(bounded, name) != nil {
			failures++
		}
		cancel()
	}
}

// save saves the turns of a thread that wait, in order. After an error some do
// still.
func (t *Threads) save(ctx context.Context, name thread) error {
	q := t.pending.queue(name)
	if q == nil {
		return nil
	}
	select {
	case q.busy <- struct{}{}:
		defer func() { <-q.busy }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		w := t.pending.oldest(q)
		if w == nil {
			return nil
		}
		err := t.store.Append(ctx, w.turn)
		switch {
		case err == nil:
		case errors.Is(err, ErrUnknown): // deleted since
			w.lost = err
		default:
			if ctx.Err() == nil && t.up != nil && t.up() {
				w.refusals++
			}
			if w.refusals < maxRefusals {
				return err
			}
			w.lost = err
			t.log.Error("conversation turn is lost: the store refuses it", "app", w.turn.App, "request_id", w.turn.RequestID, "error", err)
		}
		t.pending.pop(name, q)
	}
}

func (p *pending) waits(name thread) bool { return p.queue(name) != nil }

func (p *pending) queue(name thread) *queue {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queues[name]
}

// names returns the threads with turns that wait, in no order, so that none is
// always behind one that fails.
func (p *pending) names() []thread {
	p.mu.Lock()
	defer p.mu.Unlock()
	names := make([]thread, 0, len(p.queues))
	for name := range p.queues {
		names = append(names, name)
	}
	return names
}

func (p *pending) count() (turns, threads int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, q := range p.queues {
		turns += len(q.turns)
	}
	return turns, len(p.queues)
}

// push lets a turn wait, unless too much does already.
func (p *pending) push(name thread, turn *Turn) (*waiting, error) {
	w := &waiting{turn: turn, size: turnOverhead}
	for _, m := range turn.Messages {
		w.size += len(m)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytes+w.size > p.limit {
		return nil, fmt.Errorf("the turn is lost: %d bytes of turns wait for the store, and %d may", p.bytes, p.limit)
	}
	q := p.queues[name]
	if q == nil {
		q = &queue{busy: make(chan struct{}, 1)}
		p.queues[name] = q
	}
	q.turns = append(q.turns, w)
	p.bytes += w.size
	return w, nil
}

// oldest returns the turn of a queue that is next, or nil.
func (p *pending) oldest(q *queue) *waiting {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(q.turns) == 0 {
		return nil
	}
	return q.turns[0]
}

// pop removes a queue's oldest turn, and the queue when it was the last. The
// caller holds the queue's token.
func (p *pending) pop(name thread, q *queue) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes -= q.turns[0].size
	q.turns[0] = nil
	if q.turns = q.turns[1:]; len(q.turns) == 0 {
		delete(p.queues, name)
	}
}

// erase forgets the conversations of a user that wait with their first turn,
// and returns how many they were.
func (p *pending) erase(ctx context.Context, app, user string) (int, error) {
	n := 0
	for _, name := range p.names() {
		q := p.queue(name)
		if q == nil || app != "" && name.app != app {
			continue
		}
		select {
		case q.busy <- struct{}{}:
		case <-ctx.Done():
			return n, ctx.Err()
		}
		if w := p.oldest(q); w != nil && w.turn.Start && w.turn.User == user {
			for ; w != nil; w = p.oldest(q) {
				w.lost = ErrUnknown
				p.pop(name, q)
			}
			n++
		}
		<-q.busy
	}
	return n, nil
}
