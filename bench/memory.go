package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
)

// memory measures what an open stream holds, in turn in fresh processes of the
// proxy and the gateway.
func (b *bench) memory(ctx context.Context, r *report) error {
	start := [targets]func() (*target, error){
		theProxy:   func() (*target, error) { return b.startProxy(ctx) },
		theGateway: func() (*target, error) { return b.startGateway(ctx, b.gateway, "serve") },
	}
	for i := range b.repeats {
		fmt.Fprintf(b.progress, "memory %d of %d\n", i+1, b.repeats)
		for j := range 2 {
			which := theProxy + (i+j)%2
			t, err := start[which]()
			if err != nil {
				return err
			}
			kB, err := perStream(ctx, t, b.sizes)
			if err != nil {
				err = fmt.Errorf("%s, memory: %w\n%s", t.name, err, t.server.said())
			}
			t.server.stop()
			if err != nil {
				return err
			}
			r.Memory.add(which, kB)
		}
	}
	return nil
}

// perStream is the growth of the target's resident memory, in kB for each open
// stream.
func perStream(ctx context.Context, t *target, s sizes) (float64, error) {
	few, err := open(ctx, t.server.addr, 4)
	if err != nil {
		return 0, err
	}
	err = warm(few, t.requests.small, 25)
	few.close()
	if err != nil {
		return 0, err
	}
	before, err := t.server.resident()
	if err != nil {
		return 0, err
	}
	after := 0
	err = holding(ctx, t, t.requests.slow, s.held, func(*atomic.Int64) error {
		if err := wait(ctx, s.settle); err != nil {
			return err
		}
		after, err = t.server.resident()
		return err
	})
	return float64(after-before) / 1024 / float64(s.held), err
}

// holding opens streams, calls work when text has come on every one of them,
// and then breaks them off. Work may read the number of events that came.
func holding(ctx context.Context, t *target, request []byte, conns int, work func(events *atomic.Int64) error) error {
	p, err := open(ctx, t.server.addr, conns)
	if err != nil {
		return err
	}
	var events, speaking atomic.Int64
	all := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- p.each(func(_ int, c *conn) error {
			spoke := false
			_, err := c.stream(request, func(text bool) {
				events.Add(1)
				if text && !spoke {
					spoke = true
					if speaking.Add(1) == int64(conns) {
						close(all)
					}
				}
			})
			return err
		})
	}()
	select {
	case <-all:
	case err := <-ended:
		return errors.Join(errors.New("streams ended early"), err)
	}
	err = work(&events)
	p.close()
	<-ended //nolint:errcheck // it is that of having been broken off
	return err
}

// allocations is the number of allocations in the gateway for each event that
// it relays, in the middle of long streams. What it does beside, such as
// looking at its configuration file, is in it; what asking for the number
// costs is not.
func (b *bench) allocations(ctx context.Context, gateway *target) (perEvent float64, err error) {
	first, err := mallocs(ctx, gateway)
	if err != nil {
		return 0, err
	}
	second, err := mallocs(ctx, gateway)
	if err != nil {
		return 0, err
	}
	asking := second - first
	err = holding(ctx, gateway, gateway.requests.stream, b.streams, func(events *atomic.Int64) error {
		first, err := mallocs(ctx, gateway)
		if err != nil {
			return err
		}
		seen := events.Load()
		for enough := int64(b.streams*eventsPerStream) * 3 / 4; events.Load() < enough; {
			if err := wait(ctx, time.Millisecond); err != nil {
				return err
			}
		}
		relayed := events.Load() - seen
		last, err := mallocs(ctx, gateway)
		perEvent = max(0, last-first-asking) / float64(max(1, relayed))
		return err
	})
	return perEvent, err
}

// mallocs is the number of allocations so far, as the gateway's own metrics
// tell it.
func mallocs(ctx context.Context, gateway *target) (n float64, err error) {
	n = -1
	err = gateway.eachMetric(ctx, func(name, value string) (err error) {
		if name == "go_memstats_mallocs_total" {
			n, err = strconv.ParseFloat(value, 64)
		}
		return err
	})
	if err == nil && n < 0 {
		err = errors.New("the gateway's metrics have no go_memstats_mallocs_total")
	}
	return n, err
}
