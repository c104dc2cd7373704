// Package backend makes one call to one endpoint: it knows how each kind of
// service is addressed and authenticated, keeps the four time budgets, and
// says of a failure what a caller must know to choose what happens next. In a
// request it stands between the router, which chose the endpoint, and the
// relay, which passes the answer on.
package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Call is what is asked of an endpoint, the same for every attempt of a
// request.
type Call struct {
	Method string // empty is POST
	// Path is the operation below a base URI, such as "chat/completions". An
	// endpoint whose URI already names its operation is called as written.
	Path string
	// Query is added to the URI's own; only the translator's operations and
	// base URIs take one.
	Query url.Values
	// Header is the client's header; what may travel is copied from it.
	Header      http.Header
	ContentType string
	// Traceparent is sent instead of the client's; empty sends the client's.
	Traceparent string
	// Body is the whole body. Stream, when set, is sent instead, in Length
	// bytes or chunked when Length is negative; a call with a Stream that was
	// read from cannot be made again.
	Body   []byte
	Stream io.Reader
	Length int64
	// Deadline ends the call with whatever it is doing; zero is none.
	Deadline time.Time
}

// Fault classes what went wrong when there was no answer.
type Fault string

// The faults. Canceled is the client's doing, never the endpoint's.
const (
	Dial     Fault = "dial"     // no connection, or no TLS session
	Timeout  Fault = "timeout"  // one of the budgets ran out
	Reset    Fault = "reset"    // the connection broke
	Protocol Fault = "protocol" // what came was not HTTP, or not an answer
	Canceled Fault = "canceled" // the client left
	Upload   Fault = "upload"   // the client's body could not be read
)

// Error is a call that brought no usable answer: a status other than 2xx, with
// its header and at most MaxErrorBody bytes of its body, or a fault. Its text
// names no address and no key.
type Error struct {
	Status     int           // 0 when there was no answer
	RetryAfter time.Duration // how long the endpoint asks to be left alone, for a 429
	Header     http.Header
	Body       []byte
	Fault      Fault // empty when there was an answer
	Err        error
}

// MaxErrorBody bounds what is kept of an error's body, in bytes: Azure's are
// below 4 KiB, with content filter details.
const MaxErrorBody = 256 << 10

func (e *Error) Error() string {
	switch {
	case e.Fault == "":
		return fmt.Sprintf("endpoint answered %d", e.Status)
	case e.Err != nil:
		return fmt.Sprintf("calling endpoint: %s: %v", e.Fault, e.Err)
	default:
		return fmt.Sprintf("calling endpoint: %s", e.Fault)
	}
}

func (e *Error) Unwrap() error { return e.Err }

// fault wraps err as an *Error. A canceled context explains every other error
// that came of it.
func fault(ctx context.Context, f Fault, err error) *Error {
	if ctx.Err() != nil {
		return &Error{Fault: Canceled, Err: context.Cause(ctx)}
	}
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		f = Timeout
	}
	return &Error{Fault: f, Err: withoutAddress(err)}
}

// Client makes calls. One Client serves all endpoints.
type Client struct {
	transport *transport
	now       func() time.Time
}

// NewClient returns a client that reads the time from now.
func NewClient(now func() time.Time) *Client {
	return &Client{transport: newTransport(now), now: now}
}

// CloseIdle closes connections that have been idle for a while. Call it every
// half a minute or so, and at the end.
func (c *Client) CloseIdle(unusedFor time.Duration) { c.transport.closeIdle(unusedFor) }

// Do makes the call. The answer's status is 2xx and its body must be closed;
// every other outcome is an *Error.
func (c *Client) Do(ctx context.Context, t *Target, call *Call) (*http.Response, error) {
	resp, err := c.transport.roundTrip(ctx, t, call)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	failed := &Error{Status: resp.StatusCode, Header: resp.Header}
	if resp.StatusCode == http.StatusTooManyRequests {
		failed.RetryAfter = RetryAfter(resp.Header, c.now())
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxErrorBody+1))
	if err != nil && ctx.Err() != nil {
		return nil, fault(ctx, Canceled, err)
	}
	// What cannot be read whole is no JSON: better none than half of it.
	if err == nil && len(body) <= MaxErrorBody {
		failed.Body = t.masked(body)
	}
	return nil, failed
}
