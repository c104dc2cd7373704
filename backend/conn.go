package backend

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"time"
)

// conn is one connection to an endpoint. One exchange at a time uses it.
type conn struct {
	net.Conn           // the TLS session, or tcp itself
	tcp       net.Conn // what the TLS session runs on
	transport *transport
	origin    origin
	since     time.Time // when it was put among the idle; guarded by transport.mu

	r    *bufio.Reader // over read
	head []byte        // scratch for the request's head

	// Of the exchange under way.
	answered bool  // a byte of the answer has come
	headLeft int64 // what the header may still take; negative: no bound
}

// read reads from the connection, counting what an answer's header takes.
func (c *conn) read(p []byte) (int, error) {
	if c.headLeft == 0 {
		return 0, errHeadTooLong
	}
	if c.headLeft > 0 && int64(len(p)) > c.headLeft {
		p = p[:c.headLeft]
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.answered = true
		if c.headLeft > 0 {
			c.headLeft -= int64(n)
		}
	}
	return n, err
}

var errHeadTooLong = errors.New("header too long")

// open reports whether an idle connection can be used: the other side has not
// closed it, and no answer came that nobody asked for.
func (c *conn) open() bool {
	if c.r.Buffered() > 0 {
		return false
	}
	quiet, pending := peek(c.tcp)
	if !quiet && !pending {
		return false
	}
	if c.origin.tls {
		return c.nothingDecrypted(pending)
	}
	return quiet
}

// nothingDecrypted reports whether a TLS connection holds no bytes of an
// answer. They may stand decrypted within it, where no look at the socket finds
// them; and what is pending on the socket may be TLS's own, such as session
// tickets. Only reading tells.
func (c *conn) nothingDecrypted(pending bool) bool {
	deadline := aLongTimeAgo
	if pending {
		deadline = c.transport.now().Add(time.Millisecond)
	}
	c.SetReadDeadline(deadline)
	var one [1]byte
	n, err := c.Conn.Read(one[:])
	var timeout interface{ Timeout() bool }
	return n == 0 && errors.As(err, &timeout) && timeout.Timeout()
}

// afterFailedSend is how long an answer is waited for that an endpoint sent
// before it hung up: it is on its way or it does not exist.
const afterFailedSend = time.Second

// exchange sends a call and reads the answer's header. The answer's body gives
// the connection back when it is read to its end, and closes it when it is
// closed before. On an error the connection is closed.
func (c *conn) exchange(ctx context.Context, target *Target, call *Call) (*http.Response, error) {
	c.answered, c.headLeft = false, maxHead
	// Whatever the connection is doing ends when the client leaves.
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(aLongTimeAgo) })
	failed := func(f Fault, err error) (*http.Response, error) {
		stop()
		c.Close()
		return nil, fault(ctx, f, err)
	}

	now := c.transport.now()
	deadline := call.Deadline
	if budget := target.timeouts.FirstByte.Duration(); budget > 0 {
		deadline = earlier(deadline, now.Add(budget))
	}
	c.SetDeadline(deadline)
	if ctx.Err() != nil { // the client may have left before its deadline was set
		return failed(Canceled, ctx.Err())
	}
	sent := c.send(target, call)
	var upload *uploadError
	if errors.As(sent, &upload) {
		stop()
		c.Close()
		return nil, &Error{Fault: Upload, Err: upload.error}
	}
	// An endpoint may answer and hang up before it has read a long body: the
	// answer counts, not the failed write.
	if sent != nil {
		c.SetReadDeadline(earlier(deadline, now.Add(afterFailedSend)))
	}
	resp, err := c.receive(call)
	switch {
	case err != nil && sent != nil:
		return failed(Reset, sent)
	case err != nil:
		return failed(classify(err), err)
	}
	b := &body{
		ctx: ctx, conn: c, inner: resp.Body, stop: stop, total: call.Deadline, idle: target.idleFor(),
		until:    aLongTimeAgo, // whatever comes next replaces the first-byte budget
		reusable: sent == nil && !resp.Close,
	}
	resp.Body = b
	if b.waiting = strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream"); !b.waiting {
		b.renew()
	}
	if resp.ContentLength == 0 || resp.StatusCode == http.StatusNoContent {
		b.finish()
	}
	return resp, nil
}

// classify tells an answer that is no HTTP from a connection that broke.
func classify(err error) Fault {
	var op *net.OpError
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op) {
		return Reset
	}
	return Protocol
}

// send writes the request.
func (c *conn) send(target *Target, call *Call) error {
	c.head = target.appendHead(c.head[:0], call)
	if call.Stream != nil {
		if _, err := c.Write(c.head); err != nil {
			return err
		}
		return c.sendStream(call)
	}
	if c.origin.tls && len(call.Body) > smallBody {
		if _, err := c.Write(c.head); err != nil {
			return err
		}
		_, err := c.Write(call.Body)
		return err
	}
	if len(call.Body) <= smallBody {
		c.head = append(c.head, call.Body...)
		_, err := c.Write(c.head)
		return err
	}
	parts := net.Buffers{c.head, call.Body}
	_, err := parts.WriteTo(c.tcp)
	return err
}

