package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// sample is what one target did in one scenario of one round.
type sample struct {
	Rate float64 `json:"perSecond"` // requests, or events of streams
	P50  float64 `json:"p50Micros"` // of a request, or until a stream's first text
	P99  float64 `json:"p99Micros"`
	CPU  float64 `json:"cpuMicros"` // of the target's process, per request or event
	// StoreCPU is that of the database's own processes likewise; 0 when it has
	// none.
	StoreCPU float64 `json:"storeCPUMicros,omitempty"`
}

// pool is a set of open connections to one target.
type pool []*conn

func open(ctx context.Context, addr string, conns int) (pool, error) {
	p := make(pool, 0, conns)
	for range conns {
		c, err := dial(ctx, addr)
		if err != nil {
			p.close()
			return nil, err
		}
		p = append(p, c)
	}
	return p, nil
}

func (p pool) close() {
	for _, c := range p {
		c.close()
	}
}

// each runs work once for every connection, all at the same time, and waits
// for all. A first error closes the connections, so that the others end too.
func (p pool) each(work func(i int, c *conn) error) error {
	var running sync.WaitGroup
	var failed sync.Once
	var first error
	for i, c := range p {
		running.Go(func() {
			if err := work(i, c); err != nil {
				failed.Do(func() { first = err; p.close() })
			}
		})
	}
	running.Wait()
	return first
}

// closedLoop measures total requests: each connection sends its next when the
// last is answered.
func closedLoop(ctx context.Context, t *target, request []byte, conns, total int) (sample, error) {
	p, err := open(ctx, t.server.addr, conns)
	if err != nil {
		return sample{}, err
	}
	defer p.close()
	if err := warm(p, request, 3); err != nil {
		return sample{}, err
	}
	took := make([][]time.Duration, conns)
	for i := range took {
		took[i] = make([]time.Duration, 0, total/conns)
	}
	return t.meter(ctx, total/conns*conns, 0, func() ([]time.Duration, error) {
		err := p.each(func(i int, c *conn) error {
			for range cap(took[i]) {
				start := time.Now()
				if err := c.exchange(request); err != nil {
					return err
				}
				took[i] = append(took[i], time.Since(start))
			}
			return nil
		})
		return slices.Concat(took...), err
	})
}

// streams measures one stream on each of conns connections, all at the same
// time, their events spread over the cadence as those of independent clients.
func streams(ctx context.Context, t *target, conns int, cadence time.Duration) (sample, error) {
	p, err := open(ctx, t.server.addr, conns)
	if err != nil {
		return sample{}, err
	}
	defer p.close()
	if err := warm(p, t.requests.small, 1); err != nil {
		return sample{}, err
	}
	first := make([]time.Duration, conns)
	return t.meter(ctx, conns*eventsPerStream, 0, func() ([]time.Duration, error) {
		return first, p.each(func(i int, c *conn) error {
			if err := wait(ctx, cadence*time.Duration(i)/time.Duration(conns)); err != nil {
				return err
			}
			start := time.Now()
			events, err := c.stream(t.requests.stream, func(text bool) {
				if text && first[i] == 0 {
					first[i] = time.Since(start)
				}
			})
			if err == nil && events != eventsPerStream {
				err = fmt.Errorf("%d events in a stream of %d", events, eventsPerStream)
			}
			return err
		})
	})
}

// warm sends a few requests on every connection, so that the target has its
// own connections open too.
func warm(p pool, request []byte, times int) error {
	return p.each(func(_ int, c *conn) error {
		for range times {
			if err := c.exchange(request); err != nil {
				return err
			}
		}
		return nil
	})
}

// meter measures a run of so many requests or events. The CPU time is that of
// what is done after the answers too: of the entries that they leave in the
// cache, of turns and prompts that wait for the store.
func (t *target) meter(ctx context.Context, units, stored int, run func() ([]time.Duration, error)) (sample, error) {
	before, err := t.reading(ctx)
	if err != nil {
		return sample{}, err
	}
	start := time.Now()
	latencies, err := run()
	took := time.Since(start)
	if err != nil {
		return sample{}, err
	}
	if err := t.settle(ctx, before.stored+stored); err != nil {
		return sample{}, err
	}
	after, err := t.reading(ctx)
	if err != nil {
		return sample{}, err
	}
	got := quantiles(latencies)
	got.Rate = float64(units) / took.Seconds()
	got.CPU = micros(after.cpu-before.cpu) / float64(units)
	got.StoreCPU = micros(after.storeCPU-before.storeCPU) / float64(units)
	return got, nil
}

// quantiles sorts latencies and tells what most took.
func quantiles(latencies []time.Duration) sample {
	slices.Sort(latencies)
	at := func(share float64) float64 { return micros(latencies[int(share*float64(len(latencies)-1))]) }
	return sample{P50: at(0.50), P99: at(0.99)}
}

// timed measures something that this program does itself, so many times.
func timed(times int, do func(i int) error) (sample, error) {
	took := make([]time.Duration, times)
	begun := time.Now()
	for i := range took {
		start := time.Now()
		if err := do(i); err != nil {
			return sample{}, err
		}
		took[i] = time.Since(start)
	}
	got := quantiles(took)
	got.Rate = float64(times) / time.Since(begun).Seconds()
	return got, nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// wait waits for d or the end of ctx.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
