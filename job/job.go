// Package job runs all background work: what recurs, and what must not hold up
// a request. Every goroutine of the gateway that is not a request's starts
// here and ends before Close returns.
package job

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// Group is a set of background jobs with one end.
type Group struct {
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// NewGroup returns an empty group. Its jobs' contexts end at Close.
func NewGroup(log *slog.Logger) *Group {
	ctx, cancel := context.WithCancel(context.Background())
	return &Group{log: log, ctx: ctx, cancel: cancel}
}

// Go runs f until it returns. A panic in it is logged and ends only f.
func (g *Group) Go(name string, f func(ctx context.Context)) {
	g.wg.Go(func() { g.run(name, f) })
}

// Every runs f at each interval, never twice at once, until Close. A panic in
// it is logged; the next run comes all the same.
func (g *Group) Every(name string, interval time.Duration, f func(ctx context.Context)) {
	g.wg.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-g.ctx.Done():
				return
			case <-tick.C:
				g.run(name, f)
			}
		}
	})
}

func (g *Group) run(name string, f func(ctx context.Context)) {
	defer func() {
		if p := recover(); p != nil {
			g.log.Error("job panicked", "job", name, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	f(g.ctx)
}

// Close ends the jobs' contexts and waits until all have returned, or ctx is
// over.
func (g *Group) Close(ctx context.Context) error {
	g.cancel()
	done := make(chan struct{})
	go func() { g.wg.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for background jobs: %w", ctx.Err())
	}
}