// uploadError is a client's body that could not be read.
type uploadError struct{ error }

// uploads marks the errors of the client's side of an upload.
type uploads struct{ r io.Reader }

func (u uploads) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	if err != nil && err != io.EOF {
		err = &uploadError{err}
	}
	return n, err
}

func (c *conn) sendStream(call *Call) error {
	from := uploads{call.Stream}
	if call.Length >= 0 {
		n, err := io.Copy(c.Conn, io.LimitReader(from, call.Length))
		if err == nil && n < call.Length {
			err = &uploadError{io.ErrUnexpectedEOF}
		}
		return err
	}
	chunks := httputil.NewChunkedWriter(c.Conn)
	if _, err := io.Copy(chunks, from); err != nil {
		return err
	}
	if err := chunks.Close(); err != nil {
		return err
	}
	_, err := io.WriteString(c.Conn, "\r\n") // no trailers
	return err
}

// receive reads the answer's header, and over interim answers.
func (c *conn) receive(call *Call) (*http.Response, error) {
	asked := &http.Request{Method: call.Method}
	if asked.Method == "" {
		asked.Method = http.MethodPost
	}
	for {
		resp, err := http.ReadResponse(c.r, asked)
		switch {
		case err != nil && c.headLeft == 0:
			return nil, errHeadTooLong
		case errors.Is(err, io.ErrUnexpectedEOF) && !c.answered:
			return nil, io.EOF
		case err != nil:
			return nil, err
		case resp.StatusCode == http.StatusSwitchingProtocols:
			return nil, errors.New("endpoint switched protocols unasked")
		case resp.StatusCode >= 200:
			c.headLeft = -1
			return resp, nil
		}
	}
}

// body is the body of an answer.
type body struct {
	ctx      context.Context // of the exchange; tells a client that left from an endpoint that broke
	conn     *conn           // nil when it was given back or closed
	inner    io.ReadCloser
	stop     func() bool
	total    time.Time // end of the whole call; zero is none
	idle     time.Duration
	until    time.Time // the deadline in force
	waiting  bool      // for a stream's first content: the first-byte budget still runs
	reusable bool
	err      error // what every further read answers, once it is over
}

// renew sets the deadline for the next reads. It is moved only when a tenth of
// the idle budget is gone, so that most events of a stream do not pay for it;
// an endpoint may be silent for between 1 and 1.1 times the budget.
func (b *body) renew() {
	if b.waiting {
		return
	}
	if b.idle <= 0 {
		if b.until != b.total {
			b.until = b.total
			b.conn.SetReadDeadline(b.total)
			b.recheck()
		}
		return
	}
	now := b.conn.transport.now()
	if b.until.Sub(now) > b.idle {
		return
	}
	b.until = earlier(b.total, now.Add(b.idle+b.idle/10))
	b.conn.SetReadDeadline(b.until)
	b.recheck()
}

// recheck ends a call whose context ended just before its deadline was moved.
func (b *body) recheck() {
	if b.ctx.Err() != nil {
		b.conn.SetDeadline(aLongTimeAgo)
	}
}

// Begun says of a stream's body that its first content has come: from here on
// the endpoint may be silent for the idle budget, no longer for what was left
// of the first-byte budget. For other answers that is so from their header on.
func Begun(r io.Reader) {
	if b, ok := r.(*body); ok && b.waiting {
		b.waiting = false
		if b.conn != nil {
			b.renew()
		}
	}
}

func (b *body) Read(p []byte) (int, error) {
	if b.conn == nil {
		return 0, b.err
	}
	b.renew()
	n, err := b.inner.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		b.finish()
	case err != nil:
		err = fault(b.ctx, classify(err), err)
		b.close(err)
	}
	return n, err
}

// finish gives the connection back after the whole body was read.
func (b *body) finish() {
	c := b.conn
	// When the client's leaving has already touched the deadlines, or the
	// endpoint sent more than its answer, nobody can use the connection again.
	if !b.stop() || !b.reusable || c.r.Buffered() > 0 {
		b.close(io.EOF)
		return
	}
	b.conn, b.err = nil, io.EOF
	c.SetDeadline(time.Time{})
	c.transport.put(c)
}

func (b *body) close(err error) {
	b.stop()
	b.conn.Close()
	b.conn, b.err = nil, err
}

// linger is how long Close waits for the end of an answer that is over but for
// its last chunk, so that the connection can be used again: endpoints send that
// chunk right behind the last event.
const linger = 20 * time.Millisecond

// Close gives up what was not read. An answer that ends within moments keeps
// its connection.
func (b *body) Close() error {
	if b.conn == nil {
		return nil
	}
	if b.reusable && b.ctx.Err() == nil {
		b.conn.SetReadDeadline(b.conn.transport.now().Add(linger))
		var rest [64]byte
		if n, err := b.inner.Read(rest[:]); n == 0 && errors.Is(err, io.EOF) {
			b.finish()
			return nil
		}
	}
	b.close(errors.New("read on closed body"))
	return nil
}
