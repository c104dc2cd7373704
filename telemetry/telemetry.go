// Package telemetry hands what is known of finished requests to the systems
// that show traces and metrics. On the path of a request it makes the ids of
// its trace and, when the request is over, puts its exchange into a queue;
// everything else happens behind the queue, in a Sink.
package telemetry

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"aigateway/persist"
)

// Sink takes finished exchanges to where they are looked at. One goroutine
// calls it. Nobody changes the exchanges any more.
type Sink interface {
	// Send takes the exchanges that ended since the last call. It is called about
	// each second, with none when there were none, and may block within ctx:
	// exchanges that end meanwhile wait, and some day are dropped.
	Send(ctx context.Context, batch []*persist.Exchange)
	// Close sends what is left within ctx. Send is not called again.
	Close(ctx context.Context) error
}

// Options say how telemetry works. Sinks are needed, the zero value of the
// others works.
type Options struct {
	Now     func() time.Time
	Log     *slog.Logger // nil discards
	Sinks   []Sink
	Sampler Sampler
	// Content: prompts and answers may be exported.
	Content bool
}

// Telemetry hands finished exchanges to its sinks. A nil Telemetry is off: its
// methods do nothing.
type Telemetry struct {
	sampler Sampler
	content bool
	pipes   []*pipe
	dropped atomic.Int64
}

// New returns a Telemetry, nil when there is no sink. Its Loops have to run.
func New(o Options) *Telemetry {
	if len(o.Sinks) == 0 {
		return nil
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	t := &Telemetry{sampler: o.Sampler, content: o.Content}
	for _, sink := range o.Sinks {
		t.pipes = append(t.pipes, newPipe(sink, o, &t.dropped))
	}
	return t
}

// Begin starts the trace of a request: a part of its caller's, when the header
// has a valid traceparent, else a new one.
func (t *Telemetry) Begin(h http.Header) *persist.Trace {
	if t == nil {
		return nil
	}
	trace := &persist.Trace{Span: NewSpan()}
	if values := h["Traceparent"]; len(values) == 1 && parseParent(values[0], trace) {
		trace.State = stateOf(h["Tracestate"])
		trace.Sampled = t.sampler.part(trace.ID, trace.Sampled)
		if t.sampler.alone {
			trace.Share = t.sampler.Share()
		}
		return trace
	}
	for trace.ID == [16]byte{} { // which no trace may have
		put(trace.ID[:8], rand.Uint64())
		put(trace.ID[8:], rand.Uint64())
	}
	trace.Sampled, trace.Share = t.sampler.root(trace.ID), t.sampler.Share()
	return trace
}

// Content reports whether prompts and answers may be exported.
func (t *Telemetry) Content() bool { return t != nil && t.content }

// End hands over a finished exchange, which is telemetry's from then on: the
// caller gives a copy. It never blocks; what does not fit into the queue is
// dropped and counted.
func (t *Telemetry) End(x *persist.Exchange) {
	if t == nil || x == nil {
		return
	}
	n := weight(x)
	for _, p := range t.pipes {
		p.put(x, n)
	}
}

// Loops returns the loops that bring exchanges to the sinks, one each, so that
// one which hangs does not hold up another. Each runs until its context ends,
// then within 5 s hands over what waits and closes its sink.
func (t *Telemetry) Loops() []func(context.Context) {
	if t == nil {
		return nil
	}
	var loops []func(context.Context)
	for _, p := range t.pipes {
		loops = append(loops, p.run)
	}
	return loops
}

// Dropped is how many exchanges did not reach their destination: those that
// did not fit into the queue of a sink, and those that sinks say they lost.
func (t *Telemetry) Dropped() int64 {
	if t == nil {
		return 0
	}
	n := t.dropped.Load()
	for _, p := range t.pipes {
		if sink, ok := p.sink.(interface{ Dropped() int64 }); ok {
			n += sink.Dropped()
		}
	}
	return n
}
