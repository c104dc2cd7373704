package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"aigateway/persist"
)

const (
	// batchMost and batchBytes are what a sink is given at once. 512 is the
	// batch of OpenTelemetry's own processors; what comes of 2 MiB stays below
	// the 4 MiB that a gRPC server takes by default.
	batchMost  = 512
	batchBytes = 2 << 20
	// queueMost and queueBytes bound what waits: eight seconds of a thousand
	// requests a second, and less of those with long prompts.
	queueMost  = 8192
	queueBytes = 32 << 20

	every  = time.Second     // a sink is given what there is
	ending = 5 * time.Second // for what waits when the gateway stops
	tell   = time.Minute     // between two lines of the log about what was dropped
)

// pipe brings exchanges to one sink.
type pipe struct {
	sink    Sink
	now     func() time.Time
	log     *slog.Logger
	dropped *atomic.Int64
	full    chan struct{} // of one place: there is a batch

	mu      sync.Mutex
	queue   []*persist.Exchange
	weights []int // of queue
	bytes   int   // sum of weights
	since   int   // dropped since it was last told
	closed  bool

	told time.Time // of run only
}

func newPipe(sink Sink, o Options, dropped *atomic.Int64) *pipe {
	return &pipe{sink: sink, now: o.Now, log: o.Log, dropped: dropped, full: make(chan struct{}, 1)}
}

// weight is about the memory that an exchange holds, in bytes.
func weight(x *persist.Exchange) int {
	const fixed = 1 << 10 // the struct and its short strings
	n := fixed + len(x.RequestID) + len(x.Model) + len(x.User) + len(x.Thread) + len(x.Operation) + 256*len(x.Attempts)
	if t := x.Trace; t != nil {
		n += 256 + len(t.State) + len(t.ResponseID) + len(t.Fingerprint) + len(t.ServiceTier) + len(t.Prompt) + len(t.Completion)
		for _, asked := range t.Asked {
			n += len(asked[0]) + len(asked[1])
		}
	}
	return n
}

// put appends to the queue, or drops.
func (p *pipe) put(x *persist.Exchange, n int) {
	p.mu.Lock()
	if p.closed || len(p.queue) == queueMost || p.bytes+n > queueBytes {
		p.since++
		p.mu.Unlock()
		p.dropped.Add(1)
		return
	}
	p.queue = append(p.queue, x)
	p.weights = append(p.weights, n)
	p.bytes += n
	batch := len(p.queue) == batchMost || p.bytes >= batchBytes && p.bytes-n < batchBytes
	p.mu.Unlock()
	if batch {
		select {
		case p.full <- struct{}{}:
		default:
		}
	}
}

// take removes the first batch of the queue, and tells whether more waits, and
// how many exchanges were dropped when that has not been told for a minute.
func (p *pipe) take() (batch []*persist.Exchange, more bool, dropped int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, sum := 0, 0
	for n < min(batchMost, len(p.queue)) && (n == 0 || sum+p.weights[n] <= batchBytes) {
		sum += p.weights[n]
		n++
	}
	batch = p.queue[:n:n]
	p.queue, p.weights, p.bytes = p.queue[n:], p.weights[n:], p.bytes-sum
	if len(p.queue) == 0 {
		p.queue, p.weights = nil, nil
	}
	if now := p.now(); p.since > 0 && now.Sub(p.told) >= tell {
		p.told, dropped, p.since = now, p.since, 0
	}
	return batch, len(p.queue) > 0, dropped
}

// run is the loop of a sink. What the sink is doing when ctx ends has some time
// to come to its end, as has what waits then.
func (p *pipe) run(ctx context.Context) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(ending, cancel) })()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-p.full:
			p.send(work)
		case <-tick.C:
			p.send(work)
		}
	}
	p.end(work)
}

// send gives the sink what waits, until the context ends.
func (p *pipe) send(ctx context.Context) {
	for {
		batch, more, dropped := p.take()
		if dropped > 0 {
			p.log.Warn("telemetry is dropped: its destination does not keep up", "exchanges", dropped)
		}
		p.sink.Send(ctx, batch)
		if !more || ctx.Err() != nil {
			return
		}
	}
}

// end hands over what waits, and closes the sink.
func (p *pipe) end(ctx context.Context) {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.send(ctx)
	p.mu.Lock()
	left := len(p.queue)
	p.queue, p.weights, p.bytes = nil, nil, 0
	p.mu.Unlock()
	p.dropped.Add(int64(left))
	err := p.sink.Close(ctx)
	if left > 0 || err != nil {
		p.log.Warn("telemetry was not sent whole at the end", "exchanges", left, "error", Discreet(err))
	}
}
