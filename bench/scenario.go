package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"
)

// sizes say how much is measured.
type sizes struct {
	rounds      int
	small       int // requests of a round
	one         int
	large       int
	streams     int           // open at the same time
	cadence     time.Duration // between two events of a stream
	held        int           // streams held open while memory is measured
	slowCadence time.Duration // of those
	settle      time.Duration // from their first text until memory is read
	repeats     int           // of the measurement of memory

	stateRounds int // of what keeps state; its requests of a round are:
	hits        int // exact, on 16 connections
	entries     int // in the cache, of 1,536 dimensions
	near        int // semantic, on one connection
	missOne     int // on one connection
	missMany    int // on 16
	rows        int // stored requests, among which
	reads       int // are read
	unhurried   int // with a pause before each, on one connection
}

// full makes a round last about half a minute on two cores. 200 streams with
// 20 ms between events make 10,000 events a second, which leaves the machine
// time to spare, so that the CPU time of an event is that of one that came
// alone.
var full = sizes{
	rounds: 7, small: 20_000, one: 3_000, large: 2_000, streams: 200, cadence: 20 * time.Millisecond,
	held: 500, slowCadence: time.Second, settle: 2 * time.Second, repeats: 3,
	stateRounds: 3, hits: 5_000, entries: 20_000, near: 400, missOne: 200, missMany: 800, rows: 1_000_000, reads: 500, unhurried: 1_000,
}

// quick is for a smoke test.
var quick = sizes{
	rounds: 1, small: 160, one: 20, large: 8, streams: 4, cadence: time.Millisecond,
	held: 5, slowCadence: 20 * time.Millisecond, settle: 50 * time.Millisecond, repeats: 1,
	stateRounds: 1, hits: 160, entries: 400, near: 20, missOne: 10, missMany: 32, rows: 2_000, reads: 20, unhurried: 20,
}

// groups are what -only takes.
var groups = slices.Concat([]string{"small", "large", "streams", "memory"}, stateGroups, accountGroups)

// scenario is one kind of load.
type scenario struct {
	name, group, title string
	per                string  // what CPU is given for
	latency            string  // what the percentiles are of
	cpuGoal            float64 // CPU as a ratio to the reverse proxy's; 0 sets none
	addedGoal          float64 // the same of the added p50
	run                func(ctx context.Context, t *target) (sample, error)
}

func (s sizes) scenarios() []scenario {
	loop := func(pick func(*requests) []byte, conns, total int) func(context.Context, *target) (sample, error) {
		return func(ctx context.Context, t *target) (sample, error) {
			return closedLoop(ctx, t, pick(&t.requests), conns, total)
		}
	}
	small := func(r *requests) []byte { return r.small }
	large := func(r *requests) []byte { return r.large }
	return []scenario{
		{
			name: "small", group: "small", title: "small chat, 16 connections", per: "request", latency: "answer",
			cpuGoal: 1.25, run: loop(small, 16, s.small),
		},
		{
			name: "one", group: "small", title: "small chat, 1 connection", per: "request", latency: "answer",
			addedGoal: 1.2, run: loop(small, 1, s.one),
		},
		{
			name: "large", group: "large", title: fmt.Sprintf("%d kB prompt, 4 connections", largePrompt/1000), per: "request", latency: "answer",
			cpuGoal: 1.3, addedGoal: 1.2, run: loop(large, 4, s.large),
		},
		{
			name: "streams", group: "streams", title: fmt.Sprintf("%d streams of %d events, one each %s", s.streams, eventsPerStream, s.cadence),
			per: "event", latency: "first text", cpuGoal: 1.15,
			run: func(ctx context.Context, t *target) (sample, error) { return streams(ctx, t, s.streams, s.cadence) },
		},
	}
}

// The targets of a round, by their place in a slice.
const (
	theBackend = iota
	theProxy
	theGateway
	targets
)

var names = [targets]string{"backend alone", "reverse proxy", "gateway"}

// bench is one run.
type bench struct {
	options
	dir           string // temporary
	gateway, self string // executables
	backend       *target
	progress      io.Writer
}

// measure runs every round and returns the report.
func (b *bench) measure(ctx context.Context) (*report, error) {
	r := newReport(b.options)
	if b.wants("small") || b.wants("large") || b.wants("streams") {
		if err := b.rounds(ctx, r); err != nil {
			return nil, err
		}
	}
	if b.wants("memory") {
		if err := b.memory(ctx, r); err != nil {
			return nil, err
		}
	}
	if err := b.beside(ctx, r, io.Discard); err != nil {
		return nil, err
	}
	r.conclude()
	return r, nil
}

// rounds runs the scenarios. In a round every target runs each once, in an
// order that rotates, so that what the machine does meanwhile meets them all.
func (b *bench) rounds(ctx context.Context, r *report) error {
	proxy, err := b.startProxy(ctx)
	if err != nil {
		return err
	}
	defer proxy.server.stop()
	gateway, err := b.startGateway(ctx, b.gateway, "serve")
	if err != nil {
		return err
	}
	defer gateway.server.stop()
	all := [targets]*target{theBackend: b.backend, theProxy: proxy, theGateway: gateway}
	for round := range b.sizes.rounds {
		fmt.Fprintf(b.progress, "round %d of %d\n", round+1, b.sizes.rounds)
		for _, s := range b.scenarios() {
			if !b.wants(s.group) {
				continue
			}
			for i := range all {
				which := (i + round) % targets
				got, err := s.run(ctx, all[which])
				if err != nil {
					return fmt.Errorf("%s, %s: %w\n%s", all[which].name, s.title, err, all[which].server.said())
				}
				r.add(s, which, got)
			}
		}
	}
	if b.wants("streams") {
		perEvent, err := b.allocations(ctx, gateway)
		if err != nil {
			return fmt.Errorf("counting allocations: %w", err)
		}
		r.Allocations = &perEvent
	}
	return nil
}
