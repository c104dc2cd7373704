package gateway

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"

	"aigateway/openai"
)

// lastWords is how long an endpoint may still take, after the client has left,
// for what follows a complete answer: the event that reports its usage.
const lastWords = 5 * time.Second

// longestDrain is the drain of an application whose drainTimeout is 0: the
// timeouts of the call end it.
const longestDrain = 24 * time.Hour

// departure decides what becomes of the call to the endpoint when the client
// leaves: application.onClientAbort.
type departure struct {
	drain time.Duration // how long the call goes on then; 0 ends it
	// complete: the answer is, but for what tells its usage.
	complete atomic.Bool
	left     atomic.Bool // the client has
	cancel   context.CancelFunc
	stops    []func() bool
	timer    atomic.Pointer[time.Timer]
}

// serverKey is where a request's context has the server's own.
type serverKey struct{}

// detach returns the context of the calls to endpoints, which the client's
// leaving ends only as the application wants it; the server's end does at
// once. The caller must call end of the departure, which is nil where nothing
// follows an answer.
func (in *inbound) detach(c *gin.Context, req *openai.Request) (context.Context, *departure) {
	client := c.Request.Context()
	drains := in.app.OnClientAbort == "drain"
	if !drains && !req.Stream {
		return client, nil
	}
	d := &departure{}
	in.departure = d
	if drains {
		d.drain = cmp.Or(in.app.DrainTimeout.Duration(), longestDrain)
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(client))
	d.cancel = func() { cancel(context.Cause(client)) }
	d.stops = append(d.stops, context.AfterFunc(client, d.leave(client, ctx)))
	if server, ok := client.Value(serverKey{}).(context.Context); ok {
		d.stops = append(d.stops, context.AfterFunc(server, func() { cancel(context.Cause(server)) }))
	}
	return ctx, d
}

// leave runs when the client's context ends, which may be after the request: gin
// then uses its own context for another one. call is the calls' context.
func (d *departure) leave(client, call context.Context) func() {
	return func() {
		wait := d.drain
		if d.complete.Load() {
			wait = max(wait, lastWords)
		}
		if wait <= 0 || errors.Is(context.Cause(client), errDraining) {
			d.cancel()
			return
		}
		d.left.Store(true)
		timer := time.AfterFunc(wait, d.cancel)
		d.timer.Store(timer)
		if call.Err() != nil { // end has been here
			timer.Stop()
		}
	}
}

// answered notes that the answer is complete, but for what tells its usage.
func (d *departure) answered() {
	if d != nil {
		d.complete.Store(true)
	}
}

// gone reports that the answer went on without its client.
func (d *departure) gone() bool { return d != nil && d.left.Load() }

// client is where the answer is written to.
func (d *departure) client(w http.ResponseWriter) http.ResponseWriter {
	if d == nil {
		return w
	}
	return &patient{ResponseWriter: w, d: d}
}

// end releases what detach took, when the answer is over.
func (d *departure) end() {
	if d == nil {
		return
	}
	for _, stop := range d.stops {
		stop()
	}
	d.cancel()
	if timer := d.timer.Load(); timer != nil {
		timer.Stop()
	}
}

// patient is a client that may have left: while the call goes on without it,
// what is written to it is thrown away.
type patient struct {
	http.ResponseWriter
	d      *departure
	failed bool // a write
}

func (p *patient) Write(b []byte) (int, error) {
	if !p.failed {
		n, err := p.ResponseWriter.Write(b)
		if err == nil {
			return n, nil
		}
		if p.d.drain <= 0 && !p.d.complete.Load() {
			return n, err
		}
		p.failed = true
	}
	return len(b), nil
}

// FlushError flushes, unless there is nobody to flush to.
func (p *patient) FlushError() error {
	if p.failed {
		return nil
	}
	err := http.NewResponseController(p.ResponseWriter).Flush()
	if err != nil && (p.d.drain > 0 || p.d.complete.Load()) {
		p.failed = true
		return nil
	}
	return err
}

// Unwrap is for http.ResponseController: deadlines are the client's.
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }
