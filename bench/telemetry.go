package main

import (
	"context"
	"fmt"
)

const (
	silent    = "off"
	telling   = "OTLP"
	spansEach = 2 // of a request that one endpoint answers: the server's and the client's
)

// telemetry measures a gateway that exports all traces and metrics to a sink
// beside one that exports nothing. One that is dropped, and so left undone,
// ends the run.
func (b *bed) telemetry(ctx context.Context, r *report) error {
	s, err := b.startSink(ctx)
	if err != nil {
		return err
	}
	b.stops = append(b.stops, s.server.stop)
	whole := &trial{group: "telemetry", subject: b.name, title: "small chat, 16 connections"}
	streamed := &trial{
		group: "telemetry", subject: b.name, per: "event",
		title: fmt.Sprintf("%d streams of %d events, one each %s", b.streams, eventsPerStream, b.cadence),
	}
	of := pair{silent, telling}
	for _, k := range []keeping{
		{name: silent, accounts: true, at: &place{}},
		{name: telling, accounts: true, at: &place{}, sink: s},
	} {
		name := k.name
		t, err := b.keep(ctx, k)
		if err != nil {
			return err
		}
		whole.takes = append(whole.takes, take{name, t.told(b.small, t.ask(16, b.small, 0))})
		streamed.takes = append(streamed.takes, take{name, t.told(b.streams, func(ctx context.Context) (sample, error) {
			return streams(ctx, t, b.streams, b.cadence)
		})})
	}
	whole.figures = []figure{of.cpu("a request", 1.1), of.p50(0)}
	streamed.figures = []figure{of.cpu("an event", 1.1), of.p50(0)}
	return b.try(ctx, &r.Accounting, b.sizes.rounds, []*trial{whole, streamed})
}

// told runs a take and sees that the sink has been told of its requests.
func (t *target) told(requests int, run func(context.Context) (sample, error)) func(context.Context) (sample, error) {
	if t.sink == nil {
		return run
	}
	return func(ctx context.Context) (sample, error) {
		before, err := t.sink.spans(ctx)
		if err != nil {
			return sample{}, err
		}
		got, err := run(ctx)
		if err != nil {
			return got, err
		}
		after, err := t.sink.spans(ctx)
		if told := after - before; err == nil && told < requests*spansEach {
			err = fmt.Errorf("the sink has got %d spans of %d requests", told, requests)
		}
		return got, err
	}
}
